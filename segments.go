package ftpclient

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/corexalgo/ftpclient/internal/pool"
	"github.com/corexalgo/ftpclient/internal/retry"
	"github.com/corexalgo/ftpclient/internal/segment"
	"github.com/corexalgo/ftpclient/internal/session"
	"github.com/corexalgo/ftpclient/internal/sink"
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
			if err == nil {
				err = cmp.Or(look.SizeErr, look.TimeErr) // says nothing of the file
			}
			if err == nil && !now.Same(sink.ID{Size: look.Size, ModTime: look.ModTime}) {
				err = errChanged
			}
			return err
		},
		Changed: errChanged,
		Lend:    d.useSpare,
		Busy:    pool.ErrBusy,
		Wanted:  d.srv.pool.Waiting,
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

// start tells of attempt n. While others go on for the download, nobody can say where it is but the meter.
func (d *download) start(n int, size, offset int64) {
	if d.crew.Running() {
		offset = -1
	}
	d.transfer.start(n, size, offset)
}
