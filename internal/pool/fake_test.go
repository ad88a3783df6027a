package pool_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/corexalgo/ftpclient/internal/pool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	errTooMany = errors.New("421 too many connections")
	errLogin   = errors.New("530 login incorrect")
	errNetwork = errors.New("connection refused")
)

// peer is a server in memory. Its fields are set before use or through do.
type peer struct {
	mu        sync.Mutex
	capacity  int           // connections it takes; 0: any number
	fault     error         // every dial fails with it
	falls     func()        // called by every dial; it may not return
	latency   time.Duration // of a dial
	closing   time.Duration // until it has seen a connection go
	round     time.Duration // of a ping
	deaf      bool          // dials and closings do not end with their context
	attempts  int           // dials begun
	dialing   int           // dials under way
	mostDials int           // the most dials under way at one time
	open      int           // connections and dials, as the peer counts them
	most      int           // the most of them
	conns     []*conn       // every connection there ever was
	events    []pool.Event
	slowLog   time.Duration // how long OnEvent takes to write down that a connection expired
}

// do runs f under the peer's lock.
func (p *peer) do(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

func (p *peer) dial(ctx context.Context) (*conn, error) {
	if p.falls != nil {
		p.falls()
	}
	p.mu.Lock()
	p.attempts++
	p.dialing++
	p.mostDials = max(p.mostDials, p.dialing)
	p.open++
	p.most = max(p.most, p.open)
	full := p.capacity > 0 && p.open > p.capacity
	latency, deaf := p.latency, p.deaf
	p.mu.Unlock()

	err := wait(ctx, latency, deaf)

	p.mu.Lock()
	defer p.mu.Unlock()
	p.dialing--
	switch {
	case err != nil:
	case full:
		err = errTooMany
	default:
		err = p.fault
	}
	if err != nil {
		p.open--
		return nil, err
	}
	c := &conn{peer: p, id: len(p.conns)}
	p.conns = append(p.conns, c)
	return c, nil
}

func wait(ctx context.Context, d time.Duration, deaf bool) error {
	if deaf {
		ctx = context.WithoutCancel(ctx)
	}
	if d == 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// count reads one of the peer's counters.
func (p *peer) count(counter *int) (n int) {
	p.do(func() { n = *counter })
	return n
}

// conn is one connection of a peer; the peer's lock guards it.
type conn struct {
	peer   *peer
	id     int
	broken bool        // not usable any more
	dead   bool        // closed by the peer
	mute   bool        // answers no ping
	spent  bool        // not usable, and nothing went wrong
	closed int         // calls of Leave
	pings  []time.Time // when
	ended  time.Time   // when Leave was called
}

func (c *conn) Usable() bool { return !c.is(&c.broken) }
func (c *conn) Alive() bool  { return !c.is(&c.dead) }
func (c *conn) Spent() bool  { return c.is(&c.spent) }

func (c *conn) is(flag *bool) (v bool) {
	c.peer.do(func() { v = *flag })
	return v
}

func (c *conn) set(flag *bool) { c.peer.do(func() { *flag = true }) }

func (c *conn) Ping(ctx context.Context) error {
	var mute bool
	var round time.Duration
	c.peer.do(func() {
		c.pings = append(c.pings, time.Now())
		mute, round = c.mute, c.peer.round
	})
	if mute {
		<-ctx.Done()
		c.set(&c.broken)
		return ctx.Err()
	}
	if err := wait(ctx, round, false); err != nil {
		c.set(&c.broken)
		return err
	}
	if c.is(&c.dead) {
		return errNetwork
	}
	return nil
}

func (c *conn) Leave(ctx context.Context) {
	var closing time.Duration
	var deaf bool
	c.peer.do(func() {
		c.closed++
		c.ended = time.Now()
		closing, deaf = c.peer.closing, c.peer.deaf
	})
	_ = wait(ctx, closing, deaf)
	c.peer.do(func() { c.peer.open-- })
}

// run runs test in a bubble of fake time with a pool over the peer, closes the pool, and demands that nothing is left:
// every connection closed exactly once.
func run(t *testing.T, p *peer, o pool.Options[*conn], test func(t *testing.T, pl *pool.Pool[*conn])) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o.Dial = p.dial
		o.Refused = func(err error) bool { return errors.Is(err, errTooMany) }
		o.Fatal = func(err error) bool { return errors.Is(err, errLogin) }
		o.OnEvent = func(e pool.Event) {
			p.do(func() { p.events = append(p.events, e) })
			if e.Kind == pool.Expired {
				<-time.After(p.slowLog)
			}
		}
		pl := pool.New(o)
		defer pl.Close()
		test(t, pl)
		pl.Close()
		p.do(func() {
			require.Zero(t, p.open, "the peer still counts connections")
			for _, c := range p.conns {
				require.Equal(t, 1, c.closed, "Leave calls of connection %d", c.id)
			}
		})
	})
}

// elapse lets fake time pass and everything happen that is due by then.
func elapse(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// acquire demands a connection.
func acquire(t *testing.T, pl *pool.Pool[*conn]) *pool.Lease[*conn] {
	t.Helper()
	l, err := pl.Acquire(t.Context())
	require.NoError(t, err)
	return l
}

// fill opens n connections and leaves them idle; the first one opened is on top.
func fill(t *testing.T, pl *pool.Pool[*conn], n int) []*conn {
	t.Helper()
	leases := make([]*pool.Lease[*conn], n)
	conns := make([]*conn, n)
	for i := range leases {
		leases[i] = acquire(t, pl)
		conns[i] = leases[i].Conn()
	}
	for i := n - 1; i >= 0; i-- {
		leases[i].Release()
		elapse(time.Nanosecond) // every connection gets a time of its own
	}
	return conns
}

// kinds returns the events seen so far.
func (p *peer) kinds() (kinds []pool.EventKind) {
	p.do(func() {
		for _, e := range p.events {
			kinds = append(kinds, e.Kind)
		}
	})
	return kinds
}
