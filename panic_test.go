package ftpclient_test

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

// closing is a connection that tells when it is closed.
type closing struct {
	net.Conn
	closed func()
}

func (c *closing) NetConn() net.Conn { return c.Conn }

func (c *closing) Close() error {
	c.closed()
	return c.Conn.Close()
}

// A callback that panics is the caller's, who may recover: the Client is whole afterwards, with all its connections.
func TestAPanicOfACallbackIsTheCallersAndLeavesTheClientWhole(t *testing.T) {
	content := randomBytes(t, 8*mib)
	stall := ftptest.Fault{Cmd: "RETR", Path: "stalls", Times: 1, After: 1000, Do: ftptest.StallData}
	progress := func(p ftpclient.Progress) {
		if p.Bytes > 0 {
			panic("no more")
		}
	}
	for name, call := range map[string]func(*ftpclient.Client, string){
		"download": func(c *ftpclient.Client, dir string) {
			_, _ = c.Download(t.Context(), "srv", "f", filepath.Join(dir, "f"), &ftpclient.TransferOptions{Progress: progress})
		},
		"download in segments": func(c *ftpclient.Client, dir string) {
			_, _ = c.Download(t.Context(), "srv", "f", filepath.Join(dir, "f"), &ftpclient.TransferOptions{Progress: progress, Segments: 4})
		},
		"a helper of segments": func(c *ftpclient.Client, dir string) { // as the first connection stalls
			var once sync.Once
			_, _ = c.Download(t.Context(), "srv", "stalls", filepath.Join(dir, "f"), &ftpclient.TransferOptions{Segments: 4, Progress: func(p ftpclient.Progress) {
				if p.Bytes > mib {
					once.Do(func() { panic("no more") })
				}
			}})
		},
		"upload": func(c *ftpclient.Client, dir string) {
			_, _ = c.UploadFrom(t.Context(), "srv", strings.NewReader(string(content)), "up/f", &ftpclient.TransferOptions{Progress: progress})
		},
		"batch": func(c *ftpclient.Client, dir string) {
			_, _ = c.DownloadDir(t.Context(), "srv", "d", dir, &ftpclient.BatchOptions{Workers: 3, TransferOptions: ftpclient.TransferOptions{Progress: progress}})
		},
		"batch, in the middle of a file": func(c *ftpclient.Client, dir string) {
			_, _ = c.DownloadFiles(t.Context(), "srv", []string{"f"}, dir, &ftpclient.BatchOptions{Workers: 3, TransferOptions: ftpclient.TransferOptions{Progress: progress}})
		},
		"batch, file by file": func(c *ftpclient.Client, dir string) {
			_, _ = c.DownloadDir(t.Context(), "srv", "d", dir, &ftpclient.BatchOptions{Workers: 3, OnFile: func(e ftpclient.FileEvent) {
				if e.Index == 20 {
					panic("no more")
				}
			}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			var open atomic.Int64
			srv, client := serve(t, ftptest.Options{DataRate: 20 * mib, Faults: []ftptest.Fault{stall}}, many(4), func(c *ftpclient.ServerConfig) {
				c.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
					conn, err := new(net.Dialer).DialContext(ctx, network, addr)
					if err != nil {
						return nil, err
					}
					open.Add(1)
					return &closing{Conn: conn, closed: sync.OnceFunc(func() { open.Add(-1) })}, nil
				}
			})
			put(t, srv, "f", content)
			put(t, srv, "stalls", content)
			sow(t, filepath.Join(srv.Dir(), "d"), 40)
			assert.PanicsWithValue(t, "no more", func() { call(client, t.TempDir()) })
			assert.Less(t, srv.Stats().Commands["RETR"], 40, "no more is begun")
			stats, err := client.Stats("srv")
			require.NoError(t, err)
			assert.Zero(t, stats.InUse)
			assert.Zero(t, stats.Workers)
			local := filepath.Join(t.TempDir(), "f")
			_, err = client.Download(t.Context(), "srv", "f", local, nil)
			require.NoError(t, err)
			onlyFile(t, local, content)
			require.NoError(t, client.Shutdown(t.Context()))
			assert.Zero(t, open.Load(), "connections")
		})
	}
}

func TestAPanicOfDialContextIsTheCallsAndLeavesTheClientWhole(t *testing.T) {
	for at := range 6 { // control connections, data connections, and those that are opened ahead
		var fall atomic.Bool
		var left atomic.Int64
		srv, client := serve(t, ftptest.Options{}, func(c *ftpclient.ServerConfig) {
			c.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				if fall.Load() && left.Add(-1) < 0 {
					panic("no more")
				}
				<-time.After(2 * time.Millisecond) // or else nobody opens one ahead
				return new(net.Dialer).DialContext(ctx, network, addr)
			}
		})
		var names []string
		for i := range 20 {
			names = append(names, fmt.Sprintf("d/%d", i))
			put(t, srv, names[i], []byte("x"))
		}
		local := t.TempDir()
		for what, move := range map[string]func() (*ftpclient.BatchResult, error){
			"files": func() (*ftpclient.BatchResult, error) {
				return client.DownloadFiles(t.Context(), "srv", names, local, &ftpclient.BatchOptions{Workers: 2})
			},
			"a tree": func() (*ftpclient.BatchResult, error) {
				return client.DownloadDir(t.Context(), "srv", "d", local, &ftpclient.BatchOptions{Workers: 2})
			},
		} {
			left.Store(int64(at))
			fall.Store(true)
			assert.PanicsWithValue(t, "no more", func() { _, _ = move() }, "%s: %d", what, at)
			fall.Store(false)
			result, err := move()
			require.NoError(t, err, "%s: %d", what, at)
			assert.Equal(t, 20, result.Succeeded, "%s: %d", what, at)
		}
		stats, err := client.Stats("srv")
		require.NoError(t, err)
		assert.Zero(t, stats.InUse, at)
	}
}

// A test's FailNow in a callback is a Goexit of its goroutine.
func TestAGoexitOfACallbackEndsTheCallersGoroutineAndLeavesTheClientWhole(t *testing.T) {
	content := randomBytes(t, 8*mib)
	for name, call := range map[string]func(*ftpclient.Client, string){
		"download": func(c *ftpclient.Client, dir string) {
			_, _ = c.Download(t.Context(), "srv", "f", filepath.Join(dir, "f"), &ftpclient.TransferOptions{Progress: func(p ftpclient.Progress) {
				if p.Bytes > 0 {
					runtime.Goexit()
				}
			}})
		},
		"a helper of segments": func(c *ftpclient.Client, dir string) {
			var once sync.Once
			_, _ = c.Download(t.Context(), "srv", "stalls", filepath.Join(dir, "f"), &ftpclient.TransferOptions{Segments: 4, Progress: func(p ftpclient.Progress) {
				if p.Bytes > mib {
					once.Do(runtime.Goexit)
				}
			}})
		},
		"batch": func(c *ftpclient.Client, dir string) {
			_, _ = c.DownloadDir(t.Context(), "srv", "d", dir, &ftpclient.BatchOptions{Workers: 3, OnFile: func(e ftpclient.FileEvent) {
				if e.Index == 20 {
					runtime.Goexit()
				}
			}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			srv, client := serve(t, ftptest.Options{DataRate: 20 * mib, Faults: []ftptest.Fault{
				{Cmd: "RETR", Path: "stalls", Times: 1, After: 1000, Do: ftptest.StallData},
			}}, many(4))
			put(t, srv, "f", content)
			put(t, srv, "stalls", content)
			sow(t, filepath.Join(srv.Dir(), "d"), 40)
			returned := false
			var run sync.WaitGroup
			run.Go(func() {
				call(client, t.TempDir())
				returned = true
			})
			run.Wait()
			assert.False(t, returned)
			assert.Less(t, srv.Stats().Commands["RETR"], 40, "no more is begun")
			stats, err := client.Stats("srv")
			require.NoError(t, err)
			assert.Zero(t, stats.InUse)
			assert.Zero(t, stats.Workers)
			require.NoError(t, client.Shutdown(t.Context()))
		})
	}
}
