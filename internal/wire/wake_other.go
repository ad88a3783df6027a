//go:build !linux

package wire

import "net"

func wakeFor(net.Conn, int) bool { return false }
