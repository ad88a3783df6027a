package ftpclient

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"strings"

	"github.com/corexalgo/ftpclient/internal/listing"
	"github.com/corexalgo/ftpclient/internal/reply"
	"github.com/corexalgo/ftpclient/internal/retry"
	"github.com/corexalgo/ftpclient/internal/session"
)

// Stat tells of one name: by MLST, or where the server has none, by CWD, SIZE, MDTM and its parent's listing. The error is
// fs.ErrNotExist only when the name was proved to be absent; a server's mere 550 is not a proof. Of a link some servers
// tell what it leads to.
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

// isRoot tells the login directory and the server's root, of which there is no parent to look into.
func isRoot(name string) bool {
	name = path.Clean(name)
	return name == "." || name == "/"
}

// split is a name's directory, "" for the login directory, and its last element.
func split(name string) (dir, base string) {
	name = path.Clean(name)
	if dir = path.Dir(name); dir == "." {
		dir = ""
	}
	return dir, path.Base(name)
}

// refused is the reply with which the server refused, and nil for every other error. A 421 ends a connection and refuses
// nothing.
func refused(err error) *reply.Error {
	var e *reply.Error
	if errors.As(err, &e) && e.Code != 421 {
		return e
	}
	return nil
}

// proved is absent as an error that no repetition mends, whatever code the server said it with.
func proved(said error) error { return retry.Permanent(absent(said)) }

func stat(ctx context.Context, s *session.Session, name string) (Entry, error) {
	dir, base := split(name)
	if isRoot(name) || base == ".." {
		e := directory(name)
		if path.Clean(name) == "." {
			return e, nil // logged in means to be there
		}
		return e, s.IsDir(ctx, name)
	}
	e, err := s.Fact(ctx, name)
	if err == nil {
		e.Name = base
		return newEntry(dir, e), nil
	}
	if errors.Is(err, errors.ErrUnsupported) {
		return statWithoutMLST(ctx, s, name)
	}
	r := refused(err)
	if r == nil {
		return Entry{}, err
	}
	if r.Code/100 == 5 && reply.SaysAbsent(r.Text) && !errors.Is(r, fs.ErrPermission) {
		return Entry{}, proved(err) // MLST takes any kind of name: this is the operating system's answer
	}
	return statInParent(ctx, s, name, err)
}

// statWithoutMLST asks by CWD first: there are servers that answer SIZE for directories.
func statWithoutMLST(ctx context.Context, s *session.Session, name string) (Entry, error) {
	dir, base := split(name)
	entry := newEntry(dir, listing.Entry{Name: base, Size: -1})
	err := s.IsDir(ctx, name)
	if err == nil {
		entry.Mode = fs.ModeDir
		return entry, nil
	}
	if refused(err) == nil {
		return Entry{}, err
	}
	forbidden := errors.Is(err, fs.ErrPermission) // it may be a directory all the same
	if forbidden {
		e, err := statInParent(ctx, s, name, err)
		if err == nil || !errors.Is(err, fs.ErrPermission) {
			return e, err
		}
	}
	look, lerr := s.Look(ctx, name)
	switch {
	case lerr != nil:
		return Entry{}, lerr
	case look.SizeErr == nil:
		entry.Size, entry.ModTime = look.Size, look.ModTime
		return entry, nil
	case forbidden:
		return Entry{}, err
	}
	return statInParent(ctx, s, name, look.SizeErr)
}

// statInParent looks for name where it must be listed. Only a listing that was read whole proves an absence, and not of
// what servers like to hide: names that begin with a dot, if none is listed, and what said, the answer so far, forbids.
func statInParent(ctx context.Context, s *session.Session, name string, said error) (Entry, error) {
	dir, _ := split(name)
	found, complete, err := findInParent(ctx, s, name)
	switch {
	case found != nil:
		return *found, nil
	case errors.Is(said, fs.ErrPermission), err == nil && !complete:
		return Entry{}, said
	case err == nil:
		return Entry{}, proved(said)
	case err != nil && refused(err) == nil && !errors.Is(err, session.ErrNotDir):
		return Entry{}, err
	case err != nil && !isRoot(dir):
		if parent, perr := stat(ctx, s, dir); errors.Is(perr, fs.ErrNotExist) || (perr == nil && parent.Mode.IsRegular()) {
			return Entry{}, proved(said) // no directory, nothing in it
		}
	}
	return Entry{}, said
}

// findInParent reads the listing that name must be in; nil when it is not there, and complete when it would be if it existed.
// Unlike MLST and CWD on some servers, a listing tells a link from what it leads to.
func findInParent(ctx context.Context, s *session.Session, name string) (found *Entry, complete bool, err error) {
	dir, base := split(name)
	complete = true
	hidden := strings.HasPrefix(base, ".") && !s.ListsHidden()
	err = s.List(ctx, dir, func(e listing.Entry, err error) bool {
		if err != nil {
			complete = false
		} else if e.Name == base && found == nil {
			entry := newEntry(dir, e)
			found = &entry
		}
		hidden = hidden && !strings.HasPrefix(e.Name, ".")
		return true
	})
	if err != nil {
		return nil, false, err
	}
	return found, complete && !hidden, nil
}
