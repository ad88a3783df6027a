package wire_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/wire"
)

// With the server's ticket unread in the socket, a plain close makes the kernel send RST, and the server loses what it has
// not read yet.
func TestUploadsUnderTLSArriveWholeToASlowReader(t *testing.T) {
	content := pattern(5 << 20)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		client, server := tlsPair(t, version)
		runs := 5
		if version == tls.VersionTLS13 {
			runs = 50
		}
		for range runs {
			ours, theirs := pair(t)
			require.NoError(t, theirs.SetReadBuffer(64<<10))
			spy := &endSpy{Conn: theirs}
			peer := tls.Server(spy, server)
			got := result(func() []byte {
				if err := peer.HandshakeContext(t.Context()); err != nil { // sends the ticket
					return nil
				}
				<-time.After(time.Millisecond)
				all, err := io.ReadAll(peer)
				if err != nil || spy.ended {
					return fmt.Appendf(nil, "%v, or no close_notify", err)
				}
				_ = peer.Close()
				return all
			})
			o := options(t)
			o.TLS = client
			d := wire.NewData(ours, o)
			_, err := d.ReadFrom(&wire.Source{R: bytes.NewReader(content)})
			require.NoError(t, err)
			require.NoError(t, d.Close())
			require.True(t, bytes.Equal(content, soon(t, got)), "all of it, and close_notify")
		}
	}
}

// endSpy sees the end that TLS does not tell from close_notify.
type endSpy struct {
	net.Conn
	ended bool
}

func (s *endSpy) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	s.ended = s.ended || err != nil
	return n, err
}

func TestAnEmptyUploadShakesHands(t *testing.T) {
	client, server := tlsPair(t, tls.VersionTLS13)
	ours, theirs := pair(t)
	peer := tls.Server(theirs, server)
	got := result(func() error {
		b, err := io.ReadAll(peer)
		assert.Empty(t, b)
		_ = peer.Close()
		return err
	})
	o := options(t)
	o.TLS = client
	d := wire.NewData(ours, o)
	n, err := d.ReadFrom(&wire.Source{R: bytes.NewReader(nil)})
	require.NoError(t, err)
	assert.Zero(t, n)
	require.NoError(t, d.Close())
	require.NoError(t, soon(t, got))
}

func TestNoHandshakeBeforeTheFirstUse(t *testing.T) {
	client, _ := tlsPair(t, tls.VersionTLS13)
	ours, theirs := pair(t)
	o := options(t)
	o.TLS = client
	d := wire.NewData(ours, o)
	require.NoError(t, d.Close())
	sent, err := io.ReadAll(theirs)
	require.NoError(t, err)
	assert.Empty(t, sent)
}

func TestAnEndWithoutCloseNotifyIsSeen(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, notify := range []bool{true, false} {
			client, server := tlsPair(t, version)
			ours, theirs := pair(t)
			peer := tls.Server(theirs, server)
			sent := result(func() error {
				_, err := io.WriteString(peer, "all of it")
				if notify {
					_ = peer.CloseWrite()
				}
				_ = theirs.CloseWrite()
				return err
			})
			o := options(t)
			o.TLS = client
			d := wire.NewData(ours, o)
			b, err := io.ReadAll(readOnly{d})
			require.NoError(t, err)
			require.NoError(t, soon(t, sent))
			assert.Equal(t, "all of it", string(b))
			assert.Equal(t, !notify, d.Unauthenticated())
			assert.True(t, d.Ended())
			require.NoError(t, d.Close())
		}
	}
}

func TestSessionsAreResumed(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		client, server := tlsPair(t, version)
		for i := range 3 {
			ours, theirs := pair(t)
			peer := tls.Server(theirs, server)
			sent := result(func() error { _, err := io.WriteString(peer, "x"); _ = peer.Close(); return err })
			o := options(t)
			o.TLS = client
			d := wire.NewData(ours, o)
			_, err := io.ReadAll(readOnly{d})
			require.NoError(t, err)
			require.NoError(t, soon(t, sent))
			assert.Equal(t, i > 0, d.Resumed())
			require.NoError(t, d.Close())
		}
	}
}

func TestACertificateThatNobodyTrustsEndsTheTransfer(t *testing.T) {
	_, server := tlsPair(t, tls.VersionTLS13)
	ours, theirs := pair(t)
	peer := tls.Server(theirs, server)
	shaken := result(func() error { _, err := io.ReadAll(peer); return err })
	o := options(t)
	o.TLS = &tls.Config{ServerName: "localhost", MinVersion: tls.VersionTLS12}
	d := wire.NewData(ours, o)
	_, err := d.Write([]byte("secret content"))
	var untrusted *tls.CertificateVerificationError
	require.ErrorAs(t, err, &untrusted)
	require.ErrorAs(t, d.Err(), &untrusted)
	_ = d.Close()
	require.Error(t, soon(t, shaken))
}

func TestAHandshakeThatDripsHasOneDeadline(t *testing.T) {
	client, _ := tlsPair(t, tls.VersionTLS13)
	ours, theirs := pair(t)
	o := options(t)
	o.TLS, o.StallTimeout = client, 150*time.Millisecond
	d := wire.NewData(ours, o)
	dripping := result(func() error {
		for _, b := range bytes.Repeat([]byte{22, 3, 3, 0x3f, 0xff}, 1000) {
			if _, err := theirs.Write([]byte{b}); err != nil {
				return nil //nolint:nilerr // the other side has given up
			}
			<-time.After(20 * time.Millisecond)
		}
		return net.ErrClosed
	})
	begin := time.Now()
	require.Error(t, d.Handshake())
	assert.Less(t, time.Since(begin), time.Second)
	_ = d.Close()
	require.NoError(t, soon(t, dripping))
}
