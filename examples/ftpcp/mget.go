package main

import (
	"context"
	"flag"
)

func prepareGetTree(flags *flag.FlagSet) action {
	var f treeFlags
	f.register(flags)
	return func(ctx context.Context, t *tool, args []string) error {
		if err := localPath(args[1]); err != nil {
			return err
		}
		from, err := t.connectMany(args[0], f.workers)
		if err != nil {
			return err
		}
		defer from.Close() //nolint:errcheck // always nil
		r := &report{tool: t, target: args[1], goesOn: "the same command with -resume -update goes on"}
		opts := f.options(r)
		opts.PreserveTime = true // which costs nothing here, and lets -update recognise what is there
		result, err := from.DownloadDir(ctx, from.server, from.path, args[1], opts)
		return r.conclude(ctx, result, err)
	}
}
