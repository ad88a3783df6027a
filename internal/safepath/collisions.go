package safepath

import (
	"runtime"
	"sync"

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
// to be set.
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

func (c *Collisions) key(path string) string {
	fold := c.Folding == FoldNames
	if c.Folding == FoldSystem {
		fold = runtime.GOOS == "windows" || runtime.GOOS == "darwin"
	}
	if !fold {
		return path
	}
	// Folding can undo a composition, so normalize again behind it (Unicode, section 3.13, D145).
	return norm.NFC.String(cases.Fold().String(norm.NFD.String(path)))
}
