package ftpclient_test

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

// bounded is a context that makes a call which would never return fail the test.
func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestAFileThatNobodyReadsGivesWayToOtherCalls(t *testing.T) {
	for what, o := range map[string]ftptest.Options{"REST": {}, "no REST": {NoREST: true}, "TLS": {TLS: ftptest.Explicit}} {
		t.Run(what, func(t *testing.T) {
			srv, client := serve(t, o, oneConnection)
			content := randomBytes(t, 4*mib)
			put(t, srv, "d/f", content)
			put(t, srv, "d/g", content)
			ctx := bounded(t)
			f, err := client.Open(t.Context(), "srv", "d/f")
			require.NoError(t, err)
			defer func() { _ = f.Close() }()
			other, err := client.Open(t.Context(), "srv", "d/g")
			require.NoError(t, err)
			defer func() { _ = other.Close() }()

			var got, too bytes.Buffer
			for got.Len() < len(content) {
				_, err := io.CopyN(&got, f, 2*mib)
				require.NoError(t, err)
				_, err = client.Stat(ctx, "srv", "d/f")
				require.NoError(t, err)
				_, err = client.Download(ctx, "srv", "d/f", filepath.Join(t.TempDir(), "f"), nil)
				require.NoError(t, err)
				_, err = io.CopyN(&too, other, 2*mib)
				require.NoError(t, err)
			}
			assert.True(t, bytes.Equal(content, got.Bytes()))
			assert.True(t, bytes.Equal(content, too.Bytes()))
			n, err := f.Read(make([]byte, 1))
			assert.Zero(t, n)
			require.Equal(t, io.EOF, err)
			stats, err := client.Stats("srv")
			require.NoError(t, err)
			assert.Zero(t, stats.Reconnects, "what gives way is not lost")
		})
	}
}

func TestManyFilesShareFewConnections(t *testing.T) {
	srv, client := serve(t, ftptest.Options{}, many(2))
	content := randomBytes(t, mib)
	put(t, srv, "f", content)
	ctx := bounded(t)
	var readers errgroup.Group
	for range 6 {
		readers.Go(func() error {
			f, err := client.Open(ctx, "srv", "f")
			if err != nil {
				return err
			}
			defer func() { _ = f.Close() }()
			var got bytes.Buffer
			for err == nil && got.Len() < len(content) {
				if _, err = io.CopyN(&got, f, mib/4); err == nil {
					_, err = client.Stat(ctx, "srv", "f")
				}
			}
			assert.True(t, bytes.Equal(content, got.Bytes()))
			return err
		})
	}
	require.NoError(t, readers.Wait())
}

func TestAFileGivesWayToWhoWaitedBefore(t *testing.T) {
	srv, client := serve(t, ftptest.Options{}, oneConnection)
	put(t, srv, "f", randomBytes(t, mib))
	ctx := bounded(t)
	f, err := client.Open(ctx, "srv", "f")
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	var others errgroup.Group
	_, err = client.DownloadTo(ctx, "srv", "f", asideWriter(func() {
		if client.Waiting("srv") {
			return
		}
		others.Go(func() error {
			_, err := io.ReadFull(f, make([]byte, 1000))
			return err
		})
		assert.Eventually(t, func() bool { return client.Waiting("srv") }, 10*time.Second, time.Millisecond)
		for range 10 {
			others.Go(func() error { return client.Ping(ctx, "srv") })
		}
	}), nil)
	require.NoError(t, err)
	require.NoError(t, others.Wait())
}

func TestAnFSListsWhileItsFilesAreOpen(t *testing.T) {
	srv, client := serve(t, ftptest.Options{}, oneConnection)
	content := randomBytes(t, mib)
	put(t, srv, "d/f", content)
	site := client.FS(bounded(t), "srv", "d")
	f, err := site.Open("f")
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	begin := make([]byte, 1000)
	_, err = io.ReadFull(f, begin)
	require.NoError(t, err)
	entries, err := fs.ReadDir(site, ".")
	require.NoError(t, err)
	assert.Len(t, entries, 1)
	rest, err := io.ReadAll(f)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(content, slices.Concat(begin, rest)))
}

func TestAFileThatIsReadKeepsItsConnection(t *testing.T) {
	srv, client := serve(t, ftptest.Options{}, oneConnection)
	content := randomBytes(t, 16*mib)
	put(t, srv, "f", content)
	f, err := client.Open(t.Context(), "srv", "f")
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	ctx, cancel := context.WithCancel(t.Context())
	var others errgroup.Group
	others.Go(func() error {
		for ctx.Err() == nil {
			if err := client.Ping(t.Context(), "srv"); err != nil {
				return err
			}
		}
		return nil
	})
	var got bytes.Buffer
	_, err = io.CopyBuffer(struct{ io.Writer }{&got}, f, make([]byte, 4<<10)) // in Reads that take some time together
	require.NoError(t, err)
	assert.True(t, bytes.Equal(content, got.Bytes()))
	cancel()
	require.NoError(t, others.Wait(), "at the end the connection is free")
	assert.Less(t, srv.Stats().Commands["RETR"], 10, "the machine may be slow")
}

func TestTheBodyOfAWalkMayUseTheOnlyConnection(t *testing.T) {
	srv, client := serve(t, ftptest.Options{}, oneConnection)
	plant(t, srv)
	ctx, local := bounded(t), t.TempDir()
	n := 0
	for e, err := range client.Walk(ctx, "srv", "r", nil) {
		require.NoError(t, err)
		if !e.IsDir() {
			_, err = client.Download(ctx, "srv", e.Path, filepath.Join(local, e.Name), nil)
			require.NoError(t, err)
			n++
		}
	}
	assert.Equal(t, 6, n)
}

// stuck is the error of a call that could have waited for ever.
func stuck(t *testing.T, err error) {
	t.Helper()
	var e *ftpclient.Error
	require.ErrorAs(t, err, &e)
	require.NotErrorIs(t, err, context.DeadlineExceeded)
	assert.Contains(t, err.Error(), "all connections (max_conns) are held by calls that wait for their caller")
	assert.False(t, ftpclient.Retryable(err))
}

func TestACallThatOnlyItsOwnCallerCouldLetGoOnIsAnError(t *testing.T) {
	content := randomBytes(t, mib)
	start := func(t *testing.T) (context.Context, *ftpclient.Client) {
		t.Helper()
		srv, client := serve(t, ftptest.Options{}, oneConnection, stallsSoon)
		put(t, srv, "f", content)
		return bounded(t), client
	}
	for what, call := range map[string]func(ctx context.Context, c *ftpclient.Client, local string, inner func()) error{
		"a writer": func(ctx context.Context, c *ftpclient.Client, _ string, inner func()) error {
			_, err := c.DownloadTo(ctx, "srv", "f", asideWriter(inner), nil)
			return err
		},
		"a reader": func(ctx context.Context, c *ftpclient.Client, _ string, inner func()) error {
			_, err := c.UploadFrom(ctx, "srv", io.MultiReader(asideReader(inner), strings.NewReader("x")), "g", nil)
			return err
		},
		"a Progress": func(ctx context.Context, c *ftpclient.Client, local string, inner func()) error {
			_, err := c.Download(ctx, "srv", "f", local, &ftpclient.TransferOptions{Progress: func(ftpclient.Progress) { inner() }})
			return err
		},
		"a Progress of a batch": func(ctx context.Context, c *ftpclient.Client, local string, inner func()) error {
			opts := &ftpclient.BatchOptions{TransferOptions: ftpclient.TransferOptions{Progress: func(p ftpclient.Progress) {
				if p.Done {
					inner()
				}
			}}}
			_, err := c.DownloadFiles(ctx, "srv", []string{"f"}, filepath.Dir(local), opts)
			return err
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel() // it mostly waits
			ctx, client := start(t)
			asked := false
			_ = call(ctx, client, filepath.Join(t.TempDir(), "f"), func() {
				if asked {
					return
				}
				asked = true
				_, err := client.Stat(ctx, "srv", "f")
				stuck(t, err)
			})
			require.True(t, asked)
			require.NoError(t, client.Ping(ctx, "srv"), "and the client works")
			stats, err := client.Stats("srv")
			require.NoError(t, err)
			assert.Zero(t, stats.InUse)
		})
	}
	t.Run("a file that cannot be recognised", func(t *testing.T) {
		t.Parallel()
		srv, client := serve(t, ftptest.Options{HideFeatures: []string{"MDTM"}}, oneConnection, stallsSoon)
		put(t, srv, "f", content)
		ctx := bounded(t)
		f, err := client.Open(ctx, "srv", "f")
		require.NoError(t, err)
		defer func() { _ = f.Close() }()
		_, err = io.ReadFull(f, make([]byte, 1000))
		require.NoError(t, err)
		_, err = client.Stat(ctx, "srv", "f")
		stuck(t, err)
		_, err = io.Copy(io.Discard, f)
		require.NoError(t, err, "it kept its connection")
	})
	t.Run("its own upload", func(t *testing.T) {
		t.Parallel()
		ctx, client := start(t)
		f, err := client.Open(ctx, "srv", "f")
		require.NoError(t, err)
		defer func() { _ = f.Close() }()
		_, err = client.UploadFrom(ctx, "srv", f, "g", nil)
		stuck(t, err)
	})
}

type asideWriter func()

func (f asideWriter) Write(p []byte) (int, error) {
	f()
	return len(p), nil
}

type asideReader func()

func (f asideReader) Read([]byte) (int, error) {
	f()
	return 0, io.EOF
}

// stallsSoon has a wait that may be for ever given up after a second.
func stallsSoon(sc *ftpclient.ServerConfig) { sc.StallTimeout = time.Second }

func TestABatchWaitsForItsOwnCallbacks(t *testing.T) {
	t.Parallel() // it mostly waits
	srv, client := serve(t, ftptest.Options{}, one, stallsSoon)
	for _, name := range []string{"r/a/f", "r/b/" + strings.Repeat("deep/", 50) + "f", "r/g/f"} {
		put(t, srv, name, randomBytes(t, mib))
	}
	ctx := bounded(t)
	asked := false
	opts := &ftpclient.BatchOptions{TransferOptions: ftpclient.TransferOptions{Progress: func(ftpclient.Progress) {
		if asked {
			return
		}
		asked = true
		assert.Eventually(t, func() bool { return client.Waiting("srv") }, 10*time.Second, time.Millisecond, "the tree is listed")
		for range 3 {
			_, err := client.Stat(ctx, "srv", "r")
			stuck(t, err)
		}
	}}}
	result, err := client.DownloadDir(ctx, "srv", "r", filepath.Join(t.TempDir(), "r"), opts)
	require.True(t, asked)
	require.NoError(t, err)
	assert.Equal(t, 3, result.Succeeded)
}

func TestAWorkerBetweenServersKeepsNoneFromItsCallback(t *testing.T) {
	t.Parallel() // it mostly waits
	from, _, client := two(t, ftptest.Options{}, ftptest.Options{}, one, stallsSoon)
	put(t, from, "f", []byte("content"))
	ctx := bounded(t)
	dir := t.TempDir()
	opts := &ftpclient.BatchOptions{Workers: 1, TransferOptions: ftpclient.TransferOptions{Progress: func(p ftpclient.Progress) {
		if p.Err != nil && p.Job.Server == "b" {
			_, err := client.Stat(ctx, "a", "f")
			stuck(t, err)
		}
	}}}
	_, err := client.Batch(ctx, slices.Values([]ftpclient.Job{
		{Server: "a", Remote: "f", Local: filepath.Join(dir, "f")},
		{Direction: ftpclient.Up, Server: "b", Remote: "g", Local: filepath.Join(dir, "missing")},
	}), opts)
	require.ErrorContains(t, err, "missing")
}

func TestACopyThatWaitsForItsTargetWaitsForNoCaller(t *testing.T) {
	t.Parallel() // it mostly waits
	late := func(sc *ftpclient.ServerConfig) { sc.ConnectTimeout = 3 * time.Second }
	from, to, client := two(t, ftptest.Options{}, ftptest.Options{Faults: []ftptest.Fault{
		{Cmd: "STOR", After: mib, Times: 1, Do: ftptest.CutBoth}, {Cmd: "PASS", Skip: 1, Times: 1, Do: ftptest.StallControl},
	}}, one, stallsSoon, late)
	content := randomBytes(t, 3*mib)
	put(t, from, "f", content)
	ctx := bounded(t)
	var others errgroup.Group
	begun := false
	_, err := client.Copy(ctx, "a", "f", "b", "g", &ftpclient.TransferOptions{BytesPerSecond: 4 * mib, Progress: func(p ftpclient.Progress) {
		if !begun && p.Bytes > 0 {
			begun = true
			others.Go(func() error { return client.Ping(ctx, "a") })
		}
	}})
	require.NoError(t, err)
	require.True(t, begun)
	require.NoError(t, others.Wait())
	assert.Equal(t, 2, to.Stats().Faults)
	onlyFile(t, filepath.Join(to.Dir(), "g"), content)
}

func TestTheCallbackOfACopyWaitsForNeitherServerForEver(t *testing.T) {
	t.Parallel() // it mostly waits
	from, _, client := two(t, ftptest.Options{}, ftptest.Options{}, one, stallsSoon)
	put(t, from, "f", randomBytes(t, 3*mib))
	ctx := bounded(t)
	for _, server := range []string{"a", "b"} {
		asked := false
		_, err := client.Copy(ctx, "a", "f", "b", "g", &ftpclient.TransferOptions{BytesPerSecond: 4 * mib, Progress: func(p ftpclient.Progress) {
			if !asked && p.Bytes > 0 {
				asked = true
				_, err := client.Stat(ctx, server, "f")
				stuck(t, err)
			}
		}})
		require.NoError(t, err)
		require.True(t, asked)
	}
}

func TestTheCallbackOfSegmentsWaitsForNoneOfThemForEver(t *testing.T) {
	t.Parallel() // it mostly waits
	srv, client := serve(t, ftptest.Options{}, many(2), stallsSoon)
	put(t, srv, "f", randomBytes(t, 8*mib))
	ctx := bounded(t)
	opts := in(2)
	opts.BytesPerSecond = 16 * mib
	opts.Progress = func(p ftpclient.Progress) {
		_, err := client.Stat(ctx, "srv", "f") // a helper gives its connection, the first one cannot
		if err != nil {
			stuck(t, err)
		}
	}
	_, err := client.Download(ctx, "srv", "f", filepath.Join(t.TempDir(), "f"), opts)
	require.NoError(t, err)
}
