package ftpclient

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"

	"github.com/corexalgo/ftpclient/internal/session"
)

// MkdirAll makes dir and every directory above it that is missing. It is no error if dir is there already.
func (c *Client) MkdirAll(ctx context.Context, server, dir string) error {
	return c.repeat(ctx, "mkdir", server, dir, func(ctx context.Context, s *session.Session) error {
		_, err := mkdirAll(ctx, s, dir)
		return err
	})
}

// mkdirAll tells whether it made anything. It is safe to repeat, and to run beside others: what they made is there.
func mkdirAll(ctx context.Context, s *session.Session, dir string) (made bool, err error) {
	if isRoot(dir) {
		return false, nil
	}
	err = s.Mkdir(ctx, dir)
	if err == nil || refused(err) == nil {
		return err == nil, err
	}
	// It is there, or its parent is not, or it is forbidden; the reply does not tell which.
	isDir := s.IsDir(ctx, dir)
	if isDir == nil || refused(isDir) == nil {
		return false, isDir
	}
	if made, perr := mkdirAll(ctx, s, path.Dir(path.Clean(dir))); perr != nil {
		return made, perr
	}
	again := s.Mkdir(ctx, dir)
	if again == nil || refused(again) == nil {
		return again == nil, again
	}
	if isDir := s.IsDir(ctx, dir); isDir == nil || refused(isDir) == nil {
		return isDir == nil, isDir // another caller was faster
	}
	if e, serr := stat(ctx, s, dir); serr == nil && !e.IsDir() {
		return false, fmt.Errorf("%s is there and no directory: %w: %w", e.Name, fs.ErrExist, err)
	}
	return false, err
}

// Remove removes a file, a link, or an empty directory.
func (c *Client) Remove(ctx context.Context, server, path string) error {
	op, err := c.begin(ctx, "remove", server, path)
	if err != nil {
		return err
	}
	defer op.end()
	return op.wrap(op.remove(path))
}

func (o *operation) remove(name string) error {
	if err := removable(name); err != nil {
		return err
	}
	return o.delete(name, func(s *session.Session) error {
		err := s.Delete(o.ctx, name)
		if refused(err) == nil {
			return err
		}
		e, serr := stat(o.ctx, s, name)
		switch {
		case serr == nil && e.IsDir():
			return s.Rmdir(o.ctx, name)
		case errors.Is(serr, fs.ErrNotExist), serr != nil && refused(serr) == nil:
			return serr
		}
		return err
	})
}

// delete runs f, which removes one name, until it succeeds or fails for good. A try whose reply was lost may have done it:
// then the name is found to be absent, and that is success.
func (o *operation) delete(name string, f func(*session.Session) error) error {
	sent := false
	_, err := o.try(o.c.retry, func(context.Context, int) (bool, error) {
		return false, o.use(func(s *session.Session) error {
			again := sent
			sent = true
			err := f(s)
			if again && refused(err) != nil {
				if _, serr := stat(o.ctx, s, name); errors.Is(serr, fs.ErrNotExist) {
					return nil
				}
			}
			return err
		})
	})
	return err
}

// removable refuses what no call should remove, whatever the server thinks of it.
func removable(name string) error {
	if _, base := split(name); isRoot(name) || base == ".." {
		return fmt.Errorf("a root or a directory above cannot be removed or renamed: %w", fs.ErrInvalid)
	}
	return nil
}

// Rename gives a file or directory another name on the same server. Whether a file of that name is replaced is the
// server's choice: most replace it, IIS refuses.
func (c *Client) Rename(ctx context.Context, server, from, to string) error {
	op, err := c.begin(ctx, "rename", server, from)
	if err != nil {
		return err
	}
	defer op.end()
	if err := errors.Join(removable(from), removable(to)); err != nil {
		return op.wrap(err)
	}
	sent := false
	_, err = op.try(c.retry, func(context.Context, int) (bool, error) {
		return false, op.use(func(s *session.Session) error {
			again := sent
			sent = true
			err := s.Rename(op.ctx, from, to)
			if r := refused(err); r == nil || r.Command != "RNFR" {
				return err
			}
			_, serr := stat(op.ctx, s, from)
			if !errors.Is(serr, fs.ErrNotExist) {
				return err
			}
			if again {
				if _, terr := stat(op.ctx, s, to); terr == nil {
					return nil // an earlier try did it, and only its reply was lost
				}
			}
			return serr
		})
	})
	return op.wrap(err)
}

// SetModTime sets the modification time of a file, to the second, by MFMT, or by MDTM as vsftpd understands it. It is
// errors.ErrUnsupported where the server knows neither.
func (c *Client) SetModTime(ctx context.Context, server, path string, t time.Time) error {
	return c.repeat(ctx, "set time", server, path, func(ctx context.Context, s *session.Session) error {
		err := s.SetModTime(ctx, path, t)
		if r := refused(err); r != nil && r.Code == 550 && s.Usable() {
			if _, serr := stat(ctx, s, path); errors.Is(serr, fs.ErrNotExist) {
				return serr
			}
		}
		return err
	})
}
