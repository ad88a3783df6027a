package session_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/ftptest"
	"github.com/corexalgo/ftpclient/internal/session"
)

// A server that knows one key exchange only, which is not the one that clients offer first, asks for it in a round trip of its own.
func TestADataConnectionOffersTheKeyExchangeThatTheServerHas(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		cfg, err := ftptest.ServerTLS()
		require.NoError(t, err)
		cfg = cfg.Clone()
		cfg.CurvePreferences, cfg.MaxVersion = []tls.CurveID{tls.CurveP384}, version
		shaken := make(chan tls.ConnectionState, 1)
		s := dial(t, tlsScript(t, cfg, func(c *ftptest.Conn, data net.Conn) {
			d := tls.Server(data, cfg)
			_, _ = io.Copy(io.Discard, d)
			_ = d.Close()
			shaken <- d.ConnectionState()
			c.Send("226 done\r\n")
		}))
		for range 2 {
			require.NoError(t, store(t.Context(), s, "f", "secret"))
			state := <-shaken
			assert.True(t, state.HandshakeComplete)
			assert.False(t, state.HelloRetryRequest)
			assert.True(t, state.DidResume)
		}
	}
}

func TestTheZoneOfAnAddressIsNoPartOfWhatTheCertificateIsFor(t *testing.T) {
	srv, s := serve(t, ftptest.Options{TLS: ftptest.Explicit, RequireReuse: true}, func(c *session.Config) {
		host := c.Host
		c.Host, c.Direct = "::1%lo", false
		c.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			_, port, _ := net.SplitHostPort(addr)
			return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(host, port))
		}
	})
	require.NoError(t, store(t.Context(), s, "f", "secret"))
	assert.Equal(t, srv.Stats().DataConns, srv.Stats().Resumed)
}
