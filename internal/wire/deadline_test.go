//go:build unix

package wire_test

import (
	"bufio"
	"crypto/tls"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/wire"
)

// counted counts how often its deadline is set.
type counted struct {
	*net.TCPConn
	set int
}

func (c *counted) SetDeadline(t time.Time) error {
	c.set++
	return c.TCPConn.SetDeadline(t)
}

func TestADeadlineThatLeavesEnoughIsNotSetAnew(t *testing.T) {
	ours, theirs := pair(t)
	conn := &counted{TCPConn: ours}
	c := wire.NewControl(conn, wire.ControlOptions{ReplyTimeout: time.Hour})
	lines := bufio.NewReader(theirs)
	noop := func() {
		require.NoError(t, c.Send("NOOP"))
		_, err := lines.ReadString('\n')
		require.NoError(t, err)
		write(t, theirs, "200 ok\r\n")
		_, err = c.Reply()
		require.NoError(t, err)
		c.Rest()
	}
	noop()
	assert.Equal(t, 1, conn.set)
	for range 50 {
		noop()
	}
	assert.Equal(t, 1, conn.set)

	c.SetNextTimeout(50 * time.Millisecond)
	begin := time.Now()
	require.NoError(t, c.Send("NOOP"))
	_, err := c.Reply()
	require.ErrorIs(t, err, os.ErrDeadlineExceeded, "a shorter one counts")
	assert.Less(t, time.Since(begin), prompt)
}

func TestADeadlineThatPassedAtRestHarmsNothing(t *testing.T) {
	for _, secure := range []bool{false, true} {
		c, plain := control(t, wire.ControlOptions{ReplyTimeout: 100 * time.Millisecond})
		theirs := net.Conn(plain)
		if secure {
			theirs = overTLS(t, c, plain, tls.VersionTLS13)
		}
		lines := bufio.NewReader(theirs)
		for range 2 {
			require.True(t, c.Quiet())
			require.NoError(t, c.Send("NOOP"))
			_, err := lines.ReadString('\n')
			require.NoError(t, err)
			write(t, theirs, "200 ok\r\n")
			r, err := c.Reply()
			require.NoError(t, err)
			assert.Equal(t, 200, r.Code)
			c.Rest()
			<-time.After(200 * time.Millisecond)
		}
		write(t, theirs, "421 goodbye\r\n")
		<-time.After(20 * time.Millisecond)
		assert.False(t, c.Quiet(), "and what comes then is heard")
	}
}
