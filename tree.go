package ftpclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/corexalgo/ftpclient/internal/dircache"
	"github.com/corexalgo/ftpclient/internal/join"
	"github.com/corexalgo/ftpclient/internal/localfs"
	"github.com/corexalgo/ftpclient/internal/mirror"
	"github.com/corexalgo/ftpclient/internal/remotefs"
	"github.com/corexalgo/ftpclient/internal/reply"
	"github.com/corexalgo/ftpclient/internal/safepath"
	"github.com/corexalgo/ftpclient/internal/session"
)

// DownloadDir fetches all that is below a remote directory into a local folder, which is made if it is missing. It begins
// while the tree is still being listed. Empty directories are made too. Links and special files are reported, and skipped.
// A listed name that cannot be a local one, and a directory that cannot be read, is a failure of its own.
//
// With Existing: SkipSame a second call finds what is the same by the listings; where they tell times to the minute or
// the day only, the exact ones of files that may be the same are asked for, many in one round trip. It is like
// DownloadFiles in all else.
func (c *Client) DownloadDir(ctx context.Context, server, remoteDir, localDir string, opts *BatchOptions) (*BatchResult, error) {
	tree, err := c.openTree(server, localDir, opts)
	if err != nil {
		return &BatchResult{}, wrap("batch", server, remoteDir, err)
	}
	defer func() { _ = tree.Close() }()
	return c.batch(ctx, opts, server, nil, pass{tasks: func(b *batch) iter.Seq[task] {
		expect := b.openAhead(c.servers[server])
		return b.sharpened(server, remoteDir, func(op *operation) iter.Seq[task] {
			op.expect = expect
			d := downloadTree{batch: b, server: server, remoteDir: remoteDir, localDir: localDir, tree: tree}
			d.names.Folding = safepath.FoldNames
			return d.tasks(op)
		})
	}})
}

// UploadDir stores all that is below a local folder in a remote directory, which is made if it is missing. It is like
// DownloadDir in all else.
func (c *Client) UploadDir(ctx context.Context, server, localDir, remoteDir string, opts *BatchOptions) (*BatchResult, error) {
	return c.batch(ctx, opts, server, nil, pass{tasks: func(b *batch) iter.Seq[task] {
		return b.sharpened(server, remoteDir, func(op *operation) iter.Seq[task] {
			u := uploadTree{batch: b, server: server, remoteDir: remoteDir, localDir: localDir}
			return u.tasks(op)
		})
	}})
}

// walkOptions are those of the options of a batch.
func (b *batch) walkOptions() *WalkOptions {
	return &WalkOptions{Include: b.opts.Include, Exclude: b.opts.Exclude, CoarseTimes: b.opts.Existing != SkipSame}
}

// A roll is the files of a call that names them all. There may be many: their tasks are made as they come.
type roll struct {
	files        []string
	base         func(file string) string // what its target is called
	task         func(file, base string) task
	clash, alone []bool // it has its target in common with another one; its remote directory with none
}

// newRoll makes a roll of files that have their targets in one folder. Later changes of files have no effect.
func newRoll(files []string, folds func() bool, base func(string) string, task func(file, base string) task) *roll {
	r := &roll{files: slices.Clone(files), base: base, task: task}
	r.clash = safepath.Shared(len(files), folds, func(i int) string { return base(files[i]) })
	r.alone = safepath.Shared(len(files), nil, func(i int) string { return path.Dir(task(files[i], base(files[i])).Remote) })
	for i := range r.alone {
		r.alone[i] = !r.alone[i]
	}
	return r
}

// len is 0 of no roll.
func (r *roll) len() int {
	if r == nil {
		return 0
	}
	return len(r.files)
}

// at is the task of a file. Those that have a target in common fail, all of them.
func (r *roll) at(i int) task {
	base := r.base(r.files[i])
	t := r.task(r.files[i], base)
	if t.alone = r.alone[i]; r.clash[i] && t.err == nil {
		t.err = sharedTarget(base)
	}
	return t
}

func (r *roll) tasks(yield func(task) bool) {
	for i := range r.files {
		if !yield(r.at(i)) {
			return
		}
	}
}

// fails is the first of the tasks that fail whatever is done.
func (r *roll) fails() (t task, some bool) {
	for i := range r.len() {
		if t = r.at(i); t.err != nil {
			t.index = i + 1
			return t, true
		}
	}
	return t, false
}

func sharedTarget(name string) error {
	return fmt.Errorf("%w: more than one of the files would become %s", ErrNameCollision, reply.Quote(name))
}

// folds tells whether a folder takes names for one that differ in letter case.
var folds = safepath.Folds

// collide makes downloads fail that have a target in common.
func collide(tasks []task, tree *os.Root) {
	target := func(i int) string {
		if t := tasks[i]; t.err == nil && t.skip == "" {
			return t.rel
		}
		return "/" + strconv.Itoa(i) // nobody's
	}
	for i, shared := range safepath.Shared(len(tasks), func() bool { return folds(tree, ".") }, target) {
		if shared {
			tasks[i].err = sharedTarget(tasks[i].rel)
		}
	}
}

// A pass is tasks that are done before the next pass begins, one after the other if need be.
type pass struct {
	tasks   func(*batch) iter.Seq[task]
	inOrder bool
}

// An action is something that a batch does besides moving files.
type action func(*operation) error

// A task is a Job with what the batch knows of it.
type task struct {
	Job
	order int       // among all tasks
	index int       // among the files
	came  time.Time // when its stream gave it; zero: with the call

	tree *os.Root // place.tree and rel
	rel  string

	err     error   // it fails with that
	skip    string  // it is skipped, for that reason
	act     action  // it is no file: it counts only if it fails, or removes something
	removes *Action // the deletion that the action is; nil: it is none
	parts   []task  // of the action, which found the err of each: they count in its place
	listed  *Entry  // what a listing showed of Remote
	absent  bool    // a listing showed that there is no Remote
	alone   bool    // it is the only job in its directory
}

// ended notes how a task ended, or each of its parts.
func (b *batch) ended(t task, result *Result, err error) {
	if t.parts == nil {
		b.done(t, result, err)
	}
	for _, part := range t.parts {
		part.order = t.order
		b.done(part, nil, cmp.Or(err, part.err))
	}
}

// failed is a task that fails.
func failed(job Job, err error) task { return task{Job: job, err: err} }

// A downloadTree makes tasks of a remote tree.
type downloadTree struct {
	*batch
	server, remoteDir, localDir string
	tree                        *os.Root
	names                       safepath.Siblings
	closed                      string // a path below which nothing is done; "": none
}

func (d *downloadTree) tasks(op *operation) iter.Seq[task] {
	return func(yield func(task) bool) {
		for item := range op.remoteTree(d.remoteDir, d.walkOptions()) {
			if d.closed != "" && strings.HasPrefix(item.Path, d.closed+"/") {
				continue
			}
			t, ok := d.task(item)
			if ok && !yield(t) {
				return
			}
			if op.ctx.Err() != nil {
				return
			}
		}
	}
}

// task is false for a directory, which is made at once.
func (d *downloadTree) task(item join.Item[Entry]) (t task, ok bool) {
	e, rel := item.Value, filepath.FromSlash(item.Path)
	t = task{Job: Job{Direction: Down, Server: d.server, Remote: e.Path, Local: filepath.Join(d.localDir, rel)}, tree: d.tree, rel: rel}
	if item.Err != nil {
		t.err = item.Err
		return t, true
	}
	if t.err = d.admit(item.Path, e.Name); t.err != nil {
		d.closed = item.Path
		return t, true
	}
	switch {
	case e.IsDir():
		if t.err = d.enter(rel); t.err != nil {
			d.closed = item.Path
		}
		return t, t.err != nil
	case e.Mode&fs.ModeSymlink != 0:
		t.skip = "symbolic link"
	case e.Mode.Type()&^fs.ModeIrregular != 0:
		t.skip = "special file"
	}
	t.listed = &e
	return t, true
}

// enter makes a folder, or finds that it is there. A link is none, wherever it leads: two folders would be one.
func (d *downloadTree) enter(rel string) error {
	if info, err := d.tree.Lstat(rel); err == nil && !info.IsDir() {
		return &fs.PathError{Op: "mkdir", Path: rel, Err: fmt.Errorf("something else is in the way: %w", fs.ErrExist)}
	}
	return d.tree.MkdirAll(rel, 0o777)
}

// admit finds names that cannot be local ones, or are two for one.
func (d *downloadTree) admit(rel, name string) error {
	if err := safepath.CheckLocal(name); err != nil {
		return err
	}
	if other, clash := d.names.Add(rel); clash && (other == name || folds(d.tree, filepath.FromSlash(path.Dir(rel)))) {
		return fmt.Errorf("%w: %q is the name of %q on this system", ErrNameCollision, name, other)
	}
	return nil
}

// An uploadTree makes tasks of a local tree.
type uploadTree struct {
	*batch
	server, localDir, remoteDir string
	blind                       bool // something of the remote tree could not be read: what was not seen may be there
}

func (u *uploadTree) tasks(op *operation) iter.Seq[task] {
	return func(yield func(task) bool) {
		opts := u.walkOptions()
		local := func(yield func(join.Item[fs.FileInfo]) bool) {
			closed := ""
			for e := range localfs.Walk(op.ctx, u.localDir) {
				isDir := e.Info != nil && e.Info.IsDir()
				switch {
				case closed != "" && strings.HasPrefix(e.Path, closed+"/"):
					continue
				case matchesAny(opts.Exclude, e.Path) && isDir:
					closed = e.Path
					continue
				case safepath.IsOurs(path.Base(e.Path)), matchesAny(opts.Exclude, e.Path),
					e.Err == nil && !isDir && len(opts.Include) > 0 && !matchesAny(opts.Include, e.Path):
					continue
				}
				if !yield(join.Item[fs.FileInfo]{Path: e.Path, Value: e.Info, Err: e.Err}) {
					return
				}
			}
		}
		remote := func(func(join.Item[Entry]) bool) {} // where nothing depends on what is there, nobody looks
		if u.opts.Existing != Overwrite {
			remote = op.remoteTree(u.remoteDir, &WalkOptions{Exclude: opts.Exclude, CoarseTimes: opts.CoarseTimes})
		} else {
			u.blind = true
		}
		stopped, empty := false, true
		pairs := join.Trees(local, remote, func(f join.Fault) {
			if !f.Left {
				u.blind = u.blind || f.Path != "" || !errors.Is(f.Err, fs.ErrNotExist)
				return
			}
			empty, stopped = false, stopped || !yield(failed(u.job(f.Path), f.Err))
		})
		for p := range pairs {
			if stopped || op.ctx.Err() != nil {
				return
			}
			if p.Left == nil {
				continue
			}
			empty = false
			if t, ok := u.task(p); ok && !yield(t) {
				return
			}
		}
		if empty && !stopped {
			root := task{Job: u.job("")}
			root.act = mkdirRemote(root.Remote)
			yield(root)
		}
	}
}

func (u *uploadTree) job(rel string) Job {
	return Job{
		Direction: Up, Server: u.server,
		Remote: strings.TrimSuffix(remotefs.Below(u.remoteDir)+rel, "/"), Local: filepath.Join(u.localDir, filepath.FromSlash(rel)),
	}
}

// task is false where there is nothing to do.
func (u *uploadTree) task(p join.Pair[fs.FileInfo, Entry]) (t task, ok bool) {
	t = task{Job: u.job(p.Path), listed: p.Right}
	// Names that begin with a dot are left out of many listings. Where what is there must stay, the listing is looked at as a
	// whole: the server may not tell letter cases apart.
	t.absent = p.Right == nil && !u.blind && u.opts.Existing != SkipExisting && !strings.HasPrefix(p.Path, ".") && !strings.Contains(p.Path, "/.")
	switch mode := (*p.Left).Mode(); {
	case mode.IsDir():
		if p.Right != nil && p.Right.IsDir() {
			return t, false
		}
		t.act = mkdirRemote(t.Remote)
	case mode&fs.ModeSymlink != 0:
		t.skip = "symbolic link"
	case !mode.IsRegular():
		t.skip = "special file"
	}
	return t, true
}

func mkdirRemote(dir string) action {
	return func(op *operation) error {
		return op.names().Try(func(s *session.Session) error {
			_, err := remotefs.MkdirAll(op.ctx, s, dir)
			return err
		})
	}
}

// sharpened runs the tasks of a tree, and finds out to the second the times of those files of which a listing told less,
// where only that can show that they are the same.
func (b *batch) sharpened(server, dir string, tasks func(*operation) iter.Seq[task]) iter.Seq[task] {
	return func(yield func(task) bool) {
		b.c.running.Add(1)
		op := b.c.operation(b.ctx, "list", b.c.servers[server], dir)
		defer op.end()
		if b.opts.Existing != SkipSame {
			tasks(op)(yield)
			return
		}
		var held []task // in order, with doubts of them
		doubts := 0
		flush := func() bool {
			if doubts > 0 {
				sharpen(op, held)
			}
			for _, t := range held {
				if !yield(t) {
					return false
				}
			}
			held, doubts = held[:0], 0
			return true
		}
		for t := range tasks(op) {
			held = append(held, t)
			if t.maybeSame() {
				doubts++
			}
			if doubts == 0 || doubts >= 256 || len(held) >= 4096 {
				if !flush() {
					return
				}
			}
		}
		flush()
	}
}

// maybeSame tells whether only the exact time can show that the file is the same: a listing's may be of another zone.
func (t *task) maybeSame() bool {
	if t.listed == nil || t.err != nil || t.skip != "" || t.act != nil || t.listed.exact() {
		return false
	}
	info, err := os.Lstat(t.Local)
	return err == nil && info.Size() == t.listed.Size
}

// sharpen asks for exact times. Where they cannot be had, each file is asked about by itself.
func sharpen(op *operation, tasks []task) {
	var names []string
	var at []int
	for i := range tasks {
		if tasks[i].maybeSame() {
			names, at = append(names, tasks[i].Remote), append(at, i)
		}
	}
	times, err := op.times(names)
	if err != nil {
		return
	}
	for i, t := range times {
		if e := tasks[at[i]].listed; !t.IsZero() {
			e.ModTime, e.TimePrecision = t, time.Second
		}
	}
}

// localNodes is a local folder as a mirror compares it.
func localNodes(ctx context.Context, dir string) iter.Seq[join.Item[mirror.Node]] {
	return func(yield func(join.Item[mirror.Node]) bool) {
		for e := range localfs.Walk(ctx, dir) {
			item := join.Item[mirror.Node]{Path: e.Path, Err: e.Err}
			if e.Info != nil {
				item.Value = mirror.Node{Mode: e.Info.Mode(), Size: e.Info.Size(), ModTime: e.Info.ModTime()}
			}
			if !yield(item) {
				return
			}
		}
	}
}

// remoteTree is a walk with paths below its root.
func (o *operation) remoteTree(dir string, opts *WalkOptions) iter.Seq[join.Item[Entry]] {
	prefix := len(remotefs.Below(dir))
	return func(yield func(join.Item[Entry]) bool) {
		for e, err := range o.walk(dir, opts) {
			// Of an error a task may be made, which is told as it is: Close is no cancel.
			item := join.Item[Entry]{Value: e, Err: o.wrap(err)}
			if e.Path != dir { // which may be spelt in any way, unlike what is below it
				item.Path = e.Path[prefix:]
			}
			if !yield(item) {
				return
			}
		}
	}
}

// A dirKey is a directory of a server.
type dirKey struct{ server, dir string }

// listingHolds is how much older than a job the listing may be that it is decided by: a stream of any length outlives what its
// first listings showed, and a directory of many files is not to be listed for each.
var listingHolds = 2 * time.Second

// look finds what is at Remote by its directory's listing, where the ExistingPolicy depends on it.
func (b *batch) look(l *lane, srv *server, t *task) {
	existing := b.opts.Existing
	if t.listed != nil || t.absent || t.alone || existing == Overwrite || t.Direction == Down && existing != SkipSame || remotefs.IsRoot(t.Remote) {
		return
	}
	dir, name := remotefs.Split(t.Remote)
	found := b.dirs.Get(b.ctx, dirKey{srv.name, dir}, t.came.Add(-listingHolds), l.idle, func() *dircache.Dir[Entry] {
		op := b.operation(l, "list", srv, dir)
		defer op.end()
		entries, faults, err := op.readDir(op.ctx, dir, nil)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil // each file is asked about by itself
		}
		return dircache.NewDir(entries, func(e Entry) string { return e.Name }, len(faults) == 0)
	})
	if found == nil {
		return
	}
	if e, ok := found.Entries[name]; ok {
		t.listed = &e
	}
	t.absent = found.Absent(name)
}
