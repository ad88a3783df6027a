package session

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
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
	kept     bool             // it was asked for ahead
	dialing  *dialing         // and dialed; nil: it was not
}

// intercept takes jlaffaye's PASV, the only way in which it asks for a data connection here, and asks for what suits: EPSV,
// PASV, EPRT or PORT. It gets a 227 in answer whose address nobody reads, and never one that the server wrote. Its LIST
// becomes the listing command under way.
func (s *Session) intercept(line string) (send string, answer *reply.Reply, err error) {
	switch line {
	case "PASV":
		err := s.prepareData()
		var refused *reply.Error
		if errors.As(err, &refused) {
			_, r := s.ctl.Last()
			return "", &r, nil
		}
		return "", &reply.Reply{Code: 227, Lines: []string{"Entering Passive Mode (0,0,0,0,0,1)"}}, err
	case "LIST":
		line = s.listing
	}
	if s.early && verb(line) == "STOR" {
		s.ctl.Presume(s.granted)
	}
	return line, nil, nil
}

// asking is called when the transfer command is on its way.
func (s *Session) asking() {
	if s.data != nil {
		s.data.Begin()
	}
}

// ask issues a command, which may have been sent ahead, for its one good reply.
func (s *Session) ask(line string, want int) (reply.Reply, error) {
	if err := s.ctl.Issue(line); err != nil {
		return reply.Reply{}, err
	}
	r, err := s.ctl.Reply()
	switch {
	case err != nil:
		return reply.Reply{}, err
	case r.Code >= 400:
		return r, reply.Err(verb(line), r)
	case r.Code != want:
		return r, unexpected(verb(line), r)
	}
	return r, nil
}

// unexpected is the error of a reply that grants what nobody asked for.
func unexpected(verb string, r reply.Reply) error {
	return fmt.Errorf("%w: %s: %d %s", reply.ErrMalformed, verb, r.Code, reply.Printable(r.Text()))
}

// passive is the command that asks where a data connection leads. Only PASV has a place for a host, but none for one of IPv6.
func (s *Session) passive() string {
	if !s.peer().Is6() && (s.cfg.DisableEPSV || s.cfg.TrustPASVHost || s.cfg.Quirks.PASV.Load()) {
		return "PASV"
	}
	return "EPSV"
}

// prepareData finds out where the next data connection leads. A *reply.Error is the server's refusal.
func (s *Session) prepareData() error {
	if s.cfg.Active {
		return s.listen()
	}
	passive := s.passive()
	if r, dialing := s.keptData(passive); r != nil {
		err := s.aim(passive, *r)
		s.target.kept, s.target.dialing = true, dialing
		return err
	}
	if passive == "EPSV" {
		r, err := s.ask("EPSV", 229)
		if err == nil {
			return s.aim("EPSV", r)
		}
		if reply.Code(err)/100 != 5 || s.ctl.LoggedOut() || s.peer().Is6() {
			return err
		}
	}
	r, err := s.ask("PASV", 227)
	if err != nil {
		return err
	}
	if passive == "EPSV" { // of two that are refused neither is the better one
		s.cfg.Quirks.PASV.Store(true)
	}
	return s.aim("PASV", r)
}

// aim makes the data connection lead where r says.
func (s *Session) aim(passive string, r reply.Reply) (err error) {
	s.target, err = s.leads(passive, r)
	return err
}

// leads reads where a data connection leads.
func (s *Session) leads(passive string, r reply.Reply) (dataTarget, error) {
	if passive == "EPSV" {
		port, err := reply.EPSV(r)
		return dataTarget{host: s.dataHost(""), port: port}, err
	}
	at, err := reply.PASV(r)
	return dataTarget{host: s.dataHost(at.Addr().String()), port: at.Port()}, err
}

// leadsTo is where the control connection leads, which may be a proxy; invalid where it does not tell.
func (s *Session) leadsTo() netip.Addr {
	tcp, ok := s.ctl.RemoteAddr().(*net.TCPAddr)
	if !ok || tcp.IP.IsUnspecified() {
		return netip.Addr{}
	}
	return tcp.AddrPort().Addr().Unmap()
}

// peer is the server's address; invalid where the connections are not ours to open.
func (s *Session) peer() netip.Addr {
	if !s.cfg.Direct {
		return netip.Addr{}
	}
	return s.leadsTo()
}

// dataHost is the host to dial for data: where the control connection leads, never where a reply points (CVE-2020-8284),
// unless the user trusts it.
func (s *Session) dataHost(advertised string) string {
	if s.cfg.TrustPASVHost && advertised != "" && advertised != "0.0.0.0" {
		return advertised
	}
	if peer := s.peer(); peer.IsValid() {
		return peer.String()
	}
	return s.cfg.Host
}

func (s *Session) openData() (net.Conn, error) {
	opts := wire.DataOptions{
		Ctx:          s.ctx,
		StallTimeout: s.cfg.StallTimeout,
		Limits:       s.opts.Limits,
		Moved:        s.opts.Moved,
		Expected:     s.opts.Expected,
		Consume:      s.consume,
		Closed:       s.awaitFinal,
		BrokenOff:    s.tickets.restore,
	}
	if s.cfg.Limiter != nil {
		opts.Limits = append(slices.Clip(opts.Limits), s.cfg.Limiter)
	}
	if s.cfg.TLS != Plain {
		opts.TLS = s.dataTLS
	}
	if l := s.target.listener; l != nil {
		s.data = wire.NewActiveData(func() (net.Conn, error) { return s.accept(l) }, func() { _ = l.Close() }, opts)
		return s.data, nil
	}
	raw, err := s.reach()
	if err != nil && s.target.kept && !isTimeout(err) && s.ctx.Err() == nil { // the server may have closed it meanwhile
		if err = s.prepareData(); err == nil {
			raw, err = s.reach()
		}
	}
	if err != nil {
		s.dialErr = fmt.Errorf("data connection: %w", err)
		return nil, s.dialErr
	}
	s.data = wire.NewData(raw, opts)
	return s.data, nil
}

// finalRate is what a server is trusted to write to its disk at least after an upload, in bytes a second, before it sends
// the final reply.
const finalRate = 16 << 20

// abortTimeout bounds what an abandoned transfer may cost before the session is given up instead.
const abortTimeout = 3 * time.Second

// awaitFinal says how long the reply that ends a transfer may take.
func (s *Session) awaitFinal() {
	timeout := s.cfg.ReplyTimeout
	switch {
	case s.data.Aborted() || isTimeout(s.data.Err()): // it may never come
		timeout = min(timeout, abortTimeout)
	case s.storing:
		timeout += time.Duration(s.data.Moved()/finalRate) * time.Second
	}
	s.ctl.SetNextTimeout(timeout)
}

// listen opens a port for the server to connect to and announces it: EPRT (RFC 2428), else PORT.
func (s *Session) listen() error {
	local, ok := s.ctl.LocalAddr().(*net.TCPAddr)
	if !ok || !s.leadsTo().IsValid() {
		return errors.New("active mode needs a control connection that tells its two addresses")
	}
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: local.IP, Zone: local.Zone})
	if err != nil {
		return err
	}
	if err := s.announce(local.IP, l.Addr().(*net.TCPAddr).Port); err != nil { //nolint:forcetypeassert // of a TCP listener
		_ = l.Close()
		return err
	}
	s.target = dataTarget{listener: l}
	return nil
}

func (s *Session) announce(ip net.IP, port int) error {
	family, ip4 := 2, ip.To4()
	if ip4 != nil {
		family = 1
	}
	_, err := s.ask(fmt.Sprintf("EPRT |%d|%s|%d|", family, ip, port), 200)
	if ip4 == nil || reply.Code(err)/100 != 5 {
		return err
	}
	_, err = s.ask(fmt.Sprintf("PORT %s,%d,%d", strings.ReplaceAll(ip4.String(), ".", ","), port>>8, port&0xff), 200)
	return err
}

// accept takes the server's connection, from where the control connection leads only: nobody else can steal or spoil the transfer.
func (s *Session) accept(l *net.TCPListener) (net.Conn, error) {
	defer func() { _ = l.Close() }()
	if err := l.SetDeadline(time.Now().Add(s.cfg.ConnectTimeout)); err != nil {
		return nil, fmt.Errorf("data connection: %w", err)
	}
	server, refused := s.leadsTo(), ""
	for {
		conn, err := l.Accept()
		if err != nil {
			return nil, fmt.Errorf("data connection: %w%s", err, refused)
		}
		from := conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap() //nolint:forcetypeassert // of a TCP listener
		if from.WithZone("") == server.WithZone("") {
			return conn, nil
		}
		refused = fmt.Sprintf("; one from %s was refused, as it is not the server %s", from, server)
		_ = conn.Close()
	}
}

// translate makes replies pass for what jlaffaye insists on: 225 and 250 end a transfer as well as 226.
func (s *Session) translate(_ string, final bool, r reply.Reply) reply.Reply {
	if final && r.Done() {
		r.Code = 226
	}
	return r
}

func isTimeout(err error) bool {
	if err == nil {
		return false
	}
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}
