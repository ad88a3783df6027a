package bar_test

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/bar"
)

func TestALineShowsThatNothingMovesAnyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, show := newScreen(t, 100)
		show(at(45*mb, 100*mb))
		for _, want := range []string{
			"45.0/100 MB [0:01<0:45, 860 kB/s]", "45.0/100 MB [0:02<0:45, 616 kB/s]", "45.0/100 MB [0:03<0:45, 441 kB/s]", "45.0/100 MB [0:04, 316 kB/s]",
		} {
			wait(time.Second)
			assert.True(t, strings.HasSuffix(s.now, want), s.now)
		}
		wait(26 * time.Second)
		assert.True(t, strings.HasSuffix(s.now, "45.0/100 MB [0:30, 54 B/s]"), s.now)
		show(at(46*mb, 100*mb))
		assert.True(t, strings.HasSuffix(s.now, "46.0/100 MB [0:30<0:45, 1.2 MB/s]"), "at once when it goes on: "+s.now)
		show(finished(at(0, 100*mb)))
		require.Len(t, s.lines, 1)
		draws := s.draws
		wait(time.Hour)
		assert.Equal(t, draws, s.draws, "nothing is written after the end")
	})
}

func TestALineOfManyFilesShowsThatNothingMovesAnyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, show := newScreen(t, 100)
		p := at(0, 10*mb)
		p.Total = 4
		show(p)
		wait(500 * time.Millisecond)
		show(finished(p)) // and the next one does not begin
		wait(time.Second)
		assert.Contains(t, s.now, "1/4 files  25% |")
		assert.True(t, strings.HasSuffix(s.now, "10.0 MB [0:01<0:04, 5.6 MB/s]"), s.now)
		wait(30 * time.Second)
		assert.Regexp(t, `10\.0 MB \[0:31, \d+ B/s\]$`, s.now)
		show(bar.Update{Total: 4, Failed: 3, Done: true})
		draws := s.draws
		wait(time.Hour)
		assert.Equal(t, draws, s.draws, "nothing is written after the end")
	})
}

func TestALineWhoseEndNobodyTellsIsNotDrawnForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, show := newScreen(t, 80)
		show(at(0, 100))
		wait(time.Hour)
		draws := s.draws
		assert.Greater(t, draws, 100)
		wait(time.Hour)
		assert.Equal(t, draws, s.draws)
		show(at(1, 100))
		wait(time.Minute)
		assert.Greater(t, s.draws, draws+50, "until it goes on")
	})
}

func TestWithoutATerminalNothingIsWrittenBetweenTheCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		show := bar.New(&out).Update
		show(at(0, -1))
		wait(time.Hour)
		assert.Equal(t, 1, strings.Count(out.String(), "\n"))
	})
}

func TestATransferGoesOnWhileATerminalThatWasStoppedIsDrawnOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newScreen(t, 80)
		w := &stopped{s, make(chan struct{}), make(chan struct{})}
		show := bar.NewSized(w, func() int { return 80 }).Update
		var first, last sync.WaitGroup
		first.Go(func() { show(at(0, 100)) })
		<-w.here
		w.goOn <- struct{}{}
		first.Wait()
		<-w.here // nobody tells of anything
		for n := range int64(100) {
			show(at(n, 100))
			wait(time.Second)
		}
		last.Go(func() { show(finished(at(0, 100))) })
		synctest.Wait()
		assert.Equal(t, 1, s.draws)
		w.goOn <- struct{}{}
		<-w.here
		w.goOn <- struct{}{}
		last.Wait()
		assert.Equal(t, 3, s.draws)
		require.Len(t, s.lines, 1)
		assert.Contains(t, s.lines[0], "100%")
	})
}

// tearing is a terminal whose second write has a fault of its own.
type tearing struct{ *screen }

func (w tearing) Write(p []byte) (int, error) {
	if w.draws == 1 {
		w.draws++
		panic("torn")
	}
	return w.screen.Write(p)
}

func TestAPanicOfTheWriterWhileNothingMovesIsTheNextCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newScreen(t, 80)
		show := bar.NewSized(tearing{s}, func() int { return 80 }).Update
		show(at(0, 100))
		wait(time.Second)
		assert.PanicsWithValue(t, "torn", func() { show(at(1, 100)) })
		show(finished(at(100, 100)))
		require.Len(t, s.lines, 1)
	})
}
