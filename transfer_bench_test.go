package ftpclient_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/jlaffaye/ftp"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

const benchSize = 64 * mib

// benchServer is a server with one file, and a client of it. The server and its proxy run in the same process: compare the
// rows of one run with one another, and with nothing else.
func benchServer(b *testing.B) (*ftptest.Server, *ftpclient.Client) {
	b.Helper()
	return benchServerWith(b, ftptest.Plain, ftpclient.ServerConfig{})
}

func benchServerWith(b *testing.B, mode ftptest.TLSMode, cfg ftpclient.ServerConfig) (*ftptest.Server, *ftpclient.Client) {
	b.Helper()
	srv := ftptest.Start(b, ftptest.Options{TLS: mode})
	put(b, srv, "big", make([]byte, benchSize))
	cfg.Host, cfg.Port, cfg.Username, cfg.Password = srv.Host(), srv.Port(), srv.User(), ftpclient.Secret(srv.Password())
	client, err := ftpclient.New(ftpclient.Config{Servers: map[string]ftpclient.ServerConfig{"srv": cfg}})
	require.NoError(b, err)
	b.Cleanup(func() { _ = client.Close() })
	return srv, client
}

func bare(b *testing.B, srv *ftptest.Server, opts ...ftp.DialOption) *ftp.ServerConn {
	b.Helper()
	conn, err := ftp.Dial(srv.Addr(), opts...)
	require.NoError(b, err)
	require.NoError(b, conn.Login(srv.User(), srv.Password()))
	b.Cleanup(func() { _ = conn.Quit() })
	return conn
}

// measure is repeat of something that moves benchSize bytes.
func measure(b *testing.B, srv *ftptest.Server, f func() error) {
	b.Helper()
	b.SetBytes(benchSize)
	repeat(b, srv, f)
}

// repeat measures f, and tells what srv saw of it. The server's allocations count, too.
func repeat(b *testing.B, srv *ftptest.Server, f func() error) {
	b.Helper()
	b.ReportAllocs()
	before := srv.Stats().RoundTrips
	for b.Loop() {
		if err := f(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(srv.Stats().RoundTrips-before)/float64(b.N), "roundtrips/op")
}

func BenchmarkDownload(b *testing.B) {
	srv, client := benchServer(b)
	local := filepath.Join(b.TempDir(), "big")
	b.Run("ours", func(b *testing.B) {
		measure(b, srv, func() error {
			_, err := client.Download(b.Context(), "srv", "big", local, &ftpclient.TransferOptions{NoSync: true})
			return err
		})
	})
	b.Run("jlaffaye", func(b *testing.B) {
		conn := bare(b, srv)
		measure(b, srv, func() error {
			r, err := conn.Retr("big")
			if err != nil {
				return err
			}
			return writeFile(local, r)
		})
	})
	b.Run("socket", func(b *testing.B) {
		measure(b, srv, func() error {
			conn := rawSender(b, filepath.Join(srv.Dir(), "big"))
			return writeFile(local, conn)
		})
	})
}

// counted is a socket whose reads are counted.
type counted struct {
	*net.TCPConn
	reads *atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	c.reads.Add(1)
	return c.TCPConn.Read(p)
}

func BenchmarkDownloadTLS(b *testing.B) {
	var reads atomic.Int64
	srv, client := benchServerWith(b, ftptest.Explicit, ftpclient.ServerConfig{
		TLS: ftpclient.TLSExplicit, InsecureSkipVerify: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return &counted{conn.(*net.TCPConn), &reads}, nil
		},
	})
	local := filepath.Join(b.TempDir(), "big")
	b.Run("ours", func(b *testing.B) {
		reads.Store(0)
		measure(b, srv, func() error {
			_, err := client.Download(b.Context(), "srv", "big", local, &ftpclient.TransferOptions{NoSync: true})
			return err
		})
		b.ReportMetric(float64(reads.Load())/float64(b.N), "reads/op")
	})
	b.Run("jlaffaye", func(b *testing.B) {
		conn := bare(b, srv, ftp.DialWithExplicitTLS(&tls.Config{InsecureSkipVerify: true}))
		measure(b, srv, func() error {
			r, err := conn.Retr("big")
			if err != nil {
				return err
			}
			return writeFile(local, r)
		})
	})
}

func BenchmarkUpload(b *testing.B) {
	srv, client := benchServer(b)
	benchUpload(b, srv, client)
	b.Run("socket", func(b *testing.B) {
		from := filepath.Join(srv.Dir(), "big")
		measure(b, srv, func() error {
			return writeFile(filepath.Join(srv.Dir(), "up"), rawSender(b, from))
		})
	})
}

func BenchmarkUploadTLS(b *testing.B) {
	srv, client := benchServerWith(b, ftptest.Explicit, ftpclient.ServerConfig{TLS: ftpclient.TLSExplicit, InsecureSkipVerify: true})
	benchUpload(b, srv, client, ftp.DialWithExplicitTLS(&tls.Config{InsecureSkipVerify: true}))
}

func benchUpload(b *testing.B, srv *ftptest.Server, client *ftpclient.Client, opts ...ftp.DialOption) {
	b.Helper()
	local := filepath.Join(b.TempDir(), "big")
	require.NoError(b, os.WriteFile(local, make([]byte, benchSize), 0o600))
	b.Run("ours", func(b *testing.B) {
		measure(b, srv, func() error {
			_, err := client.Upload(b.Context(), "srv", local, "up", nil)
			return err
		})
	})
	b.Run("jlaffaye", func(b *testing.B) {
		conn := bare(b, srv, opts...)
		measure(b, srv, func() error {
			f, err := os.Open(local)
			if err != nil {
				return err
			}
			defer func() { _ = f.Close() }()
			return conn.Stor("up", f)
		})
	})
}

func writeFile(path string, r io.ReadCloser) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, r); err != nil {
		return err
	}
	if err := r.Close(); err != nil {
		return err
	}
	return f.Close()
}

// rawSender is a loopback socket through which a file comes, with no FTP: the limit.
func rawSender(b *testing.B, path string) net.Conn {
	b.Helper()
	l, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp", "127.0.0.1:0")
	require.NoError(b, err)
	go func() {
		defer func() { _ = l.Close() }()
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		f, err := os.Open(path)
		if err != nil {
			return
		}
		defer func() { _ = f.Close() }()
		_, _ = io.Copy(conn, f)
	}()
	conn, err := (&net.Dialer{}).DialContext(b.Context(), "tcp", l.Addr().String())
	require.NoError(b, err)
	return conn
}
