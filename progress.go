package ftpclient

import (
	"io"
	"math"
	"path"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/corexalgo/ftpclient/internal/bar"
	"github.com/corexalgo/ftpclient/internal/sink"
	"github.com/corexalgo/ftpclient/internal/source"
)

// Progress says how far the transfer of one file is.
type Progress struct {
	Job Job

	// Index counts the files of a batch from 1, in the order of its jobs; Total is their number, 0 while it is not yet
	// known. Both are 1 outside a batch. Files of a batch move side by side, so that calls for several of them alternate.
	// Index 0 is the batch as a whole: it comes once, last, with Done.
	Index, Total int

	Bytes, Size int64 // position in the file, with what a resume kept; Size -1: unknown
	ResumedFrom int64 // what a resume kept of an earlier call, and all of a file that is skipped; 0: nothing
	Attempt     int   // 1, and one more with each retry; Bytes can fall when one begins
	Failed      int   // files of the batch that failed until now, this one included

	BytesPerSec float64       // over the last seconds, of bytes really moved; in the last call over the whole transfer
	ETA         time.Duration // until Bytes is Size, at BytesPerSec; <0 unknown

	Done bool  // the file is whole: the last call
	Err  error // why the transfer was given up: the last call too, with Done false
}

// A ProgressFunc is told how a transfer goes: at its start, at its end, and between them while bytes move, at most ten
// times a second. The calls for one file never overlap, but those for different files of a batch can, unless it says
// otherwise. The transfer waits for each call to return, and keeps its connections: a call that asks the same server by the
// same Client needs another one, and is an error where there can be none; see ServerConfig.MaxConns.
type ProgressFunc func(Progress)

// NewProgressBar returns a ProgressFunc that shows on w how transfers go. Where w is a terminal (an *os.File, or anything
// else with a method Fd, that is one) it draws a line over and over, at most ten times a second, with a bar, bytes, times
// and speed as far as they fit. While nobody calls, it draws once a second in a goroutine of its own, so that time goes on
// and the speed falls, for ten minutes at most. When the transfer ends the line stays, and nothing more is written. Elsewhere
// it prints whole lines, one at the start, one at the end, and some between them, ten seconds apart at least, and only when it
// is called.
//
// The files of a batch share one line, and so do transfers that run at the same time. One ProgressFunc serves any number
// of transfers, one after another or at the same time. It is safe for concurrent use.
//
// What cannot be written to w is lost: a transfer does not fail because nobody can watch it.
func NewProgressBar(w io.Writer) ProgressFunc {
	b := bar.New(w)
	return func(p Progress) { b.Update(barUpdate(p)) }
}

// barUpdate is p as the bar takes it. The name is the remote one, which every job has.
func barUpdate(p Progress) bar.Update {
	name := path.Base(p.Job.Remote)
	if p.Job.Remote == "" {
		name = filepath.Base(p.Job.Local)
	}
	return bar.Update{
		Key: p.Job, Verb: p.Job.Direction.String(), Name: name,
		Index: p.Index, Total: p.Total, Failed: p.Failed,
		Bytes: p.Bytes, Size: p.Size, Resumed: p.ResumedFrom, Attempt: p.Attempt,
		Speed: p.BytesPerSec, ETA: p.ETA, Done: p.Done, GivenUp: p.Err != nil,
	}
}

// progressInterval is the shortest time between two calls in the middle of a file.
const progressInterval = 100 * time.Millisecond

// A meter counts the bytes of one transfer and tells a ProgressFunc. Its methods may be called by several goroutines, and
// do nothing on a nil meter.
type meter struct {
	fn       ProgressFunc
	batch    *batch // that the file is of; nil: none
	start    time.Time
	position atomic.Int64 // in the file
	moved    atomic.Int64 // by this call
	tries    atomic.Int64
	next     atomic.Int64 // when a call is due, in nanoseconds after start

	mu    sync.Mutex // guards what follows, and is held while fn runs
	p     Progress
	rate  bar.Rate
	ended bool
}

// newMeter makes the first call. size is -1 where it is unknown; resumed is what a resume keeps. The meter is nil where fn
// is.
func newMeter(fn ProgressFunc, job Job, size, resumed int64, at place) *meter {
	if fn == nil {
		return nil
	}
	m := &meter{
		fn: fn, start: time.Now(), batch: at.batch,
		p: Progress{Job: job, Index: max(at.index, 1), Total: 1, Size: size, ResumedFrom: resumed},
	}
	m.position.Store(resumed)
	m.tries.Store(1)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.call()
	return m
}

// add counts n bytes more. While another goroutine reports, it does not wait.
func (m *meter) add(n int64) {
	if m == nil {
		return
	}
	m.position.Add(n)
	m.moved.Add(n)
	if int64(time.Since(m.start)) < m.next.Load() || !m.mu.TryLock() {
		return
	}
	defer m.mu.Unlock()
	m.callIfDue()
}

// attempt says that try n begins, and continues at offset. Tries can follow each other faster than fn is to be told: then the
// next call tells.
func (m *meter) attempt(n int, offset int64) {
	if m == nil {
		return
	}
	m.again(n)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.position.Store(offset)
	m.p.ResumedFrom = min(m.p.ResumedFrom, offset) // what was kept may turn out to be of no use
	m.callIfDue()
}

// again is attempt where the meter is, as others move bytes meanwhile. The next call tells; it does not wait for one.
func (m *meter) again(n int) {
	if m != nil {
		m.tries.Store(int64(n))
	}
}

// callIfDue tells fn if it was not told a moment ago. The caller holds mu.
func (m *meter) callIfDue() {
	if !m.ended && int64(time.Since(m.start)) >= m.next.Load() {
		m.call()
	}
}

// resize corrects the size, where it is learned only now.
func (m *meter) resize(size int64) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.p.Size = size
}

// done makes the last call. A second one does nothing.
func (m *meter) done(err error) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ended {
		return
	}
	m.ended = true
	m.p.Done, m.p.Err = err == nil, err
	m.call()
}

// call tells fn. The caller holds mu.
func (m *meter) call() {
	elapsed := time.Since(m.start)
	m.p.Bytes, m.p.Attempt = m.position.Load(), int(m.tries.Load())
	m.p.BytesPerSec = m.rate.Observe(elapsed, m.moved.Load())
	if m.ended {
		m.p.BytesPerSec = bar.PerSecond(m.moved.Load(), elapsed)
	}
	m.p.ETA = remaining(m.p)
	if m.batch != nil {
		m.p.Total, m.p.Failed = m.batch.counts()
		if m.p.Err != nil {
			m.p.Failed++
		}
	}
	m.fn(m.p)
	m.next.Store(int64(time.Since(m.start) + progressInterval)) // fn may have taken its time
}

func remaining(p Progress) time.Duration {
	switch {
	case p.Done:
		return 0
	case p.Size < 0 || p.Bytes > p.Size:
		return -1
	case p.Bytes == p.Size:
		return 0
	case p.BytesPerSec <= 0:
		return -1
	}
	seconds := float64(p.Size-p.Bytes) / p.BytesPerSec
	if seconds > math.MaxInt64/1e9 {
		return -1
	}
	return time.Duration(seconds * 1e9)
}

// start tells that attempt n moves content from offset on, now that the size is known.
func (t *transfer) start(n int, size, offset int64) {
	if t.meter == nil {
		fn := t.opts.Progress
		if fn != nil {
			fn = func(p Progress) {
				defer t.rest()()
				t.opts.Progress(p)
			}
		}
		t.meter = newMeter(fn, t.job, size, offset, t.place)
		if n == 1 {
			return
		}
	}
	t.meter.resize(size)
	t.meter.attempt(n, offset)
}

// advance counts content that moved.
func (t *transfer) advance(n int64) {
	t.meter.add(n)
	if t.place.batch != nil {
		t.place.batch.moved.Add(n)
	}
}

// rest tells the pool that the transfer's connection waits for the caller's own code, which may wait for a connection itself.
func (t *transfer) rest() (end func()) {
	srv := t.srv
	if t.over { // only the lane may have one, and of another server if nothing was asked of this one
		if t.lane == nil || t.lane.lease == nil {
			return func() {}
		}
		srv = t.lane.srv
	}
	target := srv.pool.Rest(t.ctx)
	if t.origin == nil {
		return target
	}
	origin := t.origin.rest()
	return func() {
		origin()
		target()
	}
}

// rest is settle for a copy, which reads by itself: its caller has the turn only in a callback.
func (f *File) rest() (end func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settle()
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.stir()
	}
}

// A callersWriter is the caller's own code.
type callersWriter struct {
	t *transfer
	w io.Writer
}

func (t *transfer) downloadWriter(w io.Writer) error {
	if err := given("writer", w != nil); err != nil {
		return err
	}
	return (&download{transfer: t, sink: sink.NewWriter(callersWriter{t, w})}).run()
}

func (c callersWriter) Write(p []byte) (int, error) {
	defer c.t.rest()()
	return c.w.Write(p)
}

func (t *transfer) uploadReader(r io.Reader) error {
	if err := given("reader", r != nil); err != nil {
		return err
	}
	return t.upload(callersSource{source.NewReader(r), t}, strconv.FormatInt(time.Now().UnixNano(), 36))
}

// A callersSource reads by the caller's own code.
type callersSource struct {
	source.Source
	t *transfer
}

// Content is that of the Source.
func (c callersSource) Content() io.Reader { return callersReader{c.t, c.Source.Content()} }

type callersReader struct {
	t *transfer
	r io.Reader
}

func (c callersReader) Read(p []byte) (int, error) {
	defer c.t.rest()()
	return c.r.Read(p)
}

// counts are what a file's progress tells of the batch.
func (b *batch) counts() (total, failed int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.whole {
		total = b.result.Total
	}
	return total, b.result.Failed
}

// tell calls OnFile, one call at a time.
func (b *batch) tell(e FileEvent) {
	if b.opts.OnFile == nil {
		return
	}
	e.Total, _ = b.counts()
	b.telling.Lock()
	defer b.telling.Unlock()
	b.opts.OnFile(e)
}
