package bar

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"
)

var units = []string{"B", "kB", "MB", "GB", "TB", "PB", "EB"}

// sizeUnit is the index of the unit in which n is shown.
func sizeUnit(n int64) int {
	unit := 0
	for f := float64(n); f >= 999.5 && unit < len(units)-1; f /= 1000 {
		unit++
	}
	return unit
}

// formatSize is "512 B", "45.2 MB", "100 MB".
func formatSize(n int64) string { return inUnit(n, sizeUnit(n)) + " " + units[sizeUnit(n)] }

// inUnit is n in a unit, three digits where it has as many.
func inUnit(n int64, unit int) string {
	f := float64(n) / math.Pow10(3*unit)
	if unit == 0 || f >= 99.95 {
		return strconv.FormatFloat(f, 'f', 0, 64)
	}
	return strconv.FormatFloat(f, 'f', 1, 64)
}

// formatClock is 0:30, 12:05 or 1:00:00.
func formatClock(d time.Duration) string {
	s := int64(d / time.Second)
	if s < 3600 {
		return fmt.Sprintf("%d:%02d", s/60, s%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
}

// printable is name with what would move the cursor, change the direction of writing or print nothing spelled out.
func printable(name string) string {
	var b strings.Builder
	for len(name) > 0 {
		r, size := utf8.DecodeRuneInString(name)
		if unicode.IsGraphic(r) && r != unicode.ReplacementChar {
			b.WriteString(name[:size])
		} else {
			quoted := strconv.QuoteToASCII(name[:size])
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		name = name[size:]
	}
	return b.String()
}

// displayWidth is the number of cells that s takes: two for a wide character.
func displayWidth(s string) int { return uniseg.StringWidth(s) }

// shorten cuts the middle out of s so that it takes at most width cells.
func shorten(s string, width int) string {
	total := displayWidth(s)
	if total <= width {
		return s
	}
	if width < 1 {
		return ""
	}
	front := width / 2          // cells before the ellipsis
	behind := width - 1 - front // and after it
	var b strings.Builder
	used, passed, cut := 0, 0, false
	for g := uniseg.NewGraphemes(s); g.Next(); passed += g.Width() {
		switch {
		case !cut && used+g.Width() <= front:
			b.WriteString(g.Str())
			used += g.Width()
		case !cut:
			b.WriteString("…")
			cut = true
			fallthrough
		default:
			if total-passed <= behind {
				b.WriteString(g.Str())
			}
		}
	}
	return b.String()
}
