package main

import (
	"context"
	"flag"
	"fmt"
	"path/filepath"

	"github.com/corexalgo/ftpclient/internal/safepath"
)

func prepareGet(flags *flag.FlagSet) action {
	var moving transferFlags
	moving.register(flags)
	segments := flags.Int("segments", 1, "fetch the file over up to `N` connections")
	return func(ctx context.Context, t *tool, args []string) error {
		if *segments < 1 {
			return &usageError{"-segments is less than 1"}
		}
		conns := 0
		if *segments > 1 {
			conns = *segments
		}
		from, err := t.connect(args[0], conns)
		if err != nil {
			return err
		}
		defer from.Close() //nolint:errcheck // always nil
		if err := localPath(args[1]); err != nil {
			return err
		}
		if from.isFolder() {
			return &usageError{"the URL names no file"}
		}
		local := args[1]
		if isFolder(local) {
			if err := safepath.CheckLocal(from.base()); err != nil {
				return fmt.Errorf("LOCAL is a folder, but the file's name cannot be used here; give it another one: %w", err)
			}
			local = filepath.Join(local, from.base())
		}
		opts := moving.options(t)
		opts.Segments = *segments
		result, err := from.Download(ctx, from.server, from.path, local, opts)
		return t.conclude(ctx, local, result, err)
	}
}
