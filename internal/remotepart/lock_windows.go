package remotepart

import (
	"encoding/hex"
	"errors"

	"github.com/corexalgo/ftpclient/internal/partfile"
)

// scheme tells those apart that lock in different ways.
const scheme = "files"

// lockIn locks the target of that name without waiting, and returns the folder's identity.
func lockIn(dir string, name [32]byte) (id string, release func(), err error) {
	root, err := openFolder(dir)
	if err != nil {
		return "", nil, err
	}
	file, id, err := openIdentity(root)
	if err == nil {
		err = file.Close()
	}
	var lock *partfile.File
	if err == nil {
		lock, err = partfile.Open(root, hex.EncodeToString(name[:]), partfile.Source{})
	}
	if err != nil {
		return "", nil, errors.Join(err, root.Close())
	}
	return id, func() {
		_ = lock.Close() // nothing was written
		_ = root.Close()
	}, nil
}
