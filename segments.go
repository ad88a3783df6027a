package ftpclient

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/corexalgo/ftpclient/internal/pool"
	"github.com/corexalgo/ftpclient/internal/retry"
	"github.com/corexalgo/ftpclient/internal/segment"
	"github.com/corexalgo/ftpclient/internal/session"
	"github.com/corexalgo/ftpclient/internal/sink"
	"github.com/corexalgo/ftpclient/internal/wire"
)

// allowed is in how many segments the file may be fetched, as far as it can be told before.
func (d *download) allowed(s *session.Session, now sink.ID) int {
	if d.opts.Segments < 2 || d.job.Local == "" {
		return 1
	}
	var reason string
	switch features := s.Features(); {
	case !now.Provable():
		reason = errUnprovable.Error()
	case d.noREST, len(features) > 0 && !features.Has("REST"):
		reason = "the server cannot, or does not, begin in the middle of a file"
	default:
		return min(d.opts.Segments, d.srv.cfg.MaxConns)
	}
	d.log.Info("ftp download in one segment", slog.String("cause", reason))
	return 1
}

// arrange makes ready to fetch what the sink, just started or continued, is missing.
func (d *download) arrange(now sink.ID) error {
	d.crew = nil
	file, ok := d.sink.(*sink.File)
	if !ok || !now.Provable() {
		return d.verifier.watch(d.ctx, d.sink)
	}
	missing := file.Missing(now.Size)
	n := segment.Count(d.segments, now.Size-file.Held())
	if n == 1 && (len(missing) == 0 || len(missing) == 1 && missing[0].To == now.Size) {
		return d.verifier.watch(d.ctx, d.sink)
	}
	patience := stuck
	if d.limit != nil || d.srv.cfg.BytesPerSecond > 0 { // we are slow ourselves
		patience = 0
	}
	d.crew = &segment.Crew{
		Plan: segment.NewPlan(now.Size, missing, patience), Partial: file, Remote: d.remote, Size: now.Size, Workers: n,
		Overlap: sink.Overlap, Moving: d.moving(nil), Log: d.log,
		Check: func(ctx context.Context, s *session.Session) error {
			look, err := s.Look(ctx, d.remote)
			then, err := version(look, err, now)
			if err == nil && !now.Same(then) {
				err = errChanged
			}
			return err
		},
		Changed: errChanged,
		Lend:    d.useSpare,
		Busy:    pool.ErrBusy,
		Wanted:  d.srv.pool.Waiting,
		Rest:    d.rest,
		Retry: func(ctx context.Context, attempt retry.Attempt) error {
			_, err := d.tryAside(ctx, *d.opts.Retry, func() {}, attempt)
			return err
		},
	}
	return nil
}

// stuck is how long no byte of a segment may come until another connection fetches its rest.
const stuck = 2 * time.Second

// moveSegments has the crew, which only a partial file has, fetch what is missing. What was not written in order is digested afterwards.
func (d *download) moveSegments(ctx context.Context, s *session.Session) error {
	if !d.crew.Running() {
		still := transfer{meter: d.meter, place: d.place} // as the download's own meter may be set meanwhile
		d.crew.Held = still.advance
	}
	switch err := d.crew.Work(ctx, s); {
	case errors.Is(err, errChanged):
		return d.changedMeanwhile()
	case err != nil:
		return err
	}
	if d.verifier.algorithm == nil {
		return nil
	}
	return retry.Permanent(d.sink.(*sink.File).Digest(ctx, d.verifier.algorithm.New))
}

// dismiss ends what others still do for the download.
func (d *download) dismiss() { d.result.Transferred += d.crew.Dismiss() }

// start tells of attempt n. While others go on for the download, nobody can say where it is but the meter, and one of them may
// be in a callback.
func (d *download) start(n int, size, offset int64) {
	if d.crew.Running() {
		d.meter.again(n)
		return
	}
	d.transfer.start(n, size, offset)
}

var errTooMuch = segment.ErrTooMuch

// move fetches from offset to the end. With an offset it begins earlier, and compares, unless that was proved; at 0, where the
// server cannot begin in the middle.
func (d *download) move(ctx context.Context, s *session.Session, now sink.ID, offset int64) error {
	if d.crew != nil {
		return d.moveSegments(ctx, s)
	}
	from, err := d.begins(ctx, s, offset)
	if err != nil || (from > 0 && from == now.Size) { // all of it is here, and proved
		return err
	}
	begin := from
	if d.noREST {
		begin = 0
	}
	moving := d.moving(nil)
	moving.Expected = now.Size - begin
	moving.Then = func() session.Ahead { return d.then(now) }
	if f, ok := d.sink.(*sink.File); ok && !d.opts.NoSync {
		moving.Meanwhile = f.Flush
	}
	r, err := s.Retrieve(ctx, d.remote, begin, moving)
	if err != nil {
		return err
	}
	if err := d.compare(r, begin, from, offset); err != nil {
		if begin > 0 && d.root == nil && errors.Is(err, errOverlap) { // REST may have been granted and not heeded: all is read again
			err = &session.RestartError{Err: err, Final: true}
		}
		return segment.Ended(err, r.Close())
	}
	buf := wire.GetBuffer()
	defer func() { wire.PutBuffer(buf) }()
	at := offset
	for {
		n, rerr := r.Read(*buf)
		if at += int64(n); now.Size >= 0 && at > now.Size {
			_ = r.Close()
			return errTooMuch
		}
		d.result.Transferred += int64(n)
		if n > 0 {
			if _, err := d.sink.Write((*buf)[:n]); err != nil {
				_ = r.Close()
				return retry.Permanent(err)
			}
			d.advance(int64(n))
		}
		if rerr == nil {
			buf = wire.Larger(buf, n)
			continue
		}
		cerr := r.Close()
		switch {
		case !errors.Is(rerr, io.EOF):
			return errors.Join(rerr, cerr)
		case cerr != nil:
			return cerr
		case now.Size >= 0 && at < now.Size:
			return retry.Transient(fmt.Errorf("the server sent %d of %d bytes and called it complete: %w", at, now.Size, io.ErrUnexpectedEOF))
		case now.Size < 0 && r.Unauthenticated():
			return retry.Transient(wire.ErrNoCloseNotify)
		}
		return nil
	}
}

// compare reads from begin what the sink already holds, and finds it equal from from on, or not.
func (d *download) compare(r io.Reader, begin, from, to int64) error {
	skipped, err := io.CopyN(io.Discard, r, from-begin)
	d.result.Transferred += skipped
	if err != nil {
		return err
	}
	n, err := segment.Compare(r, d.sink, from, to, d.id.Size)
	d.result.Transferred += n
	return err
}

// begins is where a download that goes on at offset has to begin: there, if the server's digest proves all that the sink has
// from an earlier call to be the beginning of the remote file, else a little before, for the bytes to be compared. Within a
// call the bytes are compared: for each lost connection the server would have to read all of them.
func (d *download) begins(ctx context.Context, s *session.Session, offset int64) (int64, error) {
	from := max(0, offset-sink.Overlap)
	if from == 0 || offset != d.result.ResumedFrom {
		return from, nil
	}
	same, told, err := d.verifier.agrees(func() (bool, error) {
		return s.HasPrefix(ctx, *d.verifier.algorithm, d.remote, offset, hex.EncodeToString(d.sink.Sum()))
	})
	switch {
	case err != nil:
		return 0, err
	case !told:
		return from, nil
	case !same:
		return 0, fmt.Errorf("%w, by %s of the server", errOverlap, d.verifier.algorithm.Name)
	}
	return offset, nil
}
