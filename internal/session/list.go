package session

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"sync"

	"github.com/corexalgo/ftpclient/internal/listing"
	"github.com/corexalgo/ftpclient/internal/reply"
	"github.com/corexalgo/ftpclient/internal/safepath"
	"github.com/corexalgo/ftpclient/internal/wire"
)

const (
	defaultMaxEntries = 10_000_000
	maxRow            = 64 << 10
)

// ErrTooManyEntries is the error of a directory that does not end.
var ErrTooManyEntries = errors.New("directory has too many entries")

// ErrNotDir is the error of listing something that is not a directory, or not for this user, or not there.
var ErrNotDir = errors.New("not a directory that may be entered")

// errUnopened is the cause of a listing that says so, of what may be a directory or not.
var errUnopened = fmt.Errorf("cannot be read: %w", fs.ErrPermission)

// errStopped ends a listing whose reader wants no more.
var errStopped = errors.New("listing stopped")

// A list is one listing under way.
type list struct {
	s      *Session
	dir    string
	format listing.Format
	yield  func(listing.Entry, error) bool
	hidden bool // by "-a"
	lines  int  // of any kind
	rows   int
	held   *listing.Entry // a first row that may be the file itself and not an entry of a directory
	err    error          // why the rest was not read
}

// List reads the directory dir ("" is the login directory) row by row. Entries have safe one-component names; a row that
// cannot be read, or names something unsafe, is yielded as an error, and the listing goes on. yield returns false to stop.
func (s *Session) List(ctx context.Context, dir string, yield func(listing.Entry, error) bool) error {
	return s.do(ctx, func() error {
		err := s.list(dir, yield)
		var refused *reply.Error
		if errors.As(err, &refused) && refused.Command == "MLSD" && (refused.Code == 500 || refused.Code == 502 || refused.Code == 504) {
			s.cfg.Quirks.NoMLST.Store(true) // FEAT lied
			return s.list(dir, yield)
		}
		return err
	})
}

func (s *Session) usesMLSD() bool {
	return s.features.Has("MLST") && !s.cfg.DisableMLSD && !s.cfg.ListHidden && !s.cfg.Quirks.NoMLST.Load()
}

// special are the characters that shells and globs read as more than part of a name.
const special = " *?[]{}\\'\"`$"

func (s *Session) list(dir string, yield func(listing.Entry, error) bool) error {
	l := &list{s: s, dir: dir, format: listing.LIST, hidden: s.cfg.ListHidden, yield: yield}
	if s.usesMLSD() {
		l.format = listing.MLSD
		return l.run(dir)
	}
	arg, err := s.encode(dir)
	if err != nil {
		return err
	}
	// Servers read "-x" as options and "*" as a glob in LIST's argument: such a name is safe only as the current directory.
	// What counts is what they see: in Shift JIS and its like a letter's second byte may be one of these.
	if strings.ContainsAny(arg, special) || strings.HasPrefix(dir, "-") || strings.HasPrefix(dir, "~") {
		l.dir = "" // CWD proves that it is a directory: no row can be the file itself
		return s.inside(dir, l.here)
	}
	if dir == "" {
		return l.here()
	}
	err = l.run(dir)
	unopened := errors.Is(err, errUnopened)
	if (err != nil && !unopened) || (err == nil && !l.doubtful()) {
		return err
	}
	entered := false
	inner := s.inside(dir, func() error {
		if entered = true; unopened || (l.held == nil && !l.blank()) {
			return err
		}
		// ls -l, which BSD's ftpd is, shows a link itself, and vsftpd a directory that it cannot read as one in the directory above.
		l.held, l.lines, l.rows, l.dir = nil, 0, 0, ""
		return l.here()
	})
	if inner != nil && !entered && s.ctl.Settled() {
		return fmt.Errorf("%w: %w", ErrNotDir, inner)
	}
	return inner
}

// doubtful tells a listing read to its end that may be of something other than the directory: vsftpd answers an absent one with
// an empty listing, and servers list a file as its own only row.
func (l *list) doubtful() bool { return l.err == nil && (l.rows == 0 || l.held != nil) }

// blank tells a listing by "-a" without a line. One of a directory shows that itself, as "."; a server that takes "-a" for a name
// finds nothing.
func (l *list) blank() bool { return l.hidden && l.lines == 0 }

var errHiding = errors.New("the server shows nothing by LIST -a: names that begin with a dot may be missing")

// here lists the current directory. What only a listing without "-a" shows may not be all.
func (l *list) here() error {
	err := l.run("")
	if err != nil || !l.blank() {
		return err
	}
	l.hidden = false
	if err = l.run(""); err == nil && l.err == nil && l.rows > 0 {
		l.yield(listing.Entry{}, errHiding)
	}
	return err
}

// inside runs f with dir as the current directory, and comes back.
func (s *Session) inside(dir string, f func() error) error {
	if err := s.findHome(); err != nil {
		return err
	}
	if _, err := s.command("CWD", dir); err != nil {
		return err
	}
	err := f()
	if s.broken || !s.ctl.Settled() {
		return err
	}
	if _, herr := s.raw("CWD " + s.home); herr != nil {
		s.discard(herr)
		if err == nil {
			return herr
		}
	}
	return err
}

// findHome asks once for the login directory, in which a session always is between operations.
func (s *Session) findHome() error {
	if s.home != "" {
		return nil
	}
	r, err := s.raw("PWD")
	if err != nil {
		return err
	}
	s.home, err = reply.Path(r) // as the server writes it: in its own charset
	return err
}

// homeQuestion is findHome in a group of STAT, which a server that does not tell is not asked for again.
func (s *Session) homeQuestion() question {
	return question{[]string{"PWD"}, func(_ *kept, r []reply.Reply) {
		home, err := reply.Path(r[0])
		if s.home = home; err != nil && r[0].Code/100 != 4 && !s.ctl.LoggedOut() {
			s.proof().off.Store(true)
		}
	}}
}

func (l *list) run(dir string) error {
	s := l.s
	arg, err := s.encode(dir)
	if err != nil {
		return err
	}
	s.listing = "LIST"
	switch {
	case l.format == listing.MLSD:
		s.listing = "MLSD"
	case l.hidden:
		s.listing = "LIST -a"
	}
	if arg != "" {
		s.listing += " " + arg
	}
	s.data, s.consume = nil, l.read
	_, err = s.ftp.List("") // intercept puts s.listing in its place
	s.consume = nil
	switch {
	case l.err == nil:
		err = s.outcome(err)
	case s.ctx.Err() != nil || !s.ctl.Settled():
		s.broken = true
		err = l.err
	default:
		s.settle()
		err = inStep(l.err)
	}
	if errors.Is(l.err, errStopped) {
		return nil
	}
	if err == nil && s.data.Unauthenticated() {
		// Nothing but this end tells that a listing is whole, and a short one would look like deleted files.
		return inStep(fmt.Errorf("listing: %w: %w", wire.ErrNoCloseNotify, io.ErrUnexpectedEOF))
	}
	if err == nil {
		err = l.confess()
	}
	return err
}

// confess looks for what a final reply, which says that all is well, admits in its text.
func (l *list) confess() error {
	verb, r := l.s.ctl.Last()
	switch text := strings.ToLower(r.Text()); {
	case strings.Contains(text, "failed to open directory"), // vsftpd: 226 Transfer done (but failed to open directory).
		strings.Contains(text, "unable to read ["): // Pure-FTPd: 226-Sorry, we were unable to read [d]
		return &reply.Error{Command: verb, Code: r.Code, Text: r.Text(), Cause: errUnopened}
	case strings.Contains(text, "output truncated"): // Pure-FTPd: 226 Output truncated to 10000 matches
		l.yield(listing.Entry{}, fmt.Errorf("the server leaves out the rest of the directory: %s", reply.Quote(r.Text())))
	}
	return nil
}

// rowReaders are as long as a row may be, which for most directories is longer than all rows together.
var rowReaders = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, maxRow) }}

// read takes the rows of the whole listing. Its own errors are kept apart from those of the connection.
func (l *list) read(r io.Reader) error {
	parser := listing.NewParser(l.format, listing.Options{Zone: l.s.cfg.Zone, Decode: l.decoder()})
	most := l.s.cfg.MaxEntries
	if most == 0 {
		most = defaultMaxEntries
	}
	br := rowReaders.Get().(*bufio.Reader) //nolint:forcetypeassert // the pool holds nothing else
	br.Reset(r)
	defer func() {
		br.Reset(nil)
		rowReaders.Put(br)
	}()
	for n := 1; ; n++ {
		row, err := br.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			l.err = fmt.Errorf("a listing row of more than %d bytes", maxRow)
		case err != nil && !errors.Is(err, io.EOF):
			return err
		case n > most && len(row) > 0:
			l.err = fmt.Errorf("%w: more than %d", ErrTooManyEntries, most)
		case !l.row(parser, bytes.TrimRight(row, "\r\n")):
			l.err = errStopped
		}
		if l.err != nil {
			return l.err
		}
		if err != nil {
			break
		}
	}
	if err := parser.End(); err != nil && !l.yield(listing.Entry{}, err) {
		l.err = errStopped
	}
	return l.err
}

func (l *list) decoder() func([]byte) (string, error) {
	if l.s.cfg.Encoding == nil {
		return nil
	}
	return l.s.decode
}

func (l *list) row(parser *listing.Parser, row []byte) bool {
	if len(row) > 0 {
		l.lines++
	}
	e, ok, err := parser.Row(row)
	if err == nil && !ok {
		return true
	}
	l.rows++
	if err == nil && l.rows == 1 && l.format == listing.LIST && l.isItself(e) {
		l.held = &e
		return true
	}
	switch {
	case !l.release():
		return false
	case err != nil:
		return l.yield(e, err)
	}
	return l.one(e)
}

// release yields the row that was held back.
func (l *list) release() bool {
	e := l.held
	l.held = nil
	return e == nil || l.one(*e)
}

// one yields an entry if its name is one.
func (l *list) one(e listing.Entry) bool {
	err := safepath.CheckListed(e.Name)
	if err != nil {
		err = fmt.Errorf("row %s: %w", reply.Quote(e.Name), err)
	}
	return l.yield(e, err)
}

// isItself tells a row that may be what a server answers to LIST of a file.
func (l *list) isItself(e listing.Entry) bool {
	name := path.Base(e.Name)
	return l.dir != "" && name == path.Base(l.dir) && safepath.CheckListed(name) == nil
}
