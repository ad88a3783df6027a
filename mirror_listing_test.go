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

// lists are the listings of a folder as of a server whose clock is in another zone, by so much, and that may hide names with a dot.
func lists(dir string, ahead time.Duration, hides bool) func(cmd, arg string) []byte {
	return func(cmd, arg string) []byte {
		rows := []byte{}
		found, _ := os.ReadDir(filepath.Join(dir, arg))
		for _, e := range found {
			info, err := e.Info()
			if err != nil || hides && strings.HasPrefix(e.Name(), ".") {
				continue
			}
			if cmd == "MLSD" {
				kind := map[fs.FileMode]string{fs.ModeDir: "dir", 0: "file", fs.ModeSymlink: "OS.unix=symlink"}[e.Type()]
				rows = fmt.Appendf(rows, "type=%s;size=%d;modify=%s; %s\r\n", kind, info.Size(), info.ModTime().UTC().Format("20060102150405"), e.Name())
				continue
			}
			kind := map[fs.FileMode]string{fs.ModeDir: "d", 0: "-", fs.ModeSymlink: "l"}[e.Type()]
			rows = fmt.Appendf(rows, "%srw-r--r-- 1 u g %d %s %s\r\n", kind, info.Size(), info.ModTime().UTC().Add(ahead).Format("Jan _2 15:04"), e.Name())
		}
		return rows
	}
}

func TestWhatTheServerHidesIsNotCopiedToItAgain(t *testing.T) {
	for _, noMLSD := range []bool{false, true} {
		dir := t.TempDir()
		srv, client := serve(t, ftptest.Options{Dir: dir, NoMLSD: noMLSD, ListOnDataLines: lists(dir, 0, true)}, oneConnection)
		local := t.TempDir()
		for i := range 200 {
			require.NoError(t, writeAll(filepath.Join(local, fmt.Sprintf(".git/objects/%03d", i)), "x"))
		}
		for _, name := range []string{".env", "f", "sub/.env", "sub/f", ".git/HEAD"} {
			require.NoError(t, writeAll(filepath.Join(local, name), "mine"))
			age(t, local, name, time.Hour)
		}
		plan := func() *ftpclient.Plan {
			plan, err := client.PlanMirror(t.Context(), "srv", "there", local, mirrorOf(directions[1], deletes))
			require.NoError(t, err)
			return plan
		}
		first := plan()
		assert.Len(t, first.Actions, 205+3)
		_, err := client.Apply(t.Context(), first, nil)
		require.NoError(t, err)

		srv.ResetStats()
		assert.Empty(t, steps(plan()))
		assert.Less(t, srv.Stats().RoundTrips, 25, "many are asked about at a time")

		require.NoError(t, writeAll(filepath.Join(local, ".env"), "changed"))
		require.NoError(t, writeAll(filepath.Join(local, "sub/.env"), "mein"))
		require.NoError(t, writeAll(filepath.Join(local, ".new"), "new"))
		age(t, local, "sub/.env", time.Minute)
		assert.Equal(t, []string{"copy .env: size differs", "copy .new: missing", "copy sub/.env: newer"}, steps(plan()))

		put(t, srv, "there/shown", nil)
		require.NoError(t, os.RemoveAll(filepath.Join(local, ".git")))
		second := plan()
		assert.Equal(t, "delete shown: deleted at the source", steps(second)[3])
		_, err = client.Apply(t.Context(), second, nil)
		require.NoError(t, err)
		assert.Equal(t, "mine", grown(t, filepath.Join(dir, "there"))[".git/HEAD"], "what is hidden is not deleted")
	}
}

func TestUploadDirSkipsWhatTheServerHides(t *testing.T) {
	dir := t.TempDir()
	_, client := serve(t, ftptest.Options{Dir: dir, ListOnDataLines: lists(dir, 0, true)})
	local := t.TempDir()
	for _, name := range []string{".env", ".git/HEAD", "sub/.env", "sub/f"} {
		require.NoError(t, writeAll(filepath.Join(local, name), "mine"))
	}
	opts := &ftpclient.BatchOptions{TransferOptions: ftpclient.TransferOptions{Existing: ftpclient.SkipSame, PreserveTime: true}}
	for _, skipped := range []int{0, 4} {
		result, err := client.UploadDir(t.Context(), "srv", local, "there", opts)
		require.NoError(t, err)
		assert.Equal(t, skipped, result.Skipped)
	}
}

func TestAWrongTimeZoneCopiesNothingAgain(t *testing.T) {
	for _, ahead := range []time.Duration{-5 * time.Hour, 3 * time.Hour} {
		dir, local := t.TempDir(), t.TempDir()
		for i := range 100 {
			name := fmt.Sprintf("f%02d", i)
			require.NoError(t, writeAll(filepath.Join(dir, "there", name), name))
			age(t, filepath.Join(dir, "there"), name, 48*time.Hour)
		}
		srv, client := serve(t, ftptest.Options{Dir: dir, NoMLSD: true, ListOnDataLines: lists(dir, ahead, false)}, oneConnection)
		for _, d := range directions {
			plan := func() *ftpclient.Plan {
				plan, err := client.PlanMirror(t.Context(), "srv", "there", local, mirrorOf(d))
				require.NoError(t, err)
				return plan
			}
			_, err := client.Apply(t.Context(), plan(), nil)
			require.NoError(t, err)
			srv.ResetStats()
			assert.Empty(t, steps(plan()), d.name)
			assert.Less(t, srv.Stats().RoundTrips, 15, "many are asked about at a time")

			opts := &ftpclient.BatchOptions{Workers: 1, TransferOptions: ftpclient.TransferOptions{Existing: ftpclient.SkipSame}}
			srv.ResetStats()
			result, err := d.move(t.Context(), client, local, "there", opts)
			require.NoError(t, err)
			assert.Equal(t, 100, result.Skipped, d.name)
			assert.Less(t, srv.Stats().RoundTrips, 15, "many are asked about at a time")
		}
	}
}

func TestAHiddenNameThatTheServerCannotHaveSpoilsNoPlan(t *testing.T) {
	srv, client := serve(t, ftptest.Options{ListOnDataLines: func(string, string) []byte { return []byte{} }}, func(sc *ftpclient.ServerConfig) {
		sc.Encoding = "iso-8859-1"
	})
	local := t.TempDir()
	put(t, srv, "there/.same", []byte("same"))
	for _, name := range []string{".same", ".文"} {
		require.NoError(t, writeAll(filepath.Join(local, name), "same"))
	}
	plan, err := client.PlanMirror(t.Context(), "srv", "there", local, mirrorOf(directions[1], func(o *ftpclient.MirrorOptions) {
		o.Compare = ftpclient.CompareSize
	}))
	require.NoError(t, err)
	assert.Equal(t, []string{"copy .文: missing"}, steps(plan))
	assert.Equal(t, 1, plan.Unchanged)
	_, err = client.Apply(t.Context(), plan, nil)
	require.ErrorIs(t, err, ftpclient.ErrUnsafeName)
}

func TestAFaultOfAPlanSaysOnceWhereItIs(t *testing.T) {
	srv, client := serve(t, ftptest.Options{Faults: []ftptest.Fault{{Cmd: "MLSD", Path: "there/closed", Do: ftptest.Refuse, Reply: "550 Permission denied"}}},
		oneConnection)
	put(t, srv, "there/closed/f", []byte("x"))
	put(t, srv, "there/g", []byte("x"))
	plan, err := client.PlanMirror(t.Context(), "srv", "there", t.TempDir(), nil)
	require.NoError(t, err)
	require.Len(t, plan.Faults, 1)
	assert.Equal(t, 1, strings.Count(plan.String(), "there/closed"), plan)
	result, err := client.Apply(t.Context(), plan, nil)
	require.Error(t, err)
	require.Len(t, result.Failures, 1)
	text := result.Failures[0].Error()
	assert.Equal(t, 1, strings.Count(text, "there/closed"), text)
	assert.Contains(t, text, "download srv: there/closed: ")
	assert.Contains(t, text, "Permission denied")
}
