package pool

import (
	"context"
	"sync"
)

// gate lets one dial at a time through until one has succeeded, and again after one that failed for good, so that a
// wrong password is tried once and not by every caller who waits: servers lock accounts.
type gate struct {
	turn chan struct{} // holds one token while a dial has the only turn

	mu     sync.Mutex // guards what follows
	open   bool       // the last dial that decided anything succeeded
	fatals int        // dials that failed for good
	err    error      // the last one's
}

// count returns the number that a later enter compares with.
func (g *gate) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.fatals
}

// enter waits for permission to dial. When a dial has failed for good since the count was taken, and none has
// succeeded after it, that error is returned and nothing may be dialed. Otherwise leave must be called with the outcome.
func (g *gate) enter(ctx context.Context, since int) (leave func(err error, fatal bool), err error) {
	g.mu.Lock()
	alone := !g.open
	g.mu.Unlock()
	if alone {
		select {
		case g.turn <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.open && g.fatals != since {
		g.pass(alone)
		return nil, g.err
	}
	if g.open && alone {
		g.pass(alone)
		alone = false
	}
	return func(err error, fatal bool) { g.leave(alone, err, fatal) }, nil
}

func (g *gate) leave(alone bool, err error, fatal bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case err == nil:
		g.open = true
	case fatal:
		g.open = false
		g.fatals++
		g.err = err
	}
	g.pass(alone)
}

// pass hands the turn on.
func (g *gate) pass(alone bool) {
	if alone {
		<-g.turn
	}
}
