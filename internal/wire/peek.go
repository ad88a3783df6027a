package wire

import "net"

// What a look at a socket's receive buffer finds.
const (
	peekUnknown = iota // this connection cannot be asked without reading
	peekSilent         // open, nothing received
	peekBytes          // bytes are waiting
	peekEnded          // closed by the peer, or broken
)

// Ended reports, without waiting, that the peer has closed a connection from which nothing was read yet; false where only
// reading tells.
func Ended(conn net.Conn) bool { return peek(conn) == peekEnded }
