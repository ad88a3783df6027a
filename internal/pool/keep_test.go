package pool_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/pool"
)

// since returns when the connection was pinged, counted from start.
func (c *conn) since(start time.Time) (at []time.Duration) {
	c.peer.do(func() {
		for _, when := range c.pings {
			at = append(at, when.Sub(start))
		}
	})
	return at
}

func TestAnIdleConnectionIsPingedEveryKeepAlive(t *testing.T) {
	p := &peer{}
	o := pool.Options[*conn]{Max: 2, KeepAlive: 30 * time.Second, PingTimeout: time.Second}
	run(t, p, o, func(t *testing.T, pl *pool.Pool[*conn]) {
		l := acquire(t, pl)
		elapse(70 * time.Second)
		assert.Empty(t, l.Conn().since(time.Now()), "a leased connection is its holder's")
		start := time.Now()
		l.Release()
		elapse(100 * time.Second)
		assert.Equal(t, []time.Duration{30 * time.Second, 60 * time.Second, 90 * time.Second}, l.Conn().since(start))
		assert.Equal(t, pool.Stats{Max: 2, Open: 1, Idle: 1, Dials: 1, Noops: 3}, pl.Stats())

		acquire(t, pl).Release() // use counts as a sign of life
		start = time.Now()
		elapse(30*time.Second - time.Nanosecond)
		assert.Len(t, l.Conn().since(start), 3)
		elapse(time.Nanosecond)
		assert.Len(t, l.Conn().since(start), 4)
	})
}

func TestAnotherPaceHoldsUntilItsEnd(t *testing.T) {
	p := &peer{}
	run(t, p, pool.Options[*conn]{Max: 1, KeepAlive: 30 * time.Second}, func(t *testing.T, pl *pool.Pool[*conn]) {
		c := fill(t, pl, 1)[0]
		pings := func(within time.Duration) int {
			before := len(c.since(time.Now()))
			elapse(within)
			return len(c.since(time.Now())) - before
		}
		slow, fast := pl.Pace(20*time.Second), pl.Pace(5*time.Second)
		assert.Equal(t, 12, pings(time.Minute), "the shortest counts")
		fast()
		assert.InDelta(t, 3, pings(time.Minute), 1)
		slow()
		never := pl.Pace(-1)
		assert.Zero(t, pings(time.Hour))
		never()
		acquire(t, pl).Release()
		assert.InDelta(t, 2, pings(time.Minute), 1)
	})
}

func TestSomebodyWaitsOnlyWhileAllConnectionsAreInUse(t *testing.T) {
	p := &peer{}
	run(t, p, pool.Options[*conn]{Max: 1}, func(t *testing.T, pl *pool.Pool[*conn]) {
		l := acquire(t, pl)
		assert.False(t, l.Replaced())
		assert.False(t, pl.Waiting())
		got := make(chan *pool.Lease[*conn])
		go func() {
			second, err := pl.Acquire(t.Context())
			assert.NoError(t, err)
			got <- second
		}()
		synctest.Wait()
		assert.True(t, pl.Waiting())
		l.Conn().set(&l.Conn().dead)
		l.Release()
		second := <-got
		assert.False(t, pl.Waiting())
		assert.True(t, second.Replaced(), "the first one was lost")
		second.Release()
		third := acquire(t, pl)
		assert.False(t, third.Replaced(), "it was there already")
		third.Release()
	})
}

func TestKeepAliveIsOffWhenNotPositive(t *testing.T) {
	p := &peer{}
	run(t, p, pool.Options[*conn]{Max: 1, KeepAlive: -1}, func(t *testing.T, pl *pool.Pool[*conn]) {
		fill(t, pl, 1)
		elapse(24 * time.Hour)
		acquire(t, pl).Release()
		assert.Equal(t, pool.Stats{Max: 1, Open: 1, Idle: 1, Dials: 1}, pl.Stats())
	})
}

func TestAConnectionThatFailsItsPingIsDroppedWithinPingTimeout(t *testing.T) {
	p := &peer{}
	o := pool.Options[*conn]{Max: 3, KeepAlive: 30 * time.Second, PingTimeout: 5 * time.Second}
	run(t, p, o, func(t *testing.T, pl *pool.Pool[*conn]) {
		conns := fill(t, pl, 3)
		conns[0].set(&conns[0].mute)
		conns[1].set(&conns[1].dead)
		start := time.Now()
		elapse(30 * time.Second)
		assert.Equal(t, 2, pl.Stats().Open, "the dead one is gone, the mute one has its time")
		l := acquire(t, pl)
		assert.Same(t, conns[2], l.Conn(), "pings are off the callers' path")
		assert.Equal(t, 30*time.Second, time.Since(start))
		l.Release()
		elapse(5 * time.Second)
		assert.Equal(t, 1, pl.Stats().Open)
		assert.Equal(t, 35*time.Second, conns[0].ended.Sub(start).Round(time.Microsecond))

		fill(t, pl, 3)
		assert.Equal(t, int64(2), pl.Stats().Reconnects)
	})
}

func TestAConnectionBeingPingedStillCountsAgainstTheLimit(t *testing.T) {
	p := &peer{round: 3 * time.Second}
	run(t, p, pool.Options[*conn]{Max: 1, KeepAlive: 30 * time.Second}, func(t *testing.T, pl *pool.Pool[*conn]) {
		fill(t, pl, 1)
		elapse(30 * time.Second)
		start := time.Now()
		l := acquire(t, pl)
		assert.Equal(t, 3*time.Second, time.Since(start).Round(time.Millisecond))
		assert.True(t, l.Reused())
		assert.Equal(t, 1, p.count(&p.most))
		l.Release()
	})
}

func TestAnIdleConnectionIsClosedAtIdleTimeoutWhateverThePings(t *testing.T) {
	for name, keepAlive := range map[string]time.Duration{"no pings": 0, "pings": 30 * time.Second, "slow pings": 74 * time.Second} {
		t.Run(name, func(t *testing.T) {
			p := &peer{round: 500 * time.Millisecond}
			o := pool.Options[*conn]{Max: 1, KeepAlive: keepAlive, IdleTimeout: 75 * time.Second}
			run(t, p, o, func(t *testing.T, pl *pool.Pool[*conn]) {
				l := acquire(t, pl)
				start := time.Now()
				l.Release()
				elapse(75*time.Second - time.Nanosecond)
				assert.Equal(t, 1, pl.Stats().Open)
				elapse(time.Nanosecond)
				assert.Zero(t, pl.Stats().Open)
				assert.Equal(t, 75*time.Second, l.Conn().ended.Sub(start))
				assert.Equal(t, []pool.EventKind{pool.Dialed, pool.Expired}, p.kinds())
				acquire(t, pl).Release()
				assert.Zero(t, pl.Stats().Reconnects, "an expired connection was not lost")
			})
		})
	}
}

func TestSurplusConnectionsExpireThoughPingsTouchThem(t *testing.T) {
	p := &peer{}
	o := pool.Options[*conn]{Max: 3, KeepAlive: 30 * time.Second, IdleTimeout: 2 * time.Minute}
	run(t, p, o, func(t *testing.T, pl *pool.Pool[*conn]) {
		busy := fill(t, pl, 3)[0]
		for range 20 {
			l := acquire(t, pl)
			require.Same(t, busy, l.Conn())
			l.Release()
			elapse(7 * time.Second)
		}
		assert.Equal(t, 1, pl.Stats().Open)
		assert.Equal(t, int64(3), pl.Stats().Dials)
	})
}

// overdue leaves one idle connection, silent for twice KeepAlive because the keeper is held up.
func overdue(t *testing.T, p *peer, pl *pool.Pool[*conn]) *conn {
	t.Helper()
	fill(t, pl, 2)
	elapse(40 * time.Second)
	l := acquire(t, pl)
	l.Release()
	elapse(60 * time.Second) // the other one expires on the way, which holds up the keeper
	require.Equal(t, 1, pl.Stats().Idle)
	return l.Conn()
}

func TestAcquirePingsAConnectionThatWasSilentForLongerThanKeepAlive(t *testing.T) {
	p := &peer{slowLog: time.Hour, round: time.Second}
	o := pool.Options[*conn]{Max: 2, KeepAlive: 30 * time.Second, IdleTimeout: 45 * time.Second, PingTimeout: 5 * time.Second}
	run(t, p, o, func(t *testing.T, pl *pool.Pool[*conn]) {
		c := overdue(t, p, pl)
		noops := pl.Stats().Noops
		for range 3 {
			l := acquire(t, pl)
			assert.Same(t, c, l.Conn())
			l.Release()
		}
		assert.Equal(t, noops+1, pl.Stats().Noops, "it was heard from just now")
	})
}

func TestAcquireReplacesASilentConnectionThatDoesNotAnswer(t *testing.T) {
	p := &peer{slowLog: time.Hour}
	o := pool.Options[*conn]{Max: 2, KeepAlive: 30 * time.Second, IdleTimeout: 45 * time.Second, PingTimeout: 5 * time.Second}
	run(t, p, o, func(t *testing.T, pl *pool.Pool[*conn]) {
		c := overdue(t, p, pl)
		c.set(&c.mute)
		start := time.Now()
		l := acquire(t, pl)
		assert.False(t, l.Reused())
		assert.Equal(t, 5*time.Second, time.Since(start))
		assert.Equal(t, int64(1), pl.Stats().Reconnects)
		l.Release()
	})
}

func TestCheckPingsEveryIdleConnectionAtOnceAndDropsTheDead(t *testing.T) {
	p := &peer{round: time.Second}
	o := pool.Options[*conn]{Max: 4, PingTimeout: 5 * time.Second}
	run(t, p, o, func(t *testing.T, pl *pool.Pool[*conn]) {
		conns := fill(t, pl, 4)
		l := acquire(t, pl)
		require.Same(t, conns[0], l.Conn())
		conns[1].set(&conns[1].mute)
		conns[2].set(&conns[2].dead)
		start := time.Now()
		pl.Check(t.Context())
		assert.Equal(t, 5*time.Second, time.Since(start))
		synctest.Wait()
		assert.Equal(t, pool.Stats{Max: 4, Open: 2, Idle: 1, InUse: 1, Dials: 4, Noops: 2}, pl.Stats())
		assert.Empty(t, conns[0].since(start), "a leased connection is its holder's")
		l.Release()
	})
}

func TestLookingThroughIdleConnectionsMakesNobodyDial(t *testing.T) {
	const open = 20
	p := &peer{capacity: open}
	run(t, p, pool.Options[*conn]{Max: 2 * open}, func(t *testing.T, pl *pool.Pool[*conn]) {
		var leases []*pool.Lease[*conn]
		for range open {
			leases = append(leases, acquire(t, pl))
		}
		var wg sync.WaitGroup
		for range open { // refused: the limit falls to what is open
			wg.Go(func() { useOnceMore(t, pl) })
		}
		synctest.Wait()
		for _, l := range leases {
			l.Release()
		}
		wg.Wait()
		require.Equal(t, open, pl.Stats().Max)

		for range 4 {
			wg.Go(func() {
				for range 2000 {
					useOnceMore(t, pl)
				}
			})
		}
		for range 500 {
			pl.Check(t.Context())
		}
		wg.Wait()
		assert.Equal(t, 2*open, p.count(&p.attempts))
	})
}

func TestCheckEndsWithItsContext(t *testing.T) {
	p := &peer{round: time.Hour}
	run(t, p, pool.Options[*conn]{Max: 1}, func(t *testing.T, pl *pool.Pool[*conn]) {
		fill(t, pl, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		pl.Check(ctx)
		assert.Equal(t, time.Second, time.Since(start))
		p.do(func() { p.round = 0 })
		l := acquire(t, pl)
		assert.False(t, l.Reused(), "a connection cut off in a round trip is not lent out")
		l.Release()
	})
}

func TestCloseEndsPingsUnderWay(t *testing.T) {
	p := &peer{round: time.Hour}
	run(t, p, pool.Options[*conn]{Max: 2, KeepAlive: 30 * time.Second}, func(t *testing.T, pl *pool.Pool[*conn]) {
		fill(t, pl, 2)
		elapse(30 * time.Second)
		start := time.Now()
		pl.Close()
		assert.Zero(t, time.Since(start))
	})
}

// useOnceMore acquires and releases in a goroutine of its own, where require may not be used.
func useOnceMore(t *testing.T, pl *pool.Pool[*conn]) {
	t.Helper()
	l, err := pl.Acquire(t.Context())
	if assert.NoError(t, err) {
		l.Release()
	}
}
