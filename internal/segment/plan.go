// Package segment fetches one remote file over several connections into one partial file: the plan of who fetches which
// bytes, and the workers that follow it.
package segment

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/corexalgo/ftpclient/internal/partfile"
)

const (
	// Least is the fewest bytes that are worth a transfer of their own on a fast line: to end one early and to begin another
	// takes some five round trips.
	Least = 1 << 20

	// On a slow line a rest that would take its worker this long, and has this many bytes, is worth it, too.
	slow      = 2 * time.Second
	leastSlow = 32 << 10

	// A pace is that of the last second or two: a line may become slow after most of a range.
	paceOver = time.Second

	look = 250 * time.Millisecond // how often those who wait look whether somebody became slow
)

// A Plan says which of the missing bytes of a file are fetched by whom. Whoever is done with a range takes another one that
// nobody fetches, or else some of one that is being fetched: of the one that is slow and would take longest, else of the largest.
// A Plan knows no network and is safe for concurrent use.
type Plan struct {
	size int64

	mu       sync.Mutex // guards what follows, and the tasks
	free     []partfile.Range
	busy     []*Task
	patience time.Duration
	changed  chan struct{} // closed when there may be something to take
	err      error
}

// NewPlan is a plan for the missing ranges of a file. A range of which no byte comes for as long as patience is given to
// another worker; 0: never.
//
// The file's end is a range of its own where no byte before it is missing: a file is whole only when a transfer that
// reaches its end is, too, for the server.
func NewPlan(size int64, missing []partfile.Range, patience time.Duration) *Plan {
	p := &Plan{size: size, free: slices.Clone(missing), patience: patience, changed: make(chan struct{})}
	if n := len(missing); n == 0 || missing[n-1].To < size {
		p.free = append(p.free, partfile.Range{From: size, To: size})
	}
	return p
}

// A Task is one worker's range. Its worker must Release it, and then Close it.
type Task struct {
	Context context.Context //nolint:containedctx // ends when the range is taken away: it is the one of the task's transfer
	Close   context.CancelFunc

	plan     *Plan
	from     int64
	at, to   int64
	moved    time.Time // when the last bytes came
	seen     mark      // where it was, at most paceOver ago as long as bytes come
	before   mark      // and paceOver before that
	released bool
}

// A mark is where a task was once.
type mark struct {
	when time.Time
	at   int64
}

// Take returns a range to fetch. It waits while there is none but may be one later; nil says that nothing is left. Shares is
// how many workers are expected; 0: no more than there are.
func (p *Plan) Take(ctx context.Context, shares int) (t *Task, err error) {
	err = p.wait(ctx, func() bool {
		r, ok := p.next(shares)
		if ok {
			now := time.Now()
			t = &Task{plan: p, from: r.From, at: r.From, to: r.To, moved: now, seen: mark{now, r.From}, before: mark{now, r.From}}
			t.Context, t.Close = context.WithCancel(ctx)
			p.busy = append(p.busy, t)
		}
		return ok
	})
	return t, err
}

// Await waits until there is something to take, and reports false when there will be nothing any more.
func (p *Plan) Await(ctx context.Context) (some bool) {
	err := p.wait(ctx, func() bool {
		some = len(p.free) > 0 || p.stuck() != nil || p.shareable() != nil
		return some
	})
	return some && err == nil
}

// wait calls try, under the lock, until it succeeds or nothing is left.
func (p *Plan) wait(ctx context.Context, try func() bool) error {
	for {
		p.mu.Lock()
		err, over := p.err, p.err != nil || try() || len(p.free)+len(p.busy) == 0
		changed := p.changed
		p.mu.Unlock()
		if over {
			return err
		}
		timer := time.NewTimer(look)
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// next removes a range from the plan or from a task.
func (p *Plan) next(shares int) (r partfile.Range, ok bool) {
	if i := largestOf(p.free, partfile.Range.Len); i >= 0 {
		r = p.free[i]
		p.free = slices.Delete(p.free, i, i+1)
		return r, true
	}
	if t := p.stuck(); t != nil {
		// Twice as patient from now on: it may be the server's way.
		p.patience *= 2
		r = partfile.Range{From: t.at, To: t.to}
		t.to = t.at
		t.Close()
		return r, true
	}
	t := p.shareable()
	if t == nil {
		return r, false
	}
	all := t.rest()
	for _, other := range p.busy {
		if other != t {
			all += other.rest()
		}
	}
	share := all / int64(max(shares, len(p.busy)+1))
	r = partfile.Range{From: t.to - min(max(share, Least), t.rest()/2), To: t.to}
	t.to = r.From
	return r, true
}

// stuck is a task of which no byte comes.
func (p *Plan) stuck() *Task {
	for _, t := range p.busy {
		if p.patience > 0 && t.rest() > 0 && time.Since(t.moved) >= p.patience {
			return t
		}
	}
	return nil
}

// shareable is the task whose rest is worth to be shared most.
func (p *Plan) shareable() *Task {
	i := largestOf(p.busy, (*Task).rest)
	if i < 0 {
		return nil
	}
	t := p.busy[i]
	for _, other := range p.busy {
		if other.rest() >= leastSlow && other.remaining() >= max(slow, t.remaining()) {
			t = other
		}
	}
	if rest := t.rest(); rest < 2*Least && (rest < leastSlow || t.remaining() < slow) {
		return nil
	}
	return t
}

func largestOf[T any](all []T, size func(T) int64) int {
	found := -1
	for i := range all {
		if found < 0 || size(all[i]) > size(all[found]) {
			found = i
		}
	}
	return found
}

func (t *Task) rest() int64 { return t.to - t.at }

// remaining is how long the rest takes at the pace of late. What has just begun is not slow.
func (t *Task) remaining() time.Duration {
	elapsed, moved := time.Since(t.before.when), t.at-t.before.at
	if moved == 0 || elapsed < paceOver {
		return elapsed
	}
	return time.Duration(float64(elapsed) / float64(moved) * float64(t.rest()))
}

// progress tells that some of the range was fetched.
func (t *Task) progress() bool {
	t.plan.mu.Lock()
	defer t.plan.mu.Unlock()
	return t.at > t.from
}

// patience is how long to wait for a byte; 0: for as long as it takes.
func (t *Task) patience() time.Duration {
	t.plan.mu.Lock()
	defer t.plan.mu.Unlock()
	return t.plan.patience
}

// From is where the range begins.
func (t *Task) From() int64 { return t.from }

// Accept says how many of n bytes that came belong to the range, and where. Done is true after its last byte; last then tells
// that it is also the file's. A range that nobody fetches and that follows is added first.
func (t *Task) Accept(n int) (at int64, take int, done, last bool) {
	p := t.plan
	p.mu.Lock()
	defer p.mu.Unlock()
	for int64(n) >= t.rest() && t.extend() {
	}
	at, take = t.at, int(min(int64(n), t.rest()))
	t.at += int64(take)
	if n > 0 {
		t.moved = time.Now()
		if t.moved.Sub(t.seen.when) >= paceOver {
			t.before, t.seen = t.seen, mark{t.moved, t.at}
		}
	}
	return at, take, t.at == t.to, t.at == p.size
}

func (t *Task) extend() bool {
	p := t.plan
	i := slices.IndexFunc(p.free, func(r partfile.Range) bool { return r.From == t.to })
	if i < 0 || t.released || t.Context.Err() != nil {
		return false
	}
	t.to = p.free[i].To
	p.free = slices.Delete(p.free, i, i+1)
	return true
}

// Release gives back what was not fetched; sealed says that the server called the transfer complete at the file's end. Only
// the first call counts.
func (t *Task) Release(sealed bool) {
	p := t.plan
	p.mu.Lock()
	defer p.mu.Unlock()
	if t.released {
		return
	}
	t.released = true
	p.busy = slices.DeleteFunc(p.busy, func(other *Task) bool { return other == t })
	if t.rest() > 0 || (t.to == p.size && !sealed) {
		p.free = append(p.free, partfile.Range{From: t.at, To: t.to})
	}
	p.announce()
}

// Fail ends the work of all, with err. Only the first call counts.
func (p *Plan) Fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return
	}
	p.err = err
	for _, t := range p.busy {
		t.Close()
	}
	p.announce()
}

// Err is what Fail was told.
func (p *Plan) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

func (p *Plan) announce() {
	close(p.changed)
	p.changed = make(chan struct{})
}
