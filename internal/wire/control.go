package wire

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/corexalgo/ftpclient/internal/reply"
)

// ControlOptions says how a Control behaves.
type ControlOptions struct {
	// ReplyTimeout bounds one reply from the moment it is waited for, however slowly its bytes come.
	ReplyTimeout time.Duration
	// Trace sees each command and reply, passwords already hidden; nil: nothing is traced.
	Trace func(direction, text string)
	// Intercept sees each command line that jlaffaye writes and says which line to send in its place, or answers it itself.
	Intercept func(line string) (send string, answer *reply.Reply, err error)
	// Translate may change a reply before jlaffaye sees it; final tells a reply that follows a 1xx one.
	Translate func(command string, final bool, r reply.Reply) reply.Reply
}

// Control is the control connection. As a net.Conn it is what jlaffaye writes commands to and reads replies from, one
// whole reply at a time, so that jlaffaye's own buffer is empty between commands. It is not safe for concurrent use,
// except Cancel and Close.
type Control struct {
	deadlines
	raw      net.Conn
	plain    net.Conn // raw, or the TLS connection over it
	replies  *reply.Reader
	opts     ControlOptions
	timeout  time.Duration // of the next reply; 0: opts.ReplyTimeout
	pending  []string      // verbs of the commands whose final reply has not been read, oldest first
	started  bool          // pending[0] has had its 1xx reply
	ahead    []string      // command lines sent before jlaffaye writes them, oldest first
	answers  []byte        // of the reply that jlaffaye is reading
	last     reply.Reply
	lastVerb string
}

// NewControl takes over raw.
func NewControl(raw net.Conn, opts ControlOptions) *Control {
	c := &Control{raw: raw, opts: opts}
	c.attach(raw)
	c.setPlain(raw)
	return c
}

func (c *Control) setPlain(conn net.Conn) {
	c.plain = conn
	c.replies = reply.NewReader(bufio.NewReader(conn))
}

// StartTLS shakes hands over the connection. Bytes that arrived in plaintext after the reply to AUTH were injected by
// somebody in between (CVE-2021-22947) and are fatal.
func (c *Control) StartTLS(ctx context.Context, cfg *tls.Config) error {
	if c.replies.Buffered() > 0 {
		return errors.New("plaintext received after the reply to AUTH TLS")
	}
	conn := tls.Client(c.raw, cfg)
	if err := conn.HandshakeContext(ctx); err != nil {
		return err
	}
	c.setPlain(conn)
	return nil
}

// TLS is the state of the connection's TLS layer; nil in plaintext.
func (c *Control) TLS() *tls.ConnectionState {
	conn, ok := c.plain.(*tls.Conn)
	if !ok {
		return nil
	}
	state := conn.ConnectionState()
	return &state
}

// Send writes command lines (without line endings) in one write. Replies must be read in the same order.
func (c *Control) Send(lines ...string) error {
	if err := c.checkQuiet(); err != nil {
		return err
	}
	c.arm(c.replyTimeout())
	var b strings.Builder
	for _, line := range lines {
		verb, _, _ := strings.Cut(line, " ")
		c.trace(">", verb, line)
		c.pending = append(c.pending, verb)
		b.WriteString(line)
		b.WriteString("\r\n")
	}
	_, err := c.plain.Write([]byte(b.String()))
	return err
}

// SendAhead writes command lines that jlaffaye or Expect will issue later, in this order.
func (c *Control) SendAhead(lines ...string) error {
	if err := c.Send(lines...); err != nil {
		return err
	}
	c.ahead = append(c.ahead, lines...)
	return nil
}

// Issue sends line, unless it is the next of the lines that were sent ahead.
func (c *Control) Issue(line string) error {
	if len(c.ahead) == 0 {
		return c.Send(line)
	}
	if c.ahead[0] != line {
		return fmt.Errorf("%w: expected command %q after sending ahead", ErrOutOfStep, c.ahead[0])
	}
	c.ahead = c.ahead[1:]
	return nil
}

// Ahead tells whether lines sent ahead have not been issued yet.
func (c *Control) Ahead() bool { return len(c.ahead) > 0 }

// checkQuiet finds replies that nobody asked for before a command would be answered by them.
func (c *Control) checkQuiet() error {
	if len(c.pending) > 0 {
		return nil
	}
	if !c.Quiet() {
		return ErrOutOfStep
	}
	return nil
}

// Quiet reports, without waiting, that the connection is open and the server has said nothing since the last reply. It is
// meaningful while no command is pending.
func (c *Control) Quiet() bool {
	if !c.Settled() || c.replies.Buffered() > 0 {
		return false
	}
	switch peek(c.raw) {
	case peekSilent:
		return true
	case peekEnded:
		return false
	case peekBytes:
		if c.plain == c.raw {
			return false
		}
	}
	// Below TLS a session ticket may have arrived; and where the socket cannot be asked, only reading tells.
	c.arm(time.Millisecond)
	_, err := c.replies.Peek()
	c.arm(0)
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// Reply blocks for the next reply, whichever command it answers.
func (c *Control) Reply() (reply.Reply, error) {
	c.arm(c.replyTimeout())
	c.timeout = 0
	verb := ""
	if len(c.pending) > 0 {
		verb = c.pending[0]
	}
	r, err := c.replies.Read()
	if err != nil {
		return reply.Reply{}, err
	}
	c.trace("<", verb, fmt.Sprintf("%d %s", r.Code, reply.Printable(r.Text())))
	switch {
	case r.Code == 421: // the server is leaving, whatever was asked (RFC 959 section 4.2)
		c.pending, c.started = nil, false
	case r.Preliminary():
		if c.started {
			return reply.Reply{}, fmt.Errorf("%w: a second preliminary reply, %d", reply.ErrMalformed, r.Code)
		}
		c.started = len(c.pending) > 0
	case len(c.pending) > 0:
		c.pending, c.started = c.pending[1:], false
	}
	c.last, c.lastVerb = r, verb
	return r, nil
}

// Last is the last reply that was read and the verb that it answered.
func (c *Control) Last() (verb string, r reply.Reply) { return c.lastVerb, c.last }

// Settled tells that every command sent has had its final reply.
func (c *Control) Settled() bool {
	return len(c.pending) == 0 && len(c.answers) == 0 && len(c.ahead) == 0
}

// SetNextTimeout bounds the next reply in place of ReplyTimeout: the last reply to a large upload takes its time.
func (c *Control) SetNextTimeout(d time.Duration) { c.timeout = d }

func (c *Control) replyTimeout() time.Duration {
	if c.timeout > 0 {
		return c.timeout
	}
	return c.opts.ReplyTimeout
}

// Rest takes the deadline off until the next command.
func (c *Control) Rest() { c.arm(0) }

// Answer queues a reply for jlaffaye to read as if the server had sent it.
func (c *Control) Answer(r reply.Reply) { c.answers = append(c.answers, r.Bytes()...) }

// Read hands jlaffaye the next reply.
func (c *Control) Read(p []byte) (int, error) {
	if len(c.answers) == 0 {
		final := c.started
		r, err := c.Reply()
		if err != nil {
			return 0, err
		}
		if c.opts.Translate != nil {
			r = c.opts.Translate(c.lastVerb, final, r)
		}
		c.answers = r.Bytes()
	}
	n := copy(p, c.answers)
	if c.answers = c.answers[n:]; len(c.answers) == 0 {
		c.answers = nil
	}
	return n, nil
}

// Write takes one command line from jlaffaye.
func (c *Control) Write(p []byte) (int, error) {
	line := strings.TrimRight(string(p), "\r\n")
	if c.opts.Intercept != nil {
		send, answer, err := c.opts.Intercept(line)
		if err != nil {
			return 0, err
		}
		if answer != nil {
			c.Answer(*answer)
			return len(p), nil
		}
		line = send
	}
	if err := c.Issue(line); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (c *Control) trace(direction, verb, text string) {
	if c.opts.Trace == nil {
		return
	}
	if direction == ">" {
		if strings.EqualFold(verb, "PASS") || strings.EqualFold(verb, "ACCT") {
			text = verb + " ***"
		}
		text = reply.Printable(text)
	}
	c.opts.Trace(direction, text)
}

// Cancel ends every wait on the connection, now and later.
func (c *Control) Cancel() { c.cancel() }

// Close closes the socket at once: a close_notify could block on a full one.
func (c *Control) Close() error { return c.raw.Close() }

// LocalAddr is the socket's.
func (c *Control) LocalAddr() net.Addr { return c.raw.LocalAddr() }

// RemoteAddr is the socket's as a *net.TCPAddr, which jlaffaye asserts; an unspecified one where the connection has no
// such address.
func (c *Control) RemoteAddr() net.Addr {
	if addr, ok := c.raw.RemoteAddr().(*net.TCPAddr); ok {
		return addr
	}
	return &net.TCPAddr{IP: net.IPv4zero}
}

// SetDeadline does nothing: deadlines are the Control's own.
func (c *Control) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (c *Control) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (c *Control) SetWriteDeadline(time.Time) error { return nil }
