package crew

import "time"

// The search for the best number of workers.
const (
	tuningInterval = 500 * time.Millisecond // between looks at what was done
	window         = 4                      // looks of one measurement: shorter ones measure chance
	patience       = 20                     // measurements until a number that did not help is tried again
	worthwhile     = 0.4                    // least part of its due that a worker more must bring to stay
)

// tuning climbs: more workers as long as what is done in a time grows with them.
type tuning struct {
	looks  int
	work   float64 // at the beginning of the measurement
	began  time.Time
	before float64 // speed with the number before the last change; 0: not known
	from   int     // that number
	rest   int     // measurements until the next try
}

// tune looks at what was done, and changes the number wanted at the end of a measurement.
func (c *Crew[T]) tune() {
	t := &c.tuning
	if t.began.IsZero() {
		t.began, t.work = time.Now(), c.opts.Work()
		return
	}
	if t.looks++; t.looks < window {
		return
	}
	now, work := time.Now(), c.opts.Work()
	speed := (work - t.work) / now.Sub(t.began).Seconds()
	t.looks, t.began, t.work = 0, now, work

	c.mu.Lock()
	defer c.mu.Unlock()
	limit := c.opts.Limit()
	switch n := min(c.wanted, limit); {
	case speed <= 0: // a large file of which nothing is counted yet, or nothing to do
	case t.rest > 0:
		t.rest--
	case t.before == 0 || n <= t.from:
		c.grow(n, limit, speed)
	case speed/t.before-1 < worthwhile*(float64(n)/float64(t.from)-1):
		c.wanted, t.before, t.rest = t.from, 0, patience
	default:
		c.grow(n, limit, speed)
	}
}

// grow tries half as many workers more.
func (c *Crew[T]) grow(n, limit int, speed float64) {
	if n < limit {
		c.tuning.from, c.tuning.before = n, speed
		c.wanted = min(n+max(1, n/2), limit)
	}
}
