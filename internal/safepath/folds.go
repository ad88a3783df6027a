package safepath

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
)

// Folds finds out whether a folder below root takes names for one that differ in letter case only, by a file of ours that is gone
// again: a disk of another system's may be mounted anywhere. Where that cannot be found out, it is as the system's own disk.
func Folds(root *os.Root, dir string) bool {
	name := filepath.Join(dir, Hidden("case", strings.ToLower(rand.Text()), Lock))
	file, err := root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return systemFolds
	}
	_ = file.Close()
	defer func() { _ = root.Remove(name) }()
	_, err = root.Lstat(filepath.Join(dir, strings.ToUpper(filepath.Base(name))))
	return err == nil
}
