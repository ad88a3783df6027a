//go:build unix && !linux

package remotepart

import "syscall"

// setLock is fcntl's command for a lock.
var setLock = [...]int{syscall.F_SETLK}
