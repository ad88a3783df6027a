package wire_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/textproto"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/reply"
	"github.com/corexalgo/ftpclient/internal/wire"
)

func control(t *testing.T, o wire.ControlOptions) (*wire.Control, *net.TCPConn) {
	t.Helper()
	ours, theirs := pair(t)
	if o.ReplyTimeout == 0 {
		o.ReplyTimeout = 5 * time.Second
	}
	return wire.NewControl(ours, o), theirs
}

// overTLS makes both ends of a control connection speak TLS.
func overTLS(t *testing.T, c *wire.Control, theirs net.Conn, version uint16) *tls.Conn {
	t.Helper()
	client, server := tlsPair(t, version)
	conn := tls.Server(theirs, server)
	shaken := result(func() error { return conn.HandshakeContext(t.Context()) })
	require.NoError(t, c.StartTLS(t.Context(), client))
	require.NoError(t, soon(t, shaken))
	return conn
}

func TestTheLibraryIsHandedExactlyOneReplyPerCommand(t *testing.T) {
	c, theirs := control(t, wire.ControlOptions{})
	lib := textproto.NewConn(c)
	_, err := lib.Cmd("LIST")
	require.NoError(t, err)
	write(t, theirs, "150 here\r\n226-that\r\n was\r\n226 it\r\n") // both at once
	code, _, err := lib.ReadResponse(150)
	require.NoError(t, err)
	assert.Equal(t, 150, code)
	assert.Zero(t, lib.R.Buffered(), "the final reply is not in the library's buffer")
	_, text, err := lib.ReadResponse(226)
	require.NoError(t, err)
	assert.Equal(t, "that\n was\nit", text)
	assert.True(t, c.Settled())

	require.NoError(t, c.Send("NOOP"), "a command of our own goes between the library's")
	write(t, theirs, "200 ok\r\n")
	r, err := c.Reply()
	require.NoError(t, err)
	assert.Equal(t, 200, r.Code)
}

func TestALongCommandLineOfTheLibraryIsOneCommand(t *testing.T) {
	for _, n := range []int{100, 4090, 4091, 4092, 4093, 4094, 4095, 4096, 5000, 9000} {
		c, theirs := control(t, wire.ControlOptions{})
		path := strings.Repeat("x", n-10) + "DELE other"
		_, err := textproto.NewConn(c).Cmd("RETR %s", path)
		require.NoError(t, err)
		require.NoError(t, theirs.SetReadDeadline(time.Now().Add(5*time.Second)))
		line, err := bufio.NewReader(theirs).ReadString('\n')
		require.NoError(t, err)
		assert.Equal(t, "RETR "+path+"\r\n", line)
		write(t, theirs, "550 no\r\n")
		_, err = c.Reply()
		require.NoError(t, err)
		assert.True(t, c.Quiet(), "%d: nothing else was sent", n)
		require.NoError(t, c.Close())
		rest, err := io.ReadAll(theirs)
		require.NoError(t, err)
		assert.Empty(t, rest)
	}
}

func TestAReplyTooManyInATLSRecordOfItsOwnIsFound(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		c, theirs := control(t, wire.ControlOptions{})
		server := overTLS(t, c, theirs, version)
		require.NoError(t, c.Send("NOOP"))
		write(t, server, "200 ok\r\n")
		write(t, server, "226 again\r\n")
		<-time.After(20 * time.Millisecond) // both are there: the layer takes all that is
		_, err := c.Reply()
		require.NoError(t, err)
		assert.False(t, c.Quiet())
		require.ErrorIs(t, c.Send("NOOP"), wire.ErrOutOfStep)
	}
}

func TestAnUnaskedReplyIsFoundBeforeTheNextCommand(t *testing.T) {
	for name, unasked := range map[string]string{"421": "421 bye\r\n", "surplus 226": "226 again\r\n", "half a reply": "22", "NUL": "\x00"} {
		for _, mode := range []string{"plain", "TLS 1.2", "TLS 1.3", "bare"} {
			ours, theirs := pair(t)
			var conn net.Conn = ours
			if mode == "bare" {
				conn = bare{ours}
			}
			c := wire.NewControl(conn, wire.ControlOptions{ReplyTimeout: 5 * time.Second})
			var server net.Conn = theirs
			switch mode {
			case "TLS 1.2":
				server = overTLS(t, c, theirs, tls.VersionTLS12)
			case "TLS 1.3":
				server = overTLS(t, c, theirs, tls.VersionTLS13)
			}
			assert.True(t, c.Quiet(), "%s: tickets are nothing said", mode)
			require.NoError(t, c.Send("NOOP"))
			write(t, server, "200 ok\r\n")
			_, err := c.Reply()
			require.NoError(t, err)
			assert.True(t, c.Quiet(), mode)

			write(t, server, unasked)
			require.Eventually(t, func() bool { return !c.Quiet() }, 5*time.Second, time.Millisecond, "%s, %s", mode, name)
			require.ErrorIs(t, c.Send("NOOP"), wire.ErrOutOfStep, "%s, %s", mode, name)
			require.Error(t, c.Err())
			assert.False(t, c.Settled())
			require.ErrorIs(t, c.Send("NOOP"), wire.ErrOutOfStep, "it stays so")
		}
	}
}

func TestASurplusReplyInTheSameSegmentIsFound(t *testing.T) {
	c, theirs := control(t, wire.ControlOptions{})
	require.NoError(t, c.Send("NOOP"))
	write(t, theirs, "200 ok\r\n200 ok\r\n")
	_, err := c.Reply()
	require.NoError(t, err)
	assert.False(t, c.Quiet())
}

func TestAClosedConnectionIsNotQuiet(t *testing.T) {
	for _, version := range []uint16{0, tls.VersionTLS13} {
		c, theirs := control(t, wire.ControlOptions{})
		var server net.Conn = theirs
		if version != 0 {
			server = overTLS(t, c, theirs, version)
		}
		assert.True(t, c.Quiet())
		require.NoError(t, server.Close())
		require.Eventually(t, func() bool { return !c.Quiet() }, 5*time.Second, time.Millisecond)
		err := c.Send("NOOP")
		require.Error(t, err)
		assert.NotErrorIs(t, err, wire.ErrOutOfStep, "nothing was said")
	}
}

func TestAPipeThatCannotBeAskedIsQuietToo(t *testing.T) {
	ours, theirs := net.Pipe()
	defer func() { _ = theirs.Close() }()
	c := wire.NewControl(ours, wire.ControlOptions{ReplyTimeout: 5 * time.Second})
	defer func() { _ = c.Close() }()
	assert.True(t, c.Quiet())
	assert.Equal(t, &net.TCPAddr{IP: net.IPv4zero}, c.RemoteAddr(), "jlaffaye asserts the type")
	answered := result(func() error {
		line, err := bufio.NewReader(theirs).ReadString('\n')
		if err == nil && line == "NOOP\r\n" {
			_, err = theirs.Write([]byte("200 ok\r\n"))
		}
		return err
	})
	require.NoError(t, c.Send("NOOP"))
	r, err := c.Reply()
	require.NoError(t, err)
	require.NoError(t, soon(t, answered))
	assert.Equal(t, 200, r.Code)
}

func TestACancelledConnectionIsNeverRevived(t *testing.T) {
	c, _ := control(t, wire.ControlOptions{})
	require.NoError(t, c.Send("NOOP"))
	waiting := result(func() error { _, err := c.Reply(); return err })
	begin := time.Now()
	c.Cancel()
	require.ErrorIs(t, soon(t, waiting), os.ErrDeadlineExceeded)
	assert.Less(t, time.Since(begin), prompt)

	c, _ = control(t, wire.ControlOptions{})
	c.Cancel()
	assert.False(t, c.Quiet())
	c.Rest()
	c.SetNextTimeout(time.Hour)
	begin = time.Now()
	require.Error(t, c.Send("NOOP"))
	_, err := c.Reply()
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	assert.Less(t, time.Since(begin), prompt)
}

func TestOneReplyHasOneDeadlineHoweverSlowlyItComes(t *testing.T) {
	c, theirs := control(t, wire.ControlOptions{ReplyTimeout: 200 * time.Millisecond})
	done := make(chan struct{})
	dripping := result(func() error {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return nil
			case <-tick.C:
				if _, err := theirs.Write([]byte("2")); err != nil {
					return nil
				}
			}
		}
	})
	require.NoError(t, c.Send("NOOP"))
	begin := time.Now()
	_, err := c.Reply()
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	assert.Less(t, time.Since(begin), 2*time.Second)
	close(done)
	require.NoError(t, soon(t, dripping))
}

func TestTheNextTimeoutIsOfTheNextReplyOnly(t *testing.T) {
	c, theirs := control(t, wire.ControlOptions{ReplyTimeout: 50 * time.Millisecond})
	c.SetNextTimeout(10 * time.Second)
	require.NoError(t, c.Send("A", "B"))
	time.AfterFunc(150*time.Millisecond, func() { _, _ = io.WriteString(theirs, "200 late\r\n") })
	_, err := c.Reply()
	require.NoError(t, err)
	_, err = c.Reply()
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
}

func TestPlaintextBeforeTLSIsFatal(t *testing.T) {
	c, theirs := control(t, wire.ControlOptions{})
	require.NoError(t, c.Send("AUTH TLS"))
	write(t, theirs, "234 go on\r\n230 you are in\r\n")
	_, err := c.Reply()
	require.NoError(t, err)
	client, _ := tlsPair(t, tls.VersionTLS13)
	require.ErrorIs(t, c.StartTLS(t.Context(), client), wire.ErrPlaintext)
	assert.Error(t, c.Err())
}

func TestAPreliminaryReplyThatCannotBeOneIsMalformed(t *testing.T) {
	c, theirs := control(t, wire.ControlOptions{})
	lib := textproto.NewConn(c)
	_, err := lib.Cmd("TYPE I")
	require.NoError(t, err)
	write(t, theirs, "150 what?\r\n200 ok\r\n")
	_, _, err = lib.ReadResponse(200)
	require.ErrorIs(t, err, reply.ErrMalformed)

	c, theirs = control(t, wire.ControlOptions{})
	require.NoError(t, c.Send("RETR x"))
	write(t, theirs, "150 a\r\n150 b\r\n")
	_, err = c.Reply()
	require.NoError(t, err)
	_, err = c.Reply()
	require.ErrorIs(t, err, reply.ErrMalformed)
}

func TestLinesSentAheadAreNotSentTwice(t *testing.T) {
	c, theirs := control(t, wire.ControlOptions{})
	require.NoError(t, c.SendAhead("EPSV"))
	assert.True(t, c.Ahead())
	require.NoError(t, c.Issue("EPSV"))
	assert.False(t, c.Ahead())
	write(t, theirs, "229 (|||1|)\r\n")
	_, err := c.Reply()
	require.NoError(t, err)
	require.NoError(t, c.SendAhead("EPSV"))
	require.ErrorIs(t, c.Issue("PASV"), wire.ErrOutOfStep)
	assert.False(t, c.Settled())
	require.NoError(t, c.Close())
	sent, _ := io.ReadAll(theirs) // which ends in a reset
	assert.Equal(t, "EPSV\r\nEPSV\r\n", string(sent))
}

func TestInterceptAnswersOrReplacesAndTranslateChanges(t *testing.T) {
	c, theirs := control(t, wire.ControlOptions{
		Intercept: func(line string) (string, *reply.Reply, error) {
			switch line {
			case "PASV":
				return "", &reply.Reply{Code: 227, Lines: []string{"mine"}}, nil
			case "BAD":
				return "", nil, errors.New("no")
			}
			return "X" + line, nil, nil
		},
		Translate: func(_ string, final bool, r reply.Reply) reply.Reply {
			if final {
				r.Code = 226
			}
			return r
		},
	})
	lib := textproto.NewConn(c)
	_, err := lib.Cmd("PASV")
	require.NoError(t, err)
	_, text, err := lib.ReadResponse(227)
	require.NoError(t, err)
	assert.Equal(t, "mine", text)

	_, err = lib.Cmd("LIST")
	require.NoError(t, err)
	line, err := bufio.NewReader(theirs).ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "XLIST\r\n", line, "and no PASV before")
	write(t, theirs, "250 not yet translated\r\n")
	_, _, err = lib.ReadResponse(250)
	require.NoError(t, err)

	_, err = lib.Cmd("BAD")
	require.EqualError(t, err, "no")
	require.EqualError(t, c.Err(), "no", "the library's writer is unusable now")
}

func TestThePasswordIsInNoTraceAndNoRefusal(t *testing.T) {
	const secret = `s3cret"word`
	var traced []string
	c, theirs := control(t, wire.ControlOptions{Secret: secret, Trace: func(direction, text string) { traced = append(traced, direction+text) }})
	require.NoError(t, c.Send("USER me"))
	write(t, theirs, "331 for "+secret+"\r\n")
	_, err := c.Reply()
	require.NoError(t, err)
	require.NoError(t, c.Send("PASS "+secret))
	write(t, theirs, "500-'PASS "+secret+"'\r\n500 "+secret+secret+"\r\n")
	r, err := c.Reply()
	require.NoError(t, err)
	assert.NotContains(t, reply.Err("PASS", r).Error(), "s3cret")
	require.NoError(t, c.Send("STOR "+secret))
	write(t, theirs, "200 "+secret+"\r\n")
	_, err = c.Reply()
	require.NoError(t, err)
	all := strings.Join(traced, "\n")
	assert.NotContains(t, all, "s3cret")
	assert.Contains(t, all, ">USER me\n")
	assert.Contains(t, all, ">PASS ***\n")
	assert.Contains(t, all, "<500 'PASS ***'")
}

func TestAShortPasswordIsHiddenInTheAnswerToItOnly(t *testing.T) {
	c, theirs := control(t, wire.ControlOptions{Secret: "is"})
	require.NoError(t, c.Send("PASS is"))
	write(t, theirs, "500 'PASS is'\r\n")
	r, err := c.Reply()
	require.NoError(t, err)
	assert.Equal(t, "'PASS ***'", r.Text())
	require.NoError(t, c.Send("RETR x"))
	write(t, theirs, "550 Permission denied\r\n")
	r, err = c.Reply()
	require.NoError(t, err)
	assert.Equal(t, "Permission denied", r.Text(), "its words say what happened")
}

func TestWhatWasNotAnsweredIsTakenBackAsFarAsItHasNotArrived(t *testing.T) {
	for verb, back := range map[string]bool{"DELE f": true, "QUIT": false} {
		c, theirs := control(t, wire.ControlOptions{})
		require.NoError(t, c.Send(verb))
		line := make([]byte, len(verb)+2)
		_, err := io.ReadFull(theirs, line)
		require.NoError(t, err)
		require.NoError(t, c.Close())
		_, err = theirs.Read(line)
		assert.Equal(t, back, errors.Is(err, syscall.ECONNRESET), "%s: %v", verb, err)
	}
}
