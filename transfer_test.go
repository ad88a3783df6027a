package ftpclient_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

const mib = 1 << 20

// serve starts a server and a client of it under the name "srv".
func serve(t *testing.T, o ftptest.Options, change ...func(*ftpclient.ServerConfig)) (*ftptest.Server, *ftpclient.Client) {
	t.Helper()
	srv := ftptest.Start(t, o)
	return srv, connect(t, srv, o.TLS, change...)
}

func connect(t *testing.T, srv *ftptest.Server, mode ftptest.TLSMode, change ...func(*ftpclient.ServerConfig)) *ftpclient.Client {
	t.Helper()
	cfg := ftpclient.ServerConfig{
		Host: srv.Host(), Port: srv.Port(), Username: srv.User(), Password: ftpclient.Secret(srv.Password()),
		ConnectTimeout: 5 * time.Second, ReplyTimeout: 5 * time.Second, StallTimeout: 5 * time.Second,
	}
	if mode != ftptest.Plain {
		cfg.TLS = ftpclient.TLSExplicit
		if mode == ftptest.Implicit {
			cfg.TLS = ftpclient.TLSImplicit
		}
		cfg.CAFile = filepath.Join(t.TempDir(), "ca.pem")
		require.NoError(t, os.WriteFile(cfg.CAFile, srv.CertPEM(), 0o600))
	}
	for _, f := range change {
		f(&cfg)
	}
	return newClient(t, map[string]ftpclient.ServerConfig{"srv": cfg})
}

func newClient(t *testing.T, servers map[string]ftpclient.ServerConfig) *ftpclient.Client {
	t.Helper()
	client, err := ftpclient.New(ftpclient.Config{
		Servers: servers,
		Retry:   ftpclient.RetryPolicy{Delay: time.Millisecond, MaxDelay: 5 * time.Millisecond},
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func randomBytes(t *testing.T, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	_, err := rand.Read(b)
	require.NoError(t, err)
	return b
}

// put writes a file on the server's side, with a whole second as its time.
func put(tb testing.TB, srv *ftptest.Server, name string, content []byte) {
	tb.Helper()
	path := filepath.Join(srv.Dir(), name)
	require.NoError(tb, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(tb, os.WriteFile(path, content, 0o644))
	when := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	require.NoError(tb, os.Chtimes(path, when, when))
}

func stored(t *testing.T, srv *ftptest.Server, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(srv.Dir(), name))
	require.NoError(t, err)
	return b
}

// onlyFile proves that a folder holds the one file with this content, and nothing hidden beside it.
func onlyFile(t *testing.T, path string, content []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(content, got), "%s: %d bytes, want %d", path, len(got), len(content))
	assert.Equal(t, []string{filepath.Base(path)}, names(t, filepath.Dir(path)))
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	names := []string{}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestFilesOfEverySizeAndNameArriveWholeBothWays(t *testing.T) {
	oddNames := []string{"plain.txt", "a b.txt", "a#b%41.txt", "[x]{y}.txt", `q"q'.txt`, "中文 文件.txt", "-R", " leading", "a;b=c", "dir/sub dir/深/f"}
	for _, mode := range []ftptest.TLSMode{ftptest.Plain, ftptest.Explicit, ftptest.Implicit} {
		srv, client := serve(t, ftptest.Options{TLS: mode, RequireReuse: mode != ftptest.Plain})
		for i, size := range []int{0, 1, 100 << 10, 5*mib + 17} {
			for _, name := range oddNames[:len(oddNames)-i] {
				content := randomBytes(t, size)
				local := filepath.Join(t.TempDir(), "in", "x")
				put(t, srv, name, content)
				result, err := client.Download(t.Context(), "srv", name, local, nil)
				require.NoError(t, err, name)
				onlyFile(t, local, content)
				assert.Equal(t, int64(size), result.Bytes)
				assert.Equal(t, int64(size), result.Transferred)
				assert.Equal(t, 1, result.Attempts)
				assert.Equal(t, "size only", result.Verification.String())

				result, err = client.Upload(t.Context(), "srv", local, "up/"+name, nil)
				require.NoError(t, err, name)
				assert.Equal(t, content, stored(t, srv, "up/"+name))
				assert.Len(t, names(t, filepath.Dir(filepath.Join(srv.Dir(), "up", name))), 1, "no temporary file is left")
				assert.Equal(t, int64(size), result.Bytes)
				require.NoError(t, os.RemoveAll(filepath.Join(srv.Dir(), "up")))
			}
		}
		stats, err := client.Stats("srv")
		require.NoError(t, err)
		assert.Equal(t, int64(1), stats.Dials, "one connection served all")
	}
}

func TestStreamsGoBothWays(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	content := randomBytes(t, 3*mib)
	_, err := client.UploadFrom(t.Context(), "srv", bytes.NewReader(content), "new/dir/f", nil)
	require.NoError(t, err)
	assert.Equal(t, content, stored(t, srv, "new/dir/f"))
	var b bytes.Buffer
	result, err := client.DownloadTo(t.Context(), "srv", "new/dir/f", &b, nil)
	require.NoError(t, err)
	assert.Equal(t, content, b.Bytes())
	assert.Equal(t, int64(len(content)), result.Bytes)
}

func TestATransferCutAgainAndAgainCompletesInOneCall(t *testing.T) {
	content := randomBytes(t, 4*mib)
	for _, action := range []ftptest.Action{ftptest.CutData, ftptest.ResetData, ftptest.CutBoth, ftptest.CutControl} {
		srv, client := serve(t, ftptest.Options{Faults: []ftptest.Fault{
			{Cmd: "RETR", Times: 7, After: mib / 2, Do: action},
			{Cmd: "STOR", Times: 7, After: mib / 2, Do: action},
		}})
		put(t, srv, "f", content)
		local := filepath.Join(t.TempDir(), "f")
		result, err := client.Download(t.Context(), "srv", "f", local, nil)
		require.NoError(t, err)
		onlyFile(t, local, content)
		if action != ftptest.CutControl { // then the data goes on to its end, and only the final reply is missing
			assert.Greater(t, result.Attempts, 4, "more than MaxRetries alone would allow")
		}
		assert.Zero(t, result.ResumedFrom)
		assert.Less(t, result.Transferred, int64(6*mib), "nothing was fetched twice but the overlaps")

		_, err = client.Upload(t.Context(), "srv", local, "g", nil)
		require.NoError(t, err)
		assert.Equal(t, content, stored(t, srv, "g"))
		assert.Equal(t, []string{"f", "g"}, names(t, srv.Dir()))
	}
}

func TestDataThatIsShortAndCalledCompleteIsNotBelieved(t *testing.T) {
	srv, client := serve(t, ftptest.Options{Faults: []ftptest.Fault{
		{Cmd: "RETR", Times: 1, After: mib, Do: ftptest.CutDataSilently},
		{Cmd: "STOR", Times: 1, After: mib, Do: ftptest.CutDataSilently},
	}})
	content := randomBytes(t, 2*mib)
	put(t, srv, "f", content)
	local := filepath.Join(t.TempDir(), "f")
	result, err := client.Download(t.Context(), "srv", "f", local, nil)
	require.NoError(t, err)
	onlyFile(t, local, content)
	assert.Equal(t, 2, result.Attempts)
	result, err = client.Upload(t.Context(), "srv", local, "g", nil)
	require.NoError(t, err)
	assert.Equal(t, content, stored(t, srv, "g"))
	assert.Equal(t, 2, result.Attempts)
}

func TestACancelledTransferIsContinuedByALaterCall(t *testing.T) {
	content := randomBytes(t, 24*mib)
	srv, client := serve(t, ftptest.Options{DataRate: 40 * mib})
	put(t, srv, "f", content)
	local := filepath.Join(t.TempDir(), "f")
	stop := func(after int64) (context.Context, ftpclient.ProgressFunc) {
		ctx, cancel := context.WithCancel(t.Context())
		t.Cleanup(cancel)
		return ctx, func(p ftpclient.Progress) {
			if p.Bytes >= after {
				cancel()
			}
		}
	}
	ctx, progress := stop(10 * mib)
	result, err := client.Download(ctx, "srv", "f", local, &ftpclient.TransferOptions{Progress: progress})
	require.ErrorIs(t, err, context.Canceled)
	assert.NoFileExists(t, local)
	require.NotNil(t, result)

	result, err = client.Download(t.Context(), "srv", "f", local, &ftpclient.TransferOptions{Resume: true})
	require.NoError(t, err)
	onlyFile(t, local, content)
	assert.Greater(t, result.ResumedFrom, int64(8*mib))
	assert.Empty(t, result.RestartReason)
	assert.Equal(t, int64(len(content))-result.ResumedFrom+64<<10, result.Transferred)

	ctx, progress = stop(10 * mib)
	_, err = client.Upload(ctx, "srv", local, "g", &ftpclient.TransferOptions{Progress: progress})
	require.ErrorIs(t, err, context.Canceled)
	assert.NoFileExists(t, filepath.Join(srv.Dir(), "g"))
	result, err = client.Upload(t.Context(), "srv", local, "g", &ftpclient.TransferOptions{Resume: true})
	require.NoError(t, err)
	assert.Equal(t, content, stored(t, srv, "g"))
	assert.Greater(t, result.ResumedFrom, int64(1*mib))
	assert.Equal(t, int64(len(content))-result.ResumedFrom, result.Transferred)
}

func TestAnUploadResumesWhereTheServerRefusesRESTBeforeSTOR(t *testing.T) {
	srv, client := serve(t, ftptest.Options{RestStorRefused: true, Faults: []ftptest.Fault{cut("STOR", mib)}})
	content := randomBytes(t, 3*mib)
	local := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(local, content, 0o600))
	_, err := client.Upload(t.Context(), "srv", local, "g", nil)
	require.NoError(t, err)
	assert.Equal(t, content, stored(t, srv, "g"))
	assert.Positive(t, srv.Stats().Commands["APPE"])
}

func TestAnUploadReplacesAFileWhereTheServerRefusesToRenameOverIt(t *testing.T) {
	srv, client := serve(t, ftptest.Options{RenameRefusesExisting: true})
	put(t, srv, "g", []byte("old"))
	_, err := client.UploadFrom(t.Context(), "srv", strings.NewReader("new"), "g", nil)
	require.NoError(t, err)
	assert.Equal(t, "new", string(stored(t, srv, "g")))
	assert.Equal(t, []string{"g"}, names(t, srv.Dir()))
}

func TestASizeOrTimeThatNobodyCanReadIsUnknown(t *testing.T) {
	content := randomBytes(t, mib)
	for answer, cmd := range map[string]string{"213 -1": "SIZE", "213 17 bytes": "SIZE", "213 yesterday": "MDTM"} {
		srv, client := serve(t, ftptest.Options{Faults: []ftptest.Fault{always(cmd, ftptest.FinalReply, answer)}})
		put(t, srv, "f", content)
		local := filepath.Join(t.TempDir(), "f")
		result, err := client.Download(t.Context(), "srv", "f", local, nil)
		require.NoError(t, err, answer)
		onlyFile(t, local, content)
		assert.Equal(t, cmd == "MDTM", result.Verification.Method == ftpclient.VerifiedSize, answer)
		_, err = client.Upload(t.Context(), "srv", local, "g", nil)
		require.NoError(t, err, answer)
		assert.Equal(t, content, stored(t, srv, "g"), answer)

		srv.SetFaults(always(cmd, ftptest.FinalReply, "200 fine"))
		_, err = client.Download(t.Context(), "srv", "f", local, &ftpclient.TransferOptions{Retry: never()})
		assert.Equal(t, cmd == "SIZE", err != nil, "a reply to something else")
	}
}

// restarting are the ways in which servers refuse to begin in the middle of a file.
func restarting() map[string]ftptest.Options {
	rest := func(answer string) ftptest.Options {
		return ftptest.Options{Command: func(cmd, arg string) (string, bool) { return answer, cmd == "REST" && arg != "0" }}
	}
	retr := func(answer string) ftptest.Options {
		var last string
		return ftptest.Options{Command: func(cmd, arg string) (string, bool) {
			before := last
			last = cmd + " " + arg
			return answer, cmd == "RETR" && strings.HasPrefix(before, "REST ") && before != "REST 0"
		}}
	}
	return map[string]ftptest.Options{
		"REST unknown":    {NoREST: true},
		"REST, 4xx":       rest("450 not now"),
		"REST, 200":       rest("200 fine"),
		"RETR, ProFTPD":   retr("451 f: Restart not permitted, try again"),
		"RETR, RFC 1123":  retr("554 Requested action not taken: invalid REST parameter"),
		"RETR, parameter": retr("501 no such offset"),
		"it does not":     rest("350 Restarting"), // and begins at 0
	}
}

func TestHoweverAServerRefusesToBeginInTheMiddleTheFileArrives(t *testing.T) {
	content := randomBytes(t, 3*mib)
	for what, o := range restarting() {
		srv, client := serve(t, o)
		put(t, srv, "f", content)
		local := filepath.Join(t.TempDir(), "f")
		leavePartial(t, srv, client, local)
		for _, opts := range []*ftpclient.TransferOptions{{Resume: true}, {}} {
			result, err := client.Download(t.Context(), "srv", "f", local, opts)
			require.NoError(t, err, what)
			onlyFile(t, local, content)
			assert.NotEmpty(t, result.RestartReason, what)
			assert.Zero(t, result.ResumedFrom, what)
			assert.LessOrEqual(t, result.Attempts, 4, what)
			srv.SetFaults(cut("RETR", mib)) // and so within a call
		}
		srv.SetFaults()
		f, err := client.Open(t.Context(), "srv", "f")
		require.NoError(t, err, what)
		for _, at := range []int64{mib, 2 * mib} {
			_, err = f.Seek(at, io.SeekStart)
			require.NoError(t, err, what)
			p := make([]byte, 1000)
			_, err = io.ReadFull(f, p)
			require.NoError(t, err, what)
			assert.True(t, bytes.Equal(content[at:at+1000], p), what)
		}
		require.NoError(t, f.Close())
	}
}

func TestDownloadToGoesOnWhereAServerRefusesToBeginInTheMiddle(t *testing.T) {
	content := randomBytes(t, 3*mib)
	for what, o := range restarting() {
		srv, client := serve(t, o)
		put(t, srv, "f", content)
		srv.SetFaults(cut("RETR", mib))
		var b bytes.Buffer
		result, err := client.DownloadTo(t.Context(), "srv", "f", &b, &ftpclient.TransferOptions{SHA256: sha(content)})
		require.NoError(t, err, what)
		assert.True(t, bytes.Equal(content, b.Bytes()), what)
		assert.Empty(t, result.RestartReason, what)
		assert.InDelta(t, (1+3)*mib, result.Transferred, 64<<10, "what comes again is read in vain")

		srv.SetFaults(cut("RETR", mib))
		other := bytes.Clone(content)
		other[mib-1] ^= 1
		b.Reset()
		_, err = client.DownloadTo(t.Context(), "srv", "f", writerFunc(func(p []byte) (int, error) {
			if b.Len() < mib && b.Len()+len(p) >= mib {
				put(t, srv, "f", other)
			}
			return b.Write(p)
		}), nil)
		require.ErrorIs(t, err, ftpclient.ErrMismatch, what)
		assert.True(t, bytes.HasPrefix(content, b.Bytes()), what)
	}
}

func TestAResumeIsNotGivenUpForAMomentaryRefusal(t *testing.T) {
	content := randomBytes(t, 3*mib)
	for _, refused := range []ftptest.Fault{
		once("SIZE", ftptest.Refuse, "450 busy"), once("MDTM", ftptest.Refuse, "451 local error"),
		once("REST", ftptest.Refuse, "450 not now"), once("RETR", ftptest.Refuse, "451 local error"),
	} {
		srv, client := serve(t, ftptest.Options{})
		put(t, srv, "f", content)
		local := filepath.Join(t.TempDir(), "f")
		leavePartial(t, srv, client, local)
		srv.SetFaults(refused)
		result, err := client.Download(t.Context(), "srv", "f", local, &ftpclient.TransferOptions{Resume: true})
		require.NoError(t, err, refused.Cmd)
		onlyFile(t, local, content)
		assert.EqualValues(t, 2*mib, result.ResumedFrom, refused.Cmd)
		assert.Empty(t, result.RestartReason, refused.Cmd)
		assert.Equal(t, 2, result.Attempts, refused.Cmd)
	}
}

func TestALocalTargetThatAppearsMeanwhileIsNotReplaced(t *testing.T) {
	for _, policy := range []ftpclient.ExistingPolicy{ftpclient.FailExisting, ftpclient.SkipExisting} {
		local := filepath.Join(t.TempDir(), "f")
		srv, client := serve(t, ftptest.Options{OnCommand: func(cmd, _ string) {
			if cmd == "RETR" {
				assert.NoError(t, os.WriteFile(local, []byte("somebody's"), 0o600))
			}
		}})
		put(t, srv, "f", []byte("new"))
		result, err := client.Download(t.Context(), "srv", "f", local, &ftpclient.TransferOptions{Existing: policy})
		if policy == ftpclient.FailExisting {
			require.ErrorIs(t, err, fs.ErrExist)
			assert.Equal(t, "somebody's", read(t, local))
			continue // what came is kept, to be continued
		}
		require.NoError(t, err)
		assert.Equal(t, "exists", result.SkipReason)
		assert.EqualValues(t, len("somebody's"), result.Bytes)
		onlyFile(t, local, []byte("somebody's"))
	}
}
