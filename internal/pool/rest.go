package pool

import (
	"context"
	"errors"
	"time"
)

// ErrStuck is returned by Acquire when it could wait for ever: see Options.Patience.
var ErrStuck = errors.New("pool: all connections are held by callers that rest")

// Rest tells, until end is called, that somebody who has a lease waits for code that may itself wait in Acquire.
func (p *Pool[C]) Rest() (end func()) {
	p.rest(1)
	return func() { p.rest(-1) }
}

func (p *Pool[C]) rest(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.resting += n
	p.stirred = time.Now()
}

// rested is for how long all connections that the limit allows have been held by callers that rest.
func (p *Pool[C]) rested() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.resting < p.o.Max-p.withheld {
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
		left := p.o.Patience - p.rested()
		if left <= 0 {
			end(ErrStuck)
			return
		}
		timer.Reset(left)
	}
}
