//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package partfile

import (
	"errors"
	"os"
	"syscall"
)

// lockFile locks an open file without waiting: ErrInUse if somebody else has it locked. It is the caller's no more. It is not
// opened again by its path, as the package that does this elsewhere would, for each small file to pay for.
func lockFile(file *os.File, _ string) (locked, error) {
	err := flock(file, syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return flocked{file}, nil
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrInUse
	}
	return nil, errors.Join(err, file.Close())
}

type flocked struct{ *os.File }

func (f flocked) Unlock() error { return errors.Join(flock(f.File, syscall.LOCK_UN), f.Close()) }

func flock(file *os.File, how int) error {
	for {
		err := syscall.Flock(int(file.Fd()), how) //nolint:gosec // a descriptor
		if !errors.Is(err, syscall.EINTR) {
			return os.NewSyscallError("flock", err)
		}
	}
}
