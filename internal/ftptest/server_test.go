package ftptest_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jlaffaye/ftp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/ftptest"
)

func TestAFileGoesUpAndComesDownThroughAnOrdinaryClient(t *testing.T) {
	s := ftptest.Start(t, ftptest.Options{})
	want := pattern(1 << 20)

	c, err := ftp.Dial(s.Addr(), ftp.DialWithTimeout(5*time.Second))
	require.NoError(t, err)
	require.NoError(t, c.Login(s.User(), s.Password()))
	require.NoError(t, c.MakeDir("d"))
	require.NoError(t, c.Stor("d/f", bytes.NewReader(want)))
	r, err := c.Retr("d/f")
	require.NoError(t, err)
	got, err := io.ReadAll(r)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	entries, err := c.List("d")
	require.NoError(t, err)
	require.NoError(t, c.Quit())

	assert.Equal(t, want, got)
	assert.Equal(t, want, read(t, s, "d/f"))
	require.Len(t, entries, 1)
	assert.Equal(t, uint64(len(want)), entries[0].Size)
	st := s.Stats()
	assert.Equal(t, 1, st.Conns)
	assert.Equal(t, 3, st.DataConns)
	assert.Equal(t, 1, st.Commands["STOR"])
	assert.Contains(t, st.Log, "PASS ***")
}

func TestRoundTripsCountConnectsAndGroupsOfCommands(t *testing.T) {
	s := ftptest.Start(t, ftptest.Options{})
	write(t, s, "f", []byte("x"))
	c := login(t, s)
	assert.Equal(t, 4, s.Stats().RoundTrips, "connect, USER, PASS, TYPE")

	s.ResetStats()
	c.cmd("213", "SIZE f")
	assert.Equal(t, 1, s.Stats().RoundTrips)

	s.ResetStats()
	c.send("SIZE f", "MDTM f", "EPSV")
	c.expect("213")
	c.expect("213")
	c.expect("229")
	assert.Equal(t, 1, s.Stats().RoundTrips, "three commands in one write")

	s.ResetStats()
	_, err, final := c.get("RETR f")
	require.NoError(t, err)
	require.Contains(t, final, "226")
	c.cmd("200", "NOOP")
	assert.Equal(t, 4, s.Stats().RoundTrips, "EPSV, connect, RETR, NOOP")
}

func TestCloseWaitsForWhatStillRuns(t *testing.T) {
	entered, release, closed := make(chan struct{}), make(chan struct{}), make(chan error)
	s, err := ftptest.New(ftptest.Options{OnCommand: func(string, string) {
		close(entered)
		<-release
	}})
	require.NoError(t, err)
	dial(t, s).send("NOOP")
	<-entered
	go func() { closed <- s.Close() }()
	select {
	case err := <-closed:
		t.Error(err, "Close returned while a session was running")
	case <-time.After(50 * time.Millisecond):
	}
	close(release)
	require.NoError(t, <-closed)
}

func TestACommandSentWithoutWaitingIsNoRoundTrip(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	s := ftptest.Start(t, ftptest.Options{OnCommand: func(cmd, _ string) {
		if cmd == "PWD" {
			close(entered)
			<-release
		}
	}})
	c := login(t, s)
	s.ResetStats()
	c.send("PWD")
	<-entered
	c.send("NOOP")
	require.Eventually(t, func() bool { return s.Stats().Commands["NOOP"] == 1 }, 5*time.Second, time.Millisecond)
	close(release)
	c.expect("257")
	c.expect("200")
	assert.Equal(t, 1, s.Stats().RoundTrips)
}

func TestNamesOfAnyBytesReachTheDiskAsTheyAre(t *testing.T) {
	s := ftptest.Start(t, ftptest.Options{})
	gbk := "\xd6\xd0\xce\xc4 \xff.txt"
	c := login(t, s)
	require.Contains(t, c.put("STOR "+gbk, []byte("x")), "226")
	_, err := os.Stat(filepath.Join(s.Dir(), gbk))
	require.NoError(t, err)
	rows, err, _ := c.get("MLSD")
	require.NoError(t, err)
	assert.True(t, strings.HasSuffix(strings.TrimSpace(string(rows)), gbk))
}

func TestCloseEndsEverythingInTheMiddleOfATransfer(t *testing.T) {
	s, err := ftptest.New(ftptest.Options{Latency: 10 * time.Millisecond})
	require.NoError(t, err)
	write(t, s, "f", pattern(8<<20))
	c := login(t, s)
	data := c.passive()
	c.cmd("150", "RETR f")
	one := make([]byte, 1)
	_, err = io.ReadFull(data, one)
	require.NoError(t, err)

	require.NoError(t, s.Close())
	require.NoError(t, s.Close(), "a second Close does nothing")
	_, err = os.Stat(s.Dir())
	require.ErrorIs(t, err, os.ErrNotExist, "its own folder is gone")
}
