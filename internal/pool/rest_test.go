package pool_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/pool"
)

func TestAWaitThatOnlyRestingCallersCouldEndIsGivenUpInTime(t *testing.T) {
	p := &peer{}
	run(t, p, pool.Options[*conn]{Max: 2, Patience: time.Minute}, func(t *testing.T, pl *pool.Pool[*conn]) {
		first, second := acquire(t, pl), acquire(t, pl)
		defer first.Release()
		defer second.Release()
		pl.Rest(t.Context())
		end := pl.Rest(t.Context())
		elapse(time.Hour)
		began := time.Now()
		ends := make(chan error)
		for range 3 {
			go func() {
				_, err := pl.Acquire(t.Context())
				ends <- err
			}()
		}
		elapse(30 * time.Second)
		end()
		pl.Rest(t.Context())
		for range 3 {
			require.ErrorIs(t, <-ends, pool.ErrStuck)
			assert.Equal(t, time.Minute+30*time.Second, time.Since(began), "it counts from when the last one stirred")
		}
		assert.False(t, pl.Waiting())
	})
}

func TestAWaitIsNotGivenUpWhileAnyCallerWorks(t *testing.T) {
	p := &peer{}
	run(t, p, pool.Options[*conn]{Max: 2, Patience: time.Minute}, func(t *testing.T, pl *pool.Pool[*conn]) {
		rests, works := acquire(t, pl), acquire(t, pl)
		defer rests.Release()
		pl.Rest(t.Context())
		done := make(chan error)
		go func() {
			l, err := pl.Acquire(t.Context())
			if err == nil {
				l.Release()
			}
			done <- err
		}()
		elapse(time.Hour)
		assert.True(t, pl.Waiting())
		works.Release()
		require.NoError(t, <-done)
	})
}

func TestAWaitForAConnectionThatThePeerRefusesIsGivenUpWhereTheOthersRest(t *testing.T) {
	p := &peer{capacity: 1}
	run(t, p, pool.Options[*conn]{Max: 3, Patience: time.Minute, RaiseAfter: time.Hour}, func(t *testing.T, pl *pool.Pool[*conn]) {
		l := acquire(t, pl)
		defer l.Release()
		pl.Rest(t.Context())
		for range 2 { // the limit falls to 1
			began := time.Now()
			_, err := pl.Acquire(t.Context())
			require.ErrorIs(t, err, pool.ErrStuck)
			assert.Equal(t, time.Minute, time.Since(began))
		}
		synctest.Wait()
	})
}

func TestWhatIsDoneTogetherDoesNotRestForItself(t *testing.T) {
	p := &peer{}
	run(t, p, pool.Options[*conn]{Max: 2, Patience: time.Minute}, func(t *testing.T, pl *pool.Pool[*conn]) {
		first, second := acquire(t, pl), acquire(t, pl)
		defer first.Release()
		defer second.Release()
		together := pool.Together(t.Context())
		end := pl.Rest(together)
		ended := pl.Rest(t.Context())
		began := time.Now()
		given := make(chan time.Duration)
		for _, ctx := range []context.Context{t.Context(), pool.Together(t.Context()), together} {
			go func() {
				_, err := pl.Acquire(ctx)
				assert.ErrorIs(t, err, pool.ErrStuck)
				given <- time.Since(began)
			}()
		}
		assert.Equal(t, time.Minute, <-given)
		assert.Equal(t, time.Minute, <-given)
		elapse(time.Hour)
		assert.True(t, pl.Waiting())
		end()
		pl.Rest(t.Context())
		stirred := time.Since(began)
		assert.Equal(t, stirred+time.Minute, <-given)
		ended()
	})
}
