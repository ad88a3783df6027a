package remotefs

import (
	"context"
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

// A remover deletes a tree behind a walk.
type remover struct {
	op    *Op
	wrap  func(name string, err error) error
	group errgroup.Group
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
			r.leave(at)
			at = at.parent
		}
		if at.left.Add(1); e.IsDir() {
			at = newRemoval(e.Path, at)
			continue
		}
		in := at
		r.group.Go(func() error {
			r.removed(in, r.run(e.Path, (*session.Session).Delete))
			return nil
		})
	}
	for ; at != nil; at = at.parent {
		r.leave(at)
	}
	_ = r.group.Wait() // its functions return nil: one failure must not stop the others
	if len(r.faults) > 0 {
		return r.faults
	}
	return nil
}

func newRemoval(dir string, parent *removal) *removal {
	at := &removal{dir: path.Clean(dir), parent: parent}
	at.left.Store(1)
	return at
}

// leave says that the walk has seen all of a directory.
func (r *remover) leave(at *removal) {
	if at.left.Load() == 1 { // nothing to wait for: its own RMD need not hold up the walk
		r.group.Go(func() error { r.removed(at, true); return nil })
		return
	}
	r.removed(at, true)
}

// removed takes one thing off a directory, and removes the directory when it was the last, and so on upwards.
func (r *remover) removed(at *removal, ok bool) {
	for ; at != nil; at = at.parent {
		if !ok {
			at.failed.Store(true)
		}
		if at.left.Add(-1) > 0 {
			return
		}
		ok = !at.failed.Load() && r.run(at.dir, (*session.Session).Rmdir)
	}
}

// run removes one name, and reports whether it is gone.
func (r *remover) run(name string, f func(*session.Session, context.Context, string) error) bool {
	if r.stop.Load() {
		return false
	}
	op := r.op
	err := op.delete(name, func(s *session.Session) error {
		err := f(s, op.Ctx, name)
		if Refused(err) == nil {
			return err
		}
		if _, serr := Stat(op.Ctx, s, name); errors.Is(serr, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		r.fault(r.wrap(name, err))
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
