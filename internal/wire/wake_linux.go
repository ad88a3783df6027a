package wire

import (
	"net"
	"syscall"
)

// wakeFor makes reads of conn that wait go on waiting until n bytes have come, or the end (SO_RCVLOWAT); false where it cannot. What
// does not offer its socket, as TLS, cannot: it may hold bytes of its own.
func wakeFor(conn net.Conn, n int) bool {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	done := false
	err = rc.Control(func(fd uintptr) {
		done = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVLOWAT, n) == nil
	})
	return done && err == nil
}
