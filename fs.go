package ftpclient

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"path"
	"time"

	"github.com/corexalgo/ftpclient/internal/remotefs"
	"github.com/corexalgo/ftpclient/internal/session"
)

// FS is the tree below root as an fs.FS, for fs.WalkDir, http.FS, template.ParseFS and their like. It also implements
// fs.StatFS, fs.ReadDirFS, fs.ReadFileFS and fs.SubFS. Its files are of type *File, and directories can be read in pieces.
// All it does ends with ctx. It does no I/O before it is used; a root that does not exist shows then.
func (c *Client) FS(ctx context.Context, server, root string) fs.FS {
	return &tree{ctx: ctx, c: c, server: server, root: root}
}

type tree struct {
	ctx    context.Context //nolint:containedctx // fs.FS has no place for it
	c      *Client
	server string
	root   string
}

var (
	_ fs.StatFS     = (*tree)(nil)
	_ fs.ReadDirFS  = (*tree)(nil)
	_ fs.ReadFileFS = (*tree)(nil)
	_ fs.SubFS      = (*tree)(nil)
)

// at is the remote path of name, "" and "." both being the root.
func (t *tree) at(op, name string) (string, error) {
	switch {
	case !fs.ValidPath(name):
		return "", pathError(op, name, fs.ErrInvalid)
	case name == ".":
		return t.root, nil
	}
	return remotefs.Below(t.root) + name, nil
}

func pathError(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// stat finds the Entry of name, and its remote path.
func (t *tree) stat(op, name string) (Entry, string, error) {
	remote, err := t.at(op, name)
	if err != nil {
		return Entry{}, "", err
	}
	var entry Entry
	err = t.c.repeat(t.ctx, op, t.server, remote, func(ctx context.Context, s *session.Session) error {
		e, err := remotefs.StatAsListed(ctx, s, remote)
		entry = Entry(e)
		return err
	})
	entry.Name = path.Base(name)
	return entry, remote, pathError(op, name, err)
}

func (t *tree) Stat(name string) (fs.FileInfo, error) {
	entry, _, err := t.stat("stat", name)
	if err != nil {
		return nil, err
	}
	return fileInfo{entry}, nil
}

func (t *tree) Open(name string) (fs.File, error) {
	entry, remote, err := t.stat("open", name)
	if err != nil {
		return nil, err
	}
	if entry.IsDir() {
		return &dirFile{tree: t, name: name, entry: entry}, nil
	}
	f, err := t.c.open(t.ctx, t.server, remote, entry)
	if err != nil {
		return nil, pathError("open", name, err)
	}
	return f, nil
}

func (t *tree) ReadDir(name string) ([]fs.DirEntry, error) {
	remote, err := t.at("readdir", name)
	if err != nil {
		return nil, err
	}
	entries, err := t.c.List(t.ctx, t.server, remote)
	list := make([]fs.DirEntry, len(entries))
	for i, e := range entries {
		list[i] = fs.FileInfoToDirEntry(fileInfo{e})
	}
	return list, pathError("readdir", name, err)
}

func (t *tree) ReadFile(name string) ([]byte, error) {
	remote, err := t.at("read", name)
	if err != nil {
		return nil, err
	}
	b := bytes.NewBuffer([]byte{}) // an empty file is no nil slice
	if _, err := t.c.DownloadTo(t.ctx, t.server, remote, b, nil); err != nil {
		return nil, pathError("read", name, err)
	}
	return b.Bytes(), nil
}

func (t *tree) Sub(dir string) (fs.FS, error) {
	remote, err := t.at("sub", dir)
	if err != nil {
		return nil, err
	}
	sub := *t
	sub.root = remote
	return &sub, nil
}

// A dirFile is an open directory. It holds no connection.
type dirFile struct {
	tree   *tree
	name   string
	entry  Entry
	list   []fs.DirEntry // what ReadDir has not returned yet
	err    error         // to follow it
	listed bool
	closed bool
}

var _ fs.ReadDirFile = (*dirFile)(nil)

func (d *dirFile) check(op string) error {
	if d.closed {
		return pathError(op, d.name, fs.ErrClosed)
	}
	return nil
}

func (d *dirFile) Stat() (fs.FileInfo, error) {
	if err := d.check("stat"); err != nil {
		return nil, err
	}
	return fileInfo{d.entry}, nil
}

func (d *dirFile) Read([]byte) (int, error) {
	if err := d.check("read"); err != nil {
		return 0, err
	}
	return 0, pathError("read", d.name, errIsDir)
}

func (d *dirFile) Close() error {
	err := d.check("close")
	d.closed = true
	return err
}

func (d *dirFile) ReadDir(n int) ([]fs.DirEntry, error) {
	if err := d.check("readdir"); err != nil {
		return nil, err
	}
	if !d.listed {
		d.list, d.err = d.tree.ReadDir(d.name)
		d.listed = true
	}
	if n <= 0 {
		list, err := d.list, d.err
		d.list, d.err = nil, nil
		return list, err
	}
	if len(d.list) == 0 {
		err := d.err
		if d.err = nil; err == nil {
			err = io.EOF
		}
		return nil, err
	}
	n = min(n, len(d.list))
	list := d.list[:n:n]
	d.list = d.list[n:]
	return list, nil
}

// fileInfo is an Entry as an fs.FileInfo. Its Sys is the Entry.
type fileInfo struct{ entry Entry }

func (i fileInfo) Name() string       { return i.entry.Name }
func (i fileInfo) Size() int64        { return max(0, i.entry.Size) }
func (i fileInfo) Mode() fs.FileMode  { return i.entry.Mode }
func (i fileInfo) ModTime() time.Time { return i.entry.ModTime }
func (i fileInfo) IsDir() bool        { return i.entry.IsDir() }
func (i fileInfo) Sys() any           { return i.entry }
