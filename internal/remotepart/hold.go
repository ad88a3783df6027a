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
// temporary file. Until Release, a second one of the same user on this host, in this process or another one, is
// partfile.ErrInUse; on the server there is no lock.
func Hold(server, user, target, key string) (*File, error) {
	dir, err := lockFolder()
	if err != nil {
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

// lockFolder is a folder of the user's own: in one that is shared, others could hold what they like.
func lockFolder() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil { // no home directory, as for some services
		base = os.TempDir()
	}
	dir := filepath.Join(base, "ftpclient-"+strconv.Itoa(os.Getuid()))
	return dir, os.MkdirAll(dir, 0o700)
}

// Release lets others upload to the target. It is called once.
func (f *File) Release() { f.release() }
