//go:build interop && linux

package ftpclient_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/interop"
)

// roundTrip is the latency that a far line adds: so much that nothing else counts.
const roundTrip = 100 * time.Millisecond

// far dials over a line with latency: each connection passes through a relay that carries every piece half a round trip later.
func far(ctx context.Context, network, addr string) (net.Conn, error) {
	select {
	case <-time.After(roundTrip):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	server, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer func() { _ = l.Close() }()
	client, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.Addr().String())
	if err != nil {
		return nil, err
	}
	relay, err := l.Accept()
	if err != nil {
		return nil, err
	}
	go carry(relay.(*net.TCPConn), server.(*net.TCPConn))
	go carry(server.(*net.TCPConn), relay.(*net.TCPConn))
	return client, nil
}

type parcel struct {
	data []byte
	due  time.Time
}

func carry(from, to *net.TCPConn) {
	line := make(chan parcel, 1<<14)
	go func() {
		for p := range line {
			<-time.After(time.Until(p.due))
			_, _ = to.Write(p.data)
		}
		_ = to.CloseWrite()
	}()
	for {
		buf := make([]byte, 64<<10)
		n, err := from.Read(buf)
		line <- parcel{buf[:n], time.Now().Add(roundTrip / 2)}
		if err != nil {
			close(line)
			if !errors.Is(err, io.EOF) {
				_ = to.SetLinger(0)
			}
			return
		}
	}
}

// Round trips per small file and connection on real servers, as time at a latency that outweighs all else.
func TestInteropSmallFilesOverAFarLine(t *testing.T) {
	for _, server := range []string{interop.VSFTPD, interop.ProFTPD, interop.PureFTPD} {
		for _, mode := range []string{interop.Plain, interop.Explicit} {
			c := interop.Cell{Server: server, TLS: mode}
			t.Run(c.String(), func(t *testing.T) {
				x := realTarget(t, c)
				client := x.client(t, func(c *ftpclient.ServerConfig) { c.DialContext = far })
				require.NoError(t, client.Ping(t.Context(), "srv"))
				names := small(t, t.TempDir(), 15)
				for i, name := range names {
					at := time.Date(2020, 1, 2, 3, 4, i, 0, time.UTC)
					require.NoError(t, os.Chtimes(name, at, at))
				}
				require.NoError(t, os.MkdirAll(filepath.Join(x.dir, "up"), 0o755))
				x.own()
				perFile := func(f func()) float64 {
					begun := time.Now()
					f()
					return float64(time.Since(begun)) / float64(roundTrip) / float64(len(names))
				}
				up := perFile(func() {
					opts := oneWorker()
					opts.PreserveTime = true
					_, err := client.UploadFiles(t.Context(), "srv", names, "up", opts)
					require.NoError(t, err)
				})
				local := t.TempDir()
				down := perFile(func() {
					_, err := client.DownloadFiles(t.Context(), "srv", remotes("up", names), local, oneWorker())
					require.NoError(t, err)
				})
				assert.Equal(t, grown(t, filepath.Dir(names[0])), grown(t, local))
				for _, name := range names {
					want, err := os.Stat(name)
					require.NoError(t, err)
					got, err := os.Stat(filepath.Join(x.dir, "up", filepath.Base(name)))
					require.NoError(t, err)
					assert.Equal(t, want.ModTime().Truncate(time.Second), got.ModTime().Truncate(time.Second), name)
				}
				most := 3.6 // three, and what the beginning takes
				if mode == interop.Explicit {
					most = 4.7 // and a TLS handshake
				}
				assert.Less(t, down, most)
				assert.Less(t, up, most)
				t.Logf("%s: round trips per file: download %.2f, upload %.2f", c, down, up)
			})
		}
	}
}

// A cold start on real servers: from New to the bytes of 1 KiB, over a line whose latency outweighs all else. The relay acknowledges
// at once, so that what Nagle's algorithm adds on a true line, one or two round trips, is not in it.
func TestInteropAColdStartOverAFarLine(t *testing.T) {
	for _, server := range []string{interop.VSFTPD, interop.ProFTPD, interop.PureFTPD} {
		for mode, most := range map[string]float64{interop.Plain: 8, interop.Explicit: 12} {
			c := interop.Cell{Server: server, TLS: mode}
			t.Run(c.String(), func(t *testing.T) {
				x := realTarget(t, c)
				require.NoError(t, os.WriteFile(filepath.Join(x.dir, "f"), make([]byte, 1024), 0o644))
				x.own()
				begun := time.Now()
				client := x.client(t, func(c *ftpclient.ServerConfig) { c.DialContext = far })
				var last time.Duration
				result, err := client.DownloadTo(t.Context(), "srv", "f", clock(func() { last = time.Since(begun) }), nil)
				require.NoError(t, err)
				require.EqualValues(t, 1024, result.Bytes)
				trips := float64(last) / float64(roundTrip)
				assert.LessOrEqual(t, trips, most)
				t.Logf("%s: round trips from New to the bytes: %.2f", c, trips)
			})
		}
	}
}

// clock is a Writer that calls it with each piece.
type clock func()

func (c clock) Write(p []byte) (int, error) {
	c()
	return len(p), nil
}
