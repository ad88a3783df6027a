package wire

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/corexalgo/ftpclient/internal/reply"
)

// ControlOptions says how a Control behaves.
type ControlOptions struct {
	// ReplyTimeout bounds one reply from the moment it is waited for, however slowly its bytes come.
	ReplyTimeout time.Duration
	// Secret is the password. Servers repeat what they do not understand ("500 PASS x: unknown"), and neither an error nor
	// a trace may show it.
	Secret string
	// Trace sees each command and reply, the Secret already hidden; nil: nothing is traced.
	Trace func(direction, text string)
	// Intercept sees each command line that jlaffaye writes and says which line to send in its place, or answers it itself.
	Intercept func(line string) (send string, answer *reply.Reply, err error)
	// Asked is called when a command that moves data was sent, before its reply is waited for; nil: nobody asks.
	Asked func()
	// Translate may change a reply before jlaffaye sees it; final tells a reply that follows a 1xx one.
	Translate func(command string, final bool, r reply.Reply) reply.Reply
}

// Control is the control connection. As a net.Conn it is what jlaffaye writes commands to and reads replies from, one
// whole reply at a time, so that jlaffaye's own buffer is empty between commands. It is not safe for concurrent use,
// except Cancel and Close.
type Control struct {
	deadlines
	raw       net.Conn
	sock      *probe
	plain     net.Conn // sock, or the TLS connection over it
	replies   *reply.Reader
	opts      ControlOptions
	timeout   time.Duration // of the next reply; 0: opts.ReplyTimeout
	pending   []string      // verbs of the commands whose final reply has not been read, oldest first
	started   bool          // pending[0] has had its 1xx reply
	ahead     []string      // command lines sent before jlaffaye writes them, oldest first
	written   []byte        // of the command line that jlaffaye is writing
	answers   []byte        // of the reply that jlaffaye is reading
	rnfr      string        // the last RNFR that was sent
	renaming  string        // the one that was granted and not followed by RNTO; "": none
	telnet    bool          // the server takes a byte 255 for Telnet's
	admitted  bool          // the login is over
	loggedOut bool          // and the server may not know of it any more
	presumed  bool          // jlaffaye was told of a 150 that has not come yet
	granted   func()        // called once it has
	last      reply.Reply
	received  int // replies read so far
	denied    int // of these, by 530 since the login
	lastVerb  string
	err       error // the first one; nothing is in step after it
}

// NewControl takes over raw.
func NewControl(raw net.Conn, opts ControlOptions) *Control {
	c := &Control{raw: raw, sock: &probe{Conn: raw}, opts: opts}
	c.attach(raw)
	c.setPlain(c.sock)
	return c
}

func (c *Control) setPlain(conn net.Conn) {
	c.plain = conn
	c.replies = reply.NewReader(bufio.NewReader(conn))
}

// ErrPlaintext is the error of a server, or of somebody in between, that speaks plaintext where TLS has to begin.
var ErrPlaintext = errors.New("plaintext received after the reply to AUTH TLS")

// StartTLS shakes hands over the connection. Bytes that arrived in plaintext after the reply to AUTH were injected by
// somebody in between (CVE-2021-22947) and are fatal.
func (c *Control) StartTLS(ctx context.Context, cfg *tls.Config) error {
	if c.replies.Buffered() > 0 {
		return c.fail(ErrPlaintext)
	}
	conn := tls.Client(c.sock, cfg)
	c.Rest()
	c.arm(0) // ctx has the say
	if err := conn.HandshakeContext(ctx); err != nil {
		return c.fail(err)
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
	if c.err != nil {
		return c.err
	}
	if len(lines) == 0 {
		return nil
	}
	if err := c.endRename(lines[0]); err != nil {
		return err
	}
	if len(c.pending) == 0 {
		if err := c.listen(); err != nil {
			return c.fail(err)
		}
	}
	c.arm(c.replyTimeout())
	var b strings.Builder
	for _, line := range lines {
		verb, _, _ := strings.Cut(line, " ")
		if verb == "RNFR" {
			c.rnfr = line
		}
		c.trace(">", verb, line)
		c.pending = append(c.pending, verb)
		if c.telnet {
			line = strings.ReplaceAll(line, IAC, IAC+IAC)
		}
		b.WriteString(line)
		b.WriteString("\r\n")
	}
	if _, err := c.plain.Write([]byte(b.String())); err != nil {
		return c.fail(err)
	}
	return nil
}

// IAC begins a command of Telnet (RFC 854), whose protocol the control connection has by RFC 959 and on few servers. In names it is
// the я of windows-1251.
const IAC = "\xff"

// Telnet has each IAC in a command doubled from now on, which stands for one in the text.
func (c *Control) Telnet() { c.telnet = true }

// Renaming is the RNFR that was granted and not followed by RNTO; "": there is none.
func (c *Control) Renaming() string { return c.renaming }

// endRename ends a rename that was begun and is not what line goes on with: the file is renamed to its own name. Until then
// ProFTPD answers all but RNTO, NOOP and QUIT by 501, which would be taken for what it says of a file, and its next RNTO renames
// what was to be renamed before.
func (c *Control) endRename(line string) error {
	verb, _, _ := strings.Cut(line, " ")
	if c.renaming == "" || verb == "RNTO" || verb == "NOOP" || verb == "QUIT" {
		return nil
	}
	if len(c.pending) > 0 {
		return c.fail(fmt.Errorf("%w: a rename was begun while more was to be answered", ErrOutOfStep))
	}
	timeout := c.timeout
	if err := c.Send("RNTO" + strings.TrimPrefix(c.renaming, "RNFR")); err != nil {
		return err
	}
	c.timeout = 0
	r, err := c.Reply()
	for err == nil && r.Preliminary() {
		r, err = c.Reply()
	}
	if err == nil {
		err = c.err // 421: the server is leaving
	}
	c.timeout = timeout
	return err
}

func (c *Control) fail(err error) error {
	if c.err == nil {
		c.err = err
	}
	return err
}

// Err is the first error of the connection itself, nil as long as its replies can be trusted to answer its commands.
func (c *Control) Err() error { return c.err }

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
		return c.fail(fmt.Errorf("%w: a command was sent ahead and not issued", ErrOutOfStep))
	}
	c.ahead = c.ahead[1:]
	return nil
}

// Ahead tells whether lines sent ahead have not been issued yet.
func (c *Control) Ahead() bool { return len(c.ahead) > 0 }

// Quiet reports, without waiting, that the connection is open and the server has said nothing since the last reply. It is
// meaningful while no command is pending.
func (c *Control) Quiet() bool { return c.Settled() && c.listen() == nil }

// listen finds, without waiting, what the server said unasked before a command would be answered by it.
func (c *Control) listen() error {
	switch {
	case c.isCancelled():
		return os.ErrDeadlineExceeded
	case c.replies.Buffered() > 0:
		return ErrOutOfStep
	}
	switch peek(c.raw) {
	case peekSilent: // but TLS may hold a reply that came in a record of its own
		if c.TLS() == nil {
			return nil
		}
	case peekEnded:
		return io.ErrUnexpectedEOF
	case peekUnknown: // only reading tells
		c.arm(time.Millisecond)
		defer c.arm(0)
	case peekBytes:
		if c.TLS() == nil {
			return ErrOutOfStep
		}
		c.arm(c.replyTimeout()) // they may be a session ticket; a deadline that has passed would hide them
	}
	c.sock.probing = true
	_, err := c.replies.Peek()
	c.sock.probing = false
	switch {
	case err == nil:
		return ErrOutOfStep
	case timedOut(err):
		return nil
	}
	return err
}

// Reply blocks for the next reply, whichever command it answers.
func (c *Control) Reply() (reply.Reply, error) { return c.read(c.replies.Read) }

// rearmEach is how much of a listing has to come within the time of one reply.
const rearmEach = 64 << 10

// ReplyRows is Reply for a listing on the control connection, whose rows are not kept but given to row as they come. Its time
// begins anew with each rearmEach bytes, so that a slow line can carry a large one. An error of row is fatal to the connection.
func (c *Control) ReplyRows(row func(line string) error) (reply.Reply, error) {
	timeout, got := c.replyTimeout(), 0
	return c.read(func() (reply.Reply, error) {
		return c.replies.ReadRows(func(line string) error {
			if got += len(line); got >= rearmEach {
				c.arm(timeout)
				got = 0
			}
			return row(line)
		})
	})
}

func (c *Control) read(next func() (reply.Reply, error)) (reply.Reply, error) {
	c.arm(c.replyTimeout())
	c.timeout = 0
	verb := ""
	if len(c.pending) > 0 {
		verb = c.pending[0]
	}
	r, err := next()
	if err != nil {
		return reply.Reply{}, c.fail(err)
	}
	c.received++
	c.hide(verb, r)
	if c.opts.Trace != nil {
		c.trace("<", verb, fmt.Sprintf("%d %s", r.Code, r.Text()))
	}
	switch {
	case r.Code == 421: // the server is leaving, whatever was asked (RFC 959 section 4.2)
		c.pending, c.started = nil, false
		_ = c.fail(reply.Err(verb, r))
	case r.Preliminary():
		if c.started {
			return reply.Reply{}, c.fail(fmt.Errorf("%w: a second preliminary one, %d", reply.ErrMalformed, r.Code))
		}
		c.started = len(c.pending) > 0
	case len(c.pending) > 0:
		c.pending, c.started = c.pending[1:], false
	}
	switch {
	case r.Code == 530 && c.admitted:
		c.loggedOut = true
		c.denied++
	case r.Done() && ofUser(verb):
		c.loggedOut = false
	case verb == "RNFR" && r.Code == 350:
		c.renaming = c.rnfr
	case verb == "RNTO":
		c.renaming = ""
	}
	c.last, c.lastVerb = r, verb
	return r, nil
}

// Last is the last reply that was read and the verb that it answered.
func (c *Control) Last() (verb string, r reply.Reply) { return c.lastVerb, c.last }

// Received is how many replies have been read.
func (c *Control) Received() int { return c.received }

// Served is how many replies have been read, without those of a server that does not know who asks (530).
func (c *Control) Served() int { return c.received - c.denied }

// Settled tells that every command sent has had its final reply, and that nothing went wrong before.
func (c *Control) Settled() bool {
	return c.err == nil && len(c.pending) == 0 && len(c.answers) == 0 && len(c.ahead) == 0
}

// SetNextTimeout bounds the next reply in place of ReplyTimeout: the last reply to a large upload takes its time.
func (c *Control) SetNextTimeout(d time.Duration) { c.timeout = d }

func (c *Control) replyTimeout() time.Duration {
	if c.timeout > 0 {
		return c.timeout
	}
	return c.opts.ReplyTimeout
}

// Rest ends what SetNextTimeout said. The deadline may stand: nobody waits until the next command sets its own.
func (c *Control) Rest() { c.timeout = 0 }

// Disarm takes the deadline off until the next command.
func (c *Control) Disarm() { c.arm(0) }

// Answer queues a reply for jlaffaye to read as if the server had sent it.
func (c *Control) Answer(r reply.Reply) { c.answers = append(c.answers, r.Bytes()...) }

// Presume tells jlaffaye that the server grants the transfer that is about to be asked for, before it has. The true 1xx
// reply is passed over, once granted was called, and a refusal comes in place of the final reply.
func (c *Control) Presume(granted func()) {
	c.presumed, c.granted = true, granted
	c.Answer(reply.Reply{Code: 150, Lines: []string{"presumed"}})
}

// Granted tells whether the server granted the transfer that was presumed to be.
func (c *Control) Granted() bool { return !c.presumed }

// Read hands jlaffaye the next reply.
func (c *Control) Read(p []byte) (int, error) {
	if len(c.answers) == 0 {
		final, timeout := c.started, c.timeout
		r, err := c.Reply()
		if err == nil && c.presumed && r.Preliminary() {
			c.presumed, final = false, true
			c.granted()
			c.timeout = timeout // was meant for the final one
			r, err = c.Reply()
		}
		if err != nil {
			return 0, err
		}
		if r.Preliminary() && !opensData(c.lastVerb) {
			return 0, c.fail(fmt.Errorf("%w: %s: %d", reply.ErrMalformed, c.lastVerb, r.Code))
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

// opensData tells the commands of jlaffaye to which a 1xx reply is an answer. It would take one to any other for the final
// one, and be out of step.
func opensData(verb string) bool {
	return slices.Contains([]string{"RETR", "STOR", "APPE", "LIST", "MLSD"}, verb)
}

// Write takes a command line from jlaffaye. One longer than its buffer comes in pieces, and only the whole is a command.
func (c *Control) Write(p []byte) (int, error) {
	c.written = append(c.written, p...)
	if !bytes.HasSuffix(c.written, []byte("\n")) {
		return len(p), nil
	}
	line := strings.TrimRight(string(c.written), "\r\n")
	c.written, c.presumed = nil, false
	if c.opts.Intercept != nil {
		send, answer, err := c.opts.Intercept(line)
		if err != nil {
			return 0, c.fail(err) // jlaffaye's writer does not recover from it
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
	if verb, _, _ := strings.Cut(line, " "); c.opts.Asked != nil && opensData(verb) {
		c.opts.Asked()
	}
	return len(p), nil
}

func (c *Control) trace(direction, verb, text string) {
	if c.opts.Trace == nil {
		return
	}
	if direction == ">" && verb == "PASS" {
		text = "PASS ***"
	}
	if len(c.opts.Secret) >= minSecret {
		text = strings.ReplaceAll(text, c.opts.Secret, "***")
	}
	c.opts.Trace(direction, reply.Printable(text))
}

// minSecret keeps a short password from tearing other words of a refusal apart.
const minSecret = 4

// hide takes the Secret out of a reply that may reach an error: every refusal, and whatever answers PASS.
func (c *Control) hide(verb string, r reply.Reply) {
	if c.opts.Secret == "" || (verb != "PASS" && (r.Code < 300 || len(c.opts.Secret) < minSecret)) {
		return
	}
	for i, line := range r.Lines {
		r.Lines[i] = strings.ReplaceAll(line, c.opts.Secret, "***")
	}
}

// Cancel ends every wait on the connection, now and later.
func (c *Control) Cancel() { c.cancel() }

// Close closes the socket at once: a close_notify could block on a full one. Of commands that were not answered, but for QUIT, what
// has not arrived yet never will: after an outage it would be delivered, and done, minutes later.
func (c *Control) Close() error {
	if slices.ContainsFunc(c.pending, func(verb string) bool { return verb != "QUIT" }) {
		return reset(c.raw)
	}
	return c.raw.Close()
}

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
