package main

import (
	"context"
	"flag"
)

func prepareRemove(flags *flag.FlagSet) action {
	recursive := flags.Bool("r", false, "remove a directory with all that is in it")
	return func(ctx context.Context, t *tool, args []string) error {
		target, err := t.connect(args[0], 0)
		if err != nil {
			return err
		}
		defer target.Close() //nolint:errcheck // always nil
		if *recursive {
			return target.RemoveAll(ctx, target.server, target.path)
		}
		return target.Remove(ctx, target.server, target.path)
	}
}
