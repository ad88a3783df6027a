package ftpclient_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

// surplus is a mirror to a server that has so many files, in as many directories, more than the local folder, and its plan.
func surplus(t *testing.T, srv *ftptest.Server, client *ftpclient.Client, files, dirs int) *ftpclient.Plan {
	t.Helper()
	local := t.TempDir()
	for i := range files {
		put(t, srv, fmt.Sprintf("there/d%02d/f%03d", i%dirs, i), []byte("old"))
	}
	plan, err := client.PlanMirror(t.Context(), "srv", "there", local, mirrorOf(directions[1], deletes))
	require.NoError(t, err)
	require.Len(t, plan.Actions, files+dirs)
	return plan
}

func TestAMirrorDeletesManyNamesInARoundTrip(t *testing.T) {
	srv, client := serve(t, ftptest.Options{}, oneConnection)
	plan := surplus(t, srv, client, 300, 10)
	srv.ResetStats()
	result, err := client.Apply(t.Context(), plan, &ftpclient.BatchOptions{Workers: 1})
	require.NoError(t, err)
	assert.Equal(t, 310, result.Deleted)
	assert.Empty(t, names(t, filepath.Join(srv.Dir(), "there")))
	// For 64 files two questions for their sizes and times, and one write that deletes them; for the directories one write. A
	// check of the connection may come between.
	assert.Less(t, srv.Stats().RoundTrips, 3*5+1+8)
}

func TestDeletionsThatGoTogetherFailEachByItself(t *testing.T) {
	srv, client := serve(t, ftptest.Options{Faults: []ftptest.Fault{
		{Cmd: "DELE", Path: "there/d00/f010", Do: ftptest.Refuse, Reply: "550 no"},
		{Cmd: "DELE", Path: "there/d01/f021", Do: ftptest.CutControl, Times: 1},
	}})
	plan := surplus(t, srv, client, 100, 2)
	put(t, srv, "there/d00/f050", []byte("edited since"))
	require.NoError(t, os.Remove(filepath.Join(srv.Dir(), "there/d01/f061")))
	var told []string
	result, err := client.Apply(t.Context(), plan, &ftpclient.BatchOptions{OnFile: func(e ftpclient.FileEvent) {
		if e.Done {
			told = append(told, e.Job.Remote)
		}
	}})
	require.ErrorContains(t, err, "changed since")
	assert.Equal(t, [3]int{2, 2, 98}, [3]int{result.Total, result.Failed, result.Deleted}, "directories wait for their files")
	require.Len(t, result.Failures, 2)
	failures := map[string]string{}
	for _, f := range result.Failures {
		failures[f.Job.Remote] = f.Err.Error()
		assert.Equal(t, strings.TrimPrefix(f.Job.Remote, "there/"), strings.TrimPrefix(filepath.ToSlash(f.Job.Local), filepath.ToSlash(plan.LocalDir)+"/"))
	}
	assert.Contains(t, failures["there/d00/f010"], "there/d00/f010: ")
	assert.Contains(t, failures["there/d00/f050"], "changed since the plan was made")
	assert.ElementsMatch(t, []string{"there/d00/f010", "there/d00/f050"}, told)
	assert.Equal(t, map[string]string{"d00/f010": "old", "d00/f050": "edited since", "d01/": ""}, grown(t, filepath.Join(srv.Dir(), "there")))
}

func TestDeletionsEndWithTheirContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var asked atomic.Int32
	srv, client := serve(t, ftptest.Options{OnCommand: func(cmd, _ string) {
		if cmd == "DELE" && asked.Add(1) == 10 {
			cancel()
		}
	}, Faults: []ftptest.Fault{{Cmd: "DELE", Skip: 9, Do: ftptest.StallControl}}})
	plan := surplus(t, srv, client, 300, 10)
	result, err := client.Apply(ctx, plan, &ftpclient.BatchOptions{Workers: 1})
	require.ErrorIs(t, err, context.Canceled)
	assert.Less(t, result.Deleted, 64)
	assert.Len(t, result.Failures, result.Failed)
	assert.LessOrEqual(t, result.Failed, 64, "what was not asked for is not tried")
	assert.NotEmpty(t, grown(t, filepath.Join(srv.Dir(), "there")))
}

func TestAFileInPlaceOfALinkOnTheServerIsNotDeletedForIt(t *testing.T) {
	for _, noMLSD := range []bool{false, true} {
		dir, local := t.TempDir(), t.TempDir()
		srv, client := serve(t, ftptest.Options{Dir: dir, NoMLSD: noMLSD, ListOnDataLines: lists(dir, 0, false)})
		there := filepath.Join(dir, "there")
		put(t, srv, "there/sub/f", []byte("f"))
		for _, name := range []string{"link", "sub/link", "sub/same"} {
			require.NoError(t, os.Symlink("f", filepath.Join(there, name)))
		}
		plan, err := client.PlanMirror(t.Context(), "srv", "there", local, mirrorOf(directions[1], deletes))
		require.NoError(t, err)
		require.Len(t, plan.Actions, 5)
		for _, name := range []string{"link", "sub/link"} {
			require.NoError(t, os.Remove(filepath.Join(there, name)))
			require.NoError(t, os.WriteFile(filepath.Join(there, name), []byte("a file by now"), 0o600))
		}
		result, err := client.Apply(t.Context(), plan, nil)
		require.ErrorContains(t, err, "changed since")
		assert.Equal(t, [2]int{2, 2}, [2]int{result.Deleted, result.Failed})
		assert.Equal(t, map[string]string{"link": "a file by now", "sub/link": "a file by now"}, grown(t, there))

		require.NoError(t, os.RemoveAll(there))
		_, err = client.Apply(t.Context(), plan, nil)
		require.NoError(t, err, "all is gone")
	}
}

func TestAFileThatWasEditedSinceIsNotDeletedWhereListingsTellMinutes(t *testing.T) {
	srv, client := serve(t, ftptest.Options{NoMLSD: true}, oneConnection)
	put(t, srv, "there/dir/left", nil)
	for i := range 100 {
		put(t, srv, fmt.Sprintf("there/f%02d", i), []byte("old text"))
	}
	srv.ResetStats()
	plan, err := client.PlanMirror(t.Context(), "srv", "there", t.TempDir(), mirrorOf(directions[1], deletes))
	require.NoError(t, err)
	assert.Less(t, srv.Stats().RoundTrips, 20)
	put(t, srv, "there/f42", []byte("new text"))
	age(t, filepath.Join(srv.Dir(), "there"), "f42", -2*time.Second)
	result, err := client.Apply(t.Context(), plan, nil)
	require.ErrorContains(t, err, "changed since")
	assert.Equal(t, [2]int{100, 1}, [2]int{result.Deleted, result.Failed})
	assert.Equal(t, map[string]string{"f42": "new text", "dir/": ""}, grown(t, filepath.Join(srv.Dir(), "there")))
}

func TestAFolderIsNotDeletedForANameOfUnknownType(t *testing.T) {
	srv, client := serve(t, ftptest.Options{ListOnDataLines: func(_, arg string) []byte {
		return []byte("type=file;size=1;modify=20260304050607; f\r\nsize=4096;modify=20260304050607; d\r\n")
	}})
	put(t, srv, "there/f", []byte("f"))
	put(t, srv, "there/d/g", []byte("g"))
	local := t.TempDir()
	for _, name := range []string{"d/mine", "d/deep/mine", "surplus"} {
		require.NoError(t, writeAll(filepath.Join(local, name), "mine"))
	}
	plan, err := client.PlanMirror(t.Context(), "srv", "there", local, mirrorOf(directions[0], deletes))
	require.NoError(t, err)
	assert.Equal(t, []string{"skip d: type unknown: a directory is in the way", "copy f: missing", "delete surplus: deleted at the source"}, steps(plan))
	_, err = client.Apply(t.Context(), plan, nil)
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"d/mine": "mine", "d/deep/mine": "mine", "f": "f"}, grown(t, local))
}

// Of a file of which the server tells nothing for the moment nobody knows whether it is the one that the plan saw.
func TestWhatAServerDoesNotTellJustNowIsNotDeleted(t *testing.T) {
	for what, tt := range map[string]struct{ says, to string }{
		"it has forgotten the login": {"530 Please login with USER and PASS.", "SIZE MDTM PWD DELE RMD TYPE"},
		"the size is not to be had":  {"450 f: busy", "SIZE"},
		"the time is not to be had":  {"451 f: local trouble", "MDTM"},
	} {
		var asked, out atomic.Bool
		srv, client := serve(t, ftptest.Options{Command: func(cmd, _ string) (string, bool) {
			switch {
			case cmd == "USER":
				out.Store(false)
			case cmd == "SIZE" && !asked.Swap(true):
				out.Store(true)
			}
			return tt.says, out.Load() && strings.Contains(tt.to, cmd)
		}}, oneConnection)
		plan := surplus(t, srv, client, 1, 1)
		put(t, srv, "there/d00/f000", []byte("new"))
		age(t, filepath.Join(srv.Dir(), "there/d00"), "f000", -time.Minute)
		_, err := client.Apply(t.Context(), plan, nil)
		require.Error(t, err, what)
		assert.Equal(t, "new", grown(t, filepath.Join(srv.Dir(), "there"))["d00/f000"], what)
		out.Store(false)
		_, err = client.Apply(t.Context(), plan, nil)
		require.ErrorContains(t, err, "changed since", what)
	}
}

func TestAMirrorIsOfAServerWhateverItSaysToNOOP(t *testing.T) {
	for _, says := range []string{"250 ok", "220 ok", "500 no", "550 no"} {
		srv, client := serve(t, ftptest.Options{NoMLSD: true, Faults: []ftptest.Fault{{Cmd: "NOOP", Do: ftptest.Refuse, Reply: says}}}, oneConnection)
		plan := surplus(t, srv, client, 10, 2)
		result, err := client.Apply(t.Context(), plan, nil)
		require.NoError(t, err, says)
		assert.Equal(t, 12, result.Deleted)
	}
}

func TestANameInAPlanThatCannotBeSentIsTheErrorOfNoOtherDeletion(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	plan := surplus(t, srv, client, 3, 1)
	plan.Actions = plan.Actions[:3] // without the directory
	plan.Actions[1].Remote = "there/d00/f\n001"
	result, err := client.Apply(t.Context(), plan, nil)
	require.ErrorIs(t, err, ftpclient.ErrUnsafeName)
	assert.Equal(t, 2, result.Deleted)
	require.Len(t, result.Failures, 1)
	assert.Equal(t, "there/d00/f\n001", result.Failures[0].Job.Remote)
}
