package ftpclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/corexalgo/ftpclient/internal/listing"
	"github.com/corexalgo/ftpclient/internal/remotefs"
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

	// TimePrecision is what ModTime is exact to: a second or less from MLSD and MDTM, a minute or a day from LIST; 0 where
	// ModTime is unknown.
	TimePrecision time.Duration
}

// IsDir reports whether e is a directory. A link to one is not.
func (e Entry) IsDir() bool { return e.Mode.IsDir() }

// exact tells whether the time is known to the second.
func (e Entry) exact() bool { return e.TimePrecision > 0 && e.TimePrecision <= time.Second }

// List reads a directory, "" being the login directory: its entries sorted by name, without "." and "..". Rows that cannot
// be read or name something unsafe, and second rows of one name, are errors, joined into the one that is returned beside all
// other entries. It takes three round trips.
func (c *Client) List(ctx context.Context, server, dir string) ([]Entry, error) {
	op, err := c.begin(ctx, "list", server, dir)
	if err != nil {
		return nil, err
	}
	defer op.end()
	entries, faults, err := op.readDir(op.ctx, dir, nil)
	if err == nil && len(faults) > 0 {
		err = op.wrap(retry.Permanent(faults))
	}
	return entries, err
}

// readDir lists a directory, trying again by the Client's policy. With an error there are no entries. If STAT has shown the
// directory just now, the two are compared.
func (o *operation) readDir(ctx context.Context, dir string, seen *session.Stated) (entries []Entry, faults remotefs.NameErrors, err error) {
	_, err = o.try(o.c.retry, func(context.Context, int) (bool, error) {
		return false, o.use(func(s *session.Session) error {
			if known, ok := s.Accept(seen); ok { // proved meanwhile
				entries, faults = inOrder(newEntries(dir, known), nil)
				return nil
			}
			entries, faults, err = readDir(ctx, s, dir, seen)
			return err
		})
	})
	if err != nil {
		at := *o
		at.path = dir
		return nil, nil, at.wrap(err)
	}
	return entries, faults, nil
}

// readDir is one try.
func readDir(ctx context.Context, s *session.Session, dir string, seen *session.Stated) (entries []Entry, faults remotefs.NameErrors, err error) {
	var rows []listing.Entry
	dropped := 0
	err = s.List(ctx, dir, func(e listing.Entry, err error) bool {
		switch {
		case err == nil:
			entries = append(entries, Entry(remotefs.NewEntry(dir, e)))
			if seen != nil {
				rows = append(rows, e)
			}
		case len(faults) < remotefs.MaxFaults:
			faults = append(faults, err)
		default:
			dropped++
		}
		return true
	})
	if dropped > 0 {
		faults = append(faults, fmt.Errorf("%d more rows that cannot be read", dropped))
	}
	if err == nil && len(faults) == 0 {
		s.Prove(seen, rows)
	}
	entries, faults = inOrder(entries, faults)
	return entries, faults, explainList(ctx, s, dir, err)
}

func newEntries(dir string, rows []listing.Entry) []Entry {
	entries := make([]Entry, len(rows))
	for i, e := range rows {
		entries[i] = Entry(remotefs.NewEntry(dir, e))
	}
	return entries
}

// inOrder sorts entries by name.
func inOrder(entries []Entry, faults remotefs.NameErrors) ([]Entry, remotefs.NameErrors) {
	slices.SortStableFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return withoutTwins(entries, faults)
}

// withoutTwins keeps the first of entries with the same name: a link and then a directory of its name is how a hostile
// server leads out of a tree (CVE-2014-4877).
func withoutTwins(entries []Entry, faults remotefs.NameErrors) ([]Entry, remotefs.NameErrors) {
	unique := entries[:0]
	for i, e := range entries {
		if i > 0 && e.Name == entries[i-1].Name {
			if len(faults) < remotefs.MaxFaults {
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
	if !s.Usable() || (remotefs.Refused(err) == nil && !errors.Is(err, session.ErrNotDir)) {
		return err
	}
	e, serr := remotefs.Stat(ctx, s, dir)
	switch {
	case errors.Is(serr, fs.ErrNotExist):
		return serr
	case serr == nil && !e.IsDir() && !errors.Is(err, session.ErrNotDir):
		return fmt.Errorf("%w: %w", session.ErrNotDir, err)
	}
	return err
}

// WalkOptions says what Walk visits, and how. The zero value, and nil, visit everything.
type WalkOptions struct {
	// Workers is how many directories are listed at a time, MaxConns permitting. 0: 4. With 1 each is listed when the walk
	// comes to it, and not before, unless listings travel on the control connection.
	Workers int
	// MaxDepth is how many levels are visited; the entries of root are the first. 0: 100, and a directory on that level,
	// below which nothing is looked at, comes with an error.
	MaxDepth int
	// Include are patterns of the files to visit, all if there are none: doublestar globs such as "**/*.csv", on the slash
	// separated path below root. Directories, and what is in them, are visited all the same.
	Include []string
	// Exclude are patterns of files and directories that are left out; an excluded directory is not listed.
	Exclude []string

	// CoarseTimes says that times to the minute or day will do. Listings may then travel on the control connection (STAT), as
	// many as 64 in one round trip, where a data connection costs three round trips for each. Without MLSD times are no better
	// anyway, and they may always. Entries are the same but for their times: STAT is used only where the server showed the
	// same by it as by a data listing, for each kind of entry, and never again once it did not.
	CoarseTimes bool
}

func (o *WalkOptions) withDefaults() (opts WalkOptions) {
	if o != nil {
		opts = *o
	}
	opts.Workers = cmp.Or(opts.Workers, 4)
	return opts
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
// A directory takes three round trips, or with WalkOptions.CoarseTimes a small part of one, and its entries none, however
// many there are. Directories are listed several at a time, ahead of the body but not while it runs: no connection is held
// then, and the body may use them all. What is in memory are the directories on the way to the current one and some more
// ahead, never the tree.
func (c *Client) Walk(ctx context.Context, server, root string, opts *WalkOptions) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		op, err := c.begin(ctx, "walk", server, root)
		if err != nil {
			yield(Entry(remotefs.Directory(root)), err)
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
	if err := check(options); err != nil {
		return func(yield func(Entry, error) bool) { yield(Entry(remotefs.Directory(root)), err) }
	}
	opts := options.withDefaults()
	prefix := remotefs.Below(root)
	lister := &lister{op: o, coarse: opts.CoarseTimes, slots: make(chan struct{}, opts.Workers)}
	visited := func(dir Entry, l walk.Listing[Entry]) walk.Listing[Entry] {
		at := *o
		at.path = dir.Path
		for i, fault := range l.Faults {
			l.Faults[i] = at.wrap(retry.Permanent(fault))
		}
		l.Entries = slices.DeleteFunc(l.Entries, func(e Entry) bool { return !opts.visits(e, e.Path[len(prefix):]) })
		return l
	}
	tree := walk.Tree[Entry]{
		List: func(ctx context.Context, dir Entry) ([]Entry, []error, error) {
			l := visited(dir, lister.list(ctx, dir, nil))
			return l.Entries, l.Faults, l.Err
		},
		Together: lister.mayStat,
		ListTogether: func(ctx context.Context, dirs []Entry) []walk.Listing[Entry] {
			all := lister.stat(ctx, dirs)
			for i, l := range all {
				all[i] = visited(dirs[i], l)
			}
			return all
		},
		Descend:  Entry.IsDir,
		Workers:  opts.Workers,
		MaxDepth: opts.MaxDepth,
	}
	if tree.MaxDepth == 0 {
		tree.MaxDepth, tree.TooDeep = maxDepth, errTooDeep
	}
	return tree.All(o.ctx, Entry(remotefs.Directory(root)))
}

// A lister reads the directories of one walk, by STAT where that shows what a data listing would.
type lister struct {
	op     *operation
	coarse bool
	never  atomic.Bool   // the server may not be asked for STAT
	slots  chan struct{} // one for each worker
}

func (l *lister) mayStat(dir Entry) bool { return !l.never.Load() && session.Statable(dir.Path) }

func (l *lister) list(ctx context.Context, dir Entry, seen *session.Stated) walk.Listing[Entry] {
	l.slots <- struct{}{} // those who have one return soon after ctx has ended
	defer func() { <-l.slots }()
	entries, faults, err := l.op.readDir(ctx, dir.Path, seen)
	return walk.Listing[Entry]{Entries: entries, Faults: faults, Err: err}
}

// stat reads directories in as few round trips as it may, and those that STAT does not prove by data connections: one first,
// as what it proves may do for the others.
func (l *lister) stat(ctx context.Context, dirs []Entry) []walk.Listing[Entry] {
	seen, known := l.ask(dirs)
	all := make([]walk.Listing[Entry], len(dirs))
	var others sync.WaitGroup
	first := true
	for i, dir := range dirs {
		if known[i] != nil {
			all[i] = *known[i]
			continue
		}
		if first {
			first = false
			all[i] = l.list(ctx, dir, seen[i])
			continue
		}
		others.Go(func() { all[i] = l.list(ctx, dir, seen[i]) })
	}
	others.Wait()
	return all
}

// ask asks for directories by STAT, and returns what it shows, and the listings that are known: those that it proves, and one
// that a data connection showed at the same time, to prove others.
func (l *lister) ask(dirs []Entry) (seen []*session.Stated, known []*walk.Listing[Entry]) {
	l.slots <- struct{}{}
	defer func() { <-l.slots }()
	paths := make([]string, len(dirs))
	for i, dir := range dirs {
		paths[i] = dir.Path
	}
	// Whatever goes wrong here, the data listings find out what it means.
	_ = l.op.use(func(s *session.Session) error {
		seen, known = make([]*session.Stated, len(dirs)), make([]*walk.Listing[Entry], len(dirs))
		for n, tried := 0, false; n < len(dirs); {
			if !s.Stats(l.coarse) {
				l.never.Store(true)
				return nil
			}
			some, err := s.StatDirs(l.op.ctx, paths[n:])
			if err != nil {
				return err
			}
			copy(seen[n:], some)
			for _, st := range some {
				if l.op.expect != nil {
					l.op.expect(st.Files())
				}
				if rows, ok := s.Accept(st); ok {
					known[n] = newListing(inOrder(newEntries(paths[n], rows), nil))
				} else if !tried && !s.Proven() && st.Len() > 0 {
					tried = true
					entries, faults, err := readDir(l.op.ctx, s, paths[n], st)
					if err == nil {
						known[n] = newListing(entries, faults)
					} else if !s.Usable() {
						return err
					}
				}
				n++
			}
		}
		return nil
	})
	if seen == nil { // no connection
		return make([]*session.Stated, len(dirs)), make([]*walk.Listing[Entry], len(dirs))
	}
	return seen, known
}

func newListing(entries []Entry, faults remotefs.NameErrors) *walk.Listing[Entry] {
	return &walk.Listing[Entry]{Entries: entries, Faults: faults}
}

// Files lists every file below root, by its full path, sorted: everything that is no directory, links among it. What could
// not be read is in the error, beside all that could. It is as fast as a Walk with CoarseTimes.
func (c *Client) Files(ctx context.Context, server, root string) ([]string, error) {
	var files []string
	var faults remotefs.NameErrors
	for e, err := range c.Walk(ctx, server, root, &WalkOptions{CoarseTimes: true}) {
		switch {
		case err == nil && !e.IsDir():
			files = append(files, e.Path)
		case err != nil && len(faults) < remotefs.MaxFaults:
			faults = append(faults, err)
		}
	}
	slices.Sort(files)
	if len(faults) > 0 {
		return files, faults
	}
	return files, nil
}

// Stat tells of one name: by MLST, or where the server has none, by CWD, SIZE, MDTM and its parent's listing. The error is
// fs.ErrNotExist only when the name was proved to be absent; a server's mere 550 is not a proof. Of a link some servers
// tell what it leads to.
func (c *Client) Stat(ctx context.Context, server, path string) (Entry, error) {
	var entry Entry
	err := c.repeat(ctx, "stat", server, path, func(ctx context.Context, s *session.Session) error {
		e, err := remotefs.Stat(ctx, s, path)
		entry = Entry(e)
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

// MkdirAll makes dir and every directory above it that is missing. It is no error if dir is there already.
func (c *Client) MkdirAll(ctx context.Context, server, dir string) error {
	return c.repeat(ctx, "mkdir", server, dir, func(ctx context.Context, s *session.Session) error {
		_, err := remotefs.MkdirAll(ctx, s, dir)
		return err
	})
}

// Remove removes a file, a link, or an empty directory.
func (c *Client) Remove(ctx context.Context, server, path string) error {
	return c.change(ctx, "remove", server, path, func(o *operation) error { return o.names().Remove(path) })
}

// Rename gives a file or directory another name on the same server. Whether a file of that name is replaced is the
// server's choice: most replace it, IIS refuses.
func (c *Client) Rename(ctx context.Context, server, from, to string) error {
	return c.change(ctx, "rename", server, from, func(o *operation) error { return o.names().Rename(from, to) })
}

// SetModTime sets the modification time of a file, to the second, by MFMT, or by MDTM as vsftpd understands it. It is
// errors.ErrUnsupported where the server knows neither.
func (c *Client) SetModTime(ctx context.Context, server, path string, t time.Time) error {
	return c.repeat(ctx, "set time", server, path, func(ctx context.Context, s *session.Session) error {
		err := s.SetModTime(ctx, path, t)
		if r := remotefs.Refused(err); r != nil && r.Code == 550 && s.Usable() {
			if _, serr := remotefs.Stat(ctx, s, path); errors.Is(serr, fs.ErrNotExist) {
				return serr
			}
		}
		return err
	})
}

// RemoveAll removes path and, if it is a directory, all that is in it, up to 64 names in one write on each of several
// connections. Links are removed and never followed. What is not there is no error: a call that failed may be repeated.
//
// The first directory that cannot be read whole ends it, as ctx does: nothing more is asked for, though what was asked for may still go,
// for as long as the server takes. A file that cannot be removed does not; the others are removed, and the error tells of it.
// Directories are listed as by a Walk with CoarseTimes.
func (c *Client) RemoveAll(ctx context.Context, server, path string) error {
	return c.change(ctx, "remove all", server, path, func(o *operation) error {
		if err := remotefs.CheckRemovable(path); err != nil {
			return err
		}
		names := o.names()
		isDir, err := names.Unlink(path)
		if err != nil || !isDir {
			return err
		}
		entries := func(yield func(remotefs.Entry, error) bool) {
			o.walk(path, &WalkOptions{CoarseTimes: true})(func(e Entry, err error) bool { return yield(remotefs.Entry(e), err) })
		}
		return names.RemoveTree(path, entries, max(1, min(8, o.srv.cfg.MaxConns)), func(name string, err error) error {
			at := *o
			at.path = name
			return at.wrap(err)
		})
	})
}

// change is a whole call of something that looks after its own repetitions.
func (c *Client) change(ctx context.Context, name, server, path string, f func(*operation) error) error {
	op, err := c.begin(ctx, name, server, path)
	if err != nil {
		return err
	}
	defer op.end()
	return op.wrap(f(op))
}

func (o *operation) names() *remotefs.Op {
	return &remotefs.Op{Ctx: o.ctx, Attempt: func(f func(*session.Session) (bool, error)) error {
		_, err := o.try(o.c.retry, func(context.Context, int) (further bool, err error) {
			err = o.use(func(s *session.Session) (err error) { further, err = f(s); return err })
			return further, err
		})
		return err
	}}
}
