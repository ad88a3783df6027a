package ftpclient_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

// steps are a plan's actions as "kind path: reason".
func steps(plan *ftpclient.Plan) []string {
	var out []string
	for _, a := range plan.Actions {
		out = append(out, fmt.Sprintf("%s %s: %s", a.Kind, strings.TrimPrefix(a.Remote, "there/"), a.Reason))
	}
	return out
}

func mirrorOf(d direction, change ...func(*ftpclient.MirrorOptions)) *ftpclient.MirrorOptions {
	opts := &ftpclient.MirrorOptions{Direction: ftpclient.Down}
	if d.up {
		opts.Direction = ftpclient.Up
	}
	for _, f := range change {
		f(opts)
	}
	return opts
}

func deletes(o *ftpclient.MirrorOptions) { o.Delete = true }

func age(t *testing.T, dir, name string, d time.Duration) {
	t.Helper()
	when := time.Now().Add(-d).Truncate(time.Second)
	require.NoError(t, os.Chtimes(filepath.Join(dir, name), when, when))
}

func TestAMirrorMakesOneTreeLikeTheOtherAndThenHasNothingToDo(t *testing.T) {
	for _, d := range directions {
		for _, noMLSD := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, LIST %t", d.name, noMLSD), func(t *testing.T) {
				srv, client := serve(t, ftptest.Options{NoMLSD: noMLSD})
				local := filepath.Join(t.TempDir(), "here")
				source, target := d.sides(srv, local, "there")
				want := withEmpty(sow(t, source, 25))
				for name, content := range map[string]string{
					"d00/f00": want["d00/f00"],                                 // the same, but older
					"d00/f01": "another size",                                  // differs
					"d00/f02": want["d00/f02"],                                 // the same
					"d00/x":   "gone", "gone/deep/y": "gone", "gone/z": "gone", // surplus
					"d01/f00/now": "a directory where a file should be",
				} {
					require.NoError(t, writeAll(filepath.Join(target, name), content))
				}
				require.NoError(t, writeAll(filepath.Join(target, "d02"), "a file where a directory should be"))
				age(t, source, "d00/f02", 0)
				age(t, target, "d00/f02", 0)
				age(t, source, "d00/f00", time.Hour)
				age(t, target, "d00/f00", 48*time.Hour)

				plan, err := client.PlanMirror(t.Context(), "srv", "there", local, mirrorOf(d, deletes))
				require.NoError(t, err)
				got := steps(plan)
				for _, step := range []string{
					"copy d00/f00: newer", "copy d00/f01: size differs", "copy d00/f03: missing", "mkdir empty: missing",
					"mkdir empty/inner: missing", "copy d01/f00: type changed", "mkdir d02: type changed",
					"delete d02: type changed", "delete d01/f00/now: deleted at the source", "delete gone/deep/y: deleted at the source",
				} {
					assert.Contains(t, got, step)
				}
				assert.NotContains(t, strings.Join(got, "\n"), "f02: n")
				deep, top := slices.Index(got, "delete gone/deep: deleted at the source"), slices.Index(got, "delete gone: deleted at the source")
				assert.True(t, 0 < deep && deep < top, "what is in a directory goes before it")
				assert.Equal(t, 1, plan.Unchanged)

				result, err := client.Apply(t.Context(), plan, nil)
				require.NoError(t, err)
				assert.Equal(t, want, grown(t, target))
				assert.Equal(t, 24, result.Succeeded)
				assert.Equal(t, 8, result.Deleted)

				plan, err = client.PlanMirror(t.Context(), "srv", "there", local, mirrorOf(d, deletes))
				require.NoError(t, err)
				assert.Empty(t, plan.Actions)
				assert.Equal(t, 25, plan.Unchanged)
				_, err = client.Apply(t.Context(), plan, nil)
				require.NoError(t, err)
			})
		}
	}
}

func TestAMirrorDeletesAndReplacesNothingUnlessAskedTo(t *testing.T) {
	for _, d := range directions {
		srv, client := serve(t, ftptest.Options{})
		local := filepath.Join(t.TempDir(), "here")
		source, target := d.sides(srv, local, "there")
		for name, dir := range map[string]string{"a": source, "b/c": source, "surplus": target, "a/was/a/dir": target, "b": target} {
			require.NoError(t, writeAll(filepath.Join(dir, name), name))
		}
		before := grown(t, target)
		plan, err := client.PlanMirror(t.Context(), "srv", "there", local, mirrorOf(d))
		require.NoError(t, err)
		assert.Equal(t, []string{"skip a: type changed: a directory is in the way", "skip b: type changed: a file is in the way"}, steps(plan))
		result, err := client.Apply(t.Context(), plan, nil)
		require.NoError(t, err)
		assert.Equal(t, 2, result.Skipped)
		assert.Equal(t, before, grown(t, target))
	}
}

func TestPatternsLeaveAloneWhatIsOnBothSides(t *testing.T) {
	for _, d := range directions {
		srv, client := serve(t, ftptest.Options{})
		local := filepath.Join(t.TempDir(), "here")
		source, target := d.sides(srv, local, "there")
		for _, name := range []string{"x.csv", "sub/y.csv", "sub/z.txt", "keep/k.csv"} {
			require.NoError(t, writeAll(filepath.Join(source, name), name))
		}
		for _, name := range []string{"old.csv", "old.txt", "gone/in.csv", "gone/in.txt", "keep/other.csv"} {
			require.NoError(t, writeAll(filepath.Join(target, name), name))
		}
		plan, err := client.PlanMirror(t.Context(), "srv", "there", local, mirrorOf(d, deletes, func(o *ftpclient.MirrorOptions) {
			o.Include, o.Exclude = []string{"**/*.csv"}, []string{"keep"}
		}))
		require.NoError(t, err)
		_, err = client.Apply(t.Context(), plan, nil)
		require.NoError(t, err)
		assert.Equal(t, map[string]string{
			"x.csv": "x.csv", "sub/y.csv": "sub/y.csv", "old.txt": "old.txt", "gone/in.txt": "gone/in.txt", "keep/other.csv": "keep/other.csv",
		}, grown(t, target), d.name)
	}
}

func TestAPlanOfAnIncompleteListingDeletesNothing(t *testing.T) {
	srv, client := serve(t, ftptest.Options{Faults: []ftptest.Fault{{Cmd: "MLSD", Path: "there/b", Do: ftptest.Refuse, Reply: "550 no"}}})
	local := t.TempDir()
	for _, name := range []string{"a/f", "b/f"} {
		put(t, srv, "there/"+name, []byte(name))
		require.NoError(t, writeAll(filepath.Join(local, name), name))
	}
	require.NoError(t, writeAll(filepath.Join(local, "surplus"), "x"))
	plan, err := client.PlanMirror(t.Context(), "srv", "there", local, mirrorOf(directions[0], deletes))
	require.NoError(t, err)
	assert.True(t, plan.Incomplete)
	require.Len(t, plan.Faults, 1)
	for _, a := range plan.Actions {
		assert.NotEqual(t, ftpclient.ActionDelete, a.Kind)
	}
	result, err := client.Apply(t.Context(), plan, nil)
	require.Error(t, err, "what could not be read is a failure")
	assert.Equal(t, 1, result.Failed)
	assert.FileExists(t, filepath.Join(local, "surplus"))
	assert.FileExists(t, filepath.Join(local, "b/f"))

	plan.Actions = append(plan.Actions, ftpclient.Action{Kind: ftpclient.ActionDelete, Remote: "there/surplus", Local: filepath.Join(local, "surplus")})
	_, err = client.Apply(t.Context(), plan, nil)
	require.Error(t, err)
	assert.FileExists(t, filepath.Join(local, "surplus"))
}

func TestAnExcludedFolderThatCannotBeReadIsNoFault(t *testing.T) {
	for _, d := range directions {
		for _, remotely := range []bool{false, true} {
			srv, client := serve(t, ftptest.Options{Faults: []ftptest.Fault{{Cmd: "MLSD", Path: "lost+found", Do: ftptest.Refuse, Reply: "550 Permission denied"}}})
			local := filepath.Join(t.TempDir(), "here")
			source, target := d.sides(srv, local, "there")
			require.NoError(t, writeAll(filepath.Join(source, "f"), "f"))
			require.NoError(t, writeAll(filepath.Join(target, "surplus"), "x"))
			where := filepath.Join(local, "lost+found")
			if remotely {
				where = filepath.Join(srv.Dir(), "there/lost+found")
			}
			require.NoError(t, os.Mkdir(where, map[bool]os.FileMode{true: 0o700, false: 0}[remotely]))
			plan, err := client.PlanMirror(t.Context(), "srv", "there", local, mirrorOf(d, deletes, excludes("lost+found")))
			require.NoError(t, err)
			assert.Empty(t, plan.Faults)
			_, err = client.Apply(t.Context(), plan, nil)
			require.NoError(t, err)
			assert.NoFileExists(t, filepath.Join(target, "surplus"))
			assert.DirExists(t, where)
		}
	}
}

func TestASourceThatIsNotThereIsNoEmptyOne(t *testing.T) {
	for _, d := range directions {
		srv, client := serve(t, ftptest.Options{})
		local := filepath.Join(t.TempDir(), "here")
		_, target := d.sides(srv, local, "there")
		require.NoError(t, writeAll(filepath.Join(target, "f"), "x"))
		_, err := client.PlanMirror(t.Context(), "srv", "there", local, mirrorOf(d, deletes))
		require.Error(t, err, d.name)
	}
}

func TestDeletionsWaitForCopiesAndSpareWhatChangedSince(t *testing.T) {
	for _, d := range directions {
		t.Run(d.name, func(t *testing.T) {
			srv, client := serve(t, ftptest.Options{})
			local := filepath.Join(t.TempDir(), "here")
			source, target := d.sides(srv, local, "there")
			require.NoError(t, writeAll(filepath.Join(source, "new"), "new"))
			for _, name := range []string{"old", "dir/old"} {
				require.NoError(t, writeAll(filepath.Join(target, name), name))
			}
			plan, err := client.PlanMirror(t.Context(), "srv", "there", local, mirrorOf(d, deletes))
			require.NoError(t, err)
			srv.SetFaults(ftptest.Fault{Cmd: "RETR", Do: ftptest.Refuse, Reply: "553 no"}, ftptest.Fault{Cmd: "STOR", Do: ftptest.Refuse, Reply: "553 no"})
			result, err := client.Apply(t.Context(), plan, nil)
			require.Error(t, err)
			assert.Zero(t, result.Deleted)
			assert.FileExists(t, filepath.Join(target, "old"))

			srv.SetFaults()
			require.NoError(t, writeAll(filepath.Join(target, "dir/appeared"), "since"))
			require.NoError(t, writeAll(filepath.Join(target, "old"), "grown since"))
			_, err = client.Apply(t.Context(), plan, nil)
			require.Error(t, err)
			assert.Equal(t, map[string]string{"new": "new", "old": "grown since", "dir/appeared": "since"}, grown(t, target))
		})
	}
}

func TestAPlanIsDataThatCanBeFilteredAndWritten(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	put(t, srv, "there/a", []byte("aaa"))
	put(t, srv, "there/b", []byte("bb"))
	local := t.TempDir()
	plan, err := client.PlanMirror(t.Context(), "srv", "there", local, nil)
	require.NoError(t, err)
	assert.Equal(t, "copy  3  a  missing\ncopy  2  b  missing\n"+
		"download: 2 to copy (5 bytes), 0 directories to make, 0 to delete, 0 to skip, 0 unchanged\n", plan.String())
	text, err := json.Marshal(plan)
	require.NoError(t, err)
	assert.Contains(t, string(text), `"kind":"copy"`)
	var back ftpclient.Plan
	require.NoError(t, json.Unmarshal(text, &back))
	assert.Equal(t, *plan, back)
	back.Actions = slices.DeleteFunc(back.Actions, func(a ftpclient.Action) bool { return strings.HasSuffix(a.Remote, "/b") })
	_, err = client.Apply(t.Context(), &back, nil)
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"a": "aaa"}, grown(t, local))

	back.Actions = []ftpclient.Action{{Kind: ftpclient.ActionCopy, Remote: "there/b", Local: filepath.Join(local, "../out")}}
	_, err = client.Apply(t.Context(), &back, nil)
	require.ErrorIs(t, err, ftpclient.ErrUnsafeName)
	assert.NoFileExists(t, filepath.Join(local, "../out"))
}

func TestAMirrorComparesDigestsWhereAsked(t *testing.T) {
	srv, client := serve(t, ftptest.Options{Hash: true})
	local := t.TempDir()
	when := time.Now().Truncate(time.Second)
	for name, content := range map[string][2]string{"same": {"abc", "abc"}, "differs": {"abc", "abd"}} {
		put(t, srv, "there/"+name, []byte(content[0]))
		require.NoError(t, writeAll(filepath.Join(local, name), content[1]))
		require.NoError(t, os.Chtimes(filepath.Join(local, name), when, when))
		require.NoError(t, os.Chtimes(filepath.Join(srv.Dir(), "there", name), when, when))
	}
	opts := func(c ftpclient.Compare) *ftpclient.MirrorOptions { return &ftpclient.MirrorOptions{Compare: c} }
	plan, err := client.PlanMirror(t.Context(), "srv", "there", local, opts(ftpclient.CompareSizeAndTime))
	require.NoError(t, err)
	assert.Empty(t, plan.Actions, "size and time are equal")
	plan, err = client.PlanMirror(t.Context(), "srv", "there", local, opts(ftpclient.CompareHash))
	require.NoError(t, err)
	assert.Equal(t, []string{"copy differs: content differs"}, steps(plan))

	srv, client = serve(t, ftptest.Options{})
	put(t, srv, "there/same", []byte("abc"))
	_, err = client.PlanMirror(t.Context(), "srv", "there", local, opts(ftpclient.CompareHash))
	require.ErrorIs(t, err, ftpclient.ErrUnverifiable)
}

func TestTimesThatAListingTellsToTheMinuteAreAskedForTogether(t *testing.T) {
	srv, client := serve(t, ftptest.Options{NoMLSD: true})
	local := t.TempDir()
	for i := range 100 {
		name := fmt.Sprintf("f%02d", i)
		put(t, srv, "there/"+name, []byte(name))
		require.NoError(t, writeAll(filepath.Join(local, name), name))
		info, err := os.Stat(filepath.Join(srv.Dir(), "there", name))
		require.NoError(t, err)
		when := info.ModTime()
		if i == 42 { // within the same minute
			if when.Second() > 30 {
				when = when.Add(-20 * time.Second)
			} else {
				when = when.Add(20 * time.Second)
			}
		}
		require.NoError(t, os.Chtimes(filepath.Join(local, name), when, when))
	}
	srv.ResetStats()
	plan, err := client.PlanMirror(t.Context(), "srv", "there", local, nil)
	require.NoError(t, err)
	require.Len(t, plan.Actions, 1)
	assert.Equal(t, "there/f42", plan.Actions[0].Remote)
	assert.Less(t, srv.Stats().RoundTrips, 25)
}
