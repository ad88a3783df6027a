//go:build unix

package remotepart

import (
	"io/fs"
	"os"
	"syscall"
)

// private tells a folder that nobody else may use.
func private(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return info.IsDir() && info.Mode().Perm()&0o077 == 0 && (!ok || int(st.Uid) == os.Getuid())
}
