package ftpclient

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/corexalgo/ftpclient/internal/digest"
	"github.com/corexalgo/ftpclient/internal/partfile"
	"github.com/corexalgo/ftpclient/internal/remotefs"
	"github.com/corexalgo/ftpclient/internal/remotepart"
	"github.com/corexalgo/ftpclient/internal/reply"
	"github.com/corexalgo/ftpclient/internal/retry"
	"github.com/corexalgo/ftpclient/internal/segment"
	"github.com/corexalgo/ftpclient/internal/session"
	"github.com/corexalgo/ftpclient/internal/sink"
)

// maxChanges is how often a remote file may change while it is fetched before that is an error.
const maxChanges = 3

// errOverlap is the error of a partial whose end is not what the remote file holds there.
var errOverlap = segment.ErrOverlap

// A download is one file on its way to a sink.
type download struct {
	*transfer
	sink     sink.Sink
	root     *os.Root // the folder of the target; nil for a writer
	base     string   // the target's name in it
	id       sink.ID  // of the version that is being fetched
	started  bool     // the sink was started or continued by this call
	useless  bool     // what the sink holds must not be continued
	reached  int64    // the most that was ever held of this version: an attempt that gets further is progress
	changes  int
	verifier verifier
	noREST   bool          // the server refused to begin in the middle, or seems not to have done it
	untold   int           // how often it would not tell size or time for the moment
	refused  int64         // where it last refused to begin, perhaps for another reason; 0: nowhere
	segments int           // that this version may be fetched in
	crew     *segment.Crew // that fetches it; nil: one connection does, from the beginning to the end
}

// A place is where a transfer belongs: the batch that it is part of, and what is known about its target.
type place struct {
	batch *batch // nil: none
	index int
	tree  *os.Root // the local folder that nothing may be written outside of; nil: any
	rel   string   // the local path below it

	listed *Entry // what a listing showed of the remote file; nil: nothing
	absent bool   // a listing showed that there is none
}

// folder opens the local folder of a download's target, which is made if it is missing.
func (t *transfer) folder() (root *os.Root, base string, err error) {
	if t.place.tree != nil {
		dir, base := filepath.Split(t.place.rel)
		if dir == "" {
			dir = "."
		}
		root, err := t.place.tree.OpenRoot(dir)
		if errors.Is(err, fs.ErrNotExist) {
			if err = t.place.tree.MkdirAll(filepath.Clean(dir), 0o777); err == nil {
				root, err = t.place.tree.OpenRoot(dir)
			}
		}
		return root, base, err
	}
	local := t.job.Local
	target, err := filepath.Abs(local)
	if err != nil {
		return nil, "", err
	}
	if local != "" && os.IsPathSeparator(local[len(local)-1]) {
		return nil, "", fmt.Errorf("local path %q names no file: %w", local, fs.ErrInvalid)
	}
	dir, base := filepath.Split(target)
	if _, err := os.Stat(target); err != nil && !errors.Is(err, fs.ErrNotExist) { // such as a name too long
		return nil, "", err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, "", err
	}
	root, err = os.OpenRoot(dir)
	return root, base, err
}

func (t *transfer) downloadFile() (err error) {
	root, base, err := t.folder()
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	if err := partfile.Check(root, base); err != nil { // before the bytes have come for nothing
		return err
	}
	src := partfile.Source{Server: t.srv.id, User: t.srv.cfg.Username, Path: t.remote}
	switch done, err := t.settleLocal(root, base); {
	case done, errors.Is(err, fs.ErrExist):
		return errors.Join(err, partfile.Tidy(root, base, src))
	case err != nil:
		return err
	}
	if e := t.place.listed; e != nil && e.exact() && t.skipsSame(root, base, e.Size, e.ModTime) {
		return partfile.Tidy(root, base, src)
	}
	part, err := partfile.Open(root, base, src)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := part.Close(); err == nil {
			err = cerr
		}
	}()
	d := &download{transfer: t, sink: sink.NewFile(part), root: root, base: base}
	err = d.run()
	if t.result.Skipped {
		return part.Discard()
	}
	if err != nil {
		if d.started && (d.useless || !d.id.Provable() || errors.Is(err, ErrMismatch)) { // nothing that could be continued
			err = errors.Join(err, part.Discard())
		}
		return err
	}
	keeps := t.opts.Existing == SkipExisting
	commit := partfile.CommitOptions{NoSync: t.opts.NoSync, Exclusive: keeps || t.opts.Existing == FailExisting}
	if t.preservesTime() {
		commit.ModTime = d.id.ModTime
	}
	err = part.Commit(commit)
	if keeps && errors.Is(err, fs.ErrExist) { // since it was looked for
		if done, _ := t.settleLocal(root, base); done {
			return part.Discard()
		}
	}
	return err
}

// settleLocal applies the ExistingPolicy as far as the local side decides it alone.
func (t *transfer) settleLocal(root *os.Root, base string) (done bool, err error) {
	if t.opts.Existing != SkipExisting && t.opts.Existing != FailExisting {
		return false, nil
	}
	info, err := root.Lstat(base)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case t.opts.Existing == FailExisting:
		return false, fmt.Errorf("local target: %w", fs.ErrExist)
	}
	t.skip(info.Size())
	return true, nil
}

// run fetches and proves the file.
func (d *download) run() (err error) {
	defer d.dismiss() // before the partial is closed, whatever happens
	d.verifier = d.newVerifier()
	d.ctx = session.WithFirst(d.ctx, session.Ahead{Looks: []string{d.remote}, Data: true})
	d.result.Attempts, err = d.try(*d.opts.Retry, func(ctx context.Context, n int) (progress bool, err error) {
		for again := true; again; again = errors.Is(err, segment.ErrSpent) {
			var more bool
			more, err = d.attempt(ctx, n)
			progress = progress || more
		}
		return progress, err
	})
	return err
}

// attempt is one try with one connection: look, decide, move, prove.
func (d *download) attempt(ctx context.Context, n int) (progress bool, err error) {
	err = d.use(func(s *session.Session) error {
		look, err := s.LookAhead(ctx, d.remote, session.Ahead{Data: true})
		now, err := version(look, err, unknown)
		if remotefs.Refused(err) != nil && !d.keeps() {
			if d.untold++; d.untold > 1 { // it is this server's way
				err = nil
			}
		}
		if err != nil {
			return err
		}
		if reply.Code(look.SizeErr) == 550 && d.keeps() { // before that is given up for a file that is not there
			if there, err := d.explain(ctx, s, look.SizeErr); !there {
				return err
			}
		}
		if !d.started && d.skipsSame(d.root, d.base, now.Size, now.ModTime) {
			return nil
		}
		if err := d.verifier.choose(ctx, s); err != nil {
			return err
		}
		for {
			d.segments = d.allowed(s, now)
			offset, err := d.decide(now)
			if err != nil {
				return retry.Permanent(err)
			}
			d.start(n, now.Size, offset)
			err = d.move(ctx, s, now, offset)
			d.heed(err, offset)
			if d.restarts(err) && s.Usable() && offset > 0 {
				d.startOver(err)
				continue
			}
			if err == nil {
				err = d.prove(ctx, s, now)
			}
			_, err = d.explain(ctx, s, err)
			return err
		}
	})
	if err != nil && (d.restarts(err) || d.root != nil && d.verifier.startsOver(err)) {
		d.startOver(err)
		err = retry.Transient(err)
	}
	progress = !d.useless && d.sink.Offset() > d.reached
	d.reached = max(d.reached, d.sink.Offset())
	return progress, err
}

// heed takes a refusal to go on at offset for the server's inability to begin in the middle, if it says so or says it twice.
func (d *download) heed(err error, offset int64) {
	var no *session.RestartError
	if errors.As(err, &no) {
		d.noREST = d.noREST || no.Final || d.refused == offset
		d.refused = offset
	}
}

// restarts tells an error after which what is there must not be continued.
func (d *download) restarts(err error) bool {
	var no *session.RestartError
	return errors.Is(err, errOverlap) || errors.Is(err, errTooMuch) || d.noREST && errors.As(err, &no)
}

// startOver gives up what is there, unless it cannot be taken back: of a server that does not begin in the middle it is then read
// once more.
func (d *download) startOver(err error) {
	var no *session.RestartError
	if d.root == nil && errors.As(err, &no) {
		return
	}
	d.useless = true
	d.result.RestartReason = err.Error()
	d.noREST = d.noREST || d.crew.Running() && d.restarts(err) && d.result.ResumedFrom == 0
}

// skipsSame applies SkipSame, now that size and time of the remote file are known.
func (t *transfer) skipsSame(root *os.Root, base string, size int64, modTime time.Time) bool {
	if t.opts.Existing != SkipSame || root == nil {
		return false
	}
	info, err := root.Lstat(base)
	if err != nil || !info.Mode().IsRegular() || info.Size() != size || !sameTime(info.ModTime(), modTime) {
		return false
	}
	if want := t.opts.expected(); want.Digest != "" && !digest.FileIs(t.ctx, root, base, want.Algorithm, want.Digest) {
		return false
	}
	t.skip(size)
	return true
}

// skip says that the target stays as it is.
func (t *transfer) skip(size int64) {
	t.result.Skipped, t.result.Bytes, t.result.Verification = true, max(size, 0), Verification{} // a directory has no size
	t.result.SkipReason = "exists"
	if t.opts.Existing == SkipSame {
		t.result.SkipReason = "same size and time"
	}
}

// sameTime compares modification times to the second, which is what MDTM, MFMT and most file systems agree on.
func sameTime(a, b time.Time) bool {
	return !a.IsZero() && !b.IsZero() && a.Truncate(time.Second).Equal(b.Truncate(time.Second))
}

// unknown is the version of a file of which nothing was told.
var unknown = sink.ID{Size: -1}

// version is what a look, which failed with err unless that is nil, says of a file that was told before. What the server refuses
// for the moment, the first time, or has told and now refuses, says nothing of the file, and is an error.
func version(look session.Look, err error, told sink.ID) (sink.ID, error) {
	first := told == unknown
	if err == nil && (told.Size >= 0 || first && reply.Code(look.SizeErr)/100 == 4) {
		err = look.SizeErr
	}
	if err == nil && (!told.ModTime.IsZero() || first && reply.Code(look.TimeErr)/100 == 4) {
		err = look.TimeErr
	}
	return sink.ID{Size: look.Size, ModTime: look.ModTime}, err
}

// keeps tells whether there is something that may be continued.
func (d *download) keeps() bool {
	if d.started || !d.opts.Resume {
		return d.started && !d.useless && d.sink.Offset() > 0
	}
	_, _, err := d.sink.Saved()
	return err == nil
}

// decide says where to go on, and makes the sink ready for it.
func (d *download) decide(now sink.ID) (offset int64, err error) {
	kept, offset := d.id, d.sink.Offset()
	switch {
	case d.started && d.useless:
		return 0, d.fresh(now, errors.New(d.result.RestartReason))
	case d.started && offset > 0:
	case d.started || !d.opts.Resume:
		return 0, d.fresh(now, nil)
	default:
		if kept, offset, err = d.sink.Saved(); errors.Is(err, fs.ErrNotExist) {
			return 0, d.fresh(now, nil)
		} else if err != nil {
			return 0, d.fresh(now, err)
		}
	}
	switch {
	case !now.Provable():
		return 0, d.fresh(now, errUnprovable)
	case !kept.Same(now):
		if d.started {
			if err := d.changed(); err != nil {
				return 0, err
			}
		}
		return 0, d.fresh(now, errChanged)
	}
	if !d.started {
		if err := d.sink.Continue(offset); err != nil {
			return 0, d.fresh(now, err)
		}
		if err := d.arrange(now); err != nil {
			return 0, err
		}
		d.result.ResumedFrom, d.reached = offset, offset
	}
	d.id, d.started = now, true
	return offset, nil
}

var (
	errChanged    = errors.New("the remote file changed")
	errUnprovable = errors.New("the server does not tell the file's size and time")
)

// changed counts a change of the remote file while it is fetched. Too many are an error.
func (d *download) changed() error {
	d.reached = 0
	if d.changes++; d.changes > maxChanges {
		return retry.Permanent(fmt.Errorf("%w: the remote file changed %d times while it was fetched", ErrMismatch, d.changes))
	}
	return nil
}

func (d *download) changedMeanwhile() error {
	d.startOver(errChanged)
	if err := d.changed(); err != nil {
		return err
	}
	return retry.Transient(fmt.Errorf("%w: %w while it was fetched", ErrMismatch, errChanged))
}

// fresh starts at 0 of the version that is there now. reason is why nothing is continued, nil if there was nothing.
func (d *download) fresh(now sink.ID, reason error) error {
	if reason != nil {
		d.result.RestartReason = reason.Error()
	}
	end := d.rest() // one of those who help may be in a callback
	d.dismiss()
	end()
	if err := d.sink.Start(now); err != nil {
		if !errors.Is(err, sink.ErrTaken) {
			return err
		}
		if errors.Is(reason, errUnprovable) {
			return fmt.Errorf("%w: %w, and %w", ErrUnverifiable, reason, err)
		}
		return fmt.Errorf("%w: %w, and %w", ErrMismatch, reason, err)
	}
	d.result.ResumedFrom = 0
	d.id, d.started, d.useless = now, true, false
	return d.arrange(now)
}

// prove asks once more, as a file that changed while it was read is of no version at all, and then compares what the
// caller wants compared.
func (d *download) prove(ctx context.Context, s *session.Session, now sink.ID) error {
	d.result.Bytes = d.sink.Offset()
	d.result.Verification = Verification{} // unless more is seen, completion rests on the final reply
	if now.Size >= 0 || !now.ModTime.IsZero() {
		look, err := s.Look(ctx, d.remote)
		then, err := version(look, err, now)
		switch {
		case err != nil:
			return err
		case !now.Same(then):
			return d.changedMeanwhile()
		}
	}
	if now.Size >= 0 && d.opts.Verify != VerifyNone {
		d.result.Verification = sizeProof(d.result.Bytes, now.Size)
	}
	proof, err := d.verifier.prove(ctx, s, d.remote, d.result.Bytes, d.sink.Sum())
	if proof.Method > d.result.Verification.Method {
		d.result.Verification = proof
	}
	return err
}

// explain finds out what a refused RETR or SIZE means, and whether the file is there.
func (d *download) explain(ctx context.Context, s *session.Session, err error) (there bool, _ error) {
	r := remotefs.Refused(err)
	if r == nil || (r.Command != "RETR" && r.Command != "SIZE") || r.Code != 550 || !s.Usable() {
		return false, err
	}
	e, serr := remotefs.Stat(ctx, s, d.remote)
	switch {
	case errors.Is(serr, fs.ErrNotExist):
		return false, fmt.Errorf("%w (%w)", fs.ErrNotExist, err)
	case serr == nil && e.IsDir():
		return false, fmt.Errorf("remote path is a directory: %w", err)
	}
	return serr == nil, err
}

// decide says where to go on: at the end of what the server holds, if that is proved to be the source's beginning. Of an
// upload that is all there the last piece is sent again: that it is there is no proof without the final reply that says so.
func (u *upload) decide(ctx context.Context, s *session.Session) (int64, error) {
	u.held, u.grew = 0, false
	if !u.source.Resumable() || u.restarts || (!u.opts.Resume && !u.started) {
		return u.rewind(0)
	}
	size, err := u.part.Size(ctx, s, !u.started)
	if err != nil || size == 0 {
		return u.rewindIf(err)
	}
	err = u.provePart(ctx, s, size)
	switch {
	case err == nil && size == u.source.Size() && size > remotepart.Overlap && u.appends:
		return u.rewindIf(u.startOver(ctx, s, remotepart.ErrNoRewriting))
	case err == nil:
		u.held = size
		if size == u.source.Size() {
			size = max(0, size-remotepart.Overlap)
		}
		if !u.started {
			u.result.ResumedFrom = size
		}
		return u.rewind(size)
	case errors.Is(err, remotepart.ErrGrowing):
		u.grew, u.reached = u.reached > 0 && size > u.reached, max(u.reached, size)
		return 0, retry.Transient(err)
	case remotefs.Refused(err) == nil && !errors.Is(err, remotepart.ErrDiffers):
		return 0, err
	}
	return u.rewindIf(u.startOver(ctx, s, err))
}

func (u *upload) rewindIf(err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return u.rewind(0)
}

func (u *upload) rewind(offset int64) (int64, error) {
	return offset, retry.Permanent(u.source.Rewind(u.ctx, offset))
}

// startOver gives up what the server holds, and its name: nothing under it is trusted any more.
func (u *upload) startOver(ctx context.Context, s *session.Session, reason error) error {
	u.result.RestartReason, u.result.ResumedFrom = reason.Error(), 0
	if err := u.part.Remove(ctx, s); err != nil {
		return err
	}
	u.part.Renew()
	return nil
}

func sizeProof(local, remote int64) Verification {
	return Verification{Method: VerifiedSize, Local: strconv.FormatInt(local, 10), Remote: strconv.FormatInt(remote, 10)}
}
