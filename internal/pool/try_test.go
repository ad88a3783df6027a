package pool_test

import (
	"context"
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
