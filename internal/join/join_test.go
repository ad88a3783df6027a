package join_test

import (
	"errors"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/join"
)

func tree(paths ...string) iter.Seq[join.Item[string]] {
	return func(yield func(join.Item[string]) bool) {
		for _, p := range paths {
			item := join.Item[string]{Path: p, Value: p}
			if name, bad := strings.CutPrefix(p, "!"); bad {
				item = join.Item[string]{Path: name, Err: errors.New(name)}
			}
			if !yield(item) {
				return
			}
		}
	}
}

func show(left, right iter.Seq[join.Item[string]]) (pairs, faults []string) {
	for p := range join.Trees(left, right, func(f join.Fault) {
		side := "right"
		if f.Left {
			side = "left"
		}
		faults = append(faults, side+" "+f.Path)
	}) {
		switch {
		case p.Right == nil:
			pairs = append(pairs, "< "+p.Path+"="+*p.Left)
		case p.Left == nil:
			pairs = append(pairs, "> "+p.Path+"="+*p.Right)
		default:
			pairs = append(pairs, "= "+p.Path)
		}
	}
	return pairs, faults
}

func TestTreesMeetInTheOrderOfAWalk(t *testing.T) {
	pairs, faults := show(tree("a", "a/x", "a/y", "a.b", "c"), tree("a", "a/y", "a/z", "a b", "b"))
	assert.Equal(t, []string{"= a", "< a/x=a/x", "= a/y", "> a/z=a/z", "> a b=a b", "< a.b=a.b", "> b=b", "< c=c"}, pairs)
	assert.Empty(t, faults)
}

func TestFaultsComeBesideThePairs(t *testing.T) {
	pairs, faults := show(tree("a", "!a", "b"), tree("!", "a", "!c"))
	assert.Equal(t, []string{"= a", "< b=b"}, pairs)
	assert.Equal(t, []string{"right ", "left a", "right c"}, faults)
}

func TestABreakEndsBothTrees(t *testing.T) {
	for range join.Trees(tree("a", "b"), tree("a", "b"), nil) {
		break
	}
}

func TestTheOrderIsThatOfWalkDir(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a/b/c", "a b/c", "a.b", "a-", "a/b.c", "a/b c/d", "ä/x", "A"} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, name), 0o755))
	}
	var walked []string
	require.NoError(t, fs.WalkDir(os.DirFS(dir), ".", func(name string, _ fs.DirEntry, err error) error {
		if name != "." {
			walked = append(walked, name)
		}
		return err
	}))
	assert.True(t, slices.IsSortedFunc(walked, join.Compare), walked)
}
