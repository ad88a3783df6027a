// Nightly mirrors folders to and from FTP servers, for cron. What it does is in a file, nightly.yaml, and the servers are in
// another one, servers.yaml.
//
//	go run ./examples/nightly [-n] examples/nightly/nightly.yaml
//
// With -n it prints what it would do. It logs to the standard error, a line for each mirror and one for each failure. The
// exit status is 0 if all was done, 1 after a failure, 2 if it could not begin. A mirror that fails stops none of the others,
// and a run that is broken off goes on where it was in the next one.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/corexalgo/ftpclient"
)

func main() {
	dry := flag.Bool("n", false, "print what would be done, and do nothing")
	flag.Parse()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if flag.NArg() != 1 {
		log.Error("usage: nightly [-n] CONFIG")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, log, os.Stdout, flag.Arg(0), *dry)
	stop()
	os.Exit(status)
}

// run does all mirrors. It returns the exit status.
func run(ctx context.Context, log *slog.Logger, out io.Writer, path string, dry bool) int {
	cfg, mirrors, err := load(path)
	if err != nil {
		log.Error("the configuration cannot be read", "err", err)
		return 2
	}
	cfg.Logger = log
	client, err := ftpclient.New(cfg)
	if err != nil {
		log.Error("the configuration is wrong", "err", err)
		return 2
	}
	defer client.Close() //nolint:errcheck // always nil

	status := 0
	for _, m := range mirrors {
		log := log.With("server", m.Server, "remote", m.Remote, "local", m.Local, "direction", m.Direction)
		plan, err := m.plan(ctx, client)
		switch {
		case err != nil:
			log.Error("no plan", "err", err)
		case dry:
			_, err = fmt.Fprintf(out, "%s %s, %s\n%s\n", m.Server, m.Remote, m.Local, plan)
		default:
			err = apply(ctx, log, client, plan)
		}
		if err != nil {
			status = 1
		}
	}
	return status
}

func (m mirror) plan(ctx context.Context, client *ftpclient.Client) (*ftpclient.Plan, error) {
	return client.PlanMirror(ctx, m.Server, m.Remote, m.Local, &ftpclient.MirrorOptions{
		Direction: m.Direction, Include: m.Include, Exclude: m.Exclude, Delete: m.Delete,
	})
}

func apply(ctx context.Context, log *slog.Logger, client *ftpclient.Client, plan *ftpclient.Plan) error {
	result, err := client.Apply(ctx, plan, &ftpclient.BatchOptions{
		TransferOptions: ftpclient.TransferOptions{Resume: true},
	})
	for _, f := range result.Failures {
		log.Error("failed", "path", f.Job.Remote, "err", f.Err)
	}
	log.Info("mirrored", "copied", result.Succeeded, "bytes", result.Bytes, "unchanged", plan.Unchanged,
		"deleted", result.Deleted, "skipped", result.Skipped, "failed", result.Failed, "elapsed", result.Elapsed)
	return err
}
