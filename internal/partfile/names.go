package partfile

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// nameKey keeps the locks of two long names apart whose hidden names are cut to the same beginning. It is blind to case,
// as file systems may be: where "A" and "a" are one file they need one lock.
func nameKey(name string) string { return key(strings.ToLower(name)) }

// sourceKey keeps apart the partials of two sources for one target.
func sourceKey(name string, src Source) string {
	return key(strings.ToLower(name), src.Server, src.User, src.Path)
}

func key(parts ...string) string { return fingerprint(parts...)[:16] }

// fingerprint is a SHA-256 over parts, none of which holds a NUL in practice; lengths keep them apart if one does.
func fingerprint(parts ...string) string {
	var text []byte
	for _, p := range parts {
		text = append(strconv.AppendInt(text, int64(len(p)), 10), ':')
		text = append(text, p...)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// regular is Lstat of a name that must be a regular file: a directory or link under a hidden name was not put there by us.
func (f *File) regular(name string) (fs.FileInfo, error) { return regular(f.dir, name) }

func regular(dir *os.Root, name string) (fs.FileInfo, error) {
	info, err := dir.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errNotRegular}
	}
	return info, nil
}

var (
	errNotRegular = errors.New("not a regular file")
	errReplaced   = errors.New("replaced while it was opened")
)

// openRegular opens a regular file that exists. An os.Root follows links that stay inside it, so what was opened is
// compared with what was looked at.
func openRegular(dir *os.Root, name string, flag int) (*os.File, error) {
	info, err := regular(dir, name)
	if err != nil {
		return nil, err
	}
	file, err := dir.OpenFile(name, flag, 0)
	if err != nil {
		return nil, err
	}
	opened, err := file.Stat()
	if err == nil && !os.SameFile(info, opened) {
		err = &fs.PathError{Op: "open", Path: name, Err: errReplaced}
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// remove removes a regular file, if there is one.
func (f *File) remove(name string) (existed bool, err error) {
	_, err = f.regular(name)
	if err == nil {
		err = f.dir.Remove(name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func (f *File) exists(name string) bool {
	_, err := f.dir.Lstat(name)
	return err == nil
}

// syncDir makes the directory's names durable. Windows has no such call, and some file systems refuse it on a directory.
func (f *File) syncDir() error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := f.dir.Open(".")
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		err = nil
	}
	return errors.Join(err, d.Close())
}
