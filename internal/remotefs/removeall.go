package remotefs

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path"
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
			return &doomed{session.Removal{Name: at.dir, Dir: true}, at.parent}
		}
	}
	return nil
}

// A doomed name goes, and so may the directory that it is in.
type doomed struct {
	session.Removal
	in *removal // nil: it is the root
}

// removedTogether is how many names are removed in one write.
const removedTogether = 64

// A remover deletes a tree behind a walk.
type remover struct {
	op    *Op
	wrap  func(name string, err error) error
	group errgroup.Group
	next  []*doomed // will be removed together
	stop  atomic.Bool

	mu     sync.Mutex
	faults NameErrors // guarded by mu
}

// RemoveTree removes the directory root and all that walk, the ordered walk of it, comes to, with so many workers. wrap names
// the one thing that an error is about.
func (o *Op) RemoveTree(root string, walk iter.Seq2[Entry, error], workers int, wrap func(name string, err error) error) error {
	r := &remover{op: o, wrap: wrap}
	r.group.SetLimit(workers)
	at := newRemoval(root, nil)
	for e, err := range walk {
		if err != nil {
			r.stop.Store(true)
			r.fault(fmt.Errorf("nothing more is removed: %w", err))
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
		r.add(&doomed{session.Removal{Name: e.Path}, at})
	}
	for ; at != nil; at = at.parent {
		r.add(at.release(true))
	}
	r.send()
	_ = r.group.Wait() // its functions return nil: one failure must not stop the others
	if len(r.faults) > 0 {
		return r.faults
	}
	return nil
}

// add lets d, which may be nil, be removed together with others.
func (r *remover) add(d *doomed) {
	if d == nil {
		return
	}
	if r.next = append(r.next, d); len(r.next) == removedTogether {
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

// remove removes names, and returns what is empty then. What is not removed together with the others is tried by itself, which
// finds out why.
func (r *remover) remove(names []*doomed) (empty []*doomed) {
	gone := make([]bool, 0, len(names))
	err := r.op.Attempt(func(s *session.Session) (bool, error) {
		rest := make([]session.Removal, 0, len(names))
		for _, d := range names[len(gone):] {
			rest = append(rest, d.Removal)
		}
		more, err := s.RemoveEach(r.op.Ctx, rest)
		gone = append(gone, more...)
		return len(more) > 0, err
	})
	for i, d := range names {
		ok := false
		switch {
		case i >= len(gone):
			r.fault(r.wrap(d.Name, err))
		case gone[i]:
			ok = true
		default:
			ok = r.alone(d.Removal)
		}
		if e := d.in.release(ok); e != nil {
			empty = append(empty, e)
		}
	}
	return empty
}

// alone removes one name, and reports whether it is gone.
func (r *remover) alone(name session.Removal) bool {
	err := r.op.removeKnown(name)
	if err != nil {
		r.fault(r.wrap(name.Name, err))
	}
	return err == nil
}

func (r *remover) fault(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.faults) < MaxFaults {
		r.faults = append(r.faults, err)
	}
}
