package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"golang.org/x/term"

	"github.com/corexalgo/ftpclient"
)

// listFlags are the flags of ls.
type listFlags struct {
	long, recursive bool
	workers         int
}

func prepareList(flags *flag.FlagSet) action {
	var f listFlags
	flags.BoolVar(&f.long, "l", false, "print type, size and time (UTC) too")
	flags.BoolVar(&f.recursive, "r", false, "list everything below, by its path")
	flags.IntVar(&f.workers, "workers", 1, "with -r: read `N` directories at a time, over as many connections")
	return func(ctx context.Context, t *tool, args []string) error {
		if f.workers < 1 {
			return &usageError{"-workers takes a number above 0"}
		}
		dir, err := t.connect(args[0], f.workers)
		if err != nil {
			return err
		}
		defer dir.Close() //nolint:errcheck // always nil
		out := bufio.NewWriter(t.stdout)
		if f.recursive {
			err = f.tree(ctx, t, dir, out)
		} else {
			err = f.directory(ctx, dir, out)
		}
		return errors.Join(err, out.Flush())
	}
}

// directory lists one directory, or a file. What could be read is printed, whatever the error.
func (f listFlags) directory(ctx context.Context, dir *place, out io.Writer) error {
	entries, err := dir.List(ctx, dir.server, dir.path)
	if err != nil && len(entries) == 0 && !dir.isFolder() {
		if e, serr := dir.Stat(ctx, dir.server, dir.path); serr == nil && !e.IsDir() {
			entries, err = []ftpclient.Entry{e}, nil
		}
	}
	for _, e := range entries {
		f.print(out, e, e.Name)
	}
	return err
}

// tree lists all that is below a directory, and complains of each part that cannot be read.
func (f listFlags) tree(ctx context.Context, t *tool, dir *place, out io.Writer) error {
	faults := 0
	found := t.newCounter("entries", !isTerminal(t.stdout)) // where the list itself shows
	defer found.end()
	// Without -l no time is printed, and any will do.
	for e, err := range dir.Walk(ctx, dir.server, dir.path, &ftpclient.WalkOptions{Workers: f.workers, CoarseTimes: !f.long}) {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			t.complain(err)
			faults++
		default:
			f.print(out, e, e.Path)
			found.add()
		}
	}
	if faults > 0 {
		return fmt.Errorf("the list is incomplete: %s", count(faults, "error"))
	}
	return nil
}

// print leaves errors to the Flush of the writer.
func (f listFlags) print(w io.Writer, e ftpclient.Entry, name string) {
	name = printable(name)
	if !f.long {
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

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) //nolint:gosec // a file descriptor
}
