package session

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/corexalgo/ftpclient/internal/reply"
	"github.com/corexalgo/ftpclient/internal/wire"
)

// Ahead names what will be asked soon. It is asked in the same write as something else, and the answers wait in the session
// for the call that needs them, as long as nothing else is asked. Nothing is lost where they are not needed, are refused,
// or the server answers one command at a time only: the call then asks by itself.
type Ahead struct {
	Looks  []string // files that Look will be called for
	Data   bool     // a transfer will follow
	Dial   bool     // and it will follow at once: its data connection may be opened meanwhile
	Rename string   // file that Rename will be called for; "": none

	Date    string    // file that SetModTime will be called for; "": none
	ModTime time.Time // its time then
}

// freshFor is how long answers wait.
const freshFor = 5 * time.Second

// kept is what was answered ahead.
type kept struct {
	until   time.Time
	replies int // that the session had received then: one more, and something else was asked
	looks   map[string]Look
	data    *reply.Reply // to passive; nil: none
	passive string       // EPSV or PASV
	dialing *dialing     // to where that leads; nil: nobody has dialed yet
	dating  string       // the command that was to set a time; "": none
	dated   error        // what became of it
}

// Forget drops what was answered ahead: whoever uses the session next is somebody else.
func (s *Session) Forget() {
	s.remember(kept{})
	s.ctl.Disarm()
}

func (s *Session) remember(k kept) {
	s.kept.dialing.drop()
	s.kept = k
}

// fresh drops what no longer holds.
func (s *Session) fresh() *kept {
	if s.kept.replies != s.ctl.Received() || time.Now().After(s.kept.until) {
		s.remember(kept{})
	}
	return &s.kept
}

// keptLook takes the Look that was asked ahead.
func (s *Session) keptLook(path string) (Look, bool) {
	k := s.fresh()
	look, ok := k.looks[path]
	delete(k.looks, path)
	return look, ok
}

// keptData takes the answer to the command for a data connection, and that connection if it was dialed.
func (s *Session) keptData(passive string) (*reply.Reply, *dialing) {
	k := s.fresh()
	data, dialing := k.data, k.dialing
	k.data, k.dialing = nil, nil
	if k.passive != passive {
		dialing.drop()
		return nil, nil
	}
	return data, dialing
}

// A question is part of a group of commands.
type question struct {
	lines []string
	keep  func(*kept, []reply.Reply) // called with the replies to all lines
}

// questions are a's commands. A path that cannot be sent will be an error of the call that needs it.
func (s *Session) questions(a Ahead) []question {
	if s.cfg.Quirks.OneByOne.Load() {
		return nil
	}
	var questions []question
	for _, path := range a.Looks {
		lines, err := s.lookLines(path)
		if err != nil || s.probing && strings.Contains(lines[0], wire.IAC) { // nobody knows yet how that is written
			continue
		}
		questions = append(questions, question{lines, func(k *kept, r []reply.Reply) {
			size, at := r[0], r[1]
			if look, err := readLook(size, at); err == nil && size.Code == 213 && (look.TimeErr == nil || at.Code >= 500) {
				k.looks[path] = look
			}
		}})
	}
	renaming := s.renamingQuestions(a)
	lost := a.Rename != "" && len(renaming) == 0 // what was kept of the connection would be, as more is asked before the rename
	if passive := s.passive(); a.Data && !s.cfg.Active && !lost {
		questions = append(questions, question{[]string{passive}, func(k *kept, r []reply.Reply) {
			if (passive == "EPSV" && r[0].Code == 229) || (passive == "PASV" && r[0].Code == 227) {
				k.data, k.passive = &r[0], passive
			}
			if k.data != nil && a.Dial {
				s.dialAhead()
			}
		}})
	}
	return append(questions, renaming...)
}

// renamingQuestions set the time of a file and begin to rename it. Once that was granted nothing else can be asked without ending
// it: where a time could not be set in the way that is tried first, it is set by itself, and before.
func (s *Session) renamingQuestions(a Ahead) (questions []question) {
	rnfr, err := s.line("RNFR", a.Rename)
	if a.Rename == "" || err != nil || s.cfg.Quirks.Lax.Load() {
		return nil
	}
	if a.Date != "" {
		lines, err := s.datings(a.Date, a.ModTime)
		if err != nil || len(lines) == 0 || s.cfg.Quirks.Dateless.Load() {
			return nil
		}
		questions = append(questions, question{lines[:1], func(k *kept, r []reply.Reply) {
			k.dating, k.dated = lines[0], dated(lines[0], r[0])
			if k.dated != nil && r[0].Code/10 == 50 {
				s.cfg.Quirks.Dateless.Store(true)
			}
		}})
	}
	return append(questions, question{[]string{rnfr}, func(*kept, []reply.Reply) {}}) // the control connection knows
}

func linesOf(questions []question) (lines []string) {
	for _, q := range questions {
		lines = append(lines, q.lines...)
	}
	return lines
}

// keep stores what is good of the replies to all lines of the questions, the last that were read.
func (s *Session) keep(questions []question, replies []reply.Reply) {
	if len(questions) == 0 {
		return
	}
	s.remember(kept{until: time.Now().Add(freshFor), replies: s.ctl.Received(), looks: map[string]Look{}})
	for _, q := range questions {
		q.keep(&s.kept, replies[:len(q.lines)])
		replies = replies[len(q.lines):]
	}
}

// exchangeAhead is exchange, with a's commands in the same write; the replies are those to lines.
func (s *Session) exchangeAhead(a Ahead, lines ...string) ([]reply.Reply, error) {
	questions := s.questions(a)
	replies, err := s.exchange(append(lines, linesOf(questions)...)...)
	if err != nil {
		return nil, err
	}
	if err := s.inPlace(linesOf(questions), replies[len(lines):]); err != nil {
		return nil, err
	}
	s.keep(questions, replies[len(lines):])
	return replies[:len(lines)], nil
}

// inPlace is the error of the first of replies that cannot be one to its line.
func (s *Session) inPlace(lines []string, replies []reply.Reply) error {
	for i, line := range lines {
		if r := replies[i]; misplaced(verb(line), r.Code) {
			if verb(line) == "RNFR" && r.Done() {
				s.cfg.Quirks.Lax.Store(true)
			}
			return unexpected(verb(line), r)
		}
	}
	return nil
}

// misplaced tells a reply that cannot be one to that verb: the server has said more than was asked, or less.
func misplaced(verb string, code int) bool {
	switch {
	case code >= 400:
		return false
	case verb == "RNFR":
		return code != 350
	case verb == "EPSV":
		return code != 229
	case verb == "PASV":
		return code != 227
	}
	return code/10 == 22 || code == 350
}

// finish ends a download whose content has ended. What is asked ahead goes out before the final reply is read, unless the
// server was found to mishandle that; the data connection is closed first, which vsftpd's final reply waits for.
func (r *Retrieval) finish() error {
	s := r.s
	var questions []question
	if s.opts.Then != nil && r.data.Ended() && r.data.Err() == nil {
		questions = s.questions(s.opts.Then())
	}
	lines, early := linesOf(questions), !s.cfg.Quirks.Late.Load()
	if len(lines) == 0 {
		return s.outcome(r.resp.Close())
	}
	if early {
		_ = r.data.Close()
		if err := s.ctl.Send(lines...); err != nil {
			return err
		}
		if s.opts.Meanwhile != nil {
			s.opts.Meanwhile()
		}
	}
	err := s.outcome(r.resp.Close())
	if !early {
		if err == nil {
			var replies []reply.Reply
			if replies, err = s.exchange(lines...); err == nil {
				s.keep(questions, replies)
			}
		}
		return err
	}
	_, final := s.ctl.Last()
	replies, err := s.collect(err, lines, &s.cfg.Quirks.Late)
	if len(replies) < len(lines) {
		return err
	}
	if !plausible(final, lines, replies) {
		s.cfg.Quirks.Late.Store(true)
		return s.disorder(err, final, lines, replies)
	}
	s.keep(questions, replies)
	return err
}

// far is a round trip that is worth saving. On a faster line a busy server would be taken for one that waits, and be asked
// while it is still at work.
const far = 5 * time.Millisecond

// granted is called when the grant of an early upload has come, all of whose content was sent before. vsftpd leaves Nagle's
// algorithm on, and its next reply waits for the acknowledgement of this one: it travels with what is asked ahead.
func (s *Session) granted() {
	s.grant = time.Now()
	if took := s.grant.Sub(s.asks); s.quickest == 0 || took < s.quickest {
		s.quickest = took
	}
	quirks := s.cfg.Quirks
	if s.opts.Then == nil || s.quickest < far || !quirks.Nagle.Load() || quirks.Hasty.Load() || s.data.Err() != nil || s.data.Aborted() {
		return
	}
	questions := s.questions(s.opts.Then())
	if lines := linesOf(questions); len(lines) > 0 && s.ctl.Send(lines...) == nil {
		s.asked = questions
	}
}

// conclude ends an early upload whose outcome, by the next reply after the grant, was err.
func (s *Session) conclude(err error) error {
	quirks := s.cfg.Quirks
	if s.asked == nil {
		if err == nil && s.quickest >= far && time.Since(s.grant) >= far {
			quirks.Nagle.Store(true)
		}
		return err
	}
	_, final := s.ctl.Last()
	if s.ctl.Err() == nil && !endsTransfer(final) && (final.Code < 400 || busy(final)) {
		quirks.Hasty.Store(true)
		s.broken = true // Pure-FTPd gives one such reply, to all that it has read by then
		return fmt.Errorf("%w: %d among the answers to others", wire.ErrOutOfStep, final.Code)
	}
	lines := linesOf(s.asked)
	replies, err := s.collect(err, lines, &quirks.Hasty)
	switch {
	case len(replies) < len(lines):
	case plausible(final, lines, replies):
		s.keep(s.asked, replies)
	default: // how the upload ended is known
		quirks.Hasty.Store(true)
		s.settle()
		if wrong := s.inPlace(lines, replies); wrong != nil { // but not what the server has begun
			s.broken = true
			return wrong
		}
	}
	return err
}

// collect reads the answers to lines that were sent before the final reply to a transfer, whose outcome was err. A connection
// that is lost meanwhile may have been confused by them, unless it was not before.
func (s *Session) collect(err error, lines []string, confused *atomic.Bool) (replies []reply.Reply, _ error) {
	rerr := s.ctl.Err()
	for range lines {
		var r reply.Reply
		if rerr == nil {
			r, rerr = s.answer()
			err = errors.Join(err, rerr)
		}
		if rerr != nil {
			if s.suspicious(rerr) && !s.seasoned && s.cfg.Quirks.earlyLost.Add(1) > 1 { // once may be the line's fault
				confused.Store(true)
			}
			return nil, err
		}
		replies = append(replies, r)
	}
	s.seasoned = true
	s.cfg.Quirks.earlyLost.Store(0)
	return replies, err
}

// plausible tells whether replies, which came after final, can be the answers to lines. A server may refuse to answer while
// the transfer is not quite over, and is then better asked later.
func plausible(final reply.Reply, lines []string, replies []reply.Reply) bool {
	if final.Done() && !endsTransfer(final) {
		return false
	}
	for i, r := range replies {
		var good bool
		switch verb(lines[i]) {
		case "SIZE", "MDTM":
			good = r.Code == 213 || r.Code == 550
		case "MFMT": // of which only 213 counts
			good = true
		case "RNFR":
			good = r.Code == 350 || r.Code == 550
		default:
			good = r.Code == 229 || r.Code == 227
		}
		if !good && r.Code != 425 && r.Code != 451 && r.Code != 530 { // which are of the data connection to come, the file, and the user
			return false
		}
	}
	return !busy(final)
}

func endsTransfer(r reply.Reply) bool { return r.Code == 226 || r.Code == 250 || r.Code == 225 }

// busy tells a reply by which a server refuses a command while a transfer runs: Pure-FTPd says 500, ProFTPD 450.
func busy(r reply.Reply) bool { return r.Code == 450 || r.Code/10 == 50 }

// disorder finds out how a download ended whose final reply may have come among the answers to commands that were sent before
// it. Only if there is exactly one such reply, and each other one can be such an answer, is it known. The session goes on only
// if it then is in step.
func (s *Session) disorder(err error, final reply.Reply, lines []string, replies []reply.Reply) error {
	if err == nil && endsTransfer(final) && s.inPlace(lines, replies) == nil && s.ctl.Quiet() {
		return nil // it came first, and the answers, whatever they say, in their order
	}
	ends, odd := 0, false
	for _, r := range append([]reply.Reply{final}, replies...) {
		switch {
		case endsTransfer(r):
			ends++
		case busy(r), r.Code == 550, r.Code == 213, r.Code == 229, r.Code == 227:
		default:
			odd = true
		}
	}
	s.settle()
	switch {
	case !s.broken && ends == 1 && !odd && (endsTransfer(final) || final.Code == 213 || busy(final)):
		return nil
	case err != nil && !busy(final): // which refuses what was asked, and says nothing of the download
		s.broken = true
		return err
	}
	s.broken = true
	return fmt.Errorf("%w: %d among the answers to others", wire.ErrOutOfStep, final.Code)
}

// LookAhead is Look, with more asked in the same write.
func (s *Session) LookAhead(ctx context.Context, path string, a Ahead) (look Look, err error) {
	if ctx.Err() == nil && !s.broken {
		if look, ok := s.keptLook(path); ok {
			return look, nil
		}
	}
	err = s.do(ctx, func() error {
		lines, err := s.lookLines(path)
		if err != nil {
			return err
		}
		replies, err := s.exchangeAhead(a, lines...)
		if err != nil {
			return err
		}
		look, err = readLook(replies[0], replies[1])
		return err
	})
	return look, err
}

// RenameAhead is Rename, with more asked in the same write as its end. asked tells that RNTO was sent, and thereby that there was
// something to rename, even if the connection is lost then.
func (s *Session) RenameAhead(ctx context.Context, from, to string, a Ahead) (asked bool, err error) {
	err = s.do(ctx, func() error {
		rnfr, err := s.line("RNFR", from)
		if err != nil {
			return err
		}
		rnto, err := s.line("RNTO", to)
		if err != nil {
			return err
		}
		if s.ctl.Renaming() == rnfr {
			asked = true
			r, err := s.renameTo(rnto, a)
			if err != nil || r.Done() {
				return err
			}
			if r.Code == 550 || r.Code == 553 {
				return reply.Err("RNTO", r)
			}
			// 503 and the like: it has forgotten the RNFR, and changed nothing.
		}
		// Not in one write with RNTO: where RNFR is refused, a server may still have another file to rename.
		replies, err := s.exchange(rnfr)
		switch {
		case err != nil:
			return err
		case replies[0].Code >= 400:
			return reply.Err("RNFR", replies[0])
		}
		asked = true
		r, err := s.renameTo(rnto, a)
		if err == nil && !r.Done() {
			err = reply.Err("RNTO", r)
		}
		return err
	})
	return asked, err
}

// renameTo ends the rename that was begun. What was kept of the next data connection holds on: a rename does not touch it.
func (s *Session) renameTo(rnto string, a Ahead) (reply.Reply, error) {
	k := *s.fresh()
	s.kept = kept{}
	a.Data = a.Data && k.data == nil
	replies, err := s.exchangeAhead(a, rnto)
	if k.data != nil {
		s.kept.data, s.kept.passive, s.kept.dialing = k.data, k.passive, k.dialing
		s.kept.replies, s.kept.until = s.ctl.Received(), k.until
	}
	switch {
	case err != nil:
		return reply.Reply{}, err
	case misplaced("RNTO", replies[0].Code): // and what answers RNTO is to come
		return reply.Reply{}, unexpected("RNTO", replies[0])
	}
	return replies[0], nil
}
