package ftptest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

const (
	dataTimeout    = 10 * time.Second // for a data connection to be opened, and for a TLS handshake
	maxCommandLine = 64 << 10
)

var errGone = errors.New("ftptest: session over")

type command struct {
	cmd, arg string
	line     string // as it came, without line end
}

// session is one control connection: one goroutine reads commands, run does them one after another.
type session struct {
	srv   *Server
	raw   clientConn // below TLS
	conn  net.Conn   // what the client and we talk on; changed by run only
	waits waits

	commands chan command  // closed when the client has gone
	gone     chan struct{} // closed when the client has gone, whatever is still queued in commands
	ended    chan struct{} // closed when run returns
	upgraded chan net.Conn // after each AUTH: what to read from

	backend net.Conn
	replies *bufio.Reader

	tlsConfig *tls.Config // of this control connection alone, as are its tickets
	secured   bool        // the control connection speaks TLS
	private   bool        // PROT P
	restart   bool        // the command before was REST with an offset
	pending   *dataPlan   // made by PASV, EPSV, PORT or EPRT

	mu   sync.Mutex
	data clientConn // guarded by mu: the data connection of the running transfer
}

func newSession(srv *Server, conn *net.TCPConn) *session {
	s := &session{
		srv: srv, commands: make(chan command, 1024), gone: make(chan struct{}), ended: make(chan struct{}),
		upgraded: make(chan net.Conn, 1),
	}
	s.raw = srv.wrap(conn, &s.waits)
	s.conn = s.raw
	return s
}

func (s *session) run() {
	defer close(s.ended)
	defer func() { _ = s.conn.Close() }()

	admitted := s.srv.admit(s)
	if admitted {
		defer s.srv.leave(s)
	}
	// A connection is the server's after the client's ACK: one and a half trips.
	if !s.srv.sleep(s.srv.opts.Latency * 3 / 2) {
		return
	}
	if s.srv.opts.TLS == Implicit && s.secure() != nil {
		return
	}
	if !admitted {
		_ = s.reply("CONNECT", "", s.srv.opts.TooManyReply+"\r\n")
		return
	}
	s.srv.wg.Go(func() { s.readCommands(s.conn) })
	if s.greet() != nil {
		return
	}
	defer func() { _ = s.backend.Close() }()
	defer func() { s.plan(nil) }()
	s.serve()
}

// serve does commands until the client goes or something ends the session.
func (s *session) serve() {
	for {
		c, err := s.next()
		if err != nil {
			return
		}
		err = s.do(c)
		if c.cmd == "AUTH" && s.srv.opts.TLS == Explicit {
			s.upgraded <- s.conn
		}
		if err != nil {
			return
		}
	}
}

// next waits for a command, no longer than the idle time-out.
func (s *session) next() (command, error) {
	var idle <-chan time.Time
	if d := s.srv.opts.IdleTimeout; d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		idle = t.C
	}
	select {
	case c, ok := <-s.commands:
		if !ok {
			return command{}, errGone
		}
		return c, nil
	case <-idle:
		_ = s.reply("", "", "421 Idle too long\r\n")
		return command{}, errGone
	}
}

// greet connects to the backend and sends the greeting.
func (s *session) greet() error {
	fault := s.srv.takeFault("CONNECT", "")
	switch {
	case fault.is(CutControl, CutBoth, DropFinalReply):
		s.cutControl()
		return errGone
	case fault.is(StallReply, StallControl):
		return s.stall()
	}
	backend, err := dialLoopback(s.srv.backend.port)
	if err != nil {
		return err
	}
	s.srv.remember(backend)
	s.backend = &rawConn{TCPConn: backend, srv: s.srv}
	s.replies = bufio.NewReader(s.backend)
	if _, err = readReply(s.replies); err == nil {
		err = s.answer(command{cmd: "CONNECT"}, fault, multiline("220", s.srv.opts.Banner))
	}
	if err != nil {
		_ = s.backend.Close()
	}
	return err
}

// secure shakes hands on the control connection.
func (s *session) secure() error {
	conn, err := s.handshake(s.raw)
	if err != nil {
		return err
	}
	s.conn, s.secured = conn, true
	return nil
}

func (s *session) handshake(below net.Conn) (*tls.Conn, error) {
	if s.tlsConfig == nil {
		cfg, err := ServerTLS()
		if err != nil {
			return nil, err
		}
		cfg.MaxVersion = s.srv.opts.TLSMax
		if s.srv.opts.ClientCert {
			cfg.ClientAuth, cfg.ClientCAs = tls.RequireAndVerifyClientCert, s.srv.cert.pool
		}
		s.tlsConfig = cfg
	}
	ctx, cancel := context.WithTimeout(context.Background(), dataTimeout)
	defer cancel()
	conn := tls.Server(below, s.tlsConfig)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("ftptest: %w", err)
	}
	return conn, nil
}

// readCommands feeds run with commands. After AUTH it waits for run to say what to read from, and what came
// behind AUTH in plain text is forgotten then.
func (s *session) readCommands(conn net.Conn) {
	defer close(s.commands)
	defer close(s.gone)
	var pending []byte
	buf := make([]byte, 16<<10)
	for {
		n, err := conn.Read(buf)
		pending = append(pending, buf[:n]...)
		if bytes.IndexByte(pending, '\n') >= 0 && s.waits.take() {
			s.srv.counters.update(func(st *Stats) { st.RoundTrips++ })
		}
		for {
			line, rest, ok := bytes.Cut(pending, []byte{'\n'})
			if !ok {
				break
			}
			pending = rest
			c := parseCommand(strings.TrimSuffix(string(line), "\r"))
			s.srv.counters.command(c.cmd, c.arg)
			if c.cmd == "ABOR" {
				s.dropData()
			}
			select {
			case s.commands <- c:
			case <-s.ended:
				return
			}
			if c.cmd == "AUTH" && s.srv.opts.TLS == Explicit {
				select {
				case next := <-s.upgraded:
					if next != conn {
						conn, pending = next, nil
					}
				case <-s.ended:
					return
				}
			}
		}
		if err != nil || len(pending) > maxCommandLine {
			return
		}
	}
}

func parseCommand(line string) command {
	cmd, arg, _ := strings.Cut(line, " ")
	return command{cmd: strings.ToUpper(cmd), arg: arg, line: line}
}

// ask has the backend do a command and returns its reply.
func (s *session) ask(line string) ([]byte, error) {
	if _, err := s.backend.Write([]byte(line + "\r\n")); err != nil {
		return nil, err
	}
	return readReply(s.replies)
}

// answer sends a reply, or what the fault makes of it. For a transfer it is the final reply.
func (s *session) answer(c command, fault *Fault, reply string) error {
	switch {
	case fault.is(SlowFinal):
		if !s.pause(fault.Delay) {
			return errGone
		}
	case fault.is(StallReply):
		return s.stall()
	case fault.is(DropFinalReply):
		s.cutControl()
		return errGone
	case fault.is(Refuse):
		reply = fault.reply("550 Refused") + "\r\n"
	case fault.is(FinalReply):
		reply = fault.reply("250 Done") + "\r\n"
	case fault.is(ExtraReply):
		reply += fault.reply("200 And another thing") + "\r\n"
	}
	return s.reply(c.cmd, c.arg, reply)
}

// reply sends a complete reply. A 421 is the last thing that a server says.
func (s *session) reply(cmd, arg, reply string) error {
	if rewrite := s.srv.opts.Reply; rewrite != nil {
		reply = string(rewrite(cmd, arg, []byte(reply)))
	}
	if reply == "" {
		return nil
	}
	if _, err := s.conn.Write([]byte(reply)); err != nil {
		return err
	}
	if strings.HasPrefix(reply, "421") {
		return errGone
	}
	return nil
}

// stall waits until the client has gone.
func (s *session) stall() error {
	select {
	case <-s.gone:
	case <-s.srv.done:
	}
	return errGone
}

// pause waits, and reports false when the client goes meanwhile.
func (s *session) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.gone:
	case <-s.srv.done:
	}
	return false
}

// cutControl closes the control connection without a word, and without close_notify.
func (s *session) cutControl() { _ = s.raw.Close() }

// dropData closes the data connection of the running transfer, if there is one.
func (s *session) dropData() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.data != nil {
		_ = s.data.Close()
	}
}

func (s *session) setData(c clientConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data = c
}

func (s *Server) takeFault(cmd, arg string) *Fault {
	f := s.faults.take(cmd, arg)
	if f != nil {
		s.counters.update(func(st *Stats) { st.Faults++ })
	}
	return f
}

// readReply reads one complete reply (RFC 959, 4.2).
func readReply(r *bufio.Reader) ([]byte, error) {
	var reply []byte
	for end := ""; ; {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return nil, err
		}
		reply = append(reply, line...)
		switch {
		case end == "" && len(line) > 3 && line[3] == '-':
			end = string(line[:3]) + " "
		case end == "", strings.HasPrefix(string(line), end):
			return reply, nil
		}
	}
}

// multiline makes a reply of a text, with a hyphen after the code in all lines but the last.
func multiline(code, text string) string {
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	var b strings.Builder
	for i, line := range lines {
		sep := "-"
		if i == len(lines)-1 {
			sep = " "
		}
		b.WriteString(code + sep + line + "\r\n")
	}
	return b.String()
}
