package session_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/ftptest"
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
	for what, oneByOne := range map[string]bool{"200 ok": false, "502 no": false, "200 fine": true} {
		cfg := scripted(ftptest.ScriptFTP(t, nil, func(cmd, arg string) (string, bool) {
			if cmd == "NOOP" {
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
