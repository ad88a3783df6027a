package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/ftptest"
)

func TestVerifySaysHowAFileWasCheckedOrDiffers(t *testing.T) {
	for _, tt := range []struct {
		flags []string
		hash  bool
		equal string // how equal files were checked; "": they could not be
		finds bool   // another content of the same size
	}{
		{nil, true, "size only", false},
		{[]string{"-best"}, true, "SHA-256 by server", true},
		{[]string{"-best"}, false, "size only", false},
		{[]string{"-hash"}, true, "SHA-256 by server", true},
		{[]string{"-hash"}, false, "", false},
		{[]string{"-readback"}, false, "SHA-256 read back", true},
	} {
		srv := serve(t, ftptest.Options{Hash: tt.hash})
		write(t, srv.Dir(), "d/a file", content(1000))
		folder := t.TempDir()
		local := write(t, folder, "a file", content(1000))
		args := append(append([]string{"verify"}, tt.flags...), srv.URL("d/a file"))
		for _, to := range []string{local, folder} {
			o := ftpcp(t, append(args, to)...)
			if tt.equal == "" {
				assert.Equal(t, 1, o.status)
				assert.Regexp(t, `^not compared  a file  .*digest`, o.stdout)
				continue
			}
			o.succeeds(t)
			assert.Empty(t, o.stdout)
			assert.Equal(t, "1 equal, checked: "+tt.equal+"\n", o.stderr)
		}
		other := content(1000)
		other[500] ^= 1
		write(t, folder, "a file", other)
		o := ftpcp(t, append(args, local)...)
		if tt.finds {
			assert.Equal(t, 1, o.status)
			assert.Regexp(t, `^digest  a file  SHA-256 here [0-9a-f]{64}, there [0-9a-f]{64}\n$`, o.stdout)
		}
		write(t, folder, "a file", other[1:])
		o = ftpcp(t, append(args, local)...)
		assert.Equal(t, 1, o.status)
		assert.Equal(t, "size  a file  here 999, there 1000\n", o.stdout)
		assert.Equal(t, "ftpcp: 1 of 1 differ or could not be compared\n", o.stderr)
	}
}

func TestVerifySaysOnWhichSideAFileIsMissing(t *testing.T) {
	srv := serve(t, ftptest.Options{})
	here, nowhere := write(t, t.TempDir(), "f", nil), filepath.Join(t.TempDir(), "f")
	o := ftpcp(t, "verify", srv.URL("f"), nowhere)
	assert.Equal(t, 1, o.status)
	assert.Equal(t, "missing on both sides  f\n", o.stdout)
	o = ftpcp(t, "verify", srv.URL("f"), here)
	assert.Equal(t, 1, o.status)
	assert.Equal(t, "missing there  f\n", o.stdout)
	write(t, srv.Dir(), "f", nil)
	o = ftpcp(t, "verify", srv.URL("f"), nowhere)
	assert.Equal(t, 1, o.status)
	assert.Equal(t, "missing here  f\n", o.stdout)
	ftpcp(t, "verify", "-retries", "0", nobody+"/f", nowhere).fails(t, 1, "refused")
}

func TestVerifyOfADirectoryNeedsTheFlagForIt(t *testing.T) {
	srv := serve(t, ftptest.Options{})
	write(t, srv.Dir(), "d/f", nil)
	write(t, srv.Dir(), "e", nil)
	here := t.TempDir()
	ftpcp(t, "verify", srv.URL("d"), here).fails(t, 2, "-r")
	ftpcp(t, "verify", srv.URL("d"), filepath.Join(here, "d")).fails(t, 2, "-r")
	write(t, here, "d/f", nil)
	write(t, here, "e/f", nil)
	ftpcp(t, "verify", srv.URL("d"), here).fails(t, 2, "-r")
	assert.Equal(t, "type|e|here it is a folder", rows(ftpcp(t, "verify", srv.URL("e"), here))[0])
	assert.Equal(t, "missing there|f", rows(ftpcp(t, "verify", srv.URL("f"), filepath.Join(here, "e", "f")))[0])
}

// rows are what verify printed, with a bar between columns.
func rows(o outcome) []string {
	return strings.Split(regexp.MustCompile(` {2,}`).ReplaceAllString(strings.TrimSpace(o.stdout), "|"), "\n")
}

func TestVerifyComparesTreesAndPrintsATableOfWhatDiffers(t *testing.T) {
	srv := serve(t, ftptest.Options{Hash: true})
	here := t.TempDir()
	for _, name := range []string{"same", "d/same", "d/deep/er/same", "中/文"} {
		write(t, srv.Dir(), "t/"+name, content(50))
		write(t, here, name, content(50))
	}
	o := ftpcp(t, "verify", "-r", "-hash", srv.URL("t"), here)
	o.succeeds(t)
	assert.Empty(t, o.stdout)
	assert.Equal(t, "4 equal, checked: SHA-256 by server\n", o.stderr)

	other := content(50)
	other[0] ^= 1
	write(t, here, "d/digest", other)
	write(t, here, "d/size", content(9))
	write(t, here, "d/only here/a", nil)
	write(t, here, "only here too", nil)
	write(t, here, "kind/a", nil)
	write(t, here, "kind2", nil)
	write(t, here, ".same.0123.ftpclient-part", nil)
	write(t, srv.Dir(), "t/d/digest", content(50))
	write(t, srv.Dir(), "t/d/size", content(50))
	write(t, srv.Dir(), "t/only there/a/b", nil)
	write(t, srv.Dir(), "t/kind", nil)
	write(t, srv.Dir(), "t/kind2/a", nil)
	write(t, srv.Dir(), "t/no:name", nil)
	o = ftpcp(t, "verify", "-r", "-best", "-quiet", srv.URL("t/"), here+string(filepath.Separator))
	assert.Equal(t, 1, o.status)
	assert.Equal(t, "ftpcp: 8 of 12 differ or could not be compared\n", o.stderr)
	rows := strings.Split(strings.TrimSpace(o.stdout), "\n")
	var short []string
	for _, row := range rows {
		short = append(short, strings.Join(strings.Fields(row)[:3], " "))
	}
	assert.Equal(t, []string{
		"digest d/digest SHA-256", "missing there d/only", "size d/size here", "type kind here", "type kind2 there", "not compared no:name",
		"missing there only", "missing here only",
	}, short)
	assert.Equal(t, strings.Index(rows[0], "d/"), strings.Index(rows[1], "d/"), "columns")

	_, err := os.Stat(filepath.Join(here, "no:name"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestFilesAreComparedSideBySideAndToldInTheirOrder(t *testing.T) {
	third := make(chan struct{}) // has begun, which it does when the second is done
	srv := serve(t, ftptest.Options{OnCommand: func(cmd, arg string) {
		switch {
		case cmd == "RETR" && strings.HasSuffix(arg, "f1"):
			<-third
		case cmd == "RETR" && strings.HasSuffix(arg, "f3"):
			close(third)
		}
	}})
	here := t.TempDir()
	for _, name := range []string{"f1", "f2", "f3"} {
		write(t, srv.Dir(), "t/"+name, content(50))
		write(t, here, name, make([]byte, 50))
	}
	write(t, here, "f2a", nil)
	write(t, here, "a", nil)
	o := ftpcp(t, "verify", "-r", "-readback", "-workers", "2", srv.URL("t"), here)
	assert.Equal(t, 1, o.status)
	var got []string
	for _, row := range rows(o) {
		got = append(got, strings.Join(strings.Split(row, "|")[:2], " "))
	}
	assert.Equal(t, []string{"missing there a", "digest f1", "digest f2", "missing there f2a", "digest f3"}, got)
	assert.Equal(t, "ftpcp: 5 of 5 differ or could not be compared\n", o.stderr)
	assert.Equal(t, 2, srv.Stats().MaxOpen)
	ftpcp(t, "verify", "-r", "-workers", "0", srv.URL("t"), here).fails(t, 2, "-workers")
}

func TestSoManyFindingsWaitForAnEarlierOneAndNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		c := newComparison(&tool{stdout: &out}, nil, "", 0, 1)
		late := make(chan finding)
		told := 0
		go func() {
			c.tell(late)
			for range 10 * ahead {
				c.row("size", "f", "")
				told++
			}
		}()
		synctest.Wait()
		assert.Equal(t, ahead-1, told)
		late <- finding{what: "size", name: "first"}
		synctest.Wait()
		assert.Equal(t, 10*ahead, told)
		assert.Empty(t, c.turn)
		require.NoError(t, c.finish(t.Context()))
		assert.Equal(t, 1+10*ahead, strings.Count(out.String(), "\n"))
		assert.True(t, strings.HasPrefix(out.String(), "size  first\nsize  f\n"))
	})
}

// full is a disk that was full for a moment.
type full struct{ calls int }

func (f *full) Write(p []byte) (int, error) {
	if f.calls++; f.calls == 1 {
		return 0, syscall.ENOSPC
	}
	return len(p), nil
}

func TestRowsThatCouldNotBeWrittenAreAnError(t *testing.T) {
	c := newComparison(&tool{stdout: &full{}}, nil, "", 0, 1)
	for range 2 * block {
		c.row("size", "f", "")
	}
	require.ErrorIs(t, c.finish(t.Context()), syscall.ENOSPC)
}

func TestAFolderThatCannotBeReadIsNoFolderWithoutFiles(t *testing.T) {
	srv := serve(t, ftptest.Options{Faults: []ftptest.Fault{{Cmd: "MLSD", Path: "shut", Do: ftptest.Refuse, Reply: "550 Permission denied"}}})
	here := t.TempDir()
	write(t, srv.Dir(), "t/shut/a", nil)
	write(t, here, "shut/a", nil)
	write(t, here, "shut/b", nil)
	o := ftpcp(t, "verify", "-r", srv.URL("t"), here)
	assert.Equal(t, 1, o.status)
	assert.Contains(t, o.stdout, "not compared  shut  ")
	assert.NotContains(t, o.stdout, "missing")

	ftpcp(t, "verify", "-r", srv.URL("absent"), here).fails(t, 1, "absent")
	ftpcp(t, "verify", "-r", srv.URL("t"), filepath.Join(here, "absent")).fails(t, 1, "absent")
}

func TestARowThatCannotBeReadLeavesTheRestToBeCompared(t *testing.T) {
	srv := serve(t, ftptest.Options{ListOnDataLines: func(_, arg string) []byte {
		if arg == "t" {
			return []byte("type=file;size=1; bad\xff\r\ntype=dir; d\r\ntype=file;size=1; size\r\n")
		}
		return []byte("type=file;size=1; missing\r\n")
	}})
	write(t, srv.Dir(), "t/size", content(1))
	here := t.TempDir()
	for _, name := range []string{"size", "maybe bad", "maybe/a", "d/only here"} {
		write(t, here, name, nil)
	}
	o := ftpcp(t, "verify", "-r", srv.URL("t"), here)
	assert.Equal(t, 1, o.status)
	got := rows(o)
	assert.Regexp(t, `^not compared\|\.\|.*bad`, got[0])
	assert.Equal(t, []string{"missing here|d/missing", "missing there|d/only here", "size|size|here 0, there 1"}, got[1:])
}

func TestFilesThatTheServerDoesNotListAreAskedFor(t *testing.T) {
	srv := serve(t, ftptest.Options{ListOnDataLines: func(_, arg string) []byte {
		return []byte(map[string]string{"t": "type=dir; d\r\n"}[arg])
	}})
	here := t.TempDir()
	for _, name := range []string{".same", ".size", "d/.same", ".d/same", ".d/sub/size", ".kind"} {
		write(t, srv.Dir(), "t/"+name, content(5))
		write(t, here, name, content(5))
	}
	require.NoError(t, os.Remove(filepath.Join(here, ".kind")))
	for _, name := range []string{".size", ".d/sub/size", ".d/missing", ".missing/a", "missing", ".kind/a"} {
		write(t, here, name, nil)
	}
	o := ftpcp(t, "verify", "-r", srv.URL("t"), here)
	assert.Equal(t, 1, o.status)
	assert.Equal(t, []string{
		"missing there|.d/missing", "size|.d/sub/size|here 0, there 5", "type|.kind/|here it is a folder", "missing there|.missing/",
		"size|.size|here 0, there 5", "missing there|missing",
	}, rows(o))
	assert.Equal(t, "3 equal, checked: size only\nftpcp: 6 of 9 differ or could not be compared\n", o.stderr)
}

func TestLinksThatTransfersLeaveOutDoNotFailVerify(t *testing.T) {
	for _, side := range []string{"there", "here"} {
		o := ftptest.Options{NoMLSD: true}
		if side == "there" {
			o.ListOnDataLines = func(string, string) []byte {
				return []byte("-rw-r--r-- 1 a b 1 Mar  4  2025 a\r\nlrwxrwxrwx 1 a b 4 Mar  4  2025 link -> a\r\n")
			}
		}
		srv, here := serve(t, o), t.TempDir()
		write(t, srv.Dir(), "t/a", content(1))
		write(t, here, "a", content(1))
		if side == "here" {
			require.NoError(t, os.Symlink("a", filepath.Join(here, "link")))
		}
		out := ftpcp(t, "verify", "-r", srv.URL("t"), here)
		out.succeeds(t)
		assert.Empty(t, out.stdout)
		assert.Equal(t, "skipped: link: symbolic link\n1 equal, checked: size only\n", out.stderr)
	}
}

func TestWrongUsageOfVerifyIsToldBeforeAnythingIsDone(t *testing.T) {
	srv := serve(t, ftptest.Options{})
	file := write(t, t.TempDir(), "f", nil)
	ftpcp(t, "verify", "-hash", "-best", srv.URL("f"), file).fails(t, 2, "exclude")
	ftpcp(t, "verify", srv.URL("d/"), file).fails(t, 2, "-r")
	ftpcp(t, "verify", "-r", srv.URL("d"), file).fails(t, 2, "folder")
	ftpcp(t, "verify", srv.URL("f"), srv.URL("f")).fails(t, 2, "LOCAL")
	assert.Zero(t, srv.Stats().Conns)
}
