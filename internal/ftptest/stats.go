package ftptest

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// Stats is what the server has seen since it began or since ResetStats.
type Stats struct {
	Conns     int            // control connections, those refused included
	Open      int            // control connections being served now
	MaxOpen   int            // the most of them at one time
	DataConns int            // data connections, also those that moved nothing
	Resumed   int            // data connections that resumed a TLS session
	Commands  map[string]int // by name, in capitals
	Log       []string       // commands in the order of arrival over all connections; PASS without its argument
	Faults    int            // commands that were met by a fault

	// RoundTrips counts how often clients waited for the server: one for each TCP connection, control or data, and one
	// for each group of commands that arrives after the server has sent something on that control connection since the
	// group before. Commands that arrive in one segment are one group. So the wait for a reply is counted when the next
	// command comes, an upload's wait for its 150 is not counted, and neither are TLS handshakes.
	RoundTrips int
}

type counters struct {
	mu sync.Mutex
	s  Stats // guarded by mu
}

func (c *counters) update(f func(s *Stats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.s)
}

func (c *counters) snapshot() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.s
	s.Commands = maps.Clone(s.Commands)
	s.Log = slices.Clone(s.Log)
	return s
}

func (c *counters) reset() {
	c.update(func(s *Stats) {
		*s = Stats{Open: s.Open, MaxOpen: s.Open, Commands: map[string]int{}}
	})
}

func (c *counters) command(cmd, arg string) {
	line := cmd
	switch {
	case cmd == "PASS":
		line += " ***"
	case arg != "":
		line += " " + arg
	}
	c.update(func(s *Stats) {
		s.Commands[cmd]++
		s.Log = append(s.Log, line)
	})
}

// waits tells, for one control connection, whether the client sent something after it had been sent something.
// It looks at the socket itself, so that neither latency nor TLS changes the answer.
type waits struct {
	sent, waited atomic.Bool
}

func (w *waits) wrote() { w.sent.Store(true) }

func (w *waits) read() {
	if w.sent.Swap(false) {
		w.waited.Store(true)
	}
}

// take reports a wait once.
func (w *waits) take() bool { return w.waited.Swap(false) }
