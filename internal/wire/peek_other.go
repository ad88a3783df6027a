//go:build !unix

package wire

import "net"

func peek(net.Conn) int { return peekUnknown }
