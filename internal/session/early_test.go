package session_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/ftptest"
	"github.com/corexalgo/ftpclient/internal/retry"
	"github.com/corexalgo/ftpclient/internal/session"
)

// slowToFinish is a server at some distance that ends uploads some time after it has granted them. It answers the three
// commands that come in between, in their order, and its final reply when it is its turn, all of which says tells. As ProFTPD
// does, it refuses whatever follows a granted RNFR, except RNTO and NOOP.
func slowToFinish(t *testing.T, says ...string) (srv *ftptest.ScriptServer, early chan int) {
	t.Helper()
	early = make(chan int, 10)
	srv = ftptest.Script(t, func(c *ftptest.Conn) {
		c.Send("220 ready\r\n")
		var data *ftptest.DataListener
		answers := map[string]string{
			"USER": "331 password", "PASS": "230 in", "TYPE": "200 ok", "NOOP": "200 ok",
			"SIZE": "213 7", "MDTM": "213 20240102030405",
		}
		renaming := false
		for {
			verb, _, _ := strings.Cut(c.ReadLine(), " ")
			if renaming && verb != "RNTO" && verb != "NOOP" && verb != "QUIT" {
				c.Send("501 Bad sequence of commands\r\n")
				continue
			}
			switch verb {
			case "EPSV":
				data = c.Listen()
				c.Send(data.EPSV())
			case "STOR":
				conn := data.Accept()
				_, _ = io.Copy(io.Discard, conn)
				_ = conn.Close()
				<-time.After(10 * time.Millisecond)
				c.Send("150 here\r\n")
				if !c.Comes(50 * time.Millisecond) {
					early <- 0
					c.Send(says[len(says)-1] + "\r\n")
					continue
				}
				early <- 3
				for range 3 {
					c.ReadLine()
				}
				for _, text := range says[:4] {
					renaming = renaming || strings.HasPrefix(text, "350")
					c.Send(text + "\r\n")
				}
			case "RNFR":
				renaming = true
				c.Send("350 and now?\r\n")
			case "RNTO":
				if !renaming {
					c.Send("503 RNFR first\r\n")
					continue
				}
				renaming = false
				c.Send("250 renamed\r\n")
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
	const done, size, at, from = "226 done", "213 7", "213 20240102030405", "350 and now?"
	for what, c := range map[string]struct {
		says  [4]string
		hasty bool
		err   string // "": none
		gone  bool   // the session is
	}{
		"they wait":                   {[4]string{done, size, at, from}, false, "", false},
		"no file to rename":           {[4]string{done, size, at, "550 no"}, false, "", false},
		"nothing works afterwards":    {[4]string{done, "500 no", "500 no", "500 no"}, true, "", false},
		"only the rename works":       {[4]string{done, "500 no", "500 no", from}, true, "", false},
		"its size is not told":        {[4]string{done, "550 no", at, from}, false, "", false},
		"nobody can read its time":    {[4]string{done, size, "213 yesterday", from}, false, "", false},
		"failed, and has no SIZE":     {[4]string{"552 quota", "500 no", "500 no", from}, true, "552", false},
		"250 for 226":                 {[4]string{"250 done", size, at, from}, false, "", false},
		"the upload failed":           {[4]string{"452 full", size, at, from}, false, "452", false},
		"refused at once":             {[4]string{"500 busy", "500 busy", "500 busy", done}, true, "among", true},
		"one reply for all":           {[4]string{"500 busy", done, "", ""}, true, "among", true},
		"refused by 450":              {[4]string{"450 busy", "450 busy", "450 busy", done}, true, "among", true},
		"one refused":                 {[4]string{"450 busy", done, at, from}, true, "among", true},
		"answered before the file":    {[4]string{size, at, from, done}, true, "among", true},
		"failed, and refused":         {[4]string{"500 busy", "500 busy", "500 busy", "452 full"}, true, "among", true},
		"answered and then refused":   {[4]string{"550 no", "550 no", from, done}, true, "malformed", true},
		"refused and then answered":   {[4]string{"553 no", size, from, done}, true, "malformed", true},
		"hangs up":                    {[4]string{done, "421 enough", "", ""}, false, "421", true},
		"hangs up in place of an end": {[4]string{"421 enough", "", "", ""}, false, "421", true},
	} {
		t.Run(what, func(t *testing.T) {
			srv, early := slowToFinish(t, append(c.says[:], done)...)
			cfg := scripted(srv)
			s := dial(t, cfg)
			require.NoError(t, store(s))
			assert.Zero(t, <-early, "nobody knows yet")
			require.True(t, cfg.Quirks.Nagle.Load(), "seen")

			begun := time.Now()
			err := store(s)
			assert.Less(t, time.Since(begun), time.Second, "nothing is waited for that will not come")
			assert.Equal(t, 3, <-early)
			assert.Equal(t, c.hasty, cfg.Quirks.Hasty.Load(), "remembered")
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
			} else {
				require.NoError(t, err)
			}
			if c.gone {
				assert.True(t, retry.Retryable(err))
				gone(t, s, what)
				return
			}
			look, err := s.LookAhead(t.Context(), "f", session.Ahead{Rename: "f"})
			require.NoError(t, err)
			assert.Equal(t, int64(7), look.Size)
			require.NoError(t, s.Rename(t.Context(), "f", "g"))
			if c.hasty && c.err == "" {
				require.NoError(t, store(s))
				assert.Zero(t, <-early, "not again")
			}
			require.NoError(t, s.Rename(t.Context(), "g", "h"), "another one")
			inStep(t, s, what)
		})
	}
}

// Whatever else ProFTPD is asked it refuses then, as if it said something of the file.
func TestARenameThatWasBegunEndsBeforeAnythingElseIsAsked(t *testing.T) {
	for what, ask := range map[string]func(s *session.Session) error{
		"another rename": func(s *session.Session) error { return s.Rename(t.Context(), "g", "h") },
		"size": func(s *session.Session) error {
			look, err := s.Look(t.Context(), "g")
			assert.NoError(t, look.SizeErr)
			return err
		},
		"a transfer": func(s *session.Session) error {
			_, err := s.Store(t.Context(), "f", 0, strings.NewReader("x"), session.TransferOptions{Eager: true})
			return err
		},
		"a check": func(s *session.Session) error { return s.Ping(t.Context()) },
		"itself":  func(s *session.Session) error { return s.Rename(t.Context(), "f", "g") },
	} {
		srv, _ := slowToFinish(t, "", "", "", "", "226 done")
		s := dial(t, scripted(srv))
		_, err := s.LookAhead(t.Context(), "f", session.Ahead{Rename: "f"})
		require.NoError(t, err)
		s.Forget()
		require.NoError(t, ask(s), what)
		_, err = s.Look(t.Context(), "g")
		require.NoError(t, err)
		inStep(t, s, what)
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
		cfg, err := ftptest.ServerTLS()
		if err != nil {
			return
		}
		c.StartTLS(cfg)
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
				if !conn.ConnectionState().DidResume {
					c.Send("522 not the session of this connection\r\n")
					continue
				}
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

func TestTheNextDataConnectionIsOpenedWhileAFileIsRenamed(t *testing.T) {
	conns := make(chan net.Conn, 10)
	srv := ftptest.Script(t, func(c *ftptest.Conn) {
		var data *ftptest.DataListener
		c.Send("220 ready\r\n")
		answers := map[string]string{
			"USER": "331 password", "PASS": "230 in", "FEAT": "500 no", "SIZE": "213 7", "MDTM": "213 20240102030405", "RNFR": "350 and now?",
		}
		for {
			verb, _, _ := strings.Cut(c.ReadLine(), " ")
			switch verb {
			case "EPSV":
				data = c.Listen()
				c.Send(data.EPSV())
			case "RNTO":
				conns <- data.Accept()
				c.Send("250 renamed\r\n")
			case "STOR":
				conn := <-conns
				c.Send("150 here\r\n")
				_, _ = io.Copy(io.Discard, conn)
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
	s := dial(t, distant(scripted(srv)))
	begin := func() {
		_, err := s.LookAhead(t.Context(), "f", session.Ahead{Rename: "f", Data: true, Dial: true})
		require.NoError(t, err)
		require.NoError(t, s.Rename(t.Context(), "f", "g"))
	}
	begin()
	require.NoError(t, store(t.Context(), s, "f", "x"))
	inStep(t, s, "a transfer")

	for name, end := range map[string]func(){
		"forgotten": s.Forget,
		"overtaken": func() { _, _ = s.Look(t.Context(), "f"); _, _ = s.Look(t.Context(), "f") },
	} {
		begin()
		end()
		_, err := (<-conns).Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF, name)
		inStep(t, s, name)
	}
	begin()
	s.Close()
	_, err := (<-conns).Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF, "closed")
}

func TestAWrongCertificateOnADataConnectionIsFatalThoughTheServerRefusesTheTransferForIt(t *testing.T) {
	other := otherCertificate(t)
	srv := ftptest.Script(t, func(c *ftptest.Conn) {
		c.Send("220 ready\r\n")
		c.Expect("AUTH TLS")
		c.Send("234 go ahead\r\n")
		c.StartTLS(nil)
		var data *ftptest.DataListener
		for {
			switch verb, _, _ := strings.Cut(c.ReadLine(), " "); verb {
			case "USER":
				c.Send("331 password\r\n")
			case "PASS":
				c.Send("230 in\r\n")
			case "EPSV":
				data = c.Listen()
				c.Send(data.EPSV())
			case "RETR":
				if tls.Server(data.Accept(), other).HandshakeContext(t.Context()) != nil {
					c.Send("425 TLS handshake failed\r\n")
				}
			default:
				c.Send("200 ok\r\n")
			}
		}
	})
	cfg := scripted(srv)
	insecure(&cfg)
	untrusted := errors.New("that is somebody else")
	cfg.TLSConfig.VerifyConnection = func(state tls.ConnectionState) error {
		if bytes.Equal(state.PeerCertificates[0].Raw, other.Certificates[0].Certificate[0]) {
			return &tls.CertificateVerificationError{UnverifiedCertificates: state.PeerCertificates, Err: untrusted}
		}
		return nil
	}
	s := dial(t, cfg)
	_, err := fetch(t.Context(), s, "f", 0)
	require.ErrorIs(t, err, untrusted)
	assert.False(t, retry.Retryable(err))
}

func TestAnOperationThatEndedInAPanicEndsItsSession(t *testing.T) {
	for _, content := range []string{"x", strings.Repeat("x", 1<<20)} {
		_, s := serve(t, ftptest.Options{})
		assert.Panics(t, func() {
			_, _ = s.Store(t.Context(), "f", 0, strings.NewReader(content), session.TransferOptions{
				Eager: len(content) <= session.EagerSize, Moved: func(int) { panic("no more") },
			})
		})
		assert.False(t, s.Alive())
	}
}
