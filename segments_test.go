package ftpclient_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
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
	"github.com/corexalgo/ftpclient/internal/safepath"
)

// many allows n connections.
func many(n int) func(*ftpclient.ServerConfig) {
	return func(cfg *ftpclient.ServerConfig) { cfg.MaxConns = n }
}

// in are options for n segments, with quick retries.
func in(n int) *ftpclient.TransferOptions {
	return &ftpclient.TransferOptions{Segments: n, Resume: true, Retry: &ftpclient.RetryPolicy{Delay: time.Millisecond}}
}

// rests are the offsets other than 0 at which downloads began.
func rests(srv *ftptest.Server) (offsets []string) {
	for _, line := range srv.Stats().Log {
		if at, ok := strings.CutPrefix(line, "REST "); ok && at != "0" {
			offsets = append(offsets, at)
		}
	}
	return offsets
}

func TestSegmentsMakeOneExactFile(t *testing.T) {
	for _, mode := range []ftptest.TLSMode{ftptest.Plain, ftptest.Explicit} {
		for _, size := range []int{0, 1, mib, 2*mib - 1, 2 * mib, 9*mib + 12345} {
			content := randomBytes(t, size)
			srv, client := serve(t, ftptest.Options{TLS: mode, DataRate: 20 * mib}, many(8))
			put(t, srv, "f", content)
			local := filepath.Join(t.TempDir(), "f")
			opts := in(4)
			opts.SHA256, opts.PreserveTime = sha(content), true
			var last ftpclient.Progress
			opts.Progress = func(p ftpclient.Progress) { last = p }
			result, err := client.Download(t.Context(), "srv", "f", local, opts)
			require.NoError(t, err)
			onlyFile(t, local, content)
			assert.EqualValues(t, size, result.Bytes)
			assert.EqualValues(t, size, last.Bytes)
			assert.True(t, last.Done)
			assert.Equal(t, ftpclient.VerifiedExpected, result.Verification.Method)
			assert.Equal(t, 1, result.Attempts)
			assert.Less(t, result.Transferred, int64(size)+4*mib)
			most := max(1, min(4, size/mib))
			assert.LessOrEqual(t, srv.Stats().MaxOpen, most, "%d bytes", size)
			if size > 9*mib {
				assert.Equal(t, 4, srv.Stats().MaxOpen)
				assert.NotEmpty(t, rests(srv))
			}
		}
	}
}

func TestConnectionsAreKeptAfterSegments(t *testing.T) {
	srv, client := serve(t, ftptest.Options{DataRate: 20 * mib, HoldFinal: true}, many(4))
	put(t, srv, "f", randomBytes(t, 8*mib))
	for range 3 {
		_, err := client.Download(t.Context(), "srv", "f", filepath.Join(t.TempDir(), "f"), in(4))
		require.NoError(t, err)
	}
	assert.Equal(t, 4, srv.Stats().Conns)
}

func TestWhereSegmentsCannotBeOneConnectionFetchesAll(t *testing.T) {
	content := randomBytes(t, 4*mib)
	for what, o := range map[string]ftptest.Options{
		"no REST":             {NoREST: true},
		"no MDTM":             {HideFeatures: []string{"MDTM"}},
		"no SIZE":             {HideFeatures: []string{"SIZE"}},
		"no FEAT and no REST": {NoREST: true, HideFeatures: []string{"FEAT"}},
		"REST refused":        {Faults: []ftptest.Fault{{Cmd: "REST", Do: ftptest.Refuse, Reply: "502 no"}}},
	} {
		t.Run(what, func(t *testing.T) {
			o.DataRate = 20 * mib
			srv := ftptest.Start(t, o)
			put(t, srv, "f", content)
			client, log := logging(t, srv, slog.LevelInfo, 5)
			local := filepath.Join(t.TempDir(), "f")
			opts := in(4)
			opts.SHA256 = sha(content)
			_, err := client.Download(t.Context(), "srv", "f", local, opts)
			require.NoError(t, err)
			onlyFile(t, local, content)
			assert.Contains(t, log.String(), "segment")
		})
	}
}

func TestSegmentsMakeDoWithTheConnectionsThatThereAre(t *testing.T) {
	content := randomBytes(t, 8*mib)
	for _, c := range []struct{ server, client int }{{2, 8}, {1, 8}, {0, 1}, {0, 2}} {
		srv, client := serve(t, ftptest.Options{MaxConns: c.server, DataRate: 40 * mib}, many(c.client))
		put(t, srv, "f", content)
		local := filepath.Join(t.TempDir(), "f")
		result, err := client.Download(t.Context(), "srv", "f", local, in(8))
		require.NoError(t, err)
		onlyFile(t, local, content)
		assert.Equal(t, 1, result.Attempts)
	}
}

func TestManyDownloadsInSegmentsShareOnePool(t *testing.T) {
	content := randomBytes(t, 4*mib)
	srv, client := serve(t, ftptest.Options{DataRate: 20 * mib}, many(3))
	put(t, srv, "f", content)
	dir := t.TempDir()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			_, err := client.Download(t.Context(), "srv", "f", filepath.Join(dir, fmt.Sprint(i)), in(4))
			assert.NoError(t, err)
		})
	}
	wg.Wait()
	assert.Len(t, names(t, dir), 8)
	for _, name := range names(t, dir) {
		got, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		assert.True(t, bytes.Equal(content, got))
	}
	assert.LessOrEqual(t, srv.Stats().MaxOpen, 3)
}

func TestALineThatIsCutAgainAndAgainEndsNoSegments(t *testing.T) {
	content := randomBytes(t, 10*mib)
	for what, f := range map[string]ftptest.Fault{
		"data cut":        {Cmd: "RETR", Times: 12, After: 300 << 10, Do: ftptest.CutData},
		"data reset":      {Cmd: "RETR", Times: 12, After: 300 << 10, Do: ftptest.ResetData},
		"both cut":        {Cmd: "RETR", Times: 12, After: 300 << 10, Do: ftptest.CutBoth},
		"silently cut":    {Cmd: "RETR", Times: 12, After: 300 << 10, Do: ftptest.CutDataSilently},
		"refused":         {Cmd: "RETR", Times: 3, Do: ftptest.Refuse, Reply: "425 no data connection"},
		"dropped replies": {Cmd: "RETR", Times: 3, Do: ftptest.DropFinalReply},
	} {
		t.Run(what, func(t *testing.T) {
			srv, client := serve(t, ftptest.Options{DataRate: 20 * mib, Faults: []ftptest.Fault{f}}, many(4))
			put(t, srv, "f", content)
			local := filepath.Join(t.TempDir(), "f")
			result, err := client.Download(t.Context(), "srv", "f", local, in(4))
			require.NoError(t, err)
			onlyFile(t, local, content)
			assert.Empty(t, result.RestartReason)
			assert.Less(t, result.Transferred, int64(15*mib), "what was there is not moved again")
		})
	}
}

func TestASegmentThatStallsOrIsSlowIsTakenOver(t *testing.T) {
	content := randomBytes(t, 8*mib)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, f := range []ftptest.Fault{
		{Do: ftptest.StallData, After: 100 << 10},
		{Do: ftptest.SlowData, After: 100 << 10, Rate: 10 << 10}, // three minutes for its share
	} {
		for f.Skip = range 2 { // the first is the one that the download began with
			f.Cmd, f.Times = "RETR", 1
			srv, client := serve(t, ftptest.Options{DataRate: 20 * mib, Faults: []ftptest.Fault{f}},
				many(4), func(cfg *ftpclient.ServerConfig) { cfg.StallTimeout = time.Hour })
			put(t, srv, "f", content)
			local := filepath.Join(t.TempDir(), "f")
			opts := in(4)
			opts.Retry = never()
			result, err := client.Download(ctx, "srv", "f", local, opts)
			require.NoError(t, err)
			assert.Equal(t, 1, result.Attempts)
			onlyFile(t, local, content)
			assert.Equal(t, 1, srv.Stats().Faults)
		}
	}
}

func TestAServerThatOnlySaysItBeginsInTheMiddleSendsTheFileInOne(t *testing.T) {
	content := randomBytes(t, 8*mib)
	srv, client := serve(t, ftptest.Options{DataRate: 4 * mib, Command: func(cmd, _ string) (string, bool) {
		return "350 Restarting", cmd == "REST"
	}}, many(4))
	put(t, srv, "f", content)
	local := filepath.Join(t.TempDir(), "f")
	result, err := client.Download(t.Context(), "srv", "f", local, in(4))
	require.NoError(t, err)
	onlyFile(t, local, content)
	assert.Equal(t, 2, result.Attempts)
	assert.NotEmpty(t, result.RestartReason)
}

func TestSegmentsOfAFileThatChangesAreNeverSpliced(t *testing.T) {
	var versions [5][]byte
	for i := range versions {
		versions[i] = randomBytes(t, 6*mib)
	}
	for _, times := range []int64{3, 4} {
		dir := t.TempDir()
		var fetched, changed atomic.Int64
		_, client := serve(t, ftptest.Options{Dir: dir, DataRate: 20 * mib, OnCommand: func(cmd, _ string) {
			if n := changed.Load(); cmd == "RETR" && fetched.Add(1)%3 == 0 && n < times && changed.CompareAndSwap(n, n+1) {
				// At once: nobody is to see a version in between.
				write(t, dir, "new", versions[n+1], int(n)+1)
				assert.NoError(t, os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "f")))
			}
		}}, many(3))
		write(t, dir, "f", versions[0], 0)
		local := filepath.Join(t.TempDir(), "f")
		opts := in(3)
		result, err := client.Download(t.Context(), "srv", "f", local, opts)
		if err != nil {
			require.ErrorIs(t, err, ftpclient.ErrMismatch)
			require.EqualValues(t, 4, changed.Load(), err.Error())
			assert.Empty(t, names(t, filepath.Dir(local)))
			continue
		}
		onlyFile(t, local, versions[changed.Load()])
		assert.NotEmpty(t, result.RestartReason)
	}
}

// breakOffIn has a call in n segments end with its context after so many bytes, and returns how many it had by then.
func breakOffIn(t *testing.T, client *ftpclient.Client, local string, n int, after int64) int64 {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	opts := in(n)
	var held int64
	opts.Progress = func(p ftpclient.Progress) {
		if held = p.Bytes; p.Bytes >= after {
			cancel()
		}
	}
	_, err := client.Download(ctx, "srv", "f", local, opts)
	require.ErrorIs(t, err, context.Canceled)
	return held
}

func TestAPartialIsContinuedInAnyNumberOfSegments(t *testing.T) {
	content := randomBytes(t, 16*mib)
	for _, c := range []struct{ before, after int }{{4, 4}, {4, 1}, {1, 4}, {2, 7}, {7, 2}, {4, 0}} {
		srv, client := serve(t, ftptest.Options{DataRate: 16 * mib}, many(8))
		put(t, srv, "f", content)
		local := filepath.Join(t.TempDir(), "f")
		held := breakOffIn(t, client, local, c.before, 4*mib)
		var log []ftpclient.Progress
		opts := in(c.after)
		opts.SHA256 = sha(content)
		opts.Progress = func(p ftpclient.Progress) { log = append(log, p) }
		result, err := client.Download(t.Context(), "srv", "f", local, opts)
		require.NoError(t, err)
		onlyFile(t, local, content)
		assert.Empty(t, result.RestartReason)
		assert.Equal(t, held, result.ResumedFrom)
		assert.Equal(t, held, log[0].Bytes)
		assert.EqualValues(t, len(content), log[len(log)-1].Bytes)
		assert.Less(t, result.Transferred, int64(len(content))-held+4*mib)
		for i := range log[1:] {
			assert.GreaterOrEqual(t, log[i+1].Bytes, log[i].Bytes)
			assert.LessOrEqual(t, log[i].Bytes, int64(len(content)))
		}
	}
}

func TestEachSegmentOfAPartialIsProvedBeforeItIsContinued(t *testing.T) {
	v1 := randomBytes(t, 16*mib)
	srv, client := serve(t, ftptest.Options{DataRate: 16 * mib}, many(8))
	for _, c := range []struct {
		content []byte
		time    int
		reason  string
	}{
		{append(bytes.Clone(v1[:12*mib]), randomBytes(t, 4*mib)...), 1, "the bytes before the offset differ"}, // only the last segment can tell
		{randomBytes(t, 16*mib), 2, "the remote file changed"},
	} {
		write(t, srv.Dir(), "f", v1, 1)
		local := filepath.Join(t.TempDir(), "f")
		breakOffIn(t, client, local, 4, 6*mib)
		write(t, srv.Dir(), "f", c.content, c.time)
		result, err := client.Download(t.Context(), "srv", "f", local, in(4))
		require.NoError(t, err)
		onlyFile(t, local, c.content)
		assert.True(t, strings.HasPrefix(result.RestartReason, c.reason), result.RestartReason) // whichever segment was the first to tell
		assert.Zero(t, result.ResumedFrom)
	}
}

func TestCuttingSegmentsAtRandomNeverMakesAWrongFile(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 7))
		content := randomBytes(t, 10*mib)
		srv, client := serve(t, ftptest.Options{}, many(8))
		put(t, srv, "f", content)
		local := filepath.Join(t.TempDir(), "f")
		for {
			actions := []ftptest.Action{ftptest.CutData, ftptest.CutDataSilently, ftptest.ResetData, ftptest.CutBoth, ftptest.CutControl}
			var faults []ftptest.Fault
			for range 6 {
				faults = append(faults, ftptest.Fault{
					Cmd: "RETR", Skip: random.IntN(6), Times: 1, After: random.Int64N(3 * mib), Do: actions[random.IntN(len(actions))],
				})
			}
			srv.SetFaults(faults...)
			opts := in(1 + random.IntN(8))
			opts.Retry = never()
			result, err := client.Download(t.Context(), "srv", "f", local, opts)
			require.Empty(t, result.RestartReason, "seed %d", seed)
			if err == nil {
				break
			}
			require.True(t, ftpclient.Retryable(err), "seed %d: %v", seed, err)
			require.NoFileExists(t, local)
		}
		onlyFile(t, local, content)
	}
}

func TestACancelledDownloadInSegmentsEndsAtOnce(t *testing.T) {
	content := randomBytes(t, 8*mib)
	for _, fault := range [][]ftptest.Fault{nil, {{Cmd: "RETR", Skip: 1, Do: ftptest.StallData, After: 64 << 10}}, {{Cmd: "RETR", Skip: 1, Do: ftptest.StallReply}}} {
		srv, client := serve(t, ftptest.Options{DataRate: mib, Faults: fault}, many(4))
		put(t, srv, "f", content)
		ctx, cancel := context.WithCancelCause(t.Context())
		var when time.Time
		opts := in(4)
		opts.Progress = func(p ftpclient.Progress) {
			if p.Bytes > mib/2 && when.IsZero() {
				when = time.Now()
				cancel(errors.New("enough"))
			}
		}
		local := filepath.Join(t.TempDir(), "f")
		_, err := client.Download(ctx, "srv", "f", local, opts)
		require.ErrorIs(t, err, context.Canceled)
		assert.Less(t, time.Since(when), 2*time.Second)
		assert.NoFileExists(t, local)
		cancel(nil)
	}
}

func TestALimitHoldsForAllSegmentsTogether(t *testing.T) {
	srv, client := serve(t, ftptest.Options{}, many(4))
	content := randomBytes(t, 4*mib)
	put(t, srv, "f", content)
	local := filepath.Join(t.TempDir(), "f")
	opts := in(4)
	opts.BytesPerSecond = 4 * mib
	result, err := client.Download(t.Context(), "srv", "f", local, opts)
	require.NoError(t, err)
	onlyFile(t, local, content)
	assert.Greater(t, result.Elapsed, 800*time.Millisecond)
}

func TestSegmentsThatFailForGoodEndAll(t *testing.T) {
	content := randomBytes(t, 8*mib)
	srv, client := serve(t, ftptest.Options{DataRate: 20 * mib, Faults: []ftptest.Fault{
		{Cmd: "RETR", After: 100 << 10, Do: ftptest.LateRefuse, Reply: "552 no"},
	}}, many(4))
	put(t, srv, "f", content)
	local := filepath.Join(t.TempDir(), "f")
	_, err := client.Download(t.Context(), "srv", "f", local, in(4))
	require.ErrorContains(t, err, "552")
	require.NoFileExists(t, local)
	srv.SetFaults()
	result, err := client.Download(t.Context(), "srv", "f", local, in(4))
	require.NoError(t, err)
	assert.Positive(t, result.ResumedFrom)
	onlyFile(t, local, content)
}

func TestAKilledDownloadInSegmentsIsFinishedByALaterOneThatMovesLittleAgain(t *testing.T) {
	v1, v2 := randomBytes(t, mib), randomBytes(t, 60*mib)
	srv, client := serve(t, ftptest.Options{DataRate: 8 * mib}, many(8))
	put(t, srv, "f", v2)
	local := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(local, v1, 0o600))
	for range 3 {
		c := startChild(t, "segments", "download", srv, "f", local)
		// No sooner than a checkpoint is behind it, and no later than the file is whole.
		require.Eventually(t, func() bool { return sidecars(t, filepath.Dir(local)) > 0 }, 10*time.Second, 10*time.Millisecond)
		c.kill(300 * time.Millisecond)
		got, err := os.ReadFile(local)
		require.NoError(t, err)
		require.True(t, bytes.Equal(got, v1), "the target is not the old file any more")
	}
	opts := in(4)
	opts.SHA256 = sha(v2)
	result, err := client.Download(t.Context(), "srv", "f", local, opts)
	require.NoError(t, err)
	onlyFile(t, local, v2)
	assert.Empty(t, result.RestartReason, "what a killed process left is true")
	assert.GreaterOrEqual(t, result.ResumedFrom, int64(8*mib))
	assert.Less(t, result.Transferred, int64(len(v2))-result.ResumedFrom+2*mib)
}

// sidecars counts the files beside a target that tell what its partial is.
func sidecars(t *testing.T, dir string) (n int) {
	t.Helper()
	for _, name := range names(t, dir) {
		if strings.HasSuffix(name, safepath.State) {
			n++
		}
	}
	return n
}

func TestAConnectionThatComesBackToAChangedFileEndsAllSegmentsOfTheOldOne(t *testing.T) {
	v1, v2 := randomBytes(t, 12*mib), randomBytes(t, 3*mib)
	dir := t.TempDir()
	var fetched atomic.Int64
	srv, client := serve(t, ftptest.Options{
		Dir: dir, DataRate: 2 * mib,
		Faults: []ftptest.Fault{{Cmd: "RETR", Skip: 1, Times: 1, After: 64 << 10, Do: ftptest.CutData}},
		OnCommand: func(cmd, _ string) {
			if cmd == "RETR" && fetched.Add(1) == 2 {
				write(t, dir, "new", v2, 2)
				assert.NoError(t, os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "f")))
			}
		},
	}, many(3))
	write(t, dir, "f", v1, 1)
	local := filepath.Join(t.TempDir(), "f")
	result, err := client.Download(t.Context(), "srv", "f", local, in(3))
	require.NoError(t, err)
	onlyFile(t, local, v2)
	assert.Equal(t, "the remote file changed", result.RestartReason)
	assert.Less(t, result.Transferred, int64(len(v1)), "the old file is not fetched to its end")
	assert.Equal(t, 1, srv.Stats().Faults)
}

func TestAFileOfABatchKeepsItsConnectionWhileItsSegmentsAreRetried(t *testing.T) {
	content := randomBytes(t, 12*mib)
	srv, client := serve(t, ftptest.Options{
		DataRate: 20 * mib,
		Faults:   []ftptest.Fault{{Cmd: "RETR", Skip: 1, Times: 12, After: 200 << 10, Do: ftptest.CutData}},
	}, many(4))
	put(t, srv, "f", content)
	dir := t.TempDir()
	opts := &ftpclient.BatchOptions{TransferOptions: *in(4), Workers: 1, MaxReconnects: -1}
	result, err := client.DownloadFiles(t.Context(), "srv", []string{"f"}, dir, opts)
	require.NoError(t, err)
	assert.Equal(t, 1, result.Succeeded)
	onlyFile(t, filepath.Join(dir, "f"), content)
	assert.LessOrEqual(t, srv.Stats().Conns, 4, "none was thrown away")
}

func TestSegmentsGiveConnectionsBackToThoseWhoWait(t *testing.T) {
	content := randomBytes(t, 12*mib)
	srv, client := serve(t, ftptest.Options{DataRate: mib}, many(3))
	put(t, srv, "f", content)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := client.Download(ctx, "srv", "f", filepath.Join(t.TempDir(), "f"), in(3))
		done <- err
	}()
	require.Eventually(t, func() bool { return srv.Stats().Commands["RETR"] >= 3 }, 5*time.Second, time.Millisecond)
	soon, end := context.WithTimeout(t.Context(), 2*time.Second)
	defer end()
	_, err := client.Stat(soon, "srv", "f")
	require.NoError(t, err)
	retrs := srv.Stats().Commands["RETR"]
	require.Eventually(t, func() bool { return srv.Stats().Commands["RETR"] > retrs }, 5*time.Second, time.Millisecond, "and take them again")
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
}
