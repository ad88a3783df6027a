package wire_test

import (
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/corexalgo/ftpclient/internal/wire"
)

// congestionControl is that of a connection to address whose Control is wire.Unpaced. To an address of the documentation's net nothing
// is sent: it is looked at before it connects, and then given up.
func congestionControl(t *testing.T, address string) (used string) {
	t.Helper()
	dialer := net.Dialer{Control: func(network, address string, conn syscall.RawConn) error {
		require.NoError(t, wire.Unpaced(network, address, conn))
		var err error
		require.NoError(t, conn.Control(func(fd uintptr) {
			used, err = unix.GetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION)
		}))
		require.NoError(t, err)
		return net.ErrClosed
	}}
	_, err := dialer.DialContext(t.Context(), "tcp", address)
	require.ErrorIs(t, err, net.ErrClosed)
	return strings.TrimRight(used, "\x00")
}

// usual is the system's own.
func usual(t *testing.T) string {
	t.Helper()
	used, err := os.ReadFile("/proc/sys/net/ipv4/tcp_congestion_control")
	require.NoError(t, err)
	return strings.TrimSpace(string(used))
}

func TestOnlyAConnectionOverLoopbackIsUnpaced(t *testing.T) {
	assert.Equal(t, "reno", congestionControl(t, "127.0.0.1:21"))
	assert.Equal(t, usual(t), congestionControl(t, "192.0.2.1:21"))
	require.NoError(t, wire.Unpaced("tcp", "no address", nil))
}
