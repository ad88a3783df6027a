package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/corexalgo/ftpclient/internal/reply"
	"github.com/corexalgo/ftpclient/internal/wire"
)

// dataTarget is where the next data connection leads, as the server answered.
type dataTarget struct {
	host     string
	port     uint16
	listener *net.TCPListener // active mode
}

// intercept takes jlaffaye's PASV, the only way in which it asks for a data connection here, and asks for what suits: EPSV,
// PASV, EPRT or PORT. It gets a 227 in answer whose address nobody reads. Its MLSD becomes LIST where MLSD does not work.
func (s *Session) intercept(line string) (send string, answer *reply.Reply, err error) {
	if line == "PASV" {
		r, err := s.prepareData()
		return "", &r, err
	}
	if v := verb(line); v == "MLSD" || v == "LIST" {
		line = s.listCommand(line)
	}
	return line, nil, nil
}

var granted = reply.Reply{Code: 227, Lines: []string{"Entering Passive Mode (0,0,0,0,0,1)"}}

func (s *Session) prepareData() (reply.Reply, error) {
	if s.cfg.Active {
		return s.listen()
	}
	peer := s.peer()
	if !s.cfg.DisableEPSV && (!s.cfg.Quirks.PASV.Load() || peer.Is6()) {
		r, err := s.passive("EPSV")
		if err != nil {
			return reply.Reply{}, err
		}
		if r.Code == 229 {
			port, err := reply.EPSV(r)
			if err != nil {
				return reply.Reply{}, err
			}
			s.target = dataTarget{host: s.dataHost(""), port: port}
			return granted, nil
		}
		if r.Code/100 != 5 || peer.Is6() {
			return r, nil
		}
		s.cfg.Quirks.PASV.Store(true)
	}
	r, err := s.passive("PASV")
	if err != nil || r.Code != 227 {
		return r, err
	}
	at, err := reply.PASV(r)
	if err != nil {
		return reply.Reply{}, err
	}
	s.target = dataTarget{host: s.dataHost(at.Addr().String()), port: at.Port()}
	return granted, nil
}

// passive asks for one kind of passive mode; the command may have been sent ahead.
func (s *Session) passive(verb string) (reply.Reply, error) {
	if err := s.ctl.Issue(verb); err != nil {
		return reply.Reply{}, err
	}
	return s.ctl.Reply()
}

// peer is the control connection's peer; invalid behind a proxy.
func (s *Session) peer() netip.Addr {
	tcp, ok := s.ctl.RemoteAddr().(*net.TCPAddr)
	if !ok || !s.cfg.Direct {
		return netip.Addr{}
	}
	return tcp.AddrPort().Addr().Unmap()
}

// dataHost is the host to dial for data: where the control connection leads, never where a reply points (CVE-2020-8284),
// unless the user trusts it.
func (s *Session) dataHost(advertised string) string {
	if s.cfg.TrustPASVHost && advertised != "" && advertised != "0.0.0.0" {
		return advertised
	}
	if peer := s.ctl.RemoteAddr().(*net.TCPAddr); s.cfg.Direct && !peer.IP.IsUnspecified() { //nolint:forcetypeassert // Control promises it
		host := peer.IP.String()
		if peer.Zone != "" {
			host += "%" + peer.Zone
		}
		return host
	}
	return s.cfg.Host
}

func (s *Session) openData() (net.Conn, error) {
	opts := wire.DataOptions{
		Ctx:          s.ctx,
		StallTimeout: s.cfg.StallTimeout,
		Limits:       s.opts.Limits,
		Moved:        s.moved(),
		Consume:      s.consume,
	}
	if s.cfg.Limiter != nil {
		opts.Limits = append(opts.Limits[:len(opts.Limits):len(opts.Limits)], s.cfg.Limiter)
	}
	if s.cfg.TLS != Plain {
		opts.TLS = s.cfg.TLSConfig
	}
	if l := s.target.listener; l != nil {
		s.data = wire.NewActiveData(func() (net.Conn, error) { return s.accept(l) }, func() { _ = l.Close() }, opts)
		return s.data, nil
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.cfg.ConnectTimeout)
	defer cancel()
	raw, err := s.cfg.Dial(ctx, "tcp", net.JoinHostPort(s.target.host, strconv.Itoa(int(s.target.port))))
	if err != nil {
		return nil, fmt.Errorf("data connection: %w", err)
	}
	s.data = wire.NewData(raw, opts)
	return s.data, nil
}

// finalRate is what a server is trusted to write to its disk at least after an upload, in bytes a second, before it sends
// the final reply.
const finalRate = 16 << 20

// moved counts content so that the final reply of a large upload is given its time.
func (s *Session) moved() func(int) {
	var total int64
	tell := s.opts.Moved
	return func(n int) {
		total += int64(n)
		s.ctl.SetNextTimeout(s.cfg.ReplyTimeout + time.Duration(total/finalRate)*time.Second)
		if tell != nil {
			tell(n)
		}
	}
}

// listen opens a port for the server to connect to and announces it: EPRT (RFC 2428), else PORT.
func (s *Session) listen() (reply.Reply, error) {
	local, ok := s.ctl.LocalAddr().(*net.TCPAddr)
	if !ok {
		return reply.Reply{}, inStep(errors.New("active mode needs a TCP control connection"))
	}
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: local.IP, Zone: local.Zone})
	if err != nil {
		return reply.Reply{}, err
	}
	port := l.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // of a TCP listener
	r, err := s.announce(local.IP, port)
	if err != nil || r.Code != 200 {
		_ = l.Close()
		return r, err
	}
	s.target = dataTarget{listener: l}
	return granted, nil
}

func (s *Session) announce(ip net.IP, port int) (reply.Reply, error) {
	family, ip4 := 2, ip.To4()
	if ip4 != nil {
		family = 1
	}
	r, err := s.passive(fmt.Sprintf("EPRT |%d|%s|%d|", family, ip, port))
	if err != nil || r.Code/100 != 5 || ip4 == nil {
		return r, err
	}
	return s.passive(fmt.Sprintf("PORT %s,%d,%d", strings.ReplaceAll(ip4.String(), ".", ","), port>>8, port&0xff))
}

// accept takes the server's connection, from its own host only.
func (s *Session) accept(l *net.TCPListener) (net.Conn, error) {
	defer func() { _ = l.Close() }()
	if err := l.SetDeadline(time.Now().Add(s.cfg.ConnectTimeout)); err != nil {
		return nil, err
	}
	conn, err := l.Accept()
	if err != nil {
		return nil, fmt.Errorf("data connection: %w", err)
	}
	from := conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap() //nolint:forcetypeassert // of a TCP listener
	if peer := s.peer(); peer.IsValid() && from.WithZone("") != peer.WithZone("") {
		_ = conn.Close()
		return nil, fmt.Errorf("data connection from %s, which is not the server", from)
	}
	return conn, nil
}

// translate makes replies pass for what jlaffaye insists on, and reads FEAT as it passes.
func (s *Session) translate(verb string, final bool, r reply.Reply) reply.Reply {
	switch {
	case verb == "FEAT":
		s.features = parseFeatures(r)
		return withoutPRET(r)
	case final && r.Code/100 == 2: // 225 and 250 end a transfer as well as 226
		r.Code = 226
	case (verb == "TYPE" || verb == "PBSZ" || verb == "PROT") && r.Code/100 == 2:
		r.Code = 200
	case verb == "PASS" && r.Code/100 == 2: // 202: superfluous, logged in
		r.Code = 230
	}
	return r
}

func isEOF(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

func isDial(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}
