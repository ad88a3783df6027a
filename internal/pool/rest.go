package pool

import (
	"context"
	"errors"
	"time"
)

// ErrStuck is returned by Acquire when it could wait for ever: see Options.Patience.
var ErrStuck = errors.New("pool: all connections are held by callers that rest")

// joint is the key of the context of what is done side by side.
type joint struct{}

// Together is a context of what is done side by side: of all that is done with it nothing rests for what waits in Acquire.
func Together(ctx context.Context) context.Context { return context.WithValue(ctx, joint{}, new(byte)) }

// Rest tells, until end is called, that somebody who has a lease waits for code that may itself wait in Acquire, though not
// Together with ctx.
func (p *Pool[C]) Rest(ctx context.Context) (end func()) {
	of := ctx.Value(joint{})
	p.rest(of, 1)
	return func() { p.rest(of, -1) }
}

func (p *Pool[C]) rest(of any, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.resting[of] += n; p.resting[of] == 0 {
		delete(p.resting, of)
	}
	p.stirred = time.Now()
}

// rested is for how long all connections that the limit allows have been held by callers that rest, and may do so for one who
// waits with ctx.
func (p *Pool[C]) rested(ctx context.Context) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	resting := 0
	for of, n := range p.resting {
		if of == nil || of != ctx.Value(joint{}) {
			resting += n
		}
	}
	if resting < p.o.Max-p.withheld {
		return 0
	}
	return time.Since(p.stirred)
}

// watch ends a wait of Patience at least, in which nobody who could end it did anything.
func (p *Pool[C]) watch(ctx context.Context, end context.CancelCauseFunc) {
	timer := time.NewTimer(p.o.Patience)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		left := p.o.Patience - p.rested(ctx)
		if left <= 0 {
			end(ErrStuck)
			return
		}
		timer.Reset(left)
	}
}
