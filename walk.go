package ftpclient

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/corexalgo/ftpclient/internal/listing"
	"github.com/corexalgo/ftpclient/internal/reply"
	"github.com/corexalgo/ftpclient/internal/retry"
	"github.com/corexalgo/ftpclient/internal/session"
	"github.com/corexalgo/ftpclient/internal/walk"
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
	full := below(dir) + e.Name
	return Entry{
		// One string for both: of a large tree, names are what takes the memory.
		Path: full, Name: full[len(full)-len(e.Name):],
		Size: e.Size, ModTime: e.ModTime.UTC(), Mode: e.Mode, Target: e.Target,
	}
}

// below is what the paths of a directory's entries begin with.
func below(dir string) string {
	dir = path.Clean(dir)
	switch dir {
	case ".":
		return ""
	case "/":
		return "/"
	}
	return dir + "/"
}

// directory is the Entry of a directory of which nothing else is known.
func directory(name string) Entry {
	return Entry{Path: name, Name: path.Base(path.Clean(name)), Size: -1, Mode: fs.ModeDir}
}

// List reads a directory, "" being the login directory: its entries sorted by name, without "." and "..". Rows that cannot
// be read or name something unsafe, and second rows of one name, are errors, joined into the one that is returned beside all
// other entries. It takes three round trips.
func (c *Client) List(ctx context.Context, server, dir string) ([]Entry, error) {
	op, err := c.begin(ctx, "list", server, dir)
	if err != nil {
		return nil, err
	}
	defer op.end()
	entries, faults, err := op.readDir(op.ctx, dir)
	if err == nil && len(faults) > 0 {
		err = op.wrap(retry.Permanent(faults))
	}
	return entries, err
}

// readDir lists a directory, trying again by the Client's policy. With an error there are no entries.
func (o *operation) readDir(ctx context.Context, dir string) (entries []Entry, faults rowErrors, err error) {
	_, err = o.try(o.c.retry, func(context.Context, int) (bool, error) {
		return false, o.use(func(s *session.Session) error {
			entries, faults = nil, nil
			dropped := 0
			err := s.List(ctx, dir, func(e listing.Entry, err error) bool {
				switch {
				case err == nil:
					entries = append(entries, newEntry(dir, e))
				case len(faults) < maxFaults:
					faults = append(faults, err)
				default:
					dropped++
				}
				return true
			})
			if dropped > 0 {
				faults = append(faults, fmt.Errorf("%d more rows that cannot be read", dropped))
			}
			return explainList(ctx, s, dir, err)
		})
	})
	if err != nil {
		at := *o
		at.path = dir
		return nil, nil, at.wrap(err)
	}
	slices.SortStableFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	entries, faults = withoutTwins(entries, faults)
	return entries, faults, nil
}

// withoutTwins keeps the first of entries with the same name: a link and then a directory of its name is how a hostile
// server leads out of a tree (CVE-2014-4877).
func withoutTwins(entries []Entry, faults rowErrors) ([]Entry, rowErrors) {
	unique := entries[:0]
	for i, e := range entries {
		if i > 0 && e.Name == entries[i-1].Name {
			if len(faults) < maxFaults {
				faults = append(faults, fmt.Errorf("%w: %s is listed more than once", ErrNameCollision, reply.Quote(e.Name)))
			}
			continue
		}
		unique = append(unique, e)
	}
	clear(entries[len(unique):])
	return unique, faults
}

// explainList finds out what a refused listing means.
func explainList(ctx context.Context, s *session.Session, dir string, err error) error {
	if !s.Usable() || (refused(err) == nil && !errors.Is(err, session.ErrNotDir)) {
		return err
	}
	e, serr := stat(ctx, s, dir)
	switch {
	case errors.Is(serr, fs.ErrNotExist):
		return serr
	case serr == nil && !e.IsDir() && !errors.Is(err, session.ErrNotDir):
		return fmt.Errorf("%w: %w", session.ErrNotDir, err)
	}
	return err
}

// maxFaults is how many errors of one directory are kept; a hostile server has millions.
const maxFaults = 1000

// rowErrors are the faults of a listing that is whole but for them.
type rowErrors []error

func (r rowErrors) Error() string {
	if len(r) == 1 {
		return r[0].Error()
	}
	return fmt.Sprintf("%v (and %d more)", r[0], len(r)-1)
}

func (r rowErrors) Unwrap() []error { return r }

// WalkOptions says what Walk visits, and how. The zero value, and nil, visit everything.
type WalkOptions struct {
	// Workers is how many directories are listed at a time, MaxConns permitting. 0: 4. With 1 each is listed when the walk
	// comes to it, and not before.
	Workers int
	// MaxDepth is how many levels are visited; the entries of root are the first. 0: 100, and a directory on that level,
	// below which nothing is looked at, comes with an error.
	MaxDepth int
	// Include are patterns of the files to visit, all if there are none: doublestar globs such as "**/*.csv", on the slash
	// separated path below root. Directories, and what is in them, are visited all the same.
	Include []string
	// Exclude are patterns of files and directories that are left out; an excluded directory is not listed.
	Exclude []string

	// CoarseTimes says that times to the minute or day will do, which permits listings to travel on the control connection. It
	// is a permission only: at present listings do not.
	CoarseTimes bool
}

func (o *WalkOptions) withDefaults() (WalkOptions, error) {
	var opts WalkOptions
	if o != nil {
		opts = *o
	}
	if opts.Workers <= 0 {
		opts.Workers = 4
	}
	for _, pattern := range slices.Concat(opts.Include, opts.Exclude) {
		if !doublestar.ValidatePattern(pattern) {
			return opts, fmt.Errorf("pattern %s: %w", reply.Quote(pattern), doublestar.ErrBadPattern)
		}
	}
	return opts, nil
}

// visits reports whether an entry is part of the walk, by its path below root.
func (o *WalkOptions) visits(e Entry, rel string) bool {
	if matchesAny(o.Exclude, rel) {
		return false
	}
	return e.IsDir() || len(o.Include) == 0 || matchesAny(o.Include, rel)
}

func matchesAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return doublestar.MatchUnvalidated(p, name) })
}

const maxDepth = 100

var errTooDeep = fmt.Errorf("directory is %d levels deep and not looked into", maxDepth)

// Walk visits everything below root, in lexical order as filepath.WalkDir does: a directory, then what is in it, then its
// next sibling. Root itself is not visited. Links are visited and not followed.
//
// Not all that comes with an error ends the walk, and an Entry comes with it: a directory that cannot be listed comes once,
// with the error (root too, when it is the one); rows that cannot be read come as errors with their directory's Entry, after
// the directory itself. Who needs to know that nothing was left out must see all errors. The walk ends early only with its
// context, or when the body breaks; both at once.
//
// A directory takes three round trips, and its entries none, however many there are. Directories are listed several at a
// time, ahead of the body but not while it runs: no connection is held then, and the body may use them all. What is in
// memory are the directories on the way to the current one and some more ahead, never the tree.
func (c *Client) Walk(ctx context.Context, server, root string, opts *WalkOptions) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		op, err := c.begin(ctx, "walk", server, root)
		if err != nil {
			yield(directory(root), err)
			return
		}
		defer op.end()
		for e, err := range op.walk(root, opts) {
			if !yield(e, op.wrap(err)) {
				return
			}
		}
	}
}

func (o *operation) walk(root string, options *WalkOptions) iter.Seq2[Entry, error] {
	opts, err := options.withDefaults()
	if err != nil {
		return func(yield func(Entry, error) bool) { yield(directory(root), err) }
	}
	prefix := below(root)
	tree := walk.Tree[Entry]{
		List: func(ctx context.Context, dir Entry) ([]Entry, []error, error) {
			entries, faults, err := o.readDir(ctx, dir.Path)
			at := *o
			at.path = dir.Path
			for i, fault := range faults {
				faults[i] = at.wrap(retry.Permanent(fault))
			}
			entries = slices.DeleteFunc(entries, func(e Entry) bool { return !opts.visits(e, e.Path[len(prefix):]) })
			return entries, faults, err
		},
		Descend:  Entry.IsDir,
		Workers:  opts.Workers,
		MaxDepth: opts.MaxDepth,
	}
	if tree.MaxDepth <= 0 {
		tree.MaxDepth, tree.TooDeep = maxDepth, errTooDeep
	}
	return tree.All(o.ctx, directory(root))
}

// Files lists every file below root, by its full path, sorted: everything that is no directory, links among it. What could
// not be read is in the error, beside all that could.
func (c *Client) Files(ctx context.Context, server, root string) ([]string, error) {
	var files []string
	var faults rowErrors
	for e, err := range c.Walk(ctx, server, root, nil) {
		switch {
		case err == nil && !e.IsDir():
			files = append(files, e.Path)
		case err != nil && len(faults) < maxFaults:
			faults = append(faults, err)
		}
	}
	slices.Sort(files)
	if len(faults) > 0 {
		return files, faults
	}
	return files, nil
}
