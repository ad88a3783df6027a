package ftpclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/corexalgo/ftpclient/internal/crew"
	"github.com/corexalgo/ftpclient/internal/dircache"
	"github.com/corexalgo/ftpclient/internal/pool"
	"github.com/corexalgo/ftpclient/internal/reply"
	"github.com/corexalgo/ftpclient/internal/retry"
	"github.com/corexalgo/ftpclient/internal/safepath"
	"github.com/corexalgo/ftpclient/internal/session"
)

// Direction says which way the content of a file moves.
type Direction int

// The directions of a Job.
const (
	Down Direction = iota // from the server to the local file system
	Up                    // from the local file system to the server
)

// MarshalText is String.
func (d Direction) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (d *Direction) UnmarshalText(text []byte) error {
	switch string(text) {
	case "download":
		*d = Down
	case "upload":
		*d = Up
	default:
		return fmt.Errorf("%s is no direction", reply.Quote(string(text)))
	}
	return nil
}

// String is "download" or "upload".
func (d Direction) String() string { return nameOf([]string{"download", "upload"}, d) }

// A Job names one file to move.
type Job struct {
	Direction     Direction
	Server        string // key in Config.Servers
	Remote, Local string // "" for the local side where it is a reader or a writer
}

// BatchOptions says how many files are moved. The zero value, and nil, try each file by itself, as many at a time as turns
// out to help.
type BatchOptions struct {
	// TransferOptions are those of every file. Its BytesPerSecond bounds each file; ServerConfig.BytesPerSecond bounds
	// all of them together.
	TransferOptions

	// Workers is how many files are moved at a time: never more than MaxConns, or than the server takes. 0: 4 at first, and
	// then as many as make it faster; PoolStats and the log tell the number.
	Workers int
	// BatchSize is the number of files after which the connections that nobody uses just now are checked by NOOP, and the
	// dead ones dropped; those in use show by themselves that they live. Nobody waits for it. 0: 20.
	BatchSize int
	// NoopInterval replaces ServerConfig.KeepAlive during the call. 0: it does not; less than 0: no NOOPs.
	NoopInterval time.Duration
	// MaxReconnects is how many connections that the call lost may be replaced. One more, and the call ends with
	// ErrTooManyReconnects. 0: 10; less than 0: none. Those that DownloadDir and UploadDir list by do not count: each listing
	// is tried again as the Client's RetryPolicy says.
	MaxReconnects int
	// ReconnectEvery replaces a connection after it served so many files, for servers that slow down or leak. 0: never.
	ReconnectEvery int
	// StopOnError ends the call when a file has failed; the others under way are broken off, and may be resumed.
	StopOnError bool
	// OnFile is told when a file begins and when it is done, exactly once each. Its calls never overlap, and the worker
	// waits for each. A panic of it ends the batch, and is the call's. nil: nobody is told.
	OnFile func(FileEvent)

	// Include are patterns of the files that DownloadDir and UploadDir move, all if there are none: doublestar globs such as
	// "**/*.csv", on the slash separated path below the folder. Other calls ignore it.
	Include []string
	// Exclude are patterns of files and folders that DownloadDir and UploadDir leave out.
	Exclude []string
	// Checksums are the digests that the files must have, by remote path: see Client.LoadChecksums. Files without one are
	// verified as Verify says.
	Checksums Checksums
}

// A FileEvent tells that a file of a batch begins or is done.
type FileEvent struct {
	Index, Total int // Index from 1, in the order of the jobs; Total 0 while not yet known
	Job          Job
	Done         bool    // false: starting
	Result       *Result // when done; nil if it failed before anything was tried
	Err          error   // when done
}

// A BatchResult tells what a batch did.
type BatchResult struct {
	Total                      int   // jobs that are known of
	Succeeded, Skipped, Failed int   // of these; the rest was not tried, because the call ended early
	Deleted                    int   // files and directories that Apply deleted; not part of Total
	Bytes                      int64 // size of the files that succeeded
	Elapsed                    time.Duration
	Failures                   []FileError // in the order of the jobs
}

// DownloadFiles fetches files into the local folder, which is made if it is missing, each under the last element of its
// remote path. Files whose names there would be the same are ErrNameCollision, all of them, before anything moves.
//
// One file's failure stops nothing, unless StopOnError. The error is nil only when nothing failed, and errors.Is sees
// each failure's cause; the result comes with an error, too, and tells which files it is about. A full local disk, a server
// that is gone and a refused login end the call, as the other files would fail the same; Total then exceeds the other
// counts. With Existing: SkipSame, a second call asks about the files by one listing of their directory, where it tells
// times to the second.
//
// Nothing is written outside the folder, whatever links are in it. Only a callback that does not return can outlast ctx.
func (c *Client) DownloadFiles(ctx context.Context, server string, remotes []string, localDir string, opts *BatchOptions) (*BatchResult, error) {
	tree, err := c.openTree(server, localDir, opts)
	if err != nil {
		return &BatchResult{Total: len(remotes)}, wrap("batch", server, "", err)
	}
	defer func() { _ = tree.Close() }()
	base := func(remote string) string { return path.Base(path.Clean(remote)) }
	files := newRoll(remotes, func() bool { return folds(tree, ".") }, base, func(remote, name string) task {
		return task{
			Job:  Job{Direction: Down, Server: server, Remote: remote, Local: filepath.Join(localDir, name)},
			tree: tree, rel: name, err: safepath.CheckLocal(name),
		}
	})
	return c.batch(ctx, opts, server, files, pass{tasks: func(*batch) iter.Seq[task] { return files.tasks }})
}

// UploadFiles stores local files in the remote directory, which is made if it is missing, each under the last element of its
// path. A full disk at the server ends the call, too. It is like DownloadFiles in all else.
func (c *Client) UploadFiles(ctx context.Context, server string, locals []string, remoteDir string, opts *BatchOptions) (*BatchResult, error) {
	files := newRoll(locals, nil, filepath.Base, func(local, name string) task {
		return task{Job: Job{Direction: Up, Server: server, Remote: path.Join(remoteDir, name), Local: local}}
	})
	return c.batch(ctx, opts, server, files, pass{tasks: func(*batch) iter.Seq[task] { return files.tasks }})
}

// Batch does the jobs of a stream, of any length: it begins with the first, and of those that are done it keeps only the
// failures. A job whose target another one had, among the last 131,072 at least, is ErrNameCollision. The stream runs in a
// goroutine of its own and must end soon after ctx has; a panic of it is Batch's own. Jobs may be of several servers, and of
// both directions. The listing of a directory by which a job is skipped was read two seconds before the job came at the
// earliest. See DownloadFiles for all else.
func (c *Client) Batch(ctx context.Context, jobs iter.Seq[Job], opts *BatchOptions) (*BatchResult, error) {
	if err := given("stream of jobs", jobs != nil); err != nil {
		return &BatchResult{}, wrap("batch", "", "", err)
	}
	return c.batch(ctx, opts, "", nil, pass{tasks: func(*batch) iter.Seq[task] {
		return func(yield func(task) bool) {
			var targets safepath.Targets
			for job := range jobs {
				t := task{Job: job, came: time.Now(), err: check(job)}
				if targets.Again(job.target()) {
					t.err = fmt.Errorf("%w: an earlier job has the same target", ErrNameCollision)
				}
				if !yield(t) {
					return
				}
			}
		}
	}})
}

// target is what the job writes: a path on a server, or a local one.
func (j Job) target() (server, name string) {
	if j.Direction == Up {
		return j.Server, path.Clean(j.Remote)
	}
	abs, err := filepath.Abs(j.Local)
	if err != nil { // the transfer will say so
		return "", j.Local
	}
	return "", abs
}

func (j Job) result() *Result { return &Result{Server: j.Server, Remote: j.Remote, Local: j.Local} }

// A batch is a call that moves many files, while it runs.
type batch struct {
	c      *Client
	opts   BatchOptions
	caller context.Context //nolint:containedctx // lives as long as the call
	ctx    context.Context //nolint:containedctx // caller, ended when the batch ends early
	cancel context.CancelFunc
	begun  time.Time
	alike  bool         // its jobs are all of one server and one direction
	moved  atomic.Int64 // bytes of content
	dirs   dircache.Cache[dirKey, Entry]
	chores chan func(context.Context) // of workers that wait for a task; nil: none

	telling sync.Mutex // held while OnFile runs

	mu         sync.Mutex // guards what follows
	stopped    error      // why it ends early
	servers    map[*server]*duty
	workers    int
	result     BatchResult
	failures   []failure
	whole      bool // result.Total is that of all jobs
	all        bool // the stream has ended
	order      int  // tasks so far
	files      int  // of these, the ones that count
	tried      int
	reconnects int
	served     map[*session.Session]int // files since it was opened
}

type failure struct {
	order int
	FileError
}

// batch runs a batch: of one server, or of those that its tasks name. Its passes are done one after the other. known are
// all its files, if all are known.
func (c *Client) batch(ctx context.Context, opts *BatchOptions, name string, known *roll, passes ...pass) (*BatchResult, error) {
	b := &batch{c: c, caller: ctx, begun: time.Now(), alike: name != "", servers: map[*server]*duty{}, served: map[*session.Session]int{}}
	if opts != nil {
		b.opts = *opts
	}
	b.opts.BatchSize = cmp.Or(b.opts.BatchSize, 20)
	b.opts.MaxReconnects = max(cmp.Or(b.opts.MaxReconnects, 10), 0)
	b.result.Total, b.whole, b.all = known.len(), known != nil, known != nil
	if name != "" && c.servers[name] == nil {
		return &b.result, wrap("batch", name, "", ErrUnknownServer)
	}
	if err := check(opts); err != nil {
		return &b.result, wrap("batch", name, "", err)
	}
	if err := c.enter(ctx); err != nil {
		return &b.result, wrap("batch", name, "", err)
	}
	defer c.running.Done()
	b.ctx, b.cancel = context.WithCancel(pool.Together(ctx))
	defer b.cancel()
	if name != "" {
		_ = b.attend(c.servers[name]) // which cannot be gone yet
	}
	func() {
		defer b.leave()
		if b.opts.StopOnError {
			if t, ok := known.fails(); ok {
				b.do(&lane{batch: b}, t)
			}
		}
		for i, p := range passes {
			b.run(p, i == len(passes)-1)
		}
	}()
	return b.conclude(name)
}

// firstWorkers is with how many workers a batch begins that finds their number by itself.
const firstWorkers = 4

// run does the tasks of a pass, until they are done or the batch ends early.
func (b *batch) run(p pass, last bool) {
	alive, cancel := context.WithCancel(b.ctx)
	defer cancel()
	defer context.AfterFunc(b.c.ctx, cancel)()
	workers := b.opts.Workers
	if p.inOrder {
		workers = 1
	}
	defer b.staffed(0)
	crew.Run(alive, crew.Options{
		Workers: workers, Start: firstWorkers, Limit: b.limit, Work: b.work, Stop: b.cancel, Changed: b.staffed, Announce: b.announce,
	}, b.numbered(p.tasks(b), last), func() crew.Worker[task] { return &lane{batch: b} })
}

// numbered counts the tasks as they come.
func (b *batch) numbered(tasks iter.Seq[task], last bool) iter.Seq[task] {
	return func(yield func(task) bool) {
		for t := range tasks {
			b.mu.Lock()
			b.order += max(1, len(t.parts))
			t.order = b.order
			if t.act == nil {
				b.files++
				t.index = b.files
				b.result.Total = max(b.result.Total, b.files)
			}
			b.mu.Unlock()
			if !yield(t) {
				return
			}
		}
		if b.ctx.Err() != nil || b.c.ctx.Err() != nil {
			return // it may have ended only because of that
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.whole, b.all = b.whole || last, b.all || last
	}
}

// work is what was done so far: a file counts as much as 64 KiB, since round trips are what small files cost.
func (b *batch) work() float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return float64(b.moved.Load()) + float64(b.result.Succeeded+b.result.Skipped)*(64<<10)
}

// Do moves one file, from its first event to its last.
func (l *lane) Do(_ context.Context, t task, ahead crew.Ahead[task]) {
	l.ahead = ahead
	l.batch.do(l, t)
}

// Idle gives the connection up while there is nothing to do.
func (l *lane) Idle() {
	l.recall()
	l.idle()
}

// Meanwhile opens connections while the tree is being listed.
func (l *lane) Meanwhile() <-chan func(context.Context) { return l.batch.chores }

// End is Idle, for good.
func (l *lane) End() { l.Idle() }

func (b *batch) do(l *lane, t task) {
	if t.act == nil {
		b.tell(FileEvent{Index: t.index, Job: t.Job})
	}
	l.recall()
	result, err := b.move(l, t)
	l.between(result != nil && !result.Skipped)
	b.ended(t, result, err)
}

// move does what the task is.
func (b *batch) move(l *lane, t task) (*Result, error) {
	op := t.Direction.String()
	if t.skip != "" {
		return &Result{Server: t.Server, Remote: t.Remote, Local: t.Local, Skipped: true, SkipReason: t.skip}, nil
	}
	srv, ok := b.c.servers[t.Server]
	if !ok && t.err == nil {
		t.err = ErrUnknownServer
	}
	if t.err == nil {
		t.err = b.attend(srv)
	}
	if t.err != nil {
		return nil, wrap(op, t.Server, t.Remote, t.err)
	}
	if t.act != nil {
		op := b.operation(l, "mirror", srv, t.Remote)
		defer op.end()
		return nil, op.wrap(t.act(op))
	}
	b.look(l, srv, &t)
	opts := b.opts.TransferOptions
	if sum := b.opts.Checksums.Expect(t.Remote); sum != (Checksum{}) {
		opts.Expected = sum
	}
	x, err := b.operation(l, op, srv, t.Remote).transfer(t.Job, &opts)
	if err != nil {
		return nil, err
	}
	x.place = place{batch: b, index: t.index, tree: t.tree, rel: t.rel, listed: t.listed, absent: t.absent}
	if t.Direction == Up {
		return x.call(x.uploadFile)
	}
	return x.call(x.downloadFile)
}

// operation begins an operation of a worker. Shutdown, which lets the batch end in peace, does not refuse it.
func (b *batch) operation(l *lane, name string, srv *server, path string) *operation {
	b.c.running.Add(1) // the batch itself is counted, so that it is not too late for that
	op := b.c.operation(b.ctx, name, srv, path)
	op.lane = l
	return op
}

// done notes how a file ended, and what that means for the others.
func (b *batch) done(t task, result *Result, err error) {
	if err != nil && isContext(err) && b.ctx.Err() != nil && b.caller.Err() == nil {
		err = wrap(t.Direction.String(), t.Server, t.Remote, errBrokenOff)
	}
	b.mu.Lock()
	late := t.act != nil && err != nil
	if late { // a directory counts once it makes trouble
		b.files++
		t.index = b.files
		b.result.Total = max(b.result.Total, b.files)
	}
	switch {
	case err != nil:
		b.result.Failed++
		b.failures = append(b.failures, failure{t.order, FileError{t.Job, err}})
		b.judge(t, err)
	case t.removes != nil:
		b.result.Deleted++
	case t.act != nil:
	case result.Skipped:
		b.result.Skipped++
	default:
		b.result.Succeeded++
		b.result.Bytes += result.Bytes
	}
	if b.tried++; b.tried%b.opts.BatchSize == 0 && b.ctx.Err() == nil {
		for srv := range b.servers {
			go srv.pool.Check(b.c.ctx)
		}
	}
	b.mu.Unlock()
	if late {
		b.tell(FileEvent{Index: t.index, Job: t.Job})
	}
	if late || t.act == nil {
		b.tell(FileEvent{Index: t.index, Job: t.Job, Done: true, Result: result, Err: err})
	}
}

// judge ends the batch where a failure shows that the others would fail, too. The caller holds mu.
func (b *batch) judge(t task, err error) {
	srv := b.c.servers[t.Server]
	var unreachable *unreachableError
	switch {
	case b.opts.StopOnError, errors.Is(err, fs.ErrClosed), errors.Is(err, ErrTooManyReconnects),
		t.Direction == Down && retry.DiskFull(err), t.Direction == Up && retry.ServerFull(err) && b.alike:
		b.end(err)
	case srv == nil || b.servers[srv] == nil:
	case errors.As(err, &unreachable) && (errors.Is(err, ErrAuth) || srv.pool.Stats().Open == 0):
		b.servers[srv].gone = err
		for _, d := range b.servers {
			if d.gone == nil {
				return // its jobs may go on
			}
		}
		b.end(err)
	}
}

// end ends the batch early. The caller holds mu.
func (b *batch) end(cause error) {
	if b.stopped == nil {
		b.stopped = cause
	}
	b.cancel()
}

// conclude makes the result.
func (b *batch) conclude(server string) (*BatchResult, error) {
	r, err := b.sum(server)
	if b.opts.Progress != nil && r.Total > 0 {
		b.opts.Progress(Progress{
			Total: r.Total, Failed: r.Failed, Bytes: r.Bytes, Size: r.Bytes, Attempt: 1,
			BytesPerSec: float64(b.moved.Load()) / max(r.Elapsed.Seconds(), 1e-3), Done: err == nil, Err: err,
		})
	}
	return r, err
}

func (b *batch) sum(server string) (*BatchResult, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.result
	slices.SortStableFunc(b.failures, func(x, y failure) int { return cmp.Compare(x.order, y.order) })
	for _, f := range b.failures {
		r.Failures = append(r.Failures, f.FileError)
	}
	r.Elapsed = time.Since(b.begun)
	stop := b.stopped
	if left := r.Total - r.Succeeded - r.Skipped - r.Failed; stop == nil && (left > 0 || !b.all || b.tried < b.order) {
		if stop = b.caller.Err(); stop == nil {
			stop = fs.ErrClosed
		}
	}
	if stop == nil && r.Failed == 0 {
		return &r, nil
	}
	failed := &batchError{&r, stop}
	return &r, wrap("batch", server, "", retry.Together(failed, failed.Unwrap()))
}
