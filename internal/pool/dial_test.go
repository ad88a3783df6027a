package pool_test

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/pool"
)

// atOnce calls Acquire n times at the same time and returns the leases and the errors.
func atOnce(t *testing.T, pl *pool.Pool[*conn], n int) (leases []*pool.Lease[*conn], errs []error) {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			l, err := pl.Acquire(t.Context())
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, err)
			} else {
				leases = append(leases, l)
			}
		})
	}
	wg.Wait()
	return leases, errs
}

func TestAWrongPasswordIsTriedOnceHoweverManyWait(t *testing.T) {
	p := &peer{fault: errLogin, latency: time.Second}
	run(t, p, pool.Options[*conn]{Max: 3}, func(t *testing.T, pl *pool.Pool[*conn]) {
		leases, errs := atOnce(t, pl, 32)
		assert.Empty(t, leases)
		require.Len(t, errs, 32)
		for _, err := range errs {
			require.ErrorIs(t, err, errLogin)
		}
		assert.Equal(t, 1, p.count(&p.attempts))

		_, err := pl.Acquire(t.Context())
		require.ErrorIs(t, err, errLogin)
		assert.Equal(t, 2, p.count(&p.attempts), "an Acquire that starts later dials anew")
		p.do(func() { p.fault = nil })
		acquire(t, pl).Release()
	})
}

func TestAPasswordThatStopsWorkingIsTriedByTheDialsUnderWayOnly(t *testing.T) {
	p := &peer{}
	run(t, p, pool.Options[*conn]{Max: 3}, func(t *testing.T, pl *pool.Pool[*conn]) {
		acquire(t, pl).Retire()
		p.do(func() { p.fault, p.latency, p.attempts = errLogin, time.Second, 0 })
		_, errs := atOnce(t, pl, 32)
		require.Len(t, errs, 32)
		assert.Equal(t, 3, p.count(&p.attempts))
	})
}

func TestARefusedLoginIsForgottenWhenALaterOneSucceeds(t *testing.T) {
	p := &peer{closing: time.Minute}
	run(t, p, pool.Options[*conn]{Max: 3}, func(t *testing.T, pl *pool.Pool[*conn]) {
		dead := fill(t, pl, 1)[0]
		dead.set(&dead.dead)
		got := make(chan *pool.Lease[*conn])
		go func() { // waits for the dead one to be closed while others dial
			l, err := pl.Acquire(t.Context())
			assert.NoError(t, err)
			got <- l
		}()
		synctest.Wait()
		p.do(func() { p.fault = errLogin })
		_, err := pl.Acquire(t.Context())
		require.ErrorIs(t, err, errLogin)
		p.do(func() { p.fault = nil })
		other := acquire(t, pl)
		l := <-got
		assert.False(t, l.Reused())
		l.Release()
		other.Release()
	})
}

func TestDialsRunOneAtATimeUntilOneHasSucceeded(t *testing.T) {
	p := &peer{fault: errNetwork, latency: time.Second}
	run(t, p, pool.Options[*conn]{Max: 4}, func(t *testing.T, pl *pool.Pool[*conn]) {
		_, errs := atOnce(t, pl, 4)
		require.Len(t, errs, 4)
		assert.Equal(t, 1, p.count(&p.attempts), "the others waited for it, and fail with it")

		p.do(func() { p.fault = nil })
		start := time.Now()
		leases, _ := atOnce(t, pl, 4)
		require.Len(t, leases, 4)
		assert.Equal(t, 2*time.Second, time.Since(start), "the first alone, the others together")
		assert.Equal(t, 3, p.count(&p.mostDials))
		for _, l := range leases {
			l.Release()
		}
	})
}

func TestAServerThatDoesNotAnswerIsWaitedForOnceByAllWhoCome(t *testing.T) {
	p := &peer{fault: errNetwork, latency: time.Minute}
	run(t, p, pool.Options[*conn]{Max: 3}, func(t *testing.T, pl *pool.Pool[*conn]) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		left := make(chan error)
		go func() {
			_, err := pl.Acquire(ctx)
			left <- err
		}()
		synctest.Wait()
		start := time.Now()
		_, errs := atOnce(t, pl, 20) // more than there are places
		require.ErrorIs(t, <-left, context.DeadlineExceeded)
		require.Len(t, errs, 20)
		for _, err := range errs {
			require.ErrorIs(t, err, errNetwork, "who left has said nothing about the server")
		}
		assert.Equal(t, time.Minute+time.Second, time.Since(start))
		assert.Equal(t, 2, p.count(&p.attempts))

		p.do(func() { p.fault = nil })
		acquire(t, pl).Release()
	})
}

func TestAWaiterAtTheGateLeavesWhenItIsCancelled(t *testing.T) {
	p := &peer{latency: time.Minute}
	run(t, p, pool.Options[*conn]{Max: 2}, func(t *testing.T, pl *pool.Pool[*conn]) {
		got := make(chan *pool.Lease[*conn])
		go func() {
			l, err := pl.Acquire(t.Context())
			assert.NoError(t, err)
			got <- l
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := pl.Acquire(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 1, p.count(&p.attempts))
		(<-got).Release()
		assert.Len(t, fill(t, pl, 2), 2, "no unit was lost")
		assert.Equal(t, 2, p.count(&p.attempts), "the cancelled one did not dial after all")
	})
}

func TestARefusedDialQueuesForAConnectionOfOthersAndTheLimitRisesAgain(t *testing.T) {
	p := &peer{capacity: 2}
	run(t, p, pool.Options[*conn]{Max: 4, RaiseAfter: time.Minute, KeepAlive: 7 * time.Second}, func(t *testing.T, pl *pool.Pool[*conn]) {
		a, b := acquire(t, pl), acquire(t, pl)
		got := make(chan *pool.Lease[*conn], 2)
		for range 2 {
			go func() {
				l, err := pl.Acquire(t.Context())
				assert.NoError(t, err)
				got <- l
			}()
			synctest.Wait()
		}
		assert.Equal(t, pool.Stats{Max: 2, Open: 2, InUse: 2, Dials: 2}, pl.Stats())
		assert.Empty(t, got, "both queue")
		a.Release()
		c := <-got
		assert.True(t, c.Reused())
		c.Release()
		b.Release()
		(<-got).Release()
		assert.Equal(t, 4, p.count(&p.attempts))

		elapse(time.Minute - time.Nanosecond)
		assert.Equal(t, 2, pl.Stats().Max)
		elapse(time.Nanosecond)
		assert.Equal(t, 3, pl.Stats().Max)
		elapse(time.Minute - time.Nanosecond)
		assert.Equal(t, 3, pl.Stats().Max, "one step a time")
		elapse(time.Nanosecond)
		assert.Equal(t, 4, pl.Stats().Max)
		elapse(time.Hour)
		assert.Equal(t, 4, pl.Stats().Max)
		assert.Equal(t, []pool.EventKind{
			pool.Dialed, pool.Dialed,
			pool.DialFailed, pool.LimitLowered, pool.DialFailed, pool.LimitLowered,
			pool.LimitRaised, pool.LimitRaised,
		}, p.kinds())
		p.do(func() { p.capacity = 4 })
		assert.Len(t, fill(t, pl, 4), 4, "the limit is there again, not only said to be")
	})
}

func TestARaisedLimitIsLoweredByTheNextRefusalWhichStartsTheClockAnew(t *testing.T) {
	p := &peer{capacity: 1}
	run(t, p, pool.Options[*conn]{Max: 2, RaiseAfter: time.Minute}, func(t *testing.T, pl *pool.Pool[*conn]) {
		l := acquire(t, pl)
		waiting := make(chan *pool.Lease[*conn])
		go func() {
			l, err := pl.Acquire(t.Context())
			assert.NoError(t, err)
			waiting <- l
		}()
		synctest.Wait()
		assert.Equal(t, 2, p.count(&p.attempts))
		elapse(time.Minute) // raised: the waiter dials, is refused, and queues again
		assert.Equal(t, 3, p.count(&p.attempts))
		assert.Equal(t, 1, pl.Stats().Max)
		elapse(time.Minute - time.Nanosecond)
		assert.Equal(t, 3, p.count(&p.attempts))
		p.do(func() { p.capacity = 2 })
		elapse(time.Nanosecond)
		(<-waiting).Release()
		assert.Equal(t, 2, pl.Stats().Max)
		l.Release()
	})
}

func TestARefusalIsTheCallersWhenNoOtherConnectionLives(t *testing.T) {
	p := &peer{fault: errTooMany, latency: time.Second}
	run(t, p, pool.Options[*conn]{Max: 3}, func(t *testing.T, pl *pool.Pool[*conn]) {
		_, errs := atOnce(t, pl, 3)
		require.Len(t, errs, 3)
		for _, err := range errs {
			require.ErrorIs(t, err, errTooMany)
		}
		assert.Equal(t, 3, pl.Stats().Max, "a waiter at the gate is no connection that lives")
	})
}

func TestTheLimitNeverFallsToZeroWhenAllDialsAreRefusedTogether(t *testing.T) {
	p := &peer{}
	run(t, p, pool.Options[*conn]{Max: 3, RaiseAfter: time.Minute}, func(t *testing.T, pl *pool.Pool[*conn]) {
		acquire(t, pl).Retire() // opens the gate
		synctest.Wait()
		p.do(func() { p.fault, p.latency = errTooMany, time.Second })
		_, errs := atOnce(t, pl, 8)
		require.Len(t, errs, 8)
		assert.Equal(t, 1, pl.Stats().Max)

		p.do(func() { p.fault = nil })
		acquire(t, pl).Release()
	})
}

func TestTheEndOfADialsGoroutineIsThatOfItsCallers(t *testing.T) {
	for name, c := range map[string]struct {
		falls func()
		value any
	}{
		"panic":  {func() { panic("no more") }, "no more"},
		"Goexit": {runtime.Goexit, nil},
	} {
		p := &peer{falls: c.falls}
		run(t, p, pool.Options[*conn]{Max: 1}, func(t *testing.T, pl *pool.Pool[*conn]) {
			for range 3 {
				returned := true
				var value any
				var wg sync.WaitGroup
				wg.Go(func() {
					defer func() { value = recover() }()
					returned = false
					_, _ = pl.Acquire(t.Context())
					returned = true
				})
				wg.Wait()
				assert.False(t, returned, name)
				assert.Equal(t, c.value, value, name)
			}
			p.falls = nil
			acquire(t, pl).Release()
		})
	}
}

func TestACancelledAcquireEndsItsDialAtOnce(t *testing.T) {
	p := &peer{latency: time.Hour}
	run(t, p, pool.Options[*conn]{Max: 1}, func(t *testing.T, pl *pool.Pool[*conn]) {
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := pl.Acquire(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, time.Second, time.Since(start))
		synctest.Wait()
		assert.Zero(t, p.count(&p.open))
		assert.Zero(t, pl.Stats().Open)

		_, err = pl.Acquire(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 1, p.count(&p.attempts), "a context that has ended dials nothing")
		p.do(func() { p.latency = 0 })
		acquire(t, pl).Release()
	})
}

func TestADialThatOutlivesItsCallerIsKeptForOthers(t *testing.T) {
	p := &peer{latency: time.Minute, deaf: true}
	run(t, p, pool.Options[*conn]{Max: 1}, func(t *testing.T, pl *pool.Pool[*conn]) {
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := pl.Acquire(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, time.Second, time.Since(start))

		l := acquire(t, pl)
		assert.True(t, l.Reused())
		assert.Equal(t, time.Minute, time.Since(start))
		assert.Equal(t, 1, p.count(&p.attempts), "it held the only place meanwhile")
		l.Release()
	})
}

func TestADialThatFailsAfterItsCallerLeftGivesItsPlaceBack(t *testing.T) {
	p := &peer{latency: time.Minute, deaf: true, fault: errNetwork}
	run(t, p, pool.Options[*conn]{Max: 1}, func(t *testing.T, pl *pool.Pool[*conn]) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := pl.Acquire(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		p.do(func() { p.fault = nil })
		elapse(30 * time.Second)
		p.do(func() { p.fault = errNetwork })
		elapse(time.Hour)
		p.do(func() { p.fault = nil })
		l := acquire(t, pl)
		assert.False(t, l.Reused())
		l.Release()
	})
}

func TestACallerCancelledWhileADeadConnectionClosesLosesNothing(t *testing.T) {
	p := &peer{closing: time.Minute}
	run(t, p, pool.Options[*conn]{Max: 1}, func(t *testing.T, pl *pool.Pool[*conn]) {
		c := fill(t, pl, 1)[0]
		c.set(&c.dead)
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := pl.Acquire(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, time.Second, time.Since(start))
		acquire(t, pl).Release()
		assert.Equal(t, time.Minute, time.Since(start))
		assert.Equal(t, 1, p.count(&p.most))
	})
}

func TestACancelledWaiterLeavesTheQueue(t *testing.T) {
	p := &peer{}
	run(t, p, pool.Options[*conn]{Max: 1}, func(t *testing.T, pl *pool.Pool[*conn]) {
		l := acquire(t, pl)
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error)
		go func() {
			_, err := pl.Acquire(ctx)
			left <- err
		}()
		synctest.Wait()
		cancel()
		require.ErrorIs(t, <-left, context.Canceled)
		l.Release()
		acquire(t, pl).Release()
	})
}
