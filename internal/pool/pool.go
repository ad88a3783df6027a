// Package pool keeps the connections of one server: stateful, serving one caller at a time, expensive to open, and apt
// to go bad while nobody looks. It knows no FTP.
//
// Three things bound it. A semaphore unit is held by whoever dials, uses, checks or closes a connection, so that idle
// connections and held units together never exceed the limit in force; a lowered limit is units that nobody gets.
// puddle keeps the idle connections as a stack and knows when the last one is gone. The gate lets one dial at a time
// through until the login is known to work.
package pool

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jackc/puddle/v2"
	"golang.org/x/sync/semaphore"
)

// ErrClosed is returned by Acquire once Close was called.
var ErrClosed = errors.New("pool: closed")

// ErrBusy is returned by TryAcquire and Open where Acquire would have to wait, and by Open where there is enough.
var ErrBusy = errors.New("pool: no connection to spare")

// The causes of a Discarded event that come from no Ping.
var (
	errUnusable = errors.New("pool: nothing more may be sent on the connection")
	errDead     = errors.New("pool: the peer closed the connection or sent what nobody asked for")
)

// Conn is what a Pool needs to know of a connection. Its methods are never called concurrently.
type Conn interface {
	Usable() bool                   // false once nothing more may be sent on it
	Alive() bool                    // looks without blocking: false if the peer closed it or sent something nobody asked for
	Ping(ctx context.Context) error // one round trip; ends with ctx
	Leave(ctx context.Context)      // closes it, once the peer has seen that or ctx ends; bounded in time
}

// Options say how a Pool opens connections, how many, and how it keeps them.
type Options[C Conn] struct {
	// Max is the number of connections, dials included. Less than 1 means 1.
	Max int
	// Dial opens a connection. It ends at once when ctx does; ctx says nothing about the connection's life afterwards. Its panic,
	// and its runtime.Goexit, are those of the caller that it dials for, if that has not left.
	Dial func(ctx context.Context) (C, error)
	// Refused tells that the peer will not take one more connection now, while others may live. Nil: never.
	Refused func(error) bool
	// Fatal tells that dialing again would fail the same and may harm, such as a refused login. Nil: never.
	Fatal func(error) bool

	KeepAlive   time.Duration // interval of Ping on idle connections; <= 0: off
	PingTimeout time.Duration // bound of one Ping; <= 0: none but Ping's own
	IdleTimeout time.Duration // an idle connection is closed after it; <= 0: never
	RaiseAfter  time.Duration // how long until a lowered limit is tried one higher; 0: 1 minute

	// Patience is how long Acquire waits while all who have a connection rest; <= 0: for ever.
	Patience time.Duration

	// Reclaim is called when somebody begins to wait for a connection, to have those released that are leased and not needed
	// just then. Nil: there are none.
	Reclaim func()

	OnEvent func(Event) // optional, for logging; calls may overlap and hold up what they report
}

// Stats is a snapshot of a Pool. Connections that are being pinged or closed count as Open only.
type Stats struct {
	Max        int   // the limit in force
	Open       int   // connections not yet closed
	Idle       int   // of these, waiting for a caller
	InUse      int   // of these, leased
	Dials      int64 // dials that succeeded
	Reconnects int64 // of these, the ones that replaced a lost connection
	Noops      int64 // pings sent
}

// Pool holds the connections of one server. It is safe for concurrent use and must be closed.
type Pool[C Conn] struct {
	o     Options[C]
	units *semaphore.Weighted
	gate  gate

	// conns holds a slot per connection and per dial. Its own limit is Max and never binds, for the units bind first.
	conns *puddle.Pool[*slot[C]]
	// shelf is held while a slot is taken, and while the idle ones are in hand to be looked through, so that nobody
	// dials for want of an idle connection that is only being looked at.
	shelf sync.Mutex

	life  context.Context //nolint:containedctx // the pool's own life, which every call's context is joined to
	end   context.CancelFunc
	calls sync.WaitGroup // Acquire, Check, the keeper and all that they started
	nudge chan struct{}  // tells the keeper that its timetable changed

	mu       sync.Mutex // guards what follows
	closed   bool
	keeping  bool // the keeper runs
	withheld int  // units taken out of circulation
	raiseAt  time.Time
	dialing  int
	lost     int                         // connections lost and not yet replaced
	losses   int64                       // connections lost so far
	waiting  int                         // calls of Acquire that wait for their turn
	resting  map[any]int                 // leases whose holders rest, by what they do Together; nil: nothing
	stirred  time.Time                   // when resting changed last
	pace     map[*time.Duration]struct{} // intervals in place of Options.KeepAlive
	stats    Stats
}

// slot is the place of one connection. Its fields belong to whoever has acquired the slot from puddle.
type slot[C Conn] struct {
	conn   C
	filled bool      // conn was dialed
	heir   bool      // for one that was lost
	pinged time.Time // last successful Ping
	unit   bool      // the destructor gives a unit back
	gone   chan struct{}
}

// New returns a Pool. It starts nothing until the first Acquire.
func New[C Conn](o Options[C]) *Pool[C] {
	o.Max = max(o.Max, 1)
	if o.RaiseAfter <= 0 {
		o.RaiseAfter = time.Minute
	}
	if o.Refused == nil {
		o.Refused = func(error) bool { return false }
	}
	if o.Fatal == nil {
		o.Fatal = func(error) bool { return false }
	}
	p := &Pool[C]{
		o:     o,
		units: semaphore.NewWeighted(int64(o.Max)),
		gate:  gate{turn: make(chan struct{}, 1)},
		nudge: make(chan struct{}, 1),

		resting: map[any]int{},
	}
	p.life, p.end = context.WithCancel(context.Background())
	// puddle makes empty slots at once; we dial into them under the caller's own context, which its constructor
	// would not be given.
	p.conns, _ = puddle.NewPool(&puddle.Config[*slot[C]]{ // its only error is a Max below 1
		Constructor: func(context.Context) (*slot[C], error) { return &slot[C]{gone: make(chan struct{})}, nil },
		Destructor:  p.destroy,
		MaxSize:     int32(o.Max),
	})
	return p
}

// Acquire returns a connection that was usable a moment ago, the most recently used one, or dials. It blocks, first
// come first served, while as many connections as the limit allows are in use. It returns ctx.Err() when ctx ends,
// ErrClosed when the pool is closed, and otherwise the error of the dial.
func (p *Pool[C]) Acquire(ctx context.Context) (*Lease[C], error) {
	if !p.begin() {
		return nil, ErrClosed
	}
	defer p.calls.Done()
	caller := ctx
	ctx, release := p.join(ctx)
	defer release()

	since := p.gate.count()
	for {
		switch err := p.queue(ctx); {
		case errors.Is(err, ErrStuck):
			return nil, err
		case err != nil:
			return nil, ended(caller)
		}
		lease, err := p.fill(ctx, since)
		switch {
		case err == nil:
			return lease, nil
		case errors.Is(err, errWithheld):
			continue // queue for a connection that another releases
		case ctx.Err() != nil:
			return nil, ended(caller)
		default:
			return nil, err
		}
	}
}

// queue waits for a unit.
func (p *Pool[C]) queue(ctx context.Context) error {
	if p.units.TryAcquire(1) {
		return nil
	}
	p.mu.Lock()
	p.waiting++
	p.mu.Unlock()
	if p.o.Reclaim != nil {
		p.o.Reclaim()
	}
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	if p.o.Patience > 0 {
		p.calls.Go(func() { p.watch(ctx, end) })
	}
	err := p.units.Acquire(ctx, 1)
	if err != nil {
		err = context.Cause(ctx)
	}
	p.mu.Lock()
	p.waiting--
	p.mu.Unlock()
	return err
}

// Waiting tells whether somebody waits in Acquire for a connection that others use.
func (p *Pool[C]) Waiting() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.waiting > 0
}

// TryAcquire is Acquire for those who can do without: it does not queue, nor overtake who does, and is ErrBusy where all
// connections that the limit allows are in use, or the peer refuses one more.
func (p *Pool[C]) TryAcquire(ctx context.Context) (*Lease[C], error) { return p.try(ctx, p.fill) }

// Open is TryAcquire of a new connection, whether or not others are idle, and ErrBusy where there are already total or as many
// as the limit allows, with those that are being opened or closed.
func (p *Pool[C]) Open(ctx context.Context, total int) (*Lease[C], error) {
	return p.try(ctx, func(ctx context.Context, since int) (*Lease[C], error) {
		if err := ctx.Err(); err != nil {
			p.units.Release(1)
			return nil, err
		}
		res := p.empty(total)
		if res == nil {
			p.units.Release(1)
			return nil, ErrBusy
		}
		if err := p.dial(ctx, res, since); err != nil {
			return nil, err
		}
		return p.lease(res, false), nil
	})
}

// try has fill make a lease of a unit, if there is one to spare.
func (p *Pool[C]) try(ctx context.Context, fill func(ctx context.Context, since int) (*Lease[C], error)) (*Lease[C], error) {
	if !p.begin() {
		return nil, ErrClosed
	}
	defer p.calls.Done()
	caller := ctx
	ctx, release := p.join(ctx)
	defer release()

	since := p.gate.count()
	if !p.units.TryAcquire(1) {
		return nil, ErrBusy
	}
	lease, err := fill(ctx, since)
	switch {
	case err == nil:
		return lease, nil
	case errors.Is(err, errWithheld):
		return nil, ErrBusy
	case ctx.Err() != nil:
		return nil, ended(caller)
	default:
		return nil, err
	}
}

// empty takes a new slot if there are fewer than total, idle or not; nil if there are not. The caller holds a unit.
func (p *Pool[C]) empty(total int) *puddle.Resource[*slot[C]] {
	p.shelf.Lock()
	defer p.shelf.Unlock()
	if int(p.conns.Stat().TotalResources()) >= min(total, p.Stats().Max) {
		return nil
	}
	idle := p.takeIdle()
	res, err := p.conns.Acquire(context.Background())
	for err == nil && res.Value().filled { // given back meanwhile
		idle = append(idle, res)
		res, err = p.conns.Acquire(context.Background())
	}
	for _, other := range idle {
		other.ReleaseUnused()
	}
	if err != nil {
		return nil
	}
	return res
}

// fill turns the unit that its caller holds into a lease; on an error the unit is gone.
func (p *Pool[C]) fill(ctx context.Context, since int) (*Lease[C], error) {
	for {
		if err := ctx.Err(); err != nil {
			p.units.Release(1)
			return nil, err
		}
		p.shelf.Lock()
		res, err := p.conns.Acquire(context.Background()) // never blocks for long: the unit is a promise of a place
		p.shelf.Unlock()
		if err != nil {
			p.units.Release(1)
			return nil, ErrClosed
		}
		if !res.Value().filled {
			if err := p.dial(ctx, res, since); err != nil {
				return nil, err
			}
			return p.lease(res, false), nil
		}
		cause := p.examine(ctx, res)
		if cause == nil {
			return p.lease(res, true), nil
		}
		if err := p.replace(ctx, res, cause); err != nil {
			return nil, err
		}
	}
}

// examine returns why an idle connection cannot be handed out. It costs a round trip only after a long silence.
func (p *Pool[C]) examine(ctx context.Context, res *puddle.Resource[*slot[C]]) error {
	if err := look(res.Value().conn); err != nil {
		return err
	}
	if every := p.KeepAlive(); every > 0 && silence(res) > every {
		return p.ping(ctx, res.Value())
	}
	return nil
}

// replace closes a lost connection and keeps its unit for the caller, who thus keeps the place in the queue. The
// peer must have seen the old one go before a new one is dialed.
func (p *Pool[C]) replace(ctx context.Context, res *puddle.Resource[*slot[C]], cause error) error {
	gone := res.Value().gone
	p.discard(res, cause)
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
		p.calls.Go(func() {
			<-gone
			p.units.Release(1)
		})
		return ctx.Err()
	}
}

// discard closes a lost connection in the background.
func (p *Pool[C]) discard(res *puddle.Resource[*slot[C]], cause error) {
	p.mu.Lock()
	p.lost++
	p.losses++
	p.mu.Unlock()
	res.Destroy()
	p.report(Discarded, cause)
}

// destroy is puddle's destructor. A unit is free only when the peer has seen the connection go, or the next dial
// would meet the peer's own limit.
func (p *Pool[C]) destroy(s *slot[C]) {
	if s.filled {
		s.conn.Leave(p.life)
		p.mu.Lock()
		p.stats.Open--
		p.mu.Unlock()
	}
	close(s.gone)
	if s.unit {
		p.units.Release(1)
	}
}

// Stats returns a snapshot.
func (p *Pool[C]) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stats
	s.Max = p.o.Max - p.withheld
	s.Idle = int(p.conns.Stat().IdleResources())
	return s
}

// Losses is how many connections were lost so far.
func (p *Pool[C]) Losses() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.losses
}

// Close refuses Acquire from now on and ends the dials under way. It returns when every lease is released, every
// connection closed and every goroutine of the pool gone; for no peer to see it. It is idempotent.
func (p *Pool[C]) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.end()
	p.calls.Wait()
	p.conns.Close()
}

// begin counts a call that Close has to wait for; false once the pool is closed.
func (p *Pool[C]) begin() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.calls.Add(1)
	return true
}

// join returns a context that ends with ctx and with the pool.
func (p *Pool[C]) join(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(p.life, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

// ended tells whose end it was when a joined context ended: the caller's, or the pool's.
func ended(caller context.Context) error {
	if err := caller.Err(); err != nil {
		return err
	}
	return ErrClosed
}

// look returns why a connection cannot be used on, as far as can be told without a round trip.
func look[C Conn](conn C) error {
	switch {
	case !conn.Usable():
		return errUnusable
	case !conn.Alive():
		return errDead
	default:
		return nil
	}
}
