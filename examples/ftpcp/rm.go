package main

import (
	"context"
	"flag"
)

func prepareRemove(*flag.FlagSet) action {
	return func(ctx context.Context, t *tool, args []string) error {
		target, err := t.connect(args[0])
		if err != nil {
			return err
		}
		defer target.Close() //nolint:errcheck // always nil
		return target.Remove(ctx, target.server, target.path)
	}
}
