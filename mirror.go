package ftpclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/corexalgo/ftpclient/internal/join"
	"github.com/corexalgo/ftpclient/internal/mirror"
	"github.com/corexalgo/ftpclient/internal/remotefs"
	"github.com/corexalgo/ftpclient/internal/reply"
	"github.com/corexalgo/ftpclient/internal/session"
)

// Compare says when a file is taken to be the same on both sides of a mirror.
type Compare int

// The comparisons.
const (
	// CompareSizeAndTime needs sizes and modification times to be equal, to the second if the server tells seconds, by MLSD
	// or MDTM; only where it tells neither do ServerConfig.TimeZone and the times of LIST decide. Copies get the source's time; on a
	// server that cannot set times each plan copies everything, and on a local FAT disk, which keeps even seconds only, the
	// files whose second is odd.
	CompareSizeAndTime Compare = iota
	// CompareSize needs sizes to be equal.
	CompareSize
	// CompareHash needs the server's digest to equal the local one. Without digests there is no plan: ErrUnverifiable.
	CompareHash
)

// MirrorOptions says what a mirror is of. The zero value, and nil, make a local folder like a remote one and delete nothing.
type MirrorOptions struct {
	Direction Direction // of the copies: Down makes the local folder like the remote one, Up the other way round
	// Include are patterns of the files to mirror, all if there are none; Exclude are patterns of files and directories to
	// leave alone. Both are doublestar globs on the slash separated path below the folder. What they leave out is neither
	// copied nor deleted, and not deleted in another spelling either, which a disk or a server may take for the same name.
	Include, Exclude []string
	// Delete deletes what the source does not have: all of the target if the source is empty, as is a disk that is not mounted,
	// or the login directory of a server whose volume is offline. Where that may be, look at the Plan first. Local names that
	// begin with a dot stay unless the server lists such names, or ServerConfig.ListHidden is set.
	Delete  bool
	Compare Compare
}

// PlanMirror finds out what must be done to make one folder like another, and does nothing of it. It lists both trees, and
// asks no more than the times that the listings do not tell to the second, the sizes and times of files that begin with a dot where the
// target's listings may hide them, and with CompareHash the digests of the files of equal size.
//
// A source that cannot be listed at all is an error. What could not be read of it otherwise is in Plan.Faults, the plan is
// Incomplete, and deletes nothing: what was not seen may be there. A target that is missing is an empty one. An empty localDir is
// fs.ErrInvalid, and not the current folder.
func (c *Client) PlanMirror(ctx context.Context, server, remoteDir, localDir string, opts *MirrorOptions) (*Plan, error) {
	op, err := c.begin(ctx, "mirror", server, remoteDir)
	if err != nil {
		return nil, err
	}
	defer op.end()
	var o MirrorOptions
	if opts != nil {
		o = *opts
	}
	plan, err := op.planMirror(remoteDir, localDir, o)
	if err != nil {
		return nil, op.wrap(err)
	}
	return plan, nil
}

func (o *operation) planMirror(remoteDir, localDir string, opts MirrorOptions) (*Plan, error) {
	if err := errors.Join(check(&opts), given("local folder", localDir != "")); err != nil {
		return nil, err
	}
	// What Include leaves alone must be seen, as its directory cannot be deleted.
	walk := &WalkOptions{Exclude: opts.Exclude, CoarseTimes: opts.Compare != CompareSizeAndTime}
	if opts.Delete && opts.Direction == Up {
		walk.Exclude = nil
	}
	remote := func(rel string) string { return remotefs.Below(remoteDir) + rel }
	local := func(rel string) string { return filepath.Join(localDir, filepath.FromSlash(rel)) }
	names := func(rels []string) (all []string) {
		for _, rel := range rels {
			all = append(all, remote(rel))
		}
		return all
	}
	made, err := mirror.Make(o.remoteNodes(remoteDir, walk), localNodes(o.ctx, localDir), mirror.Options{
		Up: opts.Direction == Up, Include: opts.Include, Exclude: opts.Exclude, Delete: opts.Delete, Compare: mirror.Compare(opts.Compare),
		ListsHidden: o.srv.cfg.ListHidden,
	}, mirror.Questions{
		Times:    func(rels []string) ([]time.Time, error) { return o.times(names(rels)) },
		Unlisted: func(rels []string) ([]*mirror.Node, error) { return o.unlisted(names(rels)) },
		Same:     func(rels []string) ([]bool, error) { return o.sameContent(rels, remote, local) },
	})
	if err == nil {
		err = o.ctx.Err() // what the walks did not come to is no fault of the trees
	}
	if err != nil {
		return nil, err
	}
	plan := &Plan{
		Server: o.srv.name, Direction: opts.Direction, RemoteDir: remoteDir, LocalDir: localDir,
		Unchanged: made.Unchanged, Incomplete: made.Incomplete,
	}
	for _, s := range made.Steps {
		plan.Actions = append(plan.Actions, Action{
			Kind: ActionKind(s.Kind), Remote: remote(s.Rel), Local: local(s.Rel), Size: s.Size, Reason: s.Reason, IsDir: s.IsDir,
			ModTime: s.ModTime.UTC(),
		})
	}
	for _, f := range made.Faults {
		plan.Faults = append(plan.Faults, PlanFault{Path: remote(f.Path), Err: cause(f.Err)})
	}
	return plan, nil
}

// unlisted finds the files under names that are not listed; nil where the server tells no size.
func (o *operation) unlisted(names []string) ([]*mirror.Node, error) {
	looks, err := o.looks(names)
	nodes := make([]*mirror.Node, len(looks))
	for i, look := range looks {
		if look.SizeErr == nil {
			nodes[i] = &mirror.Node{Size: look.Size, ModTime: look.ModTime, Precision: time.Second}
		}
	}
	return nodes, err
}

// sameContent compares digests, several files at a time.
func (o *operation) sameContent(rels []string, remote, local func(string) string) ([]bool, error) {
	same := make([]bool, len(rels))
	var group errgroup.Group
	group.SetLimit(max(1, min(4, o.srv.cfg.MaxConns)))
	for i, rel := range rels {
		group.Go(func() error {
			_, err := o.c.Verify(o.ctx, o.srv.name, remote(rel), local(rel), VerifyHash)
			if same[i] = err == nil; errors.Is(err, ErrMismatch) {
				return nil
			}
			return err
		})
	}
	return same, group.Wait()
}

// ActionKind is what an Action does.
type ActionKind int

// The kinds.
const (
	ActionCopy   ActionKind = iota // the file is copied
	ActionMkdir                    // the directory is made
	ActionDelete                   // the file, or the then empty directory, is deleted from the target
	ActionSkip                     // nothing is done, for the Reason
)

var actionKinds = []string{"copy", "mkdir", "delete", "skip"}

// String is "copy", "mkdir", "delete" or "skip".
func (k ActionKind) String() string { return nameOf(actionKinds, k) }

// MarshalText is String.
func (k ActionKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (k *ActionKind) UnmarshalText(text []byte) error {
	i := slices.Index(actionKinds, string(text))
	if i < 0 {
		return fmt.Errorf("%s is no kind of action", reply.Quote(string(text)))
	}
	*k = ActionKind(i)
	return nil
}

// An Action is what a Plan does about one file or directory.
type Action struct {
	Kind    ActionKind `json:"kind"`
	Remote  string     `json:"remote"`
	Local   string     `json:"local"`
	Size    int64      `json:"size"` // of the file that is copied, skipped or deleted, in bytes; -1 unknown
	Reason  string     `json:"reason"`
	IsDir   bool       `json:"dir,omitempty"`
	ModTime time.Time  `json:"mtime,omitzero"` // of the file that is deleted; zero: not known to the second
}

// A PlanFault is something that could not be read, or may not be copied, when a Plan was made.
type PlanFault struct {
	Path string `json:"path"` // the remote one
	Err  string `json:"error"`
}

// A Plan says what makes one folder like another: look at it, take Actions out, Apply it. It can be written as JSON and read
// back. Reasons are "missing", "size differs", "newer", "older", "time unknown", "content differs", "type changed…", "type
// unknown…", "deleted at the source", "spelt otherwise at the source", "excluded in another spelling", "may be hidden at the source", "unsafe
// name", "name collision", "symbolic link" and "special file"; of a time it is the source's that is newer or older.
type Plan struct {
	Server     string      `json:"server"`
	Direction  Direction   `json:"direction"`
	RemoteDir  string      `json:"remote_dir"`
	LocalDir   string      `json:"local_dir"`
	Actions    []Action    `json:"actions"`              // in the order of the trees; deletions last
	Unchanged  int         `json:"unchanged"`            // files that are the same on both sides
	Incomplete bool        `json:"incomplete,omitempty"` // a folder could not be read: nothing is deleted
	Faults     []PlanFault `json:"faults,omitempty"`     // what failed; Apply reports each as a failure
}

// Copies is how many files the plan copies, and how many bytes they have as far as that is known.
func (p *Plan) Copies() (files int, bytes int64) {
	for _, a := range p.Actions {
		if a.Kind == ActionCopy {
			files++
			bytes += max(a.Size, 0)
		}
	}
	return files, bytes
}

// String is a table: a row an action, and a line that sums it up.
func (p *Plan) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	counts := make([]int, len(actionKinds))
	for _, a := range p.Actions {
		if int(a.Kind) < len(counts) && a.Kind >= 0 {
			counts[a.Kind]++
		}
		name, size := strings.TrimPrefix(a.Remote, remotefs.Below(p.RemoteDir)), strconv.FormatInt(a.Size, 10)
		if a.IsDir {
			name += "/"
		}
		if a.IsDir || a.Size < 0 {
			size = "-"
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", a.Kind, size, reply.Printable(name), a.Reason)
	}
	_ = w.Flush() // into memory
	for _, f := range p.Faults {
		fmt.Fprintf(&b, "cannot read %s: %s\n", reply.Printable(f.Path), reply.Visible(f.Err))
	}
	_, bytes := p.Copies()
	fmt.Fprintf(&b, "%s: %d to copy (%d bytes), %d directories to make, %d to delete, %d to skip, %d unchanged\n",
		p.Direction, counts[ActionCopy], bytes, counts[ActionMkdir], counts[ActionDelete], counts[ActionSkip], p.Unchanged)
	return b.String()
}

// Apply does what a plan says, as a batch of its copies: first what a changed type needs to be deleted, directories and
// copies, and last, if nothing failed, what else is to be deleted, up to 64 names in one write. Each deletion is of one name: a
// directory in which something appeared since stays, and so does a file whose size or time is another by now. Copies get the time of their
// source. Skips count as skipped, and Faults as failed. A plan that is Incomplete and deletes nevertheless is refused.
// Applying a plan twice does no harm.
func (c *Client) Apply(ctx context.Context, plan *Plan, opts *BatchOptions) (*BatchResult, error) {
	if err := given("plan", plan != nil); err != nil {
		return &BatchResult{}, wrap("mirror", "", "", err)
	}
	if err := check(plan); err != nil {
		return &BatchResult{}, wrap("mirror", plan.Server, plan.RemoteDir, err)
	}
	var o BatchOptions
	if opts != nil {
		o = *opts
	}
	o.PreserveTime, o.Existing = true, Overwrite
	var tree *os.Root
	if plan.Direction == Down {
		var err error
		if tree, err = c.openTree(plan.Server, plan.LocalDir, &o); err != nil {
			return &BatchResult{}, wrap("mirror", plan.Server, plan.RemoteDir, err)
		}
		defer func() { _ = tree.Close() }()
	}
	a := newApplication(plan, tree)
	all := func(tasks []task) func(*batch) iter.Seq[task] {
		return func(*batch) iter.Seq[task] { return slices.Values(tasks) }
	}
	lastly := func(tasks []task) func(*batch) iter.Seq[task] {
		return func(b *batch) iter.Seq[task] {
			if _, failed := b.counts(); failed > 0 && len(tasks) > 0 {
				c.log.Warn("ftp mirror deletes nothing, as not everything was copied")
				tasks = nil
			}
			return slices.Values(tasks)
		}
	}
	return c.batch(ctx, &o, plan.Server, nil,
		pass{all(a.first), true}, pass{all(a.dirs), false}, pass{all(a.rest), false},
		pass{lastly(a.deadFiles), false}, pass{lastly(a.deadDirs), true})
}

// An application is the tasks of a plan. Each list is done before the next one begins.
type application struct {
	plan                *Plan
	tree                *os.Root
	first               []task // deletions that make room
	dirs, rest          []task
	deadFiles, deadDirs []task
	sweep               remotefs.Sweep
}

func newApplication(plan *Plan, tree *os.Root) *application {
	a := &application{plan: plan, tree: tree}
	room := map[string]bool{} // paths that get something else
	for _, act := range plan.Actions {
		if act.Kind == ActionCopy || act.Kind == ActionMkdir {
			room[act.Remote] = true
		}
	}
	for _, f := range plan.Faults {
		job := Job{Direction: plan.Direction, Server: plan.Server, Remote: f.Path}
		a.rest = append(a.rest, task{Job: job, err: errors.New(f.Err)})
	}
	for _, act := range plan.Actions {
		t := task{Job: Job{Direction: plan.Direction, Server: plan.Server, Remote: act.Remote, Local: act.Local}, tree: tree}
		rel, err := filepath.Rel(plan.LocalDir, act.Local)
		if t.rel = rel; err != nil || !filepath.IsLocal(rel) || rel == "." || !remotefs.IsBelow(plan.RemoteDir, act.Remote) {
			t.err = fmt.Errorf("%w: the plan leads out of its folders", ErrUnsafeName)
		}
		list := &a.rest
		switch {
		case t.err != nil:
		case act.Kind == ActionCopy:
		case act.Kind == ActionSkip:
			t.skip = act.Reason
		case act.Kind == ActionMkdir:
			t.act, list = a.mkdir(t.Remote, t.rel), &a.dirs
		case act.Kind == ActionDelete:
			t.removes = &act
			switch {
			case mirror.MakesRoom(room, act.Remote):
				list = &a.first
			case act.IsDir:
				list = &a.deadDirs
			default:
				list = &a.deadFiles
			}
		default: // never a deletion, which is only what says so
			t.err = fmt.Errorf("%s: %w", act.Kind, fs.ErrInvalid)
		}
		*list = append(*list, t)
	}
	if tree != nil {
		collide(a.rest, tree)
	}
	for _, dead := range []*[]task{&a.first, &a.deadFiles, &a.deadDirs} {
		*dead = a.together(*dead)
	}
	return a
}

func (a *application) mkdir(remote, rel string) action {
	if a.plan.Direction == Up {
		return mkdirRemote(remote)
	}
	return func(*operation) error { return a.tree.MkdirAll(rel, 0o777) }
}

var errChangedSince = errors.New("changed since the plan was made")

// together makes tasks of as many deletions each as go in one write.
func (a *application) together(dead []task) (tasks []task) {
	remove := a.removeLocal
	if a.plan.Direction == Up {
		remove = a.removeRemote
	}
	for parts := range slices.Chunk(dead, remotefs.Together) {
		act := func(op *operation) error {
			for i, err := range remove(op, parts) {
				at := *op
				at.path = parts[i].Remote
				parts[i].err = at.wrap(err)
			}
			return nil
		}
		for i := range parts {
			parts[i].act = act
		}
		job := Job{Direction: a.plan.Direction, Server: a.plan.Server, Remote: a.plan.RemoteDir}
		tasks = append(tasks, task{Job: job, act: act, parts: parts})
	}
	return tasks
}

// removeRemote deletes just what the plan saw.
func (a *application) removeRemote(op *operation, dead []task) []error {
	errs := op.changed(dead)
	var names []session.Removal
	var at []int
	for i, t := range dead {
		if errs[i] == nil {
			names, at = append(names, session.Removal{Name: t.Remote, Dir: t.removes.IsDir}), append(at, i)
		}
	}
	for i, err := range a.sweep.Remove(op.names(), names) {
		errs[at[i]] = err
	}
	return errs
}

// changed asks of remote files whether they have the size and the time that they had, as far as both are known. It tells of each why it
// may not be deleted.
func (o *operation) changed(dead []task) []error {
	errs := make([]error, len(dead))
	var names []string
	var at []int
	links := map[string][]int{} // by their directory
	for i, t := range dead {
		switch dir, _ := remotefs.Split(t.Remote); {
		case t.removes.IsDir:
		case t.removes.Size < 0:
			links[dir] = append(links[dir], i)
		default:
			names, at = append(names, t.Remote), append(at, i)
		}
	}
	for dir, some := range links { // SIZE and MDTM are of what they lead to
		entries, _, err := o.readDir(o.ctx, dir, nil)
		for _, i := range some {
			_, name := remotefs.Split(dead[i].Remote)
			switch n := slices.IndexFunc(entries, func(e Entry) bool { return e.Name == name }); {
			case err != nil && !errors.Is(err, fs.ErrNotExist):
				errs[i] = err
			case n >= 0 && entries[n].Size >= 0 && entries[n].Mode.IsRegular():
				errs[i] = errChangedSince
			}
		}
	}
	looks, err := o.looks(names)
	for i, n := range at {
		was := dead[n].removes
		switch {
		case err != nil:
			errs[n] = err
		case errors.Is(looks[i].SizeErr, ErrUnsafeName), reply.Code(looks[i].SizeErr)/100 == 4, reply.Code(looks[i].TimeErr)/100 == 4: // not "not found"
			errs[n] = cmp.Or(looks[i].SizeErr, looks[i].TimeErr)
		case looks[i].SizeErr == nil && was.Size >= 0 && looks[i].Size != was.Size,
			!looks[i].ModTime.IsZero() && !was.ModTime.IsZero() && !sameTime(looks[i].ModTime, was.ModTime):
			errs[n] = errChangedSince
		}
	}
	return errs
}

// removeLocal deletes just what the plan saw.
func (a *application) removeLocal(op *operation, dead []task) []error {
	errs := make([]error, len(dead))
	for i, t := range dead {
		if errs[i] = op.ctx.Err(); errs[i] == nil {
			errs[i] = a.removeAsSeen(t.rel, t.removes)
		}
	}
	return errs
}

func (a *application) removeAsSeen(rel string, was *Action) error {
	info, err := a.tree.Lstat(rel)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.IsDir() != was.IsDir, info.Mode().IsRegular() && info.Size() != was.Size, // that of a link is -1
		!was.ModTime.IsZero() && !info.ModTime().Equal(was.ModTime):
		return errChangedSince
	}
	return a.tree.Remove(rel)
}

// remoteNodes is a walk as a mirror compares it.
func (o *operation) remoteNodes(dir string, opts *WalkOptions) iter.Seq[join.Item[mirror.Node]] {
	return func(yield func(join.Item[mirror.Node]) bool) {
		for item := range o.remoteTree(dir, opts) {
			e := item.Value
			n := mirror.Node{
				Mode: e.Mode &^ fs.ModeIrregular, Untyped: e.Mode&fs.ModeIrregular != 0,
				Size: e.Size, ModTime: e.ModTime, Precision: e.TimePrecision,
			}
			if !yield(join.Item[mirror.Node]{Path: item.Path, Value: n, Err: item.Err}) {
				return
			}
		}
	}
}
