package session

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/jlaffaye/ftp"

	"github.com/corexalgo/ftpclient/internal/reply"
	"github.com/corexalgo/ftpclient/internal/safepath"
	"github.com/corexalgo/ftpclient/internal/wire"
)

// ErrInsecure is the error of a server that will not do the TLS that was asked for. Nothing is sent in plaintext instead.
var ErrInsecure = errors.New("server refuses TLS")

// Dial connects and logs in. Each of its steps ends within ConnectTimeout, or with ctx.
func Dial(ctx context.Context, cfg Config) (*Session, error) {
	if err := errors.Join(safepath.CheckArgument(cfg.User), checkSecret(cfg.Password)); err != nil {
		return nil, err
	}
	if cfg.Quirks == nil {
		cfg.Quirks = &Quirks{}
	}
	s := &Session{cfg: cfg}
	if cfg.TLSConfig != nil {
		s.cfg.TLSConfig = cfg.TLSConfig.Clone()
		// An empty ServerName puts the port into the key of the session cache, and no data connection resumes the control
		// connection's session, which vsftpd and ProFTPD insist on. One cache for each control connection, for the same
		// reason.
		s.cfg.TLSConfig.ServerName = cfg.Host
		s.cfg.TLSConfig.MinVersion = max(cfg.TLSConfig.MinVersion, tls.VersionTLS12)
		s.cfg.TLSConfig.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	}
	if err := s.connect(ctx); err != nil {
		return nil, err
	}
	err := s.do(ctx, s.login)
	if err != nil {
		s.broken = true
		_ = s.ctl.Close()
		return nil, err
	}
	return s, nil
}

// checkSecret is CheckArgument without the text in its error.
func checkSecret(password string) error {
	if safepath.CheckArgument(password) != nil {
		return fmt.Errorf("password: %w", safepath.ErrUnsafe)
	}
	return nil
}

func (s *Session) connect(ctx context.Context) error {
	dialCtx, cancel := context.WithTimeout(ctx, s.cfg.ConnectTimeout)
	defer cancel()
	raw, err := s.cfg.Dial(dialCtx, "tcp", s.cfg.addr())
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	opts := wire.ControlOptions{ReplyTimeout: s.cfg.ReplyTimeout, Intercept: s.intercept, Translate: s.translate}
	if l := s.cfg.Logger; l != nil && l.Enabled(ctx, slog.LevelDebug) {
		opts.Trace = func(direction, text string) {
			l.Debug("ftp "+direction, slog.String("line", text))
		}
	}
	s.ctl = wire.NewControl(raw, opts)
	if err := s.do(ctx, s.greet); err != nil {
		_ = raw.Close()
		return err
	}
	return nil
}

// greet reads the greeting, begins TLS, and hands both over to jlaffaye.
func (s *Session) greet() error {
	if s.cfg.TLS == Implicit {
		if err := s.startTLS(); err != nil {
			return err
		}
	}
	s.ctl.SetNextTimeout(s.cfg.ConnectTimeout)
	greeting, err := s.ctl.Reply()
	for err == nil && greeting.Code == 120 { // "service ready in nnn minutes": 220 follows
		s.ctl.SetNextTimeout(s.cfg.ConnectTimeout)
		greeting, err = s.ctl.Reply()
	}
	if err != nil {
		return err
	}
	if greeting.Code != 220 {
		return reply.Err("", greeting)
	}
	if s.cfg.TLS == Explicit {
		if _, err := s.raw("AUTH TLS"); err != nil {
			return fmt.Errorf("%w: %w", ErrInsecure, err)
		}
		if _, r := s.ctl.Last(); r.Code != 234 {
			return fmt.Errorf("%w: AUTH TLS: %d %s", ErrInsecure, r.Code, reply.Printable(r.Text()))
		}
		if err := s.startTLS(); err != nil {
			return err
		}
	}
	s.ctl.Answer(greeting)
	options := []ftp.DialOption{
		ftp.DialWithDialFunc(s.dialForLibrary()),
		ftp.DialWithDisabledEPSV(true), // it asks for PASV always, and intercept decides what that means
		ftp.DialWithDisabledUTF8(true), // it gives up on servers that refuse OPTS UTF8
		ftp.DialWithDisabledMLSD(s.cfg.DisableMLSD),
		ftp.DialWithForceListHidden(s.cfg.ListHidden),
	}
	if s.cfg.TLS != Plain {
		options = append(options, ftp.DialWithTLS(s.cfg.TLSConfig)) // makes it send PBSZ and PROT P, no more
	}
	s.ftp, err = ftp.Dial(s.cfg.addr(), options...)
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

func (s *Session) startTLS() error {
	ctx, cancel := context.WithTimeout(s.ctx, s.cfg.ConnectTimeout)
	defer cancel()
	err := s.ctl.StartTLS(ctx, s.cfg.TLSConfig)
	if err != nil && s.ctx.Err() == nil && ctx.Err() != nil {
		return fmt.Errorf("TLS handshake: %w", ctx.Err())
	}
	return err
}

func (s *Session) login() error {
	// The step's own bound: jlaffaye's Login is several commands, each bounded by ReplyTimeout.
	timer := time.AfterFunc(4*s.cfg.ConnectTimeout, s.ctl.Cancel)
	defer timer.Stop()
	if err := s.ftp.Login(s.cfg.User, s.cfg.Password); err != nil {
		return s.loginError(err)
	}
	if s.cfg.Encoding == nil && s.features.Has("UTF8") {
		if _, err := s.exchange("OPTS UTF8 ON"); err != nil { // a refusal means nothing: many servers always speak UTF-8
			return err
		}
	}
	return nil
}

// loginError finds the reply behind jlaffaye's error, which does not always carry its code.
func (s *Session) loginError(err error) error {
	verb, r := s.ctl.Last()
	if r.Code < 300 || verb == "" || isLost(err) {
		return err
	}
	refused := reply.Err(verb, r)
	if verb == "PBSZ" || verb == "PROT" {
		return fmt.Errorf("%w: %w", ErrInsecure, refused)
	}
	if r.Code == 332 || (verb == "PASS" && r.Code == 331) {
		refused.Cause = reply.ErrAuth
	}
	return refused
}

// isLost tells a connection's error from a reply that refused.
func isLost(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) || errors.Is(err, wire.ErrOutOfStep) || errors.Is(err, reply.ErrMalformed) || isEOF(err)
}

// Features is what FEAT said; empty where the server has none.
func (s *Session) Features() Features { return s.features }
