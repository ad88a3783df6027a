package ftpclient

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/corexalgo/ftpclient/internal/remotefs"
	"github.com/corexalgo/ftpclient/internal/remotepart"
	"github.com/corexalgo/ftpclient/internal/retry"
	"github.com/corexalgo/ftpclient/internal/safepath"
	"github.com/corexalgo/ftpclient/internal/session"
	"github.com/corexalgo/ftpclient/internal/source"
)

// TransferOptions says how one file is moved. The zero value, and nil, download or upload the whole file, prove its size,
// and replace the target.
type TransferOptions struct {
	// Resume continues a partial that an earlier call left behind, if it is proved to be of the same file: same source,
	// size and time, and the last 64 KiB before the place where it continues are moved again and compared. Where Verify asks
	// for the server's digest, and the server digests parts of files, that of the whole partial takes their place. Otherwise the
	// transfer starts over, and Result.RestartReason says why. Drops within one call are always resumed, by the same rule.
	// A file that was changed elsewhere while keeping its size and time cannot be told without a digest: see Verify.
	Resume bool
	// Verify is how the finished file is proved, before it appears under its name.
	Verify VerifyMode
	// SHA256 is the digest, in hex, that the content must have. It is checked before the target appears: of a download on
	// what arrived, of an upload on what was sent, and on what the server has if it tells that digest or Verify is
	// VerifyReadBack. "": none.
	SHA256 string
	// Expected is SHA256 for any algorithm; see LoadChecksums. Only one of both may be set. Zero: none.
	Expected Checksum
	// Existing says what to do about a target that is there already.
	Existing ExistingPolicy
	// Progress is told how far the transfer is, at most ten times a second: in the call's own goroutine, but with Segments, and in
	// a batch, in others, too. A panic of it is the call's all the same. nil: nobody is told.
	Progress ProgressFunc
	// Retry replaces the Client's RetryPolicy. nil: that one.
	Retry *RetryPolicy
	// Segments is over how many connections at most, MaxConns among the bounds, one file is downloaded; 0 and 1: one. It
	// takes a server that tells size and time and can begin in the middle of a file, and has no effect on DownloadTo. One
	// connection does all by itself if it must: the others are those that nobody else waits for and that the server grants,
	// one for each MiB of the file at most, and what one is slow with or fails at is taken over by the rest. A retry of one
	// of them is no attempt of the whole. The partial is as any other, so that a later call with Resume may use another
	// number. A digest, where one is wanted, needs the finished file to be read once, as its bytes do not come in order.
	Segments int
	// BytesPerSecond bounds this transfer, below the server's own bound. 0: unlimited.
	BytesPerSecond int64
	// PreserveTime gives the target the source's modification time, to the second. On a server that cannot set times an
	// upload goes on without, and the log says so.
	PreserveTime bool
	// NoSync skips the flush to disk of a finished local file: faster for many small files, but after a power cut the
	// target may be empty.
	NoSync bool
	// InPlace allows an upload to write to the target itself on a server that refuses to rename, or the temporary name. A
	// transfer that fails then leaves a part of a file under the target's name.
	InPlace bool
}

// ExistingPolicy says what becomes of a target that exists.
type ExistingPolicy int

// The policies.
const (
	// Overwrite replaces it, at once and as a whole.
	Overwrite ExistingPolicy = iota
	// SkipSame keeps it if it has the source's size and modification time (to the second), and replaces it otherwise. Where a
	// digest is expected, the local file (of a copy, the one that is copied) must have it, too, and is read for that. It implies
	// PreserveTime: that is what makes the next call find it to be the same.
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
	ResumedFrom   int64  // how many bytes of an earlier call's partial it kept; 0: from the start
	RestartReason string // why a partial was not continued; "": it was, or there was none
	Attempts      int    // 1: without a retry
	Elapsed       time.Duration
	Skipped       bool   // the target stays as it was
	SkipReason    string // why; "" unless Skipped
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
	place  place
	origin *File // of a copy, what was opened last; nil: nothing was
	over   bool  // it has no connection any more, but for the lane's
}

// newTransfer begins a call, which must be made. With an error there is nothing but the result.
func (c *Client) newTransfer(ctx context.Context, job Job, opts *TransferOptions) (*transfer, error) {
	op, err := c.begin(ctx, job.Direction.String(), job.Server, job.Remote)
	if err != nil {
		return &transfer{result: job.result()}, err
	}
	return op.transfer(job, opts)
}

// transfer makes op one of a file, or ends it.
func (o *operation) transfer(job Job, opts *TransferOptions) (*transfer, error) {
	t := &transfer{operation: o, remote: job.Remote, job: job, begun: time.Now()}
	if opts != nil {
		t.opts = *opts
	}
	t.result = job.result()
	t.limit = newLimiter(t.opts.BytesPerSecond)
	if t.opts.Retry == nil {
		t.opts.Retry = &o.c.retry
	}
	if err := t.check(); err != nil {
		o.end()
		return t, o.wrap(err)
	}
	return t, nil
}

func (t *transfer) check() error {
	checkName := safepath.CheckArgument
	if t.job.Direction == Up {
		checkName = safepath.CheckCreated
	}
	if err := checkName(t.remote); err != nil {
		return err
	}
	if remotefs.IsRoot(t.remote) || strings.HasSuffix(t.remote, "/") {
		return fmt.Errorf("remote path %q names no file: %w", t.remote, fs.ErrInvalid)
	}
	return check(&t.opts)
}

// call moves the file, and makes the call's result.
func (t *transfer) call(move func() error) (*Result, error) {
	defer t.end() // also where a callback of the caller's panics
	err := t.wrap(move())
	t.over, t.result.Elapsed = true, time.Since(t.begun)
	switch { // skipped, or failed before anything moved: the call is still told of
	case t.meter != nil:
	case t.result.Skipped:
		t.start(1, t.result.Bytes, t.result.Bytes)
	default:
		t.start(1, -1, 0)
	}
	t.meter.done(err)
	return t.result, err
}

// moving are the options of one transfer command.
func (t *transfer) moving(moved func(n int)) session.TransferOptions {
	return session.TransferOptions{Limits: []*rate.Limiter{t.limit}, Moved: moved}
}

func (t *transfer) preservesTime() bool { return t.opts.PreserveTime || t.opts.Existing == SkipSame }

// dates tells whether the file is given the source's time.
func (u *upload) dates() bool { return u.preservesTime() && !u.source.ModTime().IsZero() }

// Download fetches a remote file to the local path, making missing local folders. At no moment, not even if the process is
// killed, does the path hold anything but its old or its whole new content: the bytes go to a hidden partial file beside
// it, which a later call with Resume continues. It blocks until the file is there and proved, retrying by the policy as
// long as it must, or fails with an *Error.
func (c *Client) Download(ctx context.Context, server, remote, local string, opts *TransferOptions) (*Result, error) {
	t, err := c.newTransfer(ctx, Job{Direction: Down, Server: server, Remote: remote, Local: local}, opts)
	if err != nil {
		return t.result, err
	}
	return t.call(t.downloadFile)
}

// DownloadTo streams a remote file into w. A retry continues where w is, after the same proofs as any resume; as w cannot
// be taken back, a remote file that changed in between is an error, ErrMismatch, and so are a digest or a size that turn
// out wrong at the end. Resume, Existing, PreserveTime and NoSync do not apply. w must not block for ever: the
// call cannot return while w.Write does not.
func (c *Client) DownloadTo(ctx context.Context, server, remote string, w io.Writer, opts *TransferOptions) (*Result, error) {
	t, err := c.newTransfer(ctx, Job{Direction: Down, Server: server, Remote: remote}, opts)
	if err != nil {
		return t.result, err
	}
	return t.call(func() error { return t.downloadWriter(w) })
}

// Upload stores a local file at the remote path, making missing remote folders. The bytes go to a temporary remote name,
// their size is proved, and only then is the file renamed; a source that changes meanwhile leaves no final file. It blocks
// as Download does. What a failed call leaves under the temporary name, beside the target and hidden, is there for a later
// call with Resume; nothing is left when the source failed or changed, as far as the server can still be reached. Only an
// upload of the same unchanged source to the same path, by the same user, whose cache folder was kept, finds it: after a
// change between two calls what the first one left stays on the server, for nobody can tell it from another host's running
// upload.
//
// Two uploads to one target at the same time, by one user on one host, are ErrInUse for the second. Targets are told apart
// as they are written: "f" and "/home/joe/f" are two. Each has a temporary file of its own, and the later upload stays.
func (c *Client) Upload(ctx context.Context, server, local, remote string, opts *TransferOptions) (*Result, error) {
	t, err := c.newTransfer(ctx, Job{Direction: Up, Server: server, Remote: remote, Local: local}, opts)
	if err != nil {
		return t.result, err
	}
	return t.call(t.uploadFile)
}

// UploadFrom streams r to the remote path as Upload does. An error of r leaves no final file. A retry needs r to be an
// io.Seeker, which is then read from where it stands at the start; otherwise a connection that is lost once bytes of r
// have been read is an error. Resume does not apply, and nothing is left under the temporary name, except when ctx ends or
// the server cannot be reached any more. r must not block for ever: the call cannot return while r.Read does
// not. A hundred Reads in a row that give neither bytes nor an error are one, io.ErrNoProgress.
func (c *Client) UploadFrom(ctx context.Context, server string, r io.Reader, remote string, opts *TransferOptions) (*Result, error) {
	t, err := c.newTransfer(ctx, Job{Direction: Up, Server: server, Remote: remote}, opts)
	if err != nil {
		return t.result, err
	}
	return t.call(func() error { return t.uploadReader(r) })
}

// An upload is one source on its way to a server.
type upload struct {
	*transfer
	source   source.Source
	part     *remotepart.File
	verifier verifier
	settled  bool              // the ExistingPolicy was applied
	started  bool              // this call began to send
	reached  int64             // the furthest that an attempt began
	held     int64             // what the server held of it when the attempt began
	grew     bool              // it still writes what an earlier attempt sent: that is progress, too
	made     bool              // missing folders were made
	appends  bool              // the server refuses REST before STOR
	restarts bool              // it refuses APPE too, or there is no temporary file: every attempt starts over
	proved   *remotepart.Proof // what lies whole under the temporary name; nil: nothing does
}

func (t *transfer) uploadFile() error {
	src, err := source.Open(t.job.Local)
	if err != nil {
		return err
	}
	defer func() { _ = src.Close() }()
	// Deterministic, so that a later call finds what this one leaves behind.
	key := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d\x00%d", src.Path(), src.Size(), src.ModTime().UnixNano()))
	return t.upload(src, hex.EncodeToString(key[:6]))
}

// upload holds the target, for this host, and runs.
func (t *transfer) upload(src source.Source, key string) (err error) {
	u := &upload{transfer: t, source: src, verifier: t.newVerifier()}
	if e := t.place.listed; e != nil && t.opts.Existing != Overwrite && (t.opts.Existing != SkipSame || e.exact()) {
		if done, err := u.settleWith(*e); done || err != nil {
			return err
		}
		u.settled = true
	}
	if u.part, err = remotepart.Hold(t.srv.id, t.srv.cfg.Username, t.remote, key); err != nil {
		return err
	}
	defer u.part.Release()
	return u.run()
}

func (u *upload) run() (err error) {
	u.result.Attempts, err = u.try(*u.opts.Retry, u.attempt)
	if err == nil {
		return nil
	}
	if u.started && u.hopeless(err) {
		_ = u.use(func(s *session.Session) error { return u.part.Remove(u.ctx, s) }) // best effort: err is what matters
	}
	if backup := u.part.Aside(); backup != "" {
		err = fmt.Errorf("%w; the file that was there may now be %q", err, backup)
	}
	return err
}

// hopeless tells that no later call can continue what is on the server.
func (u *upload) hopeless(err error) bool {
	var failed *session.SourceError
	_, remote := u.source.(*remoteSource) // which an outage takes away, and not for ever
	switch {
	case errors.Is(err, ErrAuth): // a login more may lock the account
		return false
	case errors.Is(err, ErrMismatch), errors.Is(err, remotepart.ErrDirectory), errors.As(err, &failed) && !remote:
		return true
	}
	return !u.source.Resumable()
}

// attempt is one try with one connection: look, decide, move, prove, commit.
func (u *upload) attempt(ctx context.Context, n int) (progress bool, err error) {
	err = u.use(func(s *session.Session) error {
		if done, err := u.settle(ctx, s); done || err != nil {
			return err
		}
		if u.proved != nil { // the connection was lost after that
			here, done, err := u.part.Find(ctx, s, *u.proved)
			switch {
			case done || err != nil:
				return err
			case here:
				if again, err := u.fallBack(ctx, s, u.commit(ctx, s)); !again {
					return err
				}
			}
			u.proved = nil
		}
		if err := u.verifier.choose(ctx, s); err != nil {
			return err
		}
		if u.verifier.algorithm != nil {
			u.source.Watch(u.verifier.algorithm.New)
		}
		for {
			offset, err := u.decide(ctx, s)
			if err != nil {
				return err
			}
			progress = progress || (u.started && offset > u.reached)
			u.reached = max(u.reached, offset)
			u.start(n, u.source.Size(), offset)
			u.started = true
			if err = u.move(ctx, s, offset); err == nil {
				err = u.prove(ctx, s)
			}
			if err == nil {
				err = u.commit(ctx, s)
			}
			if again, err := u.fallBack(ctx, s, err); !again {
				return err
			}
		}
	})
	var failed *session.SourceError
	if errors.As(err, &failed) || errors.Is(err, remotepart.ErrDirectory) {
		err = retry.Permanent(err)
	}
	return progress || u.grew, err
}

// settle applies the ExistingPolicy, once.
func (u *upload) settle(ctx context.Context, s *session.Session) (done bool, err error) {
	if u.settled || u.place.absent || u.opts.Existing == Overwrite {
		return false, nil
	}
	done, err = u.settleRemote(ctx, s)
	u.settled = err == nil
	return done, err
}

func (u *upload) settleRemote(ctx context.Context, s *session.Session) (done bool, err error) {
	e, err := remotefs.Stat(ctx, s, u.remote)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return u.settleWith(Entry(e))
}

// settleWith applies the ExistingPolicy to the file that is there.
func (u *upload) settleWith(e Entry) (done bool, err error) {
	switch {
	case u.opts.Existing == FailExisting:
		return false, fmt.Errorf("remote target: %w", fs.ErrExist)
	case u.opts.Existing == SkipSame && (e.Size != u.source.Size() || !sameTime(e.ModTime, u.source.ModTime())):
		return false, nil
	}
	if want := u.opts.expected(); u.opts.Existing == SkipSame && want.Digest != "" {
		if is, err := source.Is(u.ctx, u.source, want.Algorithm, want.Digest); !is || err != nil {
			return false, err
		}
	}
	u.skip(e.Size)
	return true, nil
}

// fallBack finds another way for a server that refuses, by err, the one that was tried. Without one the error is err, or none.
func (u *upload) fallBack(ctx context.Context, s *session.Session, err error) (again bool, _ error) {
	switch {
	case errors.Is(err, remotepart.ErrNoContinuing):
		u.restarts = true
		err = u.startOver(ctx, s, err)
	case errors.Is(err, remotepart.ErrNoRewriting):
		u.appends = true
		err = u.startOver(ctx, s, err)
	case (errors.Is(err, remotepart.ErrNoRename) || errors.Is(err, remotepart.ErrNoTemporary)) && u.opts.InPlace && u.source.Repeatable():
		if err = u.part.Remove(ctx, s); err == nil {
			u.part.InPlace()
			u.restarts, u.proved = true, nil
		}
	default:
		return false, err
	}
	return err == nil, err
}

// move sends the source from offset on.
func (u *upload) move(ctx context.Context, s *session.Session, offset int64) error {
	name, moving := u.part.Name(), u.moving(func(n int) { u.advance(int64(n)) })
	moving.Eager = offset == 0 && u.source.Repeatable() && u.source.Size() >= 0 && u.source.Size() <= session.EagerSize
	moving.Then = u.then
	var sent int64
	var err error
	if offset > 0 && u.appends {
		sent, err = s.Append(ctx, name, u.source.Content(), moving)
	} else {
		sent, err = s.Store(ctx, name, offset, u.source.Content(), moving)
	}
	u.result.Transferred += sent
	r := remotefs.Refused(err)
	switch {
	case r == nil || sent > 0 || !s.Usable() || retry.ServerFull(err):
		return err
	case !moving.Eager && u.source.Offset() != offset: // granted, and failed later: what was read is gone
		return err
	case offset > 0 && (r.Code == 425 || r.Code == 552 || r.Code == 553):
		return err // neither is about continuing
	case offset > 0 && u.appends:
		return fmt.Errorf("%w: %w", remotepart.ErrNoContinuing, err)
	case offset > 0 && offset < u.held: // APPE would add what is there
		return fmt.Errorf("%w: %w", remotepart.ErrNoRewriting, err)
	case offset > 0: // ProFTPD answers 451 to STOR after REST, by default
		u.appends = true
		return u.move(ctx, s, offset)
	case !u.made && (r.Code == 550 || r.Code == 553 || r.Code == 450 || r.Code == 451):
		made, merr := remotefs.MkdirAll(ctx, s, path.Dir(u.remote))
		if merr != nil && remotefs.Refused(merr) == nil {
			return merr // the connection's: what became of MKD is seen by the next attempt
		}
		if merr != nil || (!made && retry.Retryable(err)) {
			return errors.Join(err, merr)
		}
		// Once more even where nothing had to be made: another upload may have made it since the refusal.
		u.made = true
		if moving.Eager { // it may have been read
			if _, err := u.rewind(0); err != nil {
				return err
			}
		}
		return u.move(ctx, s, offset)
	case !u.part.IsInPlace() && (r.Code == 550 || r.Code == 553):
		return fmt.Errorf("%w: %w", remotepart.ErrNoTemporary, err)
	}
	return err
}

// commit gives the file its time and its name.
func (u *upload) commit(ctx context.Context, s *session.Session) error {
	if u.dates() {
		u.proved.ModTime = time.Time{} // unknown until the server has answered
		err := s.SetModTime(ctx, u.part.Name(), u.source.ModTime())
		if err != nil && remotefs.Refused(err) == nil && !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
		if err != nil {
			u.log.Warn("ftp server does not set times", slog.String("cause", err.Error()))
		}
	}
	if u.opts.Existing == FailExisting && !u.part.IsInPlace() {
		if _, err := u.settleRemote(ctx, s); err != nil {
			return err
		}
		u.proved.Vacant = true
	}
	if u.opts.Existing == SkipExisting {
		if gone, err := u.part.GiveWay(ctx, s, u.skip); gone || err != nil {
			return err
		}
	}
	return u.part.Commit(ctx, s, *u.proved, u.next())
}
