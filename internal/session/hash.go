package session

import (
	"context"
	"crypto/md5"  //nolint:gosec // what servers offer; see Algorithms for the order
	"crypto/sha1" //nolint:gosec // the same
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/corexalgo/ftpclient/internal/reply"
)

// An Algorithm is a digest that some servers compute.
type Algorithm struct {
	Name string // as HASH calls it: "SHA-256"
	New  func() hash.Hash
	own  []string // the commands of its own, from before HASH
}

// algorithms in the order in which they are preferred.
var algorithms = []Algorithm{
	{Name: "SHA-256", New: sha256.New, own: []string{"XSHA256"}},
	{Name: "SHA-512", New: sha512.New, own: []string{"XSHA512"}},
	{Name: "SHA-1", New: sha1.New, own: []string{"XSHA1", "XSHA"}},
	{Name: "MD5", New: md5.New, own: []string{"XMD5", "MD5"}},
	{Name: "CRC32", New: func() hash.Hash { return crc32.NewIEEE() }, own: []string{"XCRC"}},
}

// SHA256 is the algorithm of that name, whether or not the server offers it.
func SHA256() Algorithm { return algorithms[0] }

// hashRate is what a server is trusted to read and digest at least, in bytes a second.
const hashRate = 16 << 20

// Algorithms are the digests that the server says it can compute, the best first.
func (s *Session) Algorithms() []Algorithm {
	return slices.DeleteFunc(slices.Clone(algorithms), func(a Algorithm) bool { return s.hashCommand(a) == "" })
}

// hashCommand is HASH, or a command of the algorithm's own; "" where the server has neither.
func (s *Session) hashCommand(a Algorithm) string {
	for _, name := range strings.Split(s.features["HASH"], ";") {
		if strings.EqualFold(strings.Trim(name, "* "), a.Name) {
			return "HASH"
		}
	}
	for _, verb := range a.own {
		if s.features.Has(verb) {
			return verb
		}
	}
	return ""
}

// Hash asks the server for the digest of path, which has size bytes, in hex.
func (s *Session) Hash(ctx context.Context, a Algorithm, name string, size int64) (digest string, err error) {
	verb := s.hashCommand(a)
	if verb == "" {
		return "", fmt.Errorf("%s: %w", a.Name, errors.ErrUnsupported)
	}
	err = s.do(ctx, func() error {
		if verb == "HASH" && s.hashing != a.Name {
			if _, err := s.raw("OPTS HASH " + a.Name); err != nil {
				return err
			}
			s.hashing = a.Name
		}
		lines, err := s.hashLines(verb, name)
		if err != nil {
			return err
		}
		var r reply.Reply
		for _, line := range lines {
			s.ctl.SetNextTimeout(s.cfg.ReplyTimeout + time.Duration(max(0, size)/hashRate)*time.Second)
			if r, err = s.raw(line); err == nil {
				break
			}
		}
		if err != nil {
			return err
		}
		if digest = findDigest(r, a, verb); digest == "" {
			return inStep(fmt.Errorf("%w: %s: %s", reply.ErrMalformed, verb, reply.Quote(r.Text())))
		}
		return nil
	})
	return digest, err
}

// hashLines are the forms of the command, to be tried in turn: HASH takes the rest of the line as the name, but ftpserverlib
// wants a name with blanks quoted, and so do most servers for the older commands. All take absolute names.
func (s *Session) hashLines(verb, name string) ([]string, error) {
	arg, err := s.encode(name)
	if err != nil {
		return nil, err
	}
	if !path.IsAbs(arg) {
		if err := s.findHome(); err != nil {
			return nil, err
		}
		arg = path.Join(s.home, arg)
	}
	lines := []string{verb + " " + arg}
	if strings.Contains(arg, " ") {
		lines = append(lines, verb+` "`+arg+`"`)
	}
	return lines, nil
}

// findDigest reads the digest out of "213 SHA-256 0-49 1a2b… name", "250 1a2b…" and their relatives.
func findDigest(r reply.Reply, a Algorithm, verb string) string {
	want := hex.EncodedLen(a.New().Size())
	for _, line := range r.Lines {
		fields := strings.Fields(line)
		if verb == "HASH" && (len(fields) < 3 || !strings.EqualFold(fields[0], a.Name)) {
			continue
		}
		for _, field := range fields {
			field = strings.ToLower(strings.Trim(field, `"'`))
			if a.Name == "CRC32" {
				field = strings.TrimPrefix(field, "0x")
				if len(field) < want && len(field) > 0 && len(fields) == 1 { // leading zeros left out
					field = strings.Repeat("0", want-len(field)) + field
				}
			}
			if _, err := hex.DecodeString(field); err == nil && len(field) == want {
				return field
			}
		}
	}
	return ""
}
