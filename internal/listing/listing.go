// Package listing turns the rows of a directory listing into entries: the facts of MLSD and MLST (RFC 3659 section 7)
// and the dialects of LIST, for which no standard exists. No row is dropped silently: each is an entry, known noise,
// or a *RowError.
package listing

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/corexalgo/ftpclient/internal/reply"
)

// A Format is the command whose answer is read.
type Format int

// The formats.
const (
	MLSD Format = iota // RFC 3659, section 7
	LIST               // RFC 959, section 4.1.3: in whatever form the server likes
)

// An Entry is what one row tells.
type Entry struct {
	Name    string        // decoded, otherwise as it came: not checked for safety
	Size    int64         // -1 unknown, also where a server counts blocks or records
	ModTime time.Time     // UTC; zero unknown
	Precise time.Duration // precision of ModTime: a second or finer, a minute, 24 hours; 0 unknown
	Mode    fs.FileMode   // type bits always, fs.ModeIrregular where the type is not told; permission bits where told
	Target  string        // of a link, where told
	Unique  string        // MLSx fact, "" unknown
	Perm    string        // MLSx fact, "" unknown
}

// Options say how rows are read. The zero value is UTC, the real clock, and UTF-8.
type Options struct {
	Zone   *time.Location                   // of LIST times; nil: UTC
	Now    func() time.Time                 // nil: time.Now
	Decode func(raw []byte) (string, error) // file name charset; nil: must be valid UTF-8
}

// A RowError is a row that could not be read.
type RowError struct {
	Row string // raw, as it came; more than one row of a dialect that continues rows
	Err error  // why
}

func (e *RowError) Error() string {
	return fmt.Sprintf("unreadable row %s: %v", reply.Quote(e.Row), e.Err)
}

// Unwrap returns the reason.
func (e *RowError) Unwrap() error { return e.Err }

var (
	errDialect = errors.New("unknown format")
	errNUL     = errors.New("NUL byte")
	errNoName  = errors.New("no name")
	errUTF8    = errors.New("name is not valid UTF-8")
	errSize    = errors.New("size is not a decimal number")
	errPending = errors.New("a row without its continuation")
)

// A Parser reads the rows of one listing in order. It remembers the dialect that matched the first row, as no server
// changes it half way: what then does not match is an error and no guess. It is not safe for concurrent use.
type Parser struct {
	format  Format
	zone    *time.Location
	decode  func([]byte) (string, error)
	clock   func() time.Time
	now     time.Time // of the first row that had to guess a year
	dialect dialect   // nil until a row matched
	pending []byte    // VMS: a name whose details follow in the next row
	members bool      // MVS: rows are members of a data set
	header  bool      // MVS: a header was seen
	perm    string    // the last perm fact, which is mostly that of the next row too
}

// NewParser makes the Parser of one listing.
func NewParser(f Format, o Options) *Parser {
	p := &Parser{format: f, zone: o.Zone, clock: o.Now, decode: o.Decode}
	if p.zone == nil {
		p.zone = time.UTC
	}
	if p.clock == nil {
		p.clock = time.Now
	}
	if p.decode == nil {
		p.decode = utf8Name
	}
	return p
}

func utf8Name(raw []byte) (string, error) {
	if !utf8.Valid(raw) {
		return "", errUTF8
	}
	return string(raw), nil
}

// Row reads one row, without its line ending, and keeps nothing of line. Without an error and with ok false the row is
// known noise, such as "total 12", the directory itself, or the first half of an entry that the next row completes.
// Every error is a *RowError and concerns that row alone.
func (p *Parser) Row(line []byte) (e Entry, ok bool, err error) {
	v := noise
	switch {
	case bytes.IndexByte(line, 0) >= 0:
		err = errNUL
	case p.format == MLSD:
		e, v, err = p.mlsd(line)
	default:
		e, v, err = p.list(line)
	}
	if err == nil && v == unread {
		err = errDialect
	}
	if err != nil {
		var row *RowError
		if !errors.As(err, &row) {
			row = &RowError{Row: string(line), Err: err}
		}
		return Entry{}, false, row
	}
	if v == noise || e.Name == "." || e.Name == ".." {
		return Entry{}, false, nil
	}
	return e, true, nil
}

// End tells, by a *RowError, of a row that the listing ended in the middle of.
func (p *Parser) End() error {
	if p.pending == nil {
		return nil
	}
	row := string(p.pending)
	p.pending = nil
	return &RowError{Row: row, Err: errPending}
}

// name decodes a file name, and refuses what cannot be one.
func (p *Parser) name(raw []byte) (string, error) {
	if len(raw) == 0 {
		return "", errNoName
	}
	s, err := p.decode(raw)
	switch {
	case err != nil:
		return "", err
	case s == "":
		return "", errNoName
	case strings.IndexByte(s, 0) >= 0:
		return "", errNUL
	}
	return s, nil
}

// word is a word of a row that is no name, such as a month's, from the charset that names are in; b itself if it is none of that.
func (p *Parser) word(b []byte) []byte {
	if s, err := p.decode(b); err == nil {
		return []byte(s)
	}
	return b
}

// A verdict is what a dialect makes of a row.
type verdict int

const (
	unread verdict = iota // not of this dialect
	noise
	entry
)

// A dialect reads a row of LIST. An error means that the row is of this dialect, and still unreadable.
type dialect func(p *Parser, row []byte) (Entry, verdict, error)
