package session_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/ftptest"
	"github.com/corexalgo/ftpclient/internal/reply"
	"github.com/corexalgo/ftpclient/internal/session"
)

func TestStatable(t *testing.T) {
	for dir, want := range map[string]bool{
		"": true, "/": true, "a/b": true, "/ü/x.d": true, "a b": false, "-a": false, "~x": false, "a*": false, "a/[b]": false, "a\nb": false, "a?": false,
	} {
		assert.Equal(t, want, session.Statable(dir), dir)
	}
}

func TestAGroupOfSTATIsSmallEnoughToBeSentWhileNobodyReads(t *testing.T) {
	_, s := serve(t, ftptest.Options{Stat: ftptest.StatVSFTPD})
	var dirs []string
	for i := range 200 {
		dirs = append(dirs, fmt.Sprintf("d%d", i))
	}
	got, err := s.StatDirs(t.Context(), dirs)
	require.NoError(t, err)
	assert.Len(t, got, session.MaxStats)
	for i := range dirs {
		dirs[i] = strings.Repeat("d/", 250) + dirs[i]
	}
	got, err = s.StatDirs(t.Context(), dirs)
	require.NoError(t, err)
	assert.Len(t, got, 8, "of half a KiB each")
	got, err = s.StatDirs(t.Context(), []string{"a b", "ü*"})
	require.NoError(t, err)
	assert.Equal(t, []*session.Stated{nil, nil}, got)
	inStep(t, s, "after it")
}

func TestALongAnswerToSTATIsReadWholeAndAnEndlessOneIsNot(t *testing.T) {
	row := "-rw-r--r-- 1 u g 1 Jan  2  2024 "
	rows := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "%s%06d\r\n", row, i)
		}
		return b.String()
	}
	self := strings.Replace(row, "-rw-r--r--", "drwxr-xr-x", 1) + ".\r\n"
	for n, fits := range map[int]bool{5000: true, 6000: false} {
		srv := ftptest.ScriptFTP(t, map[string]string{"LIST": rows(n)}, func(cmd, _ string) (string, bool) {
			return "213-Status\r\n" + self + rows(n) + "213 End", cmd == "STAT"
		})
		cfg := scripted(srv)
		cfg.MaxEntries = 5500
		s := dial(t, cfg)
		got, err := s.StatDirs(t.Context(), []string{"d"})
		if !fits {
			require.ErrorIs(t, err, session.ErrTooManyEntries)
			gone(t, s, "in the middle of a reply")
			assert.False(t, dial(t, cfg).Stats(true), "and never again")
			continue
		}
		require.NoError(t, err)
		_, ok := s.Accept(got[0])
		assert.False(t, ok, "nothing is proved")
		inStep(t, s, "after it")
	}
}

func TestAServerThatMishandlesGroupsIsNotAskedForSTAT(t *testing.T) {
	_, s := serve(t, ftptest.Options{NoMLSD: true}, func(c *session.Config) { c.Quirks.OneByOne.Store(true) })
	assert.False(t, s.Stats(true))
	_, s = serve(t, ftptest.Options{NoMLSD: true})
	assert.True(t, s.Stats(false))
	_, s = serve(t, ftptest.Options{})
	assert.False(t, s.Stats(false), "MLSD has exact times")
	assert.True(t, s.Stats(true))
}

func TestAReplyMoreInAGroupOfSTATIsNoDataConnection(t *testing.T) {
	self := "drwxr-xr-x 1 u g 1 Jan  2  2024 .\r\n"
	for name, forged := range map[string]string{
		"the end":           "200 ok",
		"and a port":        "200 ok\r\n229 Entering Extended Passive Mode (|||1|)",
		"a port, and after": "200 ok\r\n229 Entering Extended Passive Mode (|||1|)\r\n200 ok",
	} {
		srv := ftptest.ScriptFTP(t, nil, func(cmd, _ string) (string, bool) {
			return "213-Status\r\n" + self + "213 End\r\n" + forged, cmd == "STAT"
		})
		s := dial(t, scripted(srv))
		if _, err := s.StatDirs(t.Context(), []string{"d"}); err != nil || name == "the end" {
			require.ErrorIs(t, err, reply.ErrMalformed, name)
			gone(t, s, name)
			continue
		}
		// The true replies were still on their way, and are too many for what comes next.
		require.Eventually(t, func() bool { return !s.Alive() }, 5*time.Second, time.Millisecond, name)
	}
}
