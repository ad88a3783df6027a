//go:build interop && linux

package ftpclient_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
)

// offers tells whether the server can be held to a check.
func (x *target) offers(check string) bool {
	switch check {
	case "idle":
		return x.idle != nil
	case "resumed": // Pure-FTPd gives no tickets with TLS 1.3 and requires nothing
		return strings.HasSuffix(x.name, "/reuse")
	case "whole": // with TLS 1.3 a ticket lies unread in the client's socket
		return x.cell.RequireReuse && x.cell.MaxTLS != tls.VersionTLS12
	}
	return true
}

// handshakes counts a client's, and those among them that resumed a session.
type handshakes struct{ all, resumed atomic.Int64 }

func (h *handshakes) watch(c *ftpclient.ServerConfig) {
	c.TLSConfig = &tls.Config{VerifyConnection: func(s tls.ConnectionState) error {
		h.all.Add(1)
		if s.DidResume {
			h.resumed.Add(1)
		}
		return nil
	}}
}

// 100 data connections of one control connection, up, down and listings; on a server that accepts no other, too.
func interopResumed(t *testing.T, x *target) {
	t.Helper()
	var seen handshakes
	client := x.client(t, func(c *ftpclient.ServerConfig) { c.MaxConns = 1 }, seen.watch)
	for i := range 40 {
		content := bytes.Repeat([]byte{byte(i)}, i*100)
		up, err := client.UploadFrom(t.Context(), "srv", bytes.NewReader(content), "resumed/f", nil)
		require.NoError(t, err, i)
		require.Equal(t, 1, up.Attempts, i)
		var b bytes.Buffer
		down, err := client.DownloadTo(t.Context(), "srv", "resumed/f", &b, nil)
		require.NoError(t, err, i)
		require.Equal(t, 1, down.Attempts, i)
		require.True(t, bytes.Equal(content, b.Bytes()))
		if i%2 == 0 {
			_, err = client.List(t.Context(), "srv", "resumed")
			require.NoError(t, err, i)
		}
	}
	assert.EqualValues(t, 101, seen.all.Load())
	assert.EqualValues(t, 100, seen.resumed.Load(), "all but the control connection's")
}

// 200 uploads of 5 MiB, to the server as it is and as one that reads slowly.
func interopWhole(t *testing.T, x *target) {
	t.Helper()
	content := randomBytes(t, 5*mib)
	local := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(local, content, 0o600))
	slowly := x.cell
	slowly.BytesPerSecond = 24 * mib
	for kind, x := range map[string]*target{"fast": x, "slow": realTarget(t, slowly)} {
		client := x.client(t)
		var next, whole atomic.Int64
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() {
				for i := next.Add(1); i <= 200; i = next.Add(1) {
					name := fmt.Sprintf("whole/%d", i)
					up, err := client.Upload(t.Context(), "srv", local, name, nil)
					if err != nil || up.Attempts != 1 || !bytes.Equal(content, x.stored(t, name)) {
						t.Errorf("%s %s: %v, %+v", kind, name, err, up)
						return
					}
					whole.Add(1)
					assert.NoError(t, os.Remove(filepath.Join(x.dir, name)))
				}
			})
		}
		all.Wait()
		assert.EqualValues(t, 200, whole.Load(), kind)
		require.NoError(t, client.Close())
	}
}
