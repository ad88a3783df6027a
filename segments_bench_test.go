package ftpclient_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

// BenchmarkSegments fetches one file from a server that gives each connection 4 MiB/s, and compares the throughput with what
// one such connection can have at best: with n segments the ratio is to be near n.
func BenchmarkSegments(b *testing.B) {
	const rate, size = 4 * mib, 16 * mib
	for _, latency := range []time.Duration{0, 20 * time.Millisecond} {
		for _, n := range []int{1, 2, 4, 8} {
			b.Run(fmt.Sprintf("latency=%s/segments=%d", latency, n), func(b *testing.B) {
				srv := ftptest.Start(b, ftptest.Options{DataRate: rate, Latency: latency})
				put(b, srv, "f", make([]byte, size))
				client, err := ftpclient.New(ftpclient.Config{Servers: map[string]ftpclient.ServerConfig{"srv": {
					Host: srv.Host(), Port: srv.Port(), Username: srv.User(), Password: ftpclient.Secret(srv.Password()), MaxConns: n,
				}}})
				require.NoError(b, err)
				b.Cleanup(func() { _ = client.Close() })
				local := filepath.Join(b.TempDir(), "f")
				b.SetBytes(size)
				b.ReportAllocs()
				for b.Loop() {
					_, err := client.Download(b.Context(), "srv", "f", local, &ftpclient.TransferOptions{Segments: n, NoSync: true})
					require.NoError(b, err)
				}
				seconds := b.Elapsed().Seconds() / float64(b.N)
				b.ReportMetric(float64(size)/rate/seconds, "connections'-worth")
				stats := srv.Stats()
				b.ReportMetric(float64(stats.Commands["RETR"])/float64(b.N), "RETR/op")
				b.ReportMetric(float64(stats.RoundTrips)/float64(b.N), "roundtrips/op")
			})
		}
	}
}
