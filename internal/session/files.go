package session

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/corexalgo/ftpclient/internal/listing"
	"github.com/corexalgo/ftpclient/internal/reply"
)

// A Look is what SIZE and MDTM say of a file.
type Look struct {
	Size    int64     // -1 unknown
	ModTime time.Time // zero unknown
	SizeErr error     // the server's refusal of SIZE, or that nobody can read its answer
	TimeErr error     // the server's refusal of MDTM, or that nobody can read its answer
}

// Look asks for size and modification time in one round trip. Its error is one of the connection; refusals are in the Look.
func (s *Session) Look(ctx context.Context, path string) (Look, error) {
	return s.LookAhead(ctx, path, Ahead{})
}

// Looks is Look of several files, many in one round trip. Of a name that cannot be sent the Look says so.
func (s *Session) Looks(ctx context.Context, paths ...string) (looks []Look, err error) {
	looks = make([]Look, len(paths))
	err = s.do(ctx, func() error {
		var lines []string
		var asked []*Look
		for i, path := range paths {
			asks, err := s.lookLines(path)
			if err != nil {
				looks[i] = Look{Size: -1, SizeErr: err, TimeErr: err}
				continue
			}
			lines, asked = append(lines, asks...), append(asked, &looks[i])
		}
		var replies []reply.Reply
		if err := s.each(lines, func(r reply.Reply) { replies = append(replies, r) }); err != nil {
			return err
		}
		for i, look := range asked {
			if *look, err = readLook(replies[2*i], replies[2*i+1]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return looks, nil
}

func (s *Session) lookLines(path string) ([]string, error) {
	size, err := s.line("SIZE", path)
	if err != nil {
		return nil, err
	}
	mdtm, err := s.line("MDTM", path)
	return []string{size, mdtm}, err
}

// readLook reads the replies to SIZE and MDTM.
func readLook(size, mdtm reply.Reply) (look Look, err error) {
	look.Size = -1
	switch n, err := reply.Size(size); {
	case err == nil:
		look.Size = n
	case size.Code == 213: // "-1", say, of a server that cannot count so far
		look.SizeErr = err
	case size.Done():
		return look, err
	default:
		look.SizeErr = reply.Err("SIZE", size)
	}
	if mdtm.Done() {
		look.ModTime, look.TimeErr = reply.Time(mdtm)
	} else {
		look.TimeErr = reply.Err("MDTM", mdtm)
	}
	return look, nil
}

// Bounds of a group of commands with short replies: no server stops reading because nobody reads what it answers.
const (
	together   = 64
	groupBytes = 4 << 10
)

// groups cuts lines into what travels in one write each.
func groups(lines []string) iter.Seq[[]string] {
	return func(yield func([]string) bool) {
		start, size := 0, 0
		for i, line := range lines {
			if size += len(line) + 2; i > start && (size > groupBytes || i-start == together) {
				if !yield(lines[start:i]) {
					return
				}
				start, size = i, len(line)+2
			}
		}
		if start < len(lines) {
			yield(lines[start:])
		}
	}
}

// Times asks for modification times (MDTM), many in one round trip. A time that the server does not tell is zero.
func (s *Session) Times(ctx context.Context, paths []string) (times []time.Time, err error) {
	err = s.do(ctx, func() error {
		lines := make([]string, len(paths))
		for i, path := range paths {
			if lines[i], err = s.line("MDTM", path); err != nil {
				return err
			}
		}
		return s.each(lines, func(r reply.Reply) {
			var at time.Time
			if r.Done() {
				at, _ = reply.Time(r) // zero where nobody can read it
			}
			times = append(times, at)
		})
	})
	return times, err
}

// A Removal is a name that is to be removed: by RMD as an empty directory, by DELE otherwise.
type Removal struct {
	Name string
	Dir  bool
}

// RemoveEach removes names, many in one round trip. It tells which of the first names are removed, as many as were answered for: fewer
// than all only with an error, which is one of the connection. Where a group's replies may be those to other names, it tells nothing
// of them.
func (s *Session) RemoveEach(ctx context.Context, names []Removal) (removed []bool, err error) {
	err = s.do(ctx, func() error {
		lines := make([]string, len(names))
		for i, name := range names {
			verb := "DELE"
			if name.Dir {
				verb = "RMD"
			}
			if lines[i], err = s.line(verb, name.Name); err != nil {
				return err
			}
		}
		return s.each(lines, func(r reply.Reply) { removed = append(removed, r.Done()) })
	})
	return removed, err
}

// each asks lines, many in one round trip, and gives the reply to each of the first, as many as were answered. Of what a server
// says that does not know of the login any more it gives nothing.
func (s *Session) each(lines []string, answered func(reply.Reply)) (err error) {
	for group := range groups(lines) {
		var replies []reply.Reply
		if len(group) == 1 || s.cfg.Quirks.OneByOne.Load() {
			replies, err = s.exchange(group...)
		} else {
			replies, err = s.counted(group)
		}
		if err == nil && s.loggedOut() {
			return fmt.Errorf("%w: the server has forgotten the login", ErrBroken)
		}
		for _, r := range replies {
			answered(r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// counted is exchange of a group where it matters which reply is to which command: PWD closes it, which is answered by 257 and
// nothing else is, and where there may be a reply too many or too few there are none.
func (s *Session) counted(lines []string) ([]reply.Reply, error) {
	replies, err := s.exchange(slices.Concat(lines, []string{"PWD"})...)
	if isTimeout(err) || errors.Is(err, reply.ErrMalformed) {
		return nil, err
	}
	if wrong := s.inPlace(lines[:min(len(replies), len(lines))], replies); wrong != nil {
		s.blameGroup(len(lines), wrong)
		return nil, wrong
	}
	if err != nil {
		return replies, err
	}
	if end := replies[len(lines)]; end.Code != 257 || !s.ctl.Quiet() {
		wrong := fmt.Errorf("%w: %d %s closes a group", reply.ErrMalformed, end.Code, reply.Printable(end.Text()))
		if end.Code/100 != 4 && s.suspicious(wrong) {
			s.blameGroup(len(lines), wrong)
		}
		return nil, wrong
	}
	return replies[:len(lines)], nil
}

// Fact is what MLST says of path; errors.ErrUnsupported where the server has no MLST.
func (s *Session) Fact(ctx context.Context, name string) (e listing.Entry, err error) {
	if !s.features.Has("MLST") || s.cfg.DisableMLSD || s.cfg.Quirks.NoMLST.Load() {
		return e, fmt.Errorf("MLST: %w", errors.ErrUnsupported)
	}
	err = s.do(ctx, func() error {
		r, err := s.command("MLST", name)
		if err != nil {
			var refused *reply.Error
			if errors.As(err, &refused) && (refused.Code == 500 || refused.Code == 502) {
				s.cfg.Quirks.NoMLST.Store(true)
			}
			return err
		}
		if len(r.Lines) < 3 { // no facts: FEAT lied
			s.cfg.Quirks.NoMLST.Store(true)
			return inStep(fmt.Errorf("MLST: %w: %s", errors.ErrUnsupported, reply.Quote(r.Text())))
		}
		l := list{s: s}
		e, err = listing.Fact([]byte(r.Lines[1]), listing.Options{Zone: s.cfg.Zone, Decode: l.decoder()})
		if err != nil {
			return inStep(err)
		}
		e.Name = path.Base(e.Name)
		return nil
	})
	return e, err
}

// IsDir asks by CWD, which every server has, whether path is a directory that may be entered.
func (s *Session) IsDir(ctx context.Context, path string) error {
	return s.do(ctx, func() error { return s.inside(path, func() error { return nil }) })
}

// Mkdir makes one directory.
func (s *Session) Mkdir(ctx context.Context, path string) error { return s.simple(ctx, "MKD", path) }

// Rmdir removes an empty directory.
func (s *Session) Rmdir(ctx context.Context, path string) error { return s.simple(ctx, "RMD", path) }

// Delete removes a file.
func (s *Session) Delete(ctx context.Context, path string) error { return s.simple(ctx, "DELE", path) }

func (s *Session) simple(ctx context.Context, verb, path string) error {
	return s.do(ctx, func() error {
		_, err := s.command(verb, path)
		return err
	})
}

// Rename sends RNFR and, once that was granted, RNTO. The error names the one that was refused.
func (s *Session) Rename(ctx context.Context, from, to string) error {
	_, err := s.RenameAhead(ctx, from, to, Ahead{})
	return err
}

// SetModTime sets a file's modification time by MFMT, or as vsftpd wants it, by MDTM with the time before the name.
func (s *Session) SetModTime(ctx context.Context, path string, t time.Time) error {
	return s.do(ctx, func() error {
		lines, err := s.datings(path, t)
		if err != nil {
			return err
		}
		refused := fmt.Errorf("setting times: %w", errors.ErrUnsupported)
		for i, line := range lines {
			if k := s.fresh(); i == 0 && k.dating == line {
				err = k.dated
			} else {
				replies, lost := s.exchange(line)
				if lost != nil {
					return lost
				}
				err = dated(line, replies[0])
			}
			if err == nil || (verb(line) == "MFMT" && !errors.Is(err, errors.ErrUnsupported)) {
				return err
			}
			refused = err
		}
		return inStep(refused)
	})
}

// datings are the commands that may set a file's modification time.
func (s *Session) datings(path string, t time.Time) (lines []string, err error) {
	arg, err := s.encode(path)
	if err != nil {
		return nil, err
	}
	for _, verb := range []string{"MFMT", "MDTM"} {
		if len(s.features) == 0 || s.features.Has(verb) {
			lines = append(lines, verb+" "+t.UTC().Format("20060102150405")+" "+arg)
		}
	}
	return lines, nil
}

// dated is nil if line, to which r was the reply, has set a time. A server that only tells times has told that of a file that
// is named like the whole argument, or found none. vsftpd, which sets them, says so: 550 Could not set file modification time.
func dated(line string, r reply.Reply) error {
	at, _ := reply.Time(r)
	switch {
	case r.Code == 550 && strings.Contains(strings.ToLower(r.Text()), "set file modification time"):
		return reply.Err(verb(line), r)
	case r.Code == 213 && (verb(line) == "MFMT" || at.IsZero()):
		return nil
	case r.Done():
		return inStep(fmt.Errorf("setting times: %w", errors.ErrUnsupported))
	case verb(line) == "MDTM":
		return inStep(fmt.Errorf("%w: %w", errors.ErrUnsupported, reply.Err("MDTM", r)))
	}
	return reply.Err("MFMT", r)
}
