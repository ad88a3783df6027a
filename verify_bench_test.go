//go:build unix

package ftpclient_test

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
)

// verifySize is what BenchmarkVerify moves.
const verifySize = 1 << 30

// cpu is the processor time that this process has used.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkVerify is the cost of a proof: wall time, and the client's processor time, of one file of 1 GiB. The server,
// another process, reads the file once more for its digest. To get at what VerifyBest costs, divide its rows by those of none.
func BenchmarkVerify(b *testing.B) {
	dir := b.TempDir()
	f, err := os.Create(filepath.Join(dir, "big"))
	require.NoError(b, err)
	require.NoError(b, f.Truncate(verifySize))
	require.NoError(b, f.Close())
	port := serveApart(b, dir)
	client, err := ftpclient.New(ftpclient.Config{Servers: map[string]ftpclient.ServerConfig{
		"srv": {Host: "127.0.0.1", Port: port, Username: "user", Password: "secret"},
	}})
	require.NoError(b, err)
	b.Cleanup(func() { _ = client.Close() })

	local := filepath.Join(b.TempDir(), "big")
	moves := map[string]func(ctx context.Context, mode ftpclient.VerifyMode) error{
		"download": func(ctx context.Context, mode ftpclient.VerifyMode) error {
			_, err := client.Download(ctx, "srv", "big", local, &ftpclient.TransferOptions{Verify: mode, NoSync: true})
			return err
		},
		"upload": func(ctx context.Context, mode ftpclient.VerifyMode) error {
			_, err := client.Upload(ctx, "srv", local, "up", &ftpclient.TransferOptions{Verify: mode})
			return err
		},
	}
	for _, direction := range []string{"download", "upload"} {
		for _, mode := range []struct {
			name string
			mode ftpclient.VerifyMode
		}{{"none", ftpclient.VerifyNone}, {"size", ftpclient.VerifySize}, {"best", ftpclient.VerifyBest}} {
			b.Run(direction+"/"+mode.name, func(b *testing.B) {
				b.SetBytes(verifySize)
				b.ReportAllocs()
				before := cpu(b)
				for b.Loop() {
					require.NoError(b, moves[direction](b.Context(), mode.mode))
				}
				b.ReportMetric((cpu(b)-before).Seconds()/float64(b.N), "cpu-s/op")
			})
		}
	}
}
