//go:build unix

package wire

import (
	"errors"
	"net"
	"syscall"
)

// peek looks into conn's receive buffer, or that of the socket below its layers, without taking anything from it and
// without waiting. What a layer would make of waiting bytes only reading tells.
func peek(conn net.Conn) int {
	below := beneath(conn)
	found := look(below)
	if found == peekBytes && below != conn {
		return peekUnknown
	}
	return found
}

func look(conn net.Conn) int {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return peekUnknown
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return peekEnded
	}
	found := peekUnknown
	err = rc.Control(func(fd uintptr) {
		var one [1]byte
		n, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK) // the runtime's sockets never block
		switch {
		case errors.Is(err, syscall.EAGAIN):
			found = peekSilent
		case err != nil || n == 0:
			found = peekEnded
		default:
			found = peekBytes
		}
	})
	if err != nil {
		return peekEnded
	}
	return found
}
