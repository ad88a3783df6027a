package segment

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/corexalgo/ftpclient/internal/rethrow"
	"github.com/corexalgo/ftpclient/internal/retry"
	"github.com/corexalgo/ftpclient/internal/session"
	"github.com/corexalgo/ftpclient/internal/wire"
)

var (
	// ErrOverlap is the error of a partial whose bytes before an offset are not what the remote file holds there.
	ErrOverlap = errors.New("the bytes before the offset differ")
	// ErrTooMuch is the error of a file that does not end where it should.
	ErrTooMuch = errors.New("the server sends more than the file's size")
	// ErrSpent is the error of a connection that did its part and was found out of step afterwards, or whose part another one took
	// over: work goes on with another one, and nothing went wrong.
	ErrSpent = errors.New("the connection is of no use after a transfer that was ended early")

	errTakenOver = errors.New("no byte came, and another connection has taken over")
	errOver      = errors.New("the download is over")
)

// A Partial is what a file is fetched into, by several goroutines.
type Partial interface {
	io.ReaderAt
	io.WriterAt
	Before(off, most int64) int64 // how many bytes right before off are held, most at most
}

// Count is how many of at most n connections are worth it for so many missing bytes.
func Count(n int, missing int64) int { return int(max(1, min(int64(n), missing/Least))) }

// A Crew fetches one version of one file. One worker, the one who calls Work, is there from the start. Others help as far
// as there are connections to spare, and nobody waits for them: what they leave undone is taken over.
type Crew struct {
	Plan    *Plan
	Partial Partial
	Remote  string
	Size    int64
	Workers int                     // how many at most, the one who calls Work among them
	Overlap int64                   // how many bytes before an offset are read again and compared
	Moving  session.TransferOptions // of every transfer
	Held    func(n int64)           // is told of content that was written, by all workers
	Log     *slog.Logger

	// Check finds out, once on every connection of a helper, whether the remote file is still the same one. An error that is
	// in Changed ends the work of all.
	Check   func(ctx context.Context, s *session.Session) error
	Changed error
	// Lend lends f a connection if there is one to spare, else it is Busy at once.
	Lend func(ctx context.Context, f func(*session.Session) error) error
	Busy error
	// Wanted tells that somebody waits for a connection: a helper gives its own back.
	Wanted func() bool
	// Rest tells, until end is called, that a worker waits for the others, whose Held may wait for its connection.
	Rest func() (end func())
	// Retry repeats what a helper does.
	Retry func(ctx context.Context, attempt retry.Attempt) error

	helpers sync.WaitGroup
	ends    rethrow.Keeper // of helpers
	hired   bool
	dismiss context.CancelFunc // helpers look for no more work
	abandon context.CancelFunc // their connections end
	moved   atomic.Int64
	held    atomic.Int64 // content written, whoever fetched it
	seams   seams
}

// Running tells that there may be helpers at work.
func (c *Crew) Running() bool { return c != nil && c.hired }

// Work fetches over s until nothing is left or something failed, and has helpers do the same side by side, until Dismiss: an
// error of Work does not stop them. It may be called again, with another connection.
func (c *Crew) Work(ctx context.Context, s *session.Session) error {
	held := c.held.Load()
	_, err := c.work(ctx, s, func() bool { return false }, func() {
		if !c.hired {
			c.hired = true
			c.hire(ctx)
		}
	})
	if err == nil {
		err = c.join(ctx, s)
	}
	if errors.Is(err, errTakenOver) && c.held.Load() > held {
		return fmt.Errorf("%w: %w", ErrSpent, err)
	}
	return err
}

// hire starts the helpers. That they look for a connection ends before those they have, which are of use afterwards.
func (c *Crew) hire(ctx context.Context) {
	ctx, c.abandon = context.WithCancel(ctx)
	looking, dismiss := context.WithCancel(ctx)
	c.dismiss = dismiss
	for range c.Workers - 1 {
		c.helpers.Go(func() {
			c.ends.Run(func() {
				if err := c.help(ctx, looking); err != nil && looking.Err() == nil && c.Plan.Err() == nil {
					c.Log.Info("ftp segment goes to the other connections", slog.String("cause", err.Error()))
				}
			}, func() { c.Plan.Fail(errOver) })
		})
	}
}

// Dismiss ends what helpers still do and waits for them. It returns how many bytes of content all transfers moved since the
// last call. A panic of a helper's is Dismiss's own: the callbacks are those of its caller.
func (c *Crew) Dismiss() int64 {
	if c == nil {
		return 0
	}
	if c.dismiss != nil {
		c.Plan.Fail(errOver)
		c.dismiss()
		defer time.AfterFunc(parting, c.abandon).Stop()
	}
	c.helpers.Wait()
	c.ends.Again()
	return c.moved.Swap(0)
}

// parting is how long a finished file waits until the connections of helpers, who ended their transfers early, are found in step.
const parting = time.Second

func (c *Crew) help(ctx, looking context.Context) error {
	return c.Retry(looking, func(context.Context, int) (progress bool, err error) {
		for c.Plan.Await(looking) {
			err := c.Lend(looking, func(s *session.Session) error {
				err := c.Check(looking, s)
				if errors.Is(err, c.Changed) {
					c.Plan.Fail(err)
				}
				if err != nil {
					return err
				}
				moved, err := c.work(ctx, s, c.Wanted, func() {})
				progress = progress || moved
				return err
			})
			switch {
			case errors.Is(err, c.Busy):
				pause(looking, look)
			case err != nil && !errors.Is(err, ErrSpent):
				return progress, err
			}
		}
		return progress, nil
	})
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// work fetches one range after another over one connection, until that is wanted by others: then it is Busy. It tells when it
// has the first one.
func (c *Crew) work(ctx context.Context, s *session.Session, wanted func() bool, begun func()) (progress bool, err error) {
	for shares := c.Workers; ; shares = 0 {
		end := c.Rest()
		t, err := c.Plan.Take(ctx, shares)
		end()
		if t == nil || err != nil {
			return progress, err
		}
		begun()
		moved, err := c.fetch(s, t, wanted)
		progress = progress || t.progress() // what was read again and compared is none
		c.moved.Add(moved)
		lost := t.Context.Err() != nil && ctx.Err() == nil
		t.Release(false)
		t.Close()
		switch {
		case err != nil && lost && c.Plan.Err() != nil:
			return progress, c.Plan.Err()
		case err != nil && lost:
			return progress, retry.Transient(errTakenOver)
		case err != nil:
			return progress, err
		case !s.Usable():
			return progress, ErrSpent
		case wanted():
			return progress, c.Busy
		}
	}
}

// fetch fetches the range of t, as far as it is not taken away meanwhile, nor the connection wanted by others.
func (c *Crew) fetch(s *session.Session, t *Task, wanted func() bool) (moved int64, err error) {
	at := t.From()
	from := c.begin(at)
	moving := c.Moving
	moving.Expected = c.Size - from // the server is not told where a range ends
	r, err := s.Retrieve(t.Context, c.Remote, from, moving)
	if err != nil {
		return 0, err
	}
	moved, err = Compare(r, c.Partial, from, at, c.Size)
	if err != nil {
		return moved, c.fatal(Ended(err, r.Close()), ErrOverlap)
	}
	buf := wire.GetBuffer()
	defer wire.PutBuffer(buf)
	for {
		n, rerr := r.Read(*buf)
		moved += int64(n)
		off, take, done, last := t.Accept(n)
		if take > 0 {
			if _, err := c.Partial.WriteAt((*buf)[:take], off); err != nil {
				_ = r.Close()
				err = retry.Permanent(err)
				c.Plan.Fail(err)
				return moved, err
			}
			c.held.Add(int64(take))
			c.Held(int64(take))
		}
		at = off + int64(take)
		switch {
		case done && last && take < n:
			_ = r.Close()
			return moved, c.fatal(ErrTooMuch, ErrTooMuch)
		case done && !last: // others have, or fetch, what follows
			more, err := c.reach(t, at, (*buf)[take:n], r)
			moved += more
			t.Release(false)
			return moved, errors.Join(err, r.Close())
		case rerr == nil && wanted():
			t.Release(false)
			return moved, r.Close()
		case rerr == nil:
			continue
		}
		cerr := r.Close()
		switch {
		case !errors.Is(rerr, io.EOF):
			return moved, errors.Join(rerr, cerr)
		case cerr != nil:
			return moved, cerr
		case !last:
			return moved, short(at, c.Size)
		}
		t.Release(true)
		return moved, nil
	}
}

// fatal ends the work of all if err is what.
func (c *Crew) fatal(err, what error) error {
	if errors.Is(err, what) {
		c.Plan.Fail(err)
	}
	return err
}

func short(at, size int64) error {
	return retry.Transient(fmt.Errorf("the server sent %d of %d bytes and called it complete: %w", at, size, io.ErrUnexpectedEOF))
}

// Ended is the error of a download that Compare gave up with err. What is not wanted may end badly, but of one that ended by itself
// the server may say why, by its end.
func Ended(err, end error) error {
	if errors.Is(err, ErrOverlap) {
		return err
	}
	return errors.Join(err, end)
}

// Compare reads from r what held has at [from, to) of a file, and finds it equal or not. It returns how many bytes it read.
func Compare(r io.Reader, held io.ReaderAt, from, to, size int64) (int64, error) {
	if from == to {
		return 0, nil
	}
	theirs, ours := make([]byte, to-from), make([]byte, to-from)
	if _, err := held.ReadAt(ours, from); err != nil {
		return 0, fmt.Errorf("%w: cannot be read back: %w", ErrOverlap, err)
	}
	n, err := io.ReadFull(r, theirs)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return int64(n), err
	}
	if !bytes.Equal(theirs[:n], ours[:n]) {
		return int64(n), ErrOverlap
	}
	if err != nil {
		return int64(n), retry.Transient(fmt.Errorf("the server sent %d of %d bytes: %w", from+int64(n), size, io.ErrUnexpectedEOF))
	}
	return int64(n), nil
}
