package ftpclient_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

// moveBothWays uploads, lists, downloads and compares.
func moveBothWays(t *testing.T, srv *ftptest.Server, client *ftpclient.Client, what string) {
	t.Helper()
	content := randomBytes(t, 3*mib+17)
	for name, content := range map[string][]byte{"dir/f": content, "dir/empty": {}} {
		_, err := client.UploadFrom(t.Context(), "srv", bytes.NewReader(content), name, nil)
		require.NoError(t, err, what)
		assert.True(t, bytes.Equal(content, stored(t, srv, name)), what)
		local := filepath.Join(t.TempDir(), "f")
		_, err = client.Download(t.Context(), "srv", name, local, nil)
		require.NoError(t, err, what)
		onlyFile(t, local, content)
	}
	files, err := client.Files(t.Context(), "srv", "")
	require.NoError(t, err, what)
	assert.Equal(t, []string{"dir/empty", "dir/f"}, files, what)
}

func TestAllConnectionsGoThroughTheProxy(t *testing.T) {
	for _, mode := range []ftptest.TLSMode{ftptest.Plain, ftptest.Explicit, ftptest.Implicit} {
		for _, o := range []ftptest.SOCKSOptions{{}, {User: "joe", Password: "pass@word"}} {
			proxy, dialer := ftptest.SOCKS(t, o), &ftptest.Hidden{}
			for _, own := range []bool{false, true} { // the proxy itself dialled by DialContext
				srv, client := serve(t, ftptest.Options{TLS: mode, RequireReuse: mode != ftptest.Plain}, func(c *ftpclient.ServerConfig) {
					if c.Proxy = proxy.URL(); own {
						c.DialContext = dialer.DialContext
					}
				})
				before := len(proxy.Asked())
				moveBothWays(t, srv, client, proxy.URL())
				stats := srv.Stats()
				// The server may close its port before it has seen a connection whose transfer it refuses.
				assert.GreaterOrEqual(t, len(proxy.Asked()[before:]), stats.Conns+stats.DataConns)
				assert.Contains(t, proxy.Asked(), srv.Addr())
				if own {
					assert.GreaterOrEqual(t, len(dialer.Dialed()), stats.Conns+stats.DataConns)
					assert.NotContains(t, dialer.Dialed(), srv.Addr())
				}
			}
		}
	}
}

func TestAllConnectionsAreOpenedByDialContext(t *testing.T) {
	for _, mode := range []ftptest.TLSMode{ftptest.Plain, ftptest.Explicit, ftptest.Implicit} {
		for _, dialer := range []*ftptest.Hidden{{}, {Layers: true}} {
			srv, client := serve(t, ftptest.Options{TLS: mode, RequireReuse: mode != ftptest.Plain}, func(c *ftpclient.ServerConfig) {
				c.DialContext = dialer.DialContext
			})
			moveBothWays(t, srv, client, "DialContext")
			stats := srv.Stats() // which cannot have seen one that was opened ahead and not needed
			assert.GreaterOrEqual(t, len(dialer.Dialed()), stats.Conns+stats.DataConns)
		}
	}
}

func TestAProxyThatRefusesIsAnErrorThatTellsWhetherItMayPass(t *testing.T) {
	srv := ftptest.Start(t, ftptest.Options{})
	for reply, passes := range map[byte]bool{1: true, 2: false, 3: true, 4: true, 5: true, 6: true, 7: false, 8: false} {
		proxy := ftptest.SOCKS(t, ftptest.SOCKSOptions{Refuse: reply})
		client := connect(t, srv, ftptest.Plain, func(c *ftpclient.ServerConfig) { c.Proxy = proxy.URL() })
		result, err := client.DownloadTo(t.Context(), "srv", "f", io.Discard, nil)
		require.ErrorContains(t, err, "socks", reply)
		assert.Equal(t, passes, ftpclient.Retryable(err), "%d: %v", reply, err)
		assert.Equal(t, map[bool]int{true: 4, false: 1}[passes], result.Attempts, reply)
	}
	proxy := ftptest.SOCKS(t, ftptest.SOCKSOptions{User: "joe", Password: "right"})
	for _, url := range []string{"socks5://joe:wrong-word@" + proxy.URL()[len("socks5://joe:right@"):], "socks5://" + proxy.URL()[len("socks5://joe:right@"):]} {
		client := connect(t, srv, ftptest.Plain, func(c *ftpclient.ServerConfig) { c.Proxy = url })
		result, err := client.DownloadTo(t.Context(), "srv", "f", io.Discard, nil)
		require.ErrorContains(t, err, "auth")
		assert.NotContains(t, err.Error(), "wrong-word")
		assert.Equal(t, 1, result.Attempts, "a password is tried once")
	}
	assert.Zero(t, srv.Stats().Conns)
}

func TestASilentProxyHoldsNobody(t *testing.T) {
	srv := ftptest.Start(t, ftptest.Options{})
	proxy := ftptest.SOCKS(t, ftptest.SOCKSOptions{Silent: true})
	client := connect(t, srv, ftptest.Plain, func(c *ftpclient.ServerConfig) { c.Proxy = proxy.URL() })
	ctx, cancel := context.WithCancel(t.Context())
	begun := make(chan time.Time, 1)
	time.AfterFunc(50*time.Millisecond, func() { begun <- time.Now(); cancel() })
	require.ErrorIs(t, client.Ping(ctx, "srv"), context.Canceled)
	assert.Less(t, time.Since(<-begun), 300*time.Millisecond)

	client = connect(t, srv, ftptest.Plain, func(c *ftpclient.ServerConfig) { c.Proxy, c.ConnectTimeout = proxy.URL(), 100*time.Millisecond })
	_, err := client.DownloadTo(t.Context(), "srv", "f", io.Discard, &ftpclient.TransferOptions{Retry: never()})
	require.Error(t, err)
	assert.True(t, ftpclient.Retryable(err), err)
	assert.NotErrorIs(t, err, context.DeadlineExceeded, "the caller's has not ended")
}

// What the server hears at the end of an upload that was given up, and what is there then.
func TestAnUploadGivenUpIsBrokenForTheServerHoweverItIsReached(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(t *testing.T, c *ftpclient.ServerConfig)
		hidden bool // nobody can tell the server
	}{
		"direct": {func(*testing.T, *ftpclient.ServerConfig) {}, false},
		"proxy": {func(t *testing.T, c *ftpclient.ServerConfig) {
			t.Helper()
			c.Proxy = ftptest.SOCKS(t, ftptest.SOCKSOptions{}).URL()
		}, false},
		"proxy that hides resets": {func(t *testing.T, c *ftpclient.ServerConfig) {
			t.Helper()
			c.Proxy = ftptest.SOCKS(t, ftptest.SOCKSOptions{HideResets: true}).URL()
		}, true},
		"layers": {func(_ *testing.T, c *ftpclient.ServerConfig) {
			c.DialContext = (&ftptest.Hidden{Layers: true}).DialContext
		}, false},
		"hidden": {func(_ *testing.T, c *ftpclient.ServerConfig) { c.DialContext = (&ftptest.Hidden{}).DialContext }, true},
	} {
		for _, mode := range []ftptest.TLSMode{ftptest.Plain, ftptest.Explicit} {
			var mu sync.Mutex
			var finals []string
			srv, client := serve(t, ftptest.Options{TLS: mode, Reply: func(cmd, _ string, reply []byte) []byte {
				if cmd == "STOR" && reply[0] != '1' {
					mu.Lock()
					defer mu.Unlock()
					finals = append(finals, string(reply[:3]))
				}
				return reply
			}}, func(c *ftpclient.ServerConfig) { tt.change(t, c) })
			put(t, srv, "f", []byte("old"))
			broken := errors.New("disk gone")
			half := io.MultiReader(bytes.NewReader(randomBytes(t, 2*mib)), iotest.ErrReader(broken))
			_, err := client.UploadFrom(t.Context(), "srv", half, "f", nil)
			require.ErrorIs(t, err, broken, name)
			assert.Equal(t, []string{"f"}, names(t, srv.Dir()), "%s: nothing is left", name)

			ctx, cancel := context.WithCancel(t.Context())
			_, err = client.UploadFrom(ctx, "srv", bytes.NewReader(make([]byte, 8*mib)), "f", &ftpclient.TransferOptions{
				BytesPerSecond: 4 * mib,
				Progress: func(p ftpclient.Progress) {
					if p.Bytes > mib {
						cancel()
					}
				},
			})
			require.ErrorIs(t, err, context.Canceled, name)
			require.NoError(t, client.Close())
			assert.Equal(t, "old", string(stored(t, srv, "f")), name)
			require.Eventually(t, func() bool { return srv.Stats().Open == 0 }, 5*time.Second, time.Millisecond)
			mu.Lock()
			if mode == ftptest.Plain && tt.hidden {
				assert.Contains(t, finals, "226", "%s: the server takes it for whole", name)
			} else {
				assert.NotContains(t, finals, "226", name)
			}
			mu.Unlock()
		}
	}
}
