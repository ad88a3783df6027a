package session_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/ftptest"
	"github.com/corexalgo/ftpclient/internal/session"
)

func TestRemoveEachTellsOfEachNameAndOfNoneThatWasNotAnsweredFor(t *testing.T) {
	names := []session.Removal{{Name: "a"}, {Name: "b", Dir: true}, {Name: "c"}}
	hangUp := func(c *ftptest.Conn) { _ = c.Close(); c.ReadLine() }
	for name, tt := range map[string]struct {
		odd     *odd
		removed []bool
		err     bool
		slow    bool // what is sent next goes one by one
	}{
		"all":                    {&odd{}, []bool{true, true, true}, false, false},
		"has no NOOP":            {&odd{replies: map[string]string{"NOOP": "502 no"}}, []bool{true, true, true}, false, false},
		"has no PWD":             {&odd{replies: map[string]string{"PWD": "502 no"}}, nil, true, true},
		"not the directory":      {&odd{replies: map[string]string{"RMD": "550 not empty"}}, []bool{true, false, true}, false, false},
		"a busy one":             {&odd{replies: map[string]string{"RMD": "450 busy"}}, []bool{true, false, true}, false, false},
		"flushes what is behind": {&odd{before: at("RMD", says("250 ok"))}, nil, true, true},
		"says one thing twice":   {&odd{replies: map[string]string{"RMD": "250 ok\r\n250 ok"}}, nil, true, true},
		"does not answer one":    {&odd{before: func(_ *ftptest.Conn, verb string, _ bool) bool { return verb == "RMD" }}, nil, true, true},
		"is late, and hangs up":  {&odd{before: at("RMD", func(c *ftptest.Conn) { c.Send("226 done\r\n250 ok\r\n"); hangUp(c) })}, nil, true, true},
		"hangs up":               {&odd{before: at("RMD", hangUp)}, []bool{true}, true, false},
		"leaves":                 {&odd{replies: map[string]string{"RMD": "421 bye"}}, []bool{true}, true, false},
		"talks of a transfer":    {&odd{replies: map[string]string{"RMD": "226 done"}}, nil, true, true},
		"wants to hear more":     {&odd{replies: map[string]string{"RMD": "350 go on"}}, nil, true, true},
		"speaks no FTP":          {&odd{replies: map[string]string{"RMD": "hello"}}, nil, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := tt.odd.serve(t)
			cfg.ReplyTimeout = 500 * time.Millisecond
			s := dial(t, cfg)
			removed, err := s.RemoveEach(t.Context(), names)
			assert.Equal(t, tt.removed, removed)
			assert.Equal(t, tt.err, err != nil, err)
			assert.Equal(t, tt.slow, cfg.Quirks.OneByOne.Load())
			if !tt.err {
				inStep(t, s, name)
				return
			}
			gone(t, s, name)
			if tt.slow {
				inStep(t, dial(t, cfg), "the next one")
			}
		})
	}
}

func TestRemoveEachWritesNoMoreThanAServerReads(t *testing.T) {
	written := newRecorder()
	srv, s := serve(t, ftptest.Options{Command: written.answer(func(cmd, _ string) (string, bool) { return "250 ok", cmd == "DELE" })})
	for length, trips := range map[int]int{10: 2, 250: 7, 4000: 100} {
		names := make([]session.Removal, 100)
		for i := range names {
			names[i].Name = strings.Repeat("n", length-3) + fmt.Sprintf("%03d", i)
		}
		written.all()
		srv.ResetStats()
		removed, err := s.RemoveEach(t.Context(), names)
		require.NoError(t, err)
		assert.Len(t, removed, len(names))
		assert.Equal(t, trips, srv.Stats().RoundTrips)
		lines := slices.DeleteFunc(written.all(), func(line string) bool { return line == "PWD" })
		for i, line := range lines {
			assert.Equal(t, "DELE "+names[i].Name, line)
		}
	}
	removed, err := s.RemoveEach(t.Context(), []session.Removal{{Name: "a"}})
	require.NoError(t, err)
	assert.Equal(t, []bool{true}, removed)
	assert.Equal(t, []string{"DELE a"}, written.all())
	removed, err = s.RemoveEach(t.Context(), nil)
	require.NoError(t, err)
	assert.Empty(t, removed)
	removed, err = s.RemoveEach(t.Context(), []session.Removal{{Name: "a"}, {Name: "b\r\nDELE c"}})
	require.Error(t, err)
	assert.Empty(t, removed, "nothing is sent of what cannot be sent whole")
	inStep(t, s, "after a name that cannot be sent")
}
