package ftpclient

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/corexalgo/ftpclient/internal/remotefs"

	"github.com/corexalgo/ftpclient/internal/remotepart"
	"github.com/corexalgo/ftpclient/internal/retry"
	"github.com/corexalgo/ftpclient/internal/session"
	"github.com/corexalgo/ftpclient/internal/sink"
	"github.com/corexalgo/ftpclient/internal/source"
	"github.com/corexalgo/ftpclient/internal/wire"
)

// VerifyMode says how a transferred file is proved before it appears under its name.
type VerifyMode int

// The modes.
const (
	// VerifySize compares sizes, and the modification time before and after a download. Where the server does not tell
	// sizes, completion rests on its final reply, and the Verification says so.
	VerifySize VerifyMode = iota
	// VerifyBest takes the strongest proof that costs no second transfer.
	VerifyBest
	// VerifyHash insists on a digest computed by the server; without one the transfer is ErrUnverifiable.
	VerifyHash
	// VerifyReadBack insists on moving the content a second time and comparing.
	VerifyReadBack
	// VerifyNone proves no more than a transfer always does: the counted bytes, and the server's final reply.
	VerifyNone
)

// VerifyMethod is how a file was proved.
type VerifyMethod int

// The methods, from the weakest to the strongest.
const (
	VerifiedNone       VerifyMethod = iota // the server's final reply alone
	VerifiedSize                           // sizes are equal
	VerifiedServerHash                     // the server's digest equals ours
	VerifiedReadBack                       // the content was read a second time, and is equal
	VerifiedExpected                       // the digest is the one that the caller gave
)

// String names the method.
func (m VerifyMethod) String() string {
	switch m {
	case VerifiedSize:
		return "size only"
	case VerifiedServerHash:
		return "digest by server"
	case VerifiedReadBack:
		return "read back"
	case VerifiedExpected:
		return "expected digest"
	default:
		return "final reply only"
	}
}

// A Verification tells what was proved, never more than what was seen.
type Verification struct {
	Method    VerifyMethod // the strongest that was really done
	Algorithm string       // "SHA-256", "CRC32" …; "" for size
	Local     string       // hex digest, or decimal size
	Remote    string       // of the remote side; with VerifiedExpected what the caller gave
}

// String is such as "size only" or "SHA-256, expected digest".
func (v Verification) String() string {
	if v.Algorithm == "" {
		return v.Method.String()
	}
	return v.Algorithm + ", " + v.Method.String()
}

func isSHA256(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == sha256.Size
}

// errDigest is ErrMismatch found by a digest: the line or a disk may have flipped a bit, and the transfer starts over once.
var errDigest = fmt.Errorf("%w in digest", ErrMismatch)

// A verifier proves one transfer, from the choice of a digest before it begins.
type verifier struct {
	mode      VerifyMode
	expected  string
	direction Direction
	algorithm *session.Algorithm // that all content is digested by; nil: none
	chosen    bool
	again     bool // the transfer started over because of a digest
}

func newVerifier(direction Direction, opts TransferOptions) verifier {
	return verifier{mode: opts.Verify, expected: strings.ToLower(opts.SHA256), direction: direction}
}

// choose picks the digest that the proof needs, and finds out whether there can be a proof, before anything moves.
func (v *verifier) choose(s *session.Session) error {
	if v.chosen {
		return nil
	}
	if v.expected != "" || v.mode == VerifyReadBack {
		a := session.SHA256()
		v.algorithm = &a
	}
	if v.mode == VerifyHash || (v.mode == VerifyBest && v.algorithm == nil) {
		offered := s.Algorithms()
		if v.algorithm != nil { // the server's digest must be of the kind that the caller expects
			offered = slices.DeleteFunc(offered, func(a session.Algorithm) bool { return a.Name != v.algorithm.Name })
		}
		if len(offered) == 0 && v.mode == VerifyHash {
			return retry.Permanent(fmt.Errorf("%w: the server computes no digest that can be used", ErrUnverifiable))
		}
		if len(offered) > 0 {
			v.algorithm = &offered[0]
		}
	}
	v.chosen = true
	return nil
}

// watch makes a sink, just started or continued, show its content.
func (v *verifier) watch(s sink.Sink) error {
	if v.algorithm == nil {
		return nil
	}
	return s.Watch(v.algorithm.Name, v.algorithm.New)
}

// prove compares what was moved, whose digest is sum, with the remote file called name.
func (v *verifier) prove(ctx context.Context, s *session.Session, name string, size int64, sum []byte) (Verification, error) {
	ours := hex.EncodeToString(sum)
	var proof Verification
	if v.mode == VerifyReadBack {
		theirs, err := readBack(ctx, s, name, v.algorithm.New())
		if err != nil {
			return proof, err
		}
		if proof, err = v.compare(VerifiedReadBack, ours, theirs); err != nil {
			return proof, err
		}
	}
	if v.mode == VerifyHash || (v.mode == VerifyBest && v.expected == "" && v.algorithm != nil) {
		theirs, err := s.Hash(ctx, *v.algorithm, name, size)
		switch {
		case err == nil:
			if proof, err = v.compare(VerifiedServerHash, ours, theirs); err != nil {
				return proof, err
			}
		case remotefs.Refused(err) == nil || retry.Retryable(err):
			return proof, err
		case v.mode == VerifyHash:
			return proof, retry.Permanent(fmt.Errorf("%w: %w", ErrUnverifiable, err))
		}
	}
	if v.expected == "" {
		return proof, nil
	}
	proof, err := v.compare(VerifiedExpected, ours, v.expected)
	if err != nil && v.direction == Up { // the local file is not what it should be, and stays so
		err = retry.Permanent(fmt.Errorf("%w: SHA-256 is %s, expected %s", ErrMismatch, ours, v.expected))
	}
	return proof, err
}

func (v *verifier) compare(method VerifyMethod, ours, theirs string) (Verification, error) {
	proof := Verification{Method: method, Algorithm: v.algorithm.Name, Local: ours, Remote: theirs}
	if ours != theirs {
		return proof, fmt.Errorf("%w: %s is %s, expected %s (%s)", errDigest, v.algorithm.Name, ours, theirs, method)
	}
	return proof, nil
}

// startsOver tells whether err is worth beginning the transfer once more.
func (v *verifier) startsOver(err error) bool {
	if v.again || !errors.Is(err, errDigest) {
		return false
	}
	v.again = true
	return true
}

// prove finds the whole source, unchanged, under the temporary name.
func (u *upload) prove(ctx context.Context, s *session.Session) error {
	if err := u.source.Check(); err != nil {
		return retry.Permanent(fmt.Errorf("%w: %w", ErrMismatch, err))
	}
	sent := u.source.Offset()
	u.result.Bytes, u.result.Verification = sent, Verification{}
	proof := remotepart.Proof{Size: sent}
	if u.opts.Verify != VerifyNone {
		look, err := s.Look(ctx, u.part.Name())
		if err != nil {
			return err
		}
		if look.SizeErr == nil {
			if look.Size != sent {
				return retry.Transient(fmt.Errorf("the server holds %d of %d bytes that it called complete", look.Size, sent))
			}
			u.result.Verification = sizeProof(sent, look.Size)
		}
		proof.ModTime = look.ModTime
	}
	verification, err := u.verifier.prove(ctx, s, u.part.Name(), sent, u.source.Sum())
	if verification.Method > u.result.Verification.Method {
		u.result.Verification = verification
	}
	if u.verifier.startsOver(err) {
		u.result.RestartReason = err.Error()
		return errors.Join(retry.Transient(err), u.part.Remove(ctx, s))
	}
	if err == nil {
		u.proved = &proof
	}
	return err
}

// readBack digests the remote file by moving it here.
func readBack(ctx context.Context, s *session.Session, name string, h hash.Hash) (string, error) {
	r, err := s.Retrieve(ctx, name, 0, session.TransferOptions{})
	if err != nil {
		return "", err
	}
	buf := wire.GetBuffer()
	defer wire.PutBuffer(buf)
	_, err = io.CopyBuffer(h, struct{ io.Reader }{r}, *buf)
	if err := errors.Join(err, r.Close()); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Verify compares a remote file with a local one as mode says: VerifySize and VerifyBest take the proof that is there,
// VerifyHash and VerifyReadBack insist. A difference is ErrMismatch, with both values in the Verification.
func (c *Client) Verify(ctx context.Context, server, remote, local string, mode VerifyMode) (Verification, error) {
	var proof Verification
	err := c.repeat(ctx, "verify", server, remote, func(ctx context.Context, s *session.Session) error {
		src, err := source.Open(local)
		if err != nil {
			return err
		}
		defer func() { _ = src.Close() }()
		look, err := s.Look(ctx, remote)
		if err != nil {
			return err
		}
		if look.SizeErr != nil {
			if _, err := remotefs.Stat(ctx, s, remote); err != nil {
				return err
			}
		}
		proof = Verification{}
		if look.Size >= 0 && mode != VerifyNone {
			proof = sizeProof(src.Size(), look.Size)
			if src.Size() != look.Size {
				return retry.Permanent(fmt.Errorf("%w: local size is %d, remote %d", ErrMismatch, src.Size(), look.Size))
			}
		}
		v := verifier{mode: mode, direction: Down}
		if err := v.choose(s); err != nil || v.algorithm == nil {
			return err
		}
		src.Watch(v.algorithm.New)
		if err := src.Rewind(src.Size()); err != nil {
			return err
		}
		better, err := v.prove(ctx, s, remote, src.Size(), src.Sum())
		if better.Method > proof.Method {
			proof = better
		}
		if errors.Is(err, ErrMismatch) {
			err = retry.Permanent(err)
		}
		return err
	})
	return proof, err
}

func sizeProof(local, remote int64) Verification {
	return Verification{Method: VerifiedSize, Local: strconv.FormatInt(local, 10), Remote: strconv.FormatInt(remote, 10)}
}
