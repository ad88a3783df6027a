package bar

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
)

// A view is what one line shows.
type view struct {
	verb, name  string
	bytes, size int64   // size -1: unknown
	fraction    float64 // <0: unknown
	elapsed     time.Duration
	eta         time.Duration // <0: unknown
	speed       float64
	resumed     int64
	attempt     int
	failed      int
	ended       bool
	several     bool   // files
	current     string // those that move now, where there are several
}

// A detail says which parts of a line are shown.
type detail struct {
	name                            int // least width
	bar                             int // least width; 0: none
	verb, count, times, speed, note bool
}

// details go from all to the least; the first that fits is taken.
var details = []detail{
	{name: 24, bar: 10, verb: true, count: true, times: true, speed: true, note: true},
	{name: 12, bar: 5, verb: true, count: true, times: true, speed: true, note: true},
	{name: 12, bar: 5, count: true, times: true, speed: true, note: true},
	{name: 12, bar: 5, count: true, speed: true, note: true},
	{name: 12, count: true, speed: true, note: true},
	{name: 8, speed: true, note: true},
	{name: 8, count: true, speed: true},
	{name: 5, speed: true},
	{name: 5},
}

// What the names of the current files may take of a line.
const (
	minCurrent = 8
	maxCurrent = 30
)

// line is v in at most so many columns. spin turns the mark of a transfer of unknown length.
func (v view) line(columns, spin int) string {
	for i, d := range details {
		if v.several && i == len(details)-2 {
			v.name = strings.TrimSuffix(v.name, " files")
		}
		head, tail := v.head(d), v.tail(d)
		middle := v.middle(d.bar, spin)
		free := columns - displayWidth(head) - displayWidth(middle) - displayWidth(tail)
		name := displayWidth(v.name)
		least := min(name, d.name)
		if v.several { // a number cut short is a wrong one
			least = name
		}
		if free < least && i < len(details)-1 {
			continue
		}
		now, spare := "", free-name
		if room := min(spare-2, maxCurrent); v.current != "" && room >= minCurrent {
			now = "  " + shorten(v.current, room)
			spare -= room + 2 // whatever the name's length, so that the bar's does not change with each file
		}
		if d.bar > 0 && spare > 0 {
			middle = v.middle(min(d.bar+spare, 40), spin)
		}
		return shorten(head+shorten(v.name, min(max(free, 1), name))+middle+tail+now, columns)
	}
	return "" // not reached: the last detail is always taken
}

func (v view) head(d detail) string {
	if !d.verb {
		return ""
	}
	return v.verb + "  "
}

// middle is the percentage and, width cells wide, the bar.
func (v view) middle(width, spin int) string {
	if v.fraction < 0 {
		if v.ended {
			return ""
		}
		return " " + string(`|/-\`[spin%4])
	}
	if width == 0 {
		return fmt.Sprintf(" %3d%%", int(v.fraction*100))
	}
	// A bar drawn once into nothing and read back: its own way with the terminal cannot go backwards in a retry, and
	// would need a goroutine for the spinner.
	const scale = 1 << 20 // a power of two: the bar's percentage is then exact
	drawn := progressbar.NewOptions64(scale,
		progressbar.OptionSetWriter(io.Discard), progressbar.OptionSetWidth(width),
		progressbar.OptionSetPredictTime(false), progressbar.OptionSetElapsedTime(false))
	_ = drawn.Set64(int64(math.Ceil(v.fraction * scale))) // Discard takes all
	_ = drawn.RenderBlank()
	return strings.TrimRight(strings.TrimPrefix(drawn.String(), "\r"), " ")
}

// tail is bytes, times, speed and notes.
func (v view) tail(d detail) string {
	var b strings.Builder
	if d.count {
		b.WriteString(" " + v.count())
	}
	var brackets []string
	if d.times {
		brackets = append(brackets, v.times())
	}
	if d.speed && v.speed > 0 {
		brackets = append(brackets, formatSize(int64(v.speed))+"/s")
	}
	if len(brackets) > 0 {
		text := strings.Join(brackets, ", ")
		if d.times {
			text = "[" + text + "]"
		}
		b.WriteString(" " + text)
	}
	var notes []string
	if d.note {
		notes = v.notes()
	}
	if text := v.failure(); text != "" { // however narrow: 100 % alone would look like success
		notes = append(notes, text)
	}
	if len(notes) > 0 {
		b.WriteString(" " + strings.Join(notes, ", "))
	}
	return b.String()
}

// count is "45.2/100 MB", or "45.2 MB" where there is no whole or nothing is missing.
func (v view) count() string {
	if v.size < 0 || v.bytes == v.size {
		return formatSize(v.bytes)
	}
	unit := sizeUnit(v.size)
	return inUnit(v.bytes, unit) + "/" + formatSize(v.size)
}

// times is "0:30<0:45": passed and to come.
func (v view) times() string {
	text := formatClock(v.elapsed)
	if !v.ended && v.eta >= 0 {
		text += "<" + formatClock(v.eta)
	}
	return text
}

// notes are what is unusual about a transfer that goes on.
func (v view) notes() []string {
	var notes []string
	switch {
	case v.resumed > 0 && v.resumed == v.size: // skipped, or a partial that was whole
		notes = append(notes, "already there")
	case v.resumed > 0:
		notes = append(notes, "resumed at "+formatSize(v.resumed))
	}
	if v.attempt > 1 {
		notes = append(notes, "retry "+strconv.Itoa(v.attempt-1))
	}
	return notes
}

func (v view) failure() string {
	switch {
	case v.failed == 0:
		return ""
	case v.several:
		return strconv.Itoa(v.failed) + " failed"
	}
	return "failed"
}

// plain is v as a line of text.
func (v view) plain(begins bool) string {
	var parts []string
	switch {
	case begins && !v.ended && v.size >= 0:
		parts = append(parts, "started", formatSize(v.size))
	case begins && !v.ended:
		parts = append(parts, "started")
	case v.ended:
		parts = append(parts, cmp.Or(v.failure(), "done"), v.count()+" in "+formatClock(v.elapsed))
	case v.fraction >= 0:
		parts = append(parts, fmt.Sprintf("%d%%", int(v.fraction*100)), v.count())
	default:
		parts = append(parts, v.count())
	}
	if v.speed > 0 && (v.ended || !begins) {
		parts = append(parts, formatSize(int64(v.speed))+"/s")
	}
	if !v.ended && !begins && v.eta >= 0 {
		parts = append(parts, formatClock(v.eta)+" left")
	}
	parts = append(parts, v.notes()...)
	if v.current != "" && !begins {
		parts = append(parts, v.current)
	}
	if !v.ended && v.failed > 0 {
		parts = append(parts, v.failure())
	}
	return v.verb + " " + v.name + ": " + strings.Join(parts, ", ")
}
