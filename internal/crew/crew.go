// Package crew has workers do the tasks of a stream: so many, or as many as turn out to help. It knows no FTP.
package crew

import (
	"context"
	"iter"
	"sync"
	"time"

	"github.com/corexalgo/ftpclient/internal/rethrow"
)

// A Worker does one task after another. Its methods are called by one goroutine.
type Worker[T any] interface {
	// Do does a task. While it does, ahead hands out the task that this worker will do next, as far as one is there without
	// waiting; what was taken this way and cannot be begun soon is given back for others.
	Do(ctx context.Context, task T, ahead Ahead[T])
	// Idle is called before the worker waits for a task: it must not hold anything that others need.
	Idle()
	// Meanwhile are things to do while the worker waits for a task, which it is given only when one is done. Their context ends when
	// no task is left. nil: there are none.
	Meanwhile() <-chan func(ctx context.Context)
	// End is called last.
	End()
}

// Ahead is a worker's look at its next task.
type Ahead[T any] interface {
	Peek() (T, bool) // the same one each time
	GiveBack()
}

// Options say how many workers there are.
type Options struct {
	Workers int        // 0: starts at Start, and finds its own number
	Start   int        // with Workers 0
	Limit   func() int // most workers at the moment, at least 1
	// Work is what was done so far, in a unit of the caller's; with Workers 0 that number of workers is kept at which it grows
	// fastest.
	Work func() float64
	Stop func() // ends Run's ctx: a task has panicked
	// Changed is told each new number of workers, and must not wait: a lock is held. Announce is called afterwards, by who hires, or a
	// worker who has ended.
	Changed  func(n int)
	Announce func()
}

// queueSize is how far the stream runs ahead of the workers.
const queueSize = 64

// A Crew is workers at work.
type Crew[T any] struct {
	opts   Options
	hire   func() Worker[T]
	queue  chan T
	room   chan struct{} // a part of the queue is free
	back   chan T        // tasks given back; one place for each worker there can be
	left   chan struct{}
	group  sync.WaitGroup
	tuning tuning
	spare  context.Context    //nolint:containedctx // of what is done meanwhile
	rest   context.CancelFunc // ends it

	tasks, stream rethrow.Keeper

	mu      sync.Mutex // guards what follows
	wanted  int
	running int
	ended   bool // the stream has put its last task into the queue
}

// abandon is how long a stream that does not end with its context is waited for.
const abandon = 500 * time.Millisecond

// maxWorkers bounds what nobody bounds.
const maxWorkers = 1 << 10

// Run has workers, made by hire, do all tasks. It returns when the last is done, or when ctx has ended and each worker
// with it; then tasks are left. The stream runs in a goroutine of its own, a few tasks ahead. One that hangs after ctx
// has ended is left behind, and ends when it comes to its next task. A panic of the stream's is Run's, once the tasks before it
// are done. So is one of a task, once the other tasks under way have ended, as with ctx; and what is said of a panic holds for
// runtime.Goexit.
func Run[T any](ctx context.Context, opts Options, tasks iter.Seq[T], hire func() Worker[T]) {
	c := &Crew[T]{
		opts: opts, hire: hire,
		queue: make(chan T, queueSize), room: make(chan struct{}, 1), back: make(chan T, maxWorkers), left: make(chan struct{}, maxWorkers),
	}
	c.spare, c.rest = context.WithCancel(ctx)
	defer c.rest()
	c.wanted = opts.Workers
	if opts.Workers <= 0 {
		c.wanted = opts.Start
	}
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		c.stream.Run(func() { c.feed(ctx, tasks) }, func() {})
	}()
	c.staff(ctx)
	c.lead(ctx)
	select {
	case <-fed:
	case <-time.After(abandon):
	}
	c.tasks.Again()
	c.stream.Again()
}

// feed puts the tasks of the stream into the queue. It waits for room for many: to be woken for each would cost as much as a
// small task.
func (c *Crew[T]) feed(ctx context.Context, tasks iter.Seq[T]) {
	defer func() {
		c.mu.Lock()
		c.ended = true
		c.mu.Unlock()
		close(c.queue)
		if len(c.queue) == 0 {
			c.rest()
		}
	}()
	for task := range tasks {
		if len(c.queue) == cap(c.queue) {
			select {
			case <-c.room:
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			return
		}
		select {
		case c.queue <- task:
		case <-ctx.Done():
			return
		}
	}
}

// took is called when a task was taken from the queue.
func (c *Crew[T]) took() {
	if len(c.queue) <= cap(c.queue)*3/4 {
		select {
		case c.room <- struct{}{}:
		default:
		}
	}
}

// lead changes the number of workers while they work, and returns when the last has gone.
func (c *Crew[T]) lead(ctx context.Context) {
	tick := time.NewTicker(tuningInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if c.opts.Workers <= 0 {
				c.tune()
			}
			if !c.over() {
				c.staff(ctx)
			}
		case <-c.left:
			if c.finished(ctx) {
				c.group.Wait()
				return
			}
		}
	}
}

// over tells that no task is left but those under way.
func (c *Crew[T]) over() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended && len(c.queue) == 0 && len(c.back) == 0
}

// finished tells, after a worker has left, that there will be no more of them.
func (c *Crew[T]) finished(ctx context.Context) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.running == 0 && (ctx.Err() != nil || c.ended && len(c.queue) == 0 && len(c.back) == 0)
}

// number is how many workers there should be. The caller holds mu.
func (c *Crew[T]) number() int { return max(1, min(c.wanted, c.opts.Limit(), maxWorkers)) }

// staff hires workers that are missing.
func (c *Crew[T]) staff(ctx context.Context) {
	c.mu.Lock()
	missing := c.number() - c.running
	for range missing {
		c.running++
		c.group.Go(func() { c.work(ctx) })
	}
	if missing > 0 {
		c.changed()
	}
	c.mu.Unlock()
	if missing > 0 {
		c.announce()
	}
}

// changed tells a new number of workers. The caller holds mu.
func (c *Crew[T]) changed() {
	if c.opts.Changed != nil {
		c.opts.Changed(c.running)
	}
}

func (c *Crew[T]) announce() {
	if c.opts.Announce != nil {
		c.opts.Announce()
	}
}

// surplus tells a worker to leave, as there are too many. Its next task is left to others before it counts as gone: the last of
// them looks whether any is left.
func (c *Crew[T]) surplus(a *ahead[T]) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running <= c.number() {
		return false
	}
	a.GiveBack()
	c.running--
	c.changed()
	return true
}

func (c *Crew[T]) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running--
	c.changed()
}

// work is a worker's life.
func (c *Crew[T]) work(ctx context.Context) {
	w := c.hire()
	a := &ahead[T]{crew: c}
	surplus := false
	defer func() { // a task may end the goroutine
		if !surplus {
			c.leave()
		}
		w.End()
		if surplus {
			c.announce()
		}
		c.left <- struct{}{}
	}()
	for {
		if surplus = ctx.Err() == nil && c.surplus(a); surplus {
			return
		}
		task, ok := a.next(ctx, w)
		if !ok {
			return
		}
		c.tasks.Run(func() { w.Do(ctx, task, a) }, c.opts.Stop)
	}
}

// ahead is one worker's next task.
type ahead[T any] struct {
	crew *Crew[T]
	task T
	has  bool
}

// Peek takes the next task from the queue, if there is one.
func (a *ahead[T]) Peek() (T, bool) {
	if a.has {
		return a.task, true
	}
	select {
	case a.task, a.has = <-a.crew.back:
	default:
		select {
		case a.task, a.has = <-a.crew.queue:
			a.crew.took()
		default:
		}
	}
	return a.task, a.has
}

// GiveBack leaves the task that Peek took to others.
func (a *ahead[T]) GiveBack() {
	if a.has {
		a.crew.back <- a.task
		a.forget()
	}
}

func (a *ahead[T]) forget() {
	var none T
	a.task, a.has = none, false
}

// next waits for a task. It is false when there are no more.
func (a *ahead[T]) next(ctx context.Context, w Worker[T]) (task T, ok bool) {
	if ctx.Err() != nil {
		return task, false
	}
	if task, ok = a.Peek(); ok {
		a.forget()
		return task, true
	}
	w.Idle()
	for {
		select {
		case task = <-a.crew.back:
			return task, true
		case task, ok = <-a.crew.queue:
			if ok {
				a.crew.took()
				return task, true
			}
		case do := <-w.Meanwhile():
			do(a.crew.spare)
			continue
		case <-ctx.Done():
			return task, false
		}
		a.crew.rest()
		select { // the stream has ended; somebody may have given a task back meanwhile
		case task = <-a.crew.back:
			return task, true
		default:
			return task, false
		}
	}
}
