// Package digest names the digests that files are checked by.
package digest

import (
	"context"
	"crypto/md5"  //nolint:gosec // what servers and checksum files have; All is in the order of trust
	"crypto/sha1" //nolint:gosec // the same
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"hash"
	"hash/crc32"
	"io"
	"os"
	"strings"
)

// An Algorithm is one digest. Each of its hashes can save its state (encoding.BinaryMarshaler).
type Algorithm struct {
	Name string // as RFC 3174 and its like write it, and HASH: "SHA-256"
	New  func() hash.Hash
}

// HexLen is how many hex digits its digest has.
func (a Algorithm) HexLen() int { return hex.EncodedLen(a.New().Size()) }

// The digests. IEEE's CRC32 finds accidents only, MD5 and SHA-1 no forgery either.
var (
	SHA512 = Algorithm{"SHA-512", sha512.New}
	SHA384 = Algorithm{"SHA-384", sha512.New384}
	SHA256 = Algorithm{"SHA-256", sha256.New}
	SHA224 = Algorithm{"SHA-224", sha256.New224}
	SHA1   = Algorithm{"SHA-1", sha1.New}
	MD5    = Algorithm{"MD5", md5.New}
	CRC32  = Algorithm{"CRC32", func() hash.Hash { return crc32.NewIEEE() }}
)

// All are all, the strongest first.
var All = []Algorithm{SHA512, SHA384, SHA256, SHA224, SHA1, MD5, CRC32}

// ByName finds an algorithm by any of the ways in which its name is written: "SHA-256", "sha256", "SHA2-256", "CRC-32".
func ByName(name string) (Algorithm, bool) {
	key := strings.ReplaceAll(strings.ToUpper(strings.TrimSpace(name)), "-", "")
	if len(key) == len("SHA2256") {
		key = strings.Replace(key, "SHA2", "SHA", 1) // OpenSSL's SHA2-256
	}
	for _, a := range All {
		if strings.ReplaceAll(a.Name, "-", "") == key {
			return a, true
		}
	}
	return Algorithm{}, false
}

// Strength orders algorithms; the larger number is the stronger one, 0 an unknown one.
func Strength(name string) int {
	for i, a := range All {
		if a.Name == name {
			return len(All) - i
		}
	}
	return 0
}

// Is tells whether what r has to its end is of that digest, in lowercase hex, by the algorithm of that name.
func Is(ctx context.Context, r io.Reader, algorithm, digest string) (bool, error) {
	a, ok := ByName(algorithm)
	if !ok {
		return false, nil
	}
	h := a.New()
	if _, err := Copy(ctx, h, r); err != nil {
		return false, err
	}
	return hex.EncodeToString(h.Sum(nil)) == digest, nil
}

// FileIs is Is of a local file; one that cannot be read is not.
func FileIs(ctx context.Context, root *os.Root, name, algorithm, digest string) bool {
	f, err := root.Open(name)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	is, err := Is(ctx, f, algorithm, digest)
	return is && err == nil
}

// Copy reads r to its end into h, and stops when ctx ends: a large file takes a while.
func Copy(ctx context.Context, h io.Writer, r io.Reader) (int64, error) {
	buf := make([]byte, 256<<10)
	var total int64
	for {
		if err := ctx.Err(); err != nil {
			return total, err
		}
		n, err := r.Read(buf)
		total += int64(n)
		if _, werr := h.Write(buf[:n]); werr != nil {
			return total, werr
		}
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}
