package ftpclient_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
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

func existing(policy ftpclient.ExistingPolicy) *ftpclient.BatchOptions {
	return &ftpclient.BatchOptions{TransferOptions: ftpclient.TransferOptions{Existing: policy}}
}

func TestABatchThatIsCancelledWhileItLooksIsNoSuccess(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, client := serve(t, ftptest.Options{
		OnCommand: func(cmd, _ string) {
			if cmd == "MLSD" {
				cancel()
			}
		},
		Faults: []ftptest.Fault{{Cmd: "MLSD", Do: ftptest.StallControl}},
	})
	local := t.TempDir()
	require.NoError(t, writeAll(filepath.Join(local, "f"), "never sent"))
	_, err := client.UploadDir(ctx, "srv", local, "there", existing(ftpclient.SkipSame))
	require.ErrorIs(t, err, context.Canceled)

	ctx, cancel = context.WithCancel(t.Context())
	_, err = client.Batch(ctx, func(func(ftpclient.Job) bool) { cancel() }, nil)
	require.ErrorIs(t, err, context.Canceled, "a stream that ends because its context did is not done")
}

func TestACallbackMayUseTheClientWhateverIsLeftOfIt(t *testing.T) {
	for _, workers := range []int{1, 3} {
		srv, client := serve(t, ftptest.Options{}, func(sc *ftpclient.ServerConfig) { sc.MaxConns = workers })
		sow(t, filepath.Join(srv.Dir(), "there"), 20)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		opts := &ftpclient.BatchOptions{Workers: workers, OnFile: func(e ftpclient.FileEvent) {
			_, err := client.Stat(ctx, "srv", e.Job.Remote)
			assert.NoError(t, err)
		}}
		_, err := client.DownloadDir(ctx, "srv", "there", t.TempDir(), opts)
		require.NoError(t, err)
	}
}

func TestASlowCallbackCostsNoConnection(t *testing.T) {
	for _, d := range directions {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel() // it mostly waits
			const allowed = 400 * time.Millisecond
			srv, client := serve(t, ftptest.Options{IdleTimeout: allowed}, func(sc *ftpclient.ServerConfig) { sc.KeepAlive = 50 * time.Millisecond })
			local := filepath.Join(t.TempDir(), "here")
			source, _ := d.sides(srv, local, "there")
			sow(t, source, 5)
			opts := &ftpclient.BatchOptions{Workers: 2, OnFile: func(e ftpclient.FileEvent) {
				if e.Done {
					<-time.After(allowed + 100*time.Millisecond)
				}
			}}
			_, err := d.move(t.Context(), client, local, "there", opts)
			require.NoError(t, err)
			stats, err := client.Stats("srv")
			require.NoError(t, err)
			assert.Zero(t, stats.Reconnects)
		})
	}
}

func TestNobodyKeepsAConnectionWhileAnotherReadsADirectoryForHim(t *testing.T) {
	srv := ftptest.Start(t, ftptest.Options{Faults: []ftptest.Fault{{Cmd: "MLSD", Path: "D", Times: 1, Do: ftptest.CutControl}}})
	client, err := ftpclient.New(ftpclient.Config{
		Servers: map[string]ftpclient.ServerConfig{"srv": {
			Host: srv.Host(), Port: srv.Port(), Username: srv.User(), Password: ftpclient.Secret(srv.Password()), MaxConns: 2,
		}},
		Retry: ftpclient.RetryPolicy{Delay: time.Second}, // meanwhile the other worker comes to the same directory
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, client.Close()) }()
	put(t, srv, "big", randomBytes(t, 4*mib))
	for _, name := range []string{"D/1", "E/1", "D/2"} {
		put(t, srv, name, []byte(name))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	big, err := client.Open(ctx, "srv", "big") // has one of the connections, until the end
	require.NoError(t, err)
	defer func() { _ = big.Close() }()
	_, err = io.ReadFull(big, make([]byte, 1))
	require.NoError(t, err)

	opts := existing(ftpclient.SkipSame)
	opts.Workers = 2
	local := t.TempDir()
	var jobs []ftpclient.Job
	for _, name := range []string{"D/1", "E/1", "D/2"} {
		jobs = append(jobs, ftpclient.Job{Server: "srv", Remote: name, Local: filepath.Join(local, name)})
	}
	_, err = client.Batch(ctx, slices.Values(jobs), opts)
	require.NoError(t, err)
}

func TestATreesWalkThatCloseEndsWasNotCancelled(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	put(t, srv, "there/f", []byte("f"))
	errs := client.WalkWhileClosing(t.Context(), "srv", "there")
	require.NotEmpty(t, errs)
	for _, err := range errs {
		require.ErrorIs(t, err, fs.ErrClosed)
		require.NotErrorIs(t, err, context.Canceled, "nobody cancelled anything")
	}
}

func TestAResultComesWithEveryErrorOfABatch(t *testing.T) {
	_, client := serve(t, ftptest.Options{})
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, writeAll(file, "no folder"))
	result, err := client.DownloadFiles(t.Context(), "srv", []string{"a"}, file, nil)
	require.Error(t, err)
	require.NotNil(t, result)
}

func TestAnEmptyFolderIsStoredToo(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	_, err := client.UploadDir(t.Context(), "srv", t.TempDir(), "new/there", nil)
	require.NoError(t, err)
	assert.DirExists(t, filepath.Join(srv.Dir(), "new/there"))
}

func TestASpellingThatTheServerTakesForTheSameIsNotOverwritten(t *testing.T) {
	srv, client := serve(t, ftptest.Options{Command: func(cmd, arg string) (string, bool) {
		if cmd == "MLST" && strings.HasSuffix(arg, "/readme") {
			return "250-\r\n type=file;size=3;modify=20260304050607; " + arg + "\r\n250 end", true
		}
		return "", false
	}})
	put(t, srv, "there/README", []byte("old"))
	local := t.TempDir()
	require.NoError(t, writeAll(filepath.Join(local, "readme"), "new"))
	result, err := client.UploadDir(t.Context(), "srv", local, "there", existing(ftpclient.SkipExisting))
	require.NoError(t, err)
	assert.Equal(t, 1, result.Skipped)
	assert.Equal(t, map[string]string{"README": "old"}, grown(t, filepath.Join(srv.Dir(), "there")))
}

func TestAJobIsNotDecidedByAListingThatIsOlder(t *testing.T) {
	ftpclient.HoldListings(t, 0)
	for _, c := range []struct {
		direction
		change func(srv *ftptest.Server, source, target string) // of b, once a is done and before b is a job
	}{
		{directions[0], func(_ *ftptest.Server, source, _ string) {
			require.NoError(t, os.WriteFile(source, []byte("a new and longer content"), 0o600))
		}},
		{directions[1], func(_ *ftptest.Server, _, target string) { require.NoError(t, os.Remove(target)) }},
	} {
		srv, client := serve(t, ftptest.Options{})
		local := filepath.Join(t.TempDir(), "here")
		source, target := c.sides(srv, local, "there")
		require.NoError(t, writeAll(filepath.Join(source, "a"), "a"))
		require.NoError(t, writeAll(filepath.Join(source, "b"), "b"))
		opts := existing(ftpclient.SkipSame)
		_, err := c.move(t.Context(), client, local, "there", opts)
		require.NoError(t, err)

		done := make(chan struct{})
		opts.OnFile = func(e ftpclient.FileEvent) {
			if e.Done && e.Job.Remote == "there/a" {
				close(done)
			}
		}
		job := func(name string) ftpclient.Job {
			return ftpclient.Job{Direction: mirrorOf(c.direction).Direction, Server: "srv", Remote: "there/" + name, Local: filepath.Join(local, name)}
		}
		result, err := client.Batch(t.Context(), func(yield func(ftpclient.Job) bool) {
			if !yield(job("a")) {
				return
			}
			<-done
			c.change(srv, filepath.Join(source, "b"), filepath.Join(target, "b"))
			yield(job("b"))
		}, opts)
		require.NoError(t, err, c.name)
		assert.Equal(t, [2]int{1, 1}, [2]int{result.Skipped, result.Succeeded}, c.name)
		assert.Equal(t, grown(t, source), grown(t, target), c.name)
	}
}

func TestAStreamOfJobsInOneDirectoryNeedsOneListing(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	local := t.TempDir()
	sow(t, filepath.Join(srv.Dir(), "there"), 10)
	sow(t, local, 10)
	jobs := func(yield func(ftpclient.Job) bool) {
		for i := range 10 {
			name := fmt.Sprintf("d00/f%02d", i)
			if !yield(ftpclient.Job{Direction: ftpclient.Up, Server: "srv", Remote: "there/" + name, Local: filepath.Join(local, name)}) {
				return
			}
		}
	}
	result, err := client.Batch(t.Context(), jobs, existing(ftpclient.SkipExisting))
	require.NoError(t, err)
	assert.Equal(t, 10, result.Skipped)
	assert.Equal(t, 1, srv.Stats().Commands["MLSD"])
	assert.Zero(t, srv.Stats().Commands["MLST"])
}

func TestWhatAppearedAfterTheListingIsKeptWithSkipExisting(t *testing.T) {
	for _, tree := range []bool{false, true} {
		srv, client := serve(t, ftptest.Options{})
		put(t, srv, "there/unrelated", []byte("x"))
		local := t.TempDir()
		var jobs []ftpclient.Job
		for _, name := range []string{"a", "b"} {
			jobs = append(jobs, ftpclient.Job{Direction: ftpclient.Up, Server: "srv", Remote: "there/" + name, Local: filepath.Join(local, name)})
			require.NoError(t, writeAll(jobs[len(jobs)-1].Local, "ours"))
		}
		opts := existing(ftpclient.SkipExisting)
		opts.Workers = 1
		opts.OnFile = func(e ftpclient.FileEvent) {
			if e.Done && e.Index == 1 {
				put(t, srv, "there/b", []byte("theirs"))
			}
		}
		var result *ftpclient.BatchResult
		var err error
		if tree {
			result, err = client.UploadDir(t.Context(), "srv", local, "there", opts)
		} else {
			result, err = client.Batch(t.Context(), slices.Values(jobs), opts)
		}
		require.NoError(t, err)
		assert.Equal(t, [2]int{1, 1}, [2]int{result.Skipped, result.Succeeded})
		assert.Equal(t, map[string]string{"unrelated": "x", "a": "ours", "b": "theirs"}, grown(t, filepath.Join(srv.Dir(), "there")))
	}
}

func TestNamesCollideThoughATreeIsWalkedBetweenThem(t *testing.T) {
	// Where letter case is ignored the last of them is the first; the walk itself yields no name twice.
	for _, walked := range [][]string{
		{"a", "a/x", "a/x/y", "a"}, {"d", "d/a", "d/a/x", "d/b", "d/b/x", "d/a"}, {"d", "d/e", "d/e/f", "g", "g/h", "d"},
	} {
		errs := ftpclient.Admit(walked...)
		require.ErrorIs(t, errs[len(errs)-1], ftpclient.ErrNameCollision, "%q", walked)
		for _, err := range errs[:len(errs)-1] {
			require.NoError(t, err)
		}
	}
	for _, err := range ftpclient.Admit("a", "a/x", "b", "b/x", "b/x/x", "c", "c/b", "c/b/x") {
		require.NoError(t, err)
	}
}

func TestConnectionsThatWereLostBeforeTheCallAreNotItsReconnects(t *testing.T) {
	var all sync.WaitGroup // at the server with a NOOP, each over its own connection
	all.Add(3)
	srv, client := serve(t, ftptest.Options{
		OnCommand: func(cmd, _ string) {
			if cmd == "NOOP" {
				all.Done()
				all.Wait()
			}
		},
		Faults: []ftptest.Fault{{Cmd: "NOOP", Do: ftptest.CutControl}},
	}, func(sc *ftpclient.ServerConfig) { sc.KeepAlive = -1 })
	put(t, srv, "f", []byte("f"))
	var pings sync.WaitGroup
	for range 3 {
		pings.Go(func() { assert.False(t, client.IsConnected(t.Context(), "srv")) })
	}
	pings.Wait()
	_, err := client.DownloadFiles(t.Context(), "srv", []string{"f"}, t.TempDir(), &ftpclient.BatchOptions{MaxReconnects: -1})
	require.NoError(t, err)

	srv.SetFaults(ftptest.Fault{Cmd: "RETR", Do: ftptest.DropFinalReply, Times: 1})
	_, err = client.DownloadFiles(t.Context(), "srv", []string{"f"}, t.TempDir(), &ftpclient.BatchOptions{Workers: 1, MaxReconnects: -1})
	require.Error(t, err)
}

func TestShutdownLetsACopyAndAPlanOfDigestsFinish(t *testing.T) {
	var client *ftpclient.Client
	down := make(chan error, 1)
	var once sync.Once
	shutdown := func(cmd, _ string) {
		if cmd != "SIZE" {
			return
		}
		once.Do(func() {
			go func() { down <- client.Shutdown(context.Background()) }()
			for !errors.Is(client.Ping(t.Context(), "srv"), fs.ErrClosed) {
				runtime.Gosched()
			}
		})
	}
	local := t.TempDir()
	for i, work := range []func() error{
		func() error {
			_, err := client.Copy(t.Context(), "srv", "there/f0", "srv", "copy", nil)
			return err
		},
		func() error {
			plan, err := client.PlanMirror(t.Context(), "srv", "there", local, &ftpclient.MirrorOptions{Compare: ftpclient.CompareHash})
			if err == nil {
				assert.Equal(t, 9, plan.Unchanged)
			}
			return err
		},
	} {
		var srv *ftptest.Server
		srv, client = serve(t, ftptest.Options{Hash: true, OnCommand: shutdown})
		for i := range 9 {
			name := fmt.Sprintf("f%d", i)
			put(t, srv, "there/"+name, []byte("same"))
			require.NoError(t, writeAll(filepath.Join(local, name), "same"))
		}
		once = sync.Once{}
		require.NoError(t, work(), i)
		require.NoError(t, <-down)
	}
}

func TestTheWorkersConnectionsAreOpenedWhileATreeIsListed(t *testing.T) {
	var logins atomic.Int32
	srv, client := serve(t, ftptest.Options{NoMLSD: true, Stat: ftptest.StatVSFTPD, OnCommand: func(cmd, _ string) {
		switch cmd {
		case "PASS":
			logins.Add(1)
		case "LIST": // its answer takes until all are there
			for n := time.Now(); logins.Load() < 3 && time.Since(n) < 5*time.Second; {
				runtime.Gosched()
			}
		}
	}})
	small(t, filepath.Join(srv.Dir(), "tree"), 5)
	begun := time.Now()
	_, err := client.DownloadDir(t.Context(), "srv", "tree", t.TempDir(), &ftpclient.BatchOptions{Workers: 3})
	require.NoError(t, err)
	assert.GreaterOrEqual(t, logins.Load(), int32(3))
	assert.Less(t, time.Since(begun), 5*time.Second)
}

func TestATreeOfOneFileNeedsOneConnection(t *testing.T) {
	for name, files := range map[string]int{"missing": -1, "empty": 0, "one": 1} {
		var logins atomic.Int32
		srv, client := serve(t, ftptest.Options{NoMLSD: true, Stat: ftptest.StatVSFTPD, Command: func(cmd, _ string) (string, bool) {
			return "530 One is enough", cmd == "PASS" && logins.Add(1) > 1
		}})
		if files >= 0 {
			small(t, filepath.Join(srv.Dir(), "tree/sub"), files)
			for i := range 5 { // there is nothing to move
				require.NoError(t, os.Mkdir(filepath.Join(srv.Dir(), fmt.Sprintf("tree/dir%d", i)), 0o755))
			}
		}
		result, err := client.DownloadDir(t.Context(), "srv", "tree", t.TempDir(), &ftpclient.BatchOptions{Workers: 4})
		assert.Equal(t, files < 0, err != nil, "%s: %v", name, err)
		assert.Equal(t, max(files, 0), result.Succeeded, name)
		assert.EqualValues(t, 1, logins.Load(), name)
	}
}

func TestATreeThatIsTheSameNeedsOneConnection(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	small(t, filepath.Join(srv.Dir(), "tree"), 5)
	local, opts := t.TempDir(), existing(ftpclient.SkipSame)
	_, err := client.DownloadDir(t.Context(), "srv", "tree", local, opts)
	require.NoError(t, err)

	srv.ResetStats()
	client = connect(t, srv, ftptest.Plain)
	result, err := client.DownloadDir(t.Context(), "srv", "tree", local, opts)
	require.NoError(t, err)
	assert.Equal(t, 5, result.Skipped)
	assert.Equal(t, 1, srv.Stats().Commands["PASS"])
}

func TestAnUnknownServerLeavesNoFolder(t *testing.T) {
	_, client := serve(t, ftptest.Options{})
	local := filepath.Join(t.TempDir(), "new")
	_, err := client.DownloadFiles(t.Context(), "who", []string{"f"}, local, nil)
	require.ErrorIs(t, err, ftpclient.ErrUnknownServer)
	_, err = client.DownloadDir(t.Context(), "who", "d", local, nil)
	require.ErrorIs(t, err, ftpclient.ErrUnknownServer)
	_, err = client.Apply(t.Context(), &ftpclient.Plan{Server: "who", Direction: ftpclient.Down, LocalDir: local}, nil)
	require.ErrorIs(t, err, ftpclient.ErrUnknownServer)
	assert.NoDirExists(t, local)
}

func TestAPanicOfTheJobsIsTheCallersAndLeavesTheClientWhole(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	put(t, srv, "f", []byte("content"))
	local := filepath.Join(t.TempDir(), "f")
	assert.PanicsWithValue(t, "no more", func() {
		_, _ = client.Batch(t.Context(), func(yield func(ftpclient.Job) bool) {
			yield(ftpclient.Job{Direction: ftpclient.Down, Server: "srv", Remote: "f", Local: local})
			panic("no more")
		}, nil)
	})
	onlyFile(t, local, []byte("content"))
	stats, err := client.Stats("srv")
	require.NoError(t, err)
	assert.Zero(t, stats.Workers)
	assert.Zero(t, stats.InUse)
	require.NoError(t, client.Shutdown(t.Context()))
}

func TestAServerWhoseDiskIsFullEndsAnUploadOfMany(t *testing.T) {
	dir := t.TempDir()
	var locals []string
	for i := range 20 {
		locals = append(locals, filepath.Join(dir, strconv.Itoa(i)))
		require.NoError(t, os.WriteFile(locals[i], []byte("content"), 0o600))
	}
	srv, client := serve(t, ftptest.Options{Faults: []ftptest.Fault{always("STOR", ftptest.FinalReply, "451 Failure writing to local file.")}})
	result, err := client.UploadFiles(t.Context(), "srv", locals, "d", &ftpclient.BatchOptions{Workers: 1})
	require.ErrorContains(t, err, "451")
	assert.False(t, ftpclient.Retryable(err))
	assert.Equal(t, 1, result.Failed)
	assert.LessOrEqual(t, srv.Stats().Commands["STOR"], 2, "none is sent a second time")
}

func TestAServerWhoseDiskIsFullEndsNoStreamWithOtherJobs(t *testing.T) {
	a, b, client := two(t, ftptest.Options{Faults: []ftptest.Fault{always("STOR", ftptest.FinalReply, "452 No space")}}, ftptest.Options{})
	dir := t.TempDir()
	put(t, a, "f", []byte("content"))
	var jobs []ftpclient.Job
	for i, job := range []ftpclient.Job{
		{Direction: ftpclient.Up, Server: "a"},
		{Direction: ftpclient.Up, Server: "a"},
		{Direction: ftpclient.Down, Server: "a", Remote: "f"},
		{Direction: ftpclient.Up, Server: "b"},
	} {
		job.Local = filepath.Join(dir, strconv.Itoa(i))
		if job.Direction == ftpclient.Up {
			job.Remote = strconv.Itoa(i)
			require.NoError(t, os.WriteFile(job.Local, []byte("content"), 0o600))
		}
		jobs = append(jobs, job)
	}
	result, err := client.Batch(t.Context(), slices.Values(jobs), &ftpclient.BatchOptions{Workers: 1})
	require.ErrorContains(t, err, "452")
	assert.Equal(t, [3]int{4, 2, 2}, [3]int{result.Total, result.Succeeded, result.Failed})
	assert.Equal(t, 2, a.Stats().Commands["STOR"], "none is sent a second time")
	assert.Equal(t, 1, b.Stats().Commands["STOR"])
}
