// Package sums reads checksum files: what sha256sum, md5sum, the BSD tools, OpenSSL and the makers of .sfv files write.
package sums

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/corexalgo/ftpclient/internal/digest"
)

// A Sum is the digest that one file should have.
type Sum struct {
	Algorithm string // as digest.Algorithm names it
	Digest    string // lower-case hex
}

// maxLine bounds one line: a name has at most a few thousand bytes.
const maxLine = 64 << 10

// maxFaults is how many unreadable lines are told of; a file that is no checksum file has nothing but them.
const maxFaults = 10

// Read reads a whole checksum file into digests by name, names as they are written there, but for a leading "./". Empty
// lines and comments (# and ;) are skipped, and each line that cannot be read is an error with its number. Of a file with
// digests of several algorithms the strongest counts; two that differ are an error.
func Read(r io.Reader) (map[string]Sum, error) {
	sums := map[string]Sum{}
	var faults []error
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	n := 0
	for lines.Scan() {
		n++
		line := strings.TrimSuffix(lines.Text(), "\r")
		if n == 1 {
			line = strings.TrimPrefix(line, "\ufeff")
		}
		if strings.TrimSpace(line) == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		name, sum, err := parse(line)
		if err == nil {
			err = add(sums, name, sum)
		}
		if err == nil {
			continue
		}
		if faults = append(faults, fmt.Errorf("line %d: %w", n, err)); len(faults) == maxFaults {
			return nil, errors.Join(faults...)
		}
	}
	if err := lines.Err(); err != nil {
		faults = append(faults, fmt.Errorf("line %d: %w", n+1, err))
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return sums, nil
}

func add(sums map[string]Sum, name string, sum Sum) error {
	old, ok := sums[name]
	switch {
	case !ok, digest.Strength(sum.Algorithm) > digest.Strength(old.Algorithm):
		sums[name] = sum
	case sum.Algorithm == old.Algorithm && sum.Digest != old.Digest:
		return fmt.Errorf("a second %s of %s, which differs", sum.Algorithm, quote(name))
	}
	return nil
}

var errUnreadable = errors.New("no checksum that can be read")

// parse reads one line in any of the formats.
func parse(line string) (name string, sum Sum, err error) {
	escaped := strings.HasPrefix(line, `\`) // GNU tools: the name has \n, \r and \\ in it
	text := strings.TrimPrefix(line, `\`)
	name, sum, ok := tagged(text)
	if !ok {
		if name, sum, ok = untagged(text); !ok && !escaped {
			name, sum, ok = sfv(text)
		}
	}
	if !ok {
		return "", Sum{}, fmt.Errorf("%w: %s", errUnreadable, quote(line))
	}
	if escaped {
		if name, ok = unescape(name); !ok {
			return "", Sum{}, fmt.Errorf("%w: wrong escape in the name: %s", errUnreadable, quote(line))
		}
	}
	for strings.HasPrefix(name, "./") {
		name = strings.TrimLeft(name[2:], "/")
	}
	if name == "" || strings.ContainsRune(name, 0) {
		return "", Sum{}, fmt.Errorf("%w: no name: %s", errUnreadable, quote(line))
	}
	return name, sum, nil
}

// tagged reads "SHA256 (name) = 9f86…", as BSD's tools, sha256sum --tag and, with fewer blanks, OpenSSL write it.
func tagged(line string) (name string, sum Sum, ok bool) {
	tag, rest, ok := strings.Cut(line, "(")
	if !ok {
		return "", Sum{}, false
	}
	a, ok := digest.ByName(strings.TrimSuffix(tag, " "))
	end := strings.LastIndex(rest, ")")
	if !ok || end < 0 {
		return "", Sum{}, false
	}
	value, ok := strings.CutPrefix(strings.TrimPrefix(rest[end+1:], " "), "=")
	if value, hexed := digits(strings.TrimPrefix(value, " ")); ok && hexed && len(value) == a.HexLen() {
		return rest[:end], Sum{a.Name, value}, true
	}
	return "", Sum{}, false
}

// untagged reads "9f86…  name" and "9f86… *name", as sha256sum and md5sum write it, and "9f86… name" of md5 -r. The length
// of the digest tells the algorithm.
func untagged(line string) (name string, sum Sum, ok bool) {
	value, name, ok := strings.Cut(line, " ")
	value, hexed := digits(value)
	if !ok || !hexed || name == "" {
		return "", Sum{}, false
	}
	if name[0] == ' ' || name[0] == '*' { // read as text or as bytes, which is the same here
		name = name[1:]
	}
	for _, a := range digest.All {
		if len(value) == a.HexLen() && a.Name != digest.CRC32.Name { // which comes last: see sfv
			return name, Sum{a.Name, value}, true
		}
	}
	return "", Sum{}, false
}

// sfv reads "name 1a2b3c4d".
func sfv(line string) (name string, sum Sum, ok bool) {
	line = strings.TrimRight(line, " \t")
	at := strings.LastIndexAny(line, " \t")
	if at < 0 {
		return "", Sum{}, false
	}
	name = strings.TrimRight(line[:at], " \t")
	value, ok := digits(line[at+1:])
	if !ok || name == "" || len(value) != digest.CRC32.HexLen() {
		return "", Sum{}, false
	}
	return name, Sum{digest.CRC32.Name, value}, true
}

// digits tells hex digits, and makes them small.
func digits(s string) (string, bool) {
	s = strings.ToLower(s)
	_, err := hex.DecodeString(s)
	return s, err == nil && s != ""
}

func unescape(s string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		if i++; i == len(s) {
			return "", false
		}
		switch s[i] {
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case '\\':
			b.WriteByte('\\')
		default:
			return "", false
		}
	}
	return b.String(), true
}

// quote makes a piece of a line safe to print.
func quote(s string) string {
	const most = 120
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strconv.Quote(s)
}
