// Copy copies files from one server to another, through this process and never through its disk. Both servers are named in
// a configuration file.
//
//	go run ./examples/copy servers.yaml old new dumps/monday.tar.gz dumps/tuesday.tar.gz
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"

	"github.com/corexalgo/ftpclient"
)

func main() {
	if len(os.Args) < 5 {
		log.Fatal("usage: copy CONFIG FROM-SERVER TO-SERVER PATH...")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := copyAll(ctx, os.Args[1], os.Args[2], os.Args[3], os.Args[4:])
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

// copyAll gives each file the same path on the other server.
func copyAll(ctx context.Context, config, from, to string, paths []string) error {
	cfg, err := ftpclient.LoadConfig(config)
	if err != nil {
		return err
	}
	client, err := ftpclient.New(cfg)
	if err != nil {
		return err
	}
	defer client.Close() //nolint:errcheck // always nil

	opts := &ftpclient.TransferOptions{
		Resume:       true,
		PreserveTime: true,
		Verify:       ftpclient.VerifyBest, // a digest where the target has any, else the size
		Progress:     ftpclient.NewProgressBar(os.Stderr),
	}
	var failures []error
	for _, path := range paths {
		result, err := client.Copy(ctx, from, path, to, path, opts)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", path, err))
			continue
		}
		log.Printf("%s: %d bytes, checked: %s", path, result.Bytes, result.Verification)
	}
	return errors.Join(failures...)
}
