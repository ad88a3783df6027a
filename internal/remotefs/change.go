package remotefs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/corexalgo/ftpclient/internal/session"
)

// An Op is one change while it is tried.
type Op struct {
	Ctx context.Context //nolint:containedctx // lives as long as the call that it is of
	// Attempt runs f with one connection after another until it succeeds or fails for good. f reports whether it came further.
	Attempt func(f func(*session.Session) (bool, error)) error
}

// Try is Attempt of what is done or is not.
func (o *Op) Try(f func(*session.Session) error) error {
	return o.Attempt(func(s *session.Session) (bool, error) { return false, f(s) })
}

// MkdirAll tells whether it made anything. It is safe to repeat, and to run beside others: what they made is there.
func MkdirAll(ctx context.Context, s *session.Session, dir string) (made bool, err error) {
	if IsRoot(dir) {
		return false, nil
	}
	err = s.Mkdir(ctx, dir)
	if err == nil || Refused(err) == nil {
		return err == nil, err
	}
	// It is there, or its parent is not, or it is forbidden; the reply does not tell which.
	isDir := s.IsDir(ctx, dir)
	if isDir == nil || Refused(isDir) == nil {
		return false, isDir
	}
	if made, perr := MkdirAll(ctx, s, path.Dir(path.Clean(dir))); perr != nil {
		return made, perr
	}
	again := s.Mkdir(ctx, dir)
	if again == nil || Refused(again) == nil {
		return again == nil, again
	}
	if isDir := s.IsDir(ctx, dir); isDir == nil || Refused(isDir) == nil {
		return isDir == nil, isDir // another caller was faster
	}
	if e, serr := Stat(ctx, s, dir); serr == nil && !e.IsDir() {
		return false, fmt.Errorf("%s is there and no directory: %w: %w", e.Name, fs.ErrExist, err)
	}
	return false, err
}

// Remove removes a file, a link, or an empty directory.
func (o *Op) Remove(name string) error {
	if err := CheckRemovable(name); err != nil {
		return err
	}
	return o.delete(name, func(s *session.Session) error {
		err := s.Delete(o.Ctx, name)
		if Refused(err) == nil {
			return err
		}
		e, serr := Stat(o.Ctx, s, name)
		switch {
		case serr == nil && e.IsDir():
			return s.Rmdir(o.Ctx, name)
		case errors.Is(serr, fs.ErrNotExist), serr != nil && Refused(serr) == nil:
			return serr
		}
		return err
	})
}

// removeKnown removes a name that was checked, and is known to be a directory, or none. What is not there is no error.
func (o *Op) removeKnown(name session.Removal) error {
	return o.delete(name.Name, func(s *session.Session) error {
		f := s.Delete
		if name.Dir {
			f = s.Rmdir
		}
		err := f(o.Ctx, name.Name)
		if Refused(err) == nil {
			return err
		}
		if _, serr := Stat(o.Ctx, s, name.Name); errors.Is(serr, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}

// delete runs f, which removes one name, until it succeeds or fails for good. A try whose reply was lost may have done it:
// then the name is found to be absent, and that is success.
func (o *Op) delete(name string, f func(*session.Session) error) error {
	sent := false
	return o.Try(func(s *session.Session) error {
		again := sent
		sent = true
		err := f(s)
		if again && Refused(err) != nil {
			if _, serr := Stat(o.Ctx, s, name); errors.Is(serr, fs.ErrNotExist) {
				return nil
			}
		}
		return err
	})
}

// CheckRemovable refuses what no call should remove, whatever the server thinks of it.
func CheckRemovable(name string) error {
	if _, base := Split(name); IsRoot(name) || base == ".." {
		return fmt.Errorf("a root or a directory above cannot be removed or renamed: %w", fs.ErrInvalid)
	}
	return nil
}

// Rename gives a name another one. A try whose reply to RNTO was lost may have done it: then the old name, which was there, is
// absent, the new one is there, and that is success.
func (o *Op) Rename(from, to string) error {
	if err := errors.Join(CheckRemovable(from), CheckRemovable(to)); err != nil {
		return err
	}
	asked := false
	return o.Try(func(s *session.Session) error {
		again := asked
		sent, err := s.RenameAhead(o.Ctx, from, to, session.Ahead{})
		asked = asked || sent
		if r := Refused(err); r == nil || r.Command != "RNFR" {
			return err
		}
		_, serr := Stat(o.Ctx, s, from)
		if !errors.Is(serr, fs.ErrNotExist) {
			return err
		}
		if again {
			if _, terr := Stat(o.Ctx, s, to); terr == nil {
				return nil
			}
		}
		return serr
	})
}
