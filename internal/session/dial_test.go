package session_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/ftptest"
	"github.com/corexalgo/ftpclient/internal/reply"
	"github.com/corexalgo/ftpclient/internal/safepath"
	"github.com/corexalgo/ftpclient/internal/session"
	"github.com/corexalgo/ftpclient/internal/wire"
)

func TestLoginCopesWithWhatServersAnswer(t *testing.T) {
	for name, replies := range map[string]map[string]string{
		"as expected":            {},
		"banner of many lines":   {"CONNECT": "220-Welcome\r\n  to\r\n220-this\r\n\r\n220 server"},
		"120 first":              {"CONNECT": "120 ready in a minute\r\n220 ready"},
		"USER is enough":         {"USER": "230 in"},
		"certificate is enough":  {"USER": "232 in"},
		"PASS superfluous":       {"PASS": "202 superfluous"},
		"no FEAT":                {"FEAT": "500 what?"},
		"FEAT not implemented":   {"FEAT": "502 no"},
		"FEAT of one line":       {"FEAT": "211 no features"},
		"FEAT of PRET":           {"FEAT": "211 PRET"},
		"FEAT odd":               {"FEAT": "211-\r\n\r\n211-UTF8\r\n utf8\r\n \r\n; \r\n211 "},
		"FEAT of 1000 lines":     {"FEAT": "211-F\r\n" + strings.Repeat(" XYZ one\r\n", 1000) + "211 End"},
		"OPTS refused with 500":  {"OPTS": "500 no"},
		"OPTS refused with 501":  {"OPTS": "501 no"},
		"OPTS refused with 502":  {"OPTS": "502 no"},
		"OPTS refused with 530":  {"OPTS": "530 no"},
		"TYPE answered with 250": {"TYPE": "250 ok"},
	} {
		srv := ftptest.ScriptFTP(t, nil, ftptest.Replies(replies))
		s := dial(t, scripted(srv))
		inStep(t, s, name)
	}
}

func TestFeaturesAreWhatTheServerListed(t *testing.T) {
	srv := ftptest.ScriptFTP(t, nil, ftptest.Replies(map[string]string{
		"FEAT": "211-Extensions:\r\n size\r\n REST STREAM\r\n AUTH TLS\r\n AUTH SSL\r\n211-MDTM\r\nMLST type*;size*;\r\n211 End",
	}))
	f := dial(t, scripted(srv)).Features()
	assert.Equal(t, session.Features{"SIZE": "", "REST": "STREAM", "AUTH": "TLS;SSL", "MDTM": "", "MLST": "type*;size*;"}, f)
	assert.True(t, f.Has("SIZE"))
	assert.False(t, f.Has("HASH"))
}

func TestARefusedLoginSaysWhy(t *testing.T) {
	for name, tt := range map[string]struct {
		replies map[string]string
		want    error
		code    int
	}{
		"421 at once":        {map[string]string{"CONNECT": "421 busy"}, reply.ErrTooMany, 421},
		"530 at once":        {map[string]string{"CONNECT": "530 go away"}, reply.ErrAuth, 530},
		"554 at once":        {map[string]string{"CONNECT": "554 no"}, nil, 554},
		"many at once":       {map[string]string{"CONNECT": "500 Too many connections"}, reply.ErrTooMany, 500},
		"USER refused":       {map[string]string{"USER": "530 no"}, reply.ErrAuth, 530},
		"PASS refused":       {map[string]string{"PASS": "530 Login incorrect"}, reply.ErrAuth, 530},
		"ProFTPD is full":    {map[string]string{"PASS": "530 Sorry, the maximum number of clients (3) for this user are already connected."}, reply.ErrTooMany, 530},
		"421 to PASS":        {map[string]string{"PASS": "421 too many"}, reply.ErrTooMany, 421},
		"ACCT wanted":        {map[string]string{"PASS": "332 account?"}, reply.ErrAuth, 332},
		"ACCT wanted sooner": {map[string]string{"USER": "332 account?"}, reply.ErrAuth, 332},
		"another password":   {map[string]string{"PASS": "331 again?"}, reply.ErrAuth, 331},
		"USER granted oddly": {map[string]string{"USER": "350 \x1b[2J"}, nil, 350},
		"TYPE refused":       {map[string]string{"TYPE": "550 no"}, nil, 550},
		"421 to FEAT":        {map[string]string{"FEAT": "421 bye"}, reply.ErrTooMany, 421},
		"421 to OPTS":        {map[string]string{"OPTS": "421 bye"}, reply.ErrTooMany, 421},
	} {
		srv := ftptest.ScriptFTP(t, nil, ftptest.Replies(tt.replies))
		_, err := session.Dial(t.Context(), scripted(srv))
		require.Error(t, err, name)
		assert.Equal(t, tt.code, reply.Code(err), name)
		for _, cause := range []error{reply.ErrTooMany, reply.ErrAuth, session.ErrInsecure} {
			assert.Equal(t, cause == tt.want, errors.Is(err, cause), "%s: %v", name, cause) //nolint:errorlint // the table's value
		}
		assert.NotContains(t, err.Error(), "\x1b")
	}
}

func TestAGreetingThatIsNoneIsRefused(t *testing.T) {
	for name, sent := range map[string]string{
		"HTTP": "HTTP/1.1 400 Bad Request\r\n\r\n", "endless line": strings.Repeat("220", 10000), "endless reply": "220-\r\n" + strings.Repeat("220-x\r\n", 20000),
		"huge FEAT": "",
	} {
		srv := ftptest.Script(t, func(c *ftptest.Conn) {
			if sent != "" {
				c.Send(sent)
				c.ReadLine()
			}
			c.Send("220 ok\r\n")
			for {
				if c.ReadLine() == "FEAT" {
					c.Send("211-F\r\n" + strings.Repeat(" "+strings.Repeat("F", 1000)+"\r\n", 100))
					continue
				}
				c.Send("230 in\r\n")
			}
		})
		_, err := session.Dial(t.Context(), scripted(srv))
		require.ErrorIs(t, err, reply.ErrMalformed, name)
		assert.Less(t, len(err.Error()), 3000, name)
	}
}

// upTo is a server that behaves until a point, and from then on does something else.
func upTo(point string, then func(c *ftptest.Conn)) func(c *ftptest.Conn) {
	return func(c *ftptest.Conn) {
		defer func() {
			for { // until the client goes
				c.ReadLine()
			}
		}()
		if point == "CONNECT" {
			then(c)
			return
		}
		c.Send("220 ready\r\n")
		replies := map[string]string{
			"AUTH": "234 go on", "USER": "331 password?", "PASS": "230 in", "FEAT": "211-F\r\n UTF8\r\n211 End", "TYPE": "200 ok",
			"PBSZ": "200 ok", "PROT": "200 ok", "OPTS": "200 ok",
		}
		for {
			verb, _, _ := strings.Cut(c.ReadLine(), " ")
			if verb == point {
				then(c)
				return
			}
			c.Send(replies[verb] + "\r\n")
			if verb == "AUTH" {
				if point == "TLS" {
					then(c)
					return
				}
				c.StartTLS(nil)
			}
		}
	}
}

func insecure(cfg *session.Config) {
	cfg.TLS, cfg.TLSConfig = session.Explicit, &tls.Config{InsecureSkipVerify: true} //nolint:gosec // what is tested needs no name
}

func TestEachStepOfDialEndsWithItsContextAndByItsDeadline(t *testing.T) {
	silent := func(*ftptest.Conn) {}
	half := func(c *ftptest.Conn) { c.Send("220-he") }
	closes := func(c *ftptest.Conn) { _ = c.Close() }
	for _, point := range []string{"CONNECT", "AUTH", "TLS", "USER", "PASS", "FEAT", "TYPE", "PBSZ", "PROT", "OPTS"} {
		for name, then := range map[string]func(c *ftptest.Conn){"silent": silent, "half": half, "closes": closes} {
			srv := ftptest.Script(t, upTo(point, then))
			cfg := scripted(srv)
			insecure(&cfg)
			what := point + " " + name

			cfg.ConnectTimeout = 200 * time.Millisecond
			begin := time.Now()
			_, err := session.Dial(t.Context(), cfg)
			require.Error(t, err, what)
			assert.Less(t, time.Since(begin), 3*time.Second, what)
			require.NoError(t, t.Context().Err())
			require.NotErrorIs(t, err, context.Canceled)
			if name == "closes" {
				continue
			}
			if point != "TLS" || name == "silent" {
				require.ErrorIs(t, err, os.ErrDeadlineExceeded, what)
				require.NotErrorIs(t, err, session.ErrInsecure, what)

				cfg.ConnectTimeout = 10 * time.Second
				cancelled(t, what, func() func(context.Context) error {
					return func(ctx context.Context) error { _, err := session.Dial(ctx, cfg); return err }
				})
			}
		}
	}
}

// The steps are bounded as a whole: a server that always says a little in time does not hold a caller for ever.
func TestAStepIsBoundedHoweverManyRepliesItTakes(t *testing.T) {
	for name, handler := range map[string]func(c *ftptest.Conn){
		"120 for ever": func(c *ftptest.Conn) {
			for {
				c.Send("120 soon\r\n")
				<-time.After(50 * time.Millisecond)
			}
		},
		"slow login": func(c *ftptest.Conn) {
			c.Send("220 ready\r\n")
			for {
				verb, _, _ := strings.Cut(c.ReadLine(), " ")
				<-time.After(150 * time.Millisecond)
				c.Send(map[string]string{"USER": "331", "PASS": "230", "FEAT": "500", "TYPE": "200"}[verb] + " x\r\n")
			}
		},
	} {
		cfg := scripted(ftptest.Script(t, handler))
		cfg.ConnectTimeout = 300 * time.Millisecond
		begin := time.Now()
		_, err := session.Dial(t.Context(), cfg)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded, name)
		assert.Less(t, time.Since(begin), 2*time.Second)
	}
}

func TestDialingItselfEndsWithItsContextAndByItsDeadline(t *testing.T) {
	cfg := config("127.0.0.1", 1)
	cfg.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	cfg.ConnectTimeout = 50 * time.Millisecond
	_, err := session.Dial(t.Context(), cfg)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.NotErrorIs(t, err, context.DeadlineExceeded, "the caller's context has not ended")

	cfg.ConnectTimeout = time.Minute
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = session.Dial(ctx, cfg)
	assert.Equal(t, context.DeadlineExceeded, err)
}

func TestPlaintextAfter234IsFatal(t *testing.T) {
	for _, sent := range []string{"234 go\r\n220 hi\r\n", "234 go\r\n230 in\r\n200 ok\r\n"} {
		rest := make(chan string, 1)
		cfg := scripted(ftptest.Script(t, func(c *ftptest.Conn) {
			c.Send("220 ready\r\n")
			c.Expect("AUTH TLS")
			c.Send(sent)
			defer close(rest)
			rest <- c.ReadLine()
		}))
		insecure(&cfg)
		_, err := session.Dial(t.Context(), cfg)
		require.ErrorIs(t, err, wire.ErrPlaintext)
		assert.Empty(t, <-rest, "nothing is said after it")
	}
}

func TestTLSThatIsRefusedIsNeverReplacedByPlaintext(t *testing.T) {
	for name, refuse := range map[string]map[string]string{
		"AUTH 500": {"AUTH": "500 what?"}, "AUTH 502": {"AUTH": "502 no"}, "AUTH 530": {"AUTH": "530 Please login with USER and PASS."},
		"AUTH 200": {"AUTH": "200 fine"}, "AUTH 334": {"AUTH": "334 adat"}, "AUTH 431": {"AUTH": "431 no certificate"},
		"PBSZ": {"PBSZ": "500 what?"}, "PROT": {"PROT": "534 no"}, "PROT 3xx": {"PROT": "334 hm"},
	} {
		var mu sync.Mutex
		var plaintext []string
		cfg := scripted(ftptest.Script(t, func(c *ftptest.Conn) {
			c.Send("220 ready\r\n")
			secured := false
			for {
				line := c.ReadLine()
				if !secured {
					mu.Lock()
					plaintext = append(plaintext, line)
					mu.Unlock()
				}
				verb, _, _ := strings.Cut(line, " ")
				answer, refused := refuse[verb]
				if !refused {
					answer = map[string]string{"AUTH": "234", "USER": "331", "PASS": "230", "FEAT": "500"}[verb] + " x"
				}
				if answer == " x" {
					answer = "200 ok"
				}
				c.Send(answer + "\r\n")
				if verb == "AUTH" && !refused {
					c.StartTLS(nil)
					secured = true
				}
			}
		}))
		insecure(&cfg)
		_, err := session.Dial(t.Context(), cfg)
		require.ErrorIs(t, err, session.ErrInsecure, name)
		require.NotErrorIs(t, err, reply.ErrAuth, name)
		mu.Lock()
		assert.Equal(t, []string{"AUTH TLS"}, plaintext, name)
		mu.Unlock()
	}
}

func TestACertificateThatIsNotTheServersIsRefused(t *testing.T) {
	for _, mode := range []ftptest.TLSMode{ftptest.Explicit, ftptest.Implicit} {
		srv := ftptest.Start(t, ftptest.Options{TLS: mode, Password: password})
		for name, cfg := range map[string]struct {
			host string
			tls  *tls.Config
		}{
			"unknown CA":    {srv.Host(), &tls.Config{RootCAs: x509.NewCertPool()}},                       //nolint:gosec // Dial sets MinVersion
			"another name":  {"127.0.0.2", &tls.Config{RootCAs: srv.CertPool()}},                          //nolint:gosec // the same
			"name override": {"127.0.0.2", &tls.Config{RootCAs: srv.CertPool(), ServerName: "localhost"}}, //nolint:gosec // the same
		} {
			c := config(cfg.host, srv.Port())
			c.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, srv.Addr())
			}
			c.TLS, c.TLSConfig = session.Explicit, cfg.tls
			if mode == ftptest.Implicit {
				c.TLS = session.Implicit
			}
			_, err := session.Dial(t.Context(), c)
			var untrusted *tls.CertificateVerificationError
			require.ErrorAs(t, err, &untrusted, name)
		}
		assert.Zero(t, srv.Stats().Commands["USER"])
	}
}

func TestTLSBelow12IsRefused(t *testing.T) {
	old, err := ftptest.ServerTLS()
	require.NoError(t, err)
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	cfg := scripted(ftptest.Script(t, upTo("TLS", func(c *ftptest.Conn) { c.StartTLS(old) })))
	insecure(&cfg)
	cfg.TLSConfig.MinVersion = tls.VersionTLS10
	_, err = session.Dial(t.Context(), cfg)
	require.ErrorContains(t, err, "TLS: ")
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "the handshake failed, and not what would come after it")
}

func TestArgumentsWithControlCharactersAreNeverSent(t *testing.T) {
	dials := 0
	cfg := config("127.0.0.1", 1)
	cfg.Dial = func(context.Context, string, string) (net.Conn, error) { dials++; return nil, io.EOF }
	for _, bad := range []string{"zz\r\nDELE x", "zz\nb", "zz\x00b", "zz\x7fb"} {
		cfg.User, cfg.Password = bad, "x"
		_, err := session.Dial(t.Context(), cfg)
		require.ErrorIs(t, err, safepath.ErrUnsafe)
		cfg.User, cfg.Password = "x", bad
		_, err = session.Dial(t.Context(), cfg)
		require.ErrorIs(t, err, safepath.ErrUnsafe)
		assert.NotContains(t, err.Error(), "zz", "the password is not shown")
	}
	assert.Zero(t, dials)
}

func TestIPv6WithEPSV(t *testing.T) {
	l, err := net.ListenTCP("tcp6", &net.TCPAddr{IP: net.IPv6loopback})
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- serveIPv6(l) }()
	cfg := config("::1", l.Addr().(*net.TCPAddr).Port)
	s := dial(t, cfg)
	cfg.Quirks.PASV.Store(true) // PASV has no place for such an address
	var got bytes.Buffer
	r, err := s.Retrieve(t.Context(), "f", 0, session.TransferOptions{})
	require.NoError(t, err)
	_, err = io.Copy(&got, r)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	assert.Equal(t, "six", got.String())
	s.Close()
	require.NoError(t, <-done)
	require.NoError(t, l.Close())
}

// serveIPv6 speaks as much FTP as one download takes.
func serveIPv6(l *net.TCPListener) error {
	c, err := l.Accept()
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	data, err := net.ListenTCP("tcp6", &net.TCPAddr{IP: net.IPv6loopback})
	if err != nil {
		return err
	}
	defer func() { _ = data.Close() }()
	_, _ = io.WriteString(c, "220 ready\r\n")
	for lines := bufio.NewScanner(c); lines.Scan(); {
		verb, _, _ := strings.Cut(lines.Text(), " ")
		answer := map[string]string{"USER": "230 in", "PASS": "503 why?", "FEAT": "500 no", "TYPE": "200 ok", "OPTS": "500 no", "QUIT": "221 bye"}[verb]
		switch verb {
		case "EPSV":
			answer = fmt.Sprintf("229 (|||%d|)", data.Addr().(*net.TCPAddr).Port)
		case "RETR":
			_, _ = io.WriteString(c, "150 here\r\n")
			d, err := data.Accept()
			if err != nil {
				return err
			}
			_, _ = io.WriteString(d, "six")
			_ = d.Close()
			answer = "226 done"
		case "PASV":
			answer = "522 no"
		}
		if _, err := io.WriteString(c, answer+"\r\n"); err != nil {
			return err
		}
	}
	return nil
}

func TestThePasswordIsInNoErrorAndNoLog(t *testing.T) {
	for name, replies := range map[string]map[string]string{
		"accepted":         {},
		"repeated":         {"PASS": "500 'PASS " + password + "': unknown"},
		"repeated in USER": {"USER": "530 not with " + password},
		"repeated later":   {"TYPE": "550-" + password + "\r\n550 " + password},
		"repeated so":      {"PASS": "230-" + password + "\r\n230 " + password},
		"wanted again":     {"PASS": "331 not " + password},
	} {
		var mu sync.Mutex
		var log bytes.Buffer
		cfg := scripted(ftptest.ScriptFTP(t, nil, ftptest.Replies(replies)))
		cfg.Logger = slog.New(slog.NewTextHandler(lockedWriter{&mu, &log}, &slog.HandlerOptions{Level: slog.LevelDebug}))
		s, err := session.Dial(t.Context(), cfg)
		if err == nil {
			assert.NotContains(t, fmt.Sprint(s.Features()), password)
			s.Close()
		} else {
			assert.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), password, name)
		}
		mu.Lock()
		assert.NotContains(t, log.String(), password, name)
		assert.Contains(t, log.String(), "USER user", name)
		mu.Unlock()
	}
}

type lockedWriter struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
