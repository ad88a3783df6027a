package session

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/corexalgo/ftpclient/internal/reply"
	"github.com/corexalgo/ftpclient/internal/wire"
)

// groupPatience bounds the wait for what follows a password that was accepted. Servers answer that at once, and one that
// does not has lost what was sent together with the password.
const groupPatience = 5 * time.Second

// errConfused marks a login whose commands were sent together to a server that seems to have mishandled them, and that
// provably tried the password no more than once and did not refuse it: the login may be repeated one command at a time.
var errConfused = errors.New("commands sent together at login were mishandled")

// login is what a jlaffaye login would be, but sent in one write where the server takes that. jlaffaye's is not called at
// all: it leaves nothing behind but what FEAT says, which is kept from jlaffaye, as it would choose listing commands by it,
// and spend a round trip on each transfer for the PRET that Pure-FTPd lists and needs for nothing.
func (s *Session) login() error {
	s.spell()
	if s.together {
		s.opening = s.questions(s.first)
		if err := s.ctl.SendAhead(append(s.loginLines(), linesOf(s.opening)...)...); err != nil {
			return err
		}
	}
	if err := s.authenticate(); err != nil {
		return err
	}
	return s.confused(s.prepare())
}

// hear reads the answers to what was asked with the login. That is over: they may take their time, and an error of theirs is not one
// of the login.
func (s *Session) hear() error {
	questions := s.opening
	lines := linesOf(questions)
	s.opening = nil
	answers := make([]reply.Reply, len(lines))
	for i, line := range lines {
		var err error
		if answers[i], err = s.say(line); reply.Code(err) == 421 { // which is not one connection too many
			return fmt.Errorf("%w: %s", ErrBroken, err.Error())
		} else if err != nil {
			return err
		}
	}
	if err := s.inPlace(lines, answers); err != nil {
		return s.confused(err)
	}
	if s.together && !s.ctl.Quiet() {
		return s.confused(wire.ErrOutOfStep)
	}
	s.keep(questions, answers)
	return nil
}

type firstKey struct{}

// mostFirst bounds what is asked with a login, in bytes of a path.
const mostFirst = 512

// WithFirst has a Dial with that context ask a with the login, where that goes out in one write. The answers wait for the first that
// uses the session.
func WithFirst(ctx context.Context, a Ahead) context.Context {
	return context.WithValue(ctx, firstKey{}, a)
}

func firstOf(ctx context.Context) Ahead {
	a, _ := ctx.Value(firstKey{}).(Ahead)
	for _, path := range a.Looks {
		if len(path) > mostFirst {
			a.Looks = nil
		}
	}
	return a
}

// confused marks what went wrong after the login itself was granted, but for what is wrong however it was sent.
func (s *Session) confused(err error) error {
	if s.together && err != nil && !errors.Is(err, ErrInsecure) && reply.Code(err) != 421 {
		return fmt.Errorf("%w: %w", errConfused, err)
	}
	return err
}

// loginLines are the commands of a login in the order in which authenticate and prepare issue them. All are harmless to a
// server that refuses one of those before.
func (s *Session) loginLines() []string {
	lines := []string{"USER " + s.cfg.User, "PASS " + s.cfg.Password}
	if s.cfg.TLS != Plain {
		lines = append(lines, "PBSZ 0", "PROT P")
	}
	lines = append(lines, "TYPE I", "FEAT")
	if line := s.lastLine(); line != "" {
		lines = append(lines, line)
	}
	return lines
}

// lastLine is the command about names that a login ends with; "": there is none.
func (s *Session) lastLine() string {
	switch {
	case s.cfg.Encoding == nil:
		return "OPTS UTF8 ON"
	case s.probing:
		return telnetProbe
	}
	return ""
}

// telnetProbe asks for telnetName, which no server has, as it is written in Telnet. A server that speaks that, as ProFTPD does, repeats
// the name, others repeat what was written, or nothing. To the first "пять" in windows-1251 is a name with a command in it: it
// would store another name, and say that all is well.
const (
	telnetName  = "ftpclient" + wire.IAC + "telnet"
	telnetProbe = "SIZE ftpclient" + wire.IAC + wire.IAC + "telnet"
)

// spellsIAC tells whether a name may have an IAC in it.
func (s *Session) spellsIAC() bool {
	if s.cfg.Encoding == nil {
		return false
	}
	_, err := s.decode([]byte(wire.IAC))
	return err == nil
}

// heed takes the answer to telnetProbe.
func (s *Session) heed(r reply.Reply) {
	if s.probing && r.Code/100 == 5 {
		speaks := strings.Contains(r.Text(), telnetName)
		s.cfg.Quirks.telnet.Store(&speaks)
	}
	s.probing = false
	s.spell()
}

// spell has IACs written from now on as the server reads them, if that is known.
func (s *Session) spell() {
	if speaks := s.cfg.Quirks.telnet.Load(); speaks != nil && *speaks {
		s.ctl.Telnet()
	}
}

// authenticate sends user name and password. A password that the server was seen to refuse, or may have tried without an
// answer, is never sent again by the session: that is the caller's decision, as a second try may lock the account.
func (s *Session) authenticate() error {
	user, err := s.say("USER " + s.cfg.User)
	if err != nil {
		return s.unanswered(err, false)
	}
	if !user.Done() && user.Code != 331 {
		return s.refusedLogin("USER", user)
	}
	if user.Done() && !s.together {
		return nil // no password wanted; 232: the certificate was enough (RFC 4217)
	}
	if user.Done() {
		s.soon()
	}
	pass, err := s.say("PASS " + s.cfg.Password)
	switch {
	case user.Done():
		return s.confused(err) // whatever the answer is to a password that nobody asked for
	case err != nil:
		return s.unanswered(err, true)
	case pass.Done(): // 202: superfluous
		return nil
	}
	return s.refusedLogin("PASS", pass)
}

// unanswered takes note of a server that lost the commands, or hung up on them. It may have tried a password that was sent together
// with the user name, though that had no answer: who hangs up with commands unread takes back what he said.
func (s *Session) unanswered(err error, begun bool) error {
	if reply.Code(err) == 421 || s.ctx.Err() != nil || (!begun && (!s.together || isTimeout(err))) {
		return err
	}
	if s.together {
		s.cfg.Quirks.Stepwise.Store(true)
	}
	return fmt.Errorf("%w: %w", reply.ErrUnanswered, err)
}

func (s *Session) refusedLogin(verb string, r reply.Reply) error {
	refused := reply.Err(verb, r)
	switch {
	case s.together && (r.Code == 500 || r.Code == 501 || r.Code == 503) && (verb != "PASS" || r.Code == 503 || !reply.SaysMistaken(r.Text())):
		return s.confused(refused) // of form or order: nobody looked at the password
	case verb == "PASS" && r.Code/100 == 3: // wants more than a password
		refused.Cause = reply.ErrAuth
	}
	return refused
}

// prepare makes a session of the connection that is logged in. FEAT is what MLST, HASH and MFMT are chosen by.
func (s *Session) prepare() error {
	if s.cfg.TLS != Plain {
		for _, line := range []string{"PBSZ 0", "PROT P"} {
			if r, err := s.sayMore(line); err != nil {
				return err
			} else if !r.Done() {
				return fmt.Errorf("%w: %w", ErrInsecure, reply.Err(verb(line), r))
			}
		}
	}
	binary, err := s.sayMore("TYPE I")
	if err != nil {
		return err
	}
	if !binary.Done() {
		return reply.Err("TYPE", binary)
	}
	feat, err := s.sayMore("FEAT")
	if err != nil {
		return err
	}
	s.features = parseFeatures(feat)
	var last reply.Reply
	if line := s.lastLine(); line != "" && (s.together || s.probing || s.features.Has("UTF8")) {
		// A refusal means nothing: many servers always speak UTF-8.
		if last, err = s.sayMore(line); err != nil {
			return err
		}
	}
	if s.together && (binary.Code == 211 || last.Code == 211 || (feat.Done() && feat.Code != 211)) {
		return wire.ErrOutOfStep // the replies are not those of these commands
	}
	s.heed(last)
	return nil
}

// sayMore is say after the login itself was granted.
func (s *Session) sayMore(line string) (reply.Reply, error) {
	s.soon()
	return s.say(line)
}

// soon bounds the wait for an answer that was on its way before, if it comes at all.
func (s *Session) soon() {
	if s.together {
		s.ctl.SetNextTimeout(min(groupPatience, s.cfg.ReplyTimeout))
	}
}

// say issues a command, which may have been sent ahead, and reads its final reply.
func (s *Session) say(line string) (reply.Reply, error) {
	if err := s.ctl.Issue(line); err != nil {
		return reply.Reply{}, err
	}
	r, err := s.ctl.Reply()
	for err == nil && r.Preliminary() {
		r, err = s.ctl.Reply()
	}
	if err == nil {
		err = s.ctl.Err() // 421: the server is leaving
	}
	return r, err
}
