package main

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/join"
	"github.com/corexalgo/ftpclient/internal/localfs"
	"github.com/corexalgo/ftpclient/internal/safepath"
)

// A level is a folder that both sides have.
type level struct {
	name  string // below the folders that are compared, which are "."
	whole bool   // the server's list of it could be read to the end
}

// listed is what the server's tree has, or an error about it.
type listed struct {
	ftpclient.Entry
	err error
}

// trees compares all that is below two folders, in lexical order.
func (c *comparison) trees(ctx context.Context) error {
	if info, err := os.Stat(c.local); err != nil {
		return err
	} else if !info.IsDir() {
		return &usageError{"with -r LOCAL is a folder"}
	}
	c.open = []level{{name: ".", whole: true}}
	var first error // that of the server's folder itself, if nothing comes after it
	began := false
	for p := range join.Trees(c.treeThere(ctx), c.treeHere(ctx), nil) {
		if ctx.Err() != nil {
			break
		}
		name := cmp.Or(p.Path, ".")
		if p.Left == nil {
			c.onlyHere(ctx, name, *p.Right)
			continue
		}
		if first != nil {
			c.row("not compared", ".", first.Error())
			first = nil
		}
		switch err := p.Left.err; {
		case err == nil:
			c.thereToo(ctx, name, p.Left.Entry)
		case name == "." && !began:
			first, c.open[0].whole = err, false
		default:
			c.unread(name, err)
		}
		began = true
	}
	return first
}

// treeThere is the server's tree. Errors are part of it, so that they come in their turn.
func (c *comparison) treeThere(ctx context.Context) iter.Seq[join.Item[listed]] {
	return func(yield func(join.Item[listed]) bool) {
		opts := &ftpclient.WalkOptions{Workers: c.conns, CoarseTimes: true}
		for e, err := range c.there.Walk(ctx, c.there.server, c.there.path, opts) {
			if !yield(join.Item[listed]{Path: c.below(e.Path), Value: listed{e, err}}) {
				return
			}
		}
	}
}

// treeHere is the local tree, with its errors.
func (c *comparison) treeHere(ctx context.Context) iter.Seq[join.Item[localfs.Entry]] {
	return func(yield func(join.Item[localfs.Entry]) bool) {
		for e := range localfs.Walk(ctx, c.local) {
			if !yield(join.Item[localfs.Entry]{Path: e.Path, Value: e}) {
				return
			}
		}
	}
}

// around is the folder that a name is in; nil where that is not on both sides, of which one row is enough.
func (c *comparison) around(name string) *level {
	for len(c.open) > 1 && !strings.HasPrefix(name, c.open[len(c.open)-1].name+"/") {
		c.open = c.open[:len(c.open)-1]
	}
	if in := &c.open[len(c.open)-1]; in.name == path.Dir(name) {
		return in
	}
	return nil
}

// unread tells of a folder on the server that cannot be read, or of which a row cannot: that one came before.
func (c *comparison) unread(name string, err error) {
	if at := &c.open[len(c.open)-1]; at.name == name {
		at.whole = false
	} else if c.around(name) == nil {
		return
	}
	c.row("not compared", name, err.Error())
}

// thereToo compares what the server has with what is here.
func (c *comparison) thereToo(ctx context.Context, name string, e ftpclient.Entry) {
	if c.around(name) == nil || safepath.IsOurs(e.Name) {
		return
	}
	local, err := c.here(name)
	switch {
	case err != nil:
		c.row("not compared", name, err.Error())
	case !exists(local) && c.leavesOut(name, e.Mode):
	case !e.IsDir():
		c.file(ctx, e.Path, local, name)
	default:
		c.folder(local, name)
	}
}

// folder compares a folder of the server with what is here.
func (c *comparison) folder(local, name string) {
	info, err := os.Stat(local)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c.row("missing here", name+"/", "")
	case err != nil:
		c.row("not compared", name+"/", err.Error())
	case !info.IsDir():
		c.row("type", name, "there it is a folder")
	default:
		c.open = append(c.open, level{name: name, whole: true})
	}
}

// onlyHere tells of what the server does not have, where that could be seen, and of what cannot be read here.
func (c *comparison) onlyHere(ctx context.Context, name string, e localfs.Entry) {
	if e.Err != nil {
		c.row("not compared", name, e.Err.Error())
		return
	}
	in := c.around(name)
	switch {
	case in == nil, !in.whole, safepath.IsOurs(path.Base(name)), c.leavesOut(name, e.Info.Mode()):
	case strings.HasPrefix(name, ".") || strings.Contains(name, "/."):
		c.unlisted(ctx, name, e.Info.IsDir())
	case e.Info.IsDir():
		c.row("missing there", name+"/", "")
	default:
		c.row("missing there", name, "")
	}
}

// unlisted asks for a name that the server did not list: many list none that begins with a dot.
func (c *comparison) unlisted(ctx context.Context, name string, isDir bool) {
	remote := path.Join(c.there.path, name)
	if !isDir {
		c.file(ctx, remote, filepath.Join(c.local, filepath.FromSlash(name)), name)
		return
	}
	e, err := c.there.Stat(ctx, c.there.server, remote)
	switch {
	case ctx.Err() != nil:
	case errors.Is(err, fs.ErrNotExist):
		c.row("missing there", name+"/", "")
	case err != nil:
		c.row("not compared", name+"/", err.Error())
	case !e.IsDir():
		c.row("type", name+"/", "here it is a folder")
	default:
		c.open = append(c.open, level{name: name, whole: true})
	}
}

// leavesOut tells whether a copy of the tree lacks what is on one side only: links and special files are not transferred.
func (c *comparison) leavesOut(name string, mode fs.FileMode) bool {
	what := "special file"
	switch {
	case mode&fs.ModeSymlink != 0:
		what = "symbolic link"
	case mode.Type()&^(fs.ModeDir|fs.ModeIrregular) == 0:
		return false
	}
	c.tool.note("skipped: %s: %s", name, what)
	return true
}

// below is a remote path's name below the folder that is compared, which is "".
func (c *comparison) below(remote string) string {
	root := path.Clean(c.there.path)
	if remote == c.there.path || remote == root {
		return ""
	}
	if root == "." {
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
