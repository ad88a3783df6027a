package ftpclient_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

func TestManyCallersShareFewConnections(t *testing.T) {
	srv, client := serve(t, ftptest.Options{}, func(c *ftpclient.ServerConfig) { c.MaxConns = 3 })
	content := randomBytes(t, 300<<10)
	put(t, srv, "f", content)
	downloadMany(t, client, 32)
	assert.LessOrEqual(t, srv.Stats().MaxOpen, 3)
	assert.Equal(t, 3, srv.Stats().Conns, "none was thrown away")
}

func downloadMany(t *testing.T, client *ftpclient.Client, n int) {
	t.Helper()
	dir := t.TempDir()
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			_, err := client.Download(t.Context(), "srv", "f", filepath.Join(dir, strconv.Itoa(i)), nil)
			assert.NoError(t, err)
		})
	}
	all.Wait()
	assert.Len(t, names(t, dir), n)
}

func TestAServerThatTakesTwoConnectionsIsServedByTwo(t *testing.T) {
	for _, tooMany := range []string{"421 Too many connections", "530 Sorry, the maximum number of clients for this user are already connected"} {
		srv, client := serve(t, ftptest.Options{MaxConns: 2, TooManyReply: tooMany}, func(c *ftpclient.ServerConfig) { c.MaxConns = 5 })
		put(t, srv, "f", randomBytes(t, 100<<10))
		downloadMany(t, client, 16)
		stats, err := client.Stats("srv")
		require.NoError(t, err)
		assert.Equal(t, 2, stats.Max, "the limit in force")
		assert.LessOrEqual(t, stats.Open, 2)
	}
}

func TestAPlaceIsFreeOnlyWhenTheServerHasSeenTheConnectionGo(t *testing.T) {
	options := ftptest.Options{MaxConns: 1, Latency: 20 * time.Millisecond}
	t.Run("replaced", func(t *testing.T) {
		srv, client := serve(t, options, one)
		sow(t, filepath.Join(srv.Dir(), "there"), 8)
		opts := &ftpclient.BatchOptions{ReconnectEvery: 1, TransferOptions: ftpclient.TransferOptions{Retry: never()}}
		_, err := client.DownloadDir(t.Context(), "srv", "there", t.TempDir(), opts)
		require.NoError(t, err)
	})
	t.Run("cancelled", func(t *testing.T) {
		srv, client := serve(t, options, one)
		srv.SetFaults(ftptest.Fault{Cmd: "RETR", Times: 1, Do: ftptest.SlowData, Rate: 1 << 10})
		put(t, srv, "f", randomBytes(t, mib))
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		begun := time.Now()
		_, err := client.DownloadTo(ctx, "srv", "f", io.Discard, nil)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Less(t, time.Since(begun), 500*time.Millisecond, "the caller does not wait for that")
		_, err = client.DownloadTo(t.Context(), "srv", "f", io.Discard, &ftpclient.TransferOptions{Retry: never()})
		require.NoError(t, err)
	})
}

func TestAConnectionThatDiedWhileIdleIsReplacedUnseen(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	put(t, srv, "f", []byte("content"))
	for range 3 {
		var b bytes.Buffer
		result, err := client.DownloadTo(t.Context(), "srv", "f", &b, nil)
		require.NoError(t, err)
		assert.Equal(t, 1, result.Attempts)
		srv.CloseControlConnections()
	}
	stats, err := client.Stats("srv")
	require.NoError(t, err)
	assert.Equal(t, int64(3), stats.Dials)
	assert.Equal(t, int64(2), stats.Reconnects)
}

func TestAConnectionThatTheServerLoggedOutIsReplacedUnseen(t *testing.T) {
	var out, refusing atomic.Bool
	srv, client := serve(t, ftptest.Options{Command: func(cmd, _ string) (string, bool) {
		if cmd == "PASS" && !refusing.Load() {
			out.Store(false) // this connection's
		}
		return "530 Please login with USER and PASS.", out.Load() && cmd != "USER" && cmd != "QUIT"
	}}, one)
	put(t, srv, "f", []byte("x"))
	for _, call := range []func() error{
		func() error { return client.Ping(t.Context(), "srv") },
		func() error { return client.SetModTime(t.Context(), "srv", "f", time.Now()) },
		func() error { _, err := client.List(t.Context(), "srv", ""); return err },
		func() error {
			result, err := client.Download(t.Context(), "srv", "f", filepath.Join(t.TempDir(), "f"), nil)
			assert.Equal(t, 1, result.Attempts)
			return err
		},
		func() error {
			result, err := client.UploadFrom(t.Context(), "srv", strings.NewReader("x"), "f", nil)
			assert.Equal(t, 1, result.Attempts)
			return err
		},
		func() error { return client.Remove(t.Context(), "srv", "f") },
	} {
		require.NoError(t, client.Ping(t.Context(), "srv")) // there is a connection
		out.Store(true)
		require.NoError(t, call())
	}
	assert.Equal(t, 7, srv.Stats().Commands["PASS"])
	stats, err := client.Stats("srv")
	require.NoError(t, err)
	assert.Zero(t, stats.Reconnects, "none was lost")

	out.Store(true)
	refusing.Store(true)
	require.ErrorIs(t, client.Ping(t.Context(), "srv"), ftpclient.ErrAuth, "and once only")
	assert.Equal(t, 8, srv.Stats().Commands["PASS"])
}

func TestIdleConnectionsAreKeptAliveAndThenClosed(t *testing.T) {
	_, client := serve(t, ftptest.Options{IdleTimeout: 500 * time.Millisecond}, func(c *ftpclient.ServerConfig) {
		c.KeepAlive, c.IdleTimeout = 100*time.Millisecond, 1200*time.Millisecond
	})
	require.NoError(t, client.Ping(t.Context(), "srv"))
	var most int64
	require.Eventually(t, func() bool {
		stats, err := client.Stats("srv")
		require.NoError(t, err)
		most = max(most, stats.Noops)
		return stats.Open == 0
	}, 5*time.Second, 10*time.Millisecond)
	assert.Greater(t, most, int64(5), "the server's own time-out of half a second was outlived")
	stats, err := client.Stats("srv")
	require.NoError(t, err)
	assert.Zero(t, stats.Reconnects)
}

func TestServersShareNothing(t *testing.T) {
	one, two := ftptest.Start(t, ftptest.Options{}), ftptest.Start(t, ftptest.Options{User: "other", Password: "word"})
	client := newClient(t, map[string]ftpclient.ServerConfig{
		"one": {Host: one.Host(), Port: one.Port(), Username: "user", Password: "secret"},
		"two": {Host: two.Host(), Port: two.Port(), Username: "other", Password: "word"},
	})
	assert.Equal(t, []string{"one", "two"}, client.Servers())
	require.NoError(t, client.Ping(t.Context(), "one"))
	assert.Zero(t, two.Stats().Conns)
	assert.True(t, client.IsConnected(t.Context(), "two"))
	require.NoError(t, one.Close())
	assert.True(t, client.IsConnected(t.Context(), "two"))
	assert.False(t, client.IsConnected(t.Context(), "one"))
}

func TestCloseEndsRunningWorkWithinASecond(t *testing.T) {
	srv, client := serve(t, ftptest.Options{DataRate: 1 << 20})
	put(t, srv, "f", randomBytes(t, 20*mib))
	running := make(chan struct{}, 1)
	done := make(chan error, 1)
	go func() {
		_, err := client.Download(context.Background(), "srv", "f", filepath.Join(t.TempDir(), "f"), &ftpclient.TransferOptions{
			Progress: func(ftpclient.Progress) {
				select {
				case running <- struct{}{}:
				default:
				}
			},
		})
		done <- err
	}()
	<-running
	begun := time.Now()
	require.NoError(t, client.Close())
	assert.Less(t, time.Since(begun), time.Second)
	require.ErrorIs(t, <-done, fs.ErrClosed)
	require.NoError(t, client.Close(), "again")
	require.ErrorIs(t, client.Ping(t.Context(), "srv"), fs.ErrClosed)
}

func TestShutdownWaitsForRunningWorkAndRefusesNewWork(t *testing.T) {
	srv, client := serve(t, ftptest.Options{DataRate: 8 << 20})
	put(t, srv, "f", randomBytes(t, 4*mib))
	running, done := make(chan struct{}), make(chan error, 1)
	var once sync.Once
	go func() {
		_, err := client.DownloadTo(context.Background(), "srv", "f", &bytes.Buffer{}, &ftpclient.TransferOptions{
			Progress: func(ftpclient.Progress) { once.Do(func() { close(running) }) },
		})
		done <- err
	}()
	<-running
	require.NoError(t, client.Shutdown(t.Context()))
	require.NoError(t, <-done)
	require.ErrorIs(t, client.Ping(t.Context(), "srv"), fs.ErrClosed)
}

func TestAServerWhoseConnectionsAreAllInUseIsConnected(t *testing.T) {
	srv, client := serve(t, ftptest.Options{}, one)
	put(t, srv, "f", make([]byte, 8*mib))
	assert.True(t, client.IsConnected(t.Context(), "srv"))
	f, err := client.Open(t.Context(), "srv", "f")
	require.NoError(t, err)
	_, err = f.Read(make([]byte, 1))
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	assert.True(t, client.IsConnected(ctx, "srv"), "it waits for nobody")
	require.NoError(t, ctx.Err())
	require.NoError(t, f.Close())
	require.NoError(t, srv.Close())
	assert.False(t, client.IsConnected(t.Context(), "srv"))
}

func TestAFileThatWasOpenedBeforeShutdownIsReadToItsEnd(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	put(t, srv, "f", []byte("content"))
	f, err := client.Open(t.Context(), "srv", "f")
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- client.Shutdown(context.Background()) }()
	require.Eventually(t, func() bool { return errors.Is(client.Ping(t.Context(), "srv"), fs.ErrClosed) }, 5*time.Second, time.Millisecond)
	content, err := io.ReadAll(f)
	require.NoError(t, err)
	assert.Equal(t, "content", string(content))
	require.NoError(t, f.Close())
	require.NoError(t, <-done)
}

func TestShutdownCutsOffWhatDoesNotEndInTime(t *testing.T) {
	srv, client := serve(t, ftptest.Options{Faults: []ftptest.Fault{{Cmd: "RETR", Do: ftptest.StallData, After: 10}}})
	put(t, srv, "f", randomBytes(t, mib))
	running, done := make(chan struct{}), make(chan error, 1)
	var once sync.Once
	go func() {
		_, err := client.DownloadTo(context.Background(), "srv", "f", &bytes.Buffer{}, &ftpclient.TransferOptions{
			Progress: func(ftpclient.Progress) { once.Do(func() { close(running) }) },
		})
		done <- err
	}()
	<-running
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, client.Shutdown(ctx), context.DeadlineExceeded)
	require.ErrorIs(t, <-done, fs.ErrClosed)
}

func TestShutdownWithNothingToCutOffIsASuccess(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 {
		_, client := serve(t, ftptest.Options{})
		require.NoError(t, client.Ping(t.Context(), "srv"))
		require.NoError(t, client.Shutdown(ended))
	}
}

func TestAWrongPasswordIsTriedOnceHoweverManyWait(t *testing.T) {
	srv, client := serve(t, ftptest.Options{}, func(c *ftpclient.ServerConfig) {
		c.Password, c.ConnectTimeout, c.ReplyTimeout = "hunter2wrong", time.Minute, time.Minute
	})
	var all sync.WaitGroup
	errs := make([]error, 16)
	for i := range errs {
		all.Go(func() { errs[i] = client.Ping(t.Context(), "srv") })
	}
	all.Wait()
	for _, err := range errs {
		require.ErrorIs(t, err, ftpclient.ErrAuth)
		assert.False(t, ftpclient.Retryable(err))
	}
	require.ErrorIs(t, client.Ping(t.Context(), "srv"), ftpclient.ErrAuth, "soon after")
	assert.Equal(t, 1, srv.Stats().Commands["PASS"])
}

func TestAPasswordOnWhichTheServerHangsUpIsTriedTwice(t *testing.T) {
	for _, fault := range []ftptest.Fault{{Cmd: "LOGIN", Do: ftptest.CutControl}, {Cmd: "LOGIN", Do: ftptest.StallControl}} {
		srv, client := serve(t, ftptest.Options{Faults: []ftptest.Fault{fault}}, func(c *ftpclient.ServerConfig) {
			c.ConnectTimeout = 300 * time.Millisecond
		})
		var all sync.WaitGroup
		errs := make([]error, 20)
		for i := range errs {
			all.Go(func() { errs[i] = client.Ping(t.Context(), "srv") })
		}
		all.Wait()
		for _, err := range errs {
			require.ErrorContains(t, err, "no answer to the password")
			assert.False(t, ftpclient.Retryable(err))
		}
		result, err := client.DownloadFiles(t.Context(), "srv", []string{"a", "b", "c"}, t.TempDir(), nil)
		require.Error(t, err)
		assert.Zero(t, result.Succeeded)
		assert.Equal(t, 2, srv.Stats().Commands["PASS"])
	}
}

func TestErrorsSayWhatWhereAndWhyWithoutSecrets(t *testing.T) {
	var log bytes.Buffer
	srv := ftptest.Start(t, ftptest.Options{})
	const secret = "hunter2-very-secret"
	cfg := ftpclient.Config{
		Servers: map[string]ftpclient.ServerConfig{"backup": {Host: srv.Host(), Port: srv.Port(), Username: "joe", Password: secret}},
		Logger:  slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	client, err := ftpclient.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	_, err = client.Stat(t.Context(), "backup", "a/b")
	require.ErrorIs(t, err, ftpclient.ErrAuth)
	var e *ftpclient.Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, "stat", e.Op)
	assert.Equal(t, "backup", e.Server)
	assert.Equal(t, "a/b", e.Path)
	assert.Equal(t, 530, e.Code)
	assert.NotEmpty(t, e.Message)
	assert.Regexp(t, `^stat backup: a/b: PASS: 530 .+`, err.Error())
	require.ErrorIs(t, err, &ftpclient.Error{Code: 530})
	require.NotErrorIs(t, err, &ftpclient.Error{Code: 550})

	js, jerr := json.Marshal(cfg)
	require.NoError(t, jerr)
	for _, text := range []string{
		err.Error(), fmt.Sprintf("%v %+v %#v", err, err, e), log.String(), string(js),
		fmt.Sprintf("%v %+v %#v %s", cfg, cfg, cfg, client), fmt.Sprintf("%#v %+v", client, client),
	} {
		assert.NotContains(t, text, secret)
	}
	assert.Contains(t, log.String(), "PASS ***")
	assert.Contains(t, log.String(), "USER joe")
}

func TestErrorsAreOneLineWithoutControlCharacters(t *testing.T) {
	srv, client := serve(t, ftptest.Options{Faults: []ftptest.Fault{{Cmd: "MKD", Do: ftptest.Refuse, Reply: "550 \x1b[31mno \\o/"}}})
	put(t, srv, "f", []byte("x"))
	for _, c := range []struct {
		do   func() error
		says string
	}{
		{func() error {
			_, err := client.Upload(t.Context(), "srv", filepath.Join(t.TempDir(), "a\x1b[31mb\nü"), "x", nil)
			return err
		}, `a\x1b[31mb; ü`},
		{func() error {
			_, err := client.Stat(t.Context(), "no\x1bsuch\xff", "x")
			return err
		}, `stat no\x1bsuch\xff: x: unknown server`},
		{func() error { return client.MkdirAll(t.Context(), "srv", "d") }, `MKD: 550 \x1b[31mno \\o/`}, // escaped once
	} {
		err := c.do()
		require.Error(t, err)
		assert.Contains(t, err.Error(), c.says)
		for _, r := range err.Error() {
			assert.False(t, unicode.IsControl(r), "%q", err.Error())
		}
	}
}

func TestAnUnknownServerIsAnErrorOfItsOwn(t *testing.T) {
	_, client := serve(t, ftptest.Options{})
	_, err := client.Stats("nobody")
	require.ErrorIs(t, err, ftpclient.ErrUnknownServer)
	require.ErrorIs(t, client.Ping(t.Context(), "nobody"), ftpclient.ErrUnknownServer)
	_, err = client.Download(t.Context(), "nobody", "f", filepath.Join(t.TempDir(), "f"), nil)
	require.ErrorIs(t, err, ftpclient.ErrUnknownServer)
}

func TestNewReportsEveryFaultAtOnce(t *testing.T) {
	_, err := ftpclient.New(ftpclient.Config{Servers: map[string]ftpclient.ServerConfig{
		"a": {Port: 70000}, "b": {Host: "h", TLS: "tls13", Encoding: "klingon"},
	}})
	require.Error(t, err)
	for _, key := range []string{"servers.a.host", "servers.a.port", "servers.b.tls", "servers.b.encoding"} {
		assert.ErrorContains(t, err, key)
	}
}

func TestFeaturesAreWhatTheServerSays(t *testing.T) {
	_, client := serve(t, ftptest.Options{})
	f, err := client.Features(t.Context(), "srv")
	require.NoError(t, err)
	assert.True(t, f.Has("MLST"))
	assert.True(t, f.Has("SIZE"))
	assert.False(t, f.Has("PRET"))

	clear(f)
	f, err = client.Features(t.Context(), "srv")
	require.NoError(t, err)
	assert.True(t, f.Has("SIZE"), "the caller's are its own")
}

// A 32 MiB limit on what the process may hold: 64 MiB pass through it both ways.
func TestMemoryDoesNotGrowWithTheFile(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	put(t, srv, "f", make([]byte, 64*mib))
	local := filepath.Join(t.TempDir(), "f")
	allocated := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			if _, err := client.Download(t.Context(), "srv", "f", local, nil); err != nil {
				b.Fatal(err)
			}
			if err := os.Remove(local); err != nil {
				b.Fatal(err)
			}
		}
	}).AllocedBytesPerOp()
	assert.Less(t, allocated, int64(4*mib), "server and client together")
}

func TestACancelledCallEndsAtOnceWithTheContextsError(t *testing.T) {
	for _, fault := range []ftptest.Fault{
		{Cmd: "CONNECT", Do: ftptest.StallReply},
		{Cmd: "PASS", Do: ftptest.StallControl},
		{Cmd: "SIZE", Do: ftptest.StallControl},
		{Cmd: "EPSV", Do: ftptest.StallControl},
		{Cmd: "RETR", Do: ftptest.StallControl},
		{Cmd: "RETR", Do: ftptest.StallData, After: 1000},
		{Cmd: "RETR", Do: ftptest.StallReply},
	} {
		srv, client := serve(t, ftptest.Options{Faults: []ftptest.Fault{fault}})
		put(t, srv, "f", randomBytes(t, 100<<10))
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		begun := time.Now()
		_, err := client.Download(ctx, "srv", "f", filepath.Join(t.TempDir(), "f"), nil)
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded, "%+v", fault)
		assert.Less(t, time.Since(begun), 500*time.Millisecond, "%+v: the context ends after 200", fault)
		require.NotErrorIs(t, err, fs.ErrClosed)
	}
}

func TestACallThatDoesNotBeginHasAResultToo(t *testing.T) {
	_, client := serve(t, ftptest.Options{})
	for what, call := range map[string]func() (*ftpclient.Result, error){
		"unknown server": func() (*ftpclient.Result, error) { return client.Download(t.Context(), "none", "f", "g", nil) },
		"no name":        func() (*ftpclient.Result, error) { return client.DownloadTo(t.Context(), "srv", "", io.Discard, nil) },
		"upload":         func() (*ftpclient.Result, error) { return client.Upload(t.Context(), "srv", "f", "", nil) },
		"stream": func() (*ftpclient.Result, error) {
			return client.UploadFrom(t.Context(), "none", strings.NewReader(""), "f", nil)
		},
		"copy": func() (*ftpclient.Result, error) { return client.Copy(t.Context(), "srv", "f", "none", "g", nil) },
	} {
		result, err := call()
		require.Error(t, err, what)
		require.NotNil(t, result, what)
		assert.Zero(t, result.Bytes, what)
	}
}

func TestAnErrorIsAnotherWhoseFieldsItHas(t *testing.T) {
	e := &ftpclient.Error{Op: "stat", Server: "s", Path: "f", Code: 550, Message: "no", Err: fs.ErrNotExist}
	same := *e
	for _, target := range []*ftpclient.Error{{}, &same, {Message: "no"}, {Err: fs.ErrNotExist}, {Op: "stat", Code: 550}} {
		require.ErrorIs(t, e, target)
	}
	for _, target := range []*ftpclient.Error{{Message: "yes"}, {Err: fs.ErrExist}, {Code: 530}, {Path: "g"}} {
		require.NotErrorIs(t, e, target)
	}
}
