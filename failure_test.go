package ftpclient_test

import (
	"bytes"
	"context"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

// impatient has waits end soon that would end anyway.
func impatient(c *ftpclient.ServerConfig) {
	c.ReplyTimeout, c.StallTimeout = 300*time.Millisecond, 300*time.Millisecond
}

func always(cmd string, do ftptest.Action, reply string) ftptest.Fault {
	return ftptest.Fault{Cmd: cmd, Do: do, Reply: reply}
}

func once(cmd string, do ftptest.Action, reply string) ftptest.Fault {
	return ftptest.Fault{Cmd: cmd, Times: 1, Do: do, Reply: reply}
}

func after(f ftptest.Fault, n int64) ftptest.Fault {
	f.After = n
	return f
}

func TestWhatMayPassIsRepeatedUntilTheFileIsWhole(t *testing.T) {
	content := randomBytes(t, 2*mib+5)
	for _, c := range []struct {
		what     string
		faults   func(cmd string) []ftptest.Fault
		attempts int
	}{
		{"225", func(cmd string) []ftptest.Fault { return []ftptest.Fault{once(cmd, ftptest.FinalReply, "225 Done")} }, 1},
		{"250", func(cmd string) []ftptest.Fault { return []ftptest.Fault{once(cmd, ftptest.FinalReply, "250 Done")} }, 1},
		{"a slow final reply", func(cmd string) []ftptest.Fault {
			return []ftptest.Fault{{Cmd: cmd, Times: 1, Do: ftptest.SlowFinal, Delay: 100 * time.Millisecond}}
		}, 1},
		{"426 though all was sent", func(cmd string) []ftptest.Fault { return []ftptest.Fault{once(cmd, ftptest.FinalReply, "426 Broken")} }, 2},
		{"451 though all was sent", func(cmd string) []ftptest.Fault { return []ftptest.Fault{once(cmd, ftptest.FinalReply, "451 Broken")} }, 2},
		{"451", func(cmd string) []ftptest.Fault { return []ftptest.Fault{once(cmd, ftptest.Refuse, "451 Broken")} }, 2},
		{"450", func(cmd string) []ftptest.Fault { return []ftptest.Fault{once(cmd, ftptest.Refuse, "450 Busy")} }, 2},
		{"425", func(cmd string) []ftptest.Fault {
			return []ftptest.Fault{once(cmd, ftptest.Refuse, "425 No data connection")}
		}, 2},
		{"426 in the middle", func(cmd string) []ftptest.Fault { return []ftptest.Fault{cut(cmd, mib)} }, 2},
		{"reset in the middle", func(cmd string) []ftptest.Fault { return []ftptest.Fault{after(once(cmd, ftptest.ResetData, ""), mib)} }, 2},
		{"421 in the middle", func(cmd string) []ftptest.Fault {
			return []ftptest.Fault{after(once(cmd, ftptest.LateRefuse, "421 Going down"), mib)}
		}, 2},
		{"451 in the middle", func(cmd string) []ftptest.Fault {
			return []ftptest.Fault{after(once(cmd, ftptest.LateRefuse, "451 Local error"), mib)}
		}, 2},
		{"no final reply, and the connection closed", func(cmd string) []ftptest.Fault { return []ftptest.Fault{once(cmd, ftptest.DropFinalReply, "")} }, 2},
		{"no final reply", func(cmd string) []ftptest.Fault { return []ftptest.Fault{once(cmd, ftptest.StallReply, "")} }, 2},
		{"no reply at all", func(cmd string) []ftptest.Fault { return []ftptest.Fault{once(cmd, ftptest.StallControl, "")} }, 2},
		{"a stall", func(cmd string) []ftptest.Fault { return []ftptest.Fault{after(once(cmd, ftptest.StallData, ""), mib)} }, 2},
		{"both connections lost", func(cmd string) []ftptest.Fault { return []ftptest.Fault{after(once(cmd, ftptest.CutBoth, ""), mib)} }, 2},
		{"the control connection lost before", func(cmd string) []ftptest.Fault { return []ftptest.Fault{once(cmd, ftptest.CutControl, "")} }, 2},
		{"no SIZE", func(string) []ftptest.Fault { return []ftptest.Fault{once("SIZE", ftptest.CutControl, "")} }, 2},
		{"no greeting", func(string) []ftptest.Fault { return []ftptest.Fault{once("CONNECT", ftptest.CutControl, "")} }, 2},
		{"421 for a greeting", func(string) []ftptest.Fault {
			return []ftptest.Fault{once("CONNECT", ftptest.FinalReply, "421 Not now")}
		}, 2},
		{"530 too many", func(string) []ftptest.Fault {
			return []ftptest.Fault{once("LOGIN", ftptest.Refuse, "530 Too many users")}
		}, 2},
	} {
		srv, client := serve(t, ftptest.Options{}, impatient)
		put(t, srv, "f", content)
		local := filepath.Join(t.TempDir(), "f")
		srv.SetFaults(c.faults("RETR")...)
		result, err := client.Download(t.Context(), "srv", "f", local, nil)
		require.NoError(t, err, "download: %s", c.what)
		onlyFile(t, local, content)
		assert.Equal(t, c.attempts, result.Attempts, "download: %s", c.what)
		assert.Equal(t, 1, srv.Stats().Faults, "download: %s", c.what)

		client = connect(t, srv, ftptest.Plain, impatient)
		srv.ResetStats()
		srv.SetFaults(c.faults("STOR")...)
		result, err = client.Upload(t.Context(), "srv", local, "g", nil)
		require.NoError(t, err, "upload: %s", c.what)
		assert.True(t, bytes.Equal(content, stored(t, srv, "g")), "upload: %s", c.what)
		assert.Equal(t, []string{"f", "g"}, names(t, srv.Dir()), "upload: %s", c.what)
		// One more where the server still writes what the lost connection brought when the next attempt looks.
		assert.Contains(t, []int{c.attempts, c.attempts + min(1, c.attempts-1)}, result.Attempts, "upload: %s", c.what)
		assert.Equal(t, 1, srv.Stats().Faults, "upload: %s", c.what)
	}
}

func TestASecond425ChangesFromEPSVToPASV(t *testing.T) {
	refusal := once("RETR", ftptest.Refuse, "425 Can't open data connection")
	srv, client := serve(t, ftptest.Options{Faults: []ftptest.Fault{refusal, refusal}})
	put(t, srv, "f", []byte("content"))
	local := filepath.Join(t.TempDir(), "f")
	result, err := client.Download(t.Context(), "srv", "f", local, nil)
	require.NoError(t, err)
	assert.Equal(t, 3, result.Attempts)
	assert.Equal(t, 2, srv.Stats().Commands["EPSV"])
	assert.Equal(t, 1, srv.Stats().Commands["PASV"])
	assert.Equal(t, 1, srv.Stats().Conns, "the connection was in step all the time")
}

func TestADownloadThatCannotSucceedLeavesTheOldTarget(t *testing.T) {
	t.Parallel() // it mostly waits
	for _, c := range []struct {
		what     string
		options  ftptest.Options
		remote   string
		attempts int
		is       []error
		isNot    []error
	}{
		{"missing", ftptest.Options{}, "absent", 1, []error{fs.ErrNotExist}, nil},
		{"missing, without MLST", ftptest.Options{NoMLSD: true}, "dir/absent", 1, []error{fs.ErrNotExist}, nil},
		{"missing directory", ftptest.Options{NoMLSD: true}, "no/such/f", 1, []error{fs.ErrNotExist}, nil},
		{"550 for a file that is there", ftptest.Options{Faults: []ftptest.Fault{always("RETR", ftptest.Refuse, "550 Failed to open file")}}, "f", 1, nil, []error{fs.ErrNotExist, fs.ErrPermission}},
		{"550 that lies", ftptest.Options{Faults: []ftptest.Fault{always("RETR", ftptest.Refuse, "550 No such file")}}, "f", 1, nil, []error{fs.ErrNotExist}},
		{"denied", ftptest.Options{Faults: []ftptest.Fault{always("RETR", ftptest.Refuse, "550 Permission denied")}}, "f", 1, []error{fs.ErrPermission}, []error{fs.ErrNotExist}},
		{"a directory", ftptest.Options{}, "dir", 1, nil, []error{fs.ErrNotExist}},
		{"busy", ftptest.Options{Faults: []ftptest.Fault{always("RETR", ftptest.Refuse, "450 No such file, or busy")}}, "f", 4, nil, []error{fs.ErrNotExist}},
		{"426 every time", ftptest.Options{Faults: []ftptest.Fault{always("RETR", ftptest.FinalReply, "426 Broken")}}, "f", 4, nil, nil},
		{"no final reply, ever", ftptest.Options{Faults: []ftptest.Fault{always("RETR", ftptest.StallReply, "")}}, "f", 4, nil, nil},
		{"stalled for ever", ftptest.Options{Faults: []ftptest.Fault{always("RETR", ftptest.StallData, "")}}, "f", 4, nil, nil},
		{"cut at the same byte", ftptest.Options{Faults: []ftptest.Fault{always("RETR", ftptest.CutData, "")}}, "f", 4, nil, nil},
		{"more than SIZE", sizeSays("1000000"), "f", 4, nil, nil},
		{"less than SIZE", sizeSays("3000000"), "f", 4, nil, nil},
	} {
		srv, client := serve(t, c.options, impatient)
		put(t, srv, "f", randomBytes(t, 2*mib))
		require.NoError(t, os.Mkdir(filepath.Join(srv.Dir(), "dir"), 0o755))
		local := filepath.Join(t.TempDir(), "f")
		require.NoError(t, os.WriteFile(local, []byte("old"), 0o600))
		result, err := client.Download(t.Context(), "srv", c.remote, local, nil)
		require.Error(t, err, c.what)
		assert.Equal(t, "old", read(t, local), c.what)
		assert.Equal(t, c.attempts, result.Attempts, "%s: %v", c.what, err)
		for _, is := range c.is {
			require.ErrorIs(t, err, is, c.what)
		}
		for _, is := range c.isNot {
			require.NotErrorIs(t, err, is, c.what)
		}
		var e *ftpclient.Error
		require.ErrorAs(t, err, &e, c.what)
		assert.Equal(t, [3]string{"download", "srv", c.remote}, [3]string{e.Op, e.Server, e.Path}, c.what)
	}
}

func sizeSays(size string) ftptest.Options {
	return ftptest.Options{Reply: func(cmd, _ string, reply []byte) []byte {
		if cmd == "SIZE" {
			return []byte("213 " + size + "\r\n")
		}
		return reply
	}}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(b)
}

func TestALocalPathThatCannotBeATargetMovesNothing(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	put(t, srv, "f", []byte("content"))
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, []byte("old"), 0o600))
	socket := filepath.Join(t.TempDir(), "s") // and no device: a library that replaces one takes it from the machine
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socket)
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	for what, local := range map[string]string{
		"a directory":              dir,
		"a directory by its slash": filepath.Join(dir, "new") + "/",
		"no name":                  "",
		"below a file":             filepath.Join(file, "f"),
		"a name too long":          filepath.Join(dir, strings.Repeat("n", 256)),
		"a socket":                 socket,
	} {
		_, err := client.Download(t.Context(), "srv", "f", local, nil)
		require.Error(t, err, what)
		assert.False(t, ftpclient.Retryable(err), what)
	}
	assert.Zero(t, srv.Stats().Conns)
	onlyFile(t, file, []byte("old"))
	info, err := os.Stat(socket)
	require.NoError(t, err)
	assert.False(t, info.Mode().IsRegular())

	long := filepath.Join(dir, strings.Repeat("n", 255))
	_, err = client.Download(t.Context(), "srv", "f", long, nil)
	require.NoError(t, err)
	assert.Equal(t, "content", read(t, long))
	assert.Len(t, names(t, dir), 2)
}

func TestTheExistingPolicyHoldsForDownloads(t *testing.T) {
	srv, client := serve(t, ftptest.Options{Faults: []ftptest.Fault{once("SIZE", ftptest.CutControl, "")}})
	put(t, srv, "f", []byte("new"))
	local := filepath.Join(t.TempDir(), "f")
	get := func(policy ftpclient.ExistingPolicy) (*ftpclient.Result, error) {
		return client.Download(t.Context(), "srv", "f", local, &ftpclient.TransferOptions{Existing: policy})
	}
	result, err := get(ftpclient.FailExisting)
	require.NoError(t, err)
	assert.False(t, result.Skipped)
	onlyFile(t, local, []byte("new"))

	require.NoError(t, os.WriteFile(local, []byte("old"), 0o600))
	_, err = get(ftpclient.FailExisting)
	require.ErrorIs(t, err, fs.ErrExist)
	onlyFile(t, local, []byte("old"))

	result, err = get(ftpclient.SkipExisting)
	require.NoError(t, err)
	assert.True(t, result.Skipped)
	assert.EqualValues(t, 3, result.Bytes)
	onlyFile(t, local, []byte("old"))

	result, err = get(ftpclient.SkipSame)
	require.NoError(t, err)
	assert.False(t, result.Skipped, "same size, another time")
	onlyFile(t, local, []byte("new"))
	srv.ResetStats()
	result, err = get(ftpclient.SkipSame)
	require.NoError(t, err)
	assert.True(t, result.Skipped)
	assert.Zero(t, srv.Stats().Commands["RETR"])

	put(t, srv, "f", []byte("longer"))
	result, err = get(ftpclient.SkipSame)
	require.NoError(t, err)
	assert.False(t, result.Skipped)
	onlyFile(t, local, []byte("longer"))
}

func TestTheModificationTimeIsPreservedWhenAsked(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	put(t, srv, "f", []byte("content"))
	want := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	local := filepath.Join(t.TempDir(), "f")
	for _, preserve := range []bool{false, true} {
		_, err := client.Download(t.Context(), "srv", "f", local, &ftpclient.TransferOptions{PreserveTime: preserve})
		require.NoError(t, err)
		info, err := os.Stat(local)
		require.NoError(t, err)
		assert.Equal(t, preserve, info.ModTime().Equal(want))
	}
	for _, preserve := range []bool{false, true} {
		_, err := client.Upload(t.Context(), "srv", local, "g", &ftpclient.TransferOptions{PreserveTime: preserve})
		require.NoError(t, err)
		info, err := os.Stat(filepath.Join(srv.Dir(), "g"))
		require.NoError(t, err)
		assert.Equal(t, preserve, info.ModTime().Equal(want))
	}
	srv, client = serve(t, ftptest.Options{HideFeatures: []string{"MFMT", "MDTM"}})
	_, err := client.Upload(t.Context(), "srv", local, "g", &ftpclient.TransferOptions{PreserveTime: true})
	require.NoError(t, err, "a server that cannot")
	assert.Equal(t, "content", string(stored(t, srv, "g")))
}

func TestASecondTransferOfATargetIsToldThatItIsInUse(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	put(t, srv, "f", []byte("content"))
	local := filepath.Join(t.TempDir(), "f")
	get := func(progress ftpclient.ProgressFunc) error {
		_, err := client.Download(t.Context(), "srv", "f", local, &ftpclient.TransferOptions{Progress: progress})
		return err
	}
	var second error
	meanwhile := func(call func() error) ftpclient.ProgressFunc {
		second = nil
		return func(ftpclient.Progress) {
			if second == nil {
				second = call()
			}
		}
	}
	require.NoError(t, get(meanwhile(func() error { return get(nil) })))
	require.ErrorIs(t, second, ftpclient.ErrInUse)
	require.NoError(t, get(nil))

	send := func(remote string, progress ftpclient.ProgressFunc) error {
		_, err := client.Upload(t.Context(), "srv", local, remote, &ftpclient.TransferOptions{Progress: progress})
		return err
	}
	require.NoError(t, send("g", meanwhile(func() error { return send("./g", nil) })))
	require.ErrorIs(t, second, ftpclient.ErrInUse)
	require.NoError(t, send("g", nil))
}

func TestAnUnknownServerAClosedClientAndAnEndedContextAreToldAtOnce(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	local := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(local, []byte("old"), 0o600))
	calls := func(ctx context.Context, server, remote string) []error {
		_, get := client.Download(ctx, server, remote, local, nil)
		_, getTo := client.DownloadTo(ctx, server, remote, &bytes.Buffer{}, nil)
		_, send := client.Upload(ctx, server, local, remote, nil)
		_, sendFrom := client.UploadFrom(ctx, server, strings.NewReader("x"), remote, nil)
		return []error{get, getTo, send, sendFrom}
	}
	for _, err := range calls(t.Context(), "who", "f") {
		require.ErrorIs(t, err, ftpclient.ErrUnknownServer)
	}
	for _, err := range calls(ended, "srv", "f") {
		require.ErrorIs(t, err, context.Canceled)
	}
	for _, remote := range []string{"a\r\nDELE f", "a\x00", "\x7f"} {
		for _, err := range calls(t.Context(), "srv", remote) {
			require.ErrorIs(t, err, ftpclient.ErrUnsafeName)
		}
	}
	for _, remote := range []string{"", "/", ".", "f/"} {
		for _, err := range calls(t.Context(), "srv", remote) {
			require.ErrorIs(t, err, fs.ErrInvalid)
		}
	}
	_, err := client.Download(t.Context(), "srv", "f", local, &ftpclient.TransferOptions{SHA256: "abc"})
	require.ErrorIs(t, err, fs.ErrInvalid)
	require.NoError(t, client.Close())
	for _, err := range calls(t.Context(), "srv", "f") {
		require.ErrorIs(t, err, fs.ErrClosed)
	}
	assert.Zero(t, srv.Stats().Conns)
	onlyFile(t, local, []byte("old"))
}

// soon is what a call may take to end after its context: 100 ms where the machine has nothing else to do.
const soon = 300 * time.Millisecond

func TestEveryWaitEndsWithItsContext(t *testing.T) {
	content := randomBytes(t, 9*mib) // more than the sockets on the way hold
	for _, f := range []ftptest.Fault{
		always("CONNECT", ftptest.StallReply, ""),
		always("USER", ftptest.StallControl, ""),
		always("LOGIN", ftptest.StallControl, ""),
		always("SIZE", ftptest.StallControl, ""),
		always("EPSV", ftptest.StallControl, ""),
		always("RETR", ftptest.StallControl, ""),
		always("STOR", ftptest.StallControl, ""),
		always("RNTO", ftptest.StallControl, ""),
		after(always("", ftptest.StallData, ""), mib),
		always("RETR", ftptest.StallReply, ""),
		always("STOR", ftptest.StallReply, ""),
	} {
		srv, client := serve(t, ftptest.Options{})
		put(t, srv, "f", content)
		dir := t.TempDir()
		local, source := filepath.Join(dir, "f"), filepath.Join(t.TempDir(), "s")
		require.NoError(t, os.WriteFile(local, []byte("old"), 0o600))
		require.NoError(t, os.WriteFile(source, content, 0o600))
		put(t, srv, "g", []byte("old"))
		srv.SetFaults(f)
		for what, call := range map[string]func(context.Context) error{
			"download": func(ctx context.Context) error {
				_, err := client.Download(ctx, "srv", "f", local, nil)
				return err
			},
			"upload": func(ctx context.Context) error {
				_, err := client.Upload(ctx, "srv", source, "g", nil)
				return err
			},
		} {
			if what == "download" && (f.Cmd == "STOR" || f.Cmd == "RNTO") || what == "upload" && f.Cmd == "RETR" {
				continue
			}
			before := srv.Stats().Faults
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- call(ctx) }()
			require.Eventually(t, func() bool { return srv.Stats().Faults > before }, 5*time.Second, time.Millisecond, "%s: %+v", what, f)
			start := time.Now()
			cancel()
			require.ErrorIs(t, <-done, context.Canceled, "%s: %+v", what, f)
			assert.Less(t, time.Since(start), soon, "%s: %+v", what, f)
		}
		assert.Equal(t, "old", read(t, local))
		assert.Equal(t, "old", string(stored(t, srv, "g")))
	}
}

func TestAWaitForARetryEndsWithItsContext(t *testing.T) {
	srv, client := serve(t, ftptest.Options{Faults: []ftptest.Fault{always("RETR", ftptest.Refuse, "451 Not now")}})
	put(t, srv, "f", []byte("content"))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := client.DownloadTo(ctx, "srv", "f", &bytes.Buffer{}, &ftpclient.TransferOptions{Retry: &ftpclient.RetryPolicy{
		MaxRetries: 1000, Delay: time.Hour, MaxDelay: time.Hour,
	}})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.Less(t, time.Since(start), 100*time.Millisecond+soon)
}

func TestTheRetryPolicyCountsRetries(t *testing.T) {
	const nobody = 1 // listens there; a port that was given back may be another test's by then
	client := newClient(t, map[string]ftpclient.ServerConfig{"srv": {Host: "127.0.0.1", Port: nobody}})
	for retries, attempts := range map[int]int{-1: 1, 0: 4, 1: 2, 5: 6} {
		result, err := client.DownloadTo(t.Context(), "srv", "f", &bytes.Buffer{}, &ftpclient.TransferOptions{
			Retry: &ftpclient.RetryPolicy{MaxRetries: retries, Delay: time.Millisecond},
		})
		require.Error(t, err)
		assert.True(t, ftpclient.Retryable(err))
		assert.Equal(t, attempts, result.Attempts, "MaxRetries %d", retries)
	}
}

func TestARefusedLoginIsTriedOnce(t *testing.T) {
	slow := ftptest.Fault{Cmd: "LOGIN", Do: ftptest.SlowFinal, Delay: 200 * time.Millisecond} // so that all of them wait for one
	srv := ftptest.Start(t, ftptest.Options{Faults: []ftptest.Fault{slow}})
	// Patient: a login whose answer does not come in time was not refused, and is tried again.
	var log bytes.Buffer
	client, err := ftpclient.New(ftpclient.Config{
		Servers: map[string]ftpclient.ServerConfig{"srv": {Host: srv.Host(), Port: srv.Port(), Username: srv.User(), Password: "wrong", MaxConns: 8, ConnectTimeout: time.Minute, ReplyTimeout: time.Minute}},
		Retry:   ftpclient.RetryPolicy{Delay: time.Millisecond, MaxDelay: 5 * time.Millisecond},
		Logger:  slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			_, err := client.DownloadTo(t.Context(), "srv", "f", &bytes.Buffer{}, nil)
			assert.ErrorIs(t, err, ftpclient.ErrAuth)
		})
	}
	all.Wait()
	assert.Equal(t, 1, srv.Stats().Commands["PASS"], "a second try may lock the account: %s", &log)
}

func TestANameThatIsNotFoundIsNotTriedAgain(t *testing.T) {
	var dials atomic.Int64
	client := newClient(t, map[string]ftpclient.ServerConfig{"srv": {
		Host: "no.such.host.invalid",
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			dials.Add(1)
			return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "no.such.host.invalid", IsNotFound: true}}
		},
	}})
	_, err := client.DownloadTo(t.Context(), "srv", "f", &bytes.Buffer{}, nil)
	var dns *net.DNSError
	require.ErrorAs(t, err, &dns)
	assert.EqualValues(t, 1, dials.Load())
}

func TestCloseEndsARunningTransferAndSaysSo(t *testing.T) {
	srv, client := serve(t, ftptest.Options{Faults: []ftptest.Fault{always("RETR", ftptest.StallData, "")}})
	put(t, srv, "f", randomBytes(t, mib))
	done := make(chan error)
	go func() {
		_, err := client.DownloadTo(context.Background(), "srv", "f", &bytes.Buffer{}, nil)
		done <- err
	}()
	require.Eventually(t, func() bool { return srv.Stats().Faults > 0 }, 5*time.Second, time.Millisecond)
	require.NoError(t, client.Close())
	err := <-done
	require.ErrorIs(t, err, fs.ErrClosed)
	assert.NotErrorIs(t, err, context.Canceled, "the caller did not cancel")
}
