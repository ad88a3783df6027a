package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path"
	"slices"
	"strings"

	"github.com/corexalgo/ftpclient/internal/listing"
	"github.com/corexalgo/ftpclient/internal/reply"
	"github.com/corexalgo/ftpclient/internal/safepath"
)

// Bounds of what is asked for by STAT in one write. The server may stop reading while nobody reads its replies, and the
// commands have to fit into the sockets' buffers then.
const (
	MaxStats    = 64
	maxStatArgs = 4 << 10
)

// A Stated is a directory as the reply to STAT showed it.
type Stated struct {
	entries []listing.Entry
	whole   bool // it is a directory, and all of its rows were read
	here    bool // it may be the current one, which a server that ignores the argument shows, too
	faulty  bool // rows that nobody can read: a data listing tells of them
}

// Len is how many entries are shown, of a directory of which all are; 0 for nil.
func (st *Stated) Len() int {
	if st == nil {
		return 0
	}
	return len(st.entries)
}

// Files is how many files are shown that any listing shows.
func (st *Stated) Files() (n int) {
	if st == nil {
		return 0
	}
	for _, e := range st.entries {
		if e.Mode.IsRegular() && !strings.HasPrefix(e.Name, ".") {
			n++
		}
	}
	return n
}

// Statable reports whether a directory's name is safe as an argument of STAT, where servers read options and globs.
func Statable(dir string) bool {
	return !strings.ContainsAny(dir, special) && !strings.HasPrefix(dir, "-") && !strings.HasPrefix(dir, "~") &&
		safepath.CheckArgument(dir) == nil
}

// proof is what is known of STAT beside the data listing of the same server.
func (s *Session) proof() *statProof {
	if s.usesMLSD() {
		return &s.cfg.Quirks.statFacts
	}
	return &s.cfg.Quirks.statList
}

// Stats reports whether the server may be asked for listings by STAT. Their times are those of LIST: unless coarse ones
// will do, not in place of MLSD.
func (s *Session) Stats(coarse bool) bool {
	return (coarse || !s.usesMLSD()) && !s.cfg.Quirks.OneByOne.Load() && !s.proof().off.Load()
}

// Proven tells whether a data listing has shown that STAT shows files as it does.
func (s *Session) Proven() bool {
	p := s.proof()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.proved&regular != 0
}

// StatDirs reads directories over the control connection, as many of the first as one write may ask for, in one round trip.
// It returns one Stated for each, nil for one that cannot be asked for. An error says that the connection is of no use any
// more; then nothing was read. Unless STAT is Proven a data listing is expected to follow, and its connection opened.
//
// A file's name with line ends in it could end a reply and begin another. So NOOP closes the group, which counts as a whole
// or not at all: exactly its replies in order, and no byte more.
func (s *Session) StatDirs(ctx context.Context, dirs []string) ([]*Stated, error) {
	lines, asked := s.statLines(dirs)
	all := make([]*Stated, len(asked))
	if len(lines) == 0 {
		return all, nil
	}
	var data Ahead
	if !s.Proven() {
		data = Ahead{Data: true, Dial: true}
	}
	err := s.do(ctx, func() error {
		questions := s.questions(data)
		if s.home == "" && slices.ContainsFunc(dirs, path.IsAbs) {
			questions = append(questions, s.homeQuestion())
		}
		if err := s.ctl.Send(slices.Concat(lines, []string{"NOOP"}, linesOf(questions))...); err != nil {
			return err
		}
		for i := range asked {
			if !asked[i] {
				continue
			}
			st, err := s.stated()
			if err != nil {
				return s.statFailed(err)
			}
			if len(st.entries) < many {
				all[i] = st
			}
		}
		end, err := s.ctl.Reply()
		switch {
		case err != nil:
			return s.statFailed(err)
		case s.ctl.Err() != nil:
			return s.ctl.Err()
		case end.Code != 200 || len(end.Lines) > 1:
			return s.statFailed(errOtherReplies)
		}
		replies, err := s.answers(linesOf(questions))
		if err == nil && !s.ctl.Quiet() {
			err = errOtherReplies
		}
		if err != nil {
			return s.statFailed(err)
		}
		s.keep(questions, replies)
		for i, st := range all {
			if st != nil {
				st.here = s.mayBeHere(dirs[i])
			}
		}
		s.proof().lost.Store(0)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

var errOtherReplies = fmt.Errorf("%w: a group of STAT has other replies", reply.ErrMalformed)

// mayBeHere tells a directory that may be the current one, the login directory, by its name.
func (s *Session) mayBeHere(dir string) bool {
	dir = path.Clean(dir)
	if !path.IsAbs(dir) {
		return dir == "." || dir == ".." || strings.HasPrefix(dir, "../")
	}
	arg, err := s.encode(dir)
	return err != nil || s.home == "" || arg == path.Clean(s.home)
}

// answers reads the replies to lines.
func (s *Session) answers(lines []string) (replies []reply.Reply, err error) {
	for range lines {
		r, err := s.answer()
		if err != nil {
			return nil, err
		}
		replies = append(replies, r)
	}
	return replies, s.inPlace(lines, replies)
}

// statLines are the commands of one write, and which of the first directories they ask for.
func (s *Session) statLines(dirs []string) (lines []string, asked []bool) {
	size := 0
	for _, dir := range dirs {
		line, ok := s.statLine(dir)
		if size += len(line) + 2; len(lines) == MaxStats || (size > maxStatArgs && len(lines) > 0) {
			break
		}
		if asked = append(asked, ok); ok {
			lines = append(lines, line)
		}
	}
	return lines, asked
}

// statLine asks with "-a": the row of "." in the answer proves that the argument was understood and is a directory that
// could be read, while files, and on vsftpd and Pure-FTPd what does not exist, have none.
func (s *Session) statLine(dir string) (string, bool) {
	if dir = path.Clean(dir); !Statable(dir) {
		return "", false
	}
	arg, err := s.encode(dir)
	if err != nil || strings.ContainsAny(arg, special) || len(arg) > maxStatArgs {
		return "", false
	}
	return "STAT -a " + arg, true
}

// statFailed gives STAT up where the server or a name confuses it. A connection that merely ended may have ended anyway.
func (s *Session) statFailed(err error) error {
	var closed *net.OpError
	lost := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || (errors.As(err, &closed) && !isTimeout(err))
	if p := s.proof(); s.suspicious(err) && (!lost || p.lost.Add(1) > 1) {
		p.off.Store(true)
	}
	return err
}

// stated reads the reply to one STAT.
func (s *Session) stated() (*Stated, error) {
	st := &Stated{}
	l := list{s: s}
	parser := listing.NewParser(listing.LIST, listing.Options{Zone: s.cfg.Zone, Decode: l.decoder()})
	most := s.cfg.MaxEntries
	if most == 0 {
		most = defaultMaxEntries
	}
	rows, self := 0, false
	r, err := s.ctl.ReplyRows(func(line string) error {
		if rows++; rows > most {
			return fmt.Errorf("%w: more than %d", ErrTooManyEntries, most)
		}
		line = withoutCode(line)
		e, ok, err := parser.Row([]byte(line))
		switch {
		case err != nil || (ok && safepath.CheckListed(e.Name) != nil):
			st.faulty = true
		case ok && len(st.entries) < many:
			st.entries = append(st.entries, e)
		case ok: // nobody will look at them
		case strings.HasSuffix(line, " ."):
			self = true
		}
		return nil
	})
	if err == nil {
		err = s.ctl.Err() // 421
	}
	if err != nil {
		return nil, err
	}
	if r.Code == 500 || r.Code == 502 || r.Preliminary() {
		s.proof().off.Store(true)
	}
	st.faulty = st.faulty || parser.End() != nil
	st.whole = self && !st.faulty && r.Code > 210 && r.Code < 214
	if !st.whole {
		st.entries = nil
	}
	return st, nil
}

// withoutCode takes off the "213-" that some servers write before inner lines too.
func withoutCode(line string) string {
	if len(line) > 4 && line[0] == '2' && line[1] == '1' && line[3] == '-' {
		return line[4:]
	}
	return line
}
