package ftpclient_test

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

func init() {
	children["server"] = func() error { serveAsChild(); return nil }
}

// serveAsChild is a server until its standard input ends.
func serveAsChild() {
	srv, err := ftptest.New(ftptest.Options{Dir: os.Args[1], Hash: true})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(srv.Port())
	_, _ = io.Copy(io.Discard, os.Stdin)
	_ = srv.Close()
	os.Exit(0)
}

// serveApart starts a server of dir in a process of its own, so that its work does not count as the client's.
func serveApart(b *testing.B, dir string) (port int) {
	b.Helper()
	server := exec.CommandContext(context.WithoutCancel(b.Context()), os.Args[0], dir)
	server.Env = append(os.Environ(), childVar+"=server")
	in, err := server.StdinPipe()
	require.NoError(b, err)
	out, err := server.StdoutPipe()
	require.NoError(b, err)
	require.NoError(b, server.Start())
	b.Cleanup(func() { _ = in.Close(); _ = server.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(b, err)
	_, err = fmt.Sscan(line, &port)
	require.NoError(b, err)
	return port
}

// smallFiles is 2000 where the time that it takes at 20 ms does not matter.
var smallFiles = flag.Int("smallfiles", 200, "files of 4 KiB that the benchmarks of small files move")

func BenchmarkSmallDownloads(b *testing.B) { benchSmall(b, directions[0]) }

func BenchmarkSmallUploads(b *testing.B) { benchSmall(b, directions[1]) }

// allocsPerFile is the budget of a small file, with its part of what the listings of the directories take.
const allocsPerFile = 310

// benchSmall moves files of 4 KiB in 20 directories. With a latency the server runs in this process, and its allocations and
// processor time count, too: it tells the round trips.
func benchSmall(b *testing.B, d direction) {
	b.Helper()
	for _, latency := range []time.Duration{0, 20 * time.Millisecond} {
		for _, workers := range []int{1, 8} {
			b.Run(fmt.Sprintf("rtt=%v/workers=%d", latency, workers), func(b *testing.B) {
				var srv *ftptest.Server
				server := ftpclient.ServerConfig{Host: "127.0.0.1", Username: "user", Password: "secret", MaxConns: 9}
				dir, local := b.TempDir(), filepath.Join(b.TempDir(), "here")
				if latency > 0 {
					srv = ftptest.Start(b, ftptest.Options{Latency: latency, Dir: dir})
					server.Port = srv.Port()
				} else {
					server.Port = serveApart(b, dir)
				}
				client, err := ftpclient.New(ftpclient.Config{Servers: map[string]ftpclient.ServerConfig{"srv": server}})
				require.NoError(b, err)
				b.Cleanup(func() { _ = client.Close() })
				source := filepath.Join(dir, "there")
				if d.up {
					source = local
				}
				for i := range *smallFiles {
					name := filepath.Join(source, fmt.Sprintf("d%02d", i%20), fmt.Sprintf("f%04d", i))
					require.NoError(b, os.MkdirAll(filepath.Dir(name), 0o755))
					require.NoError(b, os.WriteFile(name, make([]byte, 4<<10), 0o644))
				}
				opts := &ftpclient.BatchOptions{Workers: workers, TransferOptions: ftpclient.TransferOptions{NoSync: true}}
				if srv != nil {
					srv.ResetStats()
				}
				b.ReportAllocs()
				b.SetBytes(int64(*smallFiles) * 4 << 10)
				runs := 0
				var before, m runtime.MemStats
				runtime.ReadMemStats(&before)
				for b.Loop() {
					runs++
					if _, err := d.move(b.Context(), client, local, "there", opts); err != nil {
						b.Fatal(err)
					}
				}
				files := float64(runs * *smallFiles)
				runtime.ReadMemStats(&m)
				b.ReportMetric(float64(m.Sys)/(1<<20), "MiB-most") // from the system, so far
				b.ReportMetric(files/b.Elapsed().Seconds(), "files/s")
				if srv != nil {
					b.ReportMetric(float64(srv.Stats().RoundTrips)/files, "trips/file")
					return
				}
				allocs := float64(m.Mallocs-before.Mallocs) / files
				b.ReportMetric(allocs, "allocs/file")
				if allocs > allocsPerFile {
					b.Errorf("%.0f allocations per file, and the budget is %d", allocs, allocsPerFile)
				}
			})
		}
	}
}
