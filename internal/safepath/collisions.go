package safepath

import (
	"hash/maphash"
	"runtime"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// A Folding says which names of a file system are the same name.
type Folding int

// The foldings. The zero one suits the disk that the system usually has.
const (
	FoldSystem Folding = iota // FoldNames on Windows and macOS, FoldNone elsewhere
	FoldNone                  // only identical bytes: "a" and "A" are two files
	FoldNames                 // names are equal after Unicode normalization (NFC) and case folding
)

// Collisions finds local names that land on one file. The zero value is ready to use, also by several goroutines. It
// keeps every path that it was given.
//
// A directory mounted on another system than the usual one, such as a case-insensitive share on Linux, needs Folding
// to be set: see Folds.
type Collisions struct {
	Folding Folding

	mu   sync.Mutex // guards seen
	seen map[string]string
}

// Add records path and tells whether an earlier one, other, lands on the same file. The first one stays recorded.
func (c *Collisions) Add(path string) (other string, clash bool) {
	key := c.key(path)
	c.mu.Lock()
	defer c.mu.Unlock()
	if other, clash = c.seen[key]; clash {
		return other, true
	}
	if c.seen == nil {
		c.seen = make(map[string]string)
	}
	c.seen[key] = path
	return "", false
}

// Find tells which recorded path lands on the same file as path.
func (c *Collisions) Find(path string) (other string, found bool) {
	key := c.key(path)
	c.mu.Lock()
	defer c.mu.Unlock()
	other, found = c.seen[key]
	return other, found
}

func (c *Collisions) key(path string) string {
	fold := c.Folding == FoldNames
	if c.Folding == FoldSystem {
		fold = systemFolds
	}
	if !fold {
		return path
	}
	return Fold(path)
}

// systemFolds tells whether the disk that the system usually has takes names for equal that differ in case.
const systemFolds = runtime.GOOS == "windows" || runtime.GOOS == "darwin"

// Fold makes those names equal that are equal by FoldNames.
func Fold(path string) string {
	if isASCII(path) {
		return strings.ToLower(path)
	}
	// Folding can undo a composition, so normalize again behind it (Unicode, section 3.13, D145).
	return norm.NFC.String(cases.Fold().String(norm.NFD.String(path)))
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}

// Shared tells which of n names land on the same file as another one. folds is asked at most once, and only if names differ in
// what FoldNames takes for the same; nil: they do not matter.
func Shared(n int, folds func() bool, name func(i int) string) []bool {
	shared := make([]bool, n)
	mark := func(key func(i int) string) {
		first := make(map[string]int, n)
		for i := range n {
			if other, again := first[key(i)]; again {
				shared[other], shared[i] = true, true
			} else {
				first[key(i)] = i
			}
		}
	}
	mark(name)
	if folds != nil {
		exact := slices.Clone(shared)
		if mark(func(i int) string { return Fold(name(i)) }); !slices.Equal(shared, exact) && !folds() {
			return exact
		}
	}
	return shared
}

// Targets recognises what it was given a while ago, in bounded memory: among the last 131,072 targets at least, each by a
// 64-bit hash, which takes two of so many for the same once in a thousand million times. The zero value is ready; it is
// not safe for concurrent use.
type Targets struct {
	seed      maphash.Seed
	seen, old map[uint64]struct{} // the latest, and those before
}

const generation = 1 << 17

// Again records a path on a server, "" for a local one, and tells whether it was recorded before.
func (t *Targets) Again(server, path string) bool {
	if t.seen == nil {
		t.seed, t.seen = maphash.MakeSeed(), map[uint64]struct{}{}
	}
	if server == "" && systemFolds {
		path = Fold(path)
	}
	sum := maphash.String(t.seed, server+"\x00"+path)
	_, recent := t.seen[sum]
	_, before := t.old[sum]
	if len(t.seen) >= generation {
		t.seen, t.old = make(map[uint64]struct{}, generation), t.seen
	}
	t.seen[sum] = struct{}{}
	return recent || before
}
