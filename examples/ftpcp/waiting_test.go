package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

// A screen is what somebody looks at while a call runs.
type screen struct {
	mu  sync.Mutex // guards all
	all bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.String()
}

// watched is ftpcp before a screen.
func watched() (*tool, *screen) {
	s := &screen{}
	return &tool{retries: 3, env: func(string) string { return "" }, stdout: &bytes.Buffer{}, stderr: s, watched: true}, s
}

func TestWhoLooksAtTheScreenIsToldThatAServerDoesNotAnswer(t *testing.T) {
	silent, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	defer silent.Close() //nolint:errcheck // that of the test
	addr := silent.Addr().String()
	tool, screen := watched()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		ended <- tool.dispatch(ctx, []string{"get", "ftp://" + addr + "/f", filepath.Join(t.TempDir(), "f")})
	}()
	assert.Eventually(t, func() bool { return screen.String() == "connecting to "+addr+"\n" }, waitTime, tick, "%s", screen)
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
}

func TestWhoLooksAtTheScreenIsToldOfRetriesUntilThereIsABar(t *testing.T) {
	srv := serve(t, ftptest.Options{Faults: []ftptest.Fault{
		{Cmd: "CONNECT", Do: ftptest.Refuse, Reply: "421 come back later", Times: 1},
		{Cmd: "RETR", Do: ftptest.CutBoth, After: 500, Times: 1},
	}})
	write(t, srv.Dir(), "f", content(1000))
	local := t.TempDir()

	tool, screen := watched()
	require.NoError(t, tool.dispatch(t.Context(), []string{"ls", srv.URL("")}))
	assert.Regexp(t, `^attempt 1 failed, the next one is in \d\.\d s: .*421 come back later\n$`, screen)

	tool, screen = watched()
	require.NoError(t, tool.dispatch(t.Context(), []string{"mget", srv.URL(""), local}))
	holds(t, content(1000), local, "f")
	assert.Equal(t, 2, srv.Stats().Commands["RETR"])
	assert.NotContains(t, screen.String(), "attempt 1 failed")
}

func TestWhoLooksAtTheScreenSeesHowMuchWasComparedUntilThereAreRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tool, screen := watched()
		c := newComparison(tool, nil, "", 0, 1)
		for range 20 {
			c.file(t.Context(), "f", "absent", "f")
			<-time.After(90 * time.Millisecond)
			synctest.Wait()
		}
		assert.True(t, strings.HasPrefix(screen.String(), "\r12 compared\r"), "%q", screen)
		<-time.After(time.Second)
		synctest.Wait()
		assert.True(t, strings.HasSuffix(screen.String(), "\r20 compared"), "%q", screen)
		assert.False(t, c.leavesOut("f", 0))
		assert.True(t, c.leavesOut("link", fs.ModeSymlink))
		assert.True(t, strings.HasSuffix(screen.String(), "compared\r\x1b[Kskipped: link: symbolic link\n"), "%q", screen)
		<-time.After(time.Second)
		synctest.Wait()
		assert.True(t, strings.HasSuffix(screen.String(), "\r20 compared"), "again: %q", screen)
		require.NoError(t, c.finish(t.Context()))
		<-time.After(time.Hour)
		tool.note("said")
		assert.True(t, strings.HasSuffix(screen.String(), "\r20 compared\r\x1b[Ksaid\n"), "%q", screen)
	})
}

func TestAFailureTellsHowOftenItWasTried(t *testing.T) {
	srv := serve(t, ftptest.Options{Faults: []ftptest.Fault{{Cmd: "RETR", Do: ftptest.Refuse, Reply: "451 try again"}}})
	write(t, srv.Dir(), "f", content(10))
	ftpcp(t, "get", "-quiet", "-retries", "1", srv.URL("f"), filepath.Join(t.TempDir(), "f")).fails(t, 1, "451 try again (2 attempts)")
	ftpcp(t, "get", "-retries", "0", "-quiet", srv.URL("f"), filepath.Join(t.TempDir(), "f")).fails(t, 1, "451 try again\n")
}

func TestATransferIsShownOnceItBeginsOrASecondHasPassedAndNotAfterItsEnd(t *testing.T) {
	gone := errors.New("gone")
	for _, tt := range []struct {
		after time.Duration // the second call comes
		then  ftpclient.Progress
		shown int
	}{
		{500 * time.Millisecond, ftpclient.Progress{Attempt: 1, Err: gone}, 0},
		{1500 * time.Millisecond, ftpclient.Progress{Attempt: 1, Err: gone}, 2},
		{1500 * time.Millisecond, ftpclient.Progress{Attempt: 1}, 1},
		{500 * time.Millisecond, ftpclient.Progress{Attempt: 1, Bytes: 1}, 2},
		{500 * time.Millisecond, ftpclient.Progress{Attempt: 2}, 2},
		{500 * time.Millisecond, ftpclient.Progress{Attempt: 1, Done: true}, 2},
	} {
		synctest.Test(t, func(t *testing.T) {
			shown := []ftpclient.Progress{}
			show := unlessInVain(func(p ftpclient.Progress) { shown = append(shown, p) })
			first := ftpclient.Progress{Attempt: 1, Size: 5}
			show(first)
			<-time.After(tt.after)
			synctest.Wait()
			show(tt.then)
			<-time.After(time.Hour)
			assert.Equal(t, []ftpclient.Progress{first, tt.then}[:tt.shown], shown)
		})
	}
}
