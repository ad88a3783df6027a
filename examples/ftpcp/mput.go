package main

import (
	"context"
	"flag"
)

func preparePutTree(flags *flag.FlagSet) action {
	var f treeFlags
	f.register(flags)
	return func(ctx context.Context, t *tool, args []string) error {
		if err := localPath(args[0]); err != nil {
			return err
		}
		to, err := t.connectMany(args[1], f.workers)
		if err != nil {
			return err
		}
		defer to.Close() //nolint:errcheck // always nil
		r := &report{tool: t, target: to.shown(), goesOn: "the same command with -resume -update goes on"}
		result, err := to.UploadDir(ctx, to.server, args[0], to.path, f.options(r))
		return r.conclude(ctx, result, err)
	}
}
