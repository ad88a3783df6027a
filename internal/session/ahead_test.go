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

	"github.com/corexalgo/ftpclient/internal/ftptest"
	"github.com/corexalgo/ftpclient/internal/reply"
	"github.com/corexalgo/ftpclient/internal/retry"
	"github.com/corexalgo/ftpclient/internal/session"
)

// impatient is a server that holds the final reply to RETR until it has said what it makes of the commands that follow.
func impatient(t *testing.T, say map[string]string, final string) *ftptest.ScriptServer {
	t.Helper()
	return ftptest.Script(t, func(c *ftptest.Conn) {
		c.Send("220 ready\r\n")
		var data *ftptest.DataListener
		for {
			line := c.ReadLine()
			cmd, _, _ := strings.Cut(line, " ")
			switch cmd {
			case "EPSV":
				data = c.Listen()
				c.Send(data.EPSV())
			case "RETR":
				conn := data.Accept()
				c.Send("150 here\r\n")
				_, _ = io.WriteString(conn, "content")
				_ = conn.Close()
				for _, verb := range []string{"SIZE", "MDTM"} {
					if !strings.HasPrefix(c.ReadLine(), verb) {
						return
					}
					c.Send(say[verb] + "\r\n")
				}
				c.Send(final + "\r\n")
			case "SIZE":
				c.Send("213 7\r\n")
			case "MDTM":
				c.Send("213 20240102030405\r\n")
			case "USER":
				c.Send("331 password\r\n")
			case "PASS":
				c.Send("230 in\r\n")
			case "TYPE", "NOOP":
				c.Send("200 ok\r\n")
			case "QUIT":
				return
			default:
				c.Send("500 unknown\r\n")
			}
		}
	})
}

func TestAFinalReplyAmongThoseToCommandsSentAheadIsFound(t *testing.T) {
	for what, c := range map[string]struct {
		size, mdtm, final string
		ok                bool
	}{
		"refused at once":       {"500 busy", "500 busy", "226 done", true},
		"refused by 450":        {"450 busy", "450 busy", "226 done", true},
		"answered at once":      {"213 7", "213 20240102030405", "226 done", true},
		"no final reply at all": {"500 busy", "500 busy", "200 ok", false},
		"the transfer failed":   {"500 busy", "500 busy", "426 cut", false},
		"it failed, and aborts": {"426 cut", "500 busy", "226 abort done", false},
		"two final replies":     {"226 done", "226 done", "213 7", false},
	} {
		t.Run(what, func(t *testing.T) {
			srv := impatient(t, map[string]string{"SIZE": c.size, "MDTM": c.mdtm}, c.final)
			cfg := scripted(srv)
			s := dial(t, cfg)
			r, err := s.Retrieve(t.Context(), "f", 0, session.TransferOptions{
				Then: func() session.Ahead { return session.Ahead{Looks: []string{"f"}} },
			})
			require.NoError(t, err)
			_, err = io.ReadAll(r)
			require.NoError(t, err)
			err = r.Close()
			assert.True(t, cfg.Quirks.Late.Load(), "remembered")
			if !c.ok {
				assert.True(t, retry.Retryable(err), "%v", err)
				gone(t, s, what)
				return
			}
			require.NoError(t, err)
			inStep(t, s, what)
			look, err := s.Look(t.Context(), "f")
			require.NoError(t, err)
			assert.Equal(t, int64(7), look.Size)
		})
	}
}

func TestWhileADownloadIsProvedTheNextDataConnectionIsOpened(t *testing.T) {
	busy, opened := make(chan struct{}), make(chan net.Conn, 1)
	srv := ftptest.Script(t, func(c *ftptest.Conn) {
		c.Send("220 ready\r\n")
		var data *ftptest.DataListener
		for answers := map[string]string{"USER": "331 password", "PASS": "230 in", "TYPE": "200 ok", "FEAT": "500 no", "OPTS": "500 no"}; ; {
			switch verb, _, _ := strings.Cut(c.ReadLine(), " "); verb {
			case "EPSV":
				data = c.Listen()
				c.Send(data.EPSV())
			case "RETR":
				conn := data.Accept()
				c.Send("150 here\r\n")
				_, _ = io.WriteString(conn, "content")
				_ = conn.Close()
				for range 3 {
					c.ReadLine()
				}
				select { // nothing was answered so far
				case <-busy:
				case <-t.Context().Done():
					return
				}
				data = c.Listen()
				c.Send("226 done\r\n213 7\r\n213 20240102030405\r\n" + data.EPSV())
				opened <- data.Accept() // nothing was asked since
			case "":
				return
			default:
				c.Send(answers[verb] + "\r\n")
			}
		}
	})
	s := dial(t, distant(scripted(srv)))
	r, err := s.Retrieve(t.Context(), "f", 0, session.TransferOptions{
		Then:      func() session.Ahead { return session.Ahead{Looks: []string{"f"}, Data: true, Dial: true} },
		Meanwhile: func() { close(busy) },
	})
	require.NoError(t, err)
	_, err = io.ReadAll(r)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	select {
	case conn := <-opened:
		s.Forget()
		_, err = conn.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF)
	case <-time.After(5 * time.Second):
		require.Fail(t, "nothing was opened")
	}
}

func TestADataConnectionToANearServerIsOpenedWhenItIsNeeded(t *testing.T) {
	cfg := scripted(ftptest.ScriptFTP(t, map[string]string{"f": "content"}, nil))
	opened, dialer := atomic.Int32{}, cfg.Dial
	cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		opened.Add(1)
		return dialer(ctx, network, addr)
	}
	s := dial(t, cfg)
	for want := int32(2); want < 6; want++ { // with the control connection
		r, err := s.Retrieve(t.Context(), "f", 0, session.TransferOptions{
			Then: func() session.Ahead { return session.Ahead{Looks: []string{"f"}, Data: true, Dial: true} },
		})
		require.NoError(t, err)
		_, err = io.ReadAll(r)
		require.NoError(t, err)
		if want == 2 {
			assert.Positive(t, *s.Reached(), "it was opened just now")
			*s.Reached() = time.Microsecond
		}
		require.NoError(t, r.Close())
		<-time.After(10 * time.Millisecond)
		assert.Equal(t, want, opened.Load())
	}
}

// holding is a server that answers the first n of the commands that follow content, with the final reply among them, and is
// silent from then on, or hangs up.
func holding(t *testing.T, n int, hangUp bool) *ftptest.ScriptServer {
	t.Helper()
	moved, said := false, 0
	return ftptest.ScriptFTP(t, map[string]string{"f": "content"}, func(cmd, _ string) (string, bool) {
		moved = moved || cmd == "RETR"
		if !moved || cmd == "RETR" {
			return "", false
		}
		if said++; said <= n {
			return "", false
		}
		if hangUp {
			return "421 gone", true
		}
		return "", true
	})
}

func TestACancelEndsTheWaitForAnswersToCommandsSentAhead(t *testing.T) {
	for n := range 3 {
		cancelled(t, "answers that do not come", func() func(context.Context) error {
			s := dial(t, scripted(holding(t, n, false)))
			return func(ctx context.Context) error {
				r, err := s.Retrieve(ctx, "f", 0, session.TransferOptions{
					Then: func() session.Ahead { return session.Ahead{Looks: []string{"f"}, Data: true} },
				})
				require.NoError(t, err)
				_, err = io.ReadAll(r)
				require.NoError(t, err)
				err = r.Close()
				gone(t, s, "cancelled")
				return err
			}
		})
	}
}

func TestAConnectionThatIsLostAmongAnswersToCommandsSentAheadIsAnError(t *testing.T) {
	for n := range 3 {
		s := dial(t, scripted(holding(t, n, true)))
		r, err := s.Retrieve(t.Context(), "f", 0, session.TransferOptions{
			Then: func() session.Ahead { return session.Ahead{Looks: []string{"f"}, Data: true} },
		})
		require.NoError(t, err)
		_, err = io.ReadAll(r)
		require.NoError(t, err)
		require.Error(t, r.Close(), "after %d answers", n)
		gone(t, s, "lost")
	}
}

func TestAnswersGivenAheadAreForTheirPathAndUsedOnce(t *testing.T) {
	rec := newRecorder()
	s := dial(t, scripted(ftptest.ScriptFTP(t, map[string]string{"f": "content", "g": "more content"}, rec.answer(nil))))
	then := func() session.Ahead { return session.Ahead{Looks: []string{"g"}, Data: true} }
	download := func() {
		r, err := s.Retrieve(t.Context(), "f", 0, session.TransferOptions{Then: then})
		require.NoError(t, err)
		_, err = io.ReadAll(r)
		require.NoError(t, err)
		require.NoError(t, r.Close())
		rec.all()
	}
	look := func(name string, size int64) {
		look, err := s.Look(t.Context(), name)
		require.NoError(t, err)
		assert.Equal(t, size, look.Size)
	}
	download()
	look("g", 12)
	assert.Empty(t, rec.all(), "known")
	look("g", 12)
	assert.Len(t, rec.all(), 2, "asked again")

	download()
	look("f", 7)
	assert.Len(t, rec.all(), 2, "another path")
	look("g", 12)
	assert.Len(t, rec.all(), 2, "something else was asked meanwhile")

	download()
	s.Forget()
	look("g", 12)
	assert.Len(t, rec.all(), 2, "forgotten")

	download()
	got, err := fetch(t.Context(), s, "f", 0)
	require.NoError(t, err)
	assert.Equal(t, "content", got)
	assert.Equal(t, []string{"RETR f"}, rec.all(), "the port is known")
}

func TestEagerContentThatIsRefusedCountsAsNotSent(t *testing.T) {
	for _, refusal := range []string{"550 no", "226 done already", "425 no"} {
		_, s := serve(t, ftptest.Options{Faults: []ftptest.Fault{{Cmd: "STOR", Do: ftptest.Refuse, Reply: refusal, Times: 1}}})
		told := 0
		opts := session.TransferOptions{Eager: true, Moved: func(n int) { told += n }}
		sent, err := s.Store(t.Context(), "f", 0, strings.NewReader("content"), opts)
		require.Error(t, err, refusal)
		assert.Zero(t, sent)
		assert.Zero(t, told)
		if refusal[0] == '2' {
			require.ErrorIs(t, err, reply.ErrMalformed)
			gone(t, s, refusal)
			continue
		}
		assert.Equal(t, refusal[:3], err.Error()[len("STOR: "):len("STOR: ")+3])
		inStep(t, s, refusal)
		sent, err = s.Store(t.Context(), "f", 0, strings.NewReader("content"), opts)
		require.NoError(t, err)
		assert.Equal(t, int64(7), sent)
		assert.Equal(t, 7, told)
		got, err := fetch(t.Context(), s, "f", 0)
		require.NoError(t, err)
		assert.Equal(t, "content", got)
	}
}

func TestADownloadThatIsCompleteStaysSoWhateverIsAnsweredToWhatFollows(t *testing.T) {
	for what, refuses := range map[string]map[string]string{
		"a time is refused for now":        {"MDTM": "451 not now"},
		"no times, and no NOOP":            {"MDTM": "502 no", "NOOP": "500 no"},
		"there is no port for the next":    {"EPSV": "425 no port"},
		"no size, and a time for somebody": {"SIZE": "534 not you", "MDTM": "532 nor you"},
	} {
		t.Run(what, func(t *testing.T) {
			moved := false
			srv := ftptest.ScriptFTP(t, map[string]string{"f": "content"}, func(cmd, _ string) (string, bool) {
				reply, refused := refuses[cmd]
				defer func() { moved = moved || cmd == "RETR" }()
				return reply, refused && moved
			})
			s := dial(t, scripted(srv))
			r, err := s.Retrieve(t.Context(), "f", 0, session.TransferOptions{
				Then: func() session.Ahead { return session.Ahead{Looks: []string{"f"}, Data: true} },
			})
			require.NoError(t, err)
			_, err = io.ReadAll(r)
			require.NoError(t, err)
			require.NoError(t, r.Close())
			inStep(t, s, what)
		})
	}
}

func TestARenameThatIsGrantedInItsOwnWayIsNotBegunAheadAgain(t *testing.T) {
	srv := ftptest.ScriptFTP(t, map[string]string{"f": "content"}, ftptest.Replies(map[string]string{"RNFR": "250 go on", "RNTO": "250 done"}))
	cfg := scripted(srv)
	s := dial(t, cfg)
	_, err := s.LookAhead(t.Context(), "f", session.Ahead{Rename: "f"})
	require.ErrorIs(t, err, reply.ErrMalformed, "it may have been the answer to something else")
	gone(t, s, "out of step")

	s = dial(t, cfg)
	look, err := s.LookAhead(t.Context(), "f", session.Ahead{Rename: "f"})
	require.NoError(t, err)
	assert.EqualValues(t, 7, look.Size)
	require.NoError(t, s.Rename(t.Context(), "f", "g"))
	inStep(t, s, "renamed")
}

func TestAConnectionThatIsLostOnceAmongAnswersIsTheLinesFault(t *testing.T) {
	var cuts atomic.Int32
	srv := ftptest.ScriptFTP(t, map[string]string{"f": "content"}, func(cmd, _ string) (string, bool) {
		if cmd == "MDTM" && cuts.Add(-1) >= 0 {
			runtime.Goexit()
		}
		return "", false
	})
	cfg := scripted(srv)
	look := func() error {
		_, err := dial(t, cfg).Look(t.Context(), "f")
		return err
	}
	for range 3 {
		cuts.Store(1)
		require.Error(t, look())
		require.NoError(t, look())
		assert.False(t, cfg.Quirks.OneByOne.Load(), "groups were answered since")
	}
	cuts.Store(2)
	require.Error(t, look())
	require.Error(t, look())
	assert.True(t, cfg.Quirks.OneByOne.Load(), "none was")
}

// An outage takes several sessions at once.
func TestASessionThatAnsweredEarlyCommandsBeforeIsNotConfusedByThem(t *testing.T) {
	for _, before := range []bool{true, false} {
		var cuts atomic.Bool
		cfg := scripted(ftptest.ScriptFTP(t, map[string]string{"f": "content"}, func(cmd, _ string) (string, bool) {
			if cmd == "SIZE" && cuts.Load() {
				runtime.Goexit()
			}
			return "", false
		}))
		fetch := func(s *session.Session) error {
			r, err := s.Retrieve(t.Context(), "f", 0, session.TransferOptions{
				Then: func() session.Ahead { return session.Ahead{Looks: []string{"f"}} },
			})
			require.NoError(t, err)
			_, err = io.ReadAll(r)
			require.NoError(t, err)
			return r.Close()
		}
		sessions := []*session.Session{dial(t, cfg), dial(t, cfg), dial(t, cfg)}
		for _, s := range sessions {
			if before {
				require.NoError(t, fetch(s))
			}
		}
		cuts.Store(true)
		for _, s := range sessions {
			require.Error(t, fetch(s))
			gone(t, s, "cut")
		}
		assert.Equal(t, !before, cfg.Quirks.Late.Load())
	}
}

func TestWhatABrokenSessionCannotDoAnotherOneMay(t *testing.T) {
	assert.True(t, retry.Retryable(session.ErrBroken))
}
