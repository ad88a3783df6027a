package session_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/text/encoding/simplifiedchinese"

	"github.com/corexalgo/ftpclient/internal/ftptest"
	"github.com/corexalgo/ftpclient/internal/listing"
	"github.com/corexalgo/ftpclient/internal/session"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// prompt is how soon a cancelled wait has to end.
const prompt = 100 * time.Millisecond

const password = "s3cret-word"

// config is that of a patient client of a server at host and port.
func config(host string, port int) session.Config {
	return session.Config{
		Host: host, Port: port, User: "user", Password: password,
		ConnectTimeout: 5 * time.Second, ReplyTimeout: 5 * time.Second, StallTimeout: 5 * time.Second,
		Dial: new(net.Dialer).DialContext, Direct: true, Quirks: &session.Quirks{},
	}
}

// distant is cfg over a line on which opening a connection takes a while.
func distant(cfg session.Config) session.Config {
	dial := cfg.Dial
	cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		<-time.After(2 * time.Millisecond)
		return dial(ctx, network, addr)
	}
	return cfg
}

// tlsScript is a server with explicit TLS whose transfers are transfer's.
func tlsScript(t *testing.T, cfg *tls.Config, transfer func(c *ftptest.Conn, data net.Conn)) session.Config {
	t.Helper()
	srv := ftptest.Script(t, func(c *ftptest.Conn) {
		c.Send("220 ready\r\n")
		c.Expect("AUTH TLS")
		c.Send("234 go\r\n")
		c.StartTLS(cfg)
		var l *ftptest.DataListener
		for {
			verb, _, _ := strings.Cut(c.ReadLine(), " ")
			switch verb {
			case "EPSV":
				l = c.Listen()
				c.Send(l.EPSV())
			case "STOR", "RETR":
				c.Send("150 here\r\n")
				transfer(c, l.Accept())
			case "USER":
				c.Send("230 in\r\n")
			case "FEAT":
				c.Send("500 no\r\n")
			default:
				c.Send("200 ok\r\n")
			}
		}
	})
	mine := scripted(srv)
	pool := ftptest.Start(t, ftptest.Options{}).CertPool()
	mine.TLS, mine.TLSConfig = session.Explicit, &tls.Config{RootCAs: pool} //nolint:gosec // Dial sets MinVersion
	return mine
}

func scripted(s *ftptest.ScriptServer) session.Config { return config(s.Host(), s.Port()) }

func dial(t *testing.T, cfg session.Config) *session.Session {
	t.Helper()
	s, err := session.Dial(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

// serve starts a true server and logs in to it.
func serve(t *testing.T, o ftptest.Options, change ...func(*session.Config)) (*ftptest.Server, *session.Session) {
	t.Helper()
	o.Password = password
	srv := ftptest.Start(t, o)
	cfg := config(srv.Host(), srv.Port())
	if o.TLS != ftptest.Plain {
		cfg.TLS = session.Explicit
		if o.TLS == ftptest.Implicit {
			cfg.TLS = session.Implicit
		}
		cfg.TLSConfig = &tls.Config{RootCAs: srv.CertPool()} //nolint:gosec // Dial sets MinVersion
	}
	for _, f := range change {
		f(&cfg)
	}
	return srv, dial(t, cfg)
}

// cancelled is cancelledIn of what waits soon after it began.
func cancelled(t *testing.T, what string, prepare func() (do func(ctx context.Context) error)) {
	t.Helper()
	cancelledIn(t, what, func() (func(ctx context.Context) error, func() bool) { return prepare(), func() bool { return true } })
}

// cancelledIn runs what prepare returns with a context that is cancelled while it waits, a moment after waits says so, and holds the
// end to be prompt, in the median of three tries: on a busy machine one may be late for reasons of its own.
func cancelledIn(t *testing.T, what string, prepare func() (do func(ctx context.Context) error, waits func() bool)) {
	t.Helper()
	var late []time.Duration
	for range 3 {
		do, waits := prepare()
		ctx, cancel := context.WithCancel(t.Context())
		at := make(chan time.Time, 1)
		var look func()
		look = func() {
			if !waits() {
				time.AfterFunc(5*time.Millisecond, look)
				return
			}
			time.AfterFunc(50*time.Millisecond, func() { at <- time.Now(); cancel() })
		}
		look()
		err := do(ctx)
		require.Equal(t, context.Canceled, err, "%s: nothing but the context's error", what)
		if took := time.Since(<-at); took >= prompt {
			late = append(late, took)
		}
	}
	assert.Less(t, len(late), 2, "%s: %v after the end of the context", what, late)
}

// inStep shows that a session works.
func inStep(t *testing.T, s *session.Session, what string) {
	t.Helper()
	require.True(t, s.Usable(), what)
	require.NoError(t, s.Ping(t.Context()), what)
	require.True(t, s.Alive(), what)
}

// gone shows that a session will do nothing any more.
func gone(t *testing.T, s *session.Session, what string) {
	t.Helper()
	assert.False(t, s.Usable(), what)
	assert.False(t, s.Alive(), what)
	assert.ErrorIs(t, s.Ping(t.Context()), session.ErrBroken, what)
}

// list reads a directory into names and errors.
func list(ctx context.Context, s *session.Session, dir string) (names []string, rowErrs []error, err error) {
	err = s.List(ctx, dir, func(e listing.Entry, err error) bool {
		if err != nil {
			rowErrs = append(rowErrs, err)
		} else {
			names = append(names, e.Name)
		}
		return true
	})
	return names, rowErrs, err
}

// recorder remembers the commands of a scripted server.
type recorder struct {
	lines chan string
}

func newRecorder() *recorder { return &recorder{lines: make(chan string, 1000)} }

func (r *recorder) answer(next ftptest.Answer) ftptest.Answer {
	return func(cmd, arg string) (string, bool) {
		r.lines <- strings.TrimSpace(cmd + " " + arg)
		if next == nil {
			return "", false
		}
		return next(cmd, arg)
	}
}

// all takes what has come so far.
func (r *recorder) all() []string {
	var all []string
	for {
		select {
		case line := <-r.lines:
			all = append(all, line)
		default:
			return all
		}
	}
}

var gbk = simplifiedchinese.GBK

// otherCertificate is that of somebody whom nobody trusts.
func otherCertificate(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
}
