package ftpclient

import (
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/term"
)

// NewProgressBar returns a ProgressFunc that shows on w how transfers go. Where w is a terminal (an *os.File, or anything
// else with a method Fd, that is one) it draws a line over and over, at most ten times a second, with a bar, bytes, times
// and speed as far as they fit; when the transfer ends the line stays. Elsewhere it prints whole lines, one at the start,
// one at the end, and some between them, ten seconds apart at least.
//
// The files of a batch share one line, and so do transfers that run at the same time. One ProgressFunc serves any number
// of transfers, one after another or at the same time. It is safe for concurrent use.
//
// What cannot be written to w is lost: a transfer does not fail because nobody can watch it.
func NewProgressBar(w io.Writer) ProgressFunc {
	file, ok := w.(interface{ Fd() uintptr })
	if !ok || !term.IsTerminal(int(file.Fd())) || os.Getenv("TERM") == "dumb" {
		return newBar(w, nil).update
	}
	return newBar(w, func() int {
		width, _, err := term.GetSize(int(file.Fd()))
		if err != nil || width <= 0 {
			return 80
		}
		return width
	}).update
}

// A bar follows transfers and shows them as one line.
type bar struct {
	w     io.Writer
	width func() int // columns of the terminal; nil: plain lines

	mu     sync.Mutex // guards what follows, and keeps lines whole
	active map[barKey]Progress
	group  group
	drawn  time.Time // last line
	bytes  int64     // then, for plain lines
	cells  int       // of the line on the terminal, to be wiped by the next
	spin   int
}

// barKey tells transfers apart: the number within a batch, and the files outside one.
type barKey struct {
	index int
	job   Job
}

// A group is what the transfers of one line come to. The zero group is a line not yet begun.
type group struct {
	start                 time.Time
	direction             Direction
	seen                  int  // transfers begun
	batch                 bool // part of a batch
	total                 int  // files of the batch, 0 unknown
	done                  int
	failed, told          int   // as counted here, and as the batch tells
	doneBytes, movedBytes int64 // of the files that ended
	rate                  rate
}

func newBar(w io.Writer, width func() int) *bar {
	return &bar{w: w, width: width, active: map[barKey]Progress{}}
}

func (b *bar) update(p Progress) {
	b.mu.Lock()
	defer b.mu.Unlock()
	g := &b.group
	wholeBatch := p.Index == 0 && p.Total > 0
	begins := g.start.IsZero()
	if begins && wholeBatch {
		return // its last file has ended the line
	}
	if begins {
		g.start, g.direction = time.Now(), p.Job.Direction
	}
	g.batch = g.batch || p.Total > 1 || p.Total == 0 && p.Index > 0
	g.total, g.told = max(g.total, p.Total), max(g.told, p.Failed)
	if !wholeBatch {
		b.follow(p)
	}
	ends := wholeBatch || len(b.active) == 0
	if g.batch && !wholeBatch { // between two files of a batch there may be none
		ends = ends && g.total > 0 && g.ended() >= g.total
	}
	b.show(p, begins, ends)
	if ends {
		clear(b.active)
		b.group, b.cells = group{}, 0
	}
}

// follow takes note of one file.
func (b *bar) follow(p Progress) {
	g, key := &b.group, barKey{p.Index, p.Job}
	if _, known := b.active[key]; !known {
		g.seen++
	}
	b.active[key] = p
	if !p.Done && p.Err == nil {
		return
	}
	delete(b.active, key)
	g.doneBytes += p.Bytes
	g.movedBytes += max(0, p.Bytes-p.ResumedFrom)
	if p.Done {
		g.done++
	} else {
		g.failed++
	}
}

// ended is the number of files that need nothing more.
func (g *group) ended() int { return g.done + max(g.failed, g.told) }

func (b *bar) show(p Progress, begins, ends bool) {
	v := b.view(p, ends)
	if b.width == nil {
		if begins || ends || b.lineDue(v) {
			b.drawn, b.bytes = time.Now(), v.bytes
			_, _ = fmt.Fprintln(b.w, v.plain(begins))
		}
		return
	}
	if !begins && !ends && time.Since(b.drawn) < progressInterval {
		return
	}
	b.drawn = time.Now()
	b.spin++
	columns := max(b.width()-1, 1) // a character in the last column makes some terminals go to the next line
	line := v.line(columns, b.spin)
	cells := displayWidth(line)
	text := fmt.Sprintf("\r%s%*s", line, max(0, min(b.cells, columns)-cells), "")
	if ends {
		text += "\n"
	}
	b.cells = cells
	_, _ = io.WriteString(b.w, text)
}

// lineDue spaces plain lines: ten seconds at least, and then a tenth of the whole or a minute.
func (b *bar) lineDue(v view) bool {
	since := time.Since(b.drawn)
	return since >= 10*time.Second &&
		(v.size < 0 || since >= time.Minute || v.bytes-b.bytes >= v.size/10)
}

// view is what is to be seen now: the file p alone, or all files together.
func (b *bar) view(p Progress, ends bool) view {
	g := &b.group
	v := view{
		verb: g.direction.String(), elapsed: time.Since(g.start), ended: ends, failed: max(g.failed, g.told),
		bytes: p.Bytes, size: p.Size, speed: p.BytesPerSec, eta: p.ETA,
	}
	if !g.batch && g.seen == 1 {
		v.name, v.resumed, v.attempt = fileName(p.Job), p.ResumedFrom, p.Attempt
		v.fraction = fractionOf(p)
		return v
	}
	v.several, v.size, v.eta = true, -1, -1
	files := float64(g.ended())
	moved := g.movedBytes
	v.bytes = g.doneBytes
	for _, f := range b.active {
		files += max(0, min(fractionOf(f), 0.999)) // whole once it is Done
		v.bytes += f.Bytes
		moved += max(0, f.Bytes-f.ResumedFrom)
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
	v.speed = g.rate.observe(v.elapsed, moved)
	if ends {
		v.speed = perSecond(moved, v.elapsed)
	}
	if v.fraction > 0.01 { // earlier it would be a guess
		v.eta = time.Duration(float64(v.elapsed) * (1 - v.fraction) / v.fraction)
	}
	return v
}

// fractionOf is how much of the file is there, from 0 to 1, or -1 where its size is unknown.
func fractionOf(p Progress) float64 {
	switch {
	case p.Done, p.Size == 0:
		return 1
	case p.Size < 0:
		return -1
	}
	return max(0, min(float64(p.Bytes)/float64(p.Size), 1))
}

// fileName is the name to show: the remote one, which every job has.
func fileName(job Job) string {
	if job.Remote == "" {
		return printable(filepath.Base(job.Local))
	}
	return printable(path.Base(job.Remote))
}
