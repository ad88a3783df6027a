package ftptest

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// dataPlan is what PASV, EPSV, PORT or EPRT agreed on: how to get the client's data connection, and the port
// where the backend waits for ours.
type dataPlan struct {
	s        *session
	port     int
	listener *net.TCPListener // passive
	accepted chan clientConn  // passive: gets one connection, or is closed without
	peer     string           // active
}

func passivePlan(s *session, backendPort int) (*dataPlan, error) {
	l, err := listenOn(s.srv.opts.loopback())
	if err != nil {
		return nil, err
	}
	s.srv.remember(l)
	p := &dataPlan{s: s, port: backendPort, listener: l, accepted: make(chan clientConn, 1)}
	s.srv.wg.Go(p.accept)
	return p, nil
}

func activePlan(s *session, peer string, backendPort int) *dataPlan {
	return &dataPlan{s: s, port: backendPort, peer: peer}
}

// accept takes one connection, which is the server's after one and a half trips.
func (p *dataPlan) accept() {
	defer close(p.accepted)
	conn, err := p.listener.AcceptTCP()
	p.closeListener()
	if err != nil {
		return
	}
	p.s.countData()
	c := p.s.srv.wrap(conn, nil)
	p.s.srv.sleep(p.s.srv.opts.Latency * 3 / 2)
	p.accepted <- c
}

func (p *dataPlan) closeListener() {
	p.s.srv.forget(p.listener)
	_ = p.listener.Close()
}

// connect returns the client's data connection; the plan is spent then.
func (p *dataPlan) connect() (clientConn, error) {
	if p.listener == nil {
		conn, err := dialTCP(p.peer)
		if err != nil {
			return nil, err
		}
		p.s.countData()
		c := p.s.srv.wrap(conn, nil)
		p.s.srv.sleep(p.s.srv.opts.Latency)
		return c, nil
	}
	t := time.NewTimer(dataTimeout)
	defer t.Stop()
	select {
	case c, ok := <-p.accepted:
		if ok {
			return c, nil
		}
		return nil, net.ErrClosed
	case <-p.s.gone:
		return nil, errGone
	case <-t.C:
		return nil, errors.New("nobody connected")
	}
}

// close gives up what connect has not taken. It waits for accept, which the closed listener ends.
func (p *dataPlan) close() {
	if p.listener == nil {
		return
	}
	p.closeListener()
	for c := range p.accepted {
		_ = c.Close()
	}
}

func (s *session) countData() {
	s.srv.counters.update(func(st *Stats) {
		st.DataConns++
		st.RoundTrips++
	})
}

func epsvPort(reply string) (int, error) {
	_, after, _ := strings.Cut(reply, "(|||")
	digits, _, ok := strings.Cut(after, "|")
	port, err := strconv.Atoi(digits)
	if !ok || err != nil {
		return 0, fmt.Errorf("ftptest: no port in %q", reply)
	}
	return port, nil
}

// activePeer reads the argument of PORT (RFC 959) or EPRT (RFC 2428).
func activePeer(c command) (string, error) {
	if c.cmd == "EPRT" {
		if c.arg == "" {
			return "", errors.New("no address")
		}
		parts := strings.Split(c.arg, c.arg[:1])
		if len(parts) != 5 || net.ParseIP(parts[2]) == nil {
			return "", errors.New("not an EPRT address")
		}
		return net.JoinHostPort(parts[2], parts[3]), nil
	}
	var n [6]int
	parts := strings.Split(c.arg, ",")
	if len(parts) != len(n) {
		return "", errors.New("not a PORT address")
	}
	for i, part := range parts {
		var err error
		if n[i], err = strconv.Atoi(strings.TrimSpace(part)); err != nil || n[i] < 0 || n[i] > 255 {
			return "", errors.New("not a PORT address")
		}
	}
	return fmt.Sprintf("%d.%d.%d.%d:%d", n[0], n[1], n[2], n[3], n[4]<<8|n[5]), nil
}
