package remotefs

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/corexalgo/ftpclient/internal/reply"
	"github.com/corexalgo/ftpclient/internal/session"
)

// Unlink removes name unless it is a directory itself. Its type is the listing's, as CWD and some servers' MLST follow
// links.
func (o *Op) Unlink(name string) (isDir bool, err error) {
	_, base := Split(name)
	err = o.Try(func(s *session.Session) error {
		isDir = false
		err := s.Delete(o.Ctx, name)
		if Refused(err) == nil {
			return err
		}
		found, _, ferr := FindInParent(o.Ctx, s, name)
		switch {
		case ferr != nil && Refused(ferr) == nil && !errors.Is(ferr, session.ErrNotDir):
			return ferr
		case found != nil && found.IsDir():
			isDir = true
			return nil
		case found != nil:
			return err
		}
		e, serr := Stat(o.Ctx, s, name)
		switch {
		case errors.Is(serr, fs.ErrNotExist):
			return nil
		case serr != nil:
			return serr
		case !e.IsDir():
			return err
		}
		if err := s.Rmdir(o.Ctx, name); Refused(err) == nil { // never follows a link
			return err
		}
		return fmt.Errorf("%s is not listed, so it may be a link to a directory (ServerConfig.ListHidden lists names with a dot): %w", reply.Quote(base), err)
	})
	return isDir, err
}

// A removal is a directory that goes when all that is in it has gone.
type removal struct {
	dir    string
	parent *removal
	left   atomic.Int64 // what is in it, and one for the walk while it is in there
	failed atomic.Bool
}

func newRemoval(dir string, parent *removal) *removal {
	at := &removal{dir: path.Clean(dir), parent: parent}
	at.left.Store(1)
	return at
}

// release takes one thing off a directory, which has gone or has not. It returns what is empty then and may go: the directory
// or nothing.
func (at *removal) release(gone bool) *doomed {
	for ; at != nil; at = at.parent {
		if !gone {
			at.failed.Store(true)
		}
		if at.left.Add(-1) > 0 {
			break
		}
		if gone = !at.failed.Load(); gone {
			return &doomed{Removal: session.Removal{Name: at.dir, Dir: true}, in: at.parent}
		}
	}
	return nil
}

// A doomed name goes, and so may the directory that it is in.
type doomed struct {
	session.Removal
	in *removal // nil: it is the root
}

// Together is how many names are removed in one write.
const Together = 64

// A remover deletes a tree behind a walk.
type remover struct {
	op    *Op
	wrap  func(name string, err error) error
	group errgroup.Group
	next  []*doomed // will be removed together
	stop  atomic.Bool
	sweep Sweep

	mu     sync.Mutex // guards what follows
	ended  error      // why nothing more is removed
	faults NameErrors
}

// RemoveTree removes the directory root and all that walk, the ordered walk of it, comes to, with so many workers. wrap names
// the one thing that an error is about.
func (o *Op) RemoveTree(root string, walk iter.Seq2[Entry, error], workers int, wrap func(name string, err error) error) error {
	r := &remover{op: o, wrap: wrap}
	r.group.SetLimit(workers)
	at := newRemoval(root, nil)
	for e, err := range walk {
		if err != nil {
			r.end(err)
			break
		}
		for parent := Below(at.dir); !strings.HasPrefix(e.Path, parent); parent = Below(at.dir) {
			r.add(at.release(true))
			at = at.parent
		}
		if at.left.Add(1); e.IsDir() {
			at = newRemoval(e.Path, at)
			continue
		}
		r.add(&doomed{Removal: session.Removal{Name: e.Path}, in: at})
	}
	for ; at != nil; at = at.parent {
		r.add(at.release(true))
	}
	r.send()
	_ = r.group.Wait() // its functions return nil: one failure must not stop the others
	if r.ended != nil {
		r.faults = slices.Insert(r.faults, 0, fmt.Errorf("nothing more is removed: %w", r.ended))
	}
	if len(r.faults) > 0 {
		return r.faults
	}
	return nil
}

// end lets nothing more be removed.
func (r *remover) end(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = cmp.Or(r.ended, err)
	r.stop.Store(true)
}

// add lets d, which may be nil, be removed together with others.
func (r *remover) add(d *doomed) {
	if d == nil {
		return
	}
	if r.next = append(r.next, d); len(r.next) == Together {
		r.send()
	}
}

// send lets a worker remove what has come together, and then the directories that are empty by that, and so on upwards.
func (r *remover) send() {
	names := r.next
	r.next = nil
	r.group.Go(func() error {
		for len(names) > 0 && !r.stop.Load() {
			names = r.remove(names)
		}
		return nil
	})
}

// remove removes names, and returns what is empty then. Without any connection nothing more is removed.
func (r *remover) remove(names []*doomed) (empty []*doomed) {
	asked := make([]session.Removal, len(names))
	for i, d := range names {
		asked[i] = d.Removal
	}
	g, ended := r.sweep.each(r.op, asked)
	for i, err := range g.errs {
		if err != nil {
			r.fault(r.wrap(names[i].Name, err))
		}
	}
	if ended != nil {
		r.end(ended)
		return nil
	}
	for i, d := range names {
		if e := d.in.release(g.errs[i] == nil); e != nil {
			empty = append(empty, e)
		}
	}
	return empty
}

func (r *remover) fault(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.faults) < MaxFaults {
		r.faults = append(r.faults, err)
	}
}
