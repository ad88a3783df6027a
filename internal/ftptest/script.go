package ftptest

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"time"
)

// ScriptServer runs a handler for each control connection. The end of the test closes it, with every connection.
type ScriptServer struct {
	listening
	faults []string // guarded by mu
}

// Script starts a server whose every answer is written by handler, which runs on a goroutine for each control
// connection. The connection is closed when handler returns, and handler is ended when the client has gone.
func Script(tb TB, handler func(c *Conn)) *ScriptServer {
	tb.Helper()
	s := &ScriptServer{}
	if err := s.listen(); err != nil {
		tb.Fatalf("%v", err)
	}
	s.serve(func(conn *net.TCPConn) {
		c := &Conn{server: s, tcp: conn, conn: conn, r: bufio.NewReader(conn)}
		defer func() { _ = c.Close() }()
		handler(c)
	})
	tb.Cleanup(func() {
		if s.close(); len(s.faults) > 0 {
			tb.Fatalf("ftptest: script: %s", strings.Join(s.faults, "; "))
		}
	})
	return s
}

// Addr returns host:port.
func (s *ScriptServer) Addr() string { return s.listener.Addr().String() }

// Host returns 127.0.0.1.
func (s *ScriptServer) Host() string { return "127.0.0.1" }

// Port returns the port of the control connection.
func (s *ScriptServer) Port() int { return portOf(s.listener) }

// Conn is a control connection as a script sees it. Its methods end the handler when the client has gone.
type Conn struct {
	server *ScriptServer
	tcp    net.Conn
	conn   net.Conn
	r      *bufio.Reader
}

// Send writes raw bytes; line ends are the caller's.
func (c *Conn) Send(raw string) {
	if _, err := io.WriteString(c.conn, raw); err != nil {
		runtime.Goexit()
	}
}

// ReadLine returns the next command without its line end.
func (c *Conn) ReadLine() string {
	line, err := c.r.ReadString('\n')
	if err != nil {
		runtime.Goexit()
	}
	return strings.TrimRight(line, "\r\n")
}

// Pending reports whether commands have come that were not read.
func (c *Conn) Pending() bool { return c.r.Buffered() > 0 }

// Comes reports whether a command comes within d.
func (c *Conn) Comes(d time.Duration) bool {
	_ = c.conn.SetReadDeadline(time.Now().Add(d))
	defer func() { _ = c.conn.SetReadDeadline(time.Time{}) }()
	_, err := c.r.Peek(1)
	return err == nil
}

// Flush forgets the commands that have come and were not read.
func (c *Conn) Flush() { _, _ = c.r.Discard(c.r.Buffered()) }

// Expect reads the next command and returns it. One that does not begin with prefix fails the test and ends the
// handler.
func (c *Conn) Expect(prefix string) string {
	line := c.ReadLine()
	if !strings.HasPrefix(line, prefix) {
		c.fail("want %q, got %q", prefix, line)
	}
	return line
}

// fail is told to the test at its end: only its own goroutine may fail it.
func (c *Conn) fail(format string, args ...any) {
	c.server.mu.Lock()
	c.server.faults = append(c.server.faults, fmt.Sprintf(format, args...))
	c.server.mu.Unlock()
	runtime.Goexit()
}

// StartTLS shakes hands as the server; nil stands for a configuration of ServerTLS. A client that breaks off ends the handler.
func (c *Conn) StartTLS(cfg *tls.Config) {
	if cfg == nil {
		var err error
		if cfg, err = ServerTLS(); err != nil {
			c.fail("%v", err)
		}
	}
	conn := tls.Server(c.tcp, cfg)
	if conn.Handshake() != nil { //nolint:noctx // the end of the test closes the socket
		runtime.Goexit()
	}
	c.conn, c.r = conn, bufio.NewReader(conn)
}

// Close closes the connection; under TLS with close_notify.
func (c *Conn) Close() error { return c.conn.Close() }

// Reset closes the connection with RST.
func (c *Conn) Reset() {
	if t, ok := c.tcp.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.tcp.Close()
}

// DataListener waits for data connections of one control connection.
type DataListener struct {
	c *Conn
	l net.Listener
}

// Listen opens a port for data connections. The caller closes it, or the end of the test does.
func (c *Conn) Listen() *DataListener {
	l, err := listenLoopback()
	if err != nil {
		c.fail("%v", err)
	}
	c.server.track(l)
	return &DataListener{c: c, l: l}
}

// Port returns the port to connect to.
func (d *DataListener) Port() int { return portOf(d.l) }

// EPSV returns the reply to EPSV, with its line end.
func (d *DataListener) EPSV() string {
	return fmt.Sprintf("229 Entering Extended Passive Mode (|||%d|)\r\n", d.Port())
}

// PASV returns the reply to PASV, with its line end.
func (d *DataListener) PASV() string {
	return fmt.Sprintf("227 Entering Passive Mode (127,0,0,1,%d,%d).\r\n", d.Port()>>8, d.Port()&0xff)
}

// Accept returns the next data connection. The caller closes it, or the end of the test does.
func (d *DataListener) Accept() net.Conn {
	conn, err := d.l.Accept()
	if err != nil {
		runtime.Goexit()
	}
	d.c.server.track(conn)
	return conn
}

// Close closes the port.
func (d *DataListener) Close() { d.c.server.untrack(d.l) }
