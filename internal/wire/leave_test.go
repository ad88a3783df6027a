package wire_test

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/wire"
)

func TestLeavingWaitsUntilThePeerHasClosed(t *testing.T) {
	for _, cancelled := range []string{"never", "before", "meanwhile"} {
		c, theirs := control(t, wire.ControlOptions{})
		if cancelled == "before" {
			c.Cancel()
		}
		left := result(func() error { return c.Leave(t.Context(), time.Minute) })
		_, err := io.Copy(io.Discard, theirs)
		require.NoError(t, err, "our side has ended")
		if cancelled == "meanwhile" {
			c.Cancel()
		}
		write(t, theirs, "221 bye\r\n")
		select {
		case err := <-left:
			assert.Fail(t, "left before the peer, cancelled "+cancelled, err)
		case <-time.After(20 * time.Millisecond):
		}
		require.NoError(t, theirs.Close())
		require.NoError(t, soon(t, left))
	}
}

func TestLeavingIsBoundedWhateverThePeerDoes(t *testing.T) {
	for what, peer := range map[string]func(net.Conn){
		"says nothing": func(net.Conn) {},
		"never stops": func(theirs net.Conn) {
			go func() {
				for {
					if _, err := io.WriteString(theirs, "221 bye\r\n"); err != nil {
						return
					}
				}
			}()
		},
	} {
		c, theirs := control(t, wire.ControlOptions{})
		peer(theirs)
		_ = c.Leave(t.Context(), 100*time.Millisecond)
		require.Error(t, c.Send("NOOP"), what)

		c, theirs = control(t, wire.ControlOptions{})
		peer(theirs)
		ctx, cancel := context.WithCancel(t.Context())
		left := result(func() error { return c.Leave(ctx, time.Hour) })
		cancel()
		_ = soon(t, left)
	}
}

func TestAConnectionThatCannotBeHalfClosedIsLeftAtOnce(t *testing.T) {
	ours, theirs := pair(t)
	require.NoError(t, wire.NewControl(bare{ours}, wire.ControlOptions{}).Leave(t.Context(), time.Hour))
	_, err := theirs.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
}
