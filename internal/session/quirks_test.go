package session_test

import (
	"context"
	"io"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/digest"
	"github.com/corexalgo/ftpclient/internal/ftptest"
	"github.com/corexalgo/ftpclient/internal/listing"
	"github.com/corexalgo/ftpclient/internal/session"
)

// found is what is remembered of a server, as far as a session of it shows it.
func found(t *testing.T, cfg session.Config) (all []string) {
	t.Helper()
	q := cfg.Quirks
	for name, quirk := range map[string]*atomic.Bool{
		"PASV": &q.PASV, "OneByOne": &q.OneByOne, "Stepwise": &q.Stepwise, "NoMLST": &q.NoMLST, "Late": &q.Late, "Hasty": &q.Hasty,
		"Lax": &q.Lax, "Dateless": &q.Dateless, "Patient": &q.Patient,
	} {
		if quirk.Load() {
			all = append(all, name)
		}
	}
	s := dial(t, cfg)
	if !q.OneByOne.Load() && !s.Stats(true) {
		all = append(all, "no STAT")
	}
	if len(s.Algorithms()) < 2 {
		all = append(all, "no digest")
	}
	return all
}

// manyThings are what a session is asked for, each with an effect on what is remembered of its server.
var manyThings = map[string]func(ctx context.Context, s *session.Session) error{
	"look": func(ctx context.Context, s *session.Session) error {
		_, err := s.LookAhead(ctx, "f", session.Ahead{Data: true})
		return err
	},
	"fact": func(ctx context.Context, s *session.Session) error {
		_, err := s.Fact(ctx, "f")
		return err
	},
	"list": func(ctx context.Context, s *session.Session) error {
		return s.List(ctx, "d", func(listing.Entry, error) bool { return true })
	},
	"stat": func(ctx context.Context, s *session.Session) error {
		_, err := s.StatDirs(ctx, []string{"/d", "/e"})
		return err
	},
	"digest": func(ctx context.Context, s *session.Session) error {
		_, err := s.Hash(ctx, digest.SHA1, "f", 7)
		return err
	},
	"download": func(ctx context.Context, s *session.Session) error {
		r, err := s.Retrieve(ctx, "f", 0, session.TransferOptions{
			Then: func() session.Ahead { return session.Ahead{Looks: []string{"f"}, Data: true} },
		})
		if err != nil {
			return err
		}
		if _, err = io.Copy(io.Discard, r); err != nil {
			return err
		}
		return r.Close()
	},
	"upload": func(ctx context.Context, s *session.Session) error {
		_, err := s.Store(ctx, "g", 0, strings.NewReader("content"), session.TransferOptions{Eager: true, Then: func() session.Ahead {
			return session.Ahead{Date: "g", ModTime: time.Unix(0, 0), Rename: "g", Data: true}
		}})
		return err
	},
	"rename": func(ctx context.Context, s *session.Session) error {
		_, err := s.LookAhead(ctx, "f", session.Ahead{Date: "f", ModTime: time.Unix(0, 0), Rename: "f"})
		if err == nil {
			_, err = s.RenameAhead(ctx, "f", "g", session.Ahead{Looks: []string{"g"}, Data: true})
		}
		return err
	},
	"remove": func(ctx context.Context, s *session.Session) error {
		_, err := s.RemoveEach(ctx, []session.Removal{{Name: "a"}, {Name: "b"}})
		return err
	},
}

// quirky is a server that has all that a session asks for. It answers verb by what says, but not at a login.
func quirky(t *testing.T, verb string, says func() string) session.Config {
	t.Helper()
	var in atomic.Bool
	return scripted(ftptest.ScriptFTP(t, map[string]string{"f": "content", "MLSD": "type=file;size=7; f\r\n"}, func(cmd, arg string) (string, bool) {
		in.Store(cmd != "USER" && (in.Load() || cmd == "NOOP"))
		switch {
		case cmd == verb && in.Load():
			return says(), true
		case cmd == "FEAT":
			return "211-F\r\n EPSV\r\n MDTM\r\n MFMT\r\n MLST type*;size*;\r\n SIZE\r\n HASH SHA-256*;SHA-1\r\n211 End", true
		case cmd == "MLST":
			return "250-F\r\n type=file;size=7; " + arg + "\r\n250 End", true
		case cmd == "STAT":
			return "213-Status\r\ndrwxr-xr-x 2 u g 4096 Jan  1 2024 .\r\n-rw-r--r-- 1 u g 7 Jan  1 2024 f\r\n213 End", true
		case cmd == "MFMT":
			return "213 Modify=19700101000000; f", true
		case cmd == "HASH":
			return "213 SHA-1 0-7 " + hexOf(digest.SHA1, "content") + " f", true
		}
		return "", false
	}))
}

var quirkyVerbs = []string{
	"SIZE", "MDTM", "EPSV", "PASV", "MLST", "MLSD", "STAT", "PWD", "OPTS", "HASH", "RETR", "STOR", "MFMT", "RNFR", "RNTO", "DELE", "NOOP",
}

func TestWhatPassesIsNotRememberedOfAServer(t *testing.T) {
	for _, reply := range []string{"421 bye", "425 not now", "451 local trouble", "530 Please login with USER and PASS."} {
		for _, verb := range quirkyVerbs {
			cfg := quirky(t, verb, func() string { return reply })
			for what, do := range manyThings {
				if verb == "NOOP" && what == "stat" { // without it STAT is of no use
					continue
				}
				for range 2 { // once may be nobody's fault
					s := dial(t, cfg)
					_ = s.Ping(t.Context())
					_ = do(t.Context(), s)
					s.Close()
				}
				if reply[:3] == "425" {
					cfg.Quirks.PASV.Store(false) // the other way is tried after two of these
				}
			}
			assert.Empty(t, found(t, cfg), "%s to %s", reply, verb)
		}
	}
}

func TestAConnectionThatIsLostOrCancelledIsNotRememberedOfAServer(t *testing.T) {
	for _, verb := range quirkyVerbs {
		for what, do := range manyThings {
			cfg := quirky(t, verb, func() string { runtime.Goexit(); return "" })
			s := dial(t, cfg)
			_ = s.Ping(t.Context())
			_ = do(t.Context(), s)
			assert.Empty(t, found(t, cfg), "%s, cut at %s", what, verb)
		}
		var cancel atomic.Pointer[context.CancelFunc]
		cfg := quirky(t, verb, func() string { (*cancel.Load())(); return "" })
		for _, do := range manyThings {
			for range 2 {
				ctx, end := context.WithCancel(t.Context())
				cancel.Store(&end)
				s := dial(t, cfg)
				_ = s.Ping(ctx)
				_ = do(ctx, s)
				s.Close()
				end()
			}
		}
		assert.Empty(t, found(t, cfg), "cancelled at %s", verb)
	}
}

func TestADataConnectionThatNobodyWaitsForAnyMoreHasNotFailed(t *testing.T) {
	cfg := scripted(ftptest.ScriptFTP(t, map[string]string{"f": "content"}, nil))
	plain := cfg.Dial
	for range 3 {
		cfg.Dial = plain
		ctx, cancel := context.WithCancel(t.Context())
		s := dial(t, withData(cfg, func(data context.Context) (net.Conn, error) {
			cancel()
			<-data.Done()
			return nil, data.Err()
		}))
		_, err := fetch(ctx, s, "f", 0)
		require.ErrorIs(t, err, context.Canceled)
	}
	assert.False(t, cfg.Quirks.PASV.Load())
}

// withData is cfg with another way to open data connections.
func withData(cfg session.Config, open func(ctx context.Context) (net.Conn, error)) session.Config {
	plain, dials := cfg.Dial, 0
	cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if dials++; dials == 1 {
			return plain(ctx, network, addr)
		}
		return open(ctx)
	}
	return cfg
}
