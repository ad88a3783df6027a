package pool_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/pool"
)

func TestNewDialsNothingBeforeTheFirstAcquire(t *testing.T) {
	p := &peer{}
	run(t, p, pool.Options[*conn]{Max: 3, KeepAlive: time.Second}, func(t *testing.T, pl *pool.Pool[*conn]) {
		elapse(time.Hour)
		assert.Equal(t, pool.Stats{Max: 3}, pl.Stats())
		assert.Zero(t, p.count(&p.attempts))
	})
}

func TestAReleasedConnectionIsUsedAgainMostRecentlyUsedFirst(t *testing.T) {
	p := &peer{}
	run(t, p, pool.Options[*conn]{Max: 3}, func(t *testing.T, pl *pool.Pool[*conn]) {
		a, b := acquire(t, pl), acquire(t, pl)
		assert.False(t, a.Reused())
		assert.Equal(t, pool.Stats{Max: 3, Open: 2, InUse: 2, Dials: 2}, pl.Stats())
		elapse(time.Nanosecond) // the keeper has looked for the first time: it holds what is idle while it does
		a.Release()
		elapse(time.Nanosecond) // every connection gets a time of its own
		b.Release()
		assert.Equal(t, pool.Stats{Max: 3, Open: 2, Idle: 2, Dials: 2}, pl.Stats())

		again := acquire(t, pl)
		assert.True(t, again.Reused())
		assert.Same(t, b.Conn(), again.Conn())
		again.Release()
		assert.Equal(t, int64(2), pl.Stats().Dials)
		assert.Zero(t, pl.Stats().Noops, "an Acquire costs no round trip")
	})
}

func TestAcquireServesWaitersInTheirOrder(t *testing.T) {
	p := &peer{}
	run(t, p, pool.Options[*conn]{Max: 1}, func(t *testing.T, pl *pool.Pool[*conn]) {
		first := acquire(t, pl)
		var order []int
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				l, err := pl.Acquire(t.Context())
				if assert.NoError(t, err) {
					order = append(order, i) // the only lease guards it
					l.Release()
				}
			})
			synctest.Wait()
		}
		first.Release()
		wg.Wait()
		assert.Equal(t, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, order)
	})
}

func TestAcquireReplacesADeadConnectionWithoutLosingItsPlaceInTheQueue(t *testing.T) {
	p := &peer{closing: time.Second}
	run(t, p, pool.Options[*conn]{Max: 1}, func(t *testing.T, pl *pool.Pool[*conn]) {
		old := fill(t, pl, 1)[0]
		old.set(&old.dead)
		served := make(chan string, 2)
		for _, name := range []string{"first", "second"} {
			go func() {
				l, err := pl.Acquire(t.Context())
				if assert.NoError(t, err) {
					served <- name
					l.Release()
				}
			}()
			synctest.Wait()
		}
		assert.Equal(t, "first", <-served)
		assert.Equal(t, "second", <-served)
		assert.Equal(t, 1, p.count(&p.most), "the peer saw the old one go before the new one came")
	})
}

func TestAConnectionThatDiedWhileIdleIsReplacedUnseen(t *testing.T) {
	p := &peer{}
	run(t, p, pool.Options[*conn]{Max: 3}, func(t *testing.T, pl *pool.Pool[*conn]) {
		conns := fill(t, pl, 3)
		conns[0].set(&conns[0].dead)
		conns[1].set(&conns[1].broken)

		l := acquire(t, pl)
		assert.Same(t, conns[2], l.Conn(), "the next idle one is taken before a new one is dialed")
		assert.Equal(t, int64(3), pl.Stats().Dials)
		other := acquire(t, pl)
		assert.False(t, other.Reused())
		assert.Equal(t, pool.Stats{Max: 3, Open: 2, InUse: 2, Dials: 4, Reconnects: 1}, pl.Stats())
		assert.Contains(t, p.kinds(), pool.Replaced)
		l.Release()
		other.Release()
	})
}

func TestReleaseClosesWhatIsNotUsableOrNotAlive(t *testing.T) {
	for name, flag := range map[string]func(*conn) *bool{
		"not usable": func(c *conn) *bool { return &c.broken },
		"not alive":  func(c *conn) *bool { return &c.dead },
	} {
		t.Run(name, func(t *testing.T) {
			p := &peer{}
			run(t, p, pool.Options[*conn]{Max: 1}, func(t *testing.T, pl *pool.Pool[*conn]) {
				l := acquire(t, pl)
				l.Conn().set(flag(l.Conn()))
				l.Release()
				l.Release()
				l.Retire()
				synctest.Wait()
				assert.Equal(t, pool.Stats{Max: 1, Dials: 1}, pl.Stats())

				fresh := acquire(t, pl)
				assert.NotSame(t, l.Conn(), fresh.Conn())
				assert.Equal(t, int64(1), pl.Stats().Reconnects)
				fresh.Release()
			})
		})
	}
}

func TestRetireClosesAGoodConnectionThatIsNotCountedAsLost(t *testing.T) {
	p := &peer{}
	run(t, p, pool.Options[*conn]{Max: 1}, func(t *testing.T, pl *pool.Pool[*conn]) {
		l := acquire(t, pl)
		l.Retire()
		l.Retire()
		l.Release()
		fresh := acquire(t, pl)
		assert.NotSame(t, l.Conn(), fresh.Conn())
		assert.Equal(t, pool.Stats{Max: 1, Open: 1, InUse: 1, Dials: 2}, pl.Stats())
		fresh.Release()
		assert.Equal(t, []pool.EventKind{pool.Dialed, pool.Retired, pool.Dialed}, p.kinds())
	})
}

func TestRetireOfAnUnusableConnectionCountsAsALoss(t *testing.T) {
	p := &peer{}
	run(t, p, pool.Options[*conn]{Max: 1}, func(t *testing.T, pl *pool.Pool[*conn]) {
		l := acquire(t, pl)
		l.Conn().set(&l.Conn().broken)
		l.Retire()
		acquire(t, pl).Release()
		assert.Equal(t, int64(1), pl.Stats().Reconnects)
	})
}

func TestASpentConnectionIsNotCountedAsLost(t *testing.T) {
	p := &peer{}
	run(t, p, pool.Options[*conn]{Max: 1}, func(t *testing.T, pl *pool.Pool[*conn]) {
		l := acquire(t, pl)
		l.Conn().set(&l.Conn().broken)
		l.Conn().set(&l.Conn().spent)
		l.Release()
		fresh := acquire(t, pl)
		assert.NotSame(t, l.Conn(), fresh.Conn())
		assert.False(t, fresh.Replaced())
		assert.Zero(t, pl.Losses())
		assert.Zero(t, pl.Stats().Reconnects)
		fresh.Release()
	})
}

func TestReconnectsNeverExceedTheLosses(t *testing.T) {
	p := &peer{}
	run(t, p, pool.Options[*conn]{Max: 5}, func(t *testing.T, pl *pool.Pool[*conn]) {
		for _, c := range fill(t, pl, 2) {
			c.set(&c.dead)
		}
		fill(t, pl, 5)
		assert.Equal(t, int64(7), pl.Stats().Dials)
		assert.Equal(t, int64(2), pl.Stats().Reconnects)
	})
}

func TestADialWaitsUntilThePeerHasSeenTheOldConnectionGo(t *testing.T) {
	p := &peer{closing: 3 * time.Second}
	run(t, p, pool.Options[*conn]{Max: 1}, func(t *testing.T, pl *pool.Pool[*conn]) {
		for name, end := range map[string]func(*pool.Lease[*conn]){
			"retired": (*pool.Lease[*conn]).Retire,
			"lost": func(l *pool.Lease[*conn]) {
				l.Conn().set(&l.Conn().broken)
				l.Release()
			},
		} {
			l := acquire(t, pl)
			start := time.Now()
			end(l)
			assert.Zero(t, time.Since(start), "%s: the caller does not wait for the closing", name)
			acquire(t, pl).Release()
			assert.Equal(t, 3*time.Second, time.Since(start), name)
			assert.Equal(t, 1, p.count(&p.most), name)
		}
	})
}

func TestCloseEndsDialsAndWaitersAndWaitsForLeases(t *testing.T) {
	p := &peer{}
	run(t, p, pool.Options[*conn]{Max: 2, KeepAlive: time.Minute}, func(t *testing.T, pl *pool.Pool[*conn]) {
		l := acquire(t, pl)
		p.do(func() { p.latency = time.Hour })
		failed := make(chan error, 3)
		for range 3 { // one dials, two wait
			go func() {
				_, err := pl.Acquire(t.Context())
				failed <- err
			}()
		}
		synctest.Wait()
		start := time.Now()
		closed := make(chan struct{})
		go func() {
			pl.Close()
			close(closed)
		}()
		for range 3 {
			require.ErrorIs(t, <-failed, pool.ErrClosed)
		}
		assert.Zero(t, time.Since(start))
		_, err := pl.Acquire(t.Context())
		require.ErrorIs(t, err, pool.ErrClosed)
		pl.Check(t.Context())

		elapse(time.Minute)
		select {
		case <-closed:
			assert.Fail(t, "Close returned while a connection was leased")
		default:
		}
		l.Release()
		<-closed
		assert.Zero(t, pl.Stats().Open)
	})
}

func TestNothingIsLentWhileCloseWaitsForADialThatDoesNotEnd(t *testing.T) {
	p := &peer{}
	run(t, p, pool.Options[*conn]{Max: 2}, func(t *testing.T, pl *pool.Pool[*conn]) {
		l := acquire(t, pl)
		p.do(func() { p.latency, p.deaf = time.Minute, true })
		go func() {
			_, err := pl.Acquire(t.Context())
			assert.ErrorIs(t, err, pool.ErrClosed)
		}()
		synctest.Wait()
		l.Release()
		go pl.Close()
		synctest.Wait()
		for range 20 {
			_, err := pl.Acquire(t.Context())
			require.ErrorIs(t, err, pool.ErrClosed)
		}
	})
}

func TestCloseReturnsOnlyWhenConnectionsAreClosed(t *testing.T) {
	for _, c := range []struct {
		deaf bool
		took time.Duration
	}{
		{false, 0},              // nobody waits for the peer
		{true, 2 * time.Second}, // all are closed at the same time
	} {
		p := &peer{closing: 2 * time.Second, deaf: c.deaf}
		run(t, p, pool.Options[*conn]{Max: 3}, func(t *testing.T, pl *pool.Pool[*conn]) {
			fill(t, pl, 3)
			start := time.Now()
			pl.Close()
			assert.Equal(t, c.took, time.Since(start))
			assert.Zero(t, p.count(&p.open))
		})
	}
}

func TestManyCallersNeverExceedTheLimitAndAllFinish(t *testing.T) {
	const limit, callers, rounds, patience = 3, 32, 40, 2000
	p := &peer{closing: 20 * time.Millisecond, round: time.Millisecond, latency: 10 * time.Millisecond}
	o := pool.Options[*conn]{
		Max: limit, KeepAlive: 50 * time.Millisecond, PingTimeout: 10 * time.Millisecond,
		IdleTimeout: 200 * time.Millisecond, RaiseAfter: 100 * time.Millisecond,
	}
	run(t, p, o, func(t *testing.T, pl *pool.Pool[*conn]) {
		var waiting atomic.Int32 // for their first connection
		waiting.Store(callers)
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() {
				random := rand.New(rand.NewPCG(1, uint64(i)))
				// All go on, in each other's way, until the last one was served: most calls are made to fail.
				served := false
				for n := 0; n < patience && (n < rounds || waiting.Load() > 0); n++ {
					if useOnce(t, p, pl, random) && !served {
						served = true
						waiting.Add(-1)
					}
					<-time.After(time.Duration(random.IntN(60)) * time.Millisecond)
				}
			})
		}
		wg.Wait()
		p.do(func() {
			assert.LessOrEqual(t, p.most, limit)
			assert.Greater(t, p.attempts, callers, "the test must make connections fail")
		})
		assert.Zero(t, waiting.Load(), "callers who never got a connection")

		// Nothing is lost for good: the whole limit is there again.
		p.do(func() { p.fault, p.capacity = nil, 0 })
		elapse(time.Second)
		assert.Equal(t, limit, pl.Stats().Max)
		assert.Zero(t, pl.Stats().InUse)
		assert.Len(t, fill(t, pl, limit), limit)
	})
}

// useOnce does what a caller in trouble does: waits with a deadline, breaks connections, loses them while idle.
// It reports whether it got a connection.
func useOnce(t *testing.T, p *peer, pl *pool.Pool[*conn], random *rand.Rand) bool {
	t.Helper()
	ctx := t.Context()
	if random.IntN(3) == 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(random.IntN(100))*time.Millisecond)
		defer cancel()
	}
	p.do(func() {
		p.fault = [...]error{nil, nil, nil, errNetwork, errTooMany, errLogin}[random.IntN(6)]
		p.deaf = random.IntN(4) == 0
	})
	l, err := pl.Acquire(ctx)
	if err != nil {
		known := errors.Is(err, errNetwork) || errors.Is(err, errTooMany) || errors.Is(err, errLogin) || errors.Is(err, ctx.Err())
		assert.True(t, known, "unexpected error %v", err)
		return false
	}
	<-time.After(time.Duration(random.IntN(5)) * time.Millisecond)
	c := l.Conn()
	switch random.IntN(6) {
	case 0:
		c.set(&c.broken)
	case 1:
		c.set(&c.dead)
	case 2:
		l.Retire()
		return true
	case 3:
		l.Release()
		c.set(&c.dead) // while it is idle, or in another's hands
		return true
	}
	l.Release()
	return true
}
