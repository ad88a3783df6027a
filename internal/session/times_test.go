package session_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/ftptest"
	"github.com/corexalgo/ftpclient/internal/retry"
	"github.com/corexalgo/ftpclient/internal/safepath"
	"github.com/corexalgo/ftpclient/internal/session"
)

// A time that is another file's could pass a changed file for an unchanged one.
func TestTimesAreThoseOfTheirFilesOrThereAreNone(t *testing.T) {
	at := map[string]string{"a": "213 20240101000000", "b": "213 20240102000000", "c": "213 20240103000000"}
	names := []string{"a", "b", "c"}
	for what, b := range map[string]string{"twice": at["b"] + "\r\n" + at["b"], "and of another": at["b"] + "\r\n" + at["a"]} {
		cfg := scripted(ftptest.ScriptFTP(t, nil, func(cmd, arg string) (string, bool) {
			if arg == "b" && b != "" {
				return b, cmd == "MDTM"
			}
			return at[arg], cmd == "MDTM"
		}))
		s := dial(t, cfg)
		times, err := s.Times(t.Context(), names)
		require.Error(t, err, what)
		assert.Empty(t, times, what)
		gone(t, s, what)
	}
	for what, oneByOne := range map[string]bool{"200 ok": false, "250 ok": false, "220 ok": false, "502 no": false, "200 fine": true} {
		cfg := scripted(ftptest.ScriptFTP(t, nil, func(cmd, arg string) (string, bool) {
			if cmd == "NOOP" { // which closed a group once
				return what, true
			}
			if arg == "b" {
				return "550 no", cmd == "MDTM"
			}
			return at[arg], cmd == "MDTM"
		}))
		cfg.Quirks.OneByOne.Store(oneByOne)
		s := dial(t, cfg)
		times, err := s.Times(t.Context(), names)
		require.NoError(t, err)
		assert.Equal(t, []time.Time{time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), {}, time.Date(2024, 1, 3, 0, 0, 0, 0, time.UTC)}, times)
		inStep(t, s, "answered")
	}
}

func TestLooksAreOfTheirFilesOrThereAreNone(t *testing.T) {
	cfg := scripted(ftptest.ScriptFTP(t, nil, func(cmd, arg string) (string, bool) {
		switch {
		case cmd == "SIZE" && arg == "a": // and one too many: from here on each reply is to the command before
			return "213 20240101\r\n213 20240101000000", true
		case cmd == "SIZE":
			return "213 20240102000000", true
		}
		return "213 20240102", cmd == "MDTM"
	}))
	s := dial(t, cfg)
	looks, err := s.Looks(t.Context(), "a", "b")
	require.Error(t, err)
	assert.Empty(t, looks)
	gone(t, s, "one reply too many")
}

func TestANameThatCannotBeSentSpoilsNoOther(t *testing.T) {
	cfg := scripted(ftptest.ScriptFTP(t, nil, func(cmd, arg string) (string, bool) { return "213 " + arg, cmd == "SIZE" }))
	s := dial(t, cfg)
	looks, err := s.Looks(t.Context(), "1", "a\nb", "3", "\x00")
	require.NoError(t, err)
	for i, size := range []int64{1, -1, 3, -1} {
		assert.Equal(t, size, looks[i].Size)
		assert.Equal(t, size < 0, errors.Is(looks[i].SizeErr, safepath.ErrUnsafe))
	}
	inStep(t, s, "after names that cannot be sent")
}

func TestAServerThatDoesNotCloseAGroupIsAskedOneByOne(t *testing.T) {
	for _, says := range []string{"500 no", "550 no", "250 here", "200 ok"} {
		cfg := scripted(ftptest.ScriptFTP(t, nil, func(cmd, _ string) (string, bool) {
			if cmd == "PWD" {
				return says, true
			}
			return "213 20240101000000", cmd == "MDTM"
		}))
		s := dial(t, cfg)
		_, err := s.Times(t.Context(), []string{"a", "b"})
		require.ErrorContains(t, err, says, "it may be a reply to b")
		gone(t, s, says)
		times, err := dial(t, cfg).Times(t.Context(), []string{"a", "b"})
		require.NoError(t, err, says)
		assert.Len(t, times, 2)
	}
}

// What such a server refuses says nothing of the files: to have no size and no time is to be what it was.
func TestAServerThatForgetsTheLoginTellsNothingOfItsFiles(t *testing.T) {
	for _, oneByOne := range []bool{false, true} {
		var out atomic.Bool
		cfg := scripted(ftptest.ScriptFTP(t, nil, func(cmd, _ string) (string, bool) {
			if cmd == "NOOP" { // which ProFTPD grants to everybody
				return "200 ok", true
			}
			return "530 Please login with USER and PASS.", out.Load()
		}))
		cfg.Quirks.OneByOne.Store(oneByOne)
		for what, ask := range map[string]func(s *session.Session) (int, error){
			"looks": func(s *session.Session) (int, error) {
				looks, err := s.Looks(t.Context(), "a", "b")
				return len(looks), err
			},
			"times": func(s *session.Session) (int, error) {
				times, err := s.Times(t.Context(), []string{"a"})
				return len(times), err
			},
		} {
			out.Store(false)
			s := dial(t, cfg)
			out.Store(true)
			told, err := ask(s)
			require.Error(t, err, what)
			assert.True(t, retry.Retryable(err), what)
			assert.Zero(t, told, what)
			gone(t, s, what)
			assert.True(t, s.Spent(), what)
		}
		assert.Equal(t, oneByOne, cfg.Quirks.OneByOne.Load())
	}
}
