package session

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/jlaffaye/ftp"

	"github.com/corexalgo/ftpclient/internal/reply"
	"github.com/corexalgo/ftpclient/internal/safepath"
	"github.com/corexalgo/ftpclient/internal/wire"
)

// ErrBroken is the error of a session that was interrupted in the middle of something and can do no more.
// Another one may do it.
var ErrBroken = fmt.Errorf("session is broken: %w", net.ErrClosed)

// A Session serves one operation at a time and is not safe for concurrent use. After an error that leaves the dialogue in
// doubt it is no longer Usable and must be closed.
type Session struct {
	cfg      Config
	ctl      *wire.Control
	ftp      *ftp.ServerConn
	greeting reply.Reply
	features Features
	home     string     // the login directory, once PWD was asked
	hashing  string     // the algorithm of HASH that is set; "": what FEAT says, "?": unknown
	together bool       // the login goes out in one write
	first    Ahead      // and this with it
	probing  bool       // and telnetProbe, which is not answered yet
	opening  []question // of which these are not answered yet
	kept     kept
	quickest time.Duration // grant of an early upload, from before its data connection was opened; 0: there was none
	reached  time.Duration // the shortest that opening a data connection took; 0: there was none
	tickets  tickets
	dataTLS  *tls.Config // with the key exchange that was agreed on for the control connection

	// of the operation under way
	ctx     context.Context //nolint:containedctx // jlaffaye's dial function takes none
	stop    func() bool
	opts    TransferOptions
	storing bool
	early   bool                  // an upload's content does not wait for the grant
	asks    time.Time             // when it was begun
	grant   time.Time             // when that came
	asked   []question            // sent before the final reply
	listing string                // the listing command
	consume func(io.Reader) error // takes the content of the next data connection whole
	target  dataTarget            // where the next data connection leads
	data    *wire.Data
	dialErr error // of the data connection

	seasoned bool // it has answered commands that were sent before a final reply
	hurried  bool // the last upload's content did not wait for the grant

	broken bool
	spent  bool // because a transfer was given up, or the server logged us out
}

// Spent tells that the session is no longer Usable, though its connection was not lost: a transfer was given up half way and the
// server not found in step afterwards, or the server has logged us out.
func (s *Session) Spent() bool { return s.spent }

// Usable reports whether the session may be used again.
func (s *Session) Usable() bool { return !s.broken }

// Alive reports, without waiting, that the server has neither closed the connection nor said anything unasked, and that no
// operation was ended by a panic.
func (s *Session) Alive() bool { return !s.broken && s.ctx == nil && s.ctl.Quiet() }

// Close says goodbye without waiting for the answer.
func (s *Session) Close() {
	s.quit()
	_ = s.ctl.Close()
}

// leaveTimeout bounds the wait for a server that does not let go.
const leaveTimeout = time.Second

// Leave is Close that waits until the server has let go of the connection, or ctx ends: whoever dials before that may be one too
// many.
func (s *Session) Leave(ctx context.Context) {
	s.quit()
	_ = s.ctl.Leave(ctx, leaveTimeout)
}

func (s *Session) quit() {
	if s.Alive() {
		s.ctl.SetNextTimeout(time.Second)
		_ = s.ctl.Send("QUIT") // courtesy: many servers free the slot at once
	}
	s.broken = true
	s.Forget()
	if s.data != nil { // a panic has ended the operation
		_ = s.data.Abort()
	}
}

// begin starts an operation that ends with ctx.
func (s *Session) begin(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.broken {
		return ErrBroken
	}
	s.ctx = ctx
	s.stop = context.AfterFunc(ctx, s.ctl.Cancel)
	return nil
}

// end finishes it. The context's error wins over the time-out that it caused; an error other than a refusal leaves the
// dialogue in doubt. Once the watch on ctx has fired, nobody knows when it sets its deadline, and the session is not used
// again though all went well.
func (s *Session) end(err error) error {
	out := s.loggedOut()
	ctx := s.ctx
	s.ctx, s.opts, s.storing, s.early, s.listing, s.consume = nil, TransferOptions{}, false, false, "", nil
	s.target.dialing.drop()
	s.target, s.data, s.dialErr, s.asked = dataTarget{}, nil, nil, nil
	if !s.stop() {
		s.discard(ctx.Err())
		if err != nil {
			return ctx.Err()
		}
		return nil
	}
	var refused *reply.Error
	doubtful := err != nil && !errors.As(err, &refused) && !errors.Is(err, errInStep)
	switch {
	case out && s.ctl.Settled(): // it would refuse all that follows
		s.discard(err)
		s.spent = true
	case doubtful, !s.ctl.Settled():
		s.discard(err)
	}
	if !s.broken {
		s.ctl.Rest()
	}
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// loggedOut tells that the server does not know of the login any more. A 530 alone does not tell: there are servers that say so of
// what this user may not do, SIZE for one. They know where he is.
func (s *Session) loggedOut() bool {
	if s.ctl.LoggedOut() && s.ctl.Settled() && s.ctx.Err() == nil {
		_, _ = s.exchange("PWD")
	}
	return s.ctl.LoggedOut()
}

// errInStep marks an error that leaves the dialogue whole: the session may be used again.
var errInStep = errors.New("session in step")

type inStepError struct{ error }

func (e inStepError) Unwrap() error        { return e.error }
func (e inStepError) Is(target error) bool { return target == errInStep }

func inStep(err error) error { return inStepError{err} }

func (s *Session) discard(cause error) {
	if s.broken {
		return
	}
	s.broken = true
	if s.cfg.Logger != nil && cause != nil {
		s.cfg.Logger.Warn("ftp session discarded", slog.Any("cause", cause))
	}
}

// do runs f as one operation.
func (s *Session) do(ctx context.Context, f func() error) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	return s.end(f())
}

// exchange sends commands in one write and reads a final reply to each, to fewer only with an error. More than one travel
// together only to a server that has not mishandled such groups before.
func (s *Session) exchange(lines ...string) ([]reply.Reply, error) {
	together := !s.cfg.Quirks.OneByOne.Load()
	if together {
		if err := s.ctl.Send(lines...); err != nil {
			return nil, err
		}
	}
	replies := make([]reply.Reply, 0, len(lines))
	for i, line := range lines {
		if !together {
			if err := s.ctl.Send(line); err != nil {
				return replies, err
			}
		}
		r, err := s.answer()
		if err != nil {
			if together && i > 0 && s.suspicious(err) {
				s.blameGroup(len(lines), err)
			}
			return replies, err
		}
		replies = append(replies, r)
	}
	if lost := &s.cfg.Quirks.lostGroup; together && len(lines) > 1 && int(lost.Load()) <= len(lines) {
		lost.Store(0)
	}
	return replies, nil
}

// suspicious tells an error that what was sent together, or early, may have caused: not the end of the context, and not a server that
// leaves (421), or does not know of the login any more, and says so.
func (s *Session) suspicious(err error) bool {
	return s.ctx.Err() == nil && reply.Code(err) != 421 && !s.ctl.LoggedOut()
}

// blameGroup notes that a group of n commands was not answered as it should be. Where the connection is lost, once may be the
// line's fault, unless no such group is answered until that happens again in one that is no smaller.
func (s *Session) blameGroup(n int, err error) {
	quirks := s.cfg.Quirks
	last := int(quirks.lostGroup.Swap(int32(n))) //nolint:gosec // a few dozen
	if isTimeout(err) || errors.Is(err, reply.ErrMalformed) || (last > 0 && n >= last) {
		quirks.OneByOne.Store(true)
	}
}

// answer reads the final reply to a command.
func (s *Session) answer() (reply.Reply, error) {
	r, err := s.ctl.Reply()
	for err == nil && r.Preliminary() {
		r, err = s.ctl.Reply()
	}
	if err == nil {
		err = s.ctl.Err() // 421: the server is leaving
	}
	return r, err
}

// command sends one command with a path and expects it to be granted.
func (s *Session) command(verb, path string) (reply.Reply, error) {
	line, err := s.line(verb, path)
	if err != nil {
		return reply.Reply{}, err
	}
	return s.raw(line)
}

func (s *Session) raw(line string) (reply.Reply, error) {
	replies, err := s.exchange(line)
	if err != nil {
		return reply.Reply{}, err
	}
	if !replies[0].Done() {
		return replies[0], reply.Err(verb(line), replies[0])
	}
	return replies[0], nil
}

func verb(line string) string {
	v, _, _ := strings.Cut(line, " ")
	return v
}

// line builds a command whose argument is a path: checked, in the server's charset, and guarded where servers read a first
// blank, '-' or '~' as something other than part of a name.
func (s *Session) line(verb, path string) (string, error) {
	if verb == "MKD" || verb == "RNTO" {
		if err := safepath.CheckCreated(path); err != nil {
			return "", inStep(err)
		}
	}
	arg, err := s.encode(path)
	if err != nil {
		return "", err
	}
	if arg == "" {
		return verb, nil
	}
	return verb + " " + arg, nil
}

func (s *Session) encode(path string) (string, error) {
	if err := safepath.CheckArgument(path); err != nil {
		return "", inStep(err)
	}
	if path == "" {
		return "", nil
	}
	if strings.IndexByte(" -~", path[0]) >= 0 {
		path = "./" + path
	}
	if s.cfg.Encoding == nil {
		return path, nil
	}
	arg, err := s.cfg.Encoding.NewEncoder().String(path)
	back, derr := s.decode([]byte(arg)) // GB18030 turns some private characters into others
	if err != nil || derr != nil || back != path || safepath.CheckArgument(arg) != nil {
		return "", inStep(fmt.Errorf("%w: %s cannot be written in the server's charset", safepath.ErrUnsafe, reply.Quote(path)))
	}
	return arg, nil
}

// decode turns bytes of the server's charset into text.
func (s *Session) decode(raw []byte) (string, error) {
	text := string(raw)
	if s.cfg.Encoding != nil {
		var err error
		if text, err = s.cfg.Encoding.NewDecoder().String(text); err != nil {
			return "", err
		}
		// Decoders replace what they cannot read; only what encodes back to the same bytes is the name that the server has.
		if back, err := s.cfg.Encoding.NewEncoder().String(text); err != nil || back != string(raw) {
			return "", errors.New("invalid in the server's charset")
		}
	}
	return text, nil
}

// Served is how many replies the server has given so far, without those that say that it does not know of the login any more (530).
func (s *Session) Served() int { return s.ctl.Served() }

// Ping asks for a sign of life. A server that refuses NOOP is alive, unless it says that nobody is logged in.
func (s *Session) Ping(ctx context.Context) error {
	defer s.ctl.Disarm()
	return s.do(ctx, func() error {
		replies, err := s.exchange("NOOP")
		if err == nil && s.loggedOut() {
			err = reply.Err("NOOP", replies[0])
		}
		return err
	})
}

// RemoteAddr is the control connection's peer.
func (s *Session) RemoteAddr() net.Addr { return s.ctl.RemoteAddr() }
