// Package bar shows how transfers go, as one line of a terminal that is drawn over and over, or as a few whole lines
// elsewhere. It knows nothing of the transfers but what it is told.
package bar

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/corexalgo/ftpclient/internal/rethrow"
)

// An Update says how far one transfer is.
type Update struct {
	Key        any    // comparable; with Index, tells transfers apart
	Verb, Name string // what is done, and to which file

	Index, Total int // number within a batch from 1, and files of the batch, 0 unknown; Index 0: the batch as a whole
	Failed       int // files of the batch that failed until now

	Bytes, Size int64 // position in the file; Size -1: unknown
	Resumed     int64 // where this call began; Size: there was nothing to move
	Attempt     int
	Speed       float64       // bytes per second
	ETA         time.Duration // <0 unknown

	Done, GivenUp bool // either: the last Update of this transfer
}

// interval is the shortest time between two looks, which may draw, in the middle of a transfer.
const interval = 100 * time.Millisecond

// While nobody tells of anything a line on a terminal is drawn again this often, so that it shows that nothing moves, but not for
// ever: a transfer that ends by a panic may not tell.
const (
	stillness = time.Second
	patience  = 10 * time.Minute
)

// A Bar follows transfers and shows them as one line.
type Bar struct {
	w     io.Writer
	width func() int // columns of the terminal; nil: plain lines

	fallen rethrow.Keeper // a panic of the writer's while nobody told of anything

	mu      sync.Mutex // guards what follows
	text    []byte     // to be written
	noted   int        // how much there ever was to write
	done    int        // how much of that was written, or lost
	writing bool       // somebody does; meanwhile only first and last lines are added
	written *sync.Cond // nobody does any more

	active map[key]Update
	group  group
	looked time.Time // when it was last worked out what there is to show
	drawn  time.Time // last plain line
	bytes  int64     // then
	cells  int       // of the line on the terminal, to be wiped by the next
	spin   int
}

// A key tells transfers apart: the number within a batch, and the files outside one.
type key struct {
	index int
	file  any
}

// A group is what the transfers of one line come to. The zero group is a line not yet begun.
type group struct {
	start                 time.Time
	verb                  string
	last                  Update
	heard                 time.Time   // when that came
	again                 *time.Timer // draws the line when nothing more comes
	seen                  int         // transfers begun
	batch                 bool        // part of a batch
	total                 int         // files of the batch, 0 unknown
	done                  int
	failed, told          int   // as counted here, and as the batch tells
	doneBytes, movedBytes int64 // of the files that ended
	rate                  Rate
}

// New returns a Bar on w. Where w is a terminal (an *os.File, or anything else with a method Fd, that is one) it draws
// lines over and over, elsewhere it prints whole ones.
func New(w io.Writer) *Bar {
	file, ok := w.(interface{ Fd() uintptr })
	if !ok || !term.IsTerminal(int(file.Fd())) || os.Getenv("TERM") == "dumb" {
		return NewSized(w, nil)
	}
	return NewSized(w, func() int {
		width, _, err := term.GetSize(int(file.Fd()))
		if err != nil || width <= 0 {
			return 80
		}
		return width
	})
}

// NewSized returns a Bar on a terminal as wide as width says each time, or on none where width is nil.
func NewSized(w io.Writer, width func() int) *Bar {
	b := &Bar{w: w, width: width, active: map[key]Update{}}
	b.written = sync.NewCond(&b.mu)
	return b
}

// Update shows how one transfer goes. It is safe for concurrent use; what cannot be written is lost. While one call writes, the
// others do not wait, nor do their transfers where a terminal is stopped, but for the one that ends a line. After that nothing
// is written.
func (b *Bar) Update(u Update) {
	defer b.fallen.Again()
	b.mu.Lock()
	defer b.mu.Unlock()
	ends := b.note(u)
	for mine := b.noted; ends && b.writing && b.done < mine; {
		b.written.Wait()
	}
	b.write()
}

// redraw shows that time passes.
func (b *Bar) redraw() {
	b.mu.Lock()
	defer b.mu.Unlock()
	g := &b.group
	if b.width == nil || g.start.IsZero() || time.Since(g.heard) > patience {
		return
	}
	g.again.Reset(stillness)
	if !b.writing {
		b.draw(g.last, false, false)
		b.write()
	}
}

// write writes what there is, unless somebody does. The caller holds mu, but not meanwhile.
func (b *Bar) write() {
	if len(b.text) == 0 || b.writing {
		return
	}
	text := b.text
	b.text, b.writing = nil, true
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		b.writing = false
		b.done += len(text)
		b.written.Broadcast()
	}()
	_, _ = b.w.Write(text)
}

// note takes note of u, and works out what is to be written. It tells whether that is the last of a line. The caller holds mu.
func (b *Bar) note(u Update) (ends bool) {
	g := &b.group
	wholeBatch := u.Index == 0 && u.Total > 0
	begins := g.start.IsZero()
	if begins && wholeBatch {
		return false // its last file has ended the line
	}
	if begins {
		g.start, g.verb = time.Now(), u.Verb
		g.again = time.AfterFunc(stillness, func() { b.fallen.Run(b.redraw, func() {}) })
	}
	g.last, g.heard = u, time.Now()
	g.again.Reset(stillness)
	g.batch = g.batch || u.Total > 1 || u.Total == 0 && u.Index > 0
	g.total, g.told = max(g.total, u.Total), max(g.told, u.Failed)
	if !wholeBatch {
		b.follow(u)
	}
	ends = wholeBatch || len(b.active) == 0
	if g.batch && !wholeBatch { // between two files of a batch there may be none
		ends = ends && g.total > 0 && g.ended() >= g.total
	}
	b.show(u, begins, ends)
	if ends {
		g.again.Stop()
		clear(b.active)
		b.group, b.cells = group{}, 0
	}
	return ends
}

// follow takes note of one file.
func (b *Bar) follow(u Update) {
	g, k := &b.group, key{u.Index, u.Key}
	if _, known := b.active[k]; !known {
		g.seen++
	}
	b.active[k] = u
	if !u.Done && !u.GivenUp {
		return
	}
	delete(b.active, k)
	g.doneBytes += u.Bytes
	g.movedBytes += max(0, u.Bytes-u.Resumed)
	if u.Done {
		g.done++
	} else {
		g.failed++
	}
}

// ended is the number of files that need nothing more.
func (g *group) ended() int { return g.done + max(g.failed, g.told) }

// show draws, unless it did a moment ago.
func (b *Bar) show(u Update, begins, ends bool) {
	now := time.Now()
	if !begins && !ends && (b.writing || now.Sub(b.looked) < interval) {
		return
	}
	b.looked = now
	b.draw(u, begins, ends)
}

func (b *Bar) draw(u Update, begins, ends bool) {
	v := b.view(u, ends)
	if b.width == nil {
		if begins || ends || b.lineDue(v) {
			b.drawn, b.bytes = time.Now(), v.bytes
			b.say(v.plain(begins) + "\n")
		}
		return
	}
	b.spin++
	columns := max(b.width()-1, 1) // a character in the last column makes some terminals go to the next line
	line := v.line(columns, b.spin)
	cells := displayWidth(line)
	text := fmt.Sprintf("\r%s%*s", line, max(0, min(b.cells, columns)-cells), "")
	if ends {
		text += "\n"
	}
	b.say(text)
	b.cells = cells
}

// say adds to what is to be written.
func (b *Bar) say(text string) {
	b.text = append(b.text, text...)
	b.noted += len(text)
}

// lineDue spaces plain lines: ten seconds at least, and then a tenth of the whole or a minute.
func (b *Bar) lineDue(v view) bool {
	since := time.Since(b.drawn)
	return since >= 10*time.Second &&
		(v.size < 0 || since >= time.Minute || v.bytes-b.bytes >= v.size/10)
}

// view is what is to be seen now: the file of u alone, or all files together.
func (b *Bar) view(u Update, ends bool) view {
	g := &b.group
	idle := time.Since(g.heard)
	v := view{
		verb: g.verb, elapsed: time.Since(g.start), ended: ends, failed: max(g.failed, g.told),
		bytes: u.Bytes, size: u.Size, speed: fade(u.Speed, idle), eta: u.ETA,
	}
	if idle > rateWindow { // who knows
		v.eta = -1
	}
	if !g.batch && g.seen == 1 {
		v.name, v.resumed, v.attempt = printable(u.Name), u.Resumed, u.Attempt
		v.fraction = fractionOf(u)
		return v
	}
	v.several, v.size, v.eta = true, -1, -1
	if g.batch && !ends {
		v.current = b.current(u)
	}
	files := float64(g.ended())
	moved := g.movedBytes
	v.bytes = g.doneBytes
	for _, f := range b.active {
		files += max(0, min(fractionOf(f), 0.999)) // whole once it is Done
		v.bytes += f.Bytes
		moved += max(0, f.Bytes-f.Resumed)
	}
	v.fraction = -1
	total := g.total
	if !g.batch {
		total = g.seen
	}
	v.name = fmt.Sprintf("%d files", g.ended())
	if total > 0 {
		v.name = fmt.Sprintf("%d/%d files", g.ended(), total)
		v.fraction = min(files/float64(total), 1)
	}
	v.speed = g.rate.Observe(v.elapsed, moved)
	if ends {
		v.speed = PerSecond(moved, v.elapsed)
	}
	if v.fraction > 0.01 && idle <= rateWindow { // otherwise it would be a guess
		v.eta = time.Duration(float64(v.elapsed) * (1 - v.fraction) / v.fraction)
	}
	return v
}

// current names the files that move now: the one that u is of, and how many others.
func (b *Bar) current(u Update) string {
	if _, moves := b.active[key{u.Index, u.Key}]; !moves {
		first := key{}
		for k := range b.active {
			if first.index == 0 || k.index < first.index {
				first = k
			}
		}
		u = b.active[first]
	}
	name := printable(u.Name)
	if n := len(b.active); n > 1 {
		name += fmt.Sprintf(" +%d", n-1)
	}
	return name
}

// fractionOf is how much of the file is there, from 0 to 1, or -1 where its size is unknown.
func fractionOf(u Update) float64 {
	switch {
	case u.Done, u.Size == 0:
		return 1
	case u.Size < 0:
		return -1
	}
	return max(0, min(float64(u.Bytes)/float64(u.Size), 1))
}
