package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path"
	"path/filepath"
)

func preparePut(flags *flag.FlagSet) action {
	var moving transferFlags
	moving.register(flags)
	return func(ctx context.Context, t *tool, args []string) error {
		to, err := t.connect(args[1], 0)
		if err != nil {
			return err
		}
		defer to.Close() //nolint:errcheck // always nil
		local := args[0]
		if err := localPath(local); err != nil {
			return err
		}
		if info, err := os.Stat(local); err == nil && info.IsDir() {
			return fmt.Errorf("%s is a folder; mput uploads folders", local)
		}
		remote := to.path
		if to.isFolder() {
			remote = path.Join(to.path, filepath.Base(local))
		}
		result, err := to.Upload(ctx, to.server, local, remote, moving.options(t))
		return t.conclude(ctx, remote, result, err)
	}
}
