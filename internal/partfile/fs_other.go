//go:build !linux

package partfile

import "os"

// distant tells a file on a network file system, where that can be told.
func distant(*os.File) bool { return false }

// inMemory tells a file on a file system that has no disk, where that can be told.
func inMemory(*os.File) bool { return false }
