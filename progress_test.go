package ftpclient_test

import (
	"bytes"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
)

const mb = 1_000_000

var isoJob = ftpclient.Job{Server: "s", Remote: "/pub/big.iso", Local: "big.iso"}

// recorder keeps every Progress.
type recorder struct{ all []ftpclient.Progress }

func (r *recorder) take(p ftpclient.Progress) { r.all = append(r.all, p) }
func (r *recorder) last() ftpclient.Progress  { return r.all[len(r.all)-1] }
func (r *recorder) first() ftpclient.Progress { return r.all[0] }

// wait lets the bubble's clock go on.
func wait(d time.Duration) { <-time.After(d) }

func TestAMeterCallsAtTheStartTenTimesASecondAndAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		m := ftpclient.NewMeter(r.take, isoJob, 100*mb, 0)
		require.Len(t, r.all, 1)
		assert.Equal(t, ftpclient.Progress{Job: isoJob, Index: 1, Total: 1, Size: 100 * mb, Attempt: 1, ETA: -1}, r.first())
		for range 1000 { // 10 s at 10 MB/s
			wait(10 * time.Millisecond)
			m.Add(100_000)
		}
		assert.InDelta(t, 100, len(r.all), 10)
		half := r.all[len(r.all)/2]
		assert.InDelta(t, 10*mb, half.BytesPerSec, 0.2*mb)
		assert.InDelta(t, 5, half.ETA.Seconds(), 0.3)
		m.Finish(nil)
		n := len(r.all)
		assert.True(t, r.last().Done)
		assert.EqualValues(t, 100*mb, r.last().Bytes)
		assert.InDelta(t, 10*mb, r.last().BytesPerSec, 1)
		assert.Zero(t, r.last().ETA)
		for _, p := range r.all[:n-1] {
			assert.False(t, p.Done)
		}

		m.Finish(errors.New("again"))
		m.Try(2, 0)
		wait(time.Second)
		m.Add(1)
		assert.Len(t, r.all, n, "nothing comes after the end")
	})
}

func TestABurstOfAttemptsIsNotToldOfFasterThanTenTimesASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		m := ftpclient.NewMeter(r.take, isoJob, 100*mb, 0)
		for n := range 1000 { // in a second
			wait(time.Millisecond)
			m.Try(n+2, int64(n))
		}
		assert.InDelta(t, 10, len(r.all), 1)
		assert.InDelta(t, 1000, r.last().Attempt, 101, "as they go on")
		m.Finish(errors.New("given up"))
		assert.Equal(t, 1001, r.last().Attempt)
		assert.EqualValues(t, 999, r.last().Bytes)
	})
}

func TestAMeterDoesNotCountWhatAResumeKeptAsSpeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		m := ftpclient.NewMeter(r.take, isoJob, 100*mb, 90*mb)
		assert.EqualValues(t, 90*mb, r.first().Bytes)
		assert.EqualValues(t, 90*mb, r.first().ResumedFrom)
		for range 50 {
			wait(100 * time.Millisecond)
			m.Add(100_000)
		}
		assert.InDelta(t, 1*mb, r.last().BytesPerSec, 1000)
		assert.InDelta(t, 5, r.last().ETA.Seconds(), 0.1)
		assert.EqualValues(t, 95*mb, r.last().Bytes)

		wait(100 * time.Millisecond)
		m.Try(2, 0) // another file than the one that was kept
		assert.Equal(t, 2, r.last().Attempt)
		assert.Zero(t, r.last().Bytes)
		assert.Zero(t, r.last().ResumedFrom)
		m.Resize(10 * mb)
		wait(time.Second)
		m.Add(mb)
		assert.EqualValues(t, 10*mb, r.last().Size)
		assert.InDelta(t, 1*mb, r.last().BytesPerSec, 0.05*mb)
		m.Finish(nil)
		assert.InDelta(t, 1*mb, r.last().BytesPerSec, 0.05*mb)
	})
}

func TestAMetersSpeedFollowsAChangeAndAStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		m := ftpclient.NewMeter(r.take, isoJob, -1, 0)
		for range 100 {
			wait(100 * time.Millisecond)
			m.Add(mb)
		}
		assert.InDelta(t, 10*mb, r.last().BytesPerSec, 1)
		assert.Negative(t, r.last().ETA)
		for range 100 {
			wait(100 * time.Millisecond)
			m.Add(mb / 10)
		}
		assert.InDelta(t, 1*mb, r.last().BytesPerSec, 0.5*mb)
		wait(30 * time.Second)
		m.Add(1)
		assert.Less(t, r.last().BytesPerSec, float64(mb)/100)
	})
}

func TestAFailedTransferEndsWithItsErrorAndNotDone(t *testing.T) {
	var r recorder
	m := ftpclient.NewMeter(r.take, isoJob, 100, 0)
	m.Add(10)
	cause := errors.New("gone")
	m.Finish(cause)
	assert.False(t, r.last().Done)
	assert.Equal(t, cause, r.last().Err)
	assert.EqualValues(t, 10, r.last().Bytes)
}

func TestAnUnknownOrWrongSizeHasNoETA(t *testing.T) {
	for _, size := range []int64{-1, 5} {
		synctest.Test(t, func(t *testing.T) {
			var r recorder
			m := ftpclient.NewMeter(r.take, isoJob, size, 0)
			wait(time.Second)
			m.Add(10)
			assert.Negative(t, r.last().ETA)
		})
	}
}

func TestAMeterWithoutAFunctionDoesNothing(t *testing.T) {
	m := ftpclient.NewMeter(nil, isoJob, 1, 0)
	m.Add(1)
	m.Try(2, 0)
	m.Resize(2)
	m.Finish(nil)
	assert.Nil(t, m)
}

func TestAMetersCallsNeverOverlapAndNeverHoldUpASegment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running, calls atomic.Int32
		release := make(chan struct{})
		m := ftpclient.NewMeter(func(p ftpclient.Progress) {
			assert.EqualValues(t, 1, running.Add(1))
			if calls.Add(1) == 2 {
				<-release
			}
			running.Add(-1)
		}, isoJob, -1, 0)
		wait(time.Second)
		go m.Add(1) // waits in its call
		synctest.Wait()
		require.EqualValues(t, 2, calls.Load())
		wait(time.Second)
		m.Add(1) // returns at once
		close(release)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 100 {
					wait(10 * time.Millisecond)
					m.Add(1)
				}
			})
		}
		wg.Wait()
		m.Finish(nil)
		assert.LessOrEqual(t, calls.Load(), int32(14))
	})
}

func TestAProgressBarIsToldAllThatAProgressSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		bar := ftpclient.NewProgressBar(&out)
		p := ftpclient.Progress{
			Job: isoJob, Index: 1, Total: 1, Bytes: 45 * mb, Size: 100 * mb, ResumedFrom: 10 * mb, Attempt: 3, BytesPerSec: 1.2 * mb, ETA: 45 * time.Second,
		}
		bar(p)
		wait(time.Minute)
		bar(p)
		p.Err = errors.New("gone")
		bar(p)

		p = ftpclient.Progress{Job: ftpclient.Job{Direction: ftpclient.Up, Local: filepath.Join("d", "a.txt")}, Index: 1, Total: 1, Size: 5, ETA: -1}
		bar(p)
		p.Bytes, p.Done = 5, true
		bar(p)

		first, second := isoJob, isoJob
		second.Remote = "/pub/other.iso"
		bar(ftpclient.Progress{Job: first, Index: 1, Total: 3})
		bar(ftpclient.Progress{Job: second, Index: 2, Total: 3})
		bar(ftpclient.Progress{Job: first, Index: 1, Total: 3, Done: true})
		bar(ftpclient.Progress{Total: 3, Failed: 2, Done: true})

		bar(ftpclient.Progress{Job: first, Index: 1, Total: 1}) // side by side, each a transfer of its own
		bar(ftpclient.Progress{Job: second, Index: 1, Total: 1})
		bar(ftpclient.Progress{Job: first, Index: 1, Total: 1, Done: true})
		bar(ftpclient.Progress{Job: second, Index: 1, Total: 1, Done: true})
		assert.Equal(t, `download big.iso: started, 100 MB, resumed at 10.0 MB, retry 2
download big.iso: 45%, 45.0/100 MB, 1.2 MB/s, 0:45 left, resumed at 10.0 MB, retry 2
download big.iso: failed, 45.0/100 MB in 1:00, 1.2 MB/s, resumed at 10.0 MB, retry 2
upload a.txt: started, 5 B
upload a.txt: done, 5 B in 0:00
download 0/3 files: started
download 3/3 files: 2 failed, 0 B in 0:00
download big.iso: started, 0 B
download 2/2 files: done, 0 B in 0:00
`, out.String())
	})
}

// BenchmarkMeterAdd is what a transfer pays for each chunk.
func BenchmarkMeterAdd(b *testing.B) {
	m := ftpclient.NewMeter(func(ftpclient.Progress) {}, isoJob, -1, 0)
	b.ReportAllocs()
	for b.Loop() {
		m.Add(256 << 10)
	}
}
