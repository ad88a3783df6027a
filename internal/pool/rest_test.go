package pool_test

import (
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
		pl.Rest()
		end := pl.Rest()
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
		pl.Rest()
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
		pl.Rest()
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
		pl.Rest()
		for range 2 { // the limit falls to 1
			began := time.Now()
			_, err := pl.Acquire(t.Context())
			require.ErrorIs(t, err, pool.ErrStuck)
			assert.Equal(t, time.Minute, time.Since(began))
		}
		synctest.Wait()
	})
}
