package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"golang.org/x/sync/errgroup"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/safepath"
)

// verifyFlags are the flags of verify.
type verifyFlags struct {
	best, hash, readBack bool
	recursive            bool
	workers              int
}

func prepareVerify(flags *flag.FlagSet) action {
	var f verifyFlags
	flags.BoolVar(&f.best, "best", false, "compare digests where the server computes any, else sizes")
	flags.BoolVar(&f.hash, "hash", false, "compare digests; a server without them is a failure")
	flags.BoolVar(&f.readBack, "readback", false, "compare contents, by moving them here once more")
	flags.BoolVar(&f.recursive, "r", false, "compare all files below two folders")
	flags.IntVar(&f.workers, "workers", 1, "with -r: compare `N` files at a time, over at most as many connections")
	return func(ctx context.Context, t *tool, args []string) error {
		mode, err := f.mode()
		if err != nil {
			return err
		}
		if f.workers < 1 {
			return &usageError{"-workers takes a number above 0"}
		}
		there, err := t.connect(args[0], f.workers)
		if err != nil {
			return err
		}
		defer there.Close() //nolint:errcheck // always nil
		if err := localPath(args[1]); err != nil {
			return err
		}
		c := newComparison(t, there, args[1], mode, f.workers)
		if f.recursive {
			err = c.trees(ctx)
		} else {
			err = c.single(ctx)
		}
		if err := errors.Join(err, c.finish(ctx)); err != nil {
			return err
		}
		return c.verdict()
	}
}

// mode is what the flags ask for: without any, sizes.
func (f verifyFlags) mode() (ftpclient.VerifyMode, error) {
	mode, asked := ftpclient.VerifySize, 0
	for _, choice := range []struct {
		on   bool
		mode ftpclient.VerifyMode
	}{{f.best, ftpclient.VerifyBest}, {f.hash, ftpclient.VerifyHash}, {f.readBack, ftpclient.VerifyReadBack}} {
		if choice.on {
			mode = choice.mode
			asked++
		}
	}
	if asked > 1 {
		return mode, &usageError{"-best, -hash and -readback exclude each other"}
	}
	return mode, nil
}

// A comparison prints a row for each thing that is not the same on both sides, in the order in which it was come to.
type comparison struct {
	tool  *tool
	there *place
	local string
	mode  ftpclient.VerifyMode
	conns int

	workers errgroup.Group   // they compare files
	turn    []<-chan finding // what is not printed yet
	open    []level          // folders of both sides on the way to where the trees are compared
	table   *tabwriter.Writer
	out     *bufio.Writer // that of the table; it keeps errors
	count   *counter      // of files that were compared

	equal, different int
	proofs           map[string]int // how often files were found equal by what
}

// A finding is what came of one thing that was compared.
type finding struct {
	what, name, detail string // a row; what is "" where there is none
	proof              string // that both sides are equal
}

const (
	ahead = 256 // findings at most that wait for an earlier one
	block = 256 // rows have columns of the same width, and are held for that
)

func newComparison(t *tool, there *place, local string, mode ftpclient.VerifyMode, conns int) *comparison {
	c := &comparison{
		tool: t, there: there, local: local, mode: mode, conns: conns,
		out: bufio.NewWriter(t.stdout), count: t.newCounter("compared", true), proofs: map[string]int{},
	}
	c.table = tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	c.workers.SetLimit(conns)
	return c
}

// row tells of one difference.
func (c *comparison) row(what, name, detail string) {
	found := make(chan finding, 1)
	found <- finding{what: what, name: name, detail: detail}
	c.tell(found)
}

// file compares one file, while others are compared.
func (c *comparison) file(ctx context.Context, remote, local, name string) {
	found := make(chan finding, 1)
	c.workers.Go(func() error {
		found <- c.compare(ctx, remote, local, name)
		c.count.add()
		return nil
	})
	c.tell(found)
}

// tell prints what is found in its turn.
func (c *comparison) tell(found <-chan finding) {
	c.turn = append(c.turn, found)
	for len(c.turn) > ahead || len(c.turn) > 0 && len(c.turn[0]) > 0 {
		c.print(<-c.turn[0])
		c.turn = c.turn[1:]
	}
}

// print leaves errors to finish.
func (c *comparison) print(f finding) {
	switch {
	case f.what != "":
		c.different++
		_, _ = io.WriteString(c.table, strings.TrimRight(f.what+"\t"+printable(f.name)+"\t"+printable(f.detail), "\t")+"\n")
		if c.different%block == 0 {
			_ = c.flush()
		}
	case f.proof != "":
		c.equal++
		c.proofs[f.proof]++
	}
}

// finish prints what is left.
func (c *comparison) finish(ctx context.Context) error {
	for _, found := range c.turn {
		c.print(<-found)
	}
	c.count.end()
	return cmp.Or(ctx.Err(), c.flush())
}

func (c *comparison) flush() (err error) {
	c.tool.over(func() { err = errors.Join(c.table.Flush(), c.out.Flush()) })
	return err
}

// verdict sums up. That anything differs is an error.
func (c *comparison) verdict() error {
	for proof, n := range c.proofs {
		c.tool.note("%d equal, checked: %s", n, proof)
	}
	if c.different > 0 {
		return fmt.Errorf("%d of %d differ or could not be compared", c.different, c.equal+c.different)
	}
	return nil
}

// single compares a file with a file.
func (c *comparison) single(ctx context.Context) error {
	if c.there.isFolder() {
		return &usageError{"the URL names no file; -r compares folders"}
	}
	local := c.local
	if isFolder(local) {
		if err := safepath.CheckLocal(c.there.base()); err != nil {
			return fmt.Errorf("LOCAL is a folder, but the file's name cannot be used here: %w", err)
		}
		local = filepath.Join(local, c.there.base())
	}
	name := c.there.base()
	if exists(local) && !isFolder(local) {
		c.file(ctx, c.there.path, local, name)
		return nil
	}
	switch e, err := c.there.Stat(ctx, c.there.server, c.there.path); {
	case errors.Is(err, fs.ErrNotExist) && exists(local):
		c.row("missing there", name, "")
	case errors.Is(err, fs.ErrNotExist):
		c.row("missing on both sides", name, "")
	case err != nil:
		return err
	case e.IsDir():
		return &usageError{"the URL is a directory; -r compares folders"}
	case exists(local):
		c.row("type", name, "here it is a folder")
	default:
		c.row("missing here", name, "")
	}
	return nil
}

// compare compares one file. Once ctx has ended there is nothing to say.
func (c *comparison) compare(ctx context.Context, remote, local, name string) finding {
	if info, err := os.Stat(local); errors.Is(err, fs.ErrNotExist) {
		return finding{what: "missing here", name: name}
	} else if err == nil && info.IsDir() {
		return finding{what: "type", name: name, detail: "here it is a folder"}
	}
	proof, err := c.there.Verify(ctx, c.there.server, remote, local, c.mode)
	switch {
	case ctx.Err() != nil:
		return finding{}
	case errors.Is(err, fs.ErrNotExist):
		return finding{what: "missing there", name: name}
	case errors.Is(err, ftpclient.ErrMismatch) && proof.Local != proof.Remote:
		what := "size"
		if proof.Algorithm != "" {
			what = "digest"
		}
		detail := strings.TrimLeft(fmt.Sprintf("%s here %s, there %s", proof.Algorithm, proof.Local, proof.Remote), " ")
		return finding{what: what, name: name, detail: detail}
	case err != nil:
		return finding{what: "not compared", name: name, detail: err.Error()}
	case proof.Method == ftpclient.VerifiedNone:
		return finding{what: "not compared", name: name, detail: "the server tells no size"}
	}
	return finding{proof: proof.String()}
}

func exists(local string) bool {
	_, err := os.Stat(local)
	return !errors.Is(err, fs.ErrNotExist)
}
