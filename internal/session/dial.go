package session

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jlaffaye/ftp"

	"github.com/corexalgo/ftpclient/internal/reply"
	"github.com/corexalgo/ftpclient/internal/safepath"
	"github.com/corexalgo/ftpclient/internal/wire"
)

// ErrInsecure is the error of a server that will not do the TLS that was asked for. Nothing is sent in plaintext instead.
var ErrInsecure = reply.ErrInsecure

// Dial connects and logs in. Each of its steps ends within ConnectTimeout, or with ctx; what was asked WithFirst is answered within
// ReplyTimeout. A server that mishandles a login in
// one write is dialed once more and spoken to one command at a time.
func Dial(ctx context.Context, cfg Config) (*Session, error) {
	if err := errors.Join(safepath.CheckArgument(cfg.User), safepath.CheckSecret(cfg.Password)); err != nil {
		return nil, err
	}
	if err := cfg.spellLogin(); err != nil {
		return nil, err
	}
	if cfg.Quirks == nil {
		cfg.Quirks = &Quirks{}
	}
	s, err := connect(ctx, cfg, !cfg.Quirks.OneByOne.Load() && !cfg.Quirks.Stepwise.Load())
	if errors.Is(err, errConfused) && ctx.Err() == nil {
		s, err = connect(ctx, cfg, false)
		if err == nil {
			cfg.Quirks.OneByOne.Store(true)
		}
	}
	return s, err
}

// connect makes one connection, with a login of one write if together.
func connect(ctx context.Context, cfg Config, together bool) (*Session, error) {
	s := &Session{cfg: cfg, together: together, first: firstOf(ctx)}
	s.probing = cfg.Quirks.telnet.Load() == nil && s.spellsIAC()
	if cfg.TLSConfig != nil {
		s.cfg.TLSConfig = cfg.TLSConfig.Clone()
		// An empty ServerName puts the port into the key of the session cache, and no data connection resumes the control
		// connection's session, which vsftpd and ProFTPD insist on. One cache for each control connection, for the same
		// reason.
		s.cfg.TLSConfig.ServerName, _, _ = strings.Cut(cfg.Host, "%") // a zone is this machine's, and in no certificate
		s.cfg.TLSConfig.MinVersion = max(cfg.TLSConfig.MinVersion, tls.VersionTLS12)
		s.cfg.TLSConfig.ClientSessionCache = &s.tickets
	}
	raw, err := s.dial(ctx, cfg.Host, cfg.Port)
	if err != nil {
		return nil, err
	}
	s.ctl = wire.NewControl(raw, wire.ControlOptions{
		ReplyTimeout: cfg.ReplyTimeout, Secret: cfg.Password, Trace: s.trace(ctx),
		Intercept: s.intercept, Asked: s.asking, Translate: s.translate,
	})
	err = s.do(ctx, s.open)
	if err == nil && s.broken { // ctx ended at the last moment
		err = ctx.Err()
	}
	if err != nil {
		s.broken = true
		_ = s.ctl.Close()
		return nil, err
	}
	s.ctl.Admit()
	return s, nil
}

// spellLogin puts user name and password into the server's charset, as its other clients do. A password that is no text of
// it stays the bytes that it is.
func (c *Config) spellLogin() error {
	if c.Encoding == nil {
		return nil
	}
	user, err := c.Encoding.NewEncoder().String(c.User)
	if err != nil || safepath.CheckArgument(user) != nil {
		return fmt.Errorf("%w: user name %s cannot be written in the server's charset", safepath.ErrUnsafe, reply.Quote(c.User))
	}
	c.User = user
	password, err := c.Encoding.NewEncoder().String(c.Password)
	if err == nil && utf8.ValidString(c.Password) && safepath.CheckSecret(password) == nil {
		c.Password = password
	}
	return nil
}

func (s *Session) trace(ctx context.Context) func(direction, text string) {
	l := s.cfg.Logger
	if l == nil || !l.Enabled(ctx, slog.LevelDebug) {
		return nil
	}
	return func(direction, text string) { l.Debug("ftp "+direction, slog.String("line", text)) }
}

// open makes the fresh connection a logged-in one.
func (s *Session) open() error {
	steps := []func() error{s.greet, s.hand, s.login}
	switch s.cfg.TLS {
	case Implicit:
		steps = []func() error{s.startTLS, s.greet, s.hand, s.login}
	case Explicit:
		steps = []func() error{s.greet, s.auth, s.startTLS, s.hand, s.login}
	}
	for _, step := range steps {
		if err := s.bounded(s.cfg.ConnectTimeout, step); err != nil {
			return err
		}
	}
	return s.hear()
}

// bounded gives all of f together that much time. What it cuts off is cut off for good.
func (s *Session) bounded(timeout time.Duration, f func() error) error {
	timer := time.AfterFunc(timeout, s.ctl.Cancel)
	err := f()
	if !timer.Stop() && err == nil {
		err = os.ErrDeadlineExceeded
	}
	return err
}

func (s *Session) greet() error {
	r, err := s.ctl.Reply()
	for err == nil && r.Code == 120 { // "service ready in nnn minutes": 220 follows
		r, err = s.ctl.Reply()
	}
	if err != nil {
		return err
	}
	if r.Code != 220 {
		return reply.Err("", r)
	}
	s.greeting = r
	return nil
}

func (s *Session) auth() error {
	_, err := s.ask("AUTH TLS", 234)
	if err != nil && s.ctl.Err() == nil {
		return fmt.Errorf("%w: %w", ErrInsecure, err)
	}
	return err
}

func (s *Session) startTLS() error {
	if err := s.ctl.StartTLS(s.ctx, s.cfg.TLSConfig); err != nil {
		return fmt.Errorf("TLS: %w", err)
	}
	s.dataTLS = s.cfg.TLSConfig.Clone()
	if agreed := s.ctl.TLS(); agreed.Version >= tls.VersionTLS13 && agreed.HelloRetryRequest {
		// The server had no use for what was offered first, as vsftpd none for X25519: each handshake would cost a round trip more.
		s.dataTLS.CurvePreferences = []tls.CurveID{agreed.CurveID}
	}
	return nil
}

// hand gives the connection to jlaffaye, with the greeting once more.
func (s *Session) hand() (err error) {
	s.ctl.Answer(s.greeting)
	s.ftp, err = ftp.Dial(s.cfg.Host,
		ftp.DialWithDialFunc(s.dialForLibrary()),
		ftp.DialWithDisabledEPSV(true), // it asks for PASV always, and intercept decides what that means
	)
	return err
}

// dialForLibrary is jlaffaye's way to all connections: the control connection first, then data connections.
func (s *Session) dialForLibrary() func(network, addr string) (net.Conn, error) {
	dialed := false
	return func(string, string) (net.Conn, error) {
		if !dialed {
			dialed = true
			return s.ctl, nil
		}
		return s.openData()
	}
}

// Features is what FEAT said; empty where the server has none.
func (s *Session) Features() Features { return s.features }
