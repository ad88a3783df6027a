package ftpclient_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

// walked are the paths of a walk, those of errors with "!" behind.
func walked(t *testing.T, client *ftpclient.Client, root string, opts *ftpclient.WalkOptions) []string {
	t.Helper()
	var all []string
	for e, err := range client.Walk(t.Context(), "srv", root, opts) {
		if err != nil {
			e.Path += "!"
		}
		all = append(all, e.Path)
	}
	return all
}

func plant(t *testing.T, srv *ftptest.Server) {
	t.Helper()
	for _, name := range []string{"r/a/1.txt", "r/a/x/2.csv", "r/a-b/3.txt", "r/b.txt", "r/c/y/z/4.csv", "r/c/y/5.txt"} {
		put(t, srv, name, []byte(name))
	}
	require.NoError(t, os.MkdirAll(filepath.Join(srv.Dir(), "r/empty"), 0o755))
}

func TestListIsSortedAndTellsAllThatTheServerTells(t *testing.T) {
	for dialect, o := range dialects {
		srv, client := serve(t, o)
		plant(t, srv)
		entries, err := client.List(t.Context(), "srv", "r")
		require.NoError(t, err)
		assert.Equal(t, []string{"a", "a-b", "b.txt", "c", "empty"}, entryNames(entries))
		f := entries[2]
		assert.Equal(t, "r/b.txt", f.Path)
		assert.Equal(t, int64(len("r/b.txt")), f.Size)
		want, precise := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC), time.Second
		if dialect == "LIST" {
			want = f.ModTime // minutes or days, by the clock of the day of the test
			precise = 24 * time.Hour
			if f.ModTime.Truncate(precise) != f.ModTime {
				precise = time.Minute
			}
		}
		assert.Equal(t, want, f.ModTime)
		assert.Equal(t, precise, f.TimePrecision)
		told, err := client.Stat(t.Context(), "srv", "r/b.txt")
		require.NoError(t, err)
		assert.Equal(t, time.Second, told.TimePrecision)
		told, err = client.Stat(t.Context(), "srv", "r")
		require.NoError(t, err)
		assert.Equal(t, told.ModTime.IsZero(), told.TimePrecision == 0)
		assert.True(t, entries[0].IsDir())
		assert.Equal(t, "r/a", entries[0].Path)
		for dir, path := range map[string]string{"/r": "/r/a", "r/": "r/a", "./r": "r/a", "r//": "r/a"} {
			entries, err = client.List(t.Context(), "srv", dir)
			require.NoError(t, err)
			assert.Equal(t, path, entries[0].Path)
		}
		entries, err = client.List(t.Context(), "srv", "r/empty")
		require.NoError(t, err)
		assert.Empty(t, entries)
		_, err = client.List(t.Context(), "srv", "absent")
		require.ErrorIs(t, err, fs.ErrNotExist, dialect)
		_, err = client.List(t.Context(), "srv", "r/b.txt")
		require.ErrorContains(t, err, "not a directory", dialect)
		require.NotErrorIs(t, err, fs.ErrNotExist)
	}
}

func TestWalkGoesThroughTheTreeInOrder(t *testing.T) {
	want := []string{"r/a", "r/a/1.txt", "r/a/x", "r/a/x/2.csv", "r/a-b", "r/a-b/3.txt", "r/b.txt", "r/c", "r/c/y", "r/c/y/5.txt", "r/c/y/z", "r/c/y/z/4.csv", "r/empty"}
	for _, o := range dialects {
		srv, client := serve(t, o)
		plant(t, srv)
		for _, workers := range []int{0, 1, 8} {
			assert.Equal(t, want, walked(t, client, "r", &ftpclient.WalkOptions{Workers: workers}))
		}
		assert.Equal(t, append([]string{"r"}, want...), walked(t, client, "", nil))
		abs := walked(t, client, "/", nil)
		assert.Equal(t, "/r/a/1.txt", abs[2])
		files, err := client.Files(t.Context(), "srv", "/r")
		require.NoError(t, err)
		assert.Equal(t, []string{"/r/a-b/3.txt", "/r/a/1.txt", "/r/a/x/2.csv", "/r/b.txt", "/r/c/y/5.txt", "/r/c/y/z/4.csv"}, files)
	}
}

func TestPatternsChooseAndAnExcludedDirectoryIsNotListed(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	plant(t, srv)
	for _, c := range []struct {
		opts   ftpclient.WalkOptions
		want   []string
		listed int
	}{
		{ftpclient.WalkOptions{Include: []string{"**/*.csv"}}, []string{"r/a", "r/a/x", "r/a/x/2.csv", "r/a-b", "r/c", "r/c/y", "r/c/y/z", "r/c/y/z/4.csv", "r/empty"}, 8},
		{ftpclient.WalkOptions{Exclude: []string{"c", "a/*"}}, []string{"r/a", "r/a-b", "r/a-b/3.txt", "r/b.txt", "r/empty"}, 4},
		{ftpclient.WalkOptions{Exclude: []string{"c/**", "a*"}}, []string{"r/b.txt", "r/empty"}, 2},
		{ftpclient.WalkOptions{Include: []string{"*.txt"}, Exclude: []string{"{c,empty}"}}, []string{"r/a", "r/a/x", "r/a-b", "r/b.txt"}, 4},
		{ftpclient.WalkOptions{MaxDepth: 1}, []string{"r/a", "r/a-b", "r/b.txt", "r/c", "r/empty"}, 1},
	} {
		srv.ResetStats()
		assert.Equal(t, c.want, walked(t, client, "r", &c.opts))
		assert.Equal(t, c.listed, srv.Stats().Commands["MLSD"])
	}
	srv.ResetStats()
	for _, err := range client.Walk(t.Context(), "srv", "r", &ftpclient.WalkOptions{Exclude: []string{"[a"}}) {
		require.ErrorIs(t, err, doublestar.ErrBadPattern)
	}
	assert.Empty(t, srv.Stats().Commands)
}

func TestADirectoryTakesThreeRoundTripsAndItsEntriesNone(t *testing.T) {
	for _, workers := range []int{1, 4} {
		srv, client := serve(t, ftptest.Options{}, func(c *ftpclient.ServerConfig) { c.MaxConns = 4 })
		for i := range 50 {
			for j := range 20 {
				put(t, srv, fmt.Sprintf("d%d/f%d", i, j), []byte("x"))
			}
		}
		walked(t, client, "", &ftpclient.WalkOptions{Workers: workers}) // connects
		before := srv.Stats()
		assert.Equal(t, workers, before.MaxOpen, "as many at a time as asked for")
		srv.ResetStats()
		assert.Len(t, walked(t, client, "", &ftpclient.WalkOptions{Workers: workers}), 50*21)
		after := srv.Stats()
		assert.Zero(t, after.Conns)
		assert.Equal(t, map[string]int{"EPSV": 51, "MLSD": 51}, after.Commands)
		assert.Equal(t, 3*51, after.RoundTrips)
	}
}

func TestTheBodyOfAWalkHasTheConnectionsForItself(t *testing.T) {
	for _, workers := range []int{1, 4} {
		srv, client := serve(t, ftptest.Options{}, oneConnection)
		plant(t, srv)
		n := 0
		for e, err := range client.Walk(t.Context(), "srv", "r", &ftpclient.WalkOptions{Workers: workers}) {
			require.NoError(t, err)
			stats, err := client.Stats("srv")
			require.NoError(t, err)
			assert.Zero(t, stats.InUse)
			if e.IsDir() {
				continue
			}
			var b bytes.Buffer
			_, err = client.DownloadTo(t.Context(), "srv", e.Path, &b, nil)
			require.NoError(t, err)
			assert.Equal(t, e.Path, b.String())
			n++
		}
		assert.Equal(t, 6, n)
		assert.Equal(t, 1, srv.Stats().Conns)
	}
}

func TestBreakAndCancelEndAWalkAtOnce(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var stalls atomic.Bool
	srv, client := serve(t, ftptest.Options{OnCommand: func(cmd, arg string) {
		if stalls.Load() && cmd == "MLSD" && arg == "r/c" {
			cancel()
		}
	}})
	plant(t, srv)
	for _, err := range client.Walk(t.Context(), "srv", "", nil) {
		require.NoError(t, err)
		break
	}
	stats, err := client.Stats("srv")
	require.NoError(t, err)
	assert.Zero(t, stats.InUse)

	// a listing that stalls
	srv.SetFaults(ftptest.Fault{Cmd: "MLSD", Path: "r/c", Do: ftptest.StallData})
	stalls.Store(true)
	begin := time.Now()
	var last error
	for _, err := range client.Walk(ctx, "srv", "r", nil) {
		last = err
	}
	require.ErrorIs(t, last, context.Canceled)
	assert.Less(t, time.Since(begin), time.Second)
	stalls.Store(false)

	srv.SetFaults()
	for _, err := range client.Walk(t.Context(), "srv", "r", nil) {
		if last = err; err != nil {
			break
		}
		go func() { _ = client.Close() }()
	}
	if last != nil {
		require.ErrorIs(t, last, fs.ErrClosed)
	}
}

func TestAWalkSurvivesDroppedConnections(t *testing.T) {
	for _, action := range []ftptest.Action{ftptest.CutData, ftptest.ResetData, ftptest.CutBoth, ftptest.DropFinalReply} {
		srv, client := serve(t, ftptest.Options{Faults: []ftptest.Fault{{Cmd: "MLSD", Skip: 1, Times: 4, After: 10, Do: action}}})
		plant(t, srv)
		assert.Len(t, walked(t, client, "r", nil), 13)
		for _, e := range walked(t, client, "r", nil) {
			assert.NotContains(t, e, "!")
		}
		assert.Equal(t, 4, srv.Stats().Faults)
	}
}

func TestAnUnreadableDirectoryIsVisitedWithItsErrorAndTheWalkGoesOn(t *testing.T) {
	srv, client := serve(t, ftptest.Options{Faults: []ftptest.Fault{{Cmd: "MLSD", Path: "r/a", Do: ftptest.Refuse, Reply: "550 Permission denied"}}})
	plant(t, srv)
	want := []string{"r/a!", "r/a-b!", "r/b.txt", "r/c", "r/c/y", "r/c/y/5.txt", "r/c/y/z", "r/c/y/z/4.csv", "r/empty"}
	assert.Equal(t, want, walked(t, client, "r", nil))
	for e, err := range client.Walk(t.Context(), "srv", "r", nil) {
		if err == nil {
			continue
		}
		require.ErrorIs(t, err, fs.ErrPermission)
		var full *ftpclient.Error
		require.ErrorAs(t, err, &full)
		assert.Equal(t, e.Path, full.Path)
		assert.Equal(t, 550, full.Code)
		assert.True(t, e.IsDir())
	}
	files, err := client.Files(t.Context(), "srv", "r")
	require.ErrorIs(t, err, fs.ErrPermission)
	assert.Equal(t, []string{"r/b.txt", "r/c/y/5.txt", "r/c/y/z/4.csv"}, files)
}

func TestRowsThatCannotBeReadAreVisitedAsErrorsOfTheirDirectory(t *testing.T) {
	srv, client := serve(t, ftptest.Options{NoMLSD: true, ListOnDataLines: func(_, arg string) []byte {
		if strings.HasSuffix(arg, "d") {
			return []byte("-rw-r--r-- 1 u g 3 Jan  2 2024 good\r\nwhat is this?\r\n-rw-r--r-- 1 u g 3 Jan  2 2024 more\r\n")
		}
		return []byte("drwxr-xr-x 1 u g 3 Jan  2 2024 d\r\n-rw-r--r-- 1 u g 3 Jan  2 2024 z\r\n")
	}})
	require.NoError(t, os.Mkdir(filepath.Join(srv.Dir(), "d"), 0o755))
	assert.Equal(t, []string{"d", "d!", "d/good", "d/more", "z"}, walked(t, client, "", nil))
	entries, err := client.List(t.Context(), "srv", "d")
	require.ErrorContains(t, err, "what is this?")
	assert.Equal(t, []string{"good", "more"}, entryNames(entries))
	assert.Equal(t, 1, strings.Count(err.Error(), "\n")+1)
}

func TestARootThatIsNoDirectoryIsTheWalksOnlyError(t *testing.T) {
	for _, o := range dialects {
		srv, client := serve(t, o)
		plant(t, srv)
		assert.Equal(t, []string{"absent!"}, walked(t, client, "absent", nil))
		assert.Equal(t, []string{"r/b.txt!"}, walked(t, client, "r/b.txt", nil))
		for _, err := range client.Walk(t.Context(), "srv", "absent", nil) {
			require.ErrorIs(t, err, fs.ErrNotExist)
		}
		for _, err := range client.Walk(t.Context(), "other", "", nil) {
			require.ErrorIs(t, err, ftpclient.ErrUnknownServer)
		}
	}
}

func TestLinksAreVisitedAndNotFollowed(t *testing.T) {
	srv, client := serve(t, ftptest.Options{NoMLSD: true}) // ftpserverlib tells links by LIST only
	plant(t, srv)
	require.NoError(t, os.Symlink(".", filepath.Join(srv.Dir(), "r/loop")))
	require.NoError(t, os.Symlink("b.txt", filepath.Join(srv.Dir(), "r/link")))
	all := walked(t, client, "r", nil)
	assert.Len(t, all, 15)
	assert.Contains(t, all, "r/loop")
	files, err := client.Files(t.Context(), "srv", "r")
	require.NoError(t, err)
	assert.Contains(t, files, "r/link")
	entries, err := client.List(t.Context(), "srv", "r")
	require.NoError(t, err)
	assert.Equal(t, fs.ModeSymlink, entries[slices.Index(entryNames(entries), "loop")].Mode.Type())
}

func TestAnEndlessTreeIsLeftAtMaxDepth(t *testing.T) {
	srv, client := serve(t, ftptest.Options{ListOnDataLines: func(string, string) []byte { return []byte("type=dir; d\r\n") }})
	assert.Equal(t, []string{"d", "d/d", "d/d/d"}, walked(t, client, "", &ftpclient.WalkOptions{MaxDepth: 3}))
	all := walked(t, client, "", nil)
	require.Len(t, all, 100)
	assert.Equal(t, strings.Repeat("d/", 99)+"d!", all[99], "nobody asked for this end, so it is an error")
	assert.Equal(t, 103, srv.Stats().Commands["MLSD"])
}
