package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"time"

	"github.com/corexalgo/ftpclient"
)

func prepareList(flags *flag.FlagSet) action {
	long := flags.Bool("l", false, "print type, size and time (UTC) too")
	return func(ctx context.Context, t *tool, args []string) error {
		dir, err := t.connect(args[0])
		if err != nil {
			return err
		}
		defer dir.Close() //nolint:errcheck // always nil
		// What could be read is printed, whatever the error.
		entries, err := dir.List(ctx, dir.server, dir.path)
		if err != nil && len(entries) == 0 && !dir.isFolder() { // a file, or nothing at all
			e, serr := dir.Stat(ctx, dir.server, dir.path)
			switch {
			case errors.Is(serr, fs.ErrNotExist):
				err = serr
			case serr == nil && !e.IsDir():
				entries, err = []ftpclient.Entry{e}, nil
			}
		}
		out := bufio.NewWriter(t.stdout)
		for _, e := range entries {
			printEntry(out, e, *long)
		}
		return errors.Join(err, out.Flush())
	}
}

// printEntry leaves errors to the writer's Flush.
func printEntry(w io.Writer, e ftpclient.Entry, long bool) {
	name := printable(e.Name)
	if !long {
		_, _ = fmt.Fprintln(w, name)
		return
	}
	size, when := "-", "-"
	if e.Size >= 0 && !e.IsDir() {
		size = strconv.FormatInt(e.Size, 10)
	}
	if !e.ModTime.IsZero() {
		when = e.ModTime.Format(time.DateTime)
	}
	if e.Target != "" {
		name += " -> " + printable(e.Target)
	}
	_, _ = fmt.Fprintf(w, "%s %14s  %-19s  %s\n", e.Mode, size, when, name)
}
