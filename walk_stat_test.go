package ftpclient_test

import (
	"fmt"
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

var statStyles = map[string]ftptest.StatStyle{"vsftpd": ftptest.StatVSFTPD, "ProFTPD": ftptest.StatProFTPD, "Pure-FTPd": ftptest.StatPureFTPD}

// coarse is a walk of one connection that may use STAT.
var coarse = &ftpclient.WalkOptions{Workers: 1, CoarseTimes: true}

func grove(t *testing.T, srv *ftptest.Server, dirs int) {
	t.Helper()
	for i := range dirs {
		put(t, srv, fmt.Sprintf("r/top%d/d%03d/f", i%4, i), []byte("x"))
		put(t, srv, fmt.Sprintf("r/top%d/g", i%4), []byte("xy"))
	}
	require.NoError(t, os.MkdirAll(filepath.Join(srv.Dir(), "r/top0/empty"), 0o755))
}

// all is a walk with all that it tells but times.
func all(t *testing.T, client *ftpclient.Client, root string, opts *ftpclient.WalkOptions) []ftpclient.Entry {
	t.Helper()
	var all []ftpclient.Entry
	for e, err := range client.Walk(t.Context(), "srv", root, opts) {
		require.NoError(t, err, e.Path)
		e.ModTime, e.TimePrecision = time.Time{}, 0
		all = append(all, e)
	}
	return all
}

func TestManyDirectoriesTravelInOneRoundTrip(t *testing.T) {
	for name, style := range statStyles {
		for _, dialect := range dialects {
			dialect.Stat = style
			srv, client := serve(t, dialect, oneConnection)
			grove(t, srv, 300)
			want := all(t, client, "r", &ftpclient.WalkOptions{Workers: 1, MaxDepth: 50, CoarseTimes: false})
			require.Len(t, want, 4+300+300+4+1)
			assert.Equal(t, want, all(t, client, "r", coarse), name)
			srv.ResetStats()
			assert.Equal(t, want, all(t, client, "r", coarse), name)
			seen := srv.Stats()
			assert.Equal(t, map[string]int{"STAT": 306, "NOOP": seen.Commands["NOOP"]}, seen.Commands, "%s: all is proved", name)
			assert.Equal(t, seen.Commands["NOOP"], seen.RoundTrips)
			assert.LessOrEqual(t, seen.RoundTrips, 12, "306 directories")
		}
	}
}

func TestEachKindOfEntryIsProvedOnceByADataListing(t *testing.T) {
	srv, client := serve(t, ftptest.Options{NoMLSD: true, Stat: ftptest.StatVSFTPD}, oneConnection)
	plant(t, srv)
	srv.ResetStats()
	want := walked(t, client, "r", coarse)
	seen := srv.Stats()
	assert.Equal(t, 1, seen.Commands["LIST"], "%v: r has directories and files, and nothing below it is anything else", seen.Log)
	require.NoError(t, os.Symlink("b.txt", filepath.Join(srv.Dir(), "r/c/link")))
	srv.ResetStats()
	assert.Len(t, walked(t, client, "r", coarse), len(want)+1)
	assert.Equal(t, 1, srv.Stats().Commands["LIST"], "that of the link")
	srv.ResetStats()
	assert.Len(t, walked(t, client, "r", coarse), len(want)+1)
	assert.Zero(t, srv.Stats().Commands["LIST"])
}

func TestTheFirstListingIsProvedWhileItsDataConnectionIsOpened(t *testing.T) {
	srv, client := serve(t, ftptest.Options{NoMLSD: true, Stat: ftptest.StatVSFTPD}, oneConnection)
	put(t, srv, "r/f", []byte("x"))
	require.NoError(t, client.Ping(t.Context(), "srv"))
	srv.ResetStats()
	walked(t, client, "r", coarse)
	seen := srv.Stats()
	assert.Equal(t, map[string]int{"STAT": 1, "NOOP": 1, "EPSV": 1, "LIST": 1}, seen.Commands)
	assert.Equal(t, 3, seen.RoundTrips, "%v", seen.Log)
}

// A name that goes between the two listings of a directory looks like one that data listings leave out.
func TestANameThatGoesDuringTheProofHidesNoOthers(t *testing.T) {
	dir := t.TempDir()
	srv, client := serve(t, ftptest.Options{Dir: dir, NoMLSD: true, Stat: ftptest.StatVSFTPD, OnCommand: func(cmd, arg string) {
		if cmd == "LIST" && strings.HasSuffix(arg, "r/a") {
			_ = os.Remove(filepath.Join(dir, "r/a/.lock"))
		}
	}}, oneConnection, func(c *ftpclient.ServerConfig) { c.ListHidden = true })
	for _, name := range []string{"r/a/.lock", "r/a/f", "r/b/.keep", "r/b/f", "r/c/.keep"} {
		put(t, srv, name, []byte("x"))
	}
	for range 2 {
		found := walked(t, client, "r", coarse)
		assert.Contains(t, found, "r/b/.keep")
		assert.Contains(t, found, "r/c/.keep")
	}
}

func TestALargeDirectoryIsNotLeftToSTAT(t *testing.T) { // which Pure-FTPd cuts where it is told to, and says nothing
	srv, client := serve(t, ftptest.Options{Stat: ftptest.StatPureFTPD}, oneConnection)
	for i := range 250 {
		put(t, srv, fmt.Sprintf("r/large/%d", i), nil)
	}
	put(t, srv, "r/small/f", nil)
	for want := range 2 {
		srv.ResetStats()
		assert.Len(t, walked(t, client, "r", coarse), 253)
		if want > 0 {
			assert.Equal(t, 1, srv.Stats().Commands["MLSD"], "%v", srv.Stats().Commands)
		}
	}
}

func TestADirectoryThatCannotBeReadSpoilsNoProof(t *testing.T) {
	srv, client := serve(t, ftptest.Options{NoMLSD: true, Stat: ftptest.StatVSFTPD, Command: func(cmd, arg string) (string, bool) {
		return "550 Permission denied", strings.HasSuffix(arg, "r/a") && (cmd == "STAT" || cmd == "LIST" || cmd == "CWD")
	}}, oneConnection)
	put(t, srv, "r/a/f", []byte("x"))
	for i := range 15 {
		put(t, srv, fmt.Sprintf("r/b%02d/f", i), []byte("x"))
	}
	srv.ResetStats()
	files, faults := 0, 0
	for e, err := range client.Walk(t.Context(), "srv", "r", coarse) {
		switch {
		case err != nil:
			faults++
		case !e.IsDir():
			files++
		}
	}
	assert.Equal(t, 15, files)
	assert.Equal(t, 1, faults)
	assert.LessOrEqual(t, srv.Stats().Commands["LIST"], 4, "%v", srv.Stats().Commands)
}

func TestNamesWithADotAreShownAsADataListingShowsThem(t *testing.T) {
	row := func(name string) string { return "-rw-r--r-- 1 ftp ftp            1 Jan  2  2024 " + name + "\r\n" }
	for _, hides := range []bool{true, false} {
		var srv *ftptest.Server
		listing := func(dot string) []byte {
			rows := row("f")
			if dot != "" && !hides {
				rows += row(dot)
			}
			return []byte(rows)
		}
		o := ftptest.Options{
			NoMLSD: true,
			ListOnDataLines: func(_, arg string) []byte {
				switch arg {
				case "r":
					return []byte("drwxr-xr-x 1 ftp ftp            0 Jan  2  2024 a\r\ndrwxr-xr-x 1 ftp ftp            0 Jan  2  2024 b\r\ndrwxr-xr-x 1 ftp ftp            0 Jan  2  2024 c\r\n" + row("f"))
				case "r/a":
					return listing("")
				}
				return listing(".dot")
			},
			Command: func(cmd, arg string) (string, bool) {
				if cmd != "STAT" {
					return "", false
				}
				rows := "drwxr-xr-x 1 ftp ftp            0 Jan  2  2024 .\r\n" + row("f")
				switch arg {
				case "-a r":
					rows += "drwxr-xr-x 1 ftp ftp            0 Jan  2  2024 a\r\ndrwxr-xr-x 1 ftp ftp            0 Jan  2  2024 b\r\ndrwxr-xr-x 1 ftp ftp            0 Jan  2  2024 c\r\n"
				case "-a r/b", "-a r/c":
					rows += row(".dot")
				}
				return "213-Status\r\n" + rows + "213 End", true
			},
		}
		srv, client := serve(t, o, oneConnection)
		want := []string{"r/a", "r/a/f", "r/b", "r/b/f", "r/c", "r/c/f", "r/f"}
		if !hides {
			want = []string{"r/a", "r/a/f", "r/b", "r/b/.dot", "r/b/f", "r/c", "r/c/.dot", "r/c/f", "r/f"}
		}
		for range 2 {
			srv.ResetStats()
			assert.Equal(t, want, walked(t, client, "r", nil))
		}
		assert.Zero(t, srv.Stats().Commands["LIST"])
	}
}

func TestNamesThatSTATMayReadAsMoreThanAName(t *testing.T) {
	for _, dialect := range dialects {
		dialect.Stat = ftptest.StatVSFTPD
		srv, client := serve(t, dialect)
		plant(t, srv)
		for _, name := range []string{"with blank", "-R", "~", "[x]", "a*", "?"} {
			put(t, srv, "r/s/"+name+"/f", []byte("x"))
		}
		want := all(t, client, "r", nil)
		srv.ResetStats()
		assert.Equal(t, want, all(t, client, "r", coarse))
		for _, line := range srv.Stats().Log {
			if arg, ok := strings.CutPrefix(line, "STAT -a "); ok {
				assert.False(t, strings.ContainsAny(arg, " *?["), line)
			}
		}
	}
}

// Whatever is wrong with STAT, the walk is that of data listings.
func TestAnUntrueSTATIsNotBelieved(t *testing.T) {
	const dot = "drwxr-xr-x 1 ftp ftp            0 Jan  2  2024 .\r\n"
	file := "-rw-r--r-- 1 ftp ftp            1 Jan  2  2024 fake\r\n"
	for name, answer := range map[string]string{
		"unknown":              "500 Unknown command",
		"not implemented":      "502 no",
		"nothing":              "213-Status\r\n213 End",
		"one line":             "213 fine",
		"only itself":          "213-Status\r\n" + dot + "213 End",
		"something else":       "213-Status\r\n" + dot + file + "213 End",
		"not a row":            "213-Status\r\n" + dot + "what is this\r\n213 End",
		"an unsafe name":       "213-Status\r\n" + dot + strings.Replace(file, "fake", "../fake", 1) + "213 End",
		"an end in a name":     "213-Status\r\n" + dot + "213 End\r\n" + file + "213 End",
		"a reply in a name":    "213-Status\r\n" + dot + "213 End\r\n213-Status\r\n" + dot + "213 End",
		"NOOP's reply in one":  "213-Status\r\n" + dot + "213 End\r\n200 NOOP ok\r\n213 End",
		"no reply":             "",
		"leaves":               "421 bye",
		"refused":              "450 busy",
		"the wrong kind":       "150 here\r\n226 done",
		"a listing of another": "212-Status\r\n" + dot + file + file + "212 End",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv, client := serve(t, ftptest.Options{Command: func(cmd, _ string) (string, bool) { return answer, cmd == "STAT" }}, func(c *ftpclient.ServerConfig) {
				c.ReplyTimeout = 2 * time.Second
			})
			plant(t, srv)
			want := walked(t, client, "r", nil)
			require.Len(t, want, 13)
			assert.Equal(t, want, walked(t, client, "r", coarse))
			assert.LessOrEqual(t, srv.Stats().Commands["STAT"], 8+2, "given up soon")
			require.NoError(t, client.RemoveAll(t.Context(), "srv", "r"))
			assert.NoDirExists(t, filepath.Join(srv.Dir(), "r"))
		})
	}
}

// A server that shows the current directory, whatever it was asked for, is right only about that one.
func TestASTATThatIgnoresItsArgumentIsNotBelieved(t *testing.T) {
	for _, root := range []string{"", "/", "/../", "r", "/r", "r/.."} {
		var trees [2][]ftpclient.Entry
		for i, style := range []ftptest.StatStyle{ftptest.StatLibrary, ftptest.StatCurrent} { // the first is of no use
			srv, client := serve(t, ftptest.Options{NoMLSD: true, Stat: style}, oneConnection)
			for _, name := range []string{"f", "d/f", "d/e/f", "r/f", "r/d/f", "r/d/e/f"} {
				put(t, srv, name, []byte("x"))
			}
			for range 2 {
				trees[i] = all(t, client, root, coarse)
			}
		}
		assert.Equal(t, trees[0], trees[1], "%q", root)
	}
}

func TestAnAbsoluteRootIsProvedToo(t *testing.T) {
	srv, client := serve(t, ftptest.Options{NoMLSD: true, Stat: ftptest.StatVSFTPD}, oneConnection)
	grove(t, srv, 8)
	for _, root := range []string{"/r", "/", ""} {
		all(t, client, root, coarse)
		srv.ResetStats()
		all(t, client, root, coarse)
		assert.Zero(t, srv.Stats().Commands["LIST"], root)
	}
	srv.CloseControlConnections()
	put(t, srv, "r/top0/ü", nil) // of another kind
	all(t, client, "/r", coarse)
	srv.ResetStats()
	all(t, client, "/r", coarse)
	assert.Zero(t, srv.Stats().Commands["LIST"], "another session proves, too")
}

func TestAServerThatTellsNoLoginDirectoryIsNotAskedInVain(t *testing.T) {
	srv, client := serve(t, ftptest.Options{NoMLSD: true, Stat: ftptest.StatVSFTPD, Faults: []ftptest.Fault{
		{Cmd: "PWD", Do: ftptest.Refuse, Reply: "550 no"},
	}}, oneConnection)
	for _, name := range []string{"r/f", "r/d/f", "r/d/e/f"} {
		put(t, srv, name, []byte("x"))
	}
	want := all(t, client, "/r", coarse)
	srv.ResetStats()
	assert.Equal(t, want, all(t, client, "/r", coarse))
	assert.Zero(t, srv.Stats().Commands["STAT"])
}

// After the proof a directory can still be one that STAT does not show.
func TestAfterTheProofOnlyWholeAnswersCount(t *testing.T) {
	for name, answer := range map[string]string{
		"absent":       "213-Status\r\n213 End",
		"refused":      "450 no",
		"without end":  "213-Status\r\n",
		"a false end":  "213-Status\r\ndrwxr-xr-x 1 ftp ftp            0 Jan  2  2024 .\r\n213 End\r\n213 End",
		"a false NOOP": "213-Status\r\ndrwxr-xr-x 1 ftp ftp            0 Jan  2  2024 .\r\n213 End\r\n200 ok\r\n-rw-r--r-- 1 u",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var strikes string
			srv, client := serve(t, ftptest.Options{NoMLSD: true, Stat: ftptest.StatVSFTPD, Command: func(cmd, arg string) (string, bool) {
				return answer, cmd == "STAT" && strikes != "" && strings.HasSuffix(arg, strikes)
			}}, oneConnection, func(c *ftpclient.ServerConfig) { c.ReplyTimeout = 2 * time.Second })
			plant(t, srv)
			want := walked(t, client, "r", coarse)
			require.Len(t, want, 13)
			strikes = "/c"
			assert.Equal(t, want, walked(t, client, "r", coarse))
			files, err := client.Files(t.Context(), "srv", "r")
			require.NoError(t, err)
			assert.Len(t, files, 6)
		})
	}
}

func TestAnUnreadableDirectoryIsAnErrorBySTATToo(t *testing.T) {
	srv, client := serve(t, ftptest.Options{NoMLSD: true, Stat: ftptest.StatVSFTPD, Faults: []ftptest.Fault{
		{Cmd: "LIST", Path: "r/c", Do: ftptest.Refuse, Reply: "550 Permission denied"},
	}, Command: func(cmd, arg string) (string, bool) {
		return "213-Status\r\n213 End", cmd == "STAT" && arg == "-a r/c"
	}})
	plant(t, srv)
	files, err := client.Files(t.Context(), "srv", "r")
	require.ErrorIs(t, err, fs.ErrPermission)
	assert.Len(t, files, 4)
	require.Error(t, client.RemoveAll(t.Context(), "srv", "r"))
	assert.FileExists(t, filepath.Join(srv.Dir(), "r/c/y/5.txt"))
	assert.Equal(t, []string{"absent!"}, walked(t, client, "absent", coarse))
	assert.Equal(t, []string{"r/b.txt!"}, walked(t, client, "r/b.txt", nil))
}

func TestAWalkWithExactTimesLeavesSTATAlone(t *testing.T) {
	srv, client := serve(t, ftptest.Options{Stat: ftptest.StatVSFTPD})
	plant(t, srv)
	walked(t, client, "r", nil)
	assert.Zero(t, srv.Stats().Commands["STAT"])
	assert.Equal(t, 8, srv.Stats().Commands["MLSD"])
	_, err := client.Files(t.Context(), "srv", "r")
	require.NoError(t, err)
	assert.Positive(t, srv.Stats().Commands["STAT"])
}
