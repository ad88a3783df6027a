package bar

import (
	"math"
	"time"
)

// A Rate is a mean of bytes per second in which what is older than a few seconds hardly counts.
type Rate struct {
	at          time.Duration
	bytes       int64
	sum, weight float64 // weight is below 1 at first, when there is less to look back on
}

// rateWindow is how long a change of speed takes to show by about two thirds.
const rateWindow = 3 * time.Second

// Observe takes the bytes moved at a time after the start, and returns the rate.
func (r *Rate) Observe(at time.Duration, bytes int64) float64 {
	if d := at - r.at; d > 0 {
		keep := fade(1, d)
		r.sum = r.sum*keep + PerSecond(max(0, bytes-r.bytes), d)*(1-keep)
		r.weight = r.weight*keep + 1 - keep
		r.at, r.bytes = at, bytes
	}
	if r.weight == 0 {
		return 0
	}
	return r.sum / r.weight
}

// fade is what becomes of a rate when nothing moves for a time.
func fade(rate float64, idle time.Duration) float64 {
	return rate * math.Exp(-idle.Seconds()/rateWindow.Seconds())
}

// PerSecond is the rate of n bytes in d, and 0 where no time has passed.
func PerSecond(n int64, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return float64(n) / d.Seconds()
}
