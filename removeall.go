package ftpclient

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/corexalgo/ftpclient/internal/reply"
	"github.com/corexalgo/ftpclient/internal/session"
)

// RemoveAll removes path and, if it is a directory, all that is in it, several files at a time. Links are removed and never
// followed. What is not there is no error, so a call that failed may be repeated.
//
// The first directory that cannot be read whole ends it: nothing more is deleted. A file that cannot be removed does not;
// the others are removed, and the error tells of it.
func (c *Client) RemoveAll(ctx context.Context, server, path string) error {
	op, err := c.begin(ctx, "remove all", server, path)
	if err != nil {
		return err
	}
	defer op.end()
	if err := removable(path); err != nil {
		return op.wrap(err)
	}
	isDir, err := op.unlink(path)
	if err == nil && isDir {
		err = op.removeTree(path)
	}
	return op.wrap(err)
}

// unlink removes name unless it is a directory itself. Its type is the listing's, as CWD and some servers' MLST follow
// links.
func (o *operation) unlink(name string) (isDir bool, err error) {
	_, base := split(name)
	_, err = o.try(o.c.retry, func(context.Context, int) (bool, error) {
		return false, o.use(func(s *session.Session) error {
			isDir = false
			err := s.Delete(o.ctx, name)
			if refused(err) == nil {
				return err
			}
			found, _, ferr := findInParent(o.ctx, s, name)
			switch {
			case ferr != nil && refused(ferr) == nil && !errors.Is(ferr, session.ErrNotDir):
				return ferr
			case found != nil && found.IsDir():
				isDir = true
				return nil
			case found != nil:
				return err
			}
			e, serr := stat(o.ctx, s, name)
			switch {
			case errors.Is(serr, fs.ErrNotExist):
				return nil
			case serr != nil:
				return serr
			case !e.IsDir():
				return err
			}
			if err := s.Rmdir(o.ctx, name); refused(err) == nil { // never follows a link
				return err
			}
			return fmt.Errorf("%s is not listed, so it may be a link to a directory (ServerConfig.ListHidden lists names with a dot): %w", reply.Quote(base), err)
		})
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
	op    *operation
	group errgroup.Group
	stop  atomic.Bool

	mu     sync.Mutex
	faults rowErrors // guarded by mu
}

func (o *operation) removeTree(root string) error {
	r := &remover{op: o}
	r.group.SetLimit(max(1, min(8, o.srv.cfg.MaxConns)))
	at := newRemoval(root, nil)
	for e, err := range o.walk(root, nil) {
		if err != nil {
			r.stop.Store(true)
			r.fault(fmt.Errorf("nothing more is removed: %w", err))
			break
		}
		for parent := below(at.dir); !strings.HasPrefix(e.Path, parent); parent = below(at.dir) {
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
	op := *r.op
	op.path = name
	err := op.delete(name, func(s *session.Session) error {
		err := f(s, op.ctx, name)
		if refused(err) == nil {
			return err
		}
		if _, serr := stat(op.ctx, s, name); errors.Is(serr, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		r.fault(op.wrap(err))
	}
	return err == nil
}

func (r *remover) fault(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.faults) < maxFaults {
		r.faults = append(r.faults, err)
	}
}
