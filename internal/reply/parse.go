package reply

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

func malformed(r Reply) error {
	return fmt.Errorf("%w: %d %s", ErrMalformed, r.Code, Quote(r.Text()))
}

// EPSV reads the port of a 229 reply (RFC 2428 section 3): "(|||6446|)" with any delimiter from 33 to 126.
func EPSV(r Reply) (port uint16, err error) {
	text := r.Text()
	open, end := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	if r.Code != 229 || open < 0 || end < open {
		return 0, malformed(r)
	}
	field := text[open+1 : end]
	if len(field) < 5 {
		return 0, malformed(r)
	}
	d := field[0]
	if d < 33 || d > 126 || (d >= '0' && d <= '9') {
		return 0, malformed(r)
	}
	parts := strings.Split(field, string(d))
	if len(parts) != 5 || parts[0] != "" || parts[4] != "" {
		return 0, malformed(r)
	}
	n, ok := number(parts[3], 65535)
	if !ok || n == 0 {
		return 0, malformed(r)
	}
	return uint16(n), nil
}

// PASV reads host and port of a 227 reply. RFC 1123 section 4.1.2.6 has the reader scan for the first digit, as not all
// servers write parentheses.
func PASV(r Reply) (netip.AddrPort, error) {
	text := r.Text()
	start := strings.IndexAny(text, "0123456789")
	if open := strings.IndexByte(text, '('); open >= 0 {
		start = open + 1
	}
	if r.Code != 227 || start < 0 {
		return netip.AddrPort{}, malformed(r)
	}
	field := text[start:]
	if end := strings.IndexFunc(field, func(c rune) bool { return c != ',' && (c < '0' || c > '9') }); end >= 0 {
		field = field[:end]
	}
	parts := strings.Split(field, ",")
	if len(parts) != 6 {
		return netip.AddrPort{}, malformed(r)
	}
	var b [6]byte
	for i, p := range parts {
		n, ok := number(p, 255)
		if !ok {
			return netip.AddrPort{}, malformed(r)
		}
		b[i] = byte(n)
	}
	port := uint16(b[4])<<8 | uint16(b[5])
	if port == 0 {
		return netip.AddrPort{}, malformed(r)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[:4])), port), nil
}

// Path reads the quoted path of a 257 reply, in which a doubled quotation mark stands for one (RFC 959 appendix II).
func Path(r Reply) (string, error) {
	text := r.Text()
	open := strings.IndexByte(text, '"')
	if r.Code != 257 || open < 0 {
		return "", malformed(r)
	}
	var b strings.Builder
	for i := open + 1; i < len(text); i++ {
		switch {
		case text[i] < 0x20 || text[i] == 0x7f:
			return "", malformed(r)
		case text[i] != '"':
			b.WriteByte(text[i])
		case i+1 < len(text) && text[i+1] == '"':
			b.WriteByte('"')
			i++
		default:
			if b.Len() == 0 {
				return "", malformed(r)
			}
			return b.String(), nil
		}
	}
	return "", malformed(r)
}

// Size reads a 213 reply to SIZE (RFC 3659 section 4).
func Size(r Reply) (int64, error) {
	text := strings.TrimSpace(r.Text())
	n, ok := number(text, 1<<63-1)
	if r.Code != 213 || !ok {
		return 0, malformed(r)
	}
	return n, nil
}

// Time reads a 213 reply to MDTM (RFC 3659 section 3): YYYYMMDDHHMMSS with an optional fraction, in UTC.
func Time(r Reply) (time.Time, error) {
	if r.Code != 213 {
		return time.Time{}, malformed(r)
	}
	t, err := ParseTime(strings.TrimSpace(r.Text()))
	if err != nil {
		return time.Time{}, malformed(r)
	}
	return t, nil
}

// ParseTime reads RFC 3659's time-val. Servers from before 2000 that print the century's number write "19100…" for 2000.
func ParseTime(s string) (time.Time, error) {
	digits, fraction, _ := strings.Cut(s, ".")
	if len(digits) == 15 && strings.HasPrefix(digits, "191") {
		digits = "20" + digits[3:]
	}
	if len(digits) != 14 || (fraction != "" && len(fraction) > 9) {
		return time.Time{}, fmt.Errorf("%w: time %s", ErrMalformed, Quote(s))
	}
	t, err := time.ParseInLocation("20060102150405", digits, time.UTC)
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: time %s", ErrMalformed, Quote(s))
	}
	if fraction != "" {
		n, ok := number(fraction, 1<<62)
		if !ok {
			return time.Time{}, fmt.Errorf("%w: time %s", ErrMalformed, Quote(s))
		}
		for range 9 - len(fraction) {
			n *= 10
		}
		t = t.Add(time.Duration(n))
	}
	return t, nil
}

// number reads decimal digits only: no sign, no blank, no more than most.
func number(s string, most int64) (int64, bool) {
	if s == "" || len(s) > 19 {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n <= most
}
