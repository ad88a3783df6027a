package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/ftptest"
)

const (
	waitTime = 10 * time.Second
	tick     = 5 * time.Millisecond
)

func TestListPrintsNamesAndInLongTheRest(t *testing.T) {
	srv := serve(t, ftptest.Options{})
	when := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	name := write(t, srv.Dir(), "d/a file", content(1234))
	require.NoError(t, os.Chtimes(name, when, when))
	write(t, srv.Dir(), "d/sub/x", nil)

	o := ftpcp(t, "ls", srv.URL("d"))
	o.succeeds(t)
	assert.Equal(t, "a file\nsub\n", o.stdout)
	assert.Empty(t, o.stderr)

	o = ftpcp(t, "ls", "-l", srv.URL("d/"))
	o.succeeds(t)
	assert.Regexp(t, `(?m)^-\S+ +1234  2026-03-04 05:06:07  a file$`, o.stdout)
	assert.Regexp(t, `(?m)^d\S+ +-  .*  sub$`, o.stdout)

	o = ftpcp(t, "ls", srv.URL("d/a file"))
	o.succeeds(t)
	assert.Equal(t, "a file\n", o.stdout)
}

func TestATreeIsListedByPathAndRemovedWhole(t *testing.T) {
	srv := serve(t, ftptest.Options{})
	for _, name := range []string{"d/a/1", "d/a/2", "d/b/c/3", "d/e"} {
		write(t, srv.Dir(), name, content(5))
	}
	const all = "d/a\nd/a/1\nd/a/2\nd/b\nd/b/c\nd/b/c/3\nd/e\n"

	o := ftpcp(t, "ls", "-r", srv.URL("d"))
	o.succeeds(t)
	assert.Equal(t, all, o.stdout)
	assert.Equal(t, 1, srv.Stats().MaxOpen, "without -workers there is one connection")

	srv.ResetStats()
	o = ftpcp(t, "ls", "-r", "-workers", "3", srv.URL("d"))
	o.succeeds(t)
	assert.Equal(t, all, o.stdout)
	assert.LessOrEqual(t, srv.Stats().MaxOpen, 3)
	ftpcp(t, "ls", "-r", "-workers", "0", srv.URL("d")).fails(t, 2, "-workers")

	ftpcp(t, "rm", srv.URL("d")).fails(t, 1, "d")
	ftpcp(t, "rm", "-r", srv.URL("d")).succeeds(t)
	assert.NoDirExists(t, filepath.Join(srv.Dir(), "d"))
	ftpcp(t, "rm", "-r", srv.URL("")).fails(t, 1)
}

func TestATreeThatCannotBeReadWholeIsListedAsFarAsItGoesAndFails(t *testing.T) {
	srv := serve(t, ftptest.Options{Faults: []ftptest.Fault{
		{Cmd: "MLSD", Path: "bad", Do: ftptest.Refuse, Reply: "550 Permission denied"},
	}})
	write(t, srv.Dir(), "bad/x", nil)
	write(t, srv.Dir(), "good/x", nil)
	o := ftpcp(t, "ls", "-r", srv.URL(""))
	assert.Equal(t, 1, o.status)
	assert.Contains(t, o.stdout, "good/x\n")
	assert.Contains(t, o.stderr, "bad: ")
	assert.Contains(t, o.stderr, "the list is incomplete: 1 error\n")
}

func TestAListingWithUnreadableRowsPrintsTheRestAndFails(t *testing.T) {
	srv := serve(t, ftptest.Options{ListOnDataLines: func(string, string) []byte {
		return []byte("type=file;size=1; good\r\ntype=file;size=1; ..\\..\x1b[2J\r\n")
	}})
	o := ftpcp(t, "ls", srv.URL(""))
	assert.Equal(t, 1, o.status)
	assert.Equal(t, "good\n", o.stdout)
	assert.NotContains(t, o.stderr, "\x1b")
}

func TestNamesAndLinksCannotCommandTheTerminal(t *testing.T) {
	srv := serve(t, ftptest.Options{NoMLSD: true, ListOnDataLines: func(string, string) []byte {
		return []byte("lrwxrwxrwx 1 a b 4 Mar  4  2025 link -> \u009b2Jtarget\r\n")
	}})
	o := ftpcp(t, "ls", "-l", srv.URL(""))
	assert.NotContains(t, o.stdout+o.stderr, "\u009b")
}

func TestFilesAndDirectoriesAreMadeMovedAndRemoved(t *testing.T) {
	srv := serve(t, ftptest.Options{})
	write(t, srv.Dir(), "f", content(10))

	ftpcp(t, "mkdir", srv.URL("a/b")).succeeds(t)
	assert.DirExists(t, filepath.Join(srv.Dir(), "a", "b"))
	ftpcp(t, "mkdir", srv.URL("a/b")).succeeds(t)

	ftpcp(t, "mv", srv.URL("f"), "a/b/g").succeeds(t)
	holds(t, content(10), srv.Dir(), "a", "b", "g")

	ftpcp(t, "rm", srv.URL("a/b/g")).succeeds(t)
	ftpcp(t, "rm", srv.URL("a/b")).succeeds(t)
	assert.NoDirExists(t, filepath.Join(srv.Dir(), "a", "b"))
	ftpcp(t, "rm", srv.URL("")).fails(t, 1, "root")
}
