package ftptest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// SOCKSOptions say how a SOCKSServer behaves.
type SOCKSOptions struct {
	User, Password string // asked for where User is not ""
	Refuse         byte   // every request is refused with this reply of RFC 1928, section 6; 0: none is
	Silent         bool   // nothing is ever answered
	HideResets     bool   // a reset on one side is a plain end on the other, as through a proxy in user space
}

// SOCKSServer is a SOCKS5 proxy on 127.0.0.1 (RFC 1928).
type SOCKSServer struct {
	listening
	opts  SOCKSOptions
	asked []string // guarded by mu
}

// SOCKS starts a proxy that is closed when the test ends.
func SOCKS(tb TB, o SOCKSOptions) *SOCKSServer {
	tb.Helper()
	s := &SOCKSServer{opts: o}
	if err := s.listen(); err != nil {
		tb.Fatalf("%v", err)
	}
	s.serve(func(conn *net.TCPConn) {
		if target, err := s.negotiate(conn); err == nil {
			s.relay(conn, target)
		}
	})
	tb.Cleanup(s.close)
	return s
}

// URL returns the proxy's address with user and password.
func (s *SOCKSServer) URL() string {
	u := url.URL{Scheme: "socks5", Host: s.listener.Addr().String()}
	if s.opts.User != "" {
		u.User = url.UserPassword(s.opts.User, s.opts.Password)
	}
	return u.String()
}

// Asked returns the addresses that were asked for.
func (s *SOCKSServer) Asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.asked...)
}

var errSOCKS = errors.New("ftptest: refused by the proxy")

// negotiate connects to what the client asks for.
func (s *SOCKSServer) negotiate(conn *net.TCPConn) (*net.TCPConn, error) {
	if s.opts.Silent {
		_, err := io.Copy(io.Discard, conn)
		return nil, errors.Join(errSOCKS, err)
	}
	methods, err := counted(conn, 1)
	if err != nil {
		return nil, err
	}
	method := byte(0)
	if s.opts.User != "" {
		method = 2
	}
	if bytes.IndexByte(methods, method) < 0 {
		_, _ = conn.Write([]byte{5, 0xff})
		return nil, errSOCKS
	}
	if _, err := conn.Write([]byte{5, method}); err != nil {
		return nil, err
	}
	if err := s.authenticate(conn, method); err != nil {
		return nil, err
	}
	addr, err := readTarget(conn)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.asked = append(s.asked, addr)
	s.mu.Unlock()
	if s.opts.Refuse != 0 {
		_, _ = conn.Write([]byte{5, s.opts.Refuse, 0, 1, 0, 0, 0, 0, 0, 0})
		return nil, errSOCKS
	}
	target, err := dialTCP(addr)
	if err != nil {
		_, _ = conn.Write([]byte{5, 5, 0, 1, 0, 0, 0, 0, 0, 0})
		return nil, err
	}
	s.track(target)
	_, err = conn.Write([]byte{5, 0, 0, 1, 127, 0, 0, 1, 0, 0})
	return target, err
}

func (s *SOCKSServer) authenticate(conn net.Conn, method byte) error {
	if method == 0 {
		return nil
	}
	user, err := counted(conn, 1)
	if err != nil {
		return err
	}
	password, err := counted(conn, 0)
	if err != nil {
		return err
	}
	if string(user) != s.opts.User || string(password) != s.opts.Password {
		_, _ = conn.Write([]byte{1, 1})
		return errSOCKS
	}
	_, err = conn.Write([]byte{1, 0})
	return err
}

// counted reads skip bytes, a length, and that many bytes.
func counted(r io.Reader, skip int) ([]byte, error) {
	head := make([]byte, skip+1)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	b := make([]byte, head[skip])
	_, err := io.ReadFull(r, b)
	return b, err
}

func readTarget(r io.Reader) (string, error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(r, head); err != nil {
		return "", err
	}
	var host string
	switch head[3] {
	case 3:
		name, err := counted(r, 0)
		if err != nil {
			return "", err
		}
		host = string(name)
	default:
		ip := make(net.IP, map[byte]int{1: net.IPv4len, 4: net.IPv6len}[head[3]])
		if _, err := io.ReadFull(r, ip); err != nil {
			return "", err
		}
		host = ip.String()
	}
	var port [2]byte
	_, err := io.ReadFull(r, port[:])
	return net.JoinHostPort(host, strconv.Itoa(int(binary.BigEndian.Uint16(port[:])))), err
}

// relay moves bytes both ways until both sides have ended, or one was reset.
func (s *SOCKSServer) relay(client, target *net.TCPConn) {
	defer s.untrack(target)
	var both sync.WaitGroup
	both.Go(func() { s.copy(target, client) })
	both.Go(func() { s.copy(client, target) })
	both.Wait()
}

func (s *SOCKSServer) copy(to, from *net.TCPConn) {
	_, err := io.Copy(to, from)
	if errors.Is(err, syscall.ECONNRESET) && !s.opts.HideResets {
		_ = to.SetLinger(0)
		_ = to.Close()
		return
	}
	_ = to.CloseWrite()
	if err != nil {
		_ = from.SetReadDeadline(time.Now())
		_ = to.SetReadDeadline(time.Now())
	}
}

// Hidden opens connections that are nothing but a net.Conn, as those through many proxies and tunnels are. Where Layers is
// set, they tell what they lie on, as a *tls.Conn does.
type Hidden struct {
	Layers bool

	mu    sync.Mutex
	addrs []string // guarded by mu
}

// DialContext is for a configuration.
func (h *Hidden) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	h.mu.Lock()
	h.addrs = append(h.addrs, addr)
	h.mu.Unlock()
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	if h.Layers {
		return layered{hidden{conn}}, nil
	}
	return hidden{conn}, nil
}

// Dialed returns the addresses that were dialled, those too whose connection was given up meanwhile.
func (h *Hidden) Dialed() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.addrs...)
}

type hidden struct{ net.Conn }

type layered struct{ hidden }

func (l layered) NetConn() net.Conn { return l.Conn }
