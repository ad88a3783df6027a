package ftpclient_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

func TestATreeKilledAgainAndAgainEndsIdentical(t *testing.T) {
	for _, d := range directions {
		t.Run(d.name, func(t *testing.T) {
			srv, client := serve(t, ftptest.Options{DataRate: 10 * mib})
			local := filepath.Join(t.TempDir(), "here")
			source, target := d.sides(srv, local, "there")
			want := withEmpty(sow(t, source, 200))
			for i := range 10 {
				name := fmt.Sprintf("big%d", i)
				want[name] = string(randomBytes(t, 4*mib))
				require.NoError(t, writeAll(filepath.Join(source, name), want[name]))
			}
			for range 20 {
				c := startChild(t, "transfer", d.name+" tree", srv, "there", local)
				c.kill(100 * time.Millisecond)
			}
			opts := &ftpclient.BatchOptions{TransferOptions: ftpclient.TransferOptions{Resume: true, Existing: ftpclient.SkipSame}}
			result, err := d.move(t.Context(), client, local, "there", opts)
			require.NoError(t, err)
			t.Logf("the last of 21 runs moved %d of %d files", result.Succeeded, result.Total)
			assert.Equal(t, 210, result.Succeeded+result.Skipped)
			got := grown(t, target)
			assert.Equal(t, slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got)), "no hidden file is left")
			for name := range want {
				if want[name] != got[name] { // too long to be shown
					assert.Fail(t, "differs", name)
				}
			}
		})
	}
}

func TestAStreamOfJobsMayBeOfSeveralServersAndOneThatIsGoneHoldsUpNone(t *testing.T) {
	a, b, client := two(t, ftptest.Options{}, ftptest.Options{})
	for i := range 20 {
		put(t, a, fmt.Sprint(i), []byte("a"))
	}
	require.NoError(t, b.Close())
	local := t.TempDir()
	jobs := func(yield func(ftpclient.Job) bool) {
		for i := range 20 {
			for _, server := range []string{"a", "b"} {
				if !yield(ftpclient.Job{Server: server, Remote: fmt.Sprint(i), Local: filepath.Join(local, server, fmt.Sprint(i))}) {
					return
				}
			}
		}
	}
	result, err := client.Batch(t.Context(), jobs, &ftpclient.BatchOptions{TransferOptions: ftpclient.TransferOptions{Retry: never()}})
	require.Error(t, err)
	assert.Equal(t, [3]int{40, 20, 20}, [3]int{result.Total, result.Succeeded, result.Failed})
	for _, f := range result.Failures {
		assert.Equal(t, "b", f.Job.Server)
	}
}

func TestARefusedLoginEndsTheBatchAfterOneTry(t *testing.T) {
	srv, client := serve(t, ftptest.Options{}, func(sc *ftpclient.ServerConfig) { sc.Password = "wrong" })
	result, err := client.DownloadFiles(t.Context(), "srv", []string{"a", "b", "c", "d", "e", "f", "g", "h"}, t.TempDir(), nil)
	require.ErrorIs(t, err, ftpclient.ErrAuth)
	assert.Equal(t, 1, srv.Stats().Commands["PASS"])
	assert.Equal(t, 8, result.Total)
	assert.Zero(t, result.Succeeded)
}

func TestAFileThatIsRefusedAsALoginIsEndsNoBatch(t *testing.T) {
	refused := ftptest.Fault{Cmd: "RETR", Path: "07", Do: ftptest.Refuse, Reply: "530 You may not read this file"}
	srv, client := serve(t, ftptest.Options{Faults: []ftptest.Fault{refused}})
	var names []string
	for i := range 30 {
		names = append(names, fmt.Sprintf("%02d", i))
		put(t, srv, names[i], []byte("x"))
	}
	result, err := client.DownloadFiles(t.Context(), "srv", names, t.TempDir(), &ftpclient.BatchOptions{Workers: 1})
	require.ErrorIs(t, err, &ftpclient.Error{Code: 530, Path: "07"})
	assert.Equal(t, [3]int{30, 29, 1}, [3]int{result.Total, result.Succeeded, result.Failed})
}

func TestABatchMayBeRepeatedIfEachOfItsFailuresMay(t *testing.T) {
	for _, c := range []struct {
		replies []string
		opts    ftpclient.BatchOptions
		want    bool
	}{
		{[]string{"553 no", "450 busy"}, ftpclient.BatchOptions{}, false},
		{[]string{"450 busy", "553 no"}, ftpclient.BatchOptions{}, false},
		{[]string{"450 busy", "451 later"}, ftpclient.BatchOptions{}, true},
		{[]string{"450 busy", "553 no"}, ftpclient.BatchOptions{StopOnError: true}, true}, // the second is not tried
	} {
		srv, client := serve(t, ftptest.Options{})
		var names []string
		var faults []ftptest.Fault
		for i, reply := range c.replies {
			names = append(names, fmt.Sprint(i))
			put(t, srv, names[i], []byte("x"))
			faults = append(faults, ftptest.Fault{Cmd: "RETR", Path: names[i], Do: ftptest.Refuse, Reply: reply})
		}
		srv.SetFaults(faults...)
		c.opts.Workers, c.opts.Retry = 1, never()
		_, err := client.DownloadFiles(t.Context(), "srv", names, t.TempDir(), &c.opts)
		require.Error(t, err)
		assert.Equal(t, c.want, ftpclient.Retryable(err), "%v: %v", c.replies, err)
	}
}

func TestStopOnErrorBreaksOffTheOthers(t *testing.T) {
	srv, client := serve(t, ftptest.Options{Faults: []ftptest.Fault{
		{Cmd: "RETR", Path: "f05", Do: ftptest.Refuse, Reply: "553 no"}, {Cmd: "RETR", Path: "f06", Do: ftptest.StallData},
	}})
	sow(t, filepath.Join(srv.Dir(), "there"), 100)
	result, err := client.DownloadDir(t.Context(), "srv", "there", t.TempDir(), &ftpclient.BatchOptions{Workers: 3, StopOnError: true})
	var refused *ftpclient.Error
	require.ErrorAs(t, err, &refused)
	assert.Equal(t, 553, refused.Code)
	require.NotErrorIs(t, err, context.Canceled, "nobody cancelled anything")
	assert.Less(t, result.Succeeded, 50)
	assert.LessOrEqual(t, result.Failed, 3)
	require.NoError(t, client.Ping(t.Context(), "srv"))
}

func TestWorkersNeverUseMoreConnectionsThanTheServerAllows(t *testing.T) {
	srv, client := serve(t, ftptest.Options{MaxConns: 3}, func(sc *ftpclient.ServerConfig) { sc.MaxConns = 8 })
	want := withEmpty(sow(t, filepath.Join(srv.Dir(), "there"), 80))
	local := t.TempDir()
	result, err := client.DownloadDir(t.Context(), "srv", "there", local, &ftpclient.BatchOptions{Workers: 8})
	require.NoError(t, err)
	assert.Equal(t, 80, result.Succeeded)
	assert.Equal(t, want, grown(t, local))
	assert.LessOrEqual(t, srv.Stats().MaxOpen, 3)
	stats, err := client.Stats("srv")
	require.NoError(t, err)
	assert.Equal(t, 3, stats.Max)
	assert.Zero(t, stats.Workers, "the batch is over")
}

func TestOneConnectionServesATreeAndItsListing(t *testing.T) {
	for _, d := range directions {
		srv, client := serve(t, ftptest.Options{}, one)
		local := filepath.Join(t.TempDir(), "here")
		source, target := d.sides(srv, local, "there")
		want := withEmpty(sow(t, source, 60))
		_, err := d.move(t.Context(), client, local, "there", &ftpclient.BatchOptions{
			Workers: 4, TransferOptions: ftpclient.TransferOptions{Existing: ftpclient.SkipSame},
		})
		require.NoError(t, err)
		assert.Equal(t, want, grown(t, target))
		assert.Equal(t, 1, srv.Stats().Conns)
	}
}

func TestASlowFileHoldsUpNoOther(t *testing.T) {
	srv, client := serve(t, ftptest.Options{Faults: []ftptest.Fault{{Cmd: "RETR", Path: "d00/f00", Do: ftptest.StallData}}})
	sow(t, filepath.Join(srv.Dir(), "there"), 200)
	var others atomic.Int32
	ctx, cancel := context.WithCancel(t.Context())
	opts := &ftpclient.BatchOptions{Workers: 3, OnFile: func(e ftpclient.FileEvent) {
		if e.Done && e.Err == nil && others.Add(1) == 199 {
			cancel()
		}
	}}
	result, err := client.DownloadDir(ctx, "srv", "there", t.TempDir(), opts)
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, 199, result.Succeeded)
}

func TestConnectionsAreReplacedAfterSoManyFiles(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	sow(t, filepath.Join(srv.Dir(), "there"), 60)
	_, err := client.DownloadDir(t.Context(), "srv", "there", t.TempDir(), &ftpclient.BatchOptions{Workers: 1, ReconnectEvery: 10})
	require.NoError(t, err)
	assert.InDelta(t, 7, srv.Stats().Conns, 2, "six for the files; the listing may have had another one")
	stats, err := client.Stats("srv")
	require.NoError(t, err)
	assert.Zero(t, stats.Reconnects, "none of them was lost")
}

func TestTooManyLostConnectionsEndTheCall(t *testing.T) {
	for _, most := range []int{0, 3, -1} {
		allowed := map[int]int{0: 10, 3: 3, -1: 0}[most]
		srv, client := serve(t, ftptest.Options{Faults: []ftptest.Fault{{Cmd: "RETR", Do: ftptest.DropFinalReply}}})
		var names []string // not a folder: its listings would take replacements, too
		for i := range 100 {
			names = append(names, fmt.Sprint(i))
			put(t, srv, names[i], []byte("x"))
		}
		opts := &ftpclient.BatchOptions{Workers: 1, MaxReconnects: most}
		result, err := client.DownloadFiles(t.Context(), "srv", names, t.TempDir(), opts)
		require.ErrorIs(t, err, ftpclient.ErrTooManyReconnects)
		assert.Less(t, result.Succeeded+result.Failed, 100)
		stats, err := client.Stats("srv")
		require.NoError(t, err)
		assert.Equal(t, int64(allowed)+1, stats.Reconnects, "one more shows that it is too many")
	}
}

func TestIdleConnectionsAreKeptAliveAtTheBatchsOwnPaceAndCheckedBetweenBatches(t *testing.T) {
	const open = 3 // of which the batch uses one
	var asked atomic.Int32
	var all sync.WaitGroup // at the server with a NOOP, each over its own connection
	all.Add(open)
	srv, client := serve(t, ftptest.Options{OnCommand: func(cmd, _ string) {
		if cmd == "NOOP" && asked.Add(1) <= open {
			all.Done()
			all.Wait()
		}
	}}, func(sc *ftpclient.ServerConfig) { sc.KeepAlive = -1 })
	put(t, srv, "f", []byte("x"))
	var pings sync.WaitGroup
	for range open {
		pings.Go(func() { assert.NoError(t, client.Ping(t.Context(), "srv")) })
	}
	pings.Wait()
	noops := func(opts *ftpclient.BatchOptions, pause time.Duration) int {
		before := srv.Stats().Commands["NOOP"]
		jobs := func(yield func(ftpclient.Job) bool) {
			for i := range 40 {
				if i == 39 {
					<-time.After(pause)
				}
				if !yield(ftpclient.Job{Server: "srv", Remote: "f", Local: filepath.Join(t.TempDir(), fmt.Sprint(i))}) {
					return
				}
			}
		}
		_, err := client.Batch(t.Context(), jobs, opts)
		require.NoError(t, err)
		return srv.Stats().Commands["NOOP"] - before
	}
	assert.Zero(t, noops(&ftpclient.BatchOptions{Workers: 1, BatchSize: 100}, 0))
	assert.GreaterOrEqual(t, noops(&ftpclient.BatchOptions{Workers: 1, BatchSize: 20}, 0), open-1, "two checks of those that nobody uses")
	assert.Positive(t, noops(&ftpclient.BatchOptions{Workers: 1, BatchSize: 100, NoopInterval: 50 * time.Millisecond}, 400*time.Millisecond))
}

func TestABatchFindsItsNumberOfWorkersByItself(t *testing.T) {
	srv := ftptest.Start(t, ftptest.Options{Latency: 4 * time.Millisecond})
	client, log := logging(t, srv, slog.LevelDebug, 12)
	sow(t, filepath.Join(srv.Dir(), "there"), 900)
	most := 0
	_, err := client.DownloadDir(t.Context(), "srv", "there", t.TempDir(), &ftpclient.BatchOptions{OnFile: func(ftpclient.FileEvent) {
		if stats, err := client.Stats("srv"); assert.NoError(t, err) {
			most = max(most, stats.Workers)
		}
	}})
	require.NoError(t, err)
	assert.Greater(t, most, 4)
	assert.LessOrEqual(t, most, 12)
	assert.Contains(t, log.String(), "msg=\"ftp batch workers\" workers=4\n")
	assert.Contains(t, log.String(), fmt.Sprintf("msg=\"ftp batch workers\" workers=%d\n", most))
}

func TestShutdownLetsABatchEndInPeaceAndCloseDoesNot(t *testing.T) {
	for _, peace := range []bool{true, false} {
		srv, client := serve(t, ftptest.Options{})
		sow(t, filepath.Join(srv.Dir(), "there"), 100)
		var once sync.Once
		ended := make(chan error, 1)
		opts := &ftpclient.BatchOptions{Workers: 2, OnFile: func(e ftpclient.FileEvent) {
			if e.Done {
				once.Do(func() {
					go func() {
						if peace {
							ended <- client.Shutdown(context.Background())
						} else {
							ended <- client.Close()
						}
					}()
				})
			}
		}}
		result, err := client.DownloadDir(t.Context(), "srv", "there", t.TempDir(), opts)
		require.NoError(t, <-ended)
		if peace {
			require.NoError(t, err)
			assert.Equal(t, 100, result.Succeeded)
			continue
		}
		require.Error(t, err)
		assert.Positive(t, result.Succeeded)
	}
}

func TestTheProgressOfABatchAddsUp(t *testing.T) {
	srv, client := serve(t, ftptest.Options{Faults: []ftptest.Fault{{Cmd: "RETR", Path: "f09", Do: ftptest.Refuse, Reply: "553 no"}}})
	sow(t, filepath.Join(srv.Dir(), "there"), 30)
	var mu sync.Mutex
	var last ftpclient.Progress
	ends := map[int]int{}
	opts := &ftpclient.BatchOptions{Workers: 3, TransferOptions: ftpclient.TransferOptions{Progress: func(p ftpclient.Progress) {
		mu.Lock()
		defer mu.Unlock()
		last = p
		if p.Done || p.Err != nil {
			ends[p.Index]++
		}
	}}}
	result, err := client.DownloadDir(t.Context(), "srv", "there", t.TempDir(), opts)
	require.Error(t, err)
	assert.Equal(t, 0, last.Index, "the batch as a whole comes last")
	assert.Equal(t, [2]int{30, 3}, [2]int{last.Total, last.Failed})
	assert.Equal(t, result.Bytes, last.Bytes)
	assert.Len(t, ends, 31)
	for index, n := range ends {
		assert.Equal(t, 1, n, index)
	}
}

func TestFilesAreSkippedByOneListingOfTheirDirectory(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	var names []string
	for name := range sow(t, filepath.Join(srv.Dir(), "there"), 30) {
		names = append(names, "there/"+name)
	}
	slices.Sort(names)
	names = names[:10]
	opts := &ftpclient.BatchOptions{TransferOptions: ftpclient.TransferOptions{Existing: ftpclient.SkipSame}}
	local := t.TempDir()
	_, err := client.DownloadFiles(t.Context(), "srv", names, local, opts)
	require.NoError(t, err)
	srv.ResetStats()
	result, err := client.DownloadFiles(t.Context(), "srv", names, local, opts)
	require.NoError(t, err)
	assert.Equal(t, 10, result.Skipped)
	assert.Equal(t, 1, srv.Stats().Commands["MLSD"])
	assert.Zero(t, srv.Stats().Commands["SIZE"])

	var locals []string
	for _, name := range names {
		locals = append(locals, filepath.Join(local, filepath.Base(name)))
	}
	_, err = client.UploadFiles(t.Context(), "srv", locals, "up", opts)
	require.NoError(t, err)
	srv.ResetStats()
	result, err = client.UploadFiles(t.Context(), "srv", locals, "up", opts)
	require.NoError(t, err)
	assert.Equal(t, 10, result.Skipped)
	assert.Equal(t, 1, srv.Stats().Commands["MLSD"])
	assert.Zero(t, srv.Stats().Commands["MLST"]+srv.Stats().Commands["SIZE"])
}

func TestNobodyWaitsForTheCheckOfIdleConnections(t *testing.T) {
	srv, client := serve(t, ftptest.Options{}, func(sc *ftpclient.ServerConfig) { sc.KeepAlive = -1 })
	var files []string
	for i := range 20 {
		files = append(files, fmt.Sprint(i))
		put(t, srv, files[i], []byte("x"))
	}
	var together sync.WaitGroup // two connections, of which the batch uses one
	met := make(chan struct{})
	for range 2 {
		together.Go(func() {
			_, err := client.DownloadTo(t.Context(), "srv", "0", writerFunc(func(p []byte) (int, error) {
				select {
				case met <- struct{}{}:
				case <-met:
				}
				return len(p), nil
			}), nil)
			assert.NoError(t, err)
		})
	}
	together.Wait()
	require.Equal(t, 2, srv.Stats().Conns)
	srv.SetFaults(ftptest.Fault{Cmd: "NOOP", Do: ftptest.StallReply})
	begun := time.Now()
	_, err := client.DownloadFiles(t.Context(), "srv", files, t.TempDir(), &ftpclient.BatchOptions{Workers: 1, BatchSize: 20})
	require.NoError(t, err)
	assert.Less(t, time.Since(begun), 3*time.Second)
	assert.Eventually(t, func() bool { return srv.Stats().Commands["NOOP"] > 0 }, 5*time.Second, time.Millisecond)
}

func TestABatchWithDeletionsLeftIsNoSuccess(t *testing.T) {
	for range 100 {
		srv, client := serve(t, ftptest.Options{})
		put(t, srv, "there/f", []byte("f"))
		local := t.TempDir()
		var dirs []string
		for i := range 50 {
			dirs = append(dirs, filepath.Join(local, fmt.Sprintf("d%02d", i)))
			require.NoError(t, os.Mkdir(dirs[i], 0o755))
		}
		plan, err := client.PlanMirror(t.Context(), "srv", "there", local, &ftpclient.MirrorOptions{Delete: true})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { // when the first of them are gone, in whichever order that is
			defer cancel()
			for {
				for _, dir := range []string{dirs[5], dirs[44]} {
					if _, err := os.Lstat(dir); err != nil {
						return
					}
				}
			}
		}()
		_, err = client.Apply(ctx, plan, nil)
		left, gerr := filepath.Glob(filepath.Join(local, "d*"))
		require.NoError(t, gerr)
		cancel()
		if len(left) > 0 {
			require.ErrorIs(t, err, context.Canceled, "%d are left", len(left))
			return
		}
	}
	t.Fatal("never was the context ended in time")
}
