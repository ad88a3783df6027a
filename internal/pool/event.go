package pool

import "fmt"

// EventKind says what happened in a Pool.
type EventKind int

// The kinds of events.
const (
	Dialed       EventKind = iota // a connection was added
	Replaced                      // a connection was dialed for one that had been lost
	DialFailed                    // Err says why; a refusal that lowered the limit is followed by LimitLowered
	LimitLowered                  // the peer refused one more connection while others live; Err is its refusal
	LimitRaised                   // a lowered limit is tried one higher
	Discarded                     // a lost connection was closed; Err is the cause
	Retired                       // a connection was closed by Lease.Retire, or had been Spent; then Err says why it is of no use
	Expired                       // a good connection was closed after IdleTimeout
)

// String names the kind in a log line.
func (k EventKind) String() string {
	names := [...]string{
		Dialed:       "dialed",
		Replaced:     "replaced",
		DialFailed:   "dial failed",
		LimitLowered: "limit lowered",
		LimitRaised:  "limit raised",
		Discarded:    "discarded",
		Retired:      "retired",
		Expired:      "expired",
	}
	if k < 0 || int(k) >= len(names) {
		return fmt.Sprintf("EventKind(%d)", int(k))
	}
	return names[k]
}

// Event is one thing that happened in a Pool, for a log.
type Event struct {
	Kind  EventKind
	Limit int   // the limit in force after it
	Err   error // nil for the kinds that have no cause
}

// report hands an event to Options.OnEvent. No lock is held.
func (p *Pool[C]) report(kind EventKind, err error) {
	if p.o.OnEvent != nil {
		p.o.OnEvent(Event{Kind: kind, Limit: p.Stats().Max, Err: err})
	}
}
