package wire

import (
	"net/netip"
	"syscall"
)

// Unpaced is for a net.Dialer's Control: a connection to a loopback address, which leads over no line, does without the search for
// what a line can carry. Some make BBR Linux's congestion control, which lets a timer go off for each 64 KiB: an upload of 2 GiB took
// a quarter more. It is told before it connects, as BBR's timers outlive a change. Every process may use Reno; where one may not,
// all stays as it was.
func Unpaced(_, address string, conn syscall.RawConn) error {
	if to, err := netip.ParseAddrPort(address); err != nil || !to.Addr().Unmap().IsLoopback() {
		return nil //nolint:nilerr // it is no loopback address
	}
	_ = conn.Control(func(fd uintptr) {
		_ = syscall.SetsockoptString(int(fd), syscall.IPPROTO_TCP, syscall.TCP_CONGESTION, "reno")
	})
	return nil
}
