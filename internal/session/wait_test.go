package session_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/ftptest"
	"github.com/corexalgo/ftpclient/internal/session"
)

// huge is more than sockets hold.
var huge = strings.Repeat("x", 64<<20)

// waits are all that can wait for a server on a session that is logged in, with the fault that makes them.
var waits = map[string]struct {
	faults []ftptest.Fault
	do     func(ctx context.Context, s *session.Session) error
}{
	"a reply": {
		[]ftptest.Fault{{Cmd: "NOOP", Do: ftptest.StallControl}},
		func(ctx context.Context, s *session.Session) error { return s.Ping(ctx) },
	},
	"the second reply of a group": {
		[]ftptest.Fault{{Cmd: "MDTM", Do: ftptest.StallReply}},
		func(ctx context.Context, s *session.Session) error { _, err := s.Look(ctx, "f"); return err },
	},
	"EPSV": {
		[]ftptest.Fault{{Cmd: "EPSV", Do: ftptest.StallControl}},
		func(ctx context.Context, s *session.Session) error { _, err := fetch(ctx, s, "f", 0); return err },
	},
	"RETR": {
		[]ftptest.Fault{{Cmd: "RETR", Do: ftptest.StallControl}},
		func(ctx context.Context, s *session.Session) error { _, err := fetch(ctx, s, "f", 0); return err },
	},
	"data to come": {
		[]ftptest.Fault{{Cmd: "RETR", Do: ftptest.StallData, After: 1000}},
		func(ctx context.Context, s *session.Session) error { _, err := fetch(ctx, s, "f", 0); return err },
	},
	"data to go": {
		[]ftptest.Fault{{Cmd: "STOR", Do: ftptest.StallData, After: 1000}},
		func(ctx context.Context, s *session.Session) error {
			return store(ctx, s, "g", huge)
		},
	},
	"rows to come": {
		[]ftptest.Fault{{Cmd: "MLSD", Do: ftptest.StallData}},
		func(ctx context.Context, s *session.Session) error { _, _, err := list(ctx, s, ""); return err },
	},
	"the final reply of a download": {
		[]ftptest.Fault{{Cmd: "RETR", Do: ftptest.StallReply}},
		func(ctx context.Context, s *session.Session) error { _, err := fetch(ctx, s, "f", 0); return err },
	},
	"the final reply of an upload": {
		[]ftptest.Fault{{Cmd: "STOR", Do: ftptest.StallReply}},
		func(ctx context.Context, s *session.Session) error { return store(ctx, s, "g", "x") },
	},
	"the final reply of a listing": {
		[]ftptest.Fault{{Cmd: "MLSD", Do: ftptest.StallReply}},
		func(ctx context.Context, s *session.Session) error { _, _, err := list(ctx, s, ""); return err },
	},
}

func TestEveryWaitEndsWithItsContext(t *testing.T) {
	for name, w := range waits {
		for _, mode := range []ftptest.TLSMode{ftptest.Plain, ftptest.Explicit} {
			t.Run(fmt.Sprint(name, " ", mode), func(t *testing.T) {
				cancelledIn(t, name, func() (func(context.Context) error, func() bool) {
					srv, s := serve(t, ftptest.Options{TLS: mode, Faults: w.faults})
					require.NoError(t, os.WriteFile(filepath.Join(srv.Dir(), "f"), make([]byte, 100_000), 0o600))
					return func(ctx context.Context) error {
						err := w.do(ctx, s)
						gone(t, s, name)
						return err
					}, func() bool { return srv.Stats().Faults > 0 }
				})
			})
		}
	}
}

func TestEveryWaitEndsByItsDeadline(t *testing.T) {
	for name, w := range waits {
		t.Run(name, func(t *testing.T) {
			srv, s := serve(t, ftptest.Options{Faults: w.faults}, func(c *session.Config) {
				c.ReplyTimeout, c.StallTimeout = 150*time.Millisecond, 150*time.Millisecond
			})
			require.NoError(t, os.WriteFile(filepath.Join(srv.Dir(), "f"), make([]byte, 100_000), 0o600))
			begin := time.Now()
			err := w.do(t.Context(), s)
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			assert.Less(t, time.Since(begin), 2*time.Second)
			assert.NotContains(t, err.Error(), "\n")
			gone(t, s, name)
		})
	}
}

func TestTheDataConnectionsDialEndsWithItsContextAndByItsDeadline(t *testing.T) {
	srv := ftptest.ScriptFTP(t, map[string]string{"f": "x"}, nil)
	cfg := scripted(srv)
	cfg.ConnectTimeout = 300 * time.Millisecond
	dials := 0
	plain := cfg.Dial
	cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if dials++; dials == 1 {
			return plain(ctx, network, addr)
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}
	s := dial(t, cfg)
	_, err := fetch(t.Context(), s, "f", 0)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.NotErrorIs(t, err, context.DeadlineExceeded)
	inStep(t, s, "nothing was begun")

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = fetch(ctx, s, "f", 0)
	assert.Equal(t, context.DeadlineExceeded, err)
	gone(t, s, "cancelled")
}

// Of the control and of the data connection, in either mode.
func TestOpeningAConnectionEndsWithItsContextAtOnce(t *testing.T) {
	srv := ftptest.ScriptFTP(t, map[string]string{"f": "x"}, ftptest.Replies(map[string]string{"EPRT": "200 ok", "RETR": "150 I shall dial you"}))
	prepare := func(granted int, active bool) func() func(context.Context) error {
		return func() func(context.Context) error {
			cfg := scripted(srv)
			cfg.Active = active
			left, plain := granted, cfg.Dial
			cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
				if left--; left >= 0 {
					return plain(ctx, network, addr)
				}
				<-ctx.Done()
				return nil, ctx.Err()
			}
			if granted == 0 {
				return func(ctx context.Context) error { _, err := session.Dial(ctx, cfg); return err }
			}
			s := dial(t, cfg)
			return func(ctx context.Context) error { _, err := fetch(ctx, s, "f", 0); return err }
		}
	}
	cancelled(t, "control", prepare(0, false))
	cancelled(t, "data", prepare(1, false))
	cancelled(t, "active", prepare(1, true))
}

// onReply calls f when a reply has been read, before anybody acts on it.
type onReply struct {
	slog.Handler
	f func(line string)
}

func (o onReply) Enabled(context.Context, slog.Level) bool { return true }

func (o onReply) WithAttrs([]slog.Attr) slog.Handler { return o }

func (o onReply) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "ftp <" {
		r.Attrs(func(a slog.Attr) bool { o.f(a.Value.String()); return true })
	}
	return nil
}

func TestAContextThatEndsAtTheVeryEndLeavesNoDeadlineBehind(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	srv := ftptest.ScriptFTP(t, nil, ftptest.Replies(map[string]string{"NOOP": "200 last"}))
	cfg := scripted(srv)
	cfg.Logger = slog.New(onReply{f: func(line string) {
		if line == "200 last" {
			cancel()
		}
	}})
	s := dial(t, cfg)
	require.NoError(t, s.Ping(ctx), "it was done")
	gone(t, s, "the deadline is on its way")

	for range 200 { // at any moment
		ctx, cancel := context.WithCancel(t.Context())
		s := dial(t, scripted(srv))
		go cancel()
		if err := s.Ping(ctx); err != nil {
			require.Equal(t, context.Canceled, err)
		}
		if s.Usable() {
			inStep(t, s, "a usable session works")
		}
	}
}

func TestADialWhoseContextEndsIsNoSession(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cfg := scripted(ftptest.ScriptFTP(t, nil, ftptest.Replies(map[string]string{"OPTS": "200 last"})))
	cfg.Logger = slog.New(onReply{f: func(line string) {
		if line == "200 last" {
			cancel()
		}
	}})
	_, err := session.Dial(ctx, cfg)
	require.Equal(t, context.Canceled, err)

	cfg.Logger = nil
	for i := range 100 { // at any moment
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*20*time.Microsecond)
		s, err := session.Dial(ctx, cfg)
		cancel()
		if err != nil {
			require.Equal(t, context.DeadlineExceeded, err)
			continue
		}
		inStep(t, s, "dialled")
		s.Close()
	}
}

func TestAStepThatIsOverdueWhenItSucceedsIsNoSession(t *testing.T) {
	cfg := scripted(ftptest.ScriptFTP(t, nil, ftptest.Replies(map[string]string{"OPTS": "200 last"})))
	cfg.ConnectTimeout = 200 * time.Millisecond
	cfg.Logger = slog.New(onReply{f: func(line string) {
		if line == "200 last" {
			<-time.After(300 * time.Millisecond)
		}
	}})
	_, err := session.Dial(t.Context(), cfg)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
}
