package pool_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/pool"
)

func TestTryAcquireTakesWhatIsToSpareAndOvertakesNobody(t *testing.T) {
	p := &peer{}
	run(t, p, pool.Options[*conn]{Max: 2}, func(t *testing.T, pl *pool.Pool[*conn]) {
		first, err := pl.TryAcquire(t.Context())
		require.NoError(t, err)
		second := acquire(t, pl)
		_, err = pl.TryAcquire(t.Context())
		require.ErrorIs(t, err, pool.ErrBusy)

		got := make(chan *pool.Lease[*conn])
		for range 2 {
			go func() {
				l, err := pl.Acquire(t.Context())
				assert.NoError(t, err)
				got <- l
			}()
		}
		synctest.Wait()
		first.Release()
		_, err = pl.TryAcquire(t.Context())
		require.ErrorIs(t, err, pool.ErrBusy)
		(<-got).Release()
		second.Release()
		(<-got).Release()
		spare, err := pl.TryAcquire(t.Context())
		require.NoError(t, err)
		assert.True(t, spare.Reused())
		spare.Release()
	})
}

func TestTryAcquireIsBusyWhereThePeerRefusesOneMore(t *testing.T) {
	p := &peer{capacity: 1}
	run(t, p, pool.Options[*conn]{Max: 2}, func(t *testing.T, pl *pool.Pool[*conn]) {
		first := acquire(t, pl)
		_, err := pl.TryAcquire(t.Context())
		require.ErrorIs(t, err, pool.ErrBusy)
		assert.Equal(t, 1, pl.Stats().Max)
		first.Release()
		p.do(func() { p.fault = errNetwork })
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = pl.TryAcquire(ctx)
		require.ErrorIs(t, err, context.Canceled)
		pl.Close()
		_, err = pl.TryAcquire(t.Context())
		require.ErrorIs(t, err, pool.ErrClosed)
	})
}

func TestOpenAddsAConnectionToIdleOnes(t *testing.T) {
	p := &peer{}
	run(t, p, pool.Options[*conn]{Max: 4}, func(t *testing.T, pl *pool.Pool[*conn]) {
		first := acquire(t, pl)
		first.Release()
		second, err := pl.Open(t.Context(), 3)
		require.NoError(t, err)
		assert.False(t, second.Reused())
		second.Release()
		third, err := pl.Open(t.Context(), 3)
		require.NoError(t, err)
		_, err = pl.Open(t.Context(), 3)
		require.ErrorIs(t, err, pool.ErrBusy)
		third.Release()
		assert.EqualValues(t, 3, pl.Stats().Dials)
		assert.Equal(t, 3, pl.Stats().Idle)

		again := acquire(t, pl)
		assert.True(t, again.Reused())
		again.Release()
		fourth, err := pl.Open(t.Context(), 9)
		require.NoError(t, err)
		_, err = pl.Open(t.Context(), 9)
		require.ErrorIs(t, err, pool.ErrBusy)
		fourth.Release()
	})
}

func TestOpenTakesNoPlaceThatIsNotThere(t *testing.T) {
	p := &peer{}
	run(t, p, pool.Options[*conn]{Max: 1}, func(t *testing.T, pl *pool.Pool[*conn]) {
		acquire(t, pl).Release()
		_, err := pl.Open(t.Context(), 9)
		require.ErrorIs(t, err, pool.ErrBusy)
		again, err := pl.TryAcquire(t.Context())
		require.NoError(t, err)
		assert.True(t, again.Reused())
		again.Release()

		p.do(func() { p.fault = errNetwork })
		again, err = pl.TryAcquire(t.Context())
		require.NoError(t, err)
		again.Retire()
		synctest.Wait()
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		before := p.count(&p.attempts)
		_, err = pl.Open(gone, 1)
		require.ErrorIs(t, err, context.Canceled)
		assert.Equal(t, before, p.count(&p.attempts), "nothing is dialed for who has gone")
		_, err = pl.Open(t.Context(), 1)
		require.ErrorIs(t, err, errNetwork)
		pl.Close()
		_, err = pl.Open(t.Context(), 1)
		require.ErrorIs(t, err, pool.ErrClosed)
	})
}

func TestOpenLeavesTheLimitThatThePeerHasShown(t *testing.T) {
	p := &peer{capacity: 1}
	run(t, p, pool.Options[*conn]{Max: 2}, func(t *testing.T, pl *pool.Pool[*conn]) {
		acquire(t, pl).Release()
		for range 3 {
			_, err := pl.Open(t.Context(), 2)
			require.ErrorIs(t, err, pool.ErrBusy)
		}
		assert.Equal(t, 1, pl.Stats().Max)
		assert.Equal(t, 2, p.count(&p.attempts), "it was refused once")
		again, err := pl.TryAcquire(t.Context())
		require.NoError(t, err, "there is a good one")
		again.Release()
	})
}

func TestOpenTouchesNoConnectionThatIsGivenBackMeanwhile(t *testing.T) {
	p := &peer{}
	pl := pool.New(pool.Options[*conn]{Max: 16, Dial: p.dial})
	defer pl.Close()
	var busy sync.WaitGroup
	for range 8 {
		busy.Go(func() {
			for range 300 {
				l, err := pl.Acquire(t.Context())
				if assert.NoError(t, err) {
					l.Release()
				}
			}
		})
		busy.Go(func() {
			for range 300 {
				l, err := pl.Open(t.Context(), 16)
				if errors.Is(err, pool.ErrBusy) {
					continue
				}
				if assert.NoError(t, err) {
					l.Retire()
				}
			}
		})
	}
	busy.Wait()
	pl.Close()
	for _, c := range p.conns {
		assert.Equal(t, 1, c.closed, "connection %d", c.id)
	}
	assert.Zero(t, pl.Stats().Open)
}
