package ftpclient_test

import (
	"context"
	"encoding/json"
	"io/fs"
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

func TestAMirrorDoesNotDeleteWhatItWritesUnderAnotherSpelling(t *testing.T) {
	for _, d := range directions {
		srv, client := serve(t, ftptest.Options{})
		local := filepath.Join(t.TempDir(), "here")
		source, target := d.sides(srv, local, "there")
		for _, name := range []string{"readme", "Docs/a", "same"} {
			require.NoError(t, writeAll(filepath.Join(source, name), "new"))
		}
		for _, name := range []string{"README", "docs/A", "docs/gone", "same", "SAME"} {
			require.NoError(t, writeAll(filepath.Join(target, name), "old"))
		}
		plan, err := client.PlanMirror(t.Context(), "srv", "there", local, mirrorOf(d, deletes))
		require.NoError(t, err)
		var gone []string
		for _, a := range plan.Actions {
			if a.Kind == ftpclient.ActionDelete {
				gone = append(gone, strings.TrimPrefix(a.Remote, "there/"))
			}
		}
		assert.Equal(t, []string{"docs/gone", "SAME"}, gone, "%s: a server, or a disk, may take the others for what was just copied", d.name)
	}
}

func TestAMirrorDoesNotDeleteAnotherSpellingOfWhatItLeavesAlone(t *testing.T) {
	for _, d := range directions {
		for what, c := range map[string]struct {
			sources, targets []string
			change           func(*ftpclient.MirrorOptions)
			gone             []string
		}{
			"excluded":                 {[]string{"f", "Private/a"}, []string{"private/a", "x/a"}, excludes("Private"), []string{"x/a", "x"}},
			"excluded, in directories": {[]string{"f", "x/Straße/a"}, []string{"x/STRASSE/b/a", "X/y"}, excludes("**/Straße"), []string{"X/y", "X"}},
			"excluded, not there":      {[]string{"f"}, []string{"notes.BAK", "notes"}, excludes("*.bak"), []string{"notes"}},
			"a link":                   {[]string{"f"}, []string{"link", "links"}, nil, []string{"links"}},
			"not included":             {[]string{"f.csv", "Sub/data"}, []string{"sub/data", "sub/DATA.csv"}, includes("**/*.csv"), []string{"sub/DATA.csv"}},
			"not included, elsewhere":  {[]string{"f.csv", "A.txt"}, []string{"a.TXT", "a.csv"}, includes("**/*.csv", "a.*"), []string{"a.csv"}},
		} {
			srv, client := serve(t, ftptest.Options{})
			local := filepath.Join(t.TempDir(), "here")
			source, target := d.sides(srv, local, "there")
			for _, name := range c.sources {
				require.NoError(t, writeAll(filepath.Join(source, name), "mine"))
			}
			require.NoError(t, os.Symlink("f", filepath.Join(source, "Link")))
			for _, name := range c.targets {
				require.NoError(t, writeAll(filepath.Join(target, name), "mine"))
			}
			opts := mirrorOf(d, deletes)
			if c.change != nil {
				c.change(opts)
			}
			plan, err := client.PlanMirror(t.Context(), "srv", "there", local, opts)
			require.NoError(t, err)
			var gone []string
			for _, a := range plan.Actions {
				if a.Kind == ftpclient.ActionDelete {
					gone = append(gone, strings.TrimPrefix(a.Remote, "there/"))
				}
			}
			slices.Sort(gone)
			slices.Sort(c.gone)
			assert.Equal(t, c.gone, gone, "%s: %s", d.name, what)
			_, err = client.Apply(t.Context(), plan, nil)
			require.NoError(t, err, "%s: %s", d.name, what)
		}
	}
}

func excludes(patterns ...string) func(*ftpclient.MirrorOptions) {
	return func(o *ftpclient.MirrorOptions) { o.Exclude = patterns }
}

func includes(patterns ...string) func(*ftpclient.MirrorOptions) {
	return func(o *ftpclient.MirrorOptions) { o.Include = patterns }
}

func TestAMirrorDoesNotDeleteWhatTheServerMayHide(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	local := t.TempDir()
	put(t, srv, "there/f", []byte("f"))
	for _, name := range []string{".config/app", "sub/.env", "gone"} {
		require.NoError(t, writeAll(filepath.Join(local, name), "mine"))
	}
	apply := func() map[string]string {
		plan, err := client.PlanMirror(t.Context(), "srv", "there", local, mirrorOf(directions[0], deletes))
		require.NoError(t, err)
		_, err = client.Apply(t.Context(), plan, nil)
		require.NoError(t, err)
		return grown(t, local)
	}
	assert.Equal(t, map[string]string{"f": "f", ".config/app": "mine", "sub/.env": "mine"}, apply())
	put(t, srv, "there/.shown", []byte("x"))
	assert.Equal(t, map[string]string{"f": "f", ".shown": "x"}, apply(), "a server that lists one lists them all")
}

func TestAMirrorIsOfNoEmptyFolderWhereNothingIsListed(t *testing.T) {
	srv, client := serve(t, ftptest.Options{ListOnDataLines: func(cmd, arg string) []byte {
		if cmd == "LIST" && strings.HasPrefix(arg, "-a") {
			return []byte{} // as of a file that is not there
		}
		return nil
	}}, func(sc *ftpclient.ServerConfig) { sc.ListHidden = true })
	put(t, srv, "there/f", []byte("f"))
	put(t, srv, "there/sub/f", []byte("f"))
	local := t.TempDir()
	for _, name := range []string{"f", "sub/f", "sub/.hidden", "surplus"} {
		require.NoError(t, writeAll(filepath.Join(local, name), "f"))
	}
	plan, err := client.PlanMirror(t.Context(), "srv", "there", local, mirrorOf(directions[0], deletes))
	require.NoError(t, err)
	assert.True(t, plan.Incomplete, "a server that was to list hidden names does not")
	assert.NotContains(t, strings.Join(steps(plan), ","), "delete")
}

func TestAPlanThatWasTamperedWithLeadsOutOfNeitherFolder(t *testing.T) {
	for _, d := range directions {
		for _, remote := range []string{"elsewhere/f", "there/../elsewhere/f", "there", "there/", "", "/there/f", "there/./f", "thereabouts/f"} {
			for _, kind := range []ftpclient.ActionKind{ftpclient.ActionCopy, ftpclient.ActionMkdir, ftpclient.ActionDelete} {
				srv, client := serve(t, ftptest.Options{})
				local := t.TempDir()
				put(t, srv, "elsewhere/f", []byte("not yours"))
				require.NoError(t, writeAll(filepath.Join(local, "f"), "mine"))
				before := grown(t, srv.Dir())
				plan := &ftpclient.Plan{
					Server: "srv", RemoteDir: "there", LocalDir: local, Direction: mirrorOf(d).Direction,
					Actions: []ftpclient.Action{{Kind: kind, Remote: remote, Local: filepath.Join(local, "f"), Size: 4}},
				}
				_, err := client.Apply(t.Context(), plan, nil)
				require.ErrorIs(t, err, ftpclient.ErrUnsafeName, "%s %s %q", d.name, kind, remote)
				assert.Equal(t, before, grown(t, srv.Dir()))
				assert.Equal(t, map[string]string{"f": "mine"}, grown(t, local))
			}
		}
	}
}

func TestAnActionOfAnUnknownKindDoesNothing(t *testing.T) {
	for _, d := range directions {
		for _, kind := range []ftpclient.ActionKind{-1, ftpclient.ActionSkip + 1, 7} {
			for _, incomplete := range []bool{false, true} {
				srv, client := serve(t, ftptest.Options{})
				local := t.TempDir()
				put(t, srv, "there/f", []byte("mine"))
				require.NoError(t, writeAll(filepath.Join(local, "f"), "mine"))
				plan := &ftpclient.Plan{
					Server: "srv", RemoteDir: "there", LocalDir: local, Direction: mirrorOf(d).Direction, Incomplete: incomplete,
					Actions: []ftpclient.Action{{Kind: kind, Remote: "there/f", Local: filepath.Join(local, "f"), Size: 4}},
				}
				result, err := client.Apply(t.Context(), plan, nil)
				require.ErrorIs(t, err, fs.ErrInvalid, "%s %s", d.name, kind)
				assert.Equal(t, 1, result.Failed)
				assert.Equal(t, map[string]string{"there/f": "mine"}, grown(t, srv.Dir()))
				assert.Equal(t, map[string]string{"f": "mine"}, grown(t, local))
			}
		}
	}
}

func TestADirectoryThatCannotBeMadeIsCountedOnce(t *testing.T) {
	srv, client := serve(t, ftptest.Options{Faults: []ftptest.Fault{{Cmd: "MKD", Path: "there/a", Do: ftptest.Refuse, Reply: "550 no"}}})
	put(t, srv, "there/x", []byte("x"))
	local := t.TempDir()
	for _, name := range []string{"a/f", "b", "c"} {
		require.NoError(t, writeAll(filepath.Join(local, name), name))
	}
	plan, err := client.PlanMirror(t.Context(), "srv", "there", local, mirrorOf(directions[1]))
	require.NoError(t, err)
	indexes := map[int]int{}
	result, err := client.Apply(t.Context(), plan, &ftpclient.BatchOptions{OnFile: func(e ftpclient.FileEvent) {
		if e.Done {
			indexes[e.Index]++
		}
	}})
	require.Error(t, err)
	assert.Equal(t, [3]int{4, 2, 2}, [3]int{result.Total, result.Succeeded, result.Failed})
	assert.Equal(t, map[int]int{1: 1, 2: 1, 3: 1, 4: 1}, indexes)
}

func TestAPlanThatWasCancelledIsNone(t *testing.T) {
	for _, d := range directions {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		srv, client := serve(t, ftptest.Options{
			OnCommand: func(cmd, arg string) {
				if cmd == "MLSD" && strings.Contains(arg, "sub") {
					cancel()
				}
			},
			Faults: []ftptest.Fault{{Cmd: "MLSD", Path: "sub", Do: ftptest.StallControl}},
		})
		put(t, srv, "there/sub/f", []byte("f"))
		_, err := client.PlanMirror(ctx, "srv", "there", t.TempDir(), mirrorOf(d))
		require.ErrorIs(t, err, context.Canceled, d.name)
	}
}

func TestAFolderMayBeSpeltInAnyWay(t *testing.T) {
	_, client := serve(t, ftptest.Options{})
	local := t.TempDir()
	require.NoError(t, writeAll(filepath.Join(local, "f"), "f"))
	for _, dir := range []string{"new", "./new", "new//", "x/../new", "./x/.././new/"} {
		_, err := client.PlanMirror(t.Context(), "srv", dir, local, mirrorOf(directions[0]))
		require.Error(t, err, "%q: a source that is not there", dir)
		plan, err := client.PlanMirror(t.Context(), "srv", dir, local, mirrorOf(directions[1]))
		require.NoError(t, err)
		assert.False(t, plan.Incomplete, "%q: a target that is not there", dir)
		assert.Equal(t, []string{"copy new/f: missing"}, steps(plan))
	}
}

func TestARowThatCannotBeReadIsNoTreeThatCannot(t *testing.T) {
	rows := "type=file;size=1; ../up\r\ntype=file;size=2; ok\r\n"
	_, client := serve(t, ftptest.Options{ListOnDataLines: func(string, string) []byte { return []byte(rows) }})
	local := t.TempDir()
	require.NoError(t, writeAll(filepath.Join(local, "surplus"), "x"))
	for _, d := range directions {
		plan, err := client.PlanMirror(t.Context(), "srv", "there", local, mirrorOf(d, deletes))
		require.NoError(t, err, d.name)
		assert.True(t, plan.Incomplete)
		assert.Len(t, plan.Faults, 1)
		assert.Len(t, plan.Actions, 1, "the one copy")
	}
}

func TestAFileThatWasEditedSinceThePlanIsNotDeleted(t *testing.T) {
	for _, d := range directions {
		srv, client := serve(t, ftptest.Options{})
		local := filepath.Join(t.TempDir(), "here")
		source, target := d.sides(srv, local, "there")
		require.NoError(t, writeAll(filepath.Join(source, "f"), "f"))
		for _, name := range []string{"edited", "left", "touched"} {
			require.NoError(t, writeAll(filepath.Join(target, name), "old text"))
			age(t, target, name, time.Hour)
		}
		plan, err := client.PlanMirror(t.Context(), "srv", "there", local, mirrorOf(d, deletes))
		require.NoError(t, err)
		text, err := json.Marshal(plan)
		require.NoError(t, err)
		var back ftpclient.Plan
		require.NoError(t, json.Unmarshal(text, &back))
		assert.Equal(t, *plan, back)

		require.NoError(t, writeAll(filepath.Join(target, "edited"), "new text")) // of the same size
		age(t, target, "touched", time.Minute)
		result, err := client.Apply(t.Context(), &back, nil)
		require.ErrorContains(t, err, "changed since", d.name)
		assert.Equal(t, [2]int{1, 2}, [2]int{result.Deleted, result.Failed}, d.name)
		assert.Equal(t, map[string]string{"f": "f", "edited": "new text", "touched": "old text"}, grown(t, target), d.name)

		for i := range back.Actions { // as a plan from before times were noted
			back.Actions[i].ModTime = time.Time{}
		}
		_, err = client.Apply(t.Context(), &back, nil)
		require.NoError(t, err, d.name)
		assert.Equal(t, map[string]string{"f": "f"}, grown(t, target), d.name)
	}
}

func TestAFileInPlaceOfALinkIsNotDeletedForIt(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	put(t, srv, "there/f", []byte("f"))
	local := t.TempDir()
	link := filepath.Join(local, "link")
	require.NoError(t, os.Symlink("f", link))
	plan, err := client.PlanMirror(t.Context(), "srv", "there", local, mirrorOf(directions[0], deletes))
	require.NoError(t, err)
	require.Contains(t, strings.Join(steps(plan), ","), "delete link")
	require.NoError(t, os.Remove(link))
	require.NoError(t, os.WriteFile(link, []byte("a file by now"), 0o600))
	_, err = client.Apply(t.Context(), plan, nil)
	require.ErrorContains(t, err, "changed since")
	assert.FileExists(t, link)
}
