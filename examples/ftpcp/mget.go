package main

import (
	"context"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path"

	"github.com/corexalgo/ftpclient"
)

func prepareGetTree(flags *flag.FlagSet) action {
	var f treeFlags
	f.register(flags)
	sums := flags.String("sums", "", "prove files by the digests in this `file`, such as SHA256SUMS: a local one, or else one in URLDIR")
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
		if *sums != "" {
			if opts.Checksums, err = from.checksums(ctx, *sums); err != nil {
				return err
			}
		}
		opts.PreserveTime = true // which costs nothing here, and lets -update recognise what is there
		result, err := from.DownloadDir(ctx, from.server, from.path, args[1], opts)
		return r.conclude(ctx, result, err)
	}
}

// checksums reads a file of digests of what is below the folder.
func (p *place) checksums(ctx context.Context, name string) (ftpclient.Checksums, error) {
	file, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return p.LoadChecksums(ctx, p.server, path.Join(p.path, name))
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	sums, err := ftpclient.LoadChecksums(file)
	return sums.In(p.path), err
}
