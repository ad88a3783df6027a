package wire

import (
	"net/netip"
	"syscall"
)

// Unpaced is for a net.Dialer's Control: a connection within this machine, which leads over no line, does without the search for
// what a line can carry. Some make BBR Linux's congestion control, which lets a timer go off for each 64 KiB: 2 GiB took a third
// more. It must be told before it connects, as BBR's timers outlive a change; every process may use Reno, and where it may not, all stays as
// it was.
func Unpaced(_, address string, conn syscall.RawConn) error {
	if to, err := netip.ParseAddrPort(address); err != nil || !to.Addr().Unmap().IsLoopback() {
		return nil //nolint:nilerr // it is no address of this machine
	}
	_ = conn.Control(func(fd uintptr) {
		_ = syscall.SetsockoptString(int(fd), syscall.IPPROTO_TCP, syscall.TCP_CONGESTION, "reno")
	})
	return nil
}
