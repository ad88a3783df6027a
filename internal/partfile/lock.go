package partfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
)

// held has the locks of this process. The file lock alone would not do: on some systems it belongs to the process, not to
// the open file, and a second Open would get it as well.
var held = struct {
	sync.Mutex
	paths map[string]struct{}
}{paths: make(map[string]struct{})}

// A lock is held by one File; its file exists no longer than that.
type lock struct {
	dir  *os.Root
	name string
	path string
	file locked
	left bool // somebody else's file was there: a process may have been killed
}

// locked is the lock file, open and locked.
type locked interface {
	Stat() (fs.FileInfo, error)
	Unlock() error
}

// takeLock never waits.
func takeLock(dir *os.Root, name string) (*lock, error) {
	path, err := filepath.Abs(filepath.Join(dir.Name(), name))
	if err != nil {
		return nil, err
	}
	held.Lock()
	_, taken := held.paths[path]
	if !taken {
		held.paths[path] = struct{}{}
	}
	held.Unlock()
	if taken {
		return nil, ErrInUse
	}
	l := &lock{dir: dir, name: name, path: path}
	if err := l.take(); err != nil {
		l.forget()
		return nil, err
	}
	return l, nil
}

// take locks the lock file and makes sure that it still is the one under its name: its holder removes it on release, and
// a lock on a removed file keeps nobody out.
func (l *lock) take() error {
	for range 10 {
		opened, err := l.open()
		if errors.Is(err, errReplaced) {
			continue
		}
		if err != nil {
			return err
		}
		file, err := lockFile(opened, l.path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		same, err := l.current(file)
		if same {
			l.file = file
			return nil
		}
		if err = errors.Join(err, file.Unlock()); err != nil {
			return err
		}
	}
	return ErrInUse // others come and go faster than we can look
}

// open opens the lock file for writing, as NFS grants an exclusive lock on nothing less.
func (l *lock) open() (*os.File, error) {
	file, err := l.dir.OpenFile(l.name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		l.left = true
		if file, err = openRegular(l.dir, l.name, os.O_RDWR); errors.Is(err, fs.ErrNotExist) {
			err = errReplaced
		}
	}
	return file, err
}

func (l *lock) current(file locked) (bool, error) {
	mine, err := file.Stat()
	if err != nil {
		return false, err
	}
	named, err := regular(l.dir, l.name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(mine, named), err
}

// release removes the lock file and gives the lock up.
func (l *lock) release() error {
	defer l.forget()
	if runtime.GOOS == "windows" {
		// An open file cannot be removed there; one that somebody else has locked by now cannot either, and stays.
		err := l.file.Unlock()
		_ = l.dir.Remove(l.name)
		return err
	}
	// Removed while it is locked: afterwards the name may already be another holder's.
	err := l.dir.Remove(l.name)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, l.file.Unlock())
}

func (l *lock) forget() {
	held.Lock()
	defer held.Unlock()
	delete(held.paths, l.path)
}
