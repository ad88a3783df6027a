package main

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// A counter shows on a screen how many things were done, from the first second on.
type counter struct {
	t     *tool
	what  string
	n     atomic.Int64
	again *time.Timer // draws; nil: nobody looks, or no longer. Guarded by the tool's speaking
}

// newCounter begins to count. Nothing is shown where nobody looks, or unless shows. The caller ends it.
func (t *tool) newCounter(what string, shows bool) *counter {
	c := &counter{t: t, what: what}
	if shows && t.watched && !t.quiet && !t.verbose {
		t.speaking.Lock()
		defer t.speaking.Unlock()
		c.again = time.AfterFunc(time.Second, c.draw)
	}
	return c
}

func (c *counter) add() { c.n.Add(1) }

// draw writes the count, ten times a second.
func (c *counter) draw() {
	c.t.speaking.Lock()
	defer c.t.speaking.Unlock()
	if c.again == nil {
		return
	}
	c.t.counted = true
	_, _ = fmt.Fprintf(c.t.stderr, "\r%d %s", c.n.Load(), c.what) // as in over
	c.again.Reset(100 * time.Millisecond)
}

// end takes the count off the screen.
func (c *counter) end() {
	c.t.over(func() {
		if c.again != nil {
			c.again.Stop()
			c.again = nil
		}
	})
}

// over writes where the count may be.
func (t *tool) over(write func()) {
	t.speaking.Lock()
	defer t.speaking.Unlock()
	if t.counted {
		_, _ = io.WriteString(t.stderr, "\r\x1b[K") // there is nowhere else to say that this fails
		t.counted = false
	}
	write()
}

// say writes a line to stderr.
func (t *tool) say(text string) {
	t.over(func() { _, _ = fmt.Fprintln(t.stderr, text) }) // as in over
}
