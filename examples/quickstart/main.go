// Quickstart shows what the library does, against a server of its own: nothing has to be installed or set up, and nothing
// is left behind.
//
//	go run ./examples/quickstart
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout, 64<<20, 32<<20) // slow enough to watch
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// A demo is what its steps share.
type demo struct {
	out    io.Writer
	server *ftptest.Server
	client *ftpclient.Client
	dir    string // ours, temporary
	source string // the local file that everything is about
	size   int64
	sha256 string
}

// run plays all steps with a file of size bytes, over a line of rate bytes a second, and cleans up.
func run(ctx context.Context, out io.Writer, size, rate int64) (err error) {
	d := &demo{out: out, size: size}
	d.server, err = ftptest.New(ftptest.Options{TLS: ftptest.Explicit})
	if err != nil {
		return fmt.Errorf("start the server: %w", err)
	}
	defer func() { err = errors.Join(err, d.server.Close()) }()
	if d.dir, err = os.MkdirTemp("", "quickstart-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(d.dir)) }()
	if err := d.connect(ctx, rate); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() { err = errors.Join(err, d.client.Close()) }()

	for i, step := range []struct {
		title string
		play  func(context.Context) error
	}{
		{fmt.Sprintf("Upload a file of %s", megabytes(size)), d.upload},
		{"Download it, while the server cuts the connection on purpose", d.downloadOverABrokenLine},
		{"Download it again, cancel the call half way, and resume", d.cancelAndResume},
		{"Verify what arrived", d.verify},
		{"List the server's folders", d.list},
		{fmt.Sprintf("Download a folder of %d small files, over several connections", smallFiles), d.downloadFolder},
	} {
		d.say("\n%d. %s", i+1, step.title)
		if err := step.play(ctx); err != nil {
			return fmt.Errorf("step %d: %w", i+1, err)
		}
	}
	d.say("\nAll of it worked. The server stops now, and the temporary folders are removed.")
	return nil
}

// connect makes the Client, limited to rate, and says hello.
func (d *demo) connect(ctx context.Context, rate int64) (err error) {
	d.client, err = ftpclient.New(ftpclient.Config{
		Servers: map[string]ftpclient.ServerConfig{
			"demo": {
				Host: d.server.Host(), Port: d.server.Port(),
				Username: d.server.User(), Password: ftpclient.Secret(d.server.Password()),
				TLS: ftpclient.TLSExplicit, TLSConfig: &tls.Config{RootCAs: d.server.CertPool(), MinVersion: tls.VersionTLS12},
				BytesPerSecond: rate,
			},
		},
		Retry: ftpclient.RetryPolicy{Delay: 500 * time.Millisecond},
	})
	if err != nil {
		return err
	}
	if err := d.client.Ping(ctx, "demo"); err != nil {
		return errors.Join(err, d.client.Close())
	}
	d.say("An FTP server with TLS runs inside this program, at %s.", d.server.Addr())
	return nil
}

// say prints a line.
func (d *demo) say(format string, args ...any) {
	_, _ = fmt.Fprintf(d.out, format+"\n", args...) // a demonstration that nobody can read is no failure
}

// megabytes is n as progress bars show it: 1 MB is 1,000,000 bytes.
func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
