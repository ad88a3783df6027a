package remotepart

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/corexalgo/ftpclient/internal/partfile"
)

// Hold begins an upload to target of a server and user, with a key that tells one source from another and, with who holds it and
// the target, names the temporary file. Until Release, a second one of the same user on this host, in this process or another one, is
// partfile.ErrInUse; on the server there is no lock.
func Hold(server, user, target, key string) (*File, error) {
	name := sha256.Sum256([]byte(strings.Join([]string{server, user, path.Clean(target)}, "\x00")))
	var id string
	var release func()
	var err error
	for _, dir := range lockFolders() {
		if id, release, err = lockIn(dir, name); err == nil || errors.Is(err, partfile.ErrInUse) {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	// Another host, or user of this one, may well upload the same shared file, and two that write under one temporary name leave a
	// hole where neither wrote: who has no lock in common has no name in common.
	// So do two ways to write one target, which the lock takes for two.
	own := sha256.Sum256([]byte(strings.Join([]string{scheme, id, server, user, path.Clean(target), key}, "\x00")))
	return &File{Target: target, key: hex.EncodeToString(own[:6]), old: strconv.FormatInt(time.Now().UnixNano(), 36), release: release}, nil
}

// openFolder opens a folder of locks, which is made if it is missing.
func openFolder(dir string) (*os.Root, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	info, err := root.Stat(".")
	if err == nil && !private(info) {
		err = &fs.PathError{Op: "lock", Path: dir, Err: errors.New("is not for this user alone")}
	}
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return root, nil
}

// lockFolders are folders of the user's own, the better one first: in one that is shared, others could hold what they like.
// Services may have no home directory, or none that can be written to.
func lockFolders() (dirs []string) {
	name := "ftpclient-" + strconv.Itoa(os.Getuid())
	if base, err := os.UserCacheDir(); err == nil {
		dirs = append(dirs, filepath.Join(base, name))
	}
	return append(dirs, filepath.Join(os.TempDir(), name))
}

// identityFile has what tells the locks of one folder from those of another: random, and made once.
const identityFile = "identity"

// openIdentity opens it for writing, and reads it.
func openIdentity(root *os.Root) (file *os.File, id string, err error) {
	for range 10 {
		file, err = root.OpenFile(identityFile, os.O_RDWR, 0)
		if errors.Is(err, fs.ErrNotExist) {
			if err = makeIdentity(root); err != nil {
				return nil, "", err
			}
			continue
		}
		if err != nil {
			return nil, "", err
		}
		text, err := io.ReadAll(io.LimitReader(file, 1<<10))
		if err == nil && len(text) > 0 {
			return file, string(text), nil
		}
		err = errors.Join(err, file.Close())
		if err == nil { // a power cut took what was in it
			err = root.Remove(identityFile)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, "", err
		}
	}
	return nil, "", errors.New("the folder of locks changes all the time")
}

func makeIdentity(root *os.Root) error {
	made := rand.Text()
	if err := root.WriteFile(made, []byte(made), 0o600); err != nil {
		return err
	}
	err := root.Link(made, identityFile) // whole or not at all, and the first one stays
	if err != nil && !errors.Is(err, fs.ErrExist) {
		err = root.Rename(made, identityFile) // no links here
	} else {
		err = root.Remove(made)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Release lets others upload to the target. It is called once.
func (f *File) Release() { f.release() }
