package ftpclient_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
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
		want := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
		if dialect == "LIST" {
			want = f.ModTime // minutes or days, by the clock of the day of the test
		}
		assert.Equal(t, want, f.ModTime)
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

func TestRemoveAllRemovesTreesFilesAndNothingTwice(t *testing.T) {
	for _, o := range dialects {
		srv, client := serve(t, o)
		plant(t, srv)
		put(t, srv, "keep", []byte("x"))
		for i := range 100 {
			put(t, srv, fmt.Sprintf("r/many/f%02d", i), nil)
		}
		require.NoError(t, client.RemoveAll(t.Context(), "srv", "r"))
		assert.Equal(t, []string{"keep"}, names(t, srv.Dir()))
		assert.Greater(t, srv.Stats().MaxOpen, 1, "in parallel")
		require.NoError(t, client.RemoveAll(t.Context(), "srv", "r"), "what is absent is removed")
		require.NoError(t, client.RemoveAll(t.Context(), "srv", "no/such/dir"))
		require.NoError(t, client.RemoveAll(t.Context(), "srv", "keep"))
		assert.Empty(t, names(t, srv.Dir()))
		for _, name := range []string{"", ".", "/", "a/..", "..", "a/../.."} {
			require.ErrorIs(t, client.RemoveAll(t.Context(), "srv", name), fs.ErrInvalid, name)
			require.ErrorIs(t, client.Remove(t.Context(), "srv", name), fs.ErrInvalid, name)
			require.ErrorIs(t, client.Rename(t.Context(), "srv", name, "x"), fs.ErrInvalid, name)
		}
	}
}

func TestRemoveAllNeverFollowsALink(t *testing.T) {
	for _, top := range []string{"dir", "dir/link"} {
		srv, client := serve(t, ftptest.Options{NoMLSD: true, Command: func(cmd, arg string) (string, bool) {
			if cmd == "DELE" && arg == "dir/link" {
				return "550 Operation not permitted for links", true
			}
			return "", false
		}})
		put(t, srv, "target/precious", []byte("x"))
		require.NoError(t, os.MkdirAll(filepath.Join(srv.Dir(), "dir"), 0o755))
		require.NoError(t, os.Symlink("../target", filepath.Join(srv.Dir(), "dir/link")))
		require.Error(t, client.RemoveAll(t.Context(), "srv", top))
		assert.Equal(t, "x", string(stored(t, srv, "target/precious")))
	}
}

func TestRemoveAllStopsAtTheFirstDirectoryThatItCannotReadWhole(t *testing.T) {
	srv, client := serve(t, ftptest.Options{Faults: []ftptest.Fault{{Cmd: "MLSD", Path: "r/b", Do: ftptest.Refuse, Reply: "550 Permission denied"}}})
	for _, name := range []string{"r/a/1", "r/b/2", "r/c/3", "r/d"} {
		put(t, srv, name, []byte("x"))
	}
	require.ErrorIs(t, client.RemoveAll(t.Context(), "srv", "r"), fs.ErrPermission)
	assert.FileExists(t, filepath.Join(srv.Dir(), "r/b/2"))
	assert.FileExists(t, filepath.Join(srv.Dir(), "r/c/3"))
	assert.FileExists(t, filepath.Join(srv.Dir(), "r/d"))
	srv.SetFaults()
	require.NoError(t, client.RemoveAll(t.Context(), "srv", "r"))
	assert.Empty(t, names(t, srv.Dir()))
}

func TestRemoveAllRemovesTheOthersWhenAFileCannotBe(t *testing.T) {
	srv, client := serve(t, ftptest.Options{Faults: []ftptest.Fault{{Cmd: "DELE", Path: "a/x/2.csv", Do: ftptest.Refuse, Reply: "550 Permission denied"}}})
	plant(t, srv)
	err := client.RemoveAll(t.Context(), "srv", "r")
	require.ErrorIs(t, err, fs.ErrPermission)
	require.ErrorContains(t, err, "r/a/x/2.csv")
	files, err := client.Files(t.Context(), "srv", "")
	require.NoError(t, err)
	assert.Equal(t, []string{"r/a/x/2.csv"}, files)
	assert.Equal(t, []string{"a"}, names(t, filepath.Join(srv.Dir(), "r")))
	assert.Equal(t, 5, srv.Stats().Commands["RMD"], "no directory is tried that something was left in")
}

func TestWhatLostItsReplyIsLookedAtAndNotRepeatedBlindly(t *testing.T) {
	for _, o := range dialects {
		for _, action := range []ftptest.Action{ftptest.DropFinalReply, ftptest.CutControl} {
			o.Faults = []ftptest.Fault{{Cmd: "MKD", Times: 1, Do: action}, {Cmd: "DELE", Times: 2, Do: action}, {Cmd: "RMD", Times: 2, Do: action}, {Cmd: "RNTO", Times: 1, Do: action}, {Cmd: "MFMT", Times: 1, Do: action}}
			srv, client := serve(t, o)
			ctx := t.Context()
			require.NoError(t, client.MkdirAll(ctx, "srv", "d/e"))
			assert.DirExists(t, filepath.Join(srv.Dir(), "d/e"))
			put(t, srv, "d/e/f", []byte("x"))
			require.NoError(t, client.SetModTime(ctx, "srv", "d/e/f", time.Unix(1_000_000_000, 0)))
			require.NoError(t, client.Rename(ctx, "srv", "d/e/f", "d/g"))
			assert.FileExists(t, filepath.Join(srv.Dir(), "d/g"))
			require.NoError(t, client.Remove(ctx, "srv", "d/g"))
			require.NoError(t, client.Remove(ctx, "srv", "d/e"))
			put(t, srv, "d/h", []byte("x"))
			require.NoError(t, client.RemoveAll(ctx, "srv", "d"))
			assert.Empty(t, names(t, srv.Dir()))
			assert.Equal(t, 7, srv.Stats().Faults)
		}
	}
}

func TestMkdirAllMakesWhatIsMissingAndIsNotMisledByOthers(t *testing.T) {
	for _, o := range dialects {
		srv, client := serve(t, o)
		ctx := t.Context()
		require.NoError(t, client.MkdirAll(ctx, "srv", "a/b/c/d"))
		require.NoError(t, client.MkdirAll(ctx, "srv", "a/b/c/d"))
		require.NoError(t, client.MkdirAll(ctx, "srv", "/a/b/c/e/"))
		for _, root := range []string{"", ".", "/"} {
			require.NoError(t, client.MkdirAll(ctx, "srv", root))
		}
		assert.DirExists(t, filepath.Join(srv.Dir(), "a/b/c/e"))
		put(t, srv, "a/f", []byte("x"))
		require.ErrorIs(t, client.MkdirAll(ctx, "srv", "a/f"), fs.ErrExist)
		require.Error(t, client.MkdirAll(ctx, "srv", "a/f/g"))
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() { assert.NoError(t, client.MkdirAll(ctx, "srv", fmt.Sprintf("p/q/r/s/%d", i%3))) })
		}
		wg.Wait()
	}
	// the parent appears between the first MKD and the look at it
	var made atomic.Bool
	var dir string
	srv, client := serve(t, ftptest.Options{OnCommand: func(cmd, arg string) {
		if cmd == "CWD" && arg == "x/y" && made.CompareAndSwap(false, true) {
			_ = os.Mkdir(filepath.Join(dir, "x"), 0o755)
		}
	}})
	dir = srv.Dir()
	require.NoError(t, client.MkdirAll(t.Context(), "srv", "x/y"))
	assert.True(t, made.Load())
	assert.DirExists(t, filepath.Join(dir, "x/y"))
}

func TestOnlyAProvedAbsenceIsNotExist(t *testing.T) {
	refuse := func(cmd, text string) ftptest.Fault {
		return ftptest.Fault{Cmd: cmd, Path: "f", Do: ftptest.Refuse, Reply: text}
	}
	for name, c := range map[string]struct {
		o      ftptest.Options
		faults []ftptest.Fault
		want   error // nil: not fs.ErrNotExist
		found  bool
	}{
		"MLST says 550 of what is there":       {faults: []ftptest.Fault{refuse("MLST", "550 Failed")}, found: true},
		"MLST says 450":                        {faults: []ftptest.Fault{refuse("MLST", "450 No such file, try again")}, found: true},
		"MLST forbids":                         {faults: []ftptest.Fault{refuse("MLST", "550 Permission denied"), {Cmd: "MLSD", Do: ftptest.Refuse, Reply: "550 Failed"}}, want: fs.ErrPermission},
		"neither MLST nor MLSD say why":        {faults: []ftptest.Fault{refuse("MLST", "550 Failed"), {Cmd: "MLSD", Do: ftptest.Refuse, Reply: "550 Failed"}}},
		"SIZE says 550 of what is there":       {o: ftptest.Options{NoMLSD: true}, faults: []ftptest.Fault{refuse("SIZE", "550 Could not get file size")}, found: true},
		"no SIZE":                              {o: ftptest.Options{NoMLSD: true, HideFeatures: []string{"SIZE"}}, found: true},
		"SIZE and LIST fail":                   {o: ftptest.Options{NoMLSD: true}, faults: []ftptest.Fault{refuse("SIZE", "550 No such file"), {Cmd: "LIST", Do: ftptest.Refuse, Reply: "550 Failed"}}},
		"a listing with a row nobody can read": {o: ftptest.Options{NoMLSD: true, ListOnDataLines: func(string, string) []byte { return []byte("total 1\r\n???\r\n") }}, faults: []ftptest.Fault{refuse("SIZE", "550 No such file")}},
		"a listing that does not show it":      {o: ftptest.Options{NoMLSD: true, ListOnDataLines: func(string, string) []byte { return []byte("total 0\r\n") }}, faults: []ftptest.Fault{refuse("SIZE", "550 No such file")}, want: fs.ErrNotExist},
		"forbidden, and a listing without it":  {o: ftptest.Options{NoMLSD: true, ListOnDataLines: func(string, string) []byte { return []byte("total 0\r\n") }}, faults: []ftptest.Fault{refuse("SIZE", "550 Permission denied")}, want: fs.ErrPermission},
		"FEAT lies about MLST":                 {faults: []ftptest.Fault{{Cmd: "MLST", Do: ftptest.Refuse, Reply: "500 Unknown command"}, {Cmd: "MLSD", Do: ftptest.Refuse, Reply: "500 Unknown command"}}, found: true},
	} {
		t.Run(name, func(t *testing.T) {
			c.o.Faults = c.faults
			srv, client := serve(t, c.o)
			put(t, srv, "d/f", []byte("abc"))
			e, err := client.Stat(t.Context(), "srv", "d/f")
			exists, existsErr := client.Exists(t.Context(), "srv", "d/f")
			if c.found {
				require.NoError(t, err)
				assert.Equal(t, int64(3), e.Size)
				require.NoError(t, existsErr)
				assert.True(t, exists)
				return
			}
			require.Error(t, err)
			assert.False(t, exists)
			if errors.Is(c.want, fs.ErrNotExist) {
				require.ErrorIs(t, err, fs.ErrNotExist)
				require.NoError(t, existsErr)
				return
			}
			require.NotErrorIs(t, err, fs.ErrNotExist)
			require.Error(t, existsErr)
			if c.want != nil {
				require.ErrorIs(t, err, c.want)
			}
		})
	}
}

func TestANameThatServersHideIsNotAbsentForNotBeingListed(t *testing.T) {
	rows := "-rw-r--r-- 1 u g 1 Jan  2 2024 f\r\n"
	for name, c := range map[string]struct {
		rows   string
		hidden bool
		proved bool
	}{
		"hidden names are left out": {rows: rows},
		"one is listed":             {rows: rows + "-rw-r--r-- 1 u g 1 Jan  2 2024 .other\r\n", proved: true},
		"ListHidden":                {rows: rows, hidden: true, proved: true},
	} {
		_, client := serve(t, ftptest.Options{NoMLSD: true, ListOnDataLines: func(string, string) []byte { return []byte(c.rows) }},
			func(cfg *ftpclient.ServerConfig) { cfg.ListHidden = c.hidden })
		_, err := client.Stat(t.Context(), "srv", ".f")
		require.Error(t, err)
		assert.Equal(t, c.proved, errors.Is(err, fs.ErrNotExist), name)
		assert.Equal(t, c.proved, client.RemoveAll(t.Context(), "srv", ".f") == nil, name)
	}
}

func TestStatTellsDirectoriesFromFilesOnEveryServer(t *testing.T) {
	for name, o := range map[string]ftptest.Options{
		"MLSD": {}, "LIST": {NoMLSD: true}, "nothing but LIST": {NoMLSD: true, HideFeatures: []string{"SIZE", "MDTM", "MFMT", "EPSV"}},
		"SIZE of directories": {NoMLSD: true, Command: func(cmd, _ string) (string, bool) { return "213 4096", cmd == "SIZE" }},
	} {
		t.Run(name, func(t *testing.T) {
			srv, client := serve(t, o)
			plant(t, srv)
			put(t, srv, "r/dir.txt/f", []byte("x"))
			for path, want := range map[string]bool{"": true, ".": true, "/": true, "r": true, "r/": true, "/r/a": true, "r/dir.txt": true, "r/b.txt": false, "/r/c/y/5.txt": false} {
				isDir, err := client.IsDir(t.Context(), "srv", path)
				require.NoError(t, err, path)
				assert.Equal(t, want, isDir, path)
				exists, err := client.Exists(t.Context(), "srv", path)
				require.NoError(t, err)
				assert.True(t, exists, path)
			}
			if o.Command != nil {
				return
			}
			for _, absent := range []string{"absent", "r/absent", "no/such/dir", "r/b.txt/below"} {
				isDir, err := client.IsDir(t.Context(), "srv", absent)
				require.NoError(t, err, absent)
				assert.False(t, isDir)
				_, err = client.Stat(t.Context(), "srv", absent)
				require.ErrorIs(t, err, fs.ErrNotExist, absent)
				require.ErrorIs(t, client.Remove(t.Context(), "srv", absent), fs.ErrNotExist)
				require.ErrorIs(t, client.Rename(t.Context(), "srv", absent, "x"), fs.ErrNotExist)
			}
		})
	}
}

func TestAServerOfFewWordsIsEnough(t *testing.T) {
	// vsftpd in short: no MLST, an empty listing of what is absent, 550 without a reason.
	srv := ftptest.ScriptFTP(t, map[string]string{"f": "content", "LIST": "-rw-r--r--    1 1000     1000            7 Jan 02  2024 f\r\ndrwxr-xr-x    2 1000     1000         4096 Jan 02  2024 d\r\n"},
		func(cmd, arg string) (string, bool) {
			if cmd == "CWD" && arg != "/" && arg != "d" {
				return "550 Failed to change directory.", true
			}
			return "", false
		})
	client := newClient(t, map[string]ftpclient.ServerConfig{"srv": {Host: srv.Host(), Port: srv.Port(), Username: "u", Password: "p"}})
	entries, err := client.List(t.Context(), "srv", "")
	require.NoError(t, err)
	assert.Equal(t, []string{"d", "f"}, entryNames(entries))
	e, err := client.Stat(t.Context(), "srv", "f")
	require.NoError(t, err)
	assert.Equal(t, int64(7), e.Size)
	isDir, err := client.IsDir(t.Context(), "srv", "d")
	require.NoError(t, err)
	assert.True(t, isDir)
	_, err = client.Stat(t.Context(), "srv", "absent")
	require.ErrorIs(t, err, fs.ErrNotExist)
	f, err := client.Open(t.Context(), "srv", "f")
	require.NoError(t, err)
	content, err := io.ReadAll(f)
	require.NoError(t, err)
	assert.Equal(t, "content", string(content))
	require.NoError(t, f.Close())
}

func TestSetModTimeSaysWhenTheServerCannot(t *testing.T) {
	srv, client := serve(t, ftptest.Options{HideFeatures: []string{"MFMT", "MDTM"}})
	put(t, srv, "f", []byte("x"))
	require.ErrorIs(t, client.SetModTime(t.Context(), "srv", "f", time.Now()), errors.ErrUnsupported)
	srv, client = serve(t, ftptest.Options{})
	require.ErrorIs(t, client.SetModTime(t.Context(), "srv", "absent", time.Now()), fs.ErrNotExist)
	put(t, srv, "f", []byte("x"))
	require.NoError(t, client.SetModTime(t.Context(), "srv", "f", time.Unix(1_000_000_000, 5)))
	info, err := os.Stat(filepath.Join(srv.Dir(), "f"))
	require.NoError(t, err)
	assert.Equal(t, int64(1_000_000_000), info.ModTime().Unix())

	// a server that only tells times by MDTM answers the attempt with the time of an odd name
	srv, client = serve(t, ftptest.Options{HideFeatures: []string{"MFMT"}, Command: func(cmd, _ string) (string, bool) { return "213 20240102030405", cmd == "MDTM" }})
	put(t, srv, "f", []byte("x"))
	require.ErrorIs(t, client.SetModTime(t.Context(), "srv", "f", time.Now()), errors.ErrUnsupported)
}
