package ftpclient_test

import (
	"bytes"
	"context"
	"errors"
	"html/template"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

// dialects are servers that list by facts, and by rows of LIST.
var dialects = map[string]ftptest.Options{"MLSD": {}, "LIST": {NoMLSD: true}}

func oneConnection(c *ftpclient.ServerConfig) { c.MaxConns = 1 }

func TestFSPassesTestFS(t *testing.T) {
	for name, o := range dialects {
		t.Run(name, func(t *testing.T) {
			srv, client := serve(t, o, oneConnection)
			want := []string{"a.txt", "empty", "dir/b.txt", "dir/sub/c", "a b/[x] *", "中文/文件.txt", "-R/-a"}
			for i, name := range want {
				put(t, srv, "site/"+name, bytes.Repeat([]byte("x"), i*1000))
			}
			put(t, srv, "site/empty", nil)
			require.NoError(t, os.Mkdir(filepath.Join(srv.Dir(), "site", "nothing in it"), 0o755))
			assert.NoError(t, fstest.TestFS(client.FS(t.Context(), "srv", "site"), want...))
			assert.NoError(t, fstest.TestFS(client.FS(t.Context(), "srv", "/site/dir"), "b.txt", "sub/c"))
			assert.NoError(t, fstest.TestFS(client.FS(t.Context(), "srv", ""), "site/a.txt"))
		})
	}
}

func TestFSWorksWithWhatTakesAnFS(t *testing.T) {
	for name, o := range dialects {
		t.Run(name, func(t *testing.T) {
			srv, client := serve(t, o)
			put(t, srv, "site/index.html", []byte("<p>home</p>"))
			put(t, srv, "site/t/a.tmpl", []byte(`{{define "a"}}A {{.}}{{end}}`))
			put(t, srv, "site/t/b.tmpl", []byte(`{{define "b"}}B {{.}}{{end}}`))
			big := randomBytes(t, 3*mib)
			put(t, srv, "site/big.bin", big)
			site := client.FS(t.Context(), "srv", "site")

			var walked []string
			require.NoError(t, fs.WalkDir(site, ".", func(path string, _ fs.DirEntry, err error) error {
				walked = append(walked, path)
				return err
			}))
			assert.Equal(t, []string{".", "big.bin", "index.html", "t", "t/a.tmpl", "t/b.tmpl"}, walked)

			found, err := fs.Glob(site, "*/*.tmpl")
			require.NoError(t, err)
			assert.Equal(t, []string{"t/a.tmpl", "t/b.tmpl"}, found)

			content, err := fs.ReadFile(site, "big.bin")
			require.NoError(t, err)
			assert.True(t, bytes.Equal(big, content))

			sub, err := fs.Sub(site, "t")
			require.NoError(t, err)
			parsed, err := template.ParseFS(sub, "*.tmpl")
			require.NoError(t, err)
			var b strings.Builder
			require.NoError(t, parsed.ExecuteTemplate(&b, "b", 7))
			assert.Equal(t, "B 7", b.String())

			web := httptest.NewServer(http.FileServer(http.FS(site)))
			defer web.Close()
			get := func(path, ranges string) (int, []byte) {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, web.URL+path, nil)
				require.NoError(t, err)
				if ranges != "" {
					req.Header.Set("Range", ranges)
				}
				resp, err := web.Client().Do(req)
				require.NoError(t, err)
				defer func() { _ = resp.Body.Close() }()
				body, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				return resp.StatusCode, body
			}
			status, body := get("/", "")
			assert.Equal(t, http.StatusOK, status)
			assert.Equal(t, "<p>home</p>", string(body))
			status, body = get("/big.bin", "")
			assert.Equal(t, http.StatusOK, status)
			assert.True(t, bytes.Equal(big, body))
			status, body = get("/big.bin", "bytes=2000000-2000099")
			assert.Equal(t, http.StatusPartialContent, status)
			assert.True(t, bytes.Equal(big[2000000:2000100], body))
			_, body = get("/t/", "")
			assert.Contains(t, string(body), "a.tmpl")
			status, _ = get("/absent", "")
			assert.Equal(t, http.StatusNotFound, status)
		})
	}
}

func TestFSErrorsAreThoseOfPackageFS(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	put(t, srv, "f", []byte("x"))
	site := client.FS(t.Context(), "srv", "")
	for _, name := range []string{"", "/f", "../f", "f/", "a//b"} {
		_, err := site.Open(name)
		require.ErrorIs(t, err, fs.ErrInvalid, name)
	}
	var pathErr *fs.PathError
	_, err := site.Open("absent")
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorAs(t, err, &pathErr)
	assert.Equal(t, "absent", pathErr.Path)
	_, err = fs.ReadFile(site, "absent")
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = fs.ReadDir(site, "absent")
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = fs.ReadDir(site, "f")
	require.Error(t, err)
	require.NotErrorIs(t, err, fs.ErrNotExist)
	_, err = site.Open("a\nb")
	require.ErrorIs(t, err, ftpclient.ErrUnsafeName)
}

func TestAFileReadsAsTestReaderWantsIt(t *testing.T) {
	srv, client := serve(t, ftptest.Options{}, oneConnection)
	for _, size := range []int{0, 1, 1000, 256<<10 + 1} {
		content := randomBytes(t, size)
		put(t, srv, "f", content)
		f, err := client.Open(t.Context(), "srv", "f")
		require.NoError(t, err)
		require.NoError(t, iotest.TestReader(f, content))
		require.NoError(t, f.Close())
	}
}

func TestAFileSurvivesDropsInTheMiddleOfARead(t *testing.T) {
	content := randomBytes(t, 4*mib)
	for _, action := range []ftptest.Action{ftptest.CutData, ftptest.ResetData, ftptest.CutBoth, ftptest.CutControl, ftptest.CutDataSilently} {
		srv, client := serve(t, ftptest.Options{Faults: []ftptest.Fault{{Cmd: "RETR", Times: 5, After: mib, Do: action}}}, oneConnection)
		put(t, srv, "f", content)
		f, err := client.Open(t.Context(), "srv", "f")
		require.NoError(t, err)
		got, err := io.ReadAll(f)
		require.NoError(t, err)
		assert.True(t, bytes.Equal(content, got))
		n, err := f.Read(make([]byte, 1))
		assert.Zero(t, n)
		assert.Equal(t, io.EOF, err)
		stats, err := client.Stats("srv")
		require.NoError(t, err)
		assert.Zero(t, stats.InUse, "the connection went back at the end")
		require.NoError(t, f.Close())
		assert.Positive(t, srv.Stats().Faults)
	}
}

func TestAFileOnAServerWithoutRESTSurvivesADrop(t *testing.T) {
	content := randomBytes(t, 2*mib)
	for what, o := range map[string]ftptest.Options{
		"refused":    {NoREST: true},
		"not heeded": {Command: func(cmd, _ string) (string, bool) { return "350 Restarting", cmd == "REST" }},
	} {
		o.Faults = []ftptest.Fault{{Cmd: "RETR", Times: 1, After: mib, Do: ftptest.CutData}}
		srv, client := serve(t, o)
		put(t, srv, "f", content)
		f, err := client.Open(t.Context(), "srv", "f")
		require.NoError(t, err, what)
		got, err := io.ReadAll(f)
		require.NoError(t, err, what)
		assert.True(t, bytes.Equal(content, got), what)
		require.NoError(t, f.Close())
	}
}

func TestAFileIsReadOnAfterAMomentaryRefusalOfItsSize(t *testing.T) {
	content := randomBytes(t, 3*mib)
	for what, faults := range map[string][]ftptest.Fault{
		"after a drop": {cut("RETR", mib), {Cmd: "SIZE", Skip: 1, Times: 1, Do: ftptest.Refuse, Reply: "450 busy"}},
		"at the end":   {{Cmd: "MDTM", Skip: 1, Times: 1, Do: ftptest.Refuse, Reply: "450 busy"}},
	} {
		srv, client := serve(t, ftptest.Options{})
		put(t, srv, "f", content)
		f, err := client.Open(t.Context(), "srv", "f")
		require.NoError(t, err, what)
		srv.SetFaults(faults...)
		got, err := io.ReadAll(f)
		require.NoError(t, err, what)
		assert.True(t, bytes.Equal(content, got), what)
		require.NoError(t, f.Close())
	}
}

func TestAFileThatChangesWhileItIsReadIsAnError(t *testing.T) {
	content := randomBytes(t, 2*mib)
	shorter, other := content[:mib], slices.Clone(content)
	other[mib-10] ^= 1
	newTime := func(path string) error { return os.Chtimes(path, time.Time{}, time.Unix(1_000_000_000, 0)) }
	for name, change := range map[string]func(path string) error{
		"size":    func(path string) error { return os.WriteFile(path, shorter, 0o600) },
		"time":    newTime,
		"content": func(path string) error { return errors.Join(os.WriteFile(path, other, 0o600), sameTimeAgain(path)) },
	} {
		for _, cut := range []bool{true, false} {
			if !cut && name == "content" {
				continue // nobody can see that
			}
			srv, client := serve(t, ftptest.Options{})
			put(t, srv, "f", content)
			if cut {
				srv.SetFaults(ftptest.Fault{Cmd: "RETR", Times: 1, After: mib, Do: ftptest.CutBoth})
			}
			f, err := client.Open(t.Context(), "srv", "f")
			require.NoError(t, err)
			before := make([]byte, 1000)
			if cut {
				before = make([]byte, mib)
			}
			_, err = io.ReadFull(f, before)
			require.NoError(t, err)
			require.NoError(t, change(filepath.Join(srv.Dir(), "f")))
			got, err := io.ReadAll(f)
			require.ErrorIs(t, err, ftpclient.ErrMismatch, name)
			if cut {
				assert.Empty(t, got, "nothing of the new version")
			}
			require.NoError(t, f.Close())
		}
	}
}

func sameTimeAgain(path string) error {
	when := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	return os.Chtimes(path, when, when)
}

func TestAFileThatCannotBeRecognisedIsNotReadOnAfterADrop(t *testing.T) {
	srv, client := serve(t, ftptest.Options{HideFeatures: []string{"MDTM"}, Faults: []ftptest.Fault{{Cmd: "RETR", Times: 1, After: mib, Do: ftptest.CutBoth}}})
	put(t, srv, "f", randomBytes(t, 2*mib))
	f, err := client.Open(t.Context(), "srv", "f")
	require.NoError(t, err)
	_, err = io.ReadAll(f)
	require.ErrorIs(t, err, ftpclient.ErrUnverifiable)
	require.NoError(t, f.Close())
}

func TestSeekDoesNoIOAndTheNextReadIsThere(t *testing.T) {
	content := randomBytes(t, 2*mib)
	srv, client := serve(t, ftptest.Options{}, oneConnection)
	put(t, srv, "f", content)
	f, err := client.Open(t.Context(), "srv", "f")
	require.NoError(t, err)
	defer func() { assert.NoError(t, f.Close()) }()
	srv.ResetStats()
	end, err := f.Seek(0, io.SeekEnd)
	require.NoError(t, err)
	assert.Equal(t, int64(2*mib), end)
	_, err = f.Seek(-1, io.SeekStart)
	require.Error(t, err)
	_, err = f.Seek(0, 7)
	require.Error(t, err)
	n, err := f.Read(make([]byte, 10))
	assert.Zero(t, n)
	assert.Equal(t, io.EOF, err)
	assert.Empty(t, srv.Stats().Commands)
	for _, at := range []int64{mib, 5, mib, 2*mib - 100, 0} {
		_, err = f.Seek(at, io.SeekStart)
		require.NoError(t, err)
		got := make([]byte, 100)
		_, err = io.ReadFull(f, got)
		require.NoError(t, err)
		assert.True(t, bytes.Equal(content[at:at+100], got))
		here, err := f.Seek(0, io.SeekCurrent)
		require.NoError(t, err)
		assert.Equal(t, at+100, here)
	}
}

func TestASeekIsNotTakenElsewhereByAServerThatOnlySaysItBeginsInTheMiddle(t *testing.T) {
	content := randomBytes(t, 3*mib)
	for _, o := range []ftptest.Options{{}, {HideFeatures: []string{"SIZE"}}} {
		o.Command = func(cmd, _ string) (string, bool) { return "350 Restarting", cmd == "REST" }
		srv, client := serve(t, o)
		put(t, srv, "f", content)
		for _, at := range []int64{2 * mib, mib} {
			f, err := client.Open(t.Context(), "srv", "f")
			require.NoError(t, err)
			_, err = f.Seek(at, io.SeekStart)
			require.NoError(t, err)
			p := make([]byte, 1000)
			_, err = io.ReadFull(f, p)
			require.NoError(t, err)
			assert.True(t, bytes.Equal(content[at:at+1000], p))
			require.NoError(t, f.Close())
		}
	}
}

func TestAServerIsSeenToBeginInTheMiddleOnce(t *testing.T) {
	content := randomBytes(t, 2*mib)
	srv, client := serve(t, ftptest.Options{}, oneConnection)
	put(t, srv, "f", content)
	for _, want := range []int64{4, 3} { // beside the three places, the last byte
		srv.ResetStats()
		f, err := client.Open(t.Context(), "srv", "f")
		require.NoError(t, err)
		for _, at := range []int64{mib, 5, mib + 5} {
			_, err = f.Seek(at, io.SeekStart)
			require.NoError(t, err)
			_, err = io.ReadFull(f, make([]byte, 100))
			require.NoError(t, err)
		}
		require.NoError(t, f.Close())
		assert.EqualValues(t, want, srv.Stats().Commands["RETR"])
	}
}

func TestSmallFilesHoldNoConnectionBetweenReads(t *testing.T) {
	srv, client := serve(t, ftptest.Options{}, oneConnection)
	put(t, srv, "a", []byte("aaaa"))
	put(t, srv, "b", []byte("bbbb"))
	a, err := client.Open(t.Context(), "srv", "a")
	require.NoError(t, err)
	b, err := client.Open(t.Context(), "srv", "b")
	require.NoError(t, err)
	buf := make([]byte, 2)
	for range 2 {
		for f, want := range map[*ftpclient.File]string{a: "aa", b: "bb"} {
			_, err := io.ReadFull(f, buf)
			require.NoError(t, err)
			assert.Equal(t, want, string(buf))
		}
	}
	require.NoError(t, a.Close())
	require.NoError(t, b.Close())
}

func TestAClosedFileGivesItsConnectionBackAndIsOver(t *testing.T) {
	srv, client := serve(t, ftptest.Options{}, oneConnection)
	put(t, srv, "f", randomBytes(t, 8*mib))
	f, err := client.Open(t.Context(), "srv", "f")
	require.NoError(t, err)
	_, err = io.ReadFull(f, make([]byte, 10))
	require.NoError(t, err)
	stats, err := client.Stats("srv")
	require.NoError(t, err)
	assert.Equal(t, 1, stats.InUse)
	require.NoError(t, f.Close())
	stats, err = client.Stats("srv")
	require.NoError(t, err)
	assert.Zero(t, stats.InUse)
	require.NoError(t, client.Ping(t.Context(), "srv"))
	_, err = f.Read(make([]byte, 10))
	require.ErrorIs(t, err, fs.ErrClosed)
	_, err = f.Stat()
	require.ErrorIs(t, err, fs.ErrClosed)
	_, err = f.Seek(0, io.SeekStart)
	require.ErrorIs(t, err, fs.ErrClosed)
	require.ErrorIs(t, f.Close(), fs.ErrClosed)
}

func TestWhateverEndsAFileEndsItsRead(t *testing.T) {
	for name, end := range map[string]struct {
		do   func(f *ftpclient.File, c *ftpclient.Client, cancel func()) error
		want error
	}{
		"Close of the File":      {func(f *ftpclient.File, _ *ftpclient.Client, _ func()) error { return f.Close() }, fs.ErrClosed},
		"Close of the Client":    {func(_ *ftpclient.File, c *ftpclient.Client, _ func()) error { return c.Close() }, fs.ErrClosed},
		"the end of its context": {func(_ *ftpclient.File, _ *ftpclient.Client, cancel func()) error { cancel(); return nil }, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			srv, client := serve(t, ftptest.Options{Faults: []ftptest.Fault{{Cmd: "RETR", After: mib, Do: ftptest.StallData}}})
			put(t, srv, "f", randomBytes(t, 2*mib))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			f, err := client.Open(ctx, "srv", "f")
			require.NoError(t, err)
			_, err = io.ReadFull(f, make([]byte, mib))
			require.NoError(t, err)
			failed := make(chan error)
			go func() {
				_, err := f.Read(make([]byte, 10))
				failed <- err
			}()
			begin := time.Now()
			require.NoError(t, end.do(f, client, cancel))
			require.ErrorIs(t, <-failed, end.want)
			assert.Less(t, time.Since(begin), time.Second)
			require.Eventually(t, func() bool {
				stats, err := client.Stats("srv")
				return err == nil && stats.InUse == 0
			}, time.Second, time.Millisecond)
		})
	}
}

func TestOpenSaysWhatIsNoFile(t *testing.T) {
	for _, o := range dialects {
		srv, client := serve(t, o)
		require.NoError(t, os.Mkdir(filepath.Join(srv.Dir(), "d"), 0o755))
		_, err := client.Open(t.Context(), "srv", "d")
		require.ErrorContains(t, err, "is a directory")
		_, err = client.Open(t.Context(), "srv", "absent")
		require.ErrorIs(t, err, fs.ErrNotExist)
		_, err = client.Open(t.Context(), "other", "f")
		require.ErrorIs(t, err, ftpclient.ErrUnknownServer)
	}
}

func TestAFileThatChangedBetweenOpenAndReadIsNotTheOneThatStatTold(t *testing.T) {
	for _, size := range []int{100, mib} {
		for _, now := range []int{size - 1, size + 1} {
			srv, client := serve(t, ftptest.Options{})
			put(t, srv, "f", make([]byte, size))
			f, err := client.Open(t.Context(), "srv", "f")
			require.NoError(t, err)
			put(t, srv, "f", make([]byte, now))
			_, err = f.Read(make([]byte, 10))
			require.ErrorIs(t, err, ftpclient.ErrMismatch)
			require.NoError(t, f.Close())
		}
	}
}
