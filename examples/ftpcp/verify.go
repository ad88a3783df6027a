package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/safepath"
)

// verifyFlags are the flags of verify.
type verifyFlags struct {
	best, hash, readBack bool
	recursive            bool
}

func prepareVerify(flags *flag.FlagSet) action {
	var f verifyFlags
	flags.BoolVar(&f.best, "best", false, "compare digests where the server computes any, else sizes")
	flags.BoolVar(&f.hash, "hash", false, "compare digests; a server without them is a failure")
	flags.BoolVar(&f.readBack, "readback", false, "compare contents, by moving them here once more")
	flags.BoolVar(&f.recursive, "r", false, "compare all files below two folders")
	return func(ctx context.Context, t *tool, args []string) error {
		mode, err := f.mode()
		if err != nil {
			return err
		}
		there, err := t.connect(args[0], 0)
		if err != nil {
			return err
		}
		defer there.Close() //nolint:errcheck // always nil
		if err := localPath(args[1]); err != nil {
			return err
		}
		c := &comparison{tool: t, there: there, local: args[1], mode: mode, table: tabwriter.NewWriter(t.stdout, 0, 0, 2, ' ', 0)}
		if f.recursive {
			err = c.trees(ctx)
		} else {
			err = c.single(ctx)
		}
		if err := errors.Join(err, c.table.Flush()); err != nil {
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

// A comparison prints a row for each thing that is not the same on both sides.
type comparison struct {
	tool  *tool
	there *place
	local string
	mode  ftpclient.VerifyMode
	table *tabwriter.Writer

	equal, different int
	proofs           map[string]int // how often files were found equal by what
}

// row tells of one difference. The table keeps the writer's error for its Flush.
func (c *comparison) row(what, name, detail string) {
	c.different++
	_, _ = io.WriteString(c.table, strings.TrimRight(what+"\t"+printable(name)+"\t"+printable(detail), "\t")+"\n")
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
	if exists(local) {
		return c.file(ctx, c.there.path, local, c.there.base())
	}
	switch there, err := c.there.Exists(ctx, c.there.server, c.there.path); {
	case err != nil:
		return err
	case there:
		c.row("missing here", c.there.base(), "")
	default:
		c.row("missing on both sides", c.there.base(), "")
	}
	return nil
}

// file compares one file. Its error ends all; what concerns this file alone is a row.
func (c *comparison) file(ctx context.Context, remote, local, name string) error {
	if info, err := os.Stat(local); errors.Is(err, fs.ErrNotExist) {
		c.row("missing here", name, "")
		return nil
	} else if err == nil && info.IsDir() {
		c.row("type", name, "here it is a folder")
		return nil
	}
	proof, err := c.there.Verify(ctx, c.there.server, remote, local, c.mode)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, fs.ErrNotExist):
		c.row("missing there", name, "")
	case errors.Is(err, ftpclient.ErrMismatch) && proof.Local != proof.Remote:
		what := "size"
		if proof.Algorithm != "" {
			what = "digest"
		}
		c.row(what, name, strings.TrimLeft(fmt.Sprintf("%s here %s, there %s", proof.Algorithm, proof.Local, proof.Remote), " "))
	case err != nil:
		c.row("not compared", name, err.Error())
	case proof.Method == ftpclient.VerifiedNone:
		c.row("not compared", name, "the server tells no size")
	default:
		c.equal++
		if c.proofs == nil {
			c.proofs = map[string]int{}
		}
		c.proofs[proof.String()]++
	}
	return nil
}

// trees compares all that is below two folders, in the order of the server's, and then what is only here.
func (c *comparison) trees(ctx context.Context) error {
	if info, err := os.Stat(c.local); err != nil {
		return err
	} else if !info.IsDir() {
		return &usageError{"with -r LOCAL is a folder"}
	}
	seen := map[string]bool{".": true} // the names that are there; true: a folder of which all could be read
	missing := ""                      // a folder that is not here, of which one row is enough
	var first error                    // that of the folder itself, if nothing comes after it, and else that of a row in it
	for e, err := range c.there.Walk(ctx, c.there.server, c.there.path, nil) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if first != nil {
			c.row("not compared", ".", first.Error())
			first = nil
		}
		name := cmp.Or(c.below(e.Path), ".")
		if err != nil {
			if name == "." && len(seen) == 1 && seen["."] {
				first = err
			} else {
				c.row("not compared", name, err.Error())
			}
			seen[name] = false
			continue
		}
		if safepath.IsOurs(e.Name) || (missing != "" && strings.HasPrefix(name, missing)) {
			continue
		}
		seen[name] = e.IsDir()
		local, err := c.here(name)
		switch {
		case err != nil:
			c.row("not compared", name, err.Error())
		case !exists(local) && c.leavesOut(name, e.Mode):
		case !e.IsDir():
			if err := c.file(ctx, e.Path, local, name); err != nil {
				return err
			}
		default:
			if info, err := os.Stat(local); err != nil {
				missing = name + "/"
				c.row("missing here", missing, "")
			} else if !info.IsDir() {
				missing = name + "/"
				c.row("type", name, "there it is a folder")
			}
		}
	}
	if first != nil {
		return first
	}
	return c.onlyHere(ctx, seen)
}

// onlyHere tells of what the server does not have, where it could be seen.
func (c *comparison) onlyHere(ctx context.Context, seen map[string]bool) error {
	return filepath.WalkDir(c.local, func(file string, d fs.DirEntry, err error) error {
		rel, rerr := filepath.Rel(c.local, file)
		name := filepath.ToSlash(rel)
		_, there := seen[name]
		switch {
		case rerr != nil:
			return rerr
		case err != nil:
			c.row("not compared", name, err.Error())
			return nil
		case there || !seen[path.Dir(name)] || safepath.IsOurs(d.Name()): // in a folder of which part was not read it may be there
			return nil
		case c.leavesOut(name, d.Type()):
			return nil
		case strings.HasPrefix(name, ".") || strings.Contains(name, "/."):
			seen[name] = d.IsDir()
			return c.unlisted(ctx, file, name, d.IsDir())
		case d.IsDir():
			c.row("missing there", name+"/", "")
			return fs.SkipDir
		}
		c.row("missing there", name, "")
		return nil
	})
}

// unlisted asks for a name that the server did not list: many list none that begins with a dot.
func (c *comparison) unlisted(ctx context.Context, local, name string, isDir bool) error {
	remote := path.Join(c.there.path, name)
	if !isDir {
		return c.file(ctx, remote, local, name)
	}
	e, err := c.there.Stat(ctx, c.there.server, remote)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, fs.ErrNotExist):
		c.row("missing there", name+"/", "")
	case err != nil:
		c.row("not compared", name+"/", err.Error())
	case !e.IsDir():
		c.row("type", name+"/", "here it is a folder")
	default:
		return nil
	}
	return fs.SkipDir
}

// leavesOut tells whether a copy of the tree lacks what is on one side only: links and special files are not transferred.
func (c *comparison) leavesOut(name string, mode fs.FileMode) bool {
	switch {
	case mode&fs.ModeSymlink != 0:
		c.tool.note("skipped: %s: symbolic link", name)
	case mode.Type()&^(fs.ModeDir|fs.ModeIrregular) != 0:
		c.tool.note("skipped: %s: special file", name)
	default:
		return false
	}
	return true
}

func exists(local string) bool {
	_, err := os.Stat(local)
	return !errors.Is(err, fs.ErrNotExist)
}

// below is a remote path's name below the folder that is compared.
func (c *comparison) below(remote string) string {
	root := path.Clean(c.there.path)
	if root == "." || root == "" {
		return strings.TrimPrefix(remote, "./")
	}
	return strings.TrimPrefix(strings.TrimPrefix(remote, root), "/")
}

// here is where a name below the server's folder is to be found here, if it can be the name of a local file at all.
func (c *comparison) here(name string) (string, error) {
	for _, element := range strings.Split(name, "/") {
		if err := safepath.CheckLocal(element); err != nil {
			return "", err
		}
	}
	return filepath.Join(c.local, filepath.FromSlash(name)), nil
}
