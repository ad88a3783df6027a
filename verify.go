package ftpclient

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path"
	"strings"

	"github.com/corexalgo/ftpclient/internal/digest"
	"github.com/corexalgo/ftpclient/internal/remotefs"
	"github.com/corexalgo/ftpclient/internal/remotepart"
	"github.com/corexalgo/ftpclient/internal/retry"
	"github.com/corexalgo/ftpclient/internal/session"
	"github.com/corexalgo/ftpclient/internal/sink"
	"github.com/corexalgo/ftpclient/internal/source"
	"github.com/corexalgo/ftpclient/internal/sums"
	"github.com/corexalgo/ftpclient/internal/wire"
)

// VerifyMode says how a transferred file is proved before it appears under its name.
type VerifyMode int

// The modes.
const (
	// VerifySize compares sizes, and the modification time before and after a download. Where the server does not tell
	// sizes, completion rests on its final reply, and the Verification says so.
	VerifySize VerifyMode = iota
	// VerifyBest takes the strongest proof that costs no second transfer: the digest that the caller expects, of a download;
	// else the server's digest, by HASH, XSHA256 and the like; else the size. A server that is slow to digest is waited for,
	// longer for larger files.
	VerifyBest
	// VerifyHash insists on a digest computed by the server. Without one the transfer is ErrUnverifiable: before anything
	// moves if the server offers none, and else before the target appears. If the caller expects a digest, it must be of
	// the same algorithm.
	VerifyHash
	// VerifyReadBack insists on moving the content a second time and comparing. It is the one proof of what a server has
	// stored that takes nothing on its word.
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
	return nameOf([]string{"final reply only", "size only", "digest by server", "read back", "expected digest"}, m)
}

// A Verification tells what was proved, never more than what was seen. With ErrMismatch it holds the two values that differ.
type Verification struct {
	Method    VerifyMethod // the strongest that was really done
	Algorithm string       // "SHA-256", "CRC32" …; "" for size
	Local     string       // hex digest, or decimal size
	Remote    string       // of the remote side; of a download with VerifiedExpected what the caller gave
}

// String is such as "size only", "SHA-256 by server", "SHA-256 read back" or "MD5 expected".
func (v Verification) String() string {
	if v.Algorithm == "" {
		return v.Method.String()
	}
	how := map[VerifyMethod]string{VerifiedServerHash: "by server", VerifiedReadBack: "read back", VerifiedExpected: "expected"}
	return v.Algorithm + " " + how[v.Method]
}

// A Checksum is the digest that a file should have.
type Checksum struct {
	Algorithm string // "SHA-512", "SHA-256", "SHA-1", "MD5", "CRC32", "SHA-384" or "SHA-224"; case and hyphens do not matter
	Digest    string // hex
}

// Checksums are the digests that files should have, by name, as a checksum file has them: see LoadChecksums.
type Checksums map[string]Checksum

// LoadChecksums reads a checksum file: SHA256SUMS and the like as sha256sum and md5sum write them ("9f86…  name"), the format
// of the BSD tools and of OpenSSL ("SHA256 (name) = 9f86…"), and .sfv files ("name 1a2b3c4d"). Empty lines and comments
// are skipped. Every other line must be readable: if not, the error tells its number, and there are no Checksums. Where a name
// has digests of several algorithms the strongest is kept.
//
// The keys are the names as they are written, less a leading "./". They are to be compared with other names and are never
// opened: a name such as "../x" is a key like any other.
func LoadChecksums(r io.Reader) (Checksums, error) {
	read, err := sums.Read(r)
	if err != nil {
		return nil, fmt.Errorf("checksum file: %w", err)
	}
	all := make(Checksums, len(read))
	for name, sum := range read {
		all[name] = Checksum(sum)
	}
	return all, nil
}

// maxChecksums bounds a checksum file on a server, which is read into memory.
const maxChecksums = 64 << 20

// LoadChecksums reads a checksum file of the server. The keys are the paths of the files that it speaks of: its names are
// relative to its own folder, as with Checksums.In.
func (c *Client) LoadChecksums(ctx context.Context, server, remote string) (Checksums, error) {
	var text bytes.Buffer
	over := fmt.Errorf("more than %d bytes are no checksum file: %w", maxChecksums, fs.ErrInvalid)
	if _, err := c.DownloadTo(ctx, server, remote, &capped{&text, maxChecksums, over}, nil); err != nil {
		return nil, err
	}
	all, err := LoadChecksums(&text)
	if err != nil {
		return nil, wrap("checksums", server, remote, err)
	}
	return all.In(path.Dir(remote)), nil
}

// In makes the names those of files in dir, a folder of a server. Names that lead out of it, "../x" and "/x", stay as they are.
func (s Checksums) In(dir string) Checksums {
	below := make(Checksums, len(s))
	for name, sum := range s {
		if clean := path.Clean(name); clean != ".." && !strings.HasPrefix(clean, "../") && !path.IsAbs(clean) {
			name = path.Join(dir, clean)
		}
		below[name] = sum
	}
	return below
}

// Expect is what TransferOptions.Expected should be for the file of that name or remote path; zero, which expects nothing, if
// the Checksums say nothing of it.
func (s Checksums) Expect(name string) Checksum {
	if sum, ok := s[name]; ok {
		return sum
	}
	return s[path.Clean(name)]
}

// expected is what SHA256 or Expected says, in the one form that digests have here.
func (o *TransferOptions) expected() Checksum {
	want := o.Expected
	if o.SHA256 != "" {
		want = Checksum{Algorithm: digest.SHA256.Name, Digest: o.SHA256}
	}
	want.Digest = strings.ToLower(want.Digest)
	return want
}

func (o *TransferOptions) validateExpected(f fault) {
	want := o.expected()
	a, ok := digest.ByName(want.Algorithm)
	_, err := hex.DecodeString(want.Digest)
	key := "Expected"
	if o.SHA256 != "" {
		key = "SHA256"
	}
	switch {
	case o.SHA256 != "" && o.Expected != (Checksum{}):
		f(key, "Expected is set too: choose one")
	case want == (Checksum{}):
	case !ok:
		f(key, "unknown algorithm %q", want.Algorithm)
	case err != nil || len(want.Digest) != a.HexLen():
		f(key, "not the %d hex digits of a %s", a.HexLen(), a.Name)
	}
}

// errDigest is ErrMismatch found by a digest: the line or a disk may have flipped a bit, and the transfer starts over once.
var errDigest = fmt.Errorf("%w in digest", ErrMismatch)

// A verifier proves one transfer, from the choice of a digest before it begins.
type verifier struct {
	mode      VerifyMode
	direction Direction
	expected  Checksum // zero: none
	policy    RetryPolicy
	moving    session.TransferOptions // of a reading back
	log       *slog.Logger

	algorithm *digest.Algorithm // that all content is digested by; nil: none
	asks      bool              // the server will be asked for its digest
	mute      bool              // it is not asked for that of a part any more
	chosen    bool
	again     bool // the transfer started over because of a digest
}

func (t *transfer) newVerifier() verifier {
	return verifier{
		mode: t.opts.Verify, direction: t.job.Direction, expected: t.opts.expected(),
		policy: *t.opts.Retry, moving: t.moving(nil), log: t.log,
	}
}

// choose picks the digest that the proof needs, and finds out whether there can be a proof, before anything moves.
func (v *verifier) choose(ctx context.Context, s *session.Session) error {
	if v.chosen {
		return nil
	}
	if a, ok := digest.ByName(v.expected.Algorithm); ok {
		v.algorithm = &a
	} else if v.mode == VerifyReadBack {
		v.algorithm = &digest.SHA256
	}
	// What the caller expects proves a download whole. Of an upload it proves the source, and the server is asked for the rest.
	best := (v.mode == VerifyBest && v.algorithm == nil) ||
		(v.direction == Up && v.algorithm != nil && (v.mode == VerifyBest || v.mode == VerifySize))
	if best || v.mode == VerifyHash {
		for _, a := range s.Algorithms() {
			if v.algorithm != nil && a.Name != v.algorithm.Name { // there is one digest, and it must be the one expected
				continue
			}
			ready, err := s.PrepareHash(ctx, a)
			if err != nil {
				return err
			}
			if ready {
				v.algorithm, v.asks = &a, true
				break
			}
		}
		if !v.asks && v.mode == VerifyHash {
			return retry.Permanent(fmt.Errorf("%w: the server computes no digest that can be used", ErrUnverifiable))
		}
	}
	v.chosen = true
	return nil
}

// asksMore tells whether prove asks the server for more than size and time.
func (v *verifier) asksMore() bool { return v.asks || v.mode == VerifyReadBack }

// watch makes a sink, just started or continued, show its content.
func (v *verifier) watch(ctx context.Context, s sink.Sink) error {
	if v.algorithm == nil {
		return nil
	}
	return s.Watch(ctx, v.algorithm.Name, v.algorithm.New)
}

// prove compares what was moved, whose digest is sum, with the remote file called name.
func (v *verifier) prove(ctx context.Context, s *session.Session, name string, size int64, sum []byte) (proof Verification, err error) {
	ours := hex.EncodeToString(sum)
	if v.expected.Digest != "" {
		if proof, err = v.compare(VerifiedExpected, ours, v.expected.Digest); err != nil {
			if v.direction == Up { // the local file is not what it should be, and stays so
				err = retry.Permanent(fmt.Errorf("%w: %s is %s, expected %s", ErrMismatch, proof.Algorithm, ours, proof.Remote))
			}
			return proof, err
		}
		if v.direction == Up {
			proof = Verification{} // nothing was seen of the server yet
		}
	}
	method, theirs := VerifiedNone, ""
	switch {
	case v.mode == VerifyReadBack:
		method = VerifiedReadBack
		theirs, err = v.readBack(ctx, s, name, size)
	case v.asks:
		method = VerifiedServerHash
		theirs, err = v.askServer(ctx, s, name, size)
	}
	switch {
	case method == VerifiedReadBack && retry.Retryable(err):
		return proof, err
	case unanswered(err) && v.mode != VerifyHash && v.mode != VerifyReadBack:
		v.log.Info("ftp server gives no digest", slog.String("cause", err.Error()))
		return proof, nil
	case unanswered(err):
		return proof, retry.Permanent(fmt.Errorf("%w: %w", ErrUnverifiable, err))
	case err != nil || method == VerifiedNone:
		return proof, err
	}
	seen, err := v.compare(method, ours, theirs)
	switch {
	case err != nil || v.expected.Digest == "":
		return seen, err
	case v.direction == Up: // and what the server has is what the caller expects
		seen.Method = VerifiedExpected
		return seen, nil
	}
	return proof, nil
}

func (v *verifier) compare(method VerifyMethod, ours, theirs string) (Verification, error) {
	proof := Verification{Method: method, Algorithm: v.algorithm.Name, Local: ours, Remote: theirs}
	if ours != theirs {
		return proof, fmt.Errorf("%w: %s is %s, expected %s (%s)", errDigest, v.algorithm.Name, ours, theirs, method)
	}
	return proof, nil
}

// unanswered tells that the server gave no digest, and that its connection is none the worse for it.
func unanswered(err error) bool {
	return remotefs.Refused(err) != nil || errors.Is(err, session.ErrNoDigest) || errors.Is(err, errors.ErrUnsupported)
}

// askServer asks for the server's digest.
func (v *verifier) askServer(ctx context.Context, s *session.Session, name string, size int64) (theirs string, err error) {
	err = v.ask(ctx, s, func(ctx context.Context) error {
		theirs, err = s.Hash(ctx, *v.algorithm, name, size)
		return err
	})
	if timedOut(err) && v.mode != VerifyHash { // it may take this server for ever
		v.asks = false
	}
	return theirs, err
}

// agrees asks, by question, whether a part that is to be continued is the same on both sides by the server's digest. told is false
// where it gives none, and once the connection was lost over that: it may take this server for ever.
func (v *verifier) agrees(question func() (same bool, err error)) (same, told bool, err error) {
	if !v.asks || v.mute {
		return false, false, nil
	}
	same, err = question()
	switch {
	case err == nil:
		return same, true, nil
	case unanswered(err):
		return false, false, nil
	}
	v.mute = true
	return false, false, err
}

// ask asks a server that is busy (450) again.
func (v *verifier) ask(ctx context.Context, s *session.Session, question func(ctx context.Context) error) error {
	return retry.Ask(ctx, retry.Policy(v.policy.withDefaults()), s.Usable, question)
}

// readBack digests the remote file by moving it here.
func (v *verifier) readBack(ctx context.Context, s *session.Session, name string, size int64) (string, error) {
	moving := v.moving
	moving.Expected = size
	r, err := s.Retrieve(ctx, name, 0, moving)
	if err != nil {
		return "", err
	}
	buf, h := wire.GetBuffer(), v.algorithm.New()
	defer wire.PutBuffer(buf)
	_, err = io.CopyBuffer(h, struct{ io.Reader }{r}, *buf)
	if err := errors.Join(err, r.Close()); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// startsOver tells whether err is worth beginning the transfer once more.
func (v *verifier) startsOver(err error) bool {
	if v.again || !errors.Is(err, errDigest) {
		return false
	}
	v.again = true
	return true
}

// provePart finds what the server holds of an upload to be the source's beginning: all of it by the server's digest, where
// there is one and the partial is of an earlier call, else its end, read back.
func (u *upload) provePart(ctx context.Context, s *session.Session, size int64) error {
	var same, told bool
	if !u.started && size <= u.source.Size() {
		var err error
		same, told, err = u.verifier.agrees(func() (bool, error) {
			if err := u.source.Rewind(ctx, size); err != nil {
				return false, &session.SourceError{Err: err}
			}
			theirs, err := s.Hash(ctx, *u.verifier.algorithm, u.part.Name(), size)
			return theirs == hex.EncodeToString(u.source.Sum()), err
		})
		if same || err != nil {
			return err
		}
	}
	// It may still be growing, which only its end tells.
	if err := u.part.Prove(ctx, s, size, u.source); err != nil || !told {
		return err
	}
	return remotepart.ErrDiffers
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
		var look session.Look
		err := u.verifier.ask(ctx, s, func(ctx context.Context) (err error) {
			look, err = u.part.Look(ctx, s, u.renaming())
			return err
		})
		if err != nil {
			return err
		}
		if look.SizeErr == nil {
			if look.Size != sent {
				s.Distrust()
				return retry.Transient(fmt.Errorf("the server holds %d of %d bytes that it called complete", look.Size, sent))
			}
			u.result.Verification = sizeProof(sent, look.Size)
		}
		proof.Told, proof.ModTime = look.SizeErr == nil, look.ModTime
	}
	verification, err := u.verifier.prove(ctx, s, u.part.Name(), sent, u.source.Sum())
	if verification.Method > u.result.Verification.Method {
		u.result.Verification = verification
	}
	if u.source.Repeatable() && u.verifier.startsOver(err) {
		// Under another name: ProFTPD keeps digests by name, time to the second, and size.
		return errors.Join(retry.Transient(err), u.startOver(ctx, s, err))
	}
	if err == nil {
		u.proved = &proof
	}
	return err
}

// Verify compares a remote file with a local one as mode says: VerifySize and VerifyBest take the proof that is there,
// VerifyHash and VerifyReadBack insist. A difference is ErrMismatch, with both values in the Verification. The local file is
// read once, if at all.
func (c *Client) Verify(ctx context.Context, server, remote, local string, mode VerifyMode) (Verification, error) {
	var proof Verification
	if err := check(&TransferOptions{Verify: mode}); err != nil {
		return proof, wrap("verify", server, remote, err)
	}
	src, err := source.Open(local) // once: its digest is kept, as the connection may be gone when that of a large file is known
	if err != nil {
		return proof, wrap("verify", server, remote, err)
	}
	defer func() { _ = src.Close() }()
	v := verifier{mode: mode, direction: Up, policy: c.retry, log: c.log}
	err = c.repeat(ctx, "verify", server, remote, func(ctx context.Context, s *session.Session) error {
		look, err := s.Look(ctx, remote)
		if err != nil {
			return err
		}
		if look.SizeErr != nil {
			e, err := remotefs.Stat(ctx, s, remote)
			switch {
			case err != nil:
				return err
			case e.IsDir():
				return errIsDir
			}
			if e.Mode.IsRegular() { // a link's is that of its own text
				look.Size = e.Size
			}
		}
		proof = Verification{}
		if look.Size >= 0 && mode != VerifyNone {
			proof = sizeProof(src.Size(), look.Size)
			if src.Size() != look.Size {
				return retry.Permanent(fmt.Errorf("%w: local size is %d, remote %d", ErrMismatch, src.Size(), look.Size))
			}
		}
		if err := v.choose(ctx, s); err != nil || v.algorithm == nil {
			return err
		}
		src.Watch(v.algorithm.New)
		if err := errors.Join(src.Rewind(ctx, src.Size()), src.Check()); err != nil {
			return retry.Permanent(err)
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
