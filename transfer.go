package ftpclient

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/corexalgo/ftpclient/internal/safepath"
	"github.com/corexalgo/ftpclient/internal/session"
	"github.com/corexalgo/ftpclient/internal/sink"
)

// TransferOptions says how one file is moved. The zero value, and nil, download or upload the whole file, prove its size,
// and replace the target.
type TransferOptions struct {
	// Resume continues a partial that an earlier call left behind, if it is proved to be of the same file: same source,
	// size and time, and the last 64 KiB before the place where it continues are read again and compared. Otherwise the
	// transfer starts over, and Result.RestartReason says why. Drops within one call are always resumed, by the same rule.
	// A file that was changed elsewhere while keeping its size and time cannot be told without a digest: see Verify.
	Resume bool
	// Verify is how the finished file is proved, before it appears under its name.
	Verify VerifyMode
	// SHA256 is the digest, in hex, that the content must have. It is checked before the target appears. "": none.
	SHA256 string
	// Existing says what to do about a target that is there already.
	Existing ExistingPolicy
	// Progress is told how far the transfer is, at most ten times a second, in its goroutine. nil: nobody is.
	Progress ProgressFunc
	// Retry replaces the Client's RetryPolicy. nil: that one.
	Retry *RetryPolicy
	// Segments is how many connections may download one file. 0 and 1: one. It is an upper bound: at present one is used.
	Segments int
	// BytesPerSecond bounds this transfer, below the server's own bound. 0: unlimited.
	BytesPerSecond int64
	// PreserveTime gives the target the source's modification time, to the second. On a server that cannot set times an
	// upload goes on without, and the log says so.
	PreserveTime bool
	// NoSync skips the flush to disk of a finished local file: faster for many small files, but after a power cut the
	// target may be empty.
	NoSync bool
	// InPlace allows an upload to write to the target itself on a server that refuses to rename. A transfer that fails then
	// leaves a part of a file under the target's name.
	InPlace bool
}

// ExistingPolicy says what becomes of a target that exists.
type ExistingPolicy int

// The policies.
const (
	// Overwrite replaces it, at once and as a whole.
	Overwrite ExistingPolicy = iota
	// SkipSame keeps it if it has the source's size and modification time (to the second), and replaces it otherwise. It
	// implies PreserveTime: that is what makes the next call find it to be the same.
	SkipSame
	// SkipExisting keeps it, whatever it is.
	SkipExisting
	// FailExisting makes it an error, fs.ErrExist.
	FailExisting
)

// A Result tells what a transfer did. It comes with an error, too, and then tells how far it got.
type Result struct {
	Server, Remote, Local string

	Bytes         int64  // size of the finished file
	Transferred   int64  // bytes of content that this call moved, those that it moved in vain included
	ResumedFrom   int64  // offset at which it continued an earlier call's partial; 0: from the start
	RestartReason string // why a partial was not continued; "": it was, or there was none
	Attempts      int    // 1: without a retry
	Elapsed       time.Duration
	Skipped       bool // by Existing; nothing was moved
	Verification  Verification
}

// A transfer is the state that downloads and uploads have in common.
type transfer struct {
	*operation
	opts   TransferOptions
	remote string
	result *Result
	meter  *meter
	begun  time.Time
	limit  *rate.Limiter
	job    Job
}

// newTransfer begins a call. Its end must be called.
func (c *Client) newTransfer(ctx context.Context, job Job, opts *TransferOptions) (*transfer, error) {
	op, err := c.begin(ctx, job.Direction.String(), job.Server, job.Remote)
	if err != nil {
		return nil, err
	}
	t := &transfer{operation: op, remote: job.Remote, job: job, begun: time.Now()}
	if opts != nil {
		t.opts = *opts
	}
	t.result = &Result{Server: job.Server, Remote: job.Remote, Local: job.Local}
	t.limit = newLimiter(t.opts.BytesPerSecond)
	if t.opts.Retry == nil {
		t.opts.Retry = &c.retry
	}
	if err := t.check(); err != nil {
		op.end()
		return nil, op.wrap(err)
	}
	return t, nil
}

func (t *transfer) check() error {
	if err := safepath.CheckArgument(t.remote); err != nil {
		return err
	}
	if isRoot(t.remote) || strings.HasSuffix(t.remote, "/") {
		return fmt.Errorf("remote path %q names no file: %w", t.remote, fs.ErrInvalid)
	}
	if t.opts.SHA256 != "" && !isSHA256(t.opts.SHA256) {
		return fmt.Errorf("SHA256 is no digest of 64 hex digits: %w", fs.ErrInvalid)
	}
	return nil
}

// finish makes the call's result.
func (t *transfer) finish(err error) (*Result, error) {
	t.result.Elapsed = time.Since(t.begun)
	err = t.wrap(err)
	switch { // skipped, or failed before anything moved: the call is still told of
	case t.meter != nil:
	case t.result.Skipped:
		t.start(1, t.result.Bytes, t.result.Bytes)
	default:
		t.start(1, -1, 0)
	}
	t.meter.done(err)
	t.end()
	return t.result, err
}

// start tells that attempt n moves content from offset on, now that the size is known.
func (t *transfer) start(n int, size, offset int64) {
	if t.meter == nil {
		t.meter = newMeter(t.opts.Progress, t.job, size, offset)
		if n == 1 {
			return
		}
	}
	t.meter.resize(size)
	t.meter.attempt(n, offset)
}

// moving are the options of one transfer command.
func (t *transfer) moving(moved func(n int)) session.TransferOptions {
	return session.TransferOptions{Limits: []*rate.Limiter{t.limit}, Moved: moved}
}

// skip says that the target stays as it is.
func (t *transfer) skip(size int64) {
	t.result.Skipped, t.result.Bytes = true, max(size, 0) // a directory has none
}

func (t *transfer) preservesTime() bool { return t.opts.PreserveTime || t.opts.Existing == SkipSame }

// sameTime compares modification times to the second, which is what MDTM, MFMT and most file systems agree on.
func sameTime(a, b time.Time) bool {
	return !a.IsZero() && !b.IsZero() && a.Truncate(time.Second).Equal(b.Truncate(time.Second))
}

// Download fetches a remote file to the local path, making missing local folders. At no moment, not even if the process is
// killed, does the path hold anything but its old or its whole new content: the bytes go to a hidden partial file beside
// it, which a later call with Resume continues. It blocks until the file is there and proved, retrying by the policy as
// long as it must, or fails with an *Error.
func (c *Client) Download(ctx context.Context, server, remote, local string, opts *TransferOptions) (*Result, error) {
	t, err := c.newTransfer(ctx, Job{Direction: Down, Server: server, Remote: remote, Local: local}, opts)
	if err != nil {
		return nil, err
	}
	return t.finish(t.downloadFile(local))
}

// DownloadTo streams a remote file into w. A retry continues where w is, after the same proofs as any resume; as w cannot
// be taken back, a remote file that changed in between is an error, ErrMismatch, and so are a digest or a size that turn
// out wrong at the end. Resume, Existing, PreserveTime and NoSync do not apply. w must not block for ever: the
// call cannot return while w.Write does not.
func (c *Client) DownloadTo(ctx context.Context, server, remote string, w io.Writer, opts *TransferOptions) (*Result, error) {
	t, err := c.newTransfer(ctx, Job{Direction: Down, Server: server, Remote: remote}, opts)
	if err != nil {
		return nil, err
	}
	return t.finish((&download{transfer: t, sink: sink.NewWriter(w)}).run())
}

// Upload stores a local file at the remote path, making missing remote folders. The bytes go to a temporary remote name,
// their size is proved, and only then is the file renamed; a source that changes meanwhile leaves no final file. It blocks
// as Download does. What a failed call leaves under the temporary name, beside the target and hidden, is there for a later
// call with Resume; nothing is left when the source failed or changed, as far as the server can still be reached.
func (c *Client) Upload(ctx context.Context, server, local, remote string, opts *TransferOptions) (*Result, error) {
	t, err := c.newTransfer(ctx, Job{Direction: Up, Server: server, Remote: remote, Local: local}, opts)
	if err != nil {
		return nil, err
	}
	return t.finish(t.uploadFile(local))
}

// UploadFrom streams r to the remote path as Upload does. An error of r leaves no final file. A retry needs r to be an
// io.Seeker, which is then read from where it stands at the start; otherwise a connection that is lost once bytes of r
// have been read is an error. Resume does not apply, and nothing is left under the temporary name, except when ctx ends or
// the server cannot be reached any more. r must not block for ever: the call cannot return while r.Read does
// not.
func (c *Client) UploadFrom(ctx context.Context, server string, r io.Reader, remote string, opts *TransferOptions) (*Result, error) {
	t, err := c.newTransfer(ctx, Job{Direction: Up, Server: server, Remote: remote}, opts)
	if err != nil {
		return nil, err
	}
	return t.finish(t.uploadReader(r))
}
