package listing

import (
	"bytes"
	"errors"
	"io/fs"
	"strings"
	"time"

	"github.com/corexalgo/ftpclient/internal/reply"
)

var errFacts = errors.New("no facts")

// Fact reads the one line of facts in a reply to MLST (RFC 3659 section 7.2), whose blank in front is optional. Name is
// the path as the server gives it.
func Fact(line []byte, o Options) (Entry, error) {
	p := NewParser(MLSD, o)
	row := bytes.TrimLeft(line, " ")
	e, _, err := p.facts(row)
	switch {
	case bytes.IndexByte(line, 0) >= 0:
		err = errNUL
	case err == nil && (len(row) == 0 || bytes.IndexByte(row, '=') < 0):
		err = errFacts
	}
	if err != nil {
		return Entry{}, &RowError{Row: string(line), Err: err}
	}
	return e, nil
}

func (p *Parser) mlsd(row []byte) (Entry, verdict, error) {
	if len(bytes.TrimLeft(row, " ")) == 0 {
		return Entry{}, noise, nil
	}
	e, self, err := p.facts(row)
	if self && err == nil {
		return Entry{}, noise, nil
	}
	return e, entry, err
}

// facts reads `fact=value;fact=value; name`. The name is everything behind the blank that follows the facts, byte for
// byte. self tells the listed directory and its parent.
func (p *Parser) facts(row []byte) (e Entry, self bool, err error) {
	e = Entry{Size: -1, Mode: fs.ModeIrregular}
	var perm fs.FileMode
	for len(row) > 0 && row[0] != ' ' && row[0] != '\t' {
		var key, value []byte
		if key, value, row, err = cutFact(row); err != nil {
			return e, false, err
		}
		switch {
		case fold(key, "type"):
			self, err = p.typeFact(&e, value)
		case fold(key, "os.unix"):
			err = p.unixType(&e, value)
		case fold(key, "size"), fold(key, "sizd"):
			err = sizeFact(&e, value)
		case fold(key, "modify"):
			timeFact(&e, value)
		case fold(key, "unix.mode"):
			perm = octal(value)
		case fold(key, "unique"):
			e.Unique = string(value)
		case fold(key, "perm"):
			e.Perm = p.intern(value)
		}
		if err != nil {
			return e, false, err
		}
	}
	e.Mode |= perm
	if len(row) < 2 {
		return e, false, errNoName
	}
	e.Name, err = p.name(row[1:])
	return e, self, err
}

// cutFact takes one fact off the row. A fact ends at its semicolon, but drafts before RFC 3659 had none behind the last
// one, so a blank ends a fact too; only the target of a link may have blanks, and semicolons, in it.
func cutFact(row []byte) (key, value, rest []byte, err error) {
	eq := bytes.IndexByte(row, '=')
	if eq <= 0 || bytes.ContainsAny(row[:eq], " ;\t") {
		return nil, nil, nil, errFacts
	}
	key, rest = row[:eq], row[eq+1:]
	end := bytes.IndexAny(rest, "; \t")
	if fold(key, "type") || fold(key, "os.unix") {
		if n := targetEnd(rest); n >= 0 {
			end = n
		}
	}
	switch {
	case end < 0:
		return nil, nil, nil, errNoName
	case rest[end] == ';':
		return key, rest[:end], rest[end+1:], nil
	}
	return key, rest[:end], rest[end:], nil
}

// targetEnd finds the semicolon behind a link's target: the first with a blank or another fact behind it.
func targetEnd(value []byte) int {
	i := bytes.IndexByte(value, ':')
	if i < 0 || !bytes.HasSuffix(bytes.ToLower(value[:i]), []byte("slink")) {
		return -1
	}
	for i < len(value) {
		n := bytes.IndexByte(value[i:], ';')
		if n < 0 {
			return -1
		}
		i += n
		rest := value[i+1:]
		if len(rest) > 0 && rest[0] == ' ' {
			return i
		}
		if eq := bytes.IndexByte(rest, '='); eq > 0 && !bytes.ContainsAny(rest[:eq], " ;/") {
			return i
		}
		i++
	}
	return -1
}

func (p *Parser) typeFact(e *Entry, value []byte) (self bool, err error) {
	const unix = "os.unix="
	switch {
	case fold(value, "file"):
		e.Mode = 0
	case fold(value, "dir"):
		e.Mode = fs.ModeDir
	case fold(value, "cdir"), fold(value, "pdir"):
		e.Mode = fs.ModeDir
		return true, nil
	case len(value) > len(unix) && fold(value[:len(unix)], unix):
		return false, p.unixType(e, value[len(unix):])
	}
	return false, nil
}

// unixType reads what servers write behind "OS.unix=" (RFC 3659 section 7.5.1.5 and the registry of such names):
// "slink:" with or without a target, "slink", "symlink", "chr-1/3", "blk-8/0", "pipe", "fifo", "socket".
func (p *Parser) unixType(e *Entry, value []byte) (err error) {
	kind, target, _ := bytes.Cut(value, []byte(":"))
	if i := bytes.IndexByte(kind, '-'); i > 0 {
		kind = kind[:i]
	}
	switch strings.ToLower(string(kind)) {
	case "slink", "symlink", "link":
		e.Mode = fs.ModeSymlink
		if len(target) > 0 {
			e.Target, err = p.name(target)
		}
	case "chr", "cdev":
		e.Mode = fs.ModeDevice | fs.ModeCharDevice
	case "blk", "bdev":
		e.Mode = fs.ModeDevice
	case "pipe", "fifo":
		e.Mode = fs.ModeNamedPipe
	case "sock", "socket":
		e.Mode = fs.ModeSocket
	}
	return err
}

// sizeFact reads decimal digits: "010" is ten. Some servers write -1, or nothing, for what they do not know.
func sizeFact(e *Entry, value []byte) error {
	if len(value) == 0 || string(value) == "-1" {
		return nil
	}
	n, ok := decimal(value)
	if !ok {
		return errSize
	}
	e.Size = n
	return nil
}

// timeFact leaves a time that cannot be read unknown: the entry is there all the same, and MDTM can be asked.
func timeFact(e *Entry, value []byte) {
	t, err := reply.ParseTime(string(value))
	if err != nil || t.IsZero() {
		return
	}
	e.ModTime, e.Precise = t, time.Second
	if i := bytes.IndexByte(value, '.'); i >= 0 {
		for range len(value) - i - 1 {
			e.Precise /= 10
		}
	}
}

// octal reads permission bits, and drops the bits of the type that some servers leave in.
func octal(value []byte) fs.FileMode {
	var n uint32
	for _, c := range value {
		if c < '0' || c > '7' || n > 0o7777777 {
			return 0
		}
		n = n<<3 | uint32(c-'0')
	}
	mode := fs.FileMode(n & 0o777)
	if n&0o4000 != 0 {
		mode |= fs.ModeSetuid
	}
	if n&0o2000 != 0 {
		mode |= fs.ModeSetgid
	}
	if n&0o1000 != 0 {
		mode |= fs.ModeSticky
	}
	return mode
}

// intern spares the string of a fact that is the same in row after row.
func (p *Parser) intern(value []byte) string {
	if string(value) != p.perm {
		p.perm = string(value)
	}
	return p.perm
}

// fold compares ASCII letters of any case with lower, which is in lower case.
func fold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// decimal reads digits only; ok is false for anything else and for what no int64 holds.
func decimal(b []byte) (n int64, ok bool) {
	if len(b) == 0 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' || n > (1<<63-1)/10 {
			return 0, false
		}
		if n = n*10 + int64(c-'0'); n < 0 {
			return 0, false
		}
	}
	return n, true
}
