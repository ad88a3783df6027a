// Package localfs walks local folders. It follows no link.
package localfs

import (
	"context"
	"io/fs"
	"iter"
	"path/filepath"
	"syscall"
)

// An Entry is a name below the folder, with slashes. Err, with Info or without, says what could not be read.
type Entry struct {
	Path string
	Info fs.FileInfo
	Err  error
}

// Walk yields all that is below dir, in lexical order, directories before what is in them. A folder that cannot be read
// comes with its error, after it came by itself; dir, whose Path is "", comes with an error only. What vanishes meanwhile is
// an error, too: it may be the whole disk. When ctx ends it just ends.
func Walk(ctx context.Context, dir string) iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		root := filepath.Clean(dir) + string(filepath.Separator) // which leads through a link to the folder
		// What stops it was yielded; there is no other error.
		_ = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
			if ctx.Err() != nil {
				return fs.SkipAll
			}
			rel, rerr := filepath.Rel(root, name)
			if rerr != nil {
				err = rerr
			}
			if err == nil && rel == "." && !d.IsDir() {
				err = &fs.PathError{Op: "walk", Path: dir, Err: syscall.ENOTDIR}
			}
			e := Entry{Path: filepath.ToSlash(rel), Err: err}
			if rel == "." {
				e.Path = ""
			}
			if err == nil && e.Path == "" {
				return nil
			}
			if err == nil {
				e.Info, e.Err = d.Info()
			}
			if !yield(e) {
				return fs.SkipAll
			}
			return nil
		})
	}
}
