package remotepart

import "syscall"

// setLock are fcntl's commands for a lock, the better one first: F_OFD_SETLK locks for one open file, so that no other one, closed,
// takes the lock away, as when a user's cache folder is itself uploaded. Kernels before 3.15 know the other only.
var setLock = [...]int{37, syscall.F_SETLK}
