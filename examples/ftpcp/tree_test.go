package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
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

// A way is one direction that trees are moved in.
type way struct {
	verb           string // mget or mput
	data           string // the command that moves content
	source, target string // folders on this machine, whoever serves them
	args           []string
}

// mirror are the arguments of mirror for the same.
func (w way) mirror(flags ...string) []string {
	return append(append([]string{"mirror"}, flags...), w.args...)
}

func (w way) call(flags ...string) []string {
	return append(append([]string{w.verb}, flags...), w.args...)
}

// bothWays runs a test for each direction, from tree to tree's copy.
func bothWays(t *testing.T, o ftptest.Options, test func(t *testing.T, srv *ftptest.Server, w way)) {
	t.Helper()
	t.Run("down", func(t *testing.T) {
		srv := serve(t, o)
		local := filepath.Join(t.TempDir(), "local")
		test(t, srv, way{"mget", "RETR", filepath.Join(srv.Dir(), "tree"), local, []string{srv.URL("tree"), local}})
	})
	t.Run("up", func(t *testing.T) {
		srv := serve(t, o)
		local := filepath.Join(t.TempDir(), "local")
		test(t, srv, way{"mput", "STOR", local, filepath.Join(srv.Dir(), "tree"), []string{local, srv.URL("tree")}})
	})
}

// plant makes files, each with its path as content.
func plant(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		write(t, dir, name, []byte(name))
	}
}

// files are the paths of all files below a folder, and fails the test if one does not hold what plant wrote.
func files(t *testing.T, dir string) []string {
	t.Helper()
	names := []string{}
	require.NoError(t, filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		names = append(names, filepath.ToSlash(rel))
		holds(t, []byte(filepath.ToSlash(rel)), name)
		return err
	}))
	return names
}

func TestATreeIsMovedBothWaysOverAsManyConnectionsAsAskedFor(t *testing.T) {
	bothWays(t, ftptest.Options{}, func(t *testing.T, srv *ftptest.Server, w way) {
		var want []string
		for i := range 60 {
			want = append(want, fmt.Sprintf("d%d/f%02d", i/20, i))
		}
		plant(t, w.source, want...)
		require.NoError(t, os.MkdirAll(filepath.Join(w.source, "empty"), 0o755))
		for workers, flags := range map[int][]string{1: nil, 3: {"-workers", "3"}, 5: {"-workers", "0"}} {
			require.NoError(t, os.RemoveAll(w.target))
			srv.ResetStats()
			o := ftpcp(t, w.call(flags...)...)
			o.succeeds(t)
			assert.Equal(t, want, files(t, w.target))
			assert.DirExists(t, filepath.Join(w.target, "empty"))
			assert.Empty(t, o.stdout)
			assert.Contains(t, o.stderr, "60 files, 360 bytes in ")
			assert.Contains(t, o.stderr, "load 60/60 files: done", "the bar's last line")
			assert.LessOrEqual(t, srv.Stats().MaxOpen, workers)
		}
		ftpcp(t, w.call("-workers", "-1")...).fails(t, 2, "-workers")
	})
}

func TestQuietBatchesSayNothingAndVerboseOnesShowCommands(t *testing.T) {
	bothWays(t, ftptest.Options{}, func(t *testing.T, _ *ftptest.Server, w way) {
		plant(t, w.source, "a/1", "b")
		for _, args := range [][]string{w.call("-quiet"), w.mirror("-quiet")} {
			require.NoError(t, os.RemoveAll(w.target))
			o := ftpcp(t, args...)
			o.succeeds(t)
			assert.Empty(t, o.stdout+o.stderr)
		}
		o := ftpcp(t, w.call("-verbose")...)
		o.succeeds(t)
		assert.Contains(t, o.stderr, w.data)
		assert.NotContains(t, o.stderr, "files: done")
	})
}

func TestOnlyMatchingFilesAreMoved(t *testing.T) {
	bothWays(t, ftptest.Options{}, func(t *testing.T, _ *ftptest.Server, w way) {
		plant(t, w.source, "a.csv", "a.txt", "b/c.csv", "b/d.txt", "tmp/e.csv")
		for _, args := range [][]string{
			w.call("-include", "**/*.csv", "-exclude", "tmp"),
			w.mirror("-include", "a.csv", "-include", "b/*.csv"),
		} {
			require.NoError(t, os.RemoveAll(w.target))
			ftpcp(t, args...).succeeds(t)
			assert.Equal(t, []string{"a.csv", "b/c.csv"}, files(t, w.target))
		}
		ftpcp(t, w.call("-include", "[")...).fails(t, 2, "-include")
	})
}

func TestAFileThatFailsIsNamedAndTheOthersAreThere(t *testing.T) {
	faults := []ftptest.Fault{
		{Cmd: "RETR", Path: "wrong", Do: ftptest.Refuse, Reply: "553 not this one"},
		{Cmd: "STOR", Path: "wrong", Do: ftptest.Refuse, Reply: "553 not this one"},
	}
	bothWays(t, ftptest.Options{Faults: faults}, func(t *testing.T, _ *ftptest.Server, w way) {
		plant(t, w.source, "a", "c/d", "c/wrong", "e", "wrong")
		for _, args := range [][]string{w.call("-quiet"), w.mirror("-quiet")} {
			require.NoError(t, os.RemoveAll(w.target))
			o := ftpcp(t, args...)
			assert.Equal(t, 1, o.status)
			assert.Equal(t, []string{"a", "c/d", "e"}, files(t, w.target))
			lines := strings.Split(strings.TrimSpace(o.stderr), "\n")
			require.Len(t, lines, 3, o.stderr)
			assert.Regexp(t, `^ftpcp: .*tree/c/wrong.*not this one`, lines[0])
			assert.Regexp(t, `^ftpcp: .*tree/wrong.*not this one`, lines[1])
			assert.Regexp(t, `^ftpcp: .*: 3 files, 5 bytes in \S+ s, 2 failed$`, lines[2])
		}
	})
}

func TestASecondUpdateOrMirrorMovesNothing(t *testing.T) {
	bothWays(t, ftptest.Options{}, func(t *testing.T, srv *ftptest.Server, w way) {
		plant(t, w.source, "a", "b/c", "b/d")
		for _, args := range [][]string{w.call("-update"), w.mirror()} {
			require.NoError(t, os.RemoveAll(w.target))
			ftpcp(t, args...).succeeds(t)
			assert.Equal(t, []string{"a", "b/c", "b/d"}, files(t, w.target))
			srv.ResetStats()
			o := ftpcp(t, args...)
			o.succeeds(t)
			assert.Contains(t, o.stderr, "0 files, 0 bytes in 0.")
			assert.Contains(t, o.stderr, ", 3 unchanged\n")
			stats := srv.Stats().Commands
			assert.Zero(t, stats["RETR"]+stats["STOR"]+stats["MKD"]+stats["DELE"])
			write(t, w.source, "a", []byte("other"))
			o = ftpcp(t, args...)
			o.succeeds(t)
			assert.Contains(t, o.stderr, ": 1 file, 5 bytes in ")
			write(t, w.source, "a", []byte("a"))
		}
	})
}

func TestAFileThatWasThereIsNotSaidToBeResumed(t *testing.T) {
	bothWays(t, ftptest.Options{}, func(t *testing.T, _ *ftptest.Server, w way) {
		plant(t, w.source, "a")
		ftpcp(t, w.call("-update")...).succeeds(t)
		o := ftpcp(t, w.call("-update")...)
		o.succeeds(t)
		assert.NotContains(t, o.stderr, "resumed")
		assert.Contains(t, o.stderr, "1 unchanged\n")
	})
}

func TestLinksAreSkippedAndSaidSo(t *testing.T) {
	bothWays(t, ftptest.Options{}, func(t *testing.T, srv *ftptest.Server, w way) {
		plant(t, w.source, "a")
		if w.verb == "mput" {
			require.NoError(t, os.Symlink("a", filepath.Join(w.source, "link")))
		} else { // the server would follow it
			srv.Close() //nolint:errcheck // that of the test
			srv = serve(t, ftptest.Options{NoMLSD: true, ListOnDataLines: func(string, string) []byte {
				return []byte("-rw-r--r-- 1 a b 1 Mar  4  2025 a\r\nlrwxrwxrwx 1 a b 4 Mar  4  2025 link -> a\r\n")
			}})
			write(t, srv.Dir(), "tree/a", []byte("a"))
			w.args[0] = srv.URL("tree")
		}
		for _, args := range [][]string{w.call(), w.mirror()} {
			o := ftpcp(t, args...)
			o.succeeds(t)
			assert.Contains(t, o.stderr, "skipped: tree/link: symbolic link\n")
			assert.Contains(t, o.stderr, ", 1 skipped\n")
			assert.NoFileExists(t, filepath.Join(w.target, "link"))
		}
	})
}

func TestAMirrorDeletesOnlyWhenAskedTo(t *testing.T) {
	bothWays(t, ftptest.Options{}, func(t *testing.T, _ *ftptest.Server, w way) {
		plant(t, w.source, "a", "b/c")
		plant(t, w.target, "b/old", "gone/x")
		ftpcp(t, w.mirror()...).succeeds(t)
		assert.Equal(t, []string{"a", "b/c", "b/old", "gone/x"}, files(t, w.target))

		o := ftpcp(t, w.mirror("-delete")...)
		o.succeeds(t)
		assert.Contains(t, o.stderr, "2 unchanged, 3 deleted\n")
		assert.Equal(t, []string{"a", "b/c"}, files(t, w.target))
		assert.NoDirExists(t, filepath.Join(w.target, "gone"))
	})
}

func TestAMirrorThatCannotCopyAllDeletesNothingAndSaysSo(t *testing.T) {
	faults := []ftptest.Fault{
		{Cmd: "RETR", Path: "wrong", Do: ftptest.Refuse, Reply: "553 not this one"},
		{Cmd: "STOR", Path: "wrong", Do: ftptest.Refuse, Reply: "553 not this one"},
	}
	bothWays(t, ftptest.Options{Faults: faults}, func(t *testing.T, _ *ftptest.Server, w way) {
		plant(t, w.source, "a", "wrong")
		plant(t, w.target, "old")
		o := ftpcp(t, w.mirror("-delete")...)
		assert.Equal(t, 1, o.status)
		assert.Contains(t, o.stderr, ", 1 failed, 1 not deleted\n")
		assert.Equal(t, []string{"a", "old"}, files(t, w.target))
	})
}

func TestADryRunPrintsThePlanAndChangesNothing(t *testing.T) {
	bothWays(t, ftptest.Options{}, func(t *testing.T, srv *ftptest.Server, w way) {
		plant(t, w.source, "a", "b/c")
		plant(t, w.target, "old")
		before := srv.Stats().Commands
		o := ftpcp(t, w.mirror("-n", "-delete")...)
		o.succeeds(t)
		assert.Empty(t, o.stderr)
		for _, row := range []string{`(?m)^copy +1 +a +missing$`, `(?m)^mkdir +- +b/ +missing$`, `(?m)^delete +3 +old +deleted at the source$`} {
			assert.Regexp(t, row, o.stdout)
		}
		assert.Equal(t, []string{"old"}, files(t, w.target))
		after := srv.Stats().Commands
		for _, cmd := range []string{"RETR", "STOR", "DELE", "MKD", "RMD", "RNFR"} {
			assert.Equal(t, before[cmd], after[cmd], cmd)
		}

		o = ftpcp(t, w.mirror("-n", "-json")...)
		o.succeeds(t)
		var plan ftpclient.Plan
		require.NoError(t, json.Unmarshal([]byte(o.stdout), &plan))
		assert.Len(t, plan.Actions, 3)
		ftpcp(t, w.mirror("-json")...).fails(t, 2, "-n")
	})
}

func TestAMirrorComparesAsAskedFor(t *testing.T) {
	bothWays(t, ftptest.Options{Hash: true}, func(t *testing.T, _ *ftptest.Server, w way) {
		plant(t, w.source, "a", "b")
		plant(t, w.target, "a")
		write(t, w.target, "b", []byte("x"))
		old := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
		require.NoError(t, os.Chtimes(filepath.Join(w.target, "a"), old, old))
		for how, want := range map[string]string{"time": "(?m)^copy .* a +newer$", "hash": "(?m)^copy .* b +content differs$", "size": "0 to copy"} {
			o := ftpcp(t, w.mirror("-n", "-compare", how)...)
			o.succeeds(t)
			assert.Regexp(t, want, o.stdout, how)
		}
		ftpcp(t, w.mirror("-compare", "guess")...).fails(t, 2, "time, size, hash")
	})
}

func TestWhatCannotBeListedIsAFailureAndDeletesNothing(t *testing.T) {
	srv := serve(t, ftptest.Options{Faults: []ftptest.Fault{
		{Cmd: "MLSD", Path: "bad", Do: ftptest.Refuse, Reply: "550 Permission denied"},
		{Cmd: "STAT", Path: "bad", Do: ftptest.Refuse, Reply: "550 Permission denied"},
	}})
	plant(t, filepath.Join(srv.Dir(), "tree"), "bad/x", "good")
	local := t.TempDir()
	plant(t, local, "old")
	o := ftpcp(t, "mget", "-quiet", srv.URL("tree"), local)
	assert.Equal(t, 1, o.status)
	assert.Contains(t, o.stderr, "tree/bad")
	assert.Equal(t, []string{"good", "old"}, files(t, local))

	o = ftpcp(t, "mirror", "-delete", "-n", srv.URL("tree"), local)
	assert.Equal(t, 1, o.status)
	assert.Contains(t, o.stderr, "the plan is incomplete: 1 fault\n")
	o = ftpcp(t, "mirror", "-delete", srv.URL("tree"), local)
	assert.Equal(t, 1, o.status)
	assert.Contains(t, o.stderr, "nothing is deleted")
	assert.FileExists(t, filepath.Join(local, "old"))
}

func TestASourceThatIsNotThereIsStatus1AndOneLine(t *testing.T) {
	srv := serve(t, ftptest.Options{})
	missing := filepath.Join(t.TempDir(), "missing")
	ftpcp(t, "mirror", srv.URL("missing"), missing).fails(t, 1, "missing")
	ftpcp(t, "mirror", missing, srv.URL("x")).fails(t, 1, "no such file")
	for _, args := range [][]string{
		{"mget", "-quiet", srv.URL("missing"), missing},
		{"mput", "-quiet", missing + "2", srv.URL("x")},
	} {
		o := ftpcp(t, args...)
		assert.Equal(t, 1, o.status)
		assert.Contains(t, o.stderr, "missing")
	}
}

func TestAnInterruptedBatchSaysSoAndGoesOnWhereItWas(t *testing.T) {
	const kept = 600_000
	for _, verb := range []string{"mget", "mput", "mirror"} {
		t.Run(verb, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			srv := serve(t, ftptest.Options{Faults: []ftptest.Fault{
				{Path: "big", Do: ftptest.StallData, After: kept, Times: 1},
			}})
			local, remote := filepath.Join(t.TempDir(), "local"), filepath.Join(srv.Dir(), "tree")
			source, target, args := remote, local, []string{srv.URL("tree"), local}
			if verb == "mput" {
				source, target, args = local, remote, []string{local, srv.URL("tree")}
			}
			file := content(1 << 20)
			write(t, source, "a", content(10))
			write(t, source, "big", file)
			require.NoError(t, os.MkdirAll(target, 0o755))
			interrupted := make(chan outcome)
			go func() { interrupted <- ftpcpIn(t, ctx, nil, append([]string{verb, "-quiet"}, args...)...) }()
			require.Eventually(t, func() bool { return hidden(t, target) >= kept }, waitTime, tick)
			cancel()
			(<-interrupted).fails(t, 1, "interrupted", "1 file, 10 bytes", "the same command")
			assert.NoFileExists(t, filepath.Join(target, "big"))

			again := []string{verb}
			if verb != "mirror" {
				again = append(again, "-resume", "-update")
			}
			o := ftpcp(t, append(again, args...)...)
			o.succeeds(t)
			holds(t, file, target, "big")
			assert.Positive(t, srv.Stats().Commands["REST"], "it was continued")
			assert.Zero(t, hidden(t, target), "no partial is left")
		})
	}
}

func TestFilesAreCopiedFromServerToServer(t *testing.T) {
	from, to := serve(t, ftptest.Options{}), ftptest.Start(t, ftptest.Options{Password: password + "2"})
	file := content(300_000)
	write(t, from.Dir(), "d/f", file)

	o := ftpcp(t, "cp", from.URL("d/f"), to.URL("x/g"))
	o.succeeds(t)
	holds(t, file, to.Dir(), "x", "g")
	assert.Contains(t, o.stderr, "300000 bytes, checked: size only")
	ftpcp(t, "cp", "-quiet", from.URL("d/f"), to.URL("x/")).succeeds(t)
	holds(t, file, to.Dir(), "x", "f")
	ftpcp(t, "cp", "-quiet", from.URL("d/f"), from.URL("copy")).succeeds(t)
	holds(t, file, from.Dir(), "copy")

	env := map[string]string{"FTP_PASSWORD": password, "FTP_PASSWORD_TO": password + "2"}
	ftpcpIn(t, t.Context(), env, "cp", without(t, from, from.User(), "d/f"), without(t, to, to.User(), "y")).succeeds(t)
	holds(t, file, to.Dir(), "y")

	ftpcp(t, "cp", "-quiet", from.URL("missing"), to.URL("z")).fails(t, 1, "missing", from.Addr())
	ftpcp(t, "cp", from.URL(""), to.URL("z")).fails(t, 2, "first URL")
	assert.NoFileExists(t, filepath.Join(to.Dir(), "z"))
}

func TestACopyMayBeEncryptedOnOneSideOnly(t *testing.T) {
	plain, secret := serve(t, ftptest.Options{}), serve(t, ftptest.Options{TLS: ftptest.Explicit})
	write(t, plain.Dir(), "f", content(1000))
	ca := write(t, t.TempDir(), "ca.pem", secret.CertPEM())
	ftpcp(t, "cp", "-cacert", ca, plain.URL("f"), secret.URL("g")).succeeds(t)
	holds(t, content(1000), secret.Dir(), "g")
	ftpcp(t, "cp", "-cacert", ca, secret.URL("g"), plain.URL("h")).succeeds(t)
	holds(t, content(1000), plain.Dir(), "h")
	ftpcp(t, "cp", plain.URL("f"), secret.URL("i")).fails(t, 1, "certificate")
}

func TestABatchThatEndsEarlySaysWhatWasNotTried(t *testing.T) {
	srv := serve(t, ftptest.Options{Faults: []ftptest.Fault{{Cmd: "STOR", Path: "wrong", Do: ftptest.Refuse, Reply: "452 disk full"}}})
	local := t.TempDir()
	plant(t, local, "a", "wrong", "z")
	o := ftpcp(t, "mput", "-quiet", local, srv.URL("tree"))
	assert.Equal(t, 1, o.status)
	assert.Contains(t, o.stderr, "452 disk full\n")
	assert.Regexp(t, `: 1 file, 1 byte in \S+ s, 1 failed; ended early, 1 not tried\n$`, o.stderr)
}

func TestWhatMgetFetchedIsTheSameForItsUpdate(t *testing.T) {
	srv, local := serve(t, ftptest.Options{}), t.TempDir()
	plant(t, srv.Dir(), "a")
	old := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	require.NoError(t, os.Chtimes(filepath.Join(srv.Dir(), "a"), old, old))
	ftpcp(t, "mget", srv.URL(""), local).succeeds(t)
	o := ftpcp(t, "mget", "-update", srv.URL(""), local)
	o.succeeds(t)
	assert.Contains(t, o.stderr, "0 files, 0 bytes in 0.")
	assert.Contains(t, o.stderr, ", 1 unchanged\n")
}

func TestTreeIsProvedByAChecksumFile(t *testing.T) {
	srv := serve(t, ftptest.Options{})
	write(t, srv.Dir(), "pub/good", []byte("good"))
	write(t, srv.Dir(), "pub/sub/bad", []byte("bad"))
	sums := fmt.Sprintf("%x  good\n%x  sub/bad\n", sha256.Sum256([]byte("good")), sha256.Sum256([]byte("worse")))
	write(t, srv.Dir(), "pub/SHA256SUMS", []byte(sums))
	here := write(t, t.TempDir(), "sums", []byte(sums))
	for _, name := range []string{"SHA256SUMS", here} {
		local := t.TempDir()
		o := ftpcp(t, "mget", "-quiet", "-sums", name, srv.URL("pub"), local)
		assert.Equal(t, 1, o.status, o.stderr)
		assert.Contains(t, o.stderr, "sub/bad")
		holds(t, []byte("good"), filepath.Join(local, "good"))
		assert.NoFileExists(t, filepath.Join(local, "sub/bad"))
	}
	ftpcp(t, "mget", "-quiet", "-sums", "absent", srv.URL("pub"), t.TempDir()).fails(t, 1, "absent")
}

func TestUpInsistsOnTheDirectionThatTheURLDecides(t *testing.T) {
	bothWays(t, ftptest.Options{}, func(t *testing.T, _ *ftptest.Server, w way) {
		plant(t, w.source, "a")
		o := ftpcp(t, w.mirror("-up", "-quiet")...)
		if w.verb == "mget" {
			o.fails(t, 2, "-up")
			assert.NoDirExists(t, w.target)
			return
		}
		o.succeeds(t)
		assert.Equal(t, []string{"a"}, files(t, w.target))
	})
}

func TestWhatCouldNotBeMirroredIsAFailure(t *testing.T) {
	bothWays(t, ftptest.Options{}, func(t *testing.T, _ *ftptest.Server, w way) {
		plant(t, w.source, "a", "b")
		plant(t, w.target, "a/now a folder")
		o := ftpcp(t, w.mirror()...)
		assert.Equal(t, 1, o.status)
		assert.Contains(t, o.stderr, "tree/a: type changed: a directory is in the way")
		assert.FileExists(t, filepath.Join(w.target, "b"))
	})
}
