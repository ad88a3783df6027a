// Batch fetches all that is below a remote folder, several files at a time. It tells of each file as it arrives, and lists
// what failed at the end. Run again, it fetches only what is new, changed or unfinished.
//
//	FTP_PASSWORD=… go run ./examples/batch ftpes://joe@ftp.example.com/reports ./reports
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"

	"github.com/corexalgo/ftpclient"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: batch URL FOLDER")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := fetch(ctx, os.Args[1], os.Args[2], os.Stdout)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

func fetch(ctx context.Context, url, folder string, out io.Writer) error {
	server, dir, err := ftpclient.ParseURL(url)
	if err != nil {
		return err
	}
	if server.Password == "" && server.Username != "" {
		server.PasswordEnv = "FTP_PASSWORD"
	}
	client, err := ftpclient.New(ftpclient.Config{Servers: map[string]ftpclient.ServerConfig{"reports": server}})
	if err != nil {
		return err
	}
	defer client.Close() //nolint:errcheck // always nil

	result, err := client.DownloadDir(ctx, "reports", dir, folder, &ftpclient.BatchOptions{
		TransferOptions: ftpclient.TransferOptions{
			Existing: ftpclient.SkipSame, // the same size and time
			Resume:   true,
		},
		OnFile: func(e ftpclient.FileEvent) { // one call at a time, whatever the number of workers
			switch {
			case !e.Done:
			case e.Err != nil:
				say(out, "%4d failed   %s", e.Index, e.Job.Remote)
			case e.Result.Skipped:
				say(out, "%4d skipped  %s: %s", e.Index, e.Job.Remote, e.Result.SkipReason)
			default:
				say(out, "%4d fetched  %s: %d bytes", e.Index, e.Job.Remote, e.Result.Bytes)
			}
		},
	})
	for _, f := range result.Failures { // each file's failure stops nothing but that file
		say(out, "%s: %v", f.Job.Local, f.Err)
	}
	say(out, "%d fetched, %d skipped, %d failed in %.1f s", result.Succeeded, result.Skipped, result.Failed, result.Elapsed.Seconds())
	return err
}

func say(out io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(out, format+"\n", args...) // the files are what matters
}
