package pool

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/puddle/v2"

	"github.com/corexalgo/ftpclient/internal/rethrow"
)

// errWithheld tells Acquire that the peer refused one more connection and that the unit went with it.
var errWithheld = errors.New("pool: the limit was lowered")

// errFell is the error of an Options.Dial that did not return, whose panic is the caller's.
var errFell = errors.New("pool: the dial ended by a panic")

// dial fills an empty slot. It returns at once when ctx ends, whatever Options.Dial does then: a connection that it
// still brings is kept for others. On an error the slot and its unit are gone.
func (p *Pool[C]) dial(ctx context.Context, res *puddle.Resource[*slot[C]], since int) error {
	done := make(chan error)
	var fell rethrow.Keeper
	p.calls.Go(func() {
		err := p.connect(ctx, res.Value(), since, &fell)
		if err != nil {
			res.Destroy()
			if !errors.Is(err, errWithheld) {
				p.units.Release(1)
			}
		}
		select {
		case done <- err:
		case <-ctx.Done():
			if err == nil {
				res.Release()
				p.units.Release(1)
			}
		}
	})
	select {
	case err := <-done:
		fell.Again()
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// connect dials when the gate lets it, and keeps the books.
func (p *Pool[C]) connect(ctx context.Context, s *slot[C], since int, fell *rethrow.Keeper) error {
	leave, err := p.gate.enter(ctx, since)
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.dialing++
	if !p.keeping {
		p.keeping = true
		p.calls.Go(p.keep)
	}
	p.mu.Unlock()

	conn, err := p.open(ctx, fell)
	if err != nil {
		withheld := p.failed(err)
		what := failed
		switch {
		case p.o.Fatal(err):
			what = fatal
		case withheld, ctx.Err() != nil, errors.Is(err, errFell):
			what = undecided
		}
		leave(what, err)
		p.report(DialFailed, err)
		if withheld {
			p.report(LimitLowered, err)
			return errWithheld
		}
		return err
	}
	s.conn, s.filled = conn, true
	kind := p.dialed()
	s.heir = kind == Replaced
	leave(worked, nil)
	p.report(kind, nil)
	return nil
}

// open calls Options.Dial, in a goroutine that it may end.
func (p *Pool[C]) open(ctx context.Context, fell *rethrow.Keeper) (conn C, err error) {
	err = errFell
	done := make(chan struct{})
	go func() {
		defer close(done)
		fell.Run(func() { conn, err = p.o.Dial(ctx) }, func() {})
	}()
	<-done
	return conn, err
}

// dialed counts a dial that succeeded and tells whether it stands for a lost connection.
func (p *Pool[C]) dialed() EventKind {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dialing--
	p.stats.Open++
	p.stats.Dials++
	if p.lost == 0 {
		return Dialed
	}
	p.lost--
	p.stats.Reconnects++
	return Replaced
}

// failed counts a dial that failed. It withholds the dialer's unit, and says so, when the peer refused it while
// another connection is open or under way. That other one has a unit of its own, so the limit never falls to 0.
func (p *Pool[C]) failed(err error) (withheld bool) {
	refused := p.o.Refused(err)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dialing--
	if !refused {
		return false
	}
	p.raiseAt = time.Now().Add(p.o.RaiseAfter)
	if p.dialing+p.stats.Open == 0 {
		return false
	}
	p.withheld++
	p.wake()
	return true
}

// raise gives one withheld unit back when it is time, and returns how long until the next one; 0: none is withheld.
func (p *Pool[C]) raise() time.Duration {
	p.mu.Lock()
	wait := time.Until(p.raiseAt)
	due := p.withheld > 0 && wait <= 0
	if due {
		p.withheld--
		wait = p.o.RaiseAfter
		p.raiseAt = time.Now().Add(wait)
	}
	if p.withheld == 0 {
		wait = 0
	}
	p.mu.Unlock()
	if due {
		p.units.Release(1)
		p.report(LimitRaised, nil)
	}
	return wait
}
