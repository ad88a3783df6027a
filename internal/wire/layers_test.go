package wire_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/wire"
)

// layer is a connection over another one that it tells of, as *tls.Conn does.
type layer struct{ bare }

func (l layer) NetConn() net.Conn { return l.Conn }

func TestAnAbortedUploadIsResetThroughLayers(t *testing.T) {
	client, server := tlsPair(t, tls.VersionTLS13)
	for name, wrap := range map[string]func(net.Conn) net.Conn{
		"one":  func(c net.Conn) net.Conn { return layer{bare{c}} },
		"two":  func(c net.Conn) net.Conn { return layer{bare{layer{bare{c}}}} },
		"TLS":  func(c net.Conn) net.Conn { return tls.Client(c, client) },
		"none": func(c net.Conn) net.Conn { return c },
	} {
		ours, theirs := pair(t)
		var peer net.Conn = theirs
		if name == "TLS" { // a tunnel, whose close_notify would be a plain end to what lies behind it
			peer = tls.Server(theirs, server)
		}
		read := result(func() error { _, err := io.ReadFull(peer, make([]byte, 4)); return err })
		d := wire.NewData(wrap(ours), options(t))
		write(t, d, "half")
		require.NoError(t, soon(t, read))
		require.NoError(t, d.Abort())
		_, err := io.ReadAll(peer)
		require.ErrorIs(t, err, syscall.ECONNRESET, name)
		_, err = ours.Write([]byte("x"))
		require.ErrorIs(t, err, net.ErrClosed)
	}
}

func TestAConnectionIsLookedAtThroughItsLayers(t *testing.T) {
	client, server := tlsPair(t, tls.VersionTLS13)
	for name, wrap := range map[string]func(net.Conn) net.Conn{
		"layer": func(c net.Conn) net.Conn { return layer{bare{c}} },
		"TLS":   func(c net.Conn) net.Conn { return tls.Client(c, client) },
	} {
		ours, theirs := pair(t)
		var peer net.Conn = theirs
		if name == "TLS" {
			peer = tls.Server(theirs, server)
		}
		c := wire.NewControl(wrap(ours), wire.ControlOptions{ReplyTimeout: 5 * time.Second})
		answered := result(func() error {
			_, err := io.ReadFull(peer, make([]byte, 6))
			if err == nil {
				_, err = io.WriteString(peer, "200 ok\r\n")
			}
			return err
		})
		require.NoError(t, c.Send("NOOP"))
		_, err := c.Reply()
		require.NoError(t, err, name)
		require.NoError(t, soon(t, answered))
		begin := time.Now()
		for range 1000 {
			require.True(t, c.Quiet(), "%s: a session ticket, which lies there unread, is nothing that was said", name)
		}
		assert.Less(t, time.Since(begin), 500*time.Millisecond, "%s: a millisecond each where nobody can look", name)
		write(t, peer, "421 leaving\r\n")
		require.Eventually(t, func() bool { return !c.Quiet() }, 5*time.Second, time.Millisecond, name)
		require.NoError(t, peer.Close())
		require.ErrorIs(t, c.Send("NOOP"), wire.ErrOutOfStep)
		_ = c.Close()
	}
}

// Without a FIN of its own an upload under TLS has close_notify only, and must not be closed before its peer has read it.
func TestAnUploadUnderTLSArrivesWholeOverAConnectionThatCannotBeHalfClosed(t *testing.T) {
	content := pattern(5 << 20)
	client, server := tlsPair(t, tls.VersionTLS13)
	for _, wrap := range []func(net.Conn) net.Conn{
		func(c net.Conn) net.Conn { return bare{c} },
		func(c net.Conn) net.Conn { return layer{bare{c}} },
	} {
		for range 10 {
			ours, theirs := pair(t)
			require.NoError(t, theirs.SetReadBuffer(64<<10))
			peer := tls.Server(theirs, server)
			got := result(func() []byte {
				if err := peer.HandshakeContext(t.Context()); err != nil {
					return nil
				}
				<-time.After(time.Millisecond)
				all, _ := io.ReadAll(peer)
				_ = peer.Close()
				return all
			})
			o := options(t)
			o.TLS = client
			d := wire.NewData(wrap(ours), o)
			_, err := d.ReadFrom(&wire.Source{R: bytes.NewReader(content)})
			require.NoError(t, err)
			require.NoError(t, d.Close())
			require.True(t, bytes.Equal(content, soon(t, got)))
		}
	}
}
