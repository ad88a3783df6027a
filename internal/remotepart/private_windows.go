package remotepart

import "io/fs"

// private tells a folder; those of the system's own choice are their user's.
func private(info fs.FileInfo) bool { return info.IsDir() }
