package ftpclient_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

// smallFiles is 2000 where the time that it takes at 20 ms does not matter.
var smallFiles = flag.Int("smallfiles", 200, "files of 4 KiB that the benchmarks of small files move")

func BenchmarkSmallDownloads(b *testing.B) { benchSmall(b, directions[0]) }

func BenchmarkSmallUploads(b *testing.B) { benchSmall(b, directions[1]) }

// benchSmall moves files of 4 KiB in 20 directories. The server runs in the same process, and the allocations are those of
// both.
func benchSmall(b *testing.B, d direction) {
	b.Helper()
	for _, latency := range []time.Duration{0, 20 * time.Millisecond} {
		for _, workers := range []int{1, 8} {
			b.Run(fmt.Sprintf("rtt=%v/workers=%d", latency, workers), func(b *testing.B) {
				srv := ftptest.Start(b, ftptest.Options{Latency: latency})
				client, err := ftpclient.New(ftpclient.Config{Servers: map[string]ftpclient.ServerConfig{"srv": {
					Host: srv.Host(), Port: srv.Port(), Username: srv.User(), Password: ftpclient.Secret(srv.Password()), MaxConns: 9,
				}}})
				require.NoError(b, err)
				b.Cleanup(func() { _ = client.Close() })
				local := filepath.Join(b.TempDir(), "here")
				source, _ := d.sides(srv, local, "there")
				for i := range *smallFiles {
					name := filepath.Join(source, fmt.Sprintf("d%02d", i%20), fmt.Sprintf("f%04d", i))
					require.NoError(b, os.MkdirAll(filepath.Dir(name), 0o755))
					require.NoError(b, os.WriteFile(name, make([]byte, 4<<10), 0o644))
				}
				opts := &ftpclient.BatchOptions{Workers: workers, TransferOptions: ftpclient.TransferOptions{NoSync: true}}
				srv.ResetStats()
				b.ReportAllocs()
				b.SetBytes(int64(*smallFiles) * 4 << 10)
				runs := 0
				for b.Loop() {
					runs++
					if _, err := d.move(b.Context(), client, local, "there", opts); err != nil {
						b.Fatal(err)
					}
				}
				files := float64(runs * *smallFiles)
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				b.ReportMetric(float64(m.Sys)/(1<<20), "MiB-most") // from the system, so far
				b.ReportMetric(files/b.Elapsed().Seconds(), "files/s")
				b.ReportMetric(float64(srv.Stats().RoundTrips)/files, "trips/file")
			})
		}
	}
}
