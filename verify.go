package ftpclient

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/corexalgo/ftpclient/internal/sink"
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

// A verifier sees the content of a transfer as far as the proof needs it.
type verifier struct{ expected string }

func newVerifier(opts TransferOptions) verifier {
	return verifier{expected: strings.ToLower(opts.SHA256)}
}

// watch makes a sink, just started or continued, show its content.
func (v *verifier) watch(s sink.Sink) error {
	if v.expected == "" {
		return nil
	}
	return s.Watch("SHA-256", sha256.New)
}

// compare checks a digest against the expected one.
func (v *verifier) compare(sum []byte) (Verification, error) {
	ours := hex.EncodeToString(sum)
	proof := Verification{Method: VerifiedExpected, Algorithm: "SHA-256", Local: ours, Remote: v.expected}
	if ours != v.expected {
		return proof, fmt.Errorf("%w: SHA-256 is %s, expected %s", ErrMismatch, ours, v.expected)
	}
	return proof, nil
}

// verify proves a download that has all its bytes.
func (d *download) verify() (err error) {
	switch {
	case d.verifier.expected != "":
		d.result.Verification, err = d.verifier.compare(d.sink.Sum())
	case d.id.Size >= 0 && d.opts.Verify != VerifyNone:
		d.result.Verification = sizeProof(d.result.Bytes, d.id.Size)
	}
	return err
}

func sizeProof(local, remote int64) Verification {
	return Verification{Method: VerifiedSize, Local: strconv.FormatInt(local, 10), Remote: strconv.FormatInt(remote, 10)}
}
