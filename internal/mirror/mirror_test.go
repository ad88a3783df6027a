package mirror_test

import (
	"errors"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/join"
	"github.com/corexalgo/ftpclient/internal/mirror"
	"github.com/corexalgo/ftpclient/internal/safepath"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

type item = join.Item[mirror.Node]

func tree(items ...item) iter.Seq[item] {
	return func(yield func(item) bool) {
		for _, i := range items {
			if !yield(i) {
				return
			}
		}
	}
}

func file(path string, size int64, at time.Time, precision time.Duration) item {
	return item{Path: path, Value: mirror.Node{Size: size, ModTime: at, Precision: precision}}
}

// one compares one file whose remote time is told with some precision.
func one(t *testing.T, up bool, remote, local item, exact time.Time) (reason string, asked int) {
	t.Helper()
	plan, err := mirror.Make(tree(remote), tree(local), mirror.Options{Up: up}, mirror.Questions{
		Times: func(rels []string) ([]time.Time, error) {
			asked += len(rels)
			return []time.Time{exact}, nil
		},
	})
	require.NoError(t, err)
	if len(plan.Steps) == 0 {
		assert.Equal(t, 1, plan.Unchanged)
		return "", asked
	}
	return plan.Steps[0].Reason, asked
}

func TestTimesAreComparedAsExactlyAsTheServerTellsThem(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct {
		name      string
		precision time.Duration
		local     time.Duration // after noon
		exact     time.Duration // what MDTM tells, after noon; <0: nothing
		want      string
		asked     int
	}{
		{"seconds, equal", time.Second, 0, 0, "", 0},
		{"seconds, fraction", time.Second, 300 * time.Millisecond, 0, "", 0},
		{"seconds, off by one", time.Second, time.Second, 0, "older", 0},
		{"minute, equal", time.Minute, 42 * time.Second, 42 * time.Second, "", 1},
		{"minute, the exact time differs", time.Minute, 42 * time.Second, 43 * time.Second, "newer", 1},
		{"minute, no exact time", time.Minute, 42 * time.Second, -1, "", 1},
		{"minute, another one", time.Minute, 61 * time.Second, 0, "older", 1},
		{"minute, another zone", time.Minute, 3*time.Hour + 42*time.Second, 3*time.Hour + 42*time.Second, "", 1},
		{"minute, another one, no exact time", time.Minute, 61 * time.Second, -1, "older", 1},
		{"day, equal", day, 5 * time.Hour, 5 * time.Hour, "", 1},
		{"day, before it", day, -time.Second, 0, "newer", 1},
	} {
		exact := noon.Add(c.exact)
		if c.exact < 0 {
			exact = time.Time{}
		}
		got, asked := one(t, false, file("f", 1, noon, c.precision), file("f", 1, noon.Add(c.local), 0), exact)
		assert.Equal(t, c.want, got, c.name)
		assert.Equal(t, c.asked, asked, c.name)
	}
	reason, _ := one(t, true, file("f", 1, noon, time.Second), file("f", 1, noon.Add(time.Hour), 0), noon)
	assert.Equal(t, "newer", reason, "up: the local file is the source")
	reason, _ = one(t, false, file("f", 1, time.Time{}, 0), file("f", 1, noon, 0), time.Time{})
	assert.Equal(t, "time unknown", reason)
	reason, _ = one(t, false, file("f", 1, time.Time{}, 0), file("f", 1, noon, 0), noon)
	assert.Empty(t, reason, "not in the listing")
	reason, _ = one(t, false, file("f", -1, noon, time.Second), file("f", 1, noon, 0), noon)
	assert.Equal(t, "size differs", reason, "in doubt it is copied")
}

func TestAQuestionThatFailsIsNoPlan(t *testing.T) {
	lost := errors.New("lost")
	_, err := mirror.Make(tree(file("f", 1, noon, time.Minute)), tree(file("f", 1, noon, 0)), mirror.Options{}, mirror.Questions{
		Times: func([]string) ([]time.Time, error) { return nil, lost },
	})
	require.ErrorIs(t, err, lost)
}

func TestALinkAtTheSourceProtectsWhatIsThere(t *testing.T) {
	link := item{Path: "l", Value: mirror.Node{Mode: fs.ModeSymlink}}
	dir := func(path string) item { return item{Path: path, Value: mirror.Node{Mode: fs.ModeDir}} }
	for _, up := range []bool{false, true} {
		for _, name := range []string{"l", "L"} { // another spelling may be the same name to the target
			source, target := tree(link), tree(dir(name), file(name+"/f", 1, noon, 0))
			if up {
				source, target = target, source
			}
			plan, err := mirror.Make(source, target, mirror.Options{Up: up, Delete: true}, mirror.Questions{})
			require.NoError(t, err)
			require.NotEmpty(t, plan.Steps)
			assert.Equal(t, mirror.Step{Kind: mirror.Skip, Rel: "l", Size: -1, Reason: "symbolic link"}, plan.Steps[0])
			for _, s := range plan.Steps[1:] {
				assert.Equal(t, "spelt otherwise at the source", s.Reason, s.Rel)
				assert.Equal(t, mirror.Skip, s.Kind, s.Rel)
			}
		}
	}
}

func TestNamesThatAreOneOnTheLocalDiskAreNotBothCopied(t *testing.T) {
	dir := func(path string) item { return item{Path: path, Value: mirror.Node{Mode: fs.ModeDir}} }
	f := func(path string) item { return file(path, 1, noon, time.Second) }
	for what, c := range map[string]struct {
		remote, local []item
		second        string // "": there is none
	}{
		"files":                       {[]item{f("A"), f("a")}, nil, "a"},
		"files, one is there":         {[]item{f("A"), f("a")}, []item{f("a")}, "a"},
		"directories":                 {[]item{dir("A"), f("A/x"), dir("a"), f("a/y")}, nil, "a"},
		"a file and a directory":      {[]item{dir("A"), f("A/x"), f("a")}, []item{f("a")}, "a"},
		"below, after a subdirectory": {[]item{dir("d"), dir("d/É"), f("d/É/x"), f("d/é")}, nil, "d/é"},
		"in two directories":          {[]item{dir("d"), f("d/a"), dir("e"), f("e/A")}, nil, ""},
	} {
		for _, opts := range []mirror.Options{{Folding: safepath.FoldNames}, {Folding: safepath.FoldNone}, {Folding: safepath.FoldNames, Up: true}} {
			opts.Delete = true
			remote, local := tree(c.remote...), tree(c.local...)
			if opts.Up {
				remote, local = local, remote
			}
			plan, err := mirror.Make(remote, local, opts, mirror.Questions{})
			require.NoError(t, err)
			if c.second == "" || opts.Up || opts.Folding == safepath.FoldNone {
				assert.Empty(t, plan.Faults, what)
				continue
			}
			require.Len(t, plan.Faults, 1, what)
			assert.Equal(t, c.second, plan.Faults[0].Path, what)
			require.ErrorContains(t, plan.Faults[0].Err, "name collision", what)
			for _, s := range plan.Steps {
				assert.NotEqual(t, mirror.Delete, s.Kind, "%s: %s", what, s.Rel)
				if s.Rel == c.second || strings.HasPrefix(s.Rel, c.second+"/") {
					assert.Equal(t, mirror.Skip, s.Kind, "%s: %s", what, s.Rel)
				}
			}
		}
	}
}

func TestUnfinishedTransfersAreLeftAlone(t *testing.T) {
	for _, up := range []bool{false, true} {
		part := file(".f.0.ftpclient-part", 1, noon, time.Second)
		for _, trees := range [][2]iter.Seq[item]{{tree(part), tree()}, {tree(), tree(part)}} {
			plan, err := mirror.Make(trees[0], trees[1], mirror.Options{Up: up, Delete: true}, mirror.Questions{})
			require.NoError(t, err)
			assert.Empty(t, plan.Steps)
			assert.Empty(t, plan.Faults)
		}
	}
}

func TestAFaultOnEitherSideStopsDeletions(t *testing.T) {
	broken := item{Path: "d", Err: errors.New("no")}
	for _, trees := range [][2]iter.Seq[item]{
		{tree(broken), tree(file("surplus", 1, noon, 0))}, {tree(), tree(broken, file("surplus", 1, noon, 0))},
	} {
		plan, err := mirror.Make(trees[0], trees[1], mirror.Options{Delete: true}, mirror.Questions{})
		require.NoError(t, err)
		assert.True(t, plan.Incomplete)
		assert.Empty(t, plan.Steps)
		assert.Len(t, plan.Faults, 1)
	}
}

func TestWhatIsExcludedNeedNotBeReadable(t *testing.T) {
	dir := func(path string) item { return item{Path: path, Value: mirror.Node{Mode: fs.ModeDir}} }
	unread := func(path string) item { return item{Path: path, Err: errors.New("no")} }
	for what, c := range map[string]struct {
		exclude   string
		broken    []item // of the source, and of the target
		deletions []string
		whole     bool
	}{
		"the folder":             {"d/x", []item{dir("d"), dir("d/x"), unread("d/x")}, []string{"z"}, true},
		"something in it":        {"d/x", []item{dir("d"), dir("d/x"), dir("d/x/y"), unread("d/x/y")}, []string{"z"}, true},
		"a name that came alone": {"d/x", []item{dir("d"), unread("d/x")}, []string{"z"}, true},
		"the folder above":       {"d/x", []item{dir("d"), unread("d")}, nil, false},
		"the root":               {"**", []item{dir("d"), unread("")}, nil, false},
	} {
		for _, up := range []bool{false, true} {
			for _, atSource := range []bool{false, true} {
				surplus := file("z", 1, noon, 0)
				source, target := tree(file("f", 1, noon, 0)), tree(append(slices.Clone(c.broken), surplus)...)
				if atSource {
					source, target = tree(c.broken...), tree(surplus)
				}
				if up {
					source, target = target, source
				}
				plan, err := mirror.Make(source, target, mirror.Options{Up: up, Delete: true, Exclude: []string{c.exclude}}, mirror.Questions{})
				require.NoError(t, err)
				var deletions []string
				for _, s := range plan.Steps {
					if s.Kind == mirror.Delete {
						deletions = append(deletions, s.Rel)
					}
				}
				assert.Equal(t, c.deletions, deletions, what)
				assert.Equal(t, !c.whole, plan.Incomplete, what)
				assert.Len(t, plan.Faults, map[bool]int{true: 0, false: 1}[c.whole], what)
			}
		}
	}
}

func TestTheSizeOfALinkIsUnknown(t *testing.T) {
	link := item{Path: "link", Value: mirror.Node{Mode: fs.ModeSymlink | 0o777, Size: 4}}
	plan, err := mirror.Make(tree(link), tree(), mirror.Options{Up: true, Delete: true}, mirror.Questions{})
	require.NoError(t, err)
	require.Len(t, plan.Steps, 1)
	assert.Equal(t, mirror.Delete, plan.Steps[0].Kind)
	assert.EqualValues(t, -1, plan.Steps[0].Size, "SIZE tells that of what it leads to")
}

func TestOnlyWhatMayBeHiddenIsAskedFor(t *testing.T) {
	dir := func(path string) item { return item{Path: path, Value: mirror.Node{Mode: fs.ModeDir}} }
	f := func(path string) item { return file(path, 1, noon, time.Second) }
	for what, c := range map[string]struct {
		remote []item
		opts   mirror.Options
		asked  []string
	}{
		"hidden":            {[]item{f("seen")}, mirror.Options{Up: true}, []string{".0", ".d/f", "d/.x"}},
		"included, and not": {nil, mirror.Options{Up: true, Include: []string{"*"}, Exclude: []string{".d"}}, []string{".0"}},
		"listed":            {[]item{dir("d"), f("d/.shown")}, mirror.Options{Up: true}, nil},
		"asked to list":     {nil, mirror.Options{Up: true, ListsHidden: true}, nil},
		"down":              {nil, mirror.Options{}, nil},
		"nothing is there":  {[]item{{Err: fs.ErrNotExist}}, mirror.Options{Up: true}, nil},
	} {
		var asked []string
		local := tree(f(".0"), dir(".d"), f(".d/f"), dir("d"), f("d/.x"), f("d/f"))
		plan, err := mirror.Make(tree(c.remote...), local, c.opts, mirror.Questions{Unlisted: func(rels []string) ([]*mirror.Node, error) {
			asked = append(asked, rels...)
			found := make([]*mirror.Node, len(rels))
			found[0] = &mirror.Node{Size: 2}
			return found, nil
		}})
		require.NoError(t, err)
		assert.Equal(t, c.asked, asked, what)
		if len(asked) > 0 {
			assert.Equal(t, "size differs", plan.Steps[0].Reason, what)
		}
	}
	lost := errors.New("lost")
	_, err := mirror.Make(tree(), tree(f(".0")), mirror.Options{Up: true}, mirror.Questions{
		Unlisted: func([]string) ([]*mirror.Node, error) { return nil, lost },
	})
	require.ErrorIs(t, err, lost)
	_, err = mirror.Make(tree(item{Err: fs.ErrPermission}), tree(f(".0")), mirror.Options{Up: true}, mirror.Questions{
		Unlisted: func([]string) ([]*mirror.Node, error) { return []*mirror.Node{{Size: 1}}, nil },
	})
	require.ErrorIs(t, err, fs.ErrPermission, "a folder that cannot be listed is not known for what is hidden in it")
}

func TestWhatAServerMakesOfANameIsNotDeletedForIt(t *testing.T) {
	dir := func(path string) item { return item{Path: path, Value: mirror.Node{Mode: fs.ModeDir}} }
	f := func(path string) item { return file(path, 1, noon, time.Second) }
	local := tree(f("a."), f("blank "), dir("dir. "), f("dir. /x"), f("link"), item{Path: "to.", Value: mirror.Node{Mode: fs.ModeSymlink}})
	remote := tree(dir("..."), f(".../y"), f("A"), f("A.."), f("b."), f("blank_"), dir("dir"), f("dir/gone"), f("dir/x"), f("link"), dir("to"), f("to/x"))
	plan, err := mirror.Make(remote, local, mirror.Options{Up: true, Delete: true}, mirror.Questions{})
	require.NoError(t, err)
	var deletions []string
	for _, s := range plan.Steps {
		if s.Kind == mirror.Delete {
			deletions = append(deletions, s.Rel)
		}
	}
	assert.Equal(t, []string{"dir/gone", "b.", ".../y", "..."}, deletions)
}

func TestNothingIsDeletedToMakeRoomWhereThereIsNone(t *testing.T) {
	dir := func(path string) item { return item{Path: path, Value: mirror.Node{Mode: fs.ModeDir}} }
	f := func(path string) item { return file(path, 1, noon, time.Second) }
	for what, c := range map[string]struct {
		source, target []item
		exclude        []string
		want           []string
	}{
		"excluded": {
			[]item{f("d")},
			[]item{dir("d"), f("d/a"), f("d/keep"), f("e")},
			[]string{"d/keep"},
			[]string{"skip d: type changed: a directory of which something stays is in the way", "delete e: deleted at the source"},
		},
		"in another spelling": {
			[]item{dir("d"), f("d/a")},
			[]item{f("d"), f("e")},
			[]string{"D"},
			[]string{"delete e: deleted at the source", "skip d: excluded in another spelling"},
		},
		"not all was read": {
			[]item{f("d"), {Path: "x", Err: errors.New("no")}},
			[]item{dir("d"), f("d/a"), f("e")},
			nil,
			[]string{"skip d: type changed: nothing is deleted, as not everything was read"},
		},
		"room for it": {
			[]item{f("d")},
			[]item{dir("d"), f("d/a")},
			nil,
			[]string{"copy d: type changed", "delete d/a: deleted at the source", "delete d: type changed"},
		},
	} {
		for _, up := range []bool{false, true} {
			remote, local := tree(c.source...), tree(c.target...)
			if up {
				remote, local = local, remote
			}
			plan, err := mirror.Make(remote, local, mirror.Options{Up: up, Delete: true, Exclude: c.exclude}, mirror.Questions{})
			require.NoError(t, err)
			var got []string
			for _, s := range plan.Steps {
				got = append(got, []string{"copy", "mkdir", "delete", "skip"}[s.Kind]+" "+s.Rel+": "+s.Reason)
			}
			assert.ElementsMatch(t, c.want, got, what)
		}
	}
}
