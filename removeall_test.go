package ftpclient_test

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

// hasty is a client that waits for no reply for long, and repeats what fails once and soon.
func hasty(t *testing.T, srv *ftptest.Server) *ftpclient.Client {
	t.Helper()
	client, err := ftpclient.New(ftpclient.Config{
		Servers: map[string]ftpclient.ServerConfig{"srv": {
			Host: srv.Host(), Port: srv.Port(), Username: srv.User(), Password: ftpclient.Secret(srv.Password()),
			MaxConns: 2, ReplyTimeout: 300 * time.Millisecond,
		}},
		Retry: ftpclient.RetryPolicy{MaxRetries: 1, Delay: time.Millisecond},
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func TestRemoveAllGivesUpNothingButTheNameAtWhichConnectionsEnd(t *testing.T) {
	for what, f := range map[string]ftptest.Fault{
		"cut":   {Cmd: "DELE", Path: "r/b", Do: ftptest.CutControl},
		"421":   {Cmd: "DELE", Path: "r/b", Do: ftptest.Refuse, Reply: "421 internal error"},
		"350":   {Cmd: "DELE", Path: "r/b", Do: ftptest.Refuse, Reply: "350 what"},
		"stall": {Cmd: "DELE", Path: "r/b", Do: ftptest.StallControl},
	} {
		srv := ftptest.Start(t, ftptest.Options{Faults: []ftptest.Fault{f}})
		for _, name := range []string{"a", "b", "c", "d", "sub/e"} {
			put(t, srv, "r/"+name, nil)
		}
		require.ErrorContains(t, hasty(t, srv).RemoveAll(t.Context(), "srv", "r"), "r/b: ", what)
		assert.Equal(t, []string{"b"}, names(t, filepath.Join(srv.Dir(), "r")), what)
	}
}

func TestRemoveAllIsNotMisledByWhatServersMakeOfManyCommands(t *testing.T) {
	var once, count atomic.Int32
	first := func() bool { return once.Add(1) == 1 }
	for what, o := range map[string]ftptest.Options{
		"one reply too many": {Faults: []ftptest.Fault{
			{Cmd: "DELE", Path: "r/00", Do: ftptest.ExtraReply, Reply: "250 once more", Times: 1},
			{Cmd: "DELE", Path: "r/59", Do: ftptest.Refuse, Reply: "450 busy", Times: 1},
		}},
		"one command lost": {Command: func(cmd, arg string) (string, bool) { return "", cmd == "DELE" && arg == "r/00" && first() }},
		"replies lost": {NoMLSD: true, Reply: func(cmd, _ string, r []byte) []byte {
			if cmd == "DELE" && count.Add(1) > 2 && count.Load() < 57 {
				return nil
			}
			return r
		}},
		"226":          {Faults: []ftptest.Fault{{Cmd: "DELE", Path: "r/", Do: ftptest.FinalReply, Reply: "226 File deleted"}}},
		"NOOP unknown": {Faults: []ftptest.Fault{{Cmd: "NOOP", Do: ftptest.Refuse, Reply: "502 no"}}},
		"each loses":   {Faults: []ftptest.Fault{{Cmd: "DELE", Path: "r/00", Do: ftptest.CutControl, Times: 2}}},
	} {
		once.Store(0)
		count.Store(0)
		srv := ftptest.Start(t, o)
		for i := range 60 {
			put(t, srv, fmt.Sprintf("r/%02d", i), nil)
		}
		client := hasty(t, srv)
		require.NoError(t, client.RemoveAll(t.Context(), "srv", "r"), what)
		assert.Empty(t, names(t, srv.Dir()), what)
		assert.Less(t, srv.Stats().Commands["LIST"], 6, "%s: many absences are proved by one listing", what)
	}
}

func TestRemoveAllTellsFirstWhyItEnded(t *testing.T) {
	srv := ftptest.Start(t, ftptest.Options{Faults: []ftptest.Fault{
		{Cmd: "DELE", Path: "r/a/", Do: ftptest.Refuse, Reply: "550 no"},
		{Cmd: "MLSD", Path: "r/b", Do: ftptest.Refuse, Reply: "550 Permission denied"},
	}})
	for i := range 1500 {
		put(t, srv, fmt.Sprintf("r/a/%04d", i), nil)
	}
	put(t, srv, "r/b/x", nil)
	err := hasty(t, srv).RemoveAll(t.Context(), "srv", "r")
	require.ErrorIs(t, err, fs.ErrPermission)
	require.ErrorContains(t, err, "nothing more is removed: ")
}

func TestRemoveAllEndsSoonWhereTheServerHasGone(t *testing.T) {
	srv := ftptest.Start(t, ftptest.Options{Faults: []ftptest.Fault{{Cmd: "CONNECT", Skip: 2, Do: ftptest.CutControl}, {Cmd: "DELE", Path: "r/", Do: ftptest.CutControl}}})
	for i := range 500 {
		put(t, srv, fmt.Sprintf("r/%03d", i), nil)
	}
	client := hasty(t, srv)
	require.ErrorContains(t, client.RemoveAll(t.Context(), "srv", "r"), "nothing more is removed: ")
	assert.Less(t, srv.Stats().Conns, 50)
	assert.Len(t, names(t, filepath.Join(srv.Dir(), "r")), 500)
}
