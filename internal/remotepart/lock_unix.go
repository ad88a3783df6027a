//go:build unix

package remotepart

import (
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sync/singleflight"

	"github.com/corexalgo/ftpclient/internal/partfile"
)

// scheme tells those apart that lock in different ways.
const scheme = "bytes"

// A guard is the file of a folder's identity. All targets are locked in it, each by a byte of its own, wherever the file ends: a
// file for each would have to be made and removed for each upload, which costs as much as a small upload itself. Who finds
// another identity has other names, so that nothing is lost with the folder. It is never closed: on some systems to close any
// descriptor of a file is to lose all locks that the process has there.
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

// guardOf finds the guard by what is in the folder now: one that was removed is not locked any more.
func guardOf(dir string) (*guard, error) {
	path := filepath.Join(dir, identityFile)
	if g := known(path); g != nil {
		return g, nil
	}
	// What is opened a second time would have to be closed.
	g, err, _ := opening.Do(path, func() (any, error) {
		if g := known(path); g != nil {
			return g, nil
		}
		return openGuard(dir, path)
	})
	if err != nil {
		return nil, err
	}
	return g.(*guard), nil //nolint:forcetypeassert // see above
}

var opening singleflight.Group

func openGuard(dir, path string) (*guard, error) {
	root, err := openFolder(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	g := &guard{}
	if g.file, g.id, err = openIdentity(root); err != nil {
		return nil, err
	}
	g.info, err = g.file.Stat()
	if err == nil {
		var named fs.FileInfo
		if named, err = root.Lstat(identityFile); err == nil && (!named.Mode().IsRegular() || !os.SameFile(g.info, named)) {
			err = &fs.PathError{Op: "lock", Path: path, Err: errors.New("is not the regular file that was opened")}
		}
	}
	if err != nil {
		return nil, errors.Join(err, g.file.Close())
	}
	guards.Lock()
	defer guards.Unlock()
	for _, other := range guards.all {
		if os.SameFile(other.info, g.info) { // by another path; this one stays open, too
			return other, nil
		}
	}
	guards.all = append(guards.all, g)
	return g, nil
}

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
func (g *guard) set(how int16, name [32]byte) (err error) {
	for _, command := range setLock {
		for {
			err = syscall.FcntlFlock(g.file.Fd(), command, &syscall.Flock_t{
				Type:   how,
				Whence: io.SeekStart,
				Start:  int64(binary.BigEndian.Uint64(name[:]) >> 2), //nolint:gosec // 62 bits
				Len:    1,
			})
			if !errors.Is(err, syscall.EINTR) {
				break
			}
		}
		if !errors.Is(err, syscall.EINVAL) {
			break
		}
	}
	if errors.Is(err, syscall.EAGAIN) || (runtime.GOOS != "linux" && errors.Is(err, syscall.EACCES)) {
		return partfile.ErrInUse
	}
	return os.NewSyscallError("fcntl", err)
}
