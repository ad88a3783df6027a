package ftpclient

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/corexalgo/ftpclient/internal/listing"
	"github.com/corexalgo/ftpclient/internal/reply"
	"github.com/corexalgo/ftpclient/internal/retry"
	"github.com/corexalgo/ftpclient/internal/session"
)

// An Entry is what a server tells of one name.
type Entry struct {
	Path    string      // the directory as it was asked for, and Name
	Name    string      // its last element
	Size    int64       // in bytes; -1 unknown
	ModTime time.Time   // in UTC; zero unknown. LIST gives minutes or days, MLSD seconds or less
	Mode    fs.FileMode // type bits always, permission bits where the server tells
	Target  string      // of a symbolic link, where the server tells
}

// IsDir reports whether e is a directory. A link to one is not.
func (e Entry) IsDir() bool { return e.Mode.IsDir() }

func newEntry(dir string, e listing.Entry) Entry {
	return Entry{
		Path: path.Join(dir, e.Name), Name: e.Name, Size: e.Size, ModTime: e.ModTime.UTC(), Mode: e.Mode, Target: e.Target,
	}
}

// List reads a directory, "" being the login directory: its entries sorted by name, without "." and "..". Rows that cannot
// be read or name something unsafe are errors, joined into the one that is returned beside all other entries.
func (c *Client) List(ctx context.Context, server, dir string) ([]Entry, error) {
	var entries []Entry
	var faults []error
	err := c.repeat(ctx, "list", server, dir, func(ctx context.Context, s *session.Session) error {
		entries, faults = nil, nil
		return s.List(ctx, dir, func(e listing.Entry, err error) bool {
			if err != nil {
				faults = append(faults, err)
			} else {
				entries = append(entries, newEntry(dir, e))
			}
			return true
		})
	})
	if err == nil && len(faults) > 0 {
		err = wrap("list", server, dir, retry.Permanent(errors.Join(faults...)))
	}
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries, err
}

// Stat tells of one name: by MLST, or where the server has none, by CWD, SIZE, MDTM and its parent's listing. The error is
// fs.ErrNotExist only when the name was proved to be absent; a server's mere 550 is not a proof.
func (c *Client) Stat(ctx context.Context, server, path string) (Entry, error) {
	var entry Entry
	err := c.repeat(ctx, "stat", server, path, func(ctx context.Context, s *session.Session) error {
		var err error
		entry, err = stat(ctx, s, path)
		return err
	})
	return entry, err
}

// IsDir reports whether path is a directory. A path that is proved absent is not one, and no error.
func (c *Client) IsDir(ctx context.Context, server, path string) (bool, error) {
	e, err := c.Stat(ctx, server, path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && e.IsDir(), err
}

// Exists reports whether there is anything at path. Only a proved absence is false without an error.
func (c *Client) Exists(ctx context.Context, server, path string) (bool, error) {
	_, err := c.Stat(ctx, server, path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func isRoot(name string) bool {
	return name == "" || path.Clean(name) == "." || path.Clean(name) == "/"
}

func refused(err error) *reply.Error {
	var e *reply.Error
	if errors.As(err, &e) && e.Code != 421 {
		return e
	}
	return nil
}

func stat(ctx context.Context, s *session.Session, name string) (Entry, error) {
	dir := path.Dir(path.Clean(name))
	if dir == "." {
		dir = ""
	}
	if isRoot(name) {
		return Entry{Path: name, Name: path.Base(path.Clean(name)), Size: -1, Mode: fs.ModeDir}, s.IsDir(ctx, path.Clean("/" + name)[:min(1, len(name))])
	}
	e, err := s.Fact(ctx, name)
	if err == nil {
		e.Name = path.Base(path.Clean(name))
		return newEntry(dir, e), nil
	}
	if errors.Is(err, errors.ErrUnsupported) {
		return statWithoutMLST(ctx, s, dir, name)
	}
	r := refused(err)
	if r == nil {
		return Entry{}, err
	}
	if reply.SaysAbsent(r.Text) && !errors.Is(r, fs.ErrPermission) {
		return Entry{}, absent(err) // MLST takes any kind of name: this is the operating system's answer
	}
	return statInParent(ctx, s, dir, name, err)
}

func statWithoutMLST(ctx context.Context, s *session.Session, dir, name string) (Entry, error) {
	entry := Entry{Path: path.Join(dir, path.Base(name)), Name: path.Base(path.Clean(name)), Size: -1}
	err := s.IsDir(ctx, name)
	if err == nil {
		entry.Mode = fs.ModeDir
		return entry, nil
	}
	if refused(err) == nil {
		return Entry{}, err
	}
	look, lerr := s.Look(ctx, name)
	if lerr != nil {
		return Entry{}, lerr
	}
	if look.SizeErr == nil {
		entry.Size, entry.ModTime = look.Size, look.ModTime
		return entry, nil
	}
	return statInParent(ctx, s, dir, name, look.SizeErr)
}

// statInParent looks for name where it must be listed. Only a listing that was read whole proves an absence.
func statInParent(ctx context.Context, s *session.Session, dir, name string, said error) (Entry, error) {
	base := path.Base(path.Clean(name))
	var found *Entry
	incomplete := false
	err := s.List(ctx, dir, func(e listing.Entry, err error) bool {
		if err != nil {
			incomplete = true
		} else if e.Name == base {
			entry := newEntry(dir, e)
			found = &entry
		}
		return true
	})
	switch {
	case found != nil:
		return *found, nil
	case err == nil && !incomplete && !strings.HasPrefix(base, "."):
		return Entry{}, absent(said)
	case err != nil && refused(err) == nil && !errors.Is(err, session.ErrNotDir):
		return Entry{}, err
	case err != nil && dir != "" && !isRoot(dir):
		if _, derr := stat(ctx, s, dir); errors.Is(derr, fs.ErrNotExist) {
			return Entry{}, absent(said)
		}
	}
	return Entry{}, said
}

// MkdirAll makes dir and every directory above it that is missing. It is no error if dir is there already.
func (c *Client) MkdirAll(ctx context.Context, server, dir string) error {
	return c.repeat(ctx, "mkdir", server, dir, func(ctx context.Context, s *session.Session) error {
		_, err := mkdirAll(ctx, s, dir)
		return err
	})
}

// mkdirAll tells whether it made anything. It is safe to repeat: what an earlier try made is there.
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
	parent := path.Dir(path.Clean(dir))
	if parentMade, perr := mkdirAll(ctx, s, parent); perr != nil || !parentMade {
		if perr != nil {
			return parentMade, perr
		}
		return false, err
	}
	return true, s.Mkdir(ctx, dir)
}

// Remove removes a file or an empty directory.
func (c *Client) Remove(ctx context.Context, server, path string) error {
	sent := false
	return c.repeat(ctx, "remove", server, path, func(ctx context.Context, s *session.Session) error {
		if isRoot(path) {
			return fmt.Errorf("removing the root: %w", fs.ErrInvalid)
		}
		if sent { // the reply to an earlier try was lost
			if _, err := stat(ctx, s, path); errors.Is(err, fs.ErrNotExist) {
				return nil
			}
		}
		sent = true
		err := s.Delete(ctx, path)
		if refused(err) == nil {
			return err
		}
		e, serr := stat(ctx, s, path)
		if serr != nil && (refused(serr) == nil || errors.Is(serr, fs.ErrNotExist)) {
			return serr
		}
		if serr == nil && e.IsDir() {
			return s.Rmdir(ctx, path)
		}
		return err
	})
}

// Rename gives a file or directory another name on the same server. Whether a file of that name is replaced is the
// server's choice: most replace it, IIS refuses.
func (c *Client) Rename(ctx context.Context, server, from, to string) error {
	sent := false
	return c.repeat(ctx, "rename", server, from, func(ctx context.Context, s *session.Session) error {
		if sent {
			_, err := stat(ctx, s, from)
			if errors.Is(err, fs.ErrNotExist) {
				if _, err := stat(ctx, s, to); err == nil {
					return nil // it was done, only the reply was lost
				}
			}
		}
		sent = true
		err := s.Rename(ctx, from, to)
		if r := refused(err); r != nil && r.Command == "RNFR" {
			if _, serr := stat(ctx, s, from); errors.Is(serr, fs.ErrNotExist) {
				return serr
			}
		}
		return err
	})
}

// SetModTime sets the modification time of a file, to the second, by MFMT, or by MDTM as vsftpd understands it. It is
// errors.ErrUnsupported where the server knows neither.
func (c *Client) SetModTime(ctx context.Context, server, path string, t time.Time) error {
	return c.repeat(ctx, "set time", server, path, func(ctx context.Context, s *session.Session) error {
		return s.SetModTime(ctx, path, t)
	})
}
