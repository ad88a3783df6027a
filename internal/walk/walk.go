// Package walk reads a tree in lexical order with several listings at a time. It knows no FTP: what an entry is and how a
// directory is listed is the caller's.
package walk

import (
	"container/list"
	"context"
	"iter"

	"github.com/corexalgo/ftpclient/internal/rethrow"
)

// Bounds of what is listed before the walk gets there.
const (
	maxWindow = 8       // listings in a row, for each worker: the last ones leave workers idle
	maxHeld   = 1 << 16 // entries; with more than these only what is needed now is listed
	maxGroup  = 64      // directories listed together
)

// A Tree says how to walk. Every field but TooDeep must be set.
type Tree[E any] struct {
	// List reads one directory: its entries in order, and faults that concern single entries. With err there is neither.
	// It is called from up to Workers goroutines, and must return soon after ctx has ended.
	List func(ctx context.Context, dir E) (entries []E, faults []error, err error)
	// Together tells directories of which several may be listed by one call of ListTogether, in place of List; nil: none.
	Together func(E) bool
	// ListTogether is List for several directories, with one Listing for each.
	ListTogether func(ctx context.Context, dirs []E) []Listing[E]
	// Descend tells the entries that are directories to be listed.
	Descend func(E) bool

	Workers  int   // listings at a time; with 1 each is read when the walk comes to it, and not before, but for Together's
	MaxDepth int   // entries of the root have depth 1; deeper than MaxDepth nothing is listed
	TooDeep  error // of a directory that is not listed because of MaxDepth; nil: it is yielded like a file
}

// A Listing is what List returns.
type Listing[E any] struct {
	Entries []E
	Faults  []error
	Err     error
}

// All walks below root, which itself is yielded only with errors. A directory comes before its entries; one that cannot be
// listed comes once, with its error, and so do faults, with the entry of their directory. The walk goes on after errors,
// but for that of ctx, which ends it.
//
// Listings run ahead, in the order in which they will be needed, only while the walk waits for one: none is under way
// and no goroutine is alive while the caller's body runs.
func (t *Tree[E]) All(ctx context.Context, root E) iter.Seq2[E, error] {
	return func(yield func(E, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		w := &walk[E]{tree: t, ctx: ctx, yield: yield, window: t.Workers, group: 1}
		w.frontier.Init()
		n := &node[E]{entry: root}
		n.place = w.frontier.PushBack(n)
		w.enter(n)
	}
}

// A node is a directory whose entries have not all been yielded.
type node[E any] struct {
	entry E
	depth int

	place *list.Element // in the frontier, until it is listed
	begun bool

	items  []item[E]
	faults []error
	err    error
}

type item[E any] struct {
	entry E
	sub   *node[E] // nil: not to be listed
	err   error
}

type walk[E any] struct {
	tree  *Tree[E]
	ctx   context.Context //nolint:containedctx // lives as long as the iteration
	yield func(E, error) bool

	frontier list.List // known directories that are not listed yet, in the order of the walk
	window   int       // listings of the next fill
	group    int       // directories in each of them
	held     int       // entries of directories that the walk has not come to
	listed   int       // directories so far
	found    int       // entries in them
}

// enter yields a directory and all that is below it, and reports whether to go on.
func (w *walk[E]) enter(n *node[E]) bool {
	if n.place != nil {
		w.fill()
	}
	w.held -= len(n.items)
	if err := w.ctx.Err(); err != nil {
		w.yield(n.entry, err)
		return false
	}
	if n.err != nil || n.depth > 0 {
		if !w.yield(n.entry, n.err) {
			return false
		}
	}
	for _, fault := range n.faults {
		if !w.yield(n.entry, fault) {
			return false
		}
	}
	for i := range n.items {
		it := n.items[i]
		n.items[i] = item[E]{} // what was yielded is the caller's alone
		if it.sub != nil {
			if !w.enter(it.sub) {
				return false
			}
			continue
		}
		if err := w.ctx.Err(); err != nil {
			w.yield(n.entry, err)
			return false
		}
		if !w.yield(it.entry, it.err) {
			return false
		}
	}
	return true
}

// fill lists the first directory of the frontier, which the walk has come to, and with it those that it will need next. It
// returns when nothing is under way any more. The window opens as the walk goes on, so that the first entries come soon.
func (w *walk[E]) fill() {
	listed := make(chan []*node[E])
	running, begun := 0, 0
	var fell rethrow.Keeper // of a listing
	for {
		for running < w.tree.Workers && begun < w.window && (begun == 0 || w.held < maxHeld) && w.ctx.Err() == nil {
			nodes, together := w.take()
			if len(nodes) == 0 {
				break
			}
			begun += 1 + len(nodes)/maxWindow
			running++
			if together && len(nodes) < maxGroup {
				begun = w.window // what is not worth a full group is not worth another connection
			}
			go func() {
				defer func() { listed <- nodes }()
				fell.Run(func() { w.list(nodes, together) }, func() {})
			}()
		}
		if running == 0 {
			break
		}
		for _, n := range <-listed {
			w.insert(n)
		}
		running--
	}
	fell.Again()
	w.group = min(4*w.group, maxGroup)
	if w.tree.Workers > 1 {
		w.window = min(2*w.window, maxWindow*w.tree.Workers)
	}
}

// take begins the first directory that nobody lists, and if it may be listed together with others, the next such ones, with
// no more entries than should be held if they are like those before.
func (w *walk[E]) take() (nodes []*node[E], together bool) {
	first := w.next()
	if first == nil {
		return nil, false
	}
	first.begun = true
	nodes = append(nodes, first)
	if w.tree.Together == nil || !w.tree.Together(first.entry) {
		return nodes, false
	}
	most := min(w.group, 1+(maxHeld-w.held)*(w.listed+1)/(w.found+1))
	looked := 0
	for e := first.place.Next(); e != nil && len(nodes) < most && looked < 4*maxGroup; e = e.Next() {
		looked++
		if n := e.Value.(*node[E]); !n.begun && w.tree.Together(n.entry) { //nolint:forcetypeassert // the frontier holds nothing else
			n.begun = true
			nodes = append(nodes, n)
		}
	}
	return nodes, true
}

// list reads directories and notes what that brought.
func (w *walk[E]) list(nodes []*node[E], together bool) {
	if !together {
		n := nodes[0]
		entries, faults, err := w.tree.List(w.ctx, n.entry)
		w.keep(n, entries, faults, err)
		return
	}
	dirs := make([]E, len(nodes))
	for i, n := range nodes {
		dirs[i] = n.entry
	}
	for i, l := range w.tree.ListTogether(w.ctx, dirs) {
		w.keep(nodes[i], l.Entries, l.Faults, l.Err)
	}
}

// next is the first directory that nobody lists. Those before it are being listed.
func (w *walk[E]) next() *node[E] {
	for e := w.frontier.Front(); e != nil; e = e.Next() {
		if n := e.Value.(*node[E]); !n.begun { //nolint:forcetypeassert // the frontier holds nothing else
			return n
		}
	}
	return nil
}

// keep notes what a listing brought.
func (w *walk[E]) keep(n *node[E], entries []E, faults []error, err error) {
	n.faults, n.err = faults, err
	if err != nil {
		return
	}
	n.items = make([]item[E], len(entries))
	for i, entry := range entries {
		n.items[i].entry = entry
		switch {
		case !w.tree.Descend(entry):
		case n.depth+1 < w.tree.MaxDepth:
			n.items[i].sub = &node[E]{entry: entry, depth: n.depth + 1}
		default:
			n.items[i].err = w.tree.TooDeep
		}
	}
}

// insert puts a directory's subdirectories into its place in the frontier.
func (w *walk[E]) insert(n *node[E]) {
	w.held += len(n.items)
	w.listed++
	w.found += len(n.items)
	for _, it := range n.items {
		if it.sub != nil {
			it.sub.place = w.frontier.InsertBefore(it.sub, n.place)
		}
	}
	w.frontier.Remove(n.place)
	n.place = nil
}
