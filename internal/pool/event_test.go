package pool_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/corexalgo/ftpclient/internal/pool"
)

func TestEveryEventKindHasANameOfItsOwn(t *testing.T) {
	seen := map[string]bool{}
	for kind := pool.Dialed; kind <= pool.Expired; kind++ {
		name := kind.String()
		assert.NotEmpty(t, name)
		assert.False(t, seen[name], name)
		seen[name] = true
	}
	assert.Equal(t, "limit lowered", pool.LimitLowered.String())
	assert.Equal(t, "EventKind(99)", pool.EventKind(99).String())
}

func TestAnEventTellsTheCauseAndTheLimitInForce(t *testing.T) {
	p := &peer{capacity: 1}
	run(t, p, pool.Options[*conn]{Max: 2}, func(t *testing.T, pl *pool.Pool[*conn]) {
		l := acquire(t, pl)
		done := make(chan struct{})
		go func() {
			defer close(done)
			useOnceMore(t, pl)
		}()
		elapse(1)
		l.Release()
		<-done
		p.do(func() {
			assert.Equal(t, []pool.Event{
				{Kind: pool.Dialed, Limit: 2},
				{Kind: pool.DialFailed, Limit: 1, Err: errTooMany},
				{Kind: pool.LimitLowered, Limit: 1, Err: errTooMany},
			}, p.events)
		})
	})
}
