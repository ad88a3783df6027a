//go:build !linux

package wire

import "syscall"

// Unpaced does nothing.
func Unpaced(_, _ string, _ syscall.RawConn) error { return nil }
