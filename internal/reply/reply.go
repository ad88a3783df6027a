// Package reply reads the server's side of an FTP control connection: one complete,
// bounded, checked reply at a time (RFC 959 section 4.2), and what such a reply means.
package reply

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of what a server may send; jlaffaye/ftp alone would take a greeting of 256 MiB.
const (
	MaxLine  = 8 << 10
	MaxReply = 64 << 10
)

// ErrMalformed is what every reply that breaks RFC 959's form is; the connection it came from is out of step.
var ErrMalformed = errors.New("malformed reply")

// A Reply is one complete answer of the server.
type Reply struct {
	Code  int
	Lines []string // texts without code and line ending, at least one; inner lines are as they came
}

// Text is the whole text, its lines joined by "\n".
func (r Reply) Text() string { return strings.Join(r.Lines, "\n") }

// Preliminary tells a 1xx reply, after which another one follows.
func (r Reply) Preliminary() bool { return r.Code/100 == 1 }

// Done tells a 2xx reply: what was asked has been done. A 3xx is no such thing, it waits for more.
func (r Reply) Done() bool { return r.Code/100 == 2 }

// Bytes is the reply in the one form that every parser reads: "code-" before the first line, "code " before the last, and
// the inner lines as they came, except that none can be taken for the last one, though Code was changed.
func (r Reply) Bytes() []byte {
	var b bytes.Buffer
	last := len(r.Lines) - 1
	for i, line := range r.Lines {
		switch i {
		case last:
			fmt.Fprintf(&b, "%03d %s\r\n", r.Code, line)
		case 0:
			fmt.Fprintf(&b, "%03d-%s\r\n", r.Code, line)
		default:
			if code, sep, _ := split(line); code == r.Code && sep != '-' {
				b.WriteByte(' ')
			}
			b.WriteString(line + "\r\n")
		}
	}
	return b.Bytes()
}

// A Reader reads replies from the control connection. It keeps what it has of an unfinished reply across a time-out.
type Reader struct {
	br    *bufio.Reader
	line  []byte
	reply Reply
	size  int
	row   func(line string) error // takes the inner lines of a listing; nil: they are part of the reply
}

// NewReader reads from br, which nothing else may read from.
func NewReader(br *bufio.Reader) *Reader { return &Reader{br: br} }

// Buffered is the number of bytes received beyond the last complete reply.
func (r *Reader) Buffered() int { return r.br.Buffered() + len(r.line) + r.size }

// Peek waits for the next byte without taking it.
func (r *Reader) Peek() (byte, error) {
	b, err := r.br.Peek(1)
	if err != nil {
		return 0, err
	}
	return b[0], nil
}

// Read blocks for one complete reply. After an error that wraps ErrMalformed the connection must not be used again.
func (r *Reader) Read() (Reply, error) {
	for {
		line, err := r.readLine()
		if err != nil {
			return Reply{}, err
		}
		done, err := r.add(line)
		if err != nil {
			return Reply{}, err
		}
		if done {
			rep := r.reply
			r.reply, r.size = Reply{}, 0
			return rep, nil
		}
	}
}

// ReadRows is Read for the reply to STAT of a directory, whose inner lines are the rows of a listing (RFC 959 section 4.2:
// 211, 212 and 213): each goes to row as it comes, and none is kept or counted against MaxReply. An error of row ends the
// reading in the middle of the reply.
func (r *Reader) ReadRows(row func(line string) error) (Reply, error) {
	r.row = row
	defer func() { r.row = nil }()
	return r.Read()
}

func (r *Reader) readLine() (string, error) {
	for {
		part, err := r.br.ReadSlice('\n')
		r.line = append(r.line, part...)
		if len(r.line) > MaxLine {
			return "", fmt.Errorf("%w: a line of more than %d bytes", ErrMalformed, MaxLine)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			return "", err
		}
		line := strings.TrimRight(string(r.line), "\r\n")
		r.line = r.line[:0]
		return line, nil
	}
}

func (r *Reader) add(line string) (done bool, err error) {
	if c := r.reply.Code; r.row != nil && c > 210 && c < 214 {
		if code, sep, _ := split(line); code != c || sep == '-' {
			return false, r.row(line)
		}
	}
	if r.size += len(line) + 1; r.size > MaxReply {
		return false, fmt.Errorf("%w: more than %d bytes", ErrMalformed, MaxReply)
	}
	code, sep, text := split(line)
	if len(r.reply.Lines) == 0 {
		if code == 0 {
			return false, fmt.Errorf("%w: %s", ErrMalformed, Quote(line))
		}
		r.reply = Reply{Code: code, Lines: []string{text}}
		return sep != '-', nil
	}
	if code == r.reply.Code && sep != '-' {
		r.reply.Lines = append(r.reply.Lines, text)
		return true, nil
	}
	r.reply.Lines = append(r.reply.Lines, line)
	return false, nil
}

// split takes a line's code apart; code 0 means that it has none. A bare "226" counts as "226 ".
func split(line string) (code int, sep byte, text string) {
	if len(line) < 3 || (len(line) > 3 && line[3] != ' ' && line[3] != '-') {
		return 0, 0, ""
	}
	for i := range 3 {
		if line[i] < '0' || line[i] > '9' {
			return 0, 0, ""
		}
	}
	if line[0] < '1' || line[0] > '6' {
		return 0, 0, ""
	}
	code, _ = strconv.Atoi(line[:3])
	if len(line) == 3 {
		return code, ' ', ""
	}
	return code, line[3], line[4:]
}

// maxQuoted bounds what of a server's text reaches an error or a log.
const maxQuoted = 512

// Quote makes a server's text safe to print: control and invalid bytes escaped, the whole capped.
func Quote(s string) string {
	cut := ""
	if len(s) > maxQuoted {
		s, cut = s[:maxQuoted], "…"
	}
	q := strconv.Quote(s)
	return q[:len(q)-1] + cut + `"`
}

// Printable is Quote without the quotation marks.
func Printable(s string) string {
	q := Quote(s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}

// Visible is s with control and invalid bytes escaped, and all else as it is: for text that holds such escapes already.
func Visible(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if strconv.IsPrint(r) && (r != utf8.RuneError || n > 1) {
			b.WriteString(s[:n])
		} else {
			q := strconv.Quote(s[:n])
			b.WriteString(q[1 : len(q)-1])
		}
		s = s[n:]
	}
	return b.String()
}
