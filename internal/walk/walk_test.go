package walk_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/corexalgo/ftpclient/internal/walk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errTooDeep = errors.New("too deep")

// A fake lists directories, whose names end with a slash, after a latency.
type fake struct {
	dirs    map[string][]string // by path, "" being the root
	faults  map[string][]error
	broken  map[string]error
	latency func() time.Duration

	mu      sync.Mutex
	listed  []string // guarded by mu, as are the counts
	running int
	most    int
}

func (f *fake) list(ctx context.Context, dir string) ([]string, []error, error) {
	f.mu.Lock()
	f.listed = append(f.listed, dir)
	f.running++
	f.most = max(f.most, f.running)
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.running--
	}()
	if f.latency != nil {
		timer := time.NewTimer(f.latency())
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
	if err := f.broken[dir]; err != nil {
		return nil, nil, err
	}
	names := f.dirs[dir]
	entries := make([]string, 0, len(names))
	for _, name := range names {
		entries = append(entries, dir+name)
	}
	return entries, f.faults[dir], nil
}

func (f *fake) tree(workers int) *walk.Tree[string] {
	return &walk.Tree[string]{
		List: f.list, Descend: func(e string) bool { return strings.HasSuffix(e, "/") },
		Workers: workers, MaxDepth: 100, TooDeep: errTooDeep,
	}
}

// collect is what a walk yields, errors behind a blank.
func collect(seq iter.Seq2[string, error]) []string {
	var all []string
	for e, err := range seq {
		if err != nil {
			e += " " + err.Error()
		}
		all = append(all, e)
	}
	return all
}

// wide is a tree of breadth^1 + … + breadth^depth directories with files in each.
func wide(breadth, depth, files int) *fake {
	f := &fake{dirs: map[string][]string{}}
	var fill func(dir string, depth int)
	fill = func(dir string, depth int) {
		for i := range files {
			f.dirs[dir] = append(f.dirs[dir], fmt.Sprintf("f%d", i))
		}
		if depth == 0 {
			return
		}
		for i := range breadth {
			name := fmt.Sprintf("d%d/", i)
			f.dirs[dir] = append(f.dirs[dir], name)
			fill(dir+name, depth-1)
		}
		slices.Sort(f.dirs[dir])
	}
	fill("", depth)
	return f
}

func small() *fake {
	return &fake{dirs: map[string][]string{
		"": {"a/", "b", "c/", "d/", "e"}, "a/": {"x/", "y"}, "a/x/": {"1", "2"}, "c/": {}, "d/": {"z"},
	}}
}

func TestADirectoryComesBeforeItsEntriesAndTheRootNotAtAll(t *testing.T) {
	for _, workers := range []int{1, 2, 8} {
		assert.Equal(t, []string{"a/", "a/x/", "a/x/1", "a/x/2", "a/y", "b", "c/", "d/", "d/z", "e"},
			collect(small().tree(workers).All(t.Context(), "")))
	}
}

func TestTheOrderDoesNotDependOnWhichListingIsFast(t *testing.T) {
	want := collect(wide(5, 3, 3).tree(1).All(t.Context(), ""))
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			f := wide(5, 3, 3)
			random := rand.New(rand.NewPCG(seed, 0))
			var mu sync.Mutex
			f.latency = func() time.Duration {
				mu.Lock()
				defer mu.Unlock()
				return time.Duration(random.IntN(1000)) * time.Millisecond
			}
			assert.Equal(t, want, collect(f.tree(7).All(t.Context(), "")))
			assert.Equal(t, 7, f.most)
			slices.Sort(f.listed)
			assert.Len(t, slices.Compact(f.listed), 156, "each directory was listed")
			assert.Len(t, f.listed, 156, "once")
		})
	}
}

func TestNWorkersTakeAnNthOfTheTime(t *testing.T) {
	for _, f := range []*fake{wide(1000, 1, 1), wide(10, 3, 1), wide(2, 9, 1)} {
		f.latency = func() time.Duration { return time.Second }
		took := func(workers int) time.Duration {
			var d time.Duration
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				collect(f.tree(workers).All(t.Context(), ""))
				d = time.Since(begin)
			})
			return d
		}
		one := took(1)
		assert.Equal(t, time.Duration(len(f.dirs))*time.Second, one)
		assert.Less(t, took(8), one*10/75)
		assert.Less(t, took(4), one*10/37)
	}
}

func TestOneWorkerListsADirectoryOnlyWhenTheWalkComesToIt(t *testing.T) {
	f := small()
	for e, err := range f.tree(1).All(t.Context(), "") {
		require.NoError(t, err)
		if strings.HasSuffix(e, "/") {
			assert.Equal(t, e, f.listed[len(f.listed)-1])
		}
	}
	assert.Equal(t, []string{"", "a/", "a/x/", "c/", "d/"}, f.listed)
}

func TestNothingIsListedWhileTheCallersBodyRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := wide(4, 3, 1)
		f.latency = func() time.Duration { return time.Second }
		for _, err := range f.tree(3).All(t.Context(), "") {
			require.NoError(t, err)
			synctest.Wait()
			f.mu.Lock()
			assert.Zero(t, f.running)
			f.mu.Unlock()
		}
	})
}

func TestTheFirstEntriesDoNotWaitForAWideTree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := wide(1000, 1, 1)
		f.latency = func() time.Duration { return time.Second }
		begin := time.Now()
		for _, err := range f.tree(4).All(t.Context(), "") {
			require.NoError(t, err)
			break
		}
		assert.Equal(t, 2*time.Second, time.Since(begin), "the root, and three of its directories at once")
		assert.Len(t, f.listed, 4)
	})
}

func TestListingsStayWithinSightOfTheWalk(t *testing.T) {
	f := wide(300, 1, 1)
	tree := f.tree(4)
	at := 0
	for e, err := range tree.All(t.Context(), "") {
		require.NoError(t, err)
		if strings.HasSuffix(e, "/") {
			at++
			assert.LessOrEqual(t, len(f.listed)-at, 32+1)
		}
	}
}

func TestHugeDirectoriesAreNotHeldAheadByTheDozen(t *testing.T) {
	f := &fake{dirs: map[string][]string{}}
	names := make([]string, 20_000)
	for i := range names {
		names[i] = fmt.Sprintf("%05d", i)
	}
	for i := range 30 {
		dir := fmt.Sprintf("d%02d/", i)
		f.dirs[""] = append(f.dirs[""], dir)
		f.dirs[dir] = names
	}
	at, most := 0, 0
	for e, err := range f.tree(2).All(t.Context(), "") {
		require.NoError(t, err)
		if strings.HasSuffix(e, "/") {
			at++
			most = max(most, len(f.listed)-1-at)
		}
	}
	assert.Equal(t, 30, at)
	assert.LessOrEqual(t, most, 6)
}

func TestAnUnreadableDirectoryComesOnceWithItsErrorAndTheWalkGoesOn(t *testing.T) {
	f := small()
	f.broken = map[string]error{"a/x/": errors.New("denied")}
	f.faults = map[string][]error{"d/": {errors.New("row 1"), errors.New("row 2")}}
	assert.Equal(t, []string{"a/", "a/x/ denied", "a/y", "b", "c/", "d/", "d/ row 1", "d/ row 2", "d/z", "e"},
		collect(f.tree(4).All(t.Context(), "")))
}

func TestAnUnreadableRootIsTheOnlyThingThatComes(t *testing.T) {
	f := &fake{broken: map[string]error{"": errors.New("gone")}}
	assert.Equal(t, []string{" gone"}, collect(f.tree(4).All(t.Context(), "")))
}

func TestAnEndlessTreeEndsAtMaxDepth(t *testing.T) {
	endless := walk.Tree[string]{
		List: func(_ context.Context, dir string) ([]string, []error, error) {
			return []string{path.Join(dir, "d")}, nil, nil
		},
		Descend: func(string) bool { return true },
		Workers: 4, MaxDepth: 3, TooDeep: errTooDeep,
	}
	assert.Equal(t, []string{"d", "d/d", "d/d/d too deep"}, collect(endless.All(t.Context(), "")))
	endless.TooDeep = nil
	assert.Equal(t, []string{"d", "d/d", "d/d/d"}, collect(endless.All(t.Context(), "")))
	endless.MaxDepth = 1
	assert.Equal(t, []string{"d"}, collect(endless.All(t.Context(), "")))
}

func TestBreakEndsTheWalkWhereverItIs(t *testing.T) {
	f := small()
	f.faults = map[string][]error{"a/x/": {errors.New("row")}}
	all := collect(f.tree(4).All(t.Context(), ""))
	for n := 1; n <= len(all); n++ {
		var got []string
		for e, err := range f.tree(4).All(t.Context(), "") {
			if err != nil {
				e += " " + err.Error()
			}
			if got = append(got, e); len(got) == n {
				break
			}
		}
		assert.Equal(t, all[:n], got)
	}
}

func TestTheContextEndsTheWalkWithItsError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := wide(10, 2, 2)
		f.latency = func() time.Duration { return time.Second }
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		var last error
		for e, err := range f.tree(4).All(ctx, "") {
			require.NoError(t, last, "nothing follows, but %s", e)
			last = err
		}
		require.ErrorIs(t, last, context.DeadlineExceeded)
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var got []string
	for e, err := range small().tree(4).All(ctx, "") {
		cancel()
		if err == nil {
			got = append(got, e)
		}
	}
	assert.Equal(t, []string{"a/"}, got, "a body that cancels sees no more entries")
}

func TestASequenceMayBeWalkedTwice(t *testing.T) {
	seq := small().tree(4).All(t.Context(), "")
	first := collect(seq)
	assert.Equal(t, first, collect(seq))
}

// together makes a tree's directories be listed together, but for those whose names begin with "d3".
func (f *fake) together(workers int) (tree *walk.Tree[string], groups *[]int) {
	tree = f.tree(workers)
	groups = new([]int)
	tree.Together = func(e string) bool { return !strings.HasPrefix(path.Base(e), "d3") }
	tree.ListTogether = func(ctx context.Context, dirs []string) []walk.Listing[string] {
		f.mu.Lock()
		*groups = append(*groups, len(dirs))
		f.mu.Unlock()
		all := make([]walk.Listing[string], len(dirs))
		for i, dir := range dirs {
			all[i].Entries, all[i].Faults, all[i].Err = f.list(ctx, dir)
		}
		return all
	}
	return tree, groups
}

func TestDirectoriesListedTogetherComeInTheSameOrder(t *testing.T) {
	for _, workers := range []int{1, 4} {
		f := wide(6, 3, 2)
		f.broken = map[string]error{"d1/d2/": errors.New("denied")}
		f.faults = map[string][]error{"d2/d0/": {errors.New("row")}}
		want := collect(f.tree(1).All(t.Context(), ""))
		f.listed = nil
		tree, groups := f.together(workers)
		assert.Equal(t, want, collect(tree.All(t.Context(), "")))
		slices.Sort(f.listed)
		n := len(f.listed)
		assert.Len(t, slices.Compact(f.listed), n, "each once")
		assert.LessOrEqual(t, len(*groups), 25, "%v", *groups)
		assert.Equal(t, 1, (*groups)[0], "the root alone")
	}
}

func TestDirectoriesListedTogetherAreAtMost64AndNoMoreThanShouldBeHeld(t *testing.T) {
	f := wide(1000, 1, 1)
	tree, groups := f.together(1)
	collect(tree.All(t.Context(), ""))
	assert.Equal(t, []int{1, 4, 16, 64}, (*groups)[:4])
	assert.Equal(t, 64, slices.Max(*groups))

	f = &fake{dirs: map[string][]string{}}
	names := make([]string, 10_000)
	for i := range names {
		names[i] = fmt.Sprintf("%05d", i)
	}
	for i := range 200 {
		dir := fmt.Sprintf("x%03d/", i)
		f.dirs[""] = append(f.dirs[""], dir)
		f.dirs[dir] = names
	}
	tree, groups = f.together(1)
	collect(tree.All(t.Context(), ""))
	assert.LessOrEqual(t, slices.Max((*groups)[3:]), 8, "%v", *groups)
}
