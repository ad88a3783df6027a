package main

import (
	"context"
	"flag"
)

func prepareMkdir(*flag.FlagSet) action {
	return func(ctx context.Context, t *tool, args []string) error {
		dir, err := t.connect(args[0], 0)
		if err != nil {
			return err
		}
		defer dir.Close() //nolint:errcheck // always nil
		return dir.MkdirAll(ctx, dir.server, dir.path)
	}
}
