package pool

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/jackc/puddle/v2"
)

// soon is when the keeper looks again at a connection that it found in passage to an acquirer.
const soon = 100 * time.Millisecond

// keep is the keeper, the goroutine that runs from the first dial until Close: it pings silent connections, closes
// those that were idle too long, and raises a lowered limit.
func (p *Pool[C]) keep() {
	ctx, release := p.join(context.Background())
	defer release()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait := p.sweep(ctx)
		if raise := p.raise(); raise > 0 {
			wait = min(wait, raise)
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-p.nudge:
		case <-ctx.Done():
			return
		}
	}
}

// Pace has idle connections pinged at another interval than Options.KeepAlive until end is called; less than 0: never. Of
// several the shortest counts.
func (p *Pool[C]) Pace(every time.Duration) (end func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pace == nil {
		p.pace = map[*time.Duration]struct{}{}
	}
	p.pace[&every] = struct{}{}
	p.wake()
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.pace, &every)
		p.wake()
	}
}

// KeepAlive is the interval in force; <= 0: off.
func (p *Pool[C]) KeepAlive() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.pace) == 0 {
		return p.o.KeepAlive
	}
	shortest := time.Duration(-1)
	for every := range p.pace {
		if *every > 0 && (shortest < 0 || *every < shortest) {
			shortest = *every
		}
	}
	return shortest
}

// wake makes the keeper work out its timetable anew.
func (p *Pool[C]) wake() {
	select {
	case p.nudge <- struct{}{}:
	default:
	}
}

// sweep looks through the idle connections and returns how long until one of them is due. A connection released
// later cannot be due before the shortest interval is over.
func (p *Pool[C]) sweep(ctx context.Context) time.Duration {
	wait := time.Hour
	keepAlive := p.KeepAlive()
	for _, interval := range []time.Duration{keepAlive, p.o.IdleTimeout} {
		if interval > 0 {
			wait = min(wait, interval)
		}
	}
	expired := 0
	p.shelf.Lock()
	for _, res := range p.takeIdle() {
		expires, silent := p.o.IdleTimeout-res.IdleDuration(), keepAlive-silence(res)
		expiring := p.o.IdleTimeout > 0 && expires <= 0
		pinging := keepAlive > 0 && silent <= 0
		switch {
		case !expiring && !pinging:
			res.ReleaseUnused()
			if p.o.IdleTimeout > 0 {
				wait = min(wait, expires)
			}
			if keepAlive > 0 {
				wait = min(wait, silent)
			}
		case !p.units.TryAcquire(1):
			// An acquirer has got the unit and is about to take a connection.
			res.ReleaseUnused()
			wait = min(wait, soon)
		case expiring:
			expired++
			p.dismiss(res)
		default:
			p.calls.Go(func() { p.refresh(ctx, res) })
		}
	}
	p.shelf.Unlock()
	for range expired {
		p.report(Expired, nil)
	}
	return wait
}

// Check pings every idle connection now, all at once, and drops the dead. It returns when the last has answered.
func (p *Pool[C]) Check(ctx context.Context) {
	if !p.begin() {
		return
	}
	defer p.calls.Done()
	ctx, release := p.join(ctx)
	defer release()

	var pings sync.WaitGroup
	defer pings.Wait()
	p.shelf.Lock()
	defer p.shelf.Unlock()
	for _, res := range p.takeIdle() {
		if p.units.TryAcquire(1) {
			pings.Go(func() { p.refresh(ctx, res) })
		} else {
			res.ReleaseUnused()
		}
	}
}

// refresh pings a connection taken from the shelf and puts it back there, or discards it.
func (p *Pool[C]) refresh(ctx context.Context, res *puddle.Resource[*slot[C]]) {
	cause := look(res.Value().conn)
	if cause == nil {
		cause = p.ping(ctx, res.Value())
	}
	if cause != nil {
		res.Value().unit = true
		p.discard(res, cause)
		return
	}
	res.ReleaseUnused() // or else no connection would ever be idle for long
	p.units.Release(1)
	p.wake() // the next sweep puts it back into its place, too
}

// ping makes one counted, bounded round trip.
func (p *Pool[C]) ping(ctx context.Context, s *slot[C]) error {
	if p.o.PingTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.o.PingTimeout)
		defer cancel()
	}
	p.mu.Lock()
	p.stats.Noops++
	p.mu.Unlock()
	if err := s.conn.Ping(ctx); err != nil {
		return err
	}
	s.pinged = time.Now()
	return look(s.conn)
}

// takeIdle takes every idle connection, least recently used first. The caller holds p.shelf and puts them back in this
// order: a surplus connection that stayed on top after each of its pings would be used in turn and never expire.
func (p *Pool[C]) takeIdle() []*puddle.Resource[*slot[C]] {
	idle := p.conns.AcquireAllIdle()
	slices.SortFunc(idle, func(a, b *puddle.Resource[*slot[C]]) int {
		return cmp.Compare(a.LastUsedNanotime(), b.LastUsedNanotime())
	})
	return idle
}

// silence returns how long nothing was heard on an idle connection, neither in use nor by Ping.
func silence[C Conn](res *puddle.Resource[*slot[C]]) time.Duration {
	return min(res.IdleDuration(), time.Since(res.Value().pinged))
}
