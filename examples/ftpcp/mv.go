package main

import (
	"context"
	"flag"
	"strings"
)

func prepareMove(*flag.FlagSet) action {
	return func(ctx context.Context, t *tool, args []string) error {
		from, err := t.connect(args[0], 0)
		if err != nil {
			return err
		}
		defer from.Close() //nolint:errcheck // always nil
		if args[1] == "" || strings.Contains(args[1], "://") {
			return &usageError{"PATH is the new path on the same server, not a URL"}
		}
		return from.Rename(ctx, from.server, from.path, args[1])
	}
}
