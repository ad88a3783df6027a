// Package remotefs finds out and changes what names on a server are: with proofs, since a reply alone tells neither that a
// name is absent nor what kind of thing it is, and with a look at what became of a command whose reply was lost.
package remotefs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/corexalgo/ftpclient/internal/listing"
	"github.com/corexalgo/ftpclient/internal/reply"
	"github.com/corexalgo/ftpclient/internal/retry"
	"github.com/corexalgo/ftpclient/internal/session"
)

// An Entry is what a server tells of one name; the root package's Entry has the same fields.
type Entry struct {
	Path    string
	Name    string
	Size    int64 // -1 unknown
	ModTime time.Time
	Mode    fs.FileMode
	Target  string

	TimePrecision time.Duration // of ModTime; 0 unknown
}

// IsDir reports whether e is a directory; a link to one is not.
func (e Entry) IsDir() bool { return e.Mode.IsDir() }

// NewEntry is the Entry of a row of the listing of dir.
func NewEntry(dir string, e listing.Entry) Entry {
	full := Below(dir) + e.Name
	return Entry{
		// One string for both: of a large tree, names are what takes the memory.
		Path: full, Name: full[len(full)-len(e.Name):],
		Size: e.Size, ModTime: e.ModTime.UTC(), Mode: e.Mode, Target: e.Target,
		TimePrecision: e.Precise,
	}
}

// Below is what the paths of a directory's entries begin with.
func Below(dir string) string {
	dir = path.Clean(dir)
	switch dir {
	case ".":
		return ""
	case "/":
		return "/"
	}
	return dir + "/"
}

// IsBelow tells whether name is a path as a plan has them: in dir, and not by way of other directories.
func IsBelow(dir, name string) bool {
	rel, ok := strings.CutPrefix(name, Below(dir))
	return ok && rel != "" && path.Clean("/"+rel) == "/"+rel
}

// Directory is the Entry of a directory of which nothing else is known.
func Directory(name string) Entry {
	return Entry{Path: name, Name: path.Base(path.Clean(name)), Size: -1, Mode: fs.ModeDir}
}

// MaxFaults is how many errors of one directory are kept; a hostile server has millions.
const MaxFaults = 1000

// NameErrors are the faults of a listing that is whole but for them.
type NameErrors []error

func (r NameErrors) Error() string {
	if len(r) == 1 {
		return r[0].Error()
	}
	return fmt.Sprintf("%v (and %d more)", r[0], len(r)-1)
}

func (r NameErrors) Unwrap() []error { return r }

// IsRoot tells the login directory and the server's root, of which there is no parent to look into.
func IsRoot(name string) bool {
	name = path.Clean(name)
	return name == "." || name == "/"
}

// Split is a name's directory, "" for the login directory, and its last element.
func Split(name string) (dir, base string) {
	name = path.Clean(name)
	if dir = path.Dir(name); dir == "." {
		dir = ""
	}
	return dir, path.Base(name)
}

// Refused is the reply with which the server Refused, and nil for every other error. A 421 ends a connection and refuses
// nothing.
func Refused(err error) *reply.Error {
	if err == nil { // most often, and errors.As takes memory
		return nil
	}
	var e *reply.Error
	if errors.As(err, &e) && e.Code != 421 {
		return e
	}
	return nil
}

// Proved is absent as an error that no repetition mends, whatever code the server said it with.
func proved(said error) error { return retry.Permanent(absent(said)) }

// Stat tells of one name: by MLST, or where the server has none, by CWD, SIZE, MDTM and its parent's listing.
func Stat(ctx context.Context, s *session.Session, name string) (Entry, error) {
	dir, base := Split(name)
	if IsRoot(name) || base == ".." {
		e := Directory(name)
		if path.Clean(name) == "." {
			return e, nil // logged in means to be there
		}
		return e, s.IsDir(ctx, name)
	}
	e, err := s.Fact(ctx, name)
	if err == nil {
		e.Name = base
		return NewEntry(dir, e), nil
	}
	if errors.Is(err, errors.ErrUnsupported) {
		return statWithoutMLST(ctx, s, name)
	}
	r := Refused(err)
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
	dir, base := Split(name)
	entry := NewEntry(dir, listing.Entry{Name: base, Size: -1})
	err := s.IsDir(ctx, name)
	if err == nil {
		entry.Mode = fs.ModeDir
		return entry, nil
	}
	if Refused(err) == nil {
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
		if !look.ModTime.IsZero() {
			entry.TimePrecision = time.Second
		}
		return entry, nil
	case forbidden:
		return Entry{}, err
	}
	return statInParent(ctx, s, name, look.SizeErr)
}

// StatAsListed is Stat with times and modes just as the listing of the parent has them: where that comes by LIST, from
// there. The contract of fs.DirEntry wants both the same.
func StatAsListed(ctx context.Context, s *session.Session, name string) (Entry, error) {
	if s.ListsFacts() || IsRoot(name) {
		return Stat(ctx, s, name)
	}
	found, _, err := FindInParent(ctx, s, name)
	switch {
	case err != nil && Refused(err) == nil && !errors.Is(err, session.ErrNotDir):
		return Entry{}, err
	case found != nil && found.Mode.Type()&fs.ModeSymlink == 0:
		return *found, nil
	}
	return Stat(ctx, s, name)
}

// statInParent looks for name where it must be listed. Only a listing that was read whole proves an absence, and not of
// what servers like to hide: names that begin with a dot, if none is listed, and what said, the answer so far, forbids.
func statInParent(ctx context.Context, s *session.Session, name string, said error) (Entry, error) {
	dir, _ := Split(name)
	found, complete, err := FindInParent(ctx, s, name)
	switch {
	case found != nil:
		return *found, nil
	case errors.Is(said, fs.ErrPermission), err == nil && !complete:
		return Entry{}, said
	case err == nil:
		return Entry{}, proved(said)
	case err != nil && Refused(err) == nil && !errors.Is(err, session.ErrNotDir):
		return Entry{}, err
	case err != nil && !IsRoot(dir):
		if parent, perr := Stat(ctx, s, dir); errors.Is(perr, fs.ErrNotExist) || (perr == nil && parent.Mode.IsRegular()) {
			return Entry{}, proved(said) // no directory, nothing in it
		}
	}
	return Entry{}, said
}

// FindInParent reads the listing that name must be in; nil when it is not there, and complete when it would be if it existed.
// Unlike MLST and CWD on some servers, a listing tells a link from what it leads to.
func FindInParent(ctx context.Context, s *session.Session, name string) (found *Entry, complete bool, err error) {
	dir, base := Split(name)
	complete = true
	hidden := strings.HasPrefix(base, ".") && !s.ListsHidden()
	err = s.List(ctx, dir, func(e listing.Entry, err error) bool {
		if err != nil {
			complete = false
		} else if e.Name == base && found == nil {
			entry := NewEntry(dir, e)
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

// listed has the names in a directory; complete tells that it has all but those that servers like to hide.
func listed(ctx context.Context, s *session.Session, dir string) (names map[string]bool, complete bool, err error) {
	names, complete = map[string]bool{}, true
	err = s.List(ctx, dir, func(e listing.Entry, err error) bool {
		if err != nil {
			complete = false
		} else {
			names[e.Name] = true
		}
		return true
	})
	return names, complete, err
}

// absent is the error of a name whose absence is proved; said is what the server answered, if it did.
func absent(said error) error {
	if said == nil {
		return fs.ErrNotExist
	}
	return fmt.Errorf("%w (%w)", fs.ErrNotExist, said)
}
