package session_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/ftptest"
	"github.com/corexalgo/ftpclient/internal/session"
)

// slowToFinish is a server that ends uploads some time after it has granted them. To the commands that come in between it says
// busy, at once, or answers them afterwards, if that is "".
func slowToFinish(t *testing.T, busy, final string) (srv *ftptest.ScriptServer, early chan int) {
	t.Helper()
	early = make(chan int, 10)
	srv = ftptest.Script(t, func(c *ftptest.Conn) {
		c.Send("220 ready\r\n")
		var data *ftptest.DataListener
		answers := map[string]string{
			"USER": "331 password", "PASS": "230 in", "TYPE": "200 ok", "NOOP": "200 ok",
			"SIZE": "213 7", "MDTM": "213 20240102030405", "RNFR": "350 and now?", "RNTO": "250 renamed",
		}
		for {
			verb, _, _ := strings.Cut(c.ReadLine(), " ")
			switch verb {
			case "EPSV":
				data = c.Listen()
				c.Send(data.EPSV())
			case "STOR":
				conn := data.Accept()
				_, _ = io.Copy(io.Discard, conn)
				_ = conn.Close()
				c.Send("150 here\r\n")
				if !c.Comes(50 * time.Millisecond) {
					early <- 0
					c.Send(final + "\r\n")
					continue
				}
				if early <- 3; busy == "" {
					c.Send(final + "\r\n")
					continue
				}
				for range 3 {
					c.ReadLine()
				}
				c.Send(strings.Repeat(busy+"\r\n", 3) + final + "\r\n")
			case "QUIT", "":
				return
			default:
				if answers[verb] == "" {
					answers[verb] = "500 unknown"
				}
				c.Send(answers[verb] + "\r\n")
			}
		}
	})
	return srv, early
}

func TestCommandsFollowAnUploadWhoseFinalReplyWaitsForThem(t *testing.T) {
	ahead := session.Ahead{Looks: []string{"f"}, Rename: "f"}
	store := func(s *session.Session) error {
		_, err := s.Store(t.Context(), "f", 0, strings.NewReader("content"), session.TransferOptions{
			Eager: true, Then: func() session.Ahead { return ahead },
		})
		return err
	}
	for what, c := range map[string]struct {
		busy, final string
		late        bool
		err         string
	}{
		"they wait":                {"", "226 done", false, ""},
		"refused at once":          {"500 busy", "226 done", true, ""},
		"refused by 450":           {"450 busy", "226 done", true, ""},
		"the upload failed":        {"", "452 full", false, "452"},
		"failed, and refused":      {"500 busy", "452 full", true, "500"},
		"answered before the file": {"213 7", "226 done", true, ""},
	} {
		t.Run(what, func(t *testing.T) {
			srv, early := slowToFinish(t, c.busy, c.final)
			cfg := scripted(srv)
			s := dial(t, cfg)
			if c.err == "" {
				require.NoError(t, store(s))
				assert.Zero(t, <-early, "nobody knows yet")
				assert.True(t, cfg.Quirks.Nagle.Load(), "seen")
			}
			cfg.Quirks.Nagle.Store(true)

			err := store(s)
			assert.Equal(t, 3, <-early)
			assert.Equal(t, c.late, cfg.Quirks.Late.Load(), "remembered")
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
			} else {
				require.NoError(t, err)
			}
			if c.err != "" && c.late {
				gone(t, s, what)
				return
			}
			look, err := s.Look(t.Context(), "f")
			require.NoError(t, err)
			assert.Equal(t, int64(7), look.Size)
			require.NoError(t, s.Rename(t.Context(), "f", "g"))
			if c.late {
				require.NoError(t, store(s))
				assert.Zero(t, <-early, "not again")
			}
			inStep(t, s, what)
		})
	}
}

// secured is a server under TLS that wants to see the beginning of a handshake on the data connection before it grants a
// transfer, and refuses the first ones, or never says anything to them.
func secured(t *testing.T, refuse int, silent bool) *ftptest.ScriptServer {
	t.Helper()
	return ftptest.Script(t, func(c *ftptest.Conn) {
		c.Send("220 ready\r\n")
		c.Expect("AUTH TLS")
		c.Send("234 go ahead\r\n")
		c.StartTLS(nil)
		cfg, err := ftptest.ServerTLS()
		if err != nil {
			return
		}
		answers := map[string]string{"USER": "331 password", "PASS": "230 in"}
		var data *ftptest.DataListener
		for {
			verb, _, _ := strings.Cut(c.ReadLine(), " ")
			switch verb {
			case "EPSV":
				data = c.Listen()
				c.Send(data.EPSV())
			case "RETR", "STOR":
				raw := data.Accept()
				hello := make([]byte, 1)
				if _, err := io.ReadFull(raw, hello); err != nil {
					return
				}
				if silent {
					c.ReadLine()
				}
				if refuse--; refuse >= 0 {
					c.Send("550 no\r\n")
					if refuse%2 == 0 {
						_ = raw.Close()
					}
					continue
				}
				c.Send("150 here\r\n")
				conn := tls.Server(&unread{raw, hello}, cfg)
				if verb == "RETR" {
					_, _ = io.WriteString(conn, "content")
				} else {
					_, _ = io.Copy(io.Discard, conn)
				}
				_ = conn.Close()
				c.Send("226 done\r\n")
			case "QUIT", "":
				return
			default:
				answer := answers[verb]
				if answer == "" {
					answer = "200 ok"
				}
				c.Send(answer + "\r\n")
			}
		}
	})
}

// unread is a connection some of whose bytes were read before.
type unread struct {
	net.Conn
	bytes []byte
}

func (u *unread) Read(p []byte) (int, error) {
	if len(u.bytes) > 0 {
		n := copy(p, u.bytes)
		u.bytes = u.bytes[n:]
		return n, nil
	}
	return u.Conn.Read(p)
}

func TestTheHandshakeOfADataConnectionDoesNotWaitForTheGrant(t *testing.T) {
	for refuse := range 3 {
		cfg := scripted(secured(t, refuse, false))
		insecure(&cfg)
		s := dial(t, cfg)
		for i := range refuse {
			_, err := fetch(t.Context(), s, "f", 0)
			require.ErrorContains(t, err, "550", "refusal %d", i)
			inStep(t, s, "a refusal")
		}
		got, err := fetch(t.Context(), s, "f", 0)
		require.NoError(t, err)
		assert.Equal(t, "content", got)
		require.NoError(t, store(t.Context(), s, "f", "x"))
		inStep(t, s, "after them")
	}
}

func TestACancelEndsAHandshakeThatWasBegunBeforeTheGrant(t *testing.T) {
	cancelled(t, "no grant", func() func(context.Context) error {
		cfg := scripted(secured(t, 0, true))
		insecure(&cfg)
		s := dial(t, cfg)
		return func(ctx context.Context) error {
			_, err := fetch(ctx, s, "f", 0)
			gone(t, s, "cancelled")
			return err
		}
	})
}
