package ftptest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Server is an FTP server on 127.0.0.1, or ::1. It is safe for concurrent use.
type Server struct {
	opts     Options
	dir      string
	ownsDir  bool
	listener *net.TCPListener
	backend  *backend
	cert     *authority
	faults   faults
	counters counters

	done chan struct{} // closed by Close
	once sync.Once
	wg   sync.WaitGroup // every goroutine of the proxy

	mu       sync.Mutex
	closed   bool                   // guarded by mu, as are the two below
	sockets  map[io.Closer]struct{} // what Close must close
	sessions map[*session]struct{}
}

// New starts a server. The caller closes it.
func New(o Options) (*Server, error) {
	o = o.withDefaults()
	cert, err := theAuthority()
	if err != nil {
		return nil, err
	}
	s := &Server{
		opts: o, dir: o.Dir, cert: cert,
		done: make(chan struct{}), sockets: map[io.Closer]struct{}{}, sessions: map[*session]struct{}{},
	}
	s.counters.reset()
	s.faults.set(o.Faults)
	if s.dir == "" {
		if s.dir, err = os.MkdirTemp("", "ftptest-"); err != nil {
			return nil, fmt.Errorf("ftptest: %w", err)
		}
		s.ownsDir = true
	}
	if s.backend, err = startBackend(s.dir, o); err != nil {
		return nil, errors.Join(err, s.removeDir())
	}
	if s.listener, err = listenOn(o.loopback()); err != nil {
		s.backend.close()
		return nil, errors.Join(err, s.removeDir())
	}
	s.wg.Go(s.accept)
	return s, nil
}

// Start starts a server that is closed when the test ends; it fails the test if it cannot.
func Start(tb TB, o Options) *Server {
	tb.Helper()
	if o.Dir == "" {
		o.Dir = tb.TempDir()
	}
	s, err := New(o)
	if err != nil {
		tb.Fatalf("ftptest: %v", err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Fatalf("ftptest: close: %v", err)
		}
	})
	return s
}

// Close closes every connection and waits until everything has ended. It may be called more than once.
func (s *Server) Close() error {
	var err error
	s.once.Do(func() {
		close(s.done)
		s.mu.Lock()
		s.closed = true
		open := s.sockets
		s.sockets = map[io.Closer]struct{}{}
		s.mu.Unlock()
		_ = s.listener.Close()
		for c := range open {
			_ = c.Close()
		}
		s.wg.Wait()
		s.backend.close()
		err = s.removeDir()
	})
	return err
}

func (s *Server) removeDir() error {
	if !s.ownsDir {
		return nil
	}
	return os.RemoveAll(s.dir)
}

// Addr returns host:port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Host returns 127.0.0.1, or ::1.
func (s *Server) Host() string { return s.opts.loopback().String() }

// Port returns the port of the control connection.
func (s *Server) Port() int { return portOf(s.listener) }

// User returns the only user's name.
func (s *Server) User() string { return s.opts.User }

// Password returns the only user's password.
func (s *Server) Password() string { return s.opts.Password }

// Dir returns the served folder.
func (s *Server) Dir() string { return s.dir }

// URL returns the address of a path, with user and password: ftp, ftpes (explicit TLS) or ftps (implicit).
func (s *Server) URL(path string) string {
	if path == "" || path[0] != '/' {
		path = "/" + path
	}
	u := url.URL{
		Scheme: map[TLSMode]string{Plain: "ftp", Explicit: "ftpes", Implicit: "ftps"}[s.opts.TLS],
		User:   url.UserPassword(s.opts.User, s.opts.Password), Host: s.Addr(), Path: path,
	}
	return u.String()
}

// CertPool returns a pool that trusts the server's certificate.
func (s *Server) CertPool() *x509.CertPool { return s.cert.pool.Clone() }

// CertPEM returns the CA's certificate in PEM, as for a CA file.
func (s *Server) CertPEM() []byte { return append([]byte(nil), s.cert.pem...) }

// ClientCertificate returns a certificate that ClientCert accepts.
func (s *Server) ClientCertificate() tls.Certificate { return s.cert.leaf }

// Stats returns a copy of the counters.
func (s *Server) Stats() Stats { return s.counters.snapshot() }

// ResetStats sets the counters to zero; Open stays, and MaxOpen becomes Open.
func (s *Server) ResetStats() { s.counters.reset() }

// SetFaults replaces the faults in force and starts their counters anew. A transfer that runs keeps its own.
func (s *Server) SetFaults(f ...Fault) { s.faults.set(f) }

// CloseControlConnections closes the control connections of now, as a restart or a NAT box does; data connections
// in use go on. New connections are served.
func (s *Server) CloseControlConnections() {
	s.mu.Lock()
	open := slices.Collect(maps.Keys(s.sessions))
	s.mu.Unlock()
	for _, c := range open {
		c.cutControl()
	}
}

func (s *Server) accept() {
	for {
		conn, err := s.listener.AcceptTCP()
		if err != nil {
			return
		}
		c := newSession(s, conn)
		s.wg.Go(c.run)
	}
}

// admit counts a new control connection and reports whether it may stay.
func (s *Server) admit(c *session) bool {
	ok := true
	s.counters.update(func(st *Stats) {
		st.Conns++
		st.RoundTrips++
		if ok = s.opts.MaxConns <= 0 || st.Open < s.opts.MaxConns; ok {
			st.Open++
			st.MaxOpen = max(st.MaxOpen, st.Open)
		}
	})
	if ok {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.sessions[c] = struct{}{}
	}
	return ok
}

func (s *Server) leave(c *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, c)
	s.counters.update(func(st *Stats) { st.Open-- })
}

// wrap takes over a client's socket: Close will close it, and it has the latency asked for.
func (s *Server) wrap(conn *net.TCPConn, w *waits) clientConn {
	raw := &rawConn{TCPConn: conn, srv: s, wait: w}
	s.remember(conn)
	if s.opts.Latency <= 0 {
		return raw
	}
	return newDelayConn(raw, s.opts.Latency/2)
}

// remember has Close close c; after Close it is closed at once.
func (s *Server) remember(c io.Closer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = c.Close()
		return
	}
	s.sockets[c] = struct{}{}
}

func (s *Server) forget(c io.Closer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sockets, c)
}

// sleep waits for d and reports whether the server still runs.
func (s *Server) sleep(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.done:
		return false
	}
}

func listenLoopback() (*net.TCPListener, error) { return listenOn(net.IPv4(127, 0, 0, 1)) }

func listenOn(ip net.IP) (*net.TCPListener, error) {
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: ip})
	if err != nil {
		return nil, fmt.Errorf("ftptest: listen: %w", err)
	}
	return l, nil
}

func portOf(l net.Listener) int {
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(port)
	return n
}

func dialLoopback(port int) (*net.TCPConn, error) {
	return dialTCP(net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
}

func dialTCP(addr string) (*net.TCPConn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), dataTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("ftptest: dial: %w", err)
	}
	return conn.(*net.TCPConn), nil
}
