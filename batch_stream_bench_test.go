package ftpclient_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

// BenchmarkStreamOfJobs tells what a batch keeps in memory while a stream of jobs goes through it, of which each is skipped
// as it is there already: one listing for ten thousand of them.
func BenchmarkStreamOfJobs(b *testing.B) {
	const perDir = 10_000
	var rows bytes.Buffer
	for i := range perDir {
		fmt.Fprintf(&rows, "type=file;size=1;modify=20260101000000; f%05d\r\n", i)
	}
	srv := ftptest.Start(b, ftptest.Options{ListOnDataLines: func(string, string) []byte { return rows.Bytes() }})
	client, err := ftpclient.New(ftpclient.Config{Servers: map[string]ftpclient.ServerConfig{
		"srv": {Host: srv.Host(), Port: srv.Port(), Username: srv.User(), Password: ftpclient.Secret(srv.Password())},
	}})
	require.NoError(b, err)
	b.Cleanup(func() { _ = client.Close() })
	local := filepath.Join(b.TempDir(), "f")
	require.NoError(b, os.WriteFile(local, []byte("x"), 0o600))
	for _, n := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			var most uint64
			for b.Loop() {
				jobs := func(yield func(ftpclient.Job) bool) {
					var m runtime.MemStats
					for i := range n {
						if i%(n/20) == n/40 {
							runtime.GC()
							runtime.ReadMemStats(&m)
							most = max(most, m.HeapAlloc)
						}
						remote := fmt.Sprintf("d%03d/f%05d", i/perDir, i%perDir)
						if !yield(ftpclient.Job{Direction: ftpclient.Up, Server: "srv", Remote: remote, Local: local}) {
							return
						}
					}
				}
				result, err := client.Batch(b.Context(), jobs, &ftpclient.BatchOptions{
					Workers: 4, TransferOptions: ftpclient.TransferOptions{Existing: ftpclient.SkipExisting},
				})
				require.NoError(b, err)
				require.Equal(b, n, result.Skipped)
			}
			b.ReportMetric(float64(most)/(1<<20), "MiB-heap")
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/job")
		})
	}
}
