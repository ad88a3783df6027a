package ftpclient_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

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
	assert.FileExists(t, filepath.Join(srv.Dir(), "r/a/1"), "it was to go with others")
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

func TestRemoveAllTakesNoLongerForManyNamesThanForOne(t *testing.T) {
	least := 0
	for _, dirs := range []int{1, 30} {
		srv, client := serve(t, ftptest.Options{}, func(c *ftpclient.ServerConfig) { c.MaxConns = 1 })
		for i := range dirs {
			put(t, srv, fmt.Sprintf("r/a/%d", i), nil)
			require.NoError(t, os.MkdirAll(filepath.Join(srv.Dir(), fmt.Sprintf("r/b/%d", i)), 0o755))
		}
		_, err := client.Stat(t.Context(), "srv", "r")
		require.NoError(t, err)
		srv.ResetStats()
		require.NoError(t, client.RemoveAll(t.Context(), "srv", "r"))
		assert.Empty(t, names(t, srv.Dir()))
		stats := srv.Stats()
		assert.Equal(t, dirs, stats.Commands["DELE"]-1, "and r itself, which may be a file")
		assert.Equal(t, dirs+3, stats.Commands["RMD"])
		rest := stats.RoundTrips - 3*stats.Commands["MLSD"]
		if dirs == 1 {
			least = rest
		}
		assert.Equal(t, least, rest)
	}
}

// What comes further may go on for as long as it does.
func TestRemoveAllGoesOnAfterConnectionsThatWereLostAmongItsNames(t *testing.T) {
	for _, action := range []ftptest.Action{ftptest.CutControl, ftptest.DropFinalReply} {
		var faults []ftptest.Fault
		for i := range 20 {
			faults = append(faults, ftptest.Fault{Cmd: "DELE", Path: "r/", Skip: 4 * i, Times: 1, Do: action})
		}
		srv := ftptest.Start(t, ftptest.Options{Faults: faults})
		server := ftpclient.ServerConfig{Host: srv.Host(), Port: srv.Port(), Username: srv.User(), Password: ftpclient.Secret(srv.Password()), MaxConns: 1}
		client, err := ftpclient.New(ftpclient.Config{
			Servers: map[string]ftpclient.ServerConfig{"srv": server}, Retry: ftpclient.RetryPolicy{MaxRetries: 1, Delay: time.Millisecond},
		})
		require.NoError(t, err)
		for i := range 60 {
			put(t, srv, fmt.Sprintf("r/%02d", i), nil)
		}
		require.NoError(t, client.RemoveAll(t.Context(), "srv", "r"))
		assert.Empty(t, names(t, srv.Dir()))
		assert.Greater(t, srv.Stats().Faults, 10)

		put(t, srv, "r/a", nil)
		put(t, srv, "r/b", nil)
		srv.SetFaults(ftptest.Fault{Cmd: "DELE", Path: "r/", Do: action})
		require.ErrorContains(t, client.RemoveAll(t.Context(), "srv", "r"), "r/a: EOF (and 1 more)")
		require.NoError(t, client.Close())
		assert.DirExists(t, filepath.Join(srv.Dir(), "r"))
	}
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

func TestSetModTimeSaysWhenTheServerWillNot(t *testing.T) {
	srv, client := serve(t, ftptest.Options{HideFeatures: []string{"MFMT"}, Faults: []ftptest.Fault{
		{Cmd: "MDTM", Path: "20", Do: ftptest.Refuse, Reply: "550 Could not set file modification time."},
	}})
	put(t, srv, "f", nil)
	err := client.SetModTime(t.Context(), "srv", "f", time.Now())
	require.ErrorContains(t, err, "MDTM: 550")
	require.NotErrorIs(t, err, errors.ErrUnsupported)
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
