package pool

import (
	"context"
	"sync"
)

// gate lets one dial at a time through until one has succeeded, and again after one that failed for good. Whoever waited
// meanwhile fails with it: a wrong password is tried once and not by every caller, as servers lock accounts, and a server that
// does not answer is waited for once and not by one caller after the other.
type gate struct {
	turn chan struct{} // holds one token while a dial has the only turn

	mu       sync.Mutex // guards what follows
	open     bool       // the last dial that decided anything succeeded
	failures int        // dials that failed for all who waited
	err      error      // the last one's
}

// outcome is what a dial says of others.
type outcome int

const (
	undecided outcome = iota // nothing: its caller left, or others live
	worked
	failed // for all who wait, if it had the only turn
	fatal  // for all who wait
)

// count returns the number that a later enter compares with.
func (g *gate) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.failures
}

// enter waits for permission to dial. When a dial has failed for all since the count was taken, and none has
// succeeded after it, that error is returned and nothing may be dialed. Otherwise leave must be called with the outcome.
func (g *gate) enter(ctx context.Context, since int) (leave func(what outcome, err error), err error) {
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
	if !g.open && g.failures != since {
		g.pass(alone)
		return nil, g.err
	}
	if g.open && alone {
		g.pass(alone)
		alone = false
	}
	return func(what outcome, err error) { g.leave(alone, what, err) }, nil
}

func (g *gate) leave(alone bool, what outcome, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case what == worked:
		g.open = true
	case what == fatal, what == failed && alone:
		g.open = false
		g.failures++
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
