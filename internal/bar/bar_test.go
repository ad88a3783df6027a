package bar_test

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rivo/uniseg"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/bar"
)

const mb = 1_000_000

// wait lets the bubble's clock go on, and what happens at that moment come first.
func wait(d time.Duration) {
	turn.Lock()
	turn.Unlock() //nolint:staticcheck // what was done before it is seen by those who write meanwhile
	<-time.After(d)
	synctest.Wait()
}

// turn is held by who uses a screen while the test waits.
var turn sync.Mutex

// screen is a terminal that knows carriage returns and line feeds, and fails on everything else that is not printed.
type screen struct {
	t     *testing.T
	cols  int
	lines []string // finished
	now   string
	draws int
}

func newScreen(t *testing.T, cols int) (*screen, func(bar.Update)) {
	t.Helper()
	s := &screen{t: t, cols: cols}
	return s, bar.NewSized(s, func() int {
		turn.Lock()
		defer turn.Unlock()
		return s.cols
	}).Update
}

func (s *screen) Write(p []byte) (int, error) {
	turn.Lock()
	defer turn.Unlock()
	s.draws++
	text := string(p)
	require.True(s.t, strings.HasPrefix(text, "\r"), "%q", text)
	body, ended := strings.CutSuffix(text[1:], "\n")
	require.False(s.t, strings.ContainsAny(body, "\r\n\x1b\t"), "%q", text)
	width := uniseg.StringWidth(body)
	require.Less(s.t, width, s.cols, "%q", text)
	require.GreaterOrEqual(s.t, width, min(uniseg.StringWidth(s.now), s.cols-1), "%q leaves some of %q", text, s.now)
	s.now = strings.TrimRight(body, " ")
	if ended {
		s.lines, s.now = append(s.lines, s.now), ""
	}
	return len(p), nil
}

func at(bytes, size int64) bar.Update {
	return bar.Update{
		Key: "big.iso", Verb: "download", Name: "big.iso",
		Index: 1, Total: 1, Bytes: bytes, Size: size, Attempt: 1, Speed: 1.2 * mb, ETA: 45 * time.Second,
	}
}

func finished(p bar.Update) bar.Update {
	p.Bytes, p.Done, p.ETA = max(p.Size, p.Bytes), true, 0
	return p
}

func TestABarShowsNameBarBytesTimesAndSpeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, show := newScreen(t, 100)
		show(at(0, 100*mb))
		assert.Contains(t, s.now, "download  big.iso   0% |")
		wait(30 * time.Second)
		show(at(45_200_000, 100*mb))
		assert.Equal(t, "download  big.iso  45% |██████████████████                      | 45.2/100 MB [0:30<0:45, 1.2 MB/s]", s.now)
		wait(45 * time.Second)
		show(finished(at(0, 100*mb)))
		require.Len(t, s.lines, 1)
		assert.Equal(t, "download  big.iso 100% |████████████████████████████████████████| 100 MB [1:15, 1.2 MB/s]", s.lines[0])
	})
}

func TestABarTellsOfResumesRetriesAndFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, show := newScreen(t, 120)
		p := at(45*mb, 100*mb)
		p.Resumed, p.Attempt = 45*mb, 3
		show(p)
		assert.True(t, strings.HasSuffix(s.now, "resumed at 45.0 MB, retry 2"), s.now)
		p.GivenUp = true
		show(p)
		require.Len(t, s.lines, 1)
		assert.True(t, strings.HasSuffix(s.lines[0], "retry 2, failed"), s.lines[0])

		show(at(0, mb)) // the next transfer has a line of its own
		assert.NotContains(t, s.now, "failed")
		s.cols = 20
		p = at(0, mb)
		p.GivenUp = true
		show(p)
		assert.Contains(t, s.lines[1], "failed", "however narrow")
	})
}

func TestABarGoesBackInARetryFromTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, show := newScreen(t, 80)
		show(at(100*mb, 100*mb)) // all there, and then found to be wrong
		wait(time.Second)
		show(at(10*mb, 100*mb))
		assert.Contains(t, s.now, " 10% ")
	})
}

func TestABarSpinsWhereTheSizeIsUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, show := newScreen(t, 80)
		p := at(0, -1)
		p.ETA = -1
		marks := map[string]bool{}
		for range 8 {
			p.Bytes += mb
			show(p)
			marks[strings.Fields(s.now)[2]] = true
			wait(100 * time.Millisecond)
		}
		assert.Len(t, marks, 4)
		assert.NotContains(t, s.now, "%")
		assert.Contains(t, s.now, "8.0 MB [0:00, 1.2 MB/s]")
	})
}

func TestABarFitsEveryTerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, name := range []string{
			"a", "big.iso", strings.Repeat("very-long-", 30) + ".bin", strings.Repeat("这是文件", 20) + ".gz", "\x1b[31m\r\n\a\u202e\xff.txt", "👩‍👩‍👧‍👦🇩🇪é.png", "",
		} {
			for cols := 1; cols <= 160; cols++ {
				for _, size := range []int64{-1, 0, 999_949_999, math.MaxInt64} {
					s, show := newScreen(t, max(cols, 2))
					p := at(max(size/3, 0), size)
					p.Name, p.Resumed, p.Attempt, p.Speed = name, 1, 2, 1e18
					show(p) // the screen checks
					wait(time.Second)
					s.cols = max(2, cols/2) // the window shrinks
					s.now = ""
					show(p)
					show(finished(p))
					require.Len(t, s.lines, 1)
				}
			}
		}
	})
}

func TestABarShortensNamesInTheMiddle(t *testing.T) {
	s, show := newScreen(t, 20)
	p := at(45*mb, 100*mb)
	p.Name = "backup-of-everything.tar.gz"
	show(p)
	assert.Equal(t, "ba…gz  45% 1.2 MB/s", s.now)
	show(finished(p))
	s, show = newScreen(t, 40)
	p.Name = "这是一个非常长的文件名.tar.gz"
	show(p)
	assert.Regexp(t, `^这.*….*\.gz +45% `, s.now)
	show(finished(p))
}

func TestABarRedrawsTenTimesASecondAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, show := newScreen(t, 80)
		for i := range 1000 { // 1 s
			for n := range 4 {
				p := at(int64(i), 1000)
				p.Index, p.Total = n+1, 4
				show(p)
			}
			wait(time.Millisecond)
		}
		assert.InDelta(t, 10, s.draws, 1)
	})
}

func TestABatchIsOneBarOfFilesAndBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, show := newScreen(t, 100)
		file := func(index int, bytes int64) bar.Update {
			p := at(bytes, 10*mb)
			p.Index, p.Total, p.Verb = index, 4, "upload"
			p.Name = fmt.Sprint(index)
			return p
		}
		show(file(1, 0))
		show(file(2, 0))
		wait(time.Second)
		show(finished(file(1, 0)))
		wait(time.Second)
		show(file(2, 5*mb))
		assert.True(t, strings.HasPrefix(s.now, "upload  1/4 files  37% |"), s.now)
		assert.True(t, strings.HasSuffix(s.now, "| 15.0 MB [0:02<0:03, 5.8 MB/s]  2"), s.now)
		show(file(3, 0))
		wait(time.Second)
		show(file(2, 5*mb))
		assert.True(t, strings.HasSuffix(s.now, "/s]  2 +1"), "two files move: "+s.now)
		p := file(3, mb)
		p.GivenUp = true
		show(p)
		show(finished(file(2, 0)))
		assert.Empty(t, s.lines)
		p = file(4, 0)
		p.Failed = 1
		show(finished(p))
		require.Len(t, s.lines, 1)
		assert.True(t, strings.HasPrefix(s.lines[0], "upload  4/4 files 100% |"), s.lines[0])
		assert.True(t, strings.HasSuffix(s.lines[0], "| 31.0 MB [0:03, 10.3 MB/s] 1 failed"), s.lines[0])

		show(bar.Update{Total: 4, Failed: 1, Done: true})
		assert.Len(t, s.lines, 1, "the batch as a whole adds no second line")
	})
}

func TestABatchThatIsGivenUpEndsItsLineToo(t *testing.T) {
	s, show := newScreen(t, 20)
	p := at(1, 10)
	p.Index, p.Total = 1, 0 // not yet known
	show(p)
	show(finished(p))
	assert.Empty(t, s.lines, "there may be more files")
	show(bar.Update{Total: 9, Failed: 2, Done: true})
	require.Len(t, s.lines, 1)
	assert.Equal(t, "3/9  33% 2 failed", s.lines[0])
}

func TestTransfersSideBySideShareALine(t *testing.T) {
	s, show := newScreen(t, 100)
	a, b := at(0, 10), at(0, 10)
	b.Key, b.Name = "other", "other"
	show(a)
	show(b)
	show(finished(a))
	assert.Empty(t, s.lines)
	show(finished(b))
	require.Len(t, s.lines, 1)
	assert.Contains(t, s.lines[0], "2/2 files 100%")
}

func TestWithoutATerminalThereAreFewWholeLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		show := bar.New(&out).Update
		for i := range int64(1000) { // 100 s
			show(at(i*mb/10, 100*mb))
			wait(100 * time.Millisecond)
		}
		show(finished(at(0, 100*mb)))
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		assert.Equal(t, "download big.iso: started, 100 MB", lines[0])
		assert.Equal(t, "download big.iso: 10%, 10.0/100 MB, 1.2 MB/s, 0:45 left", lines[1])
		assert.Equal(t, "download big.iso: done, 100 MB in 1:40, 1.2 MB/s", lines[len(lines)-1])
		assert.Len(t, lines, 11)
		assert.False(t, strings.ContainsAny(out.String(), "\r\x1b"))
	})
}

func TestLinesGoOnWhereTheSizeIsUnknownOrTheSpeedLow(t *testing.T) {
	for size, want := range map[int64]int{-1: 60, 1e15: 10} {
		synctest.Test(t, func(t *testing.T) {
			var out bytes.Buffer
			show := bar.New(&out).Update
			for i := range int64(601) { // 10 min
				show(at(i, size))
				wait(time.Second)
			}
			assert.Equal(t, 1+want, strings.Count(out.String(), "\n"), "%s", out.String())
		})
	}
}

func TestAFailureIsALineThatSaysSo(t *testing.T) {
	var out bytes.Buffer
	show := bar.New(&out).Update
	p := at(45*mb, 100*mb)
	p.Resumed = 10 * mb
	p.Name = "a\x1b[2J\nb"
	show(p)
	p.GivenUp = true
	show(p)
	assert.Equal(t, `download a\x1b[2J\nb: started, 100 MB, resumed at 10.0 MB
download a\x1b[2J\nb: failed, 45.0/100 MB in 0:00, 1.2 MB/s, resumed at 10.0 MB
`, out.String())
}

func TestAFileOfWhichNothingMovedIsNotSaidToBeResumed(t *testing.T) {
	var out bytes.Buffer
	show := bar.New(&out).Update
	p := at(100, 100)
	p.Resumed, p.Speed, p.ETA = 100, 0, 0
	show(p)
	show(finished(p))
	assert.Equal(t, `download big.iso: started, 100 B, already there
download big.iso: done, 100 B in 0:00, already there
`, out.String())
}

func TestAFileThatIsNoTerminalGetsLines(t *testing.T) {
	f, err := os.Create(t.TempDir() + "/log")
	require.NoError(t, err)
	defer func() { assert.NoError(t, f.Close()) }()
	show := bar.New(f).Update
	show(finished(at(0, 100)))
	text, err := os.ReadFile(f.Name())
	require.NoError(t, err)
	assert.Equal(t, "download big.iso: done, 100 B in 0:00, 1.2 MB/s\n", string(text))
}

func TestABarMayBeCalledByManyAtOnce(t *testing.T) {
	s, show := newScreen(t, 80)
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			p := at(0, 100)
			p.Index, p.Total = n+1, 8
			for p.Bytes < 100 {
				show(p)
				p.Bytes++
			}
			show(finished(p))
		})
	}
	wg.Wait()
	require.Len(t, s.lines, 1)
	assert.Contains(t, s.lines[0], "8/8 files 100%")
}

// stopped is a terminal that takes nothing before it is told to go on.
type stopped struct {
	*screen
	here, goOn chan struct{}
}

func (s *stopped) Write(p []byte) (int, error) {
	s.here <- struct{}{}
	<-s.goOn
	return s.screen.Write(p)
}

func TestATerminalThatWasStoppedStopsOneCallAndNotTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newScreen(t, 80)
		w := &stopped{s, make(chan struct{}), make(chan struct{})}
		show := bar.NewSized(w, func() int { return 80 }).Update
		var wg sync.WaitGroup
		p := at(0, 100)
		p.Total = 2
		wg.Go(func() { show(p) })
		<-w.here
		p.Index = 2
		for p.Bytes < 100 {
			show(p)
			p.Bytes++
		}
		show(finished(p))
		p.Index = 1
		wg.Go(func() { show(finished(p)) }) // which ends the line
		synctest.Wait()
		w.goOn <- struct{}{}
		<-w.here
		w.goOn <- struct{}{}
		wg.Wait()
		assert.Equal(t, 2, s.draws)
		require.Len(t, s.lines, 1)
		assert.Contains(t, s.lines[0], "2/2 files")
	})
}

func TestNobodyWritesForOthersForAsLongAsTheyGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		show := bar.NewSized(slow{}, nil).Update
		var over atomic.Bool
		var others sync.WaitGroup
		others.Go(func() {
			for i := 0; !over.Load(); i++ {
				p := at(0, 100)
				p.Key = i
				show(p)
				show(finished(p))
			}
		})
		wait(time.Minute)
		start := time.Now()
		show(at(0, 100))
		show(finished(at(0, 100)))
		assert.LessOrEqual(t, time.Since(start), 4*time.Second)
		over.Store(true)
		others.Wait()
	})
}

// slow is a terminal that takes a second for each write.
type slow struct{}

func (slow) Write(p []byte) (int, error) {
	<-time.After(time.Second)
	return len(p), nil
}

// torn is a writer with a fault of its own.
type torn struct{ *screen }

func (torn) Write([]byte) (int, error) { panic("torn") }

func TestAWriterThatPanicsIsTheCallersAndTheNextCallWritesAgain(t *testing.T) {
	s, _ := newScreen(t, 80)
	show := bar.NewSized(torn{s}, func() int { return 80 }).Update
	assert.PanicsWithValue(t, "torn", func() { show(at(0, 100)) })
	assert.PanicsWithValue(t, "torn", func() { show(finished(at(100, 100))) })
}

func TestSizesHaveThreeDigits(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 kB", 45_240_000: "45.2 MB", 99_949_999: "99.9 MB", 99_960_000: "100 MB", 999_499_999: "999 MB",
		999_500_000: "1.0 GB", math.MaxInt64: "9.2 EB",
	} {
		assert.Equal(t, want, bar.FormatSize(n), n)
	}
}
