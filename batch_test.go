package ftpclient_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

// sow fills a folder with n files of their own content in directories of ten, and an empty directory.
func sow(t testing.TB, dir string, n int) map[string]string {
	t.Helper()
	want := map[string]string{}
	for i := range n {
		name := fmt.Sprintf("d%02d/f%02d", i/10, i%10)
		want[name] = fmt.Sprintf("content of %d, %s", i, name)
		require.NoError(t, os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(want[name]), 0o644))
	}
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "empty/inner"), 0o755))
	return want
}

// grown reads all files below a folder; directories are there with a slash.
func grown(t testing.TB, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		rel, err := filepath.Rel(dir, name)
		require.NoError(t, err)
		if d.IsDir() {
			if entries, err := os.ReadDir(name); err == nil && len(entries) == 0 {
				got[filepath.ToSlash(rel)+"/"] = ""
			}
			return nil
		}
		content, err := os.ReadFile(name)
		got[filepath.ToSlash(rel)] = string(content)
		return err
	}))
	return got
}

func withEmpty(want map[string]string) map[string]string {
	want["empty/inner/"] = ""
	return want
}

// direction is one way to move a tree.
type direction struct {
	name string
	up   bool
}

var directions = []direction{{"download", false}, {"upload", true}}

// move moves the tree of a server's folder to a local one, or back.
func (d direction) move(ctx context.Context, c *ftpclient.Client, local, remote string, opts *ftpclient.BatchOptions) (*ftpclient.BatchResult, error) {
	if d.up {
		return c.UploadDir(ctx, "srv", local, remote, opts)
	}
	return c.DownloadDir(ctx, "srv", remote, local, opts)
}

// sides are the folders of source and target.
func (d direction) sides(srv *ftptest.Server, local, remote string) (source, target string) {
	if d.up {
		return local, filepath.Join(srv.Dir(), remote)
	}
	return filepath.Join(srv.Dir(), remote), local
}

func TestATreeArrivesWholeWithItsEmptyDirectories(t *testing.T) {
	for _, d := range directions {
		t.Run(d.name, func(t *testing.T) {
			srv, client := serve(t, ftptest.Options{})
			local := filepath.Join(t.TempDir(), "here")
			source, target := d.sides(srv, local, "there")
			want := withEmpty(sow(t, source, 35))
			result, err := d.move(t.Context(), client, local, "there", nil)
			require.NoError(t, err)
			assert.Equal(t, want, grown(t, target))
			assert.Equal(t, [4]int{35, 35, 0, 0}, [4]int{result.Total, result.Succeeded, result.Skipped, result.Failed})
			assert.Positive(t, result.Bytes)
			assert.LessOrEqual(t, srv.Stats().MaxOpen, 5)
		})
	}
}

func TestASecondRunMovesNothingAndAsksAboutNoFile(t *testing.T) {
	for _, d := range directions {
		for _, noMLSD := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, LIST %t", d.name, noMLSD), func(t *testing.T) {
				srv, client := serve(t, ftptest.Options{NoMLSD: noMLSD})
				local := filepath.Join(t.TempDir(), "here")
				source, target := d.sides(srv, local, "there")
				want := withEmpty(sow(t, source, 120))
				opts := &ftpclient.BatchOptions{TransferOptions: ftpclient.TransferOptions{Existing: ftpclient.SkipSame}}
				_, err := d.move(t.Context(), client, local, "there", opts)
				require.NoError(t, err)
				srv.ResetStats()
				result, err := d.move(t.Context(), client, local, "there", opts)
				require.NoError(t, err)
				assert.Equal(t, 120, result.Skipped)
				assert.Equal(t, want, grown(t, target))
				stats := srv.Stats()
				assert.Zero(t, stats.Commands["RETR"]+stats.Commands["STOR"]+stats.Commands["SIZE"]+stats.Commands["MLST"])
				if !noMLSD {
					assert.Zero(t, stats.Commands["MDTM"])
				}
				assert.Less(t, stats.RoundTrips, 90, "for 15 directories and 120 files")
			})
		}
	}
}

func TestEachFileIsReportedBegunAndDoneOnce(t *testing.T) {
	srv, client := serve(t, ftptest.Options{Faults: []ftptest.Fault{{Cmd: "RETR", Path: "f03", Do: ftptest.Refuse, Reply: "553 no"}}})
	sow(t, filepath.Join(srv.Dir(), "there"), 30)
	var mu sync.Mutex
	begun, done := map[int]int{}, map[int]int{}
	var overlap, failed int
	opts := &ftpclient.BatchOptions{Workers: 5, OnFile: func(e ftpclient.FileEvent) {
		if !mu.TryLock() {
			overlap++
			return
		}
		defer mu.Unlock()
		switch {
		case !e.Done:
			begun[e.Index]++
		case e.Err != nil:
			failed++
			fallthrough
		default:
			done[e.Index]++
			assert.Equal(t, 1, begun[e.Index], "begins before it is done")
		}
	}}
	result, err := client.DownloadDir(t.Context(), "srv", "there", t.TempDir(), opts)
	require.Error(t, err)
	assert.Zero(t, overlap)
	assert.Len(t, begun, 30)
	assert.Equal(t, begun, done)
	assert.Equal(t, 3, failed)
	assert.Equal(t, [3]int{30, 27, 3}, [3]int{result.Total, result.Succeeded, result.Failed})
	assert.True(t, slices.IsSortedFunc(result.Failures, func(a, b ftpclient.FileError) int {
		return slices.Compare([]byte(a.Job.Remote), []byte(b.Job.Remote))
	}), "in the order of the jobs")
	var refused *ftpclient.Error
	require.ErrorAs(t, err, &refused)
	assert.Equal(t, 553, refused.Code)
}

func TestJobsWithOneTargetFailBeforeAnythingMoves(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	for _, name := range []string{"a/x", "b/x", "c/y"} {
		put(t, srv, name, []byte(name))
	}
	dir := t.TempDir()
	result, err := client.DownloadFiles(t.Context(), "srv", []string{"a/x", "b/x", "c/y"}, dir, nil)
	require.ErrorIs(t, err, ftpclient.ErrNameCollision)
	assert.Equal(t, [3]int{3, 1, 2}, [3]int{result.Total, result.Succeeded, result.Failed})
	assert.Equal(t, map[string]string{"y": "c/y"}, grown(t, dir))
	assert.Equal(t, 1, srv.Stats().Commands["RETR"])

	local := t.TempDir()
	result, err = client.DownloadFiles(t.Context(), "srv", []string{"a/x", "b/x", "c/y"}, local, &ftpclient.BatchOptions{StopOnError: true})
	require.ErrorIs(t, err, ftpclient.ErrNameCollision)
	assert.Equal(t, [3]int{3, 0, 1}, [3]int{result.Total, result.Succeeded, result.Failed})
	assert.Equal(t, map[string]string{"./": ""}, grown(t, local), "nothing but the folder itself")

	jobs := slices.Values([]ftpclient.Job{
		{Server: "srv", Remote: "a/x", Local: filepath.Join(local, "same")},
		{Server: "srv", Remote: "b/x", Local: filepath.Join(local, "sub/../same")},
	})
	result, err = client.Batch(t.Context(), jobs, nil)
	require.ErrorIs(t, err, ftpclient.ErrNameCollision)
	assert.Equal(t, 1, result.Failed)
	assert.Equal(t, map[string]string{"same": "a/x"}, grown(t, local))
}

func TestAHostileListingWritesNothingOutsideAndStopsNothing(t *testing.T) {
	rows := "type=file;size=1; ../up\r\ntype=file;size=1; a\\b\r\ntype=file;size=2; ok\r\ntype=OS.unix=symlink; link\r\ntype=file;size=2; .x.0.ftpclient-part\r\n"
	srv, client := serve(t, ftptest.Options{ListOnDataLines: func(cmd, arg string) []byte { return []byte(rows) }})
	put(t, srv, "there/ok", []byte("ok"))
	dir := t.TempDir()
	result, err := client.DownloadDir(t.Context(), "srv", "there", filepath.Join(dir, "in"), nil)
	require.ErrorIs(t, err, ftpclient.ErrUnsafeName)
	assert.Equal(t, map[string]string{"in/ok": "ok"}, grown(t, dir))
	assert.Equal(t, [3]int{1, 1, 3}, [3]int{result.Succeeded, result.Skipped, result.Failed})
}

func TestALinkInTheLocalFolderLeadsNothingOutOfIt(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	put(t, srv, "there/sub/f", []byte("new"))
	outside, inside := t.TempDir(), t.TempDir()
	require.NoError(t, os.Symlink(outside, filepath.Join(inside, "sub")))
	_, err := client.DownloadDir(t.Context(), "srv", "there", inside, nil)
	require.Error(t, err)
	assert.Empty(t, grown(t, outside)["f"])
}

func TestALinkInTheLocalFolderMakesNoTwoFoldersOne(t *testing.T) {
	for what, way := range map[string]func(name string) error{
		"a link to its sibling":    func(name string) error { return os.Symlink("b", name) },
		"a link to what is absent": func(name string) error { return os.Symlink("c", name) },
		"a link to the whole":      func(name string) error { return os.Symlink(".", name) },
		"a link to a file":         func(name string) error { return os.Symlink("b/old", name) },
		"a file":                   func(name string) error { return os.WriteFile(name, nil, 0o600) },
	} {
		srv, client := serve(t, ftptest.Options{})
		for _, name := range []string{"a/f", "a/sub/f", "b/f"} {
			put(t, srv, "there/"+name, []byte(name))
		}
		local := filepath.Join(t.TempDir(), "link")
		folder := t.TempDir()
		require.NoError(t, os.Symlink(folder, local), "the folder itself is the caller's choice")
		require.NoError(t, writeAll(filepath.Join(folder, "b/old"), "old"))
		require.NoError(t, way(filepath.Join(folder, "a")))
		for range 2 {
			result, err := client.DownloadDir(t.Context(), "srv", "there", local, existing(ftpclient.SkipSame))
			require.ErrorIs(t, err, fs.ErrExist, what)
			require.Len(t, result.Failures, 1, what)
			assert.Equal(t, "there/a", result.Failures[0].Job.Remote, what)
			require.NoError(t, os.Remove(filepath.Join(folder, "a")), what)
			assert.Equal(t, map[string]string{"b/f": "b/f", "b/old": "old"}, grown(t, folder), what)
			require.NoError(t, way(filepath.Join(folder, "a")))
		}
	}
}

func TestACancelledBatchEndsSoonAndTellsWhatWasDone(t *testing.T) {
	srv, client := serve(t, ftptest.Options{Faults: []ftptest.Fault{{Cmd: "RETR", Path: "f09", Do: ftptest.StallData}}})
	sow(t, filepath.Join(srv.Dir(), "there"), 40)
	ctx, cancel := context.WithCancel(t.Context())
	var once sync.Once
	opts := &ftpclient.BatchOptions{Workers: 4, OnFile: func(e ftpclient.FileEvent) {
		if e.Done && e.Index > 5 {
			once.Do(cancel)
		}
	}}
	begun := time.Now()
	result, err := client.DownloadDir(ctx, "srv", "there", t.TempDir(), opts)
	require.ErrorIs(t, err, context.Canceled)
	assert.Less(t, time.Since(begun), 2*time.Second)
	assert.Positive(t, result.Succeeded)
	assert.Less(t, result.Succeeded, 40)
	require.NoError(t, client.Ping(t.Context(), "srv"))
}

func TestAStreamThatHangsDoesNotOutlastItsContext(t *testing.T) {
	_, client := serve(t, ftptest.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	hang := make(chan struct{})
	defer close(hang)
	begun := time.Now()
	time.AfterFunc(50*time.Millisecond, cancel)
	_, err := client.Batch(ctx, func(yield func(ftpclient.Job) bool) { <-hang }, nil)
	require.ErrorIs(t, err, context.Canceled)
	assert.Less(t, time.Since(begun), 3*time.Second)
}

func TestAServerThatIsGoneEndsTheBatch(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	var remotes []string
	for i := range 1000 {
		remotes = append(remotes, fmt.Sprintf("d/%04d", i))
	}
	put(t, srv, "d/0000", []byte("x"))
	require.NoError(t, srv.Close())
	opts := &ftpclient.BatchOptions{TransferOptions: ftpclient.TransferOptions{Retry: never()}}
	result, err := client.DownloadFiles(t.Context(), "srv", remotes, t.TempDir(), opts)
	require.Error(t, err)
	assert.Equal(t, 1000, result.Total)
	assert.Less(t, result.Failed, 20)
	assert.True(t, ftpclient.Retryable(err) || errors.Is(err, os.ErrDeadlineExceeded) || result.Failed > 0)
}

func writeAll(name, content string) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, []byte(content), 0o644)
}

func TestABatchProvesEachFileByItsChecksum(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	put(t, srv, "pub/good", []byte("good"))
	put(t, srv, "pub/bad", []byte("bad"))
	put(t, srv, "pub/unlisted", []byte("unlisted"))
	put(t, srv, "pub/SHA256SUMS", []byte(sha([]byte("good"))+"  good\n"+sha([]byte("something else"))+"  bad\n"))
	sums, err := client.LoadChecksums(t.Context(), "srv", "pub/SHA256SUMS")
	require.NoError(t, err)
	dir := t.TempDir()
	methods := map[string]ftpclient.VerifyMethod{}
	opts := &ftpclient.BatchOptions{Checksums: sums, Exclude: []string{"SHA256SUMS"}, OnFile: func(e ftpclient.FileEvent) {
		if e.Done && e.Err == nil {
			methods[filepath.Base(e.Job.Remote)] = e.Result.Verification.Method
		}
	}}
	result, err := client.DownloadDir(t.Context(), "srv", "pub", dir, opts)
	require.ErrorIs(t, err, ftpclient.ErrMismatch)
	assert.Equal(t, [2]int{2, 1}, [2]int{result.Succeeded, result.Failed})
	assert.Equal(t, map[string]string{"good": "good", "unlisted": "unlisted"}, grown(t, dir))
	assert.Equal(t, map[string]ftpclient.VerifyMethod{"good": ftpclient.VerifiedExpected, "unlisted": ftpclient.VerifiedSize}, methods)
}

// The last progress of a batch may wait for the stream of jobs that the batch no longer waits for.
func TestTheLastProgressOfABatchHoldsNoLock(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	put(t, srv, "f", []byte("x"))
	ctx, cancel := context.WithCancel(t.Context())
	done, goOn, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	job := ftpclient.Job{Direction: ftpclient.Down, Server: "srv", Remote: "f", Local: filepath.Join(t.TempDir(), "f")}
	jobs := func(yield func(ftpclient.Job) bool) {
		defer close(ended)
		yield(job)
		<-done
		cancel()
		<-goOn
		yield(job)
	}
	opts := &ftpclient.BatchOptions{OnFile: func(e ftpclient.FileEvent) {
		if e.Done {
			close(done)
		}
	}}
	waited := false
	opts.Progress = func(p ftpclient.Progress) {
		if p.Err == nil {
			return
		}
		close(goOn)
		select {
		case <-ended:
			waited = true
		case <-time.After(5 * time.Second):
		}
	}
	_, err := client.Batch(ctx, jobs, opts)
	require.ErrorIs(t, err, context.Canceled)
	assert.True(t, waited)
}

func TestTheFilesOfALargeBatchTakeLittleMemory(t *testing.T) {
	const n = 100_000
	client, err := ftpclient.New(ftpclient.Config{Servers: map[string]ftpclient.ServerConfig{"srv": {Host: "127.0.0.1", Port: 1}}})
	require.NoError(t, err)
	defer func() { _ = client.Close() }()
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("/pub/d%03d/f%06d", i/1000, i)
	}
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc) //nolint:gosec // no heap is so large
	}
	dir := t.TempDir()
	for name, move := range map[string]func(context.Context, *ftpclient.BatchOptions) (*ftpclient.BatchResult, error){
		"down": func(ctx context.Context, opts *ftpclient.BatchOptions) (*ftpclient.BatchResult, error) {
			return client.DownloadFiles(ctx, "srv", names, dir, opts)
		},
		"up": func(ctx context.Context, opts *ftpclient.BatchOptions) (*ftpclient.BatchResult, error) {
			return client.UploadFiles(ctx, "srv", names, "dir", opts)
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var during int64
			before := heap()
			result, err := move(ctx, &ftpclient.BatchOptions{OnFile: func(ftpclient.FileEvent) {
				if during == 0 {
					during = heap()
					cancel()
				}
			}})
			require.ErrorIs(t, err, context.Canceled)
			assert.Equal(t, n, result.Total)
			assert.Less(t, (during-before)/n, int64(64), "bytes a file, beside its name")
		})
	}
}
