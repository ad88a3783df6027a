package ftpclient_test

import (
	"fmt"
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

// BenchmarkColdStart is from New to the bytes of a file of 1 KiB, and Close. The server's count of round trips is without TLS
// handshakes; wall time over latency has them.
func BenchmarkColdStart(b *testing.B) {
	for name, mode := range map[string]ftptest.TLSMode{"plain": ftptest.Plain, "explicit": ftptest.Explicit} {
		b.Run(name, func(b *testing.B) {
			const latency = 20 * time.Millisecond
			srv := ftptest.Start(b, ftptest.Options{TLS: mode, Latency: latency, HoldFinal: true})
			put(b, srv, "f", make([]byte, 1024))
			cfg := ftpclient.ServerConfig{Host: srv.Host(), Port: srv.Port(), Username: srv.User(), Password: ftpclient.Secret(srv.Password())}
			if mode == ftptest.Explicit {
				cfg.TLS, cfg.InsecureSkipVerify = ftpclient.TLSExplicit, true
			}
			srv.ResetStats()
			b.ReportAllocs()
			b.SetBytes(1024)
			for b.Loop() {
				client, err := ftpclient.New(ftpclient.Config{Servers: map[string]ftpclient.ServerConfig{"srv": cfg}})
				require.NoError(b, err)
				_, err = client.DownloadTo(b.Context(), "srv", "f", io.Discard, nil)
				require.NoError(b, err)
				_ = client.Close()
			}
			b.ReportMetric(float64(srv.Stats().RoundTrips)/float64(b.N), "roundtrips/op")
			b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(latency), "waits/op")
		})
	}
}

// BenchmarkColdTree is from New to all files of a small tree, over 8 connections.
func BenchmarkColdTree(b *testing.B) {
	for name, o := range map[string]ftptest.Options{"LIST": {NoMLSD: true, Stat: ftptest.StatVSFTPD}, "MLSD": {Stat: ftptest.StatProFTPD}} {
		b.Run(name, func(b *testing.B) {
			const latency = 20 * time.Millisecond
			o.Latency = latency
			srv := ftptest.Start(b, o)
			for i := range 32 {
				put(b, srv, fmt.Sprintf("tree/d%d/f%02d", i%2, i), make([]byte, 1024))
			}
			cfg := ftpclient.ServerConfig{Host: srv.Host(), Port: srv.Port(), Username: srv.User(), Password: ftpclient.Secret(srv.Password()), MaxConns: 8}
			opts := &ftpclient.BatchOptions{Workers: 8, TransferOptions: ftpclient.TransferOptions{NoSync: true}}
			srv.ResetStats()
			b.ReportAllocs()
			b.SetBytes(32 << 10)
			for b.Loop() {
				client, err := ftpclient.New(ftpclient.Config{Servers: map[string]ftpclient.ServerConfig{"srv": cfg}})
				require.NoError(b, err)
				result, err := client.DownloadDir(b.Context(), "srv", "tree", filepath.Join(b.TempDir(), "local"), opts)
				require.NoError(b, err)
				require.Equal(b, 32, result.Succeeded)
				_ = client.Close()
			}
			stats := srv.Stats()
			b.ReportMetric(float64(stats.Commands["PASS"])/float64(b.N), "logins/op")
			b.ReportMetric(float64(stats.RoundTrips)/float64(b.N), "roundtrips/op")
			b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(latency), "waits/op")
		})
	}
}
