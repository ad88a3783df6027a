package remotepart

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/corexalgo/ftpclient/internal/partfile"
)

// Hold begins an upload to target of a server and user, with a key that tells one source from another and names the
// temporary file. Until Release, a
// second one on this host, in this process or another one, is partfile.ErrInUse: a lock on the server there is none.
func Hold(server, user, target, key string) (*File, error) {
	dir := filepath.Join(os.TempDir(), "ftpclient-"+strconv.Itoa(os.Getuid()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	name := sha256.Sum256([]byte(strings.Join([]string{server, user, path.Clean(target)}, "\x00")))
	lock, err := partfile.Open(root, hex.EncodeToString(name[:]), partfile.Source{})
	if err != nil {
		_ = root.Close()
		return nil, err
	}
	return &File{Target: target, key: key, release: func() {
		_ = lock.Close() // nothing was written
		_ = root.Close()
	}}, nil
}

// Release lets others upload to the target. It is called once.
func (f *File) Release() { f.release() }
