//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package partfile

import (
	"os"

	"github.com/gofrs/flock"
)

// lockFile locks the file at path without waiting, which is there: ErrInUse if somebody else has it locked.
func lockFile(created *os.File, path string) (locked, error) {
	if err := created.Close(); err != nil {
		return nil, err
	}
	file := flock.New(path, flock.SetFlag(os.O_RDWR)) // without O_CREATE, which follows a link
	ok, err := file.TryLock()
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, ErrInUse
	}
	return file, nil
}
