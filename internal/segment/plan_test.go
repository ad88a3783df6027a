package segment_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/corexalgo/ftpclient/internal/partfile"
	"github.com/corexalgo/ftpclient/internal/segment"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const mib = 1 << 20

func all(size int64) []partfile.Range { return []partfile.Range{{From: 0, To: size}} }

// take demands a task.
func take(t *testing.T, p *segment.Plan, shares int) *segment.Task {
	t.Helper()
	task, err := p.Take(t.Context(), shares)
	require.NoError(t, err)
	require.NotNil(t, task)
	t.Cleanup(task.Close)
	return task
}

// finish fetches all of a task and returns its length.
func finish(t *testing.T, task *segment.Task) (length int64) {
	t.Helper()
	for {
		at, n, done, last := task.Accept(64 << 10)
		length += int64(n)
		if done {
			task.Release(last)
			assert.Equal(t, task.From()+length, at+int64(n))
			return length
		}
	}
}

func TestTheFirstRangesAreEqualShares(t *testing.T) {
	p := segment.NewPlan(80*mib, all(80*mib), 0)
	var tasks []*segment.Task
	for range 8 {
		tasks = append(tasks, take(t, p, 8))
	}
	for _, task := range tasks {
		assert.EqualValues(t, 10*mib, finish(t, task))
	}
	task, err := p.Take(t.Context(), 0)
	require.NoError(t, err)
	assert.Nil(t, task)
	assert.False(t, p.Await(t.Context()))
}

func TestOneWorkerDoesItAllInOneGo(t *testing.T) {
	p := segment.NewPlan(80*mib, all(80*mib), 0)
	assert.EqualValues(t, 80*mib, finish(t, take(t, p, 8)))
}

func TestWhatAWorkerLeavesIsFetchedByTheOneBeforeItWithoutAPause(t *testing.T) {
	p := segment.NewPlan(80*mib, all(80*mib), 0)
	first, second := take(t, p, 2), take(t, p, 2)
	_, n, _, _ := second.Accept(mib)
	require.Equal(t, mib, n)
	second.Release(false) // its line is cut; [41, 80) is left
	assert.EqualValues(t, 40*mib, finish(t, first))
	assert.EqualValues(t, 39*mib, finish(t, take(t, p, 0)))

	p = segment.NewPlan(80*mib, all(80*mib), 0)
	first, second = take(t, p, 2), take(t, p, 2)
	second.Release(false)
	assert.EqualValues(t, 80*mib, finish(t, first))
}

func TestAFinishedWorkerTakesItsShareOfTheLargestRest(t *testing.T) {
	p := segment.NewPlan(30*mib, []partfile.Range{{From: 0, To: 4 * mib}, {From: 10 * mib, To: 30 * mib}}, 0)
	large, small := take(t, p, 0), take(t, p, 0)
	assert.EqualValues(t, 10*mib, large.From())
	assert.EqualValues(t, 0, small.From())
	assert.EqualValues(t, 4*mib, finish(t, small))
	third := take(t, p, 0)
	assert.EqualValues(t, 20*mib, third.From())
	assert.EqualValues(t, 10*mib, finish(t, third))
}

func TestAFileWithoutMissingBytesStillNeedsItsEndConfirmed(t *testing.T) {
	p := segment.NewPlan(mib, nil, 0)
	task := take(t, p, 0)
	assert.EqualValues(t, mib, task.From())
	task.Release(false)
	task = take(t, p, 0)
	_, n, done, last := task.Accept(1)
	assert.True(t, done && last && n == 0)
	task.Release(true)
	assert.False(t, p.Await(t.Context()))
}

func TestARangeOfWhichNoByteComesIsTakenAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := segment.NewPlan(30<<10, all(30<<10), 2*time.Second)
		stuck := take(t, p, 0)
		_, n, _, _ := stuck.Accept(1000)
		require.Equal(t, 1000, n)
		begin := time.Now()
		other := take(t, p, 0)
		assert.EqualValues(t, 1000, other.From())
		assert.InDelta(t, 2, time.Since(begin).Seconds(), 0.3)
		require.Error(t, stuck.Context.Err())
		_, n, done, last := stuck.Accept(1000)
		assert.Zero(t, n)
		assert.True(t, done)
		assert.False(t, last)
		stuck.Release(false)

		begin = time.Now()
		take(t, p, 0)
		assert.InDelta(t, 4, time.Since(begin).Seconds(), 0.3, "the next one has more time")
	})
}

func TestASlowRestIsSharedEvenIfItIsSmall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := segment.NewPlan(mib, all(mib), 0)
		slow := take(t, p, 0)
		go come(slow, 100, 4<<10)
		task := take(t, p, 0)
		assert.Greater(t, task.From(), int64(mib/3))
		finish(t, task)
		time.Sleep(time.Hour)
	})
}

// come has bytes come for a task, so many each tenth of a second.
func come(task *segment.Task, tenths, bytes int) {
	for range tenths {
		time.Sleep(100 * time.Millisecond)
		task.Accept(bytes)
	}
}

func TestWhatBecomesSlowLateIsSharedSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := segment.NewPlan(32*mib, all(32*mib), 0)
		late := take(t, p, 0)
		come(late, 60, mib/2)
		go come(late, 100, 2<<10)
		begun := time.Now()
		take(t, p, 0)
		assert.InDelta(t, 0, time.Since(begun).Seconds(), 0.1, "2 MiB are left")

		p = segment.NewPlan(31*mib+mib/2, all(31*mib+mib/2), 0)
		late = take(t, p, 0)
		come(late, 60, mib/2)
		go come(late, 100, 2<<10)
		begun = time.Now()
		take(t, p, 0)
		assert.Less(t, time.Since(begun), 4*time.Second)
		time.Sleep(time.Hour)
	})
}

func TestWhatHasJustBegunIsNotSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := segment.NewPlan(mib, all(mib), 0)
		begun := take(t, p, 0)
		go come(begun, 9, 1000)
		ctx, cancel := context.WithTimeout(t.Context(), 950*time.Millisecond)
		defer cancel()
		_, err := p.Take(ctx, 0)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestALittleOfASlowRestIsSharedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := segment.NewPlan(100<<10, all(100<<10), 0)
		slow := take(t, p, 0)
		go come(slow, 30, 512)
		task := take(t, p, 0)
		assert.Greater(t, task.From(), int64(40<<10))
		time.Sleep(time.Hour)
	})
}

func TestTheOneThatWouldTakeLongestIsSharedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := segment.NewPlan(40*mib, []partfile.Range{{From: 0, To: 30 * mib}, {From: 31 * mib, To: 40 * mib}}, 0)
		large, slow := take(t, p, 0), take(t, p, 0)
		require.EqualValues(t, 31*mib, slow.From())
		var both sync.WaitGroup
		both.Go(func() { come(large, 20, mib/2) })
		both.Go(func() { come(slow, 20, 10<<10) })
		both.Wait()
		assert.Greater(t, take(t, p, 0).From(), int64(31*mib))
	})
}

func TestAFailureEndsTheWorkOfAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := segment.NewPlan(mib, all(mib), 0)
		task := take(t, p, 0)
		failed := errors.New("disk full")
		waiting := make(chan error)
		go func() {
			_, err := p.Take(t.Context(), 0)
			waiting <- err
		}()
		synctest.Wait()
		p.Fail(failed)
		p.Fail(errors.New("later"))
		require.ErrorIs(t, <-waiting, failed)
		require.ErrorIs(t, p.Err(), failed)
		require.Error(t, task.Context.Err())
		assert.False(t, p.Await(t.Context()))
	})
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	p := segment.NewPlan(mib, all(mib), 0)
	take(t, p, 0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := p.Take(ctx, 0)
	require.ErrorIs(t, err, context.Canceled)
	assert.False(t, p.Await(ctx))
}

func TestWhateverTheWorkersDoEachByteIsFetchedOnceAndTheEndConfirmed(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		size := 1 + random.Int64N(30*mib)
		p := segment.NewPlan(size, all(size), 0)
		var mu sync.Mutex // guards fetched and random
		var fetched []partfile.Range
		sealed := 0
		draw := func(n int) int {
			mu.Lock()
			defer mu.Unlock()
			return random.IntN(n)
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for {
					task, err := p.Take(t.Context(), 4)
					if err != nil || task == nil {
						return
					}
					cut := draw(30)
					for {
						at, n, done, last := task.Accept(1 + draw(256<<10))
						mu.Lock()
						fetched = append(fetched, partfile.Range{From: at, To: at + int64(n)})
						if done && last {
							sealed++
						}
						mu.Unlock()
						if cut--; done || cut == 0 {
							mu.Lock()
							task.Release(done && last)
							mu.Unlock()
							break
						}
					}
					task.Close()
				}
			})
		}
		wg.Wait()
		have := make(map[int64]int64)
		for _, r := range fetched {
			if r.Len() > 0 {
				_, twice := have[r.From]
				require.False(t, twice)
				have[r.From] = r.To
			}
		}
		at := int64(0)
		for range have {
			at = have[at]
		}
		require.Equal(t, size, at, "seed %d", seed)
		require.Equal(t, 1, sealed, "seed %d", seed)
	}
}
