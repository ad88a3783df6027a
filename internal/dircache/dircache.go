// Package dircache reads each directory once for all who ask about names in it. It knows no FTP.
package dircache

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Dir is what a listing showed.
type Dir[E any] struct {
	Entries map[string]E // by name
	Whole   bool         // nothing was left out
	folded  map[string]struct{}
}

// NewDir makes a Dir.
func NewDir[E any](entries []E, name func(E) string, whole bool) *Dir[E] {
	d := &Dir[E]{Entries: make(map[string]E, len(entries)), Whole: whole, folded: make(map[string]struct{}, len(entries))}
	for _, e := range entries {
		d.Entries[name(e)] = e
		d.folded[strings.ToLower(name(e))] = struct{}{}
	}
	return d
}

// Absent tells whether the listing proves that there is no such name, in no spelling that differs in letter case alone.
// Names that begin with a dot are left out of many listings.
func (d *Dir[E]) Absent(name string) bool {
	_, there := d.folded[strings.ToLower(name)]
	return d.Whole && !there && !strings.HasPrefix(name, ".")
}

// What a Cache remembers: the directories that its callers are just about.
const (
	keptDirs    = 64
	keptEntries = 30_000 // of all together, but for the newest
)

// A Cache reads directories. It is safe for concurrent use.
type Cache[K comparable, E any] struct {
	mu      sync.Mutex // guards what follows
	dirs    map[K]*reading[E]
	order   []K // of dirs, oldest first
	entries int // in dirs
}

type reading[E any] struct {
	done  chan struct{}
	dir   *Dir[E]   // nil: could not be read
	ended time.Time // both are there once done is closed
}

func (r *reading[E]) over() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// size is that of a reading that is over.
func (r *reading[E]) size() int {
	if r.dir == nil {
		return 0
	}
	return len(r.dir.Entries)
}

// Get returns the directory, which read reads unless somebody does, or has since oldest; nil: it could not be read, or ctx has
// ended. It waits for others only as long as ctx lasts, and calls wait before, as its caller must not keep what they need.
func (c *Cache[K, E]) Get(ctx context.Context, key K, oldest time.Time, wait func(), read func() *Dir[E]) *Dir[E] {
	c.mu.Lock()
	r, known := c.dirs[key]
	if known && r.over() && r.ended.Before(oldest) {
		known = false
		c.drop(slices.Index(c.order, key))
	}
	if !known {
		r = &reading[E]{done: make(chan struct{})}
		if c.dirs == nil {
			c.dirs = map[K]*reading[E]{}
		}
		c.dirs[key] = r
		c.order = append(c.order, key)
	}
	c.mu.Unlock()
	if !known {
		func() {
			defer func() {
				r.ended = time.Now()
				close(r.done)
			}()
			r.dir = read()
		}()
		c.forget(r)
		return r.dir
	}
	select {
	case <-r.done:
		return r.dir
	default:
		wait()
	}
	select {
	case <-r.done:
		return r.dir
	case <-ctx.Done():
		return nil
	}
}

// forget makes room for a directory that was just read.
func (c *Cache[K, E]) forget(newest *reading[E]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries += newest.size()
	for i := 0; i < len(c.order) && (len(c.order) > keptDirs || c.entries > keptEntries); {
		r := c.dirs[c.order[i]]
		if r == newest || !r.over() { // others wait for it
			i++
			continue
		}
		c.drop(i)
	}
}

// drop forgets the directory order[i], whose reading is over. The caller holds mu.
func (c *Cache[K, E]) drop(i int) {
	key := c.order[i]
	c.entries -= c.dirs[key].size()
	delete(c.dirs, key)
	c.order = slices.Delete(c.order, i, i+1)
}
