package session_test

import (
	"io"
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
