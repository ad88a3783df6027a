package session

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/corexalgo/ftpclient/internal/digest"
	"github.com/corexalgo/ftpclient/internal/reply"
)

// A hashAnswer is what the reply to a hash command has to be about.
type hashAnswer struct {
	verb      string
	algorithm digest.Algorithm
	arg       string // the absolute name
	part      part
	named     bool // the server may have taken it for another name: the reply must repeat it
}

// read finds the digest, or says why there is none.
func (h hashAnswer) read(r reply.Reply) (string, error) {
	for i := len(r.Lines) - 1; i >= 0; i-- { // what comes before it is "Computing SHA-1 digest", many times for a large file
		line := strings.TrimPrefix(r.Lines[i], strconv.Itoa(r.Code)+"-")
		read := h.alone
		if h.verb == "HASH" {
			read = h.described
		}
		if sum, err := read(strings.TrimSpace(line)); sum != "" || err != nil {
			return sum, err
		}
	}
	return "", errors.New("no digest in the reply")
}

// described reads HASH's "SHA-256 0-49 1a2b… name", where nothing has to be taken on trust.
func (h hashAnswer) described(line string) (string, error) {
	algorithm, rest, _ := strings.Cut(line, " ")
	span, rest, _ := strings.Cut(strings.TrimLeft(rest, " "), " ")
	value, name, _ := strings.Cut(strings.TrimLeft(rest, " "), " ")
	a, ok := digest.ByName(algorithm)
	if !ok || !strings.Contains(span, "-") || value == "" {
		return "", nil
	}
	sum := h.digits(value)
	switch {
	case a.Name != h.algorithm.Name || sum == "":
		return "", errors.New("of another algorithm")
	case !h.covers(span):
		return "", errors.New("of another part of the file")
	case !h.names(name):
		return "", errors.New("of another file")
	}
	return sum, nil
}

// covers tells whether a range such as 0-49 is the one that was asked for. Servers disagree whether the last byte is that
// before its end.
func (h hashAnswer) covers(span string) bool {
	n := h.part.bytes
	return span == fmt.Sprintf("0-%d", n) || (n > 0 && span == fmt.Sprintf("0-%d", n-1)) || (n < 0 && strings.HasPrefix(span, "0-"))
}

// names tells whether the server means the file that was asked for: it may leave out folders, and quote.
func (h hashAnswer) names(name string) bool {
	if name == "" { // is no harm where nothing can be misunderstood
		return !strings.ContainsAny(h.arg, ` "`)
	}
	for _, name := range []string{name, unquote(name)} {
		name = strings.TrimPrefix(name, "./")
		if name != "" && (name == h.arg || strings.HasSuffix(h.arg, "/"+name)) {
			return true
		}
	}
	return false
}

func unquote(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	return strings.ReplaceAll(s[1:len(s)-1], `""`, `"`)
}

// alone reads the digest that other commands give, in a line of its own or beside the name, which may look like one. Two that
// differ are none.
func (h hashAnswer) alone(line string) (string, error) {
	whole := line
	for _, name := range []string{h.arg, path.Base(h.arg)} {
		for _, name := range []string{name, `"` + name + `"`} {
			line = strings.TrimPrefix(strings.TrimSuffix(line, " "+name), name+" ")
		}
	}
	if h.named && line == whole {
		return "", nil
	}
	sum := ""
	fields := strings.Fields(line)
	for _, field := range fields {
		field = strings.Trim(field, `"'`)
		if len(fields) == 1 && h.algorithm.Name == digest.CRC32.Name { // leading zeros may be left out
			field = strings.TrimPrefix(strings.ToLower(field), "0x")
			field = strings.Repeat("0", max(0, h.algorithm.HexLen()-len(field))) + field
		}
		found := h.digits(field)
		if found != "" && sum != "" && found != sum {
			return "", errors.New("more than one digest in the reply")
		}
		if found != "" {
			sum = found
		}
	}
	return sum, nil
}

// digits is s in small letters if it can be the digest, else "".
func (h hashAnswer) digits(s string) string {
	s = strings.ToLower(s)
	if h.algorithm.Name == digest.CRC32.Name {
		s = strings.TrimPrefix(s, "0x")
	}
	if len(s) != h.algorithm.HexLen() || strings.Trim(s, "0123456789abcdef") != "" {
		return ""
	}
	return s
}
