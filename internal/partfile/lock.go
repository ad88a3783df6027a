package partfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/gofrs/flock"
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
	file *flock.Flock
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
		err := l.create()
		if err != nil {
			return err
		}
		// Opened for writing, as NFS grants an exclusive lock on nothing less, and without O_CREATE, which follows a link.
		file := flock.New(l.path, flock.SetFlag(os.O_RDWR))
		ok, err := file.TryLock()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if !ok {
			return ErrInUse
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

func (l *lock) create() error {
	f, err := l.dir.OpenFile(l.name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		return f.Close()
	}
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	if _, err = regular(l.dir, l.name); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (l *lock) current(file *flock.Flock) (bool, error) {
	locked, err := file.Stat()
	if err != nil {
		return false, err
	}
	named, err := regular(l.dir, l.name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(locked, named), err
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
