package ftpclient_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

func TestIPv6IsServedByExtendedCommandsInEveryMode(t *testing.T) {
	for _, mode := range []ftptest.TLSMode{ftptest.Plain, ftptest.Explicit, ftptest.Implicit} {
		for what, change := range map[string]func(*ftpclient.ServerConfig){
			"passive":      func(*ftpclient.ServerConfig) {},
			"without EPSV": func(c *ftpclient.ServerConfig) { c.DisableEPSV = true }, // it is of IPv4 only
			"active":       func(c *ftpclient.ServerConfig) { c.Active = true },
		} {
			srv, client := serve(t, ftptest.Options{IPv6: true, TLS: mode, RequireReuse: mode != ftptest.Plain}, change)
			moveBothWays(t, srv, client, what)
			commands := srv.Stats().Commands
			assert.Zero(t, commands["PASV"]+commands["PORT"], what)
			assert.Positive(t, commands[map[bool]string{true: "EPRT", false: "EPSV"}[what == "active"]], what)
		}
	}
}

func TestAConnectionThatTheServerClosedForBeingIdleIsReplacedUnseen(t *testing.T) {
	srv, client := serve(t, ftptest.Options{IdleTimeout: 100 * time.Millisecond}, func(c *ftpclient.ServerConfig) { c.KeepAlive = -1 })
	put(t, srv, "f", []byte("content"))
	for range 3 {
		var b bytes.Buffer
		result, err := client.DownloadTo(t.Context(), "srv", "f", &b, nil)
		require.NoError(t, err, "the 421 that waits there is of the past")
		assert.Equal(t, 1, result.Attempts)
		require.Eventually(t, func() bool { return srv.Stats().Open == 0 }, 5*time.Second, time.Millisecond)
	}
	assert.Equal(t, 3, srv.Stats().Conns)
}
