package ftpclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"sync"
	"time"

	"golang.org/x/net/proxy"
	"golang.org/x/time/rate"

	"github.com/corexalgo/ftpclient/internal/pool"
	"github.com/corexalgo/ftpclient/internal/reply"
	"github.com/corexalgo/ftpclient/internal/session"
)

// A server is one entry of Config.Servers with its connections.
type server struct {
	name string
	cfg  ServerConfig
	id   string // host:port
	pool *pool.Pool[*session.Session]
}

func (c *Client) newServer(name string, cfg ServerConfig) (*server, error) {
	log := c.log.With(slog.String("server", name))
	sc, err := cfg.connection(log)
	if err != nil {
		return nil, err
	}
	srv := &server{name: name, cfg: cfg, id: fmt.Sprintf("%s:%d", cfg.Host, cfg.Port)}
	var login refusal
	srv.pool = pool.New(pool.Options[*session.Session]{
		Max: cfg.MaxConns,
		Dial: func(ctx context.Context) (*session.Session, error) {
			return login.guard(func() (*session.Session, error) { return session.Dial(ctx, sc) })
		},
		Refused:     func(err error) bool { return errors.Is(err, reply.ErrTooMany) },
		Fatal:       func(err error) bool { return errors.Is(err, ErrAuth) },
		KeepAlive:   cfg.KeepAlive,
		PingTimeout: min(cfg.ReplyTimeout, 10*time.Second),
		IdleTimeout: cfg.IdleTimeout,
		OnEvent:     logEvents(log),
	})
	return srv, nil
}

// refusalStands is how long a refused login is not tried again: a batch of a thousand files is not a thousand wrong
// passwords.
const refusalStands = time.Minute

// A refusal remembers the login that a server refused.
type refusal struct {
	mu    sync.Mutex // guards err and until
	err   error
	until time.Time
}

func (r *refusal) guard(dial func() (*session.Session, error)) (*session.Session, error) {
	r.mu.Lock()
	err, stands := r.err, time.Now().Before(r.until)
	r.mu.Unlock()
	if stands {
		return nil, err
	}
	s, err := dial()
	if errors.Is(err, ErrAuth) {
		r.mu.Lock()
		r.err, r.until = err, time.Now().Add(refusalStands)
		r.mu.Unlock()
	}
	return s, err
}

func logEvents(log *slog.Logger) func(pool.Event) {
	return func(e pool.Event) {
		level := slog.LevelDebug
		switch e.Kind {
		case pool.Replaced, pool.LimitLowered, pool.LimitRaised:
			level = slog.LevelInfo
		}
		attrs := []slog.Attr{slog.Int("limit", e.Limit)}
		if e.Err != nil {
			attrs = append(attrs, slog.String("cause", e.Err.Error()))
		}
		log.LogAttrs(context.Background(), level, "ftp connection "+e.Kind.String(), attrs...)
	}
}

// tcpKeepAlive is how the operating system is asked to watch over connections that are silent while a transfer runs
// beside them: NOOP cannot be used then, as servers queue or refuse it, and routers forget silent connections.
var tcpKeepAlive = net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 15 * time.Second, Count: 4}

// connection is what the layer below needs to know, s having its defaults.
func (s ServerConfig) connection(log *slog.Logger) (session.Config, error) {
	charset, err := s.charset()
	if err != nil {
		return session.Config{}, err
	}
	zone, err := s.location()
	if err != nil {
		return session.Config{}, err
	}
	cfg := session.Config{
		Host: s.Host, Port: s.Port, User: s.Username, Password: s.Password.reveal(),
		ConnectTimeout: s.ConnectTimeout, ReplyTimeout: s.ReplyTimeout, StallTimeout: s.StallTimeout,
		Encoding: charset, Zone: zone,
		DisableEPSV: s.DisableEPSV, DisableMLSD: s.DisableMLSD, ListHidden: s.ListHidden,
		TrustPASVHost: s.TrustPASVHost, Active: s.Active,
		Limiter: newLimiter(s.BytesPerSecond), Logger: log, Quirks: &session.Quirks{},
	}
	switch s.TLS {
	case TLSExplicit:
		cfg.TLS = session.Explicit
	case TLSImplicit:
		cfg.TLS = session.Implicit
	}
	if cfg.TLS != session.Plain {
		if cfg.TLSConfig, err = s.tls(); err != nil {
			return session.Config{}, err
		}
	}
	cfg.Dial, cfg.Direct, err = s.dialer()
	return cfg, err
}

func (s ServerConfig) tls() (*tls.Config, error) {
	cfg := &tls.Config{} //nolint:gosec // the session sets MinVersion
	if s.TLSConfig != nil {
		cfg = s.TLSConfig.Clone()
	}
	if s.InsecureSkipVerify {
		cfg.InsecureSkipVerify = true
	}
	if s.CAFile == "" {
		return cfg, nil
	}
	pem, err := os.ReadFile(s.CAFile)
	if err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	cfg.RootCAs = x509.NewCertPool()
	if !cfg.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("ca_file: %s holds no certificate", s.CAFile)
	}
	return cfg, nil
}

type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// dialer opens connections as configured; direct tells that they lead to the server's own address.
func (s ServerConfig) dialer() (dial dialFunc, direct bool, err error) {
	dial, direct = (&net.Dialer{KeepAliveConfig: tcpKeepAlive}).DialContext, true
	if s.DialContext != nil {
		dial, direct = s.DialContext, false
	}
	if s.Proxy == "" {
		return dial, direct, nil
	}
	u, err := url.Parse(s.Proxy)
	if err != nil {
		return nil, false, fmt.Errorf("proxy: not a URL") // the parser's error shows its password
	}
	var auth *proxy.Auth
	if u.User != nil {
		password, _ := u.User.Password()
		auth = &proxy.Auth{User: u.User.Username(), Password: password}
	}
	socks, err := proxy.SOCKS5("tcp", u.Host, auth, forward(dial))
	if err != nil {
		return nil, false, fmt.Errorf("proxy: %w", err)
	}
	return socks.(proxy.ContextDialer).DialContext, false, nil //nolint:forcetypeassert // SOCKS5 documents it
}

// forward dials the proxy itself.
type forward dialFunc

func (f forward) Dial(network, addr string) (net.Conn, error) {
	return f(context.Background(), network, addr)
}

func (f forward) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return f(ctx, network, addr)
}

// newLimiter is nil for an unlimited rate.
func newLimiter(bytesPerSecond int64) *rate.Limiter {
	if bytesPerSecond <= 0 {
		return nil
	}
	// A tenth of a second at once: smooth for the eye and the line, and few enough calls.
	burst := min(max(bytesPerSecond/10, 1), 1<<20)
	return rate.NewLimiter(rate.Limit(bytesPerSecond), int(burst))
}
