package crew_test

import (
	"context"
	"iter"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/corexalgo/ftpclient/internal/crew"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shop is where workers work: a task takes as long as the line allows.
type shop struct {
	latency time.Duration // of each task
	scale   int           // workers beyond which more do not help; 0: any number does
	chores  chan func(context.Context)

	mu      sync.Mutex // guards what follows
	busy    int
	most    int
	done    []int
	history []int
	idle    int
	hired   int
	ended   int
}

type hand struct {
	shop *shop
	do   func(ctx context.Context, task int, ahead crew.Ahead[int])
}

func (s *shop) hire() crew.Worker[int] {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hired++
	return &hand{shop: s}
}

func (h *hand) Do(ctx context.Context, task int, ahead crew.Ahead[int]) {
	s := h.shop
	s.mu.Lock()
	s.busy++
	s.most = max(s.most, s.busy)
	took := s.latency
	if s.scale > 0 && s.busy > s.scale {
		took = took * time.Duration(s.busy) / time.Duration(s.scale)
	}
	s.mu.Unlock()
	if h.do != nil {
		h.do(ctx, task, ahead)
	}
	select {
	case <-time.After(took):
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy--
	s.done = append(s.done, task)
}

func (h *hand) Meanwhile() <-chan func(context.Context) { return h.shop.chores }

func (h *hand) Idle() {
	h.shop.mu.Lock()
	defer h.shop.mu.Unlock()
	h.shop.idle++
}

func (h *hand) End() {
	h.shop.mu.Lock()
	defer h.shop.mu.Unlock()
	h.shop.ended++
}

func (s *shop) work() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return float64(len(s.done))
}

func (s *shop) options(workers, limit int) crew.Options {
	return crew.Options{
		Workers: workers, Start: 4, Limit: func() int { return limit }, Work: s.work, Stop: func() {},
		Changed: func(n int) { s.history = append(s.history, n) },
	}
}

func count(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

func TestEachTaskIsDoneOnceByAsManyWorkersAsAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct{ workers, limit, want int }{{3, 10, 3}, {8, 5, 5}, {1, 5, 1}} {
			s := &shop{latency: time.Second}
			crew.Run(t.Context(), s.options(c.workers, c.limit), count(100), s.hire)
			slices.Sort(s.done)
			assert.Equal(t, slices.Collect(count(100)), s.done)
			assert.Equal(t, c.want, s.most)
			assert.Equal(t, s.hired, s.ended, "each worker is told of its end")
		}
	})
}

func TestTheStreamIsWokenForManyTasksAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const tasks = 1000
		s := &shop{latency: time.Second}
		woken, last := 0, time.Time{}
		crew.Run(t.Context(), s.options(1, 1), func(yield func(int) bool) {
			for i := range tasks {
				if now := time.Now(); now != last {
					woken, last = woken+1, now
				}
				if !yield(i) {
					return
				}
			}
		}, s.hire)
		assert.Equal(t, slices.Collect(count(tasks)), s.done)
		assert.LessOrEqual(t, woken, tasks/15)
	})
}

func TestNothingToDoEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shop{}
		begun := time.Now()
		crew.Run(t.Context(), s.options(0, 5), count(0), s.hire)
		assert.Zero(t, time.Since(begun))
	})
}

func TestWorkersGrowWhereThatHelpsAndNoFurther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shop{latency: 100 * time.Millisecond}
		crew.Run(t.Context(), s.options(0, 32), count(10000), s.hire)
		assert.Equal(t, 32, s.most, "round trips: each worker brings as much as the one before")

		s = &shop{latency: 100 * time.Millisecond, scale: 5}
		crew.Run(t.Context(), s.options(0, 32), count(5000), s.hire)
		assert.LessOrEqual(t, s.most, 9, "one try too many on a line that five fill")
		assert.Contains(t, s.history, 4)
	})
}

func TestALimitThatFallsSendsWorkersAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shop{latency: time.Second}
		var limit atomic.Int64
		limit.Store(8)
		o := s.options(8, 0)
		o.Limit = func() int { return int(limit.Load()) }
		told := 0
		o.Announce = func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if told++; told > 1 {
				assert.Positive(t, s.ended, "who leaves has ended")
			}
		}
		late := 0
		time.AfterFunc(10*time.Second, func() { limit.Store(2) })
		time.AfterFunc(12500*time.Millisecond, func() { // between two ends of tasks
			s.mu.Lock()
			defer s.mu.Unlock()
			late = s.busy
		})
		time.AfterFunc(20*time.Second, func() { limit.Store(6) })
		crew.Run(t.Context(), o, count(200), s.hire)
		assert.Equal(t, 2, late)
		assert.Len(t, s.done, 200)
		assert.Contains(t, s.history, 6)
		assert.Equal(t, []int{5, 4, 3, 2, 1, 0}, s.history[told:], "nobody is hired when nothing is left to do")
	})
}

func TestWhatIsDoneMeanwhileEndsWhenNoTaskIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, n := range []int{0, 1, 3} {
			s := &shop{latency: time.Second, chores: make(chan func(context.Context), 3)}
			done, ended := 0, 0
			s.chores <- func(context.Context) { done++ }
			for range 2 {
				s.chores <- func(ctx context.Context) {
					<-ctx.Done()
					s.mu.Lock()
					defer s.mu.Unlock()
					ended++
				}
			}
			begun := time.Now()
			crew.Run(t.Context(), s.options(3, 3), func(yield func(int) bool) {
				<-time.After(time.Minute) // the workers wait
				for i := range n {
					yield(i)
				}
			}, s.hire)
			assert.Equal(t, 1, done)
			assert.Equal(t, 2, ended)
			assert.Len(t, s.done, n)
			assert.Equal(t, time.Minute+time.Duration(n)*time.Second, time.Since(begun), "one was free for the tasks")
			assert.Equal(t, s.hired, s.ended)
		}
	})
}

func TestAPanicOfTheStreamIsTheCallersOnceTheTasksBeforeItAreDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shop{latency: time.Second}
		assert.PanicsWithValue(t, "no more", func() {
			crew.Run(t.Context(), s.options(2, 2), func(yield func(int) bool) {
				for i := range 5 {
					yield(i)
				}
				panic("no more")
			}, s.hire)
		})
		assert.Len(t, s.done, 5)
		assert.Equal(t, s.hired, s.ended)
	})
}

func TestHowATaskEndsTooEarlyIsHowTheCallerEndsOnceTheOthersHaveEnded(t *testing.T) {
	for name, fall := range map[string]func(){"panic": func() { panic("task") }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				s := &shop{latency: time.Second}
				o := s.options(3, 3)
				o.Stop = cancel
				var panicked any
				returned := false
				var run sync.WaitGroup
				run.Go(func() {
					defer func() { panicked = recover() }()
					crew.Run(ctx, o, count(1000), func() crew.Worker[int] { return &clumsy{hand: s.hire().(*hand), drops: 10, fall: fall} })
					returned = true
				})
				run.Wait()
				assert.False(t, returned)
				assert.Equal(t, name == "panic", panicked == "task")
				require.Error(t, ctx.Err())
				assert.Less(t, len(s.done), 20)
				assert.Equal(t, s.hired, s.ended)
			})
		})
	}
}

// clumsy is a hand that falls over its tasks, from the one with that number on.
type clumsy struct {
	*hand
	drops int
	fall  func()
}

func (c *clumsy) Do(ctx context.Context, task int, ahead crew.Ahead[int]) {
	if task >= c.drops {
		c.fall()
	}
	c.hand.Do(ctx, task, ahead)
}

func TestTheEndOfTheContextEndsAllAndLeavesTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5500*time.Millisecond)
		defer cancel()
		s := &shop{latency: time.Second}
		begun := time.Now()
		crew.Run(ctx, s.options(2, 2), count(1<<40), s.hire)
		assert.Equal(t, 5500*time.Millisecond, time.Since(begun))
		assert.Len(t, s.done, 12)
		assert.Equal(t, s.hired, s.ended)
	})
}

func TestAStreamThatHangsIsLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		hang := make(chan struct{})
		defer close(hang)
		s := &shop{}
		begun := time.Now()
		crew.Run(ctx, s.options(2, 2), func(func(int) bool) { <-hang }, s.hire)
		assert.Less(t, time.Since(begun), 2*time.Second)
	})
}

func TestAWorkerSeesItsNextTaskAndMayGiveItBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shop{latency: time.Second}
		var mu sync.Mutex
		after := map[int]int{} // by task, the one that was promised
		slow := map[int]bool{0: true}
		crew.Run(t.Context(), s.options(2, 2), count(50), func() crew.Worker[int] {
			h := s.hire().(*hand) //nolint:forcetypeassert // hire makes nothing else
			last, promised := -1, -1
			h.do = func(_ context.Context, task int, ahead crew.Ahead[int]) {
				if promised >= 0 {
					assert.Equal(t, promised, task, "after %d", last)
				}
				last, promised = task, -1
				if next, ok := ahead.Peek(); ok {
					same, _ := ahead.Peek()
					assert.Equal(t, next, same)
					promised = next
					mu.Lock()
					after[task] = next
					mu.Unlock()
				}
				if slow[task] { // the other one does what this one cannot begin soon
					ahead.GiveBack()
					promised = -1
					time.Sleep(20 * time.Second)
				}
			}
			return h
		})
		slices.Sort(s.done)
		assert.Equal(t, slices.Collect(count(50)), s.done)
		assert.NotEmpty(t, after)
	})
}

func TestWhoIsToldOfANumberOfWorkersHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shop{latency: time.Second}
		o := s.options(4, 4)
		told := 0
		o.Announce = func() {
			told++
			time.Sleep(time.Minute) // as a log handler whose pipe is full
			assert.InDelta(t, 100, s.work(), 0, "all is done meanwhile")
		}
		crew.Run(t.Context(), o, count(100), s.hire)
		assert.Equal(t, 1, told)
	})
}
