package ftpclient_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

const secretPassword = "s3cret-word"

// hostile makes a client of a scripted server.
func hostile(t *testing.T, srv *ftptest.ScriptServer, change ...func(*ftpclient.ServerConfig)) *ftpclient.Client {
	t.Helper()
	cfg := ftpclient.ServerConfig{
		Host: srv.Host(), Port: srv.Port(), Username: "user", Password: secretPassword,
		ConnectTimeout: time.Second, ReplyTimeout: time.Second, StallTimeout: time.Second,
	}
	for _, f := range change {
		f(&cfg)
	}
	return newClient(t, map[string]ftpclient.ServerConfig{"srv": cfg})
}

// oneTry makes a call try nothing twice.
var oneTry = &ftpclient.TransferOptions{Retry: &ftpclient.RetryPolicy{MaxRetries: -1}}

// everything calls what a client can do, and returns what was said of it.
func everything(ctx context.Context, t *testing.T, c *ftpclient.Client) []error {
	t.Helper()
	local := filepath.Join(t.TempDir(), "f")
	_, down := c.Download(ctx, "srv", "f", local, oneTry)
	require.NoFileExists(t, local)
	_, up := c.UploadFrom(ctx, "srv", strings.NewReader("x"), "g", oneTry)
	_, list := c.List(ctx, "srv", "d")
	_, stat := c.Stat(ctx, "srv", "f")
	return []error{
		down, up, list, stat, c.Ping(ctx, "srv"), c.MkdirAll(ctx, "srv", "a/b"), c.Remove(ctx, "srv", "f"),
		c.Rename(ctx, "srv", "f", "g"), c.SetModTime(ctx, "srv", "f", time.Unix(0, 0)),
	}
}

func TestNothingAServerSaysMakesAnErrorUnreadableOrFalse(t *testing.T) {
	escape := "\x1b[2J\x00" + strings.Repeat("x", 5000)
	for name, replies := range map[string]map[string]string{
		"no FTP":           {"CONNECT": "HTTP/1.1 400 Bad Request"},
		"endless greeting": {"CONNECT": "220-" + strings.Repeat("x\r\n220-", 30000)},
		"malformed 227":    {"EPSV": "500 no", "PASV": "227 )("},
		"malformed 229":    {"EPSV": "229 (|||0|)"},
		"227 for EPSV":     {"EPSV": "227 )("},
		"malformed 257":    {"PWD": `257 "`},
		"escapes":          {"RETR": "550 " + escape, "STOR": "550 " + escape, "SIZE": "550 " + escape, "MDTM": "550 " + escape, "CWD": "550 " + escape, "DELE": "550 " + escape, "LIST": "550 " + escape},
		"password":         {"RETR": "550 " + secretPassword, "STOR": "550 " + secretPassword, "CWD": "550 " + secretPassword, "PASS": "530 " + secretPassword},
		"everything":       {"RETR": "226 done", "STOR": "226 done", "LIST": "226 done", "SIZE": "150 x\r\n150 y", "EPSV": "150 x"},
		"absurd size":      {"SIZE": "213 99999999999999999999"},
	} {
		srv := ftptest.ScriptFTP(t, nil, ftptest.Replies(replies))
		var log safeBuffer
		client, err := ftpclient.New(ftpclient.Config{
			Servers: map[string]ftpclient.ServerConfig{"srv": {
				Host: srv.Host(), Port: srv.Port(), Username: "user", Password: secretPassword,
				ConnectTimeout: time.Second, ReplyTimeout: time.Second, StallTimeout: time.Second,
			}},
			Retry:  ftpclient.RetryPolicy{MaxRetries: -1},
			Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		})
		require.NoError(t, err)
		for _, err := range everything(t.Context(), t, client) {
			if err == nil {
				continue
			}
			said := fmt.Sprintf("%v %+v", err, err)
			assert.NotContains(t, said, "\x1b", name)
			assert.NotContains(t, said, "\x00", name)
			assert.NotContains(t, said, "\n", name)
			assert.NotContains(t, said, secretPassword, name)
			assert.Less(t, len(said), 8000, name)
			require.NotErrorIs(t, err, fs.ErrNotExist, "%s: nothing proved an absence", name)
		}
		require.NoError(t, client.Close())
		assert.NotContains(t, log.String(), secretPassword, name)
		assert.NotContains(t, log.String(), "\x1b", name)
	}
}

// safeBuffer is a log that several goroutines write.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// logging is a client of srv, and its log from that level on.
func logging(t *testing.T, srv *ftptest.Server, level slog.Level, maxConns int) (*ftpclient.Client, *safeBuffer) {
	t.Helper()
	var log safeBuffer
	client, err := ftpclient.New(ftpclient.Config{
		Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: level})),
		Servers: map[string]ftpclient.ServerConfig{"srv": {
			Host: srv.Host(), Port: srv.Port(), Username: srv.User(), Password: ftpclient.Secret(srv.Password()), MaxConns: maxConns,
		}},
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	return client, &log
}

func TestASilentServerHoldsNobodyLongerThanItsContext(t *testing.T) {
	srv := ftptest.Script(t, func(c *ftptest.Conn) { c.ReadLine() })
	client := hostile(t, srv, func(c *ftpclient.ServerConfig) { c.ConnectTimeout = time.Minute })
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		begin := time.Now()
		_, err := client.DownloadTo(ctx, "srv", "f", &bytes.Buffer{}, nil)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Less(t, time.Since(begin), time.Second)
		cancel()
	}
}

func TestListedNamesThatLeadElsewhereAreNeverEntries(t *testing.T) {
	rows := strings.Join([]string{"good", "../up", "/etc/passwd", "a/../../b", "a\x00b", "\x1b[2J", "\xff"}, "\r\ntype=file;size=1; ")
	srv := ftptest.ScriptFTP(t, map[string]string{"MLSD": "type=file;size=1; " + rows + "\r\ntype=dir; sub\r\n"}, ftptest.Replies(map[string]string{
		"FEAT": "211-F\r\n MLST type*;size*;\r\n211 End",
	}))
	entries, err := hostile(t, srv).List(t.Context(), "srv", "")
	require.ErrorIs(t, err, ftpclient.ErrUnsafeName)
	for _, e := range entries {
		assert.Contains(t, []string{"good", "sub"}, e.Name)
	}
}

func TestAServerThatSendsMoreThanItSaidIsStopped(t *testing.T) {
	srv := ftptest.ScriptFTP(t, map[string]string{"f": strings.Repeat("x", 1<<20)}, func(cmd, _ string) (string, bool) {
		return "213 1000", cmd == "SIZE"
	})
	local := filepath.Join(t.TempDir(), "f")
	_, err := hostile(t, srv).Download(t.Context(), "srv", "f", local, oneTry)
	require.Error(t, err)
	assert.NoFileExists(t, local)
}

func TestAPathThatIsMadeToHoldACommandIsOneArgument(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	put(t, srv, "victim", []byte("precious"))
	for n := range 20 { // jlaffaye's buffer holds 4096 bytes of a line
		path := strings.Repeat("x", 4085+n) + "DELE victim"
		_, err := client.DownloadTo(t.Context(), "srv", path, &bytes.Buffer{}, oneTry)
		require.Error(t, err)
	}
	for _, path := range []string{"f\r\nDELE victim", "f\nDELE victim", "f\x00", "f\x7f"} {
		_, err := client.DownloadTo(t.Context(), "srv", path, &bytes.Buffer{}, oneTry)
		require.ErrorIs(t, err, ftpclient.ErrUnsafeName)
	}
	assert.Equal(t, []byte("precious"), stored(t, srv, "victim"))
	assert.Zero(t, srv.Stats().Commands["DELE"])
}

func TestDataIsTakenFromTheServersHostOnly(t *testing.T) {
	srv := ftptest.ScriptFTP(t, map[string]string{"f": "x"}, ftptest.Replies(map[string]string{"EPSV": "500 no", "PASV": "227 (8,8,8,8,0,21)"}))
	var mu sync.Mutex
	var hosts []string
	client := hostile(t, srv, func(c *ftpclient.ServerConfig) {
		c.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			host, port, _ := net.SplitHostPort(addr)
			mu.Lock()
			hosts = append(hosts, host)
			mu.Unlock()
			if port == "21" {
				return nil, errors.New("no such port")
			}
			return new(net.Dialer).DialContext(ctx, network, addr)
		}
	})
	_, err := client.DownloadTo(t.Context(), "srv", "f", &bytes.Buffer{}, oneTry)
	require.Error(t, err)
	mu.Lock()
	defer mu.Unlock()
	require.Greater(t, len(hosts), 1)
	for _, host := range hosts {
		assert.Equal(t, srv.Host(), host)
	}
}

func TestTLSThatWasAskedForIsNeverDoneWithout(t *testing.T) {
	for name, answer := range map[string]string{"refused": "502 no", "refused as vsftpd does": "530 Please login with USER and PASS.", "injected": "234 go\r\n230 in"} {
		var said safeBuffer
		srv := ftptest.ScriptFTP(t, nil, func(cmd, _ string) (string, bool) {
			if cmd != "CONNECT" {
				_, _ = said.Write([]byte(cmd + " "))
			}
			return answer, cmd == "AUTH"
		})
		client := hostile(t, srv, func(c *ftpclient.ServerConfig) { c.TLS, c.InsecureSkipVerify = ftpclient.TLSExplicit, true })
		_, err := client.DownloadTo(t.Context(), "srv", "f", &bytes.Buffer{}, oneTry)
		require.Error(t, err, name)
		require.NotErrorIs(t, err, ftpclient.ErrAuth, "%s: no password was asked for", name)
		assert.Empty(t, strings.ReplaceAll(said.String(), "AUTH ", ""), name)
	}
}

func TestASourceWhoseErrorWrapsAnEndIsNoWholeFile(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	_, err := client.UploadFrom(t.Context(), "srv", &half{content: randomBytes(t, 300_000)}, "f", oneTry)
	require.Error(t, err)
	assert.NoFileExists(t, filepath.Join(srv.Dir(), "f"))
}

// half is a source that loses its own peer.
type half struct{ content []byte }

func (h *half) Read(p []byte) (int, error) {
	if len(h.content) == 0 {
		return 0, fmt.Errorf("connection lost: %w", io.EOF)
	}
	n := copy(p, h.content)
	h.content = h.content[n:]
	return n, nil
}
