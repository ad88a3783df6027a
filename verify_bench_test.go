//go:build unix

package ftpclient_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

// verifySize is what BenchmarkVerify moves.
const verifySize = 1 << 30

func init() {
	children["server"] = func() error { serveAsChild(); return nil }
}

// serveAsChild is a server in a process of its own, so that its work does not count as the client's. It ends with its
// standard input.
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
	var port int
	_, err = fmt.Sscan(strings.TrimSpace(line), &port)
	require.NoError(b, err)
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
				before := cpu(b)
				for b.Loop() {
					require.NoError(b, moves[direction](b.Context(), mode.mode))
				}
				b.ReportMetric((cpu(b)-before).Seconds()/float64(b.N), "cpu-s/op")
			})
		}
	}
}
