//go:build unix

package remotepart

import (
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/corexalgo/ftpclient/internal/partfile"
)

// scheme tells those apart that lock in different ways.
const scheme = "ranges"

// All targets of a folder are locked in one file, each by a byte of its own, wherever it is: a file for each would have to be
// made and removed for each upload, which costs as much as a small upload itself.
const locksFile = "locks"

// A guard is a folder's file of locks. It is never closed while there may be a lock in it: to close any descriptor of a file is
// to lose all locks that the process has there.
type guard struct {
	id   string
	file *os.File
	info fs.FileInfo
}

var guards struct {
	sync.Mutex
	all  []*guard
	held map[[32]byte]struct{} // targets: the process is not locked out by its own locks
}

// lockIn locks the target of that name without waiting, and returns the folder's identity.
func lockIn(dir string, name [32]byte) (id string, release func(), err error) {
	guards.Lock()
	_, taken := guards.held[name]
	if !taken {
		if guards.held == nil {
			guards.held = map[[32]byte]struct{}{}
		}
		guards.held[name] = struct{}{}
	}
	guards.Unlock()
	if taken {
		return "", nil, partfile.ErrInUse
	}
	forget := func() {
		guards.Lock()
		defer guards.Unlock()
		delete(guards.held, name)
	}
	g, err := guardOf(dir)
	if err == nil {
		err = g.set(syscall.F_WRLCK, name)
	}
	if err != nil {
		forget()
		return "", nil, err
	}
	return g.id, func() {
		_ = g.set(syscall.F_UNLCK, name) // nothing else is to be done about it, and it goes with the process
		forget()
	}, nil
}

// guardOf finds the guard by what is in the folder now, so that one that was removed is not locked any more.
func guardOf(dir string) (*guard, error) {
	path := filepath.Join(dir, locksFile)
	if g := known(path); g != nil {
		return g, nil
	}
	opening.Lock() // to be opened a second time it would have to be closed
	defer opening.Unlock()
	if g := known(path); g != nil {
		return g, nil
	}
	root, id, err := openFolder(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	file, err := root.OpenFile(locksFile, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	g := &guard{id: id, file: file}
	if g.info, err = file.Stat(); err == nil {
		var named fs.FileInfo
		if named, err = root.Lstat(locksFile); err == nil && (!named.Mode().IsRegular() || !os.SameFile(g.info, named)) {
			err = &fs.PathError{Op: "lock", Path: path, Err: errors.New("is not the regular file that was opened")}
		}
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	guards.Lock()
	defer guards.Unlock()
	guards.all = append(guards.all, g)
	return g, nil
}

var opening sync.Mutex

func known(path string) *guard {
	info, err := os.Lstat(path)
	if err != nil {
		return nil
	}
	guards.Lock()
	defer guards.Unlock()
	for _, g := range guards.all {
		if os.SameFile(g.info, info) {
			return g
		}
	}
	return nil
}

// set locks or unlocks the byte of a target: ErrInUse if another process has it.
func (g *guard) set(how int16, name [32]byte) error {
	at := syscall.Flock_t{
		Type:   how,
		Whence: io.SeekStart,
		Start:  int64(binary.BigEndian.Uint64(name[:]) >> 2), //nolint:gosec // 62 bits
		Len:    1,
	}
	err := syscall.FcntlFlock(g.file.Fd(), syscall.F_SETLK, &at)
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) {
		return partfile.ErrInUse
	}
	return os.NewSyscallError("fcntl", err)
}
