package wire_test

import (
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/corexalgo/ftpclient/internal/ftptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// prompt is how soon a cancelled wait has to end: 100 ms, and as much again for a busy machine.
const prompt = 200 * time.Millisecond

// pair is a connection over loopback: this side's end and the server's.
func pair(t *testing.T) (ours, theirs *net.TCPConn) {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", l.Addr().String())
	require.NoError(t, err)
	theirs, err = l.AcceptTCP()
	require.NoError(t, err)
	ours = conn.(*net.TCPConn)
	t.Cleanup(func() {
		_ = ours.Close()
		_ = theirs.Close()
	})
	return ours, theirs
}

// bare hides everything of a connection but net.Conn, as a proxy's does.
type bare struct{ net.Conn }

// tlsPair is the configurations of a client that keeps its sessions, and of a server.
func tlsPair(t *testing.T, version uint16) (client, server *tls.Config) {
	t.Helper()
	server, err := ftptest.ServerTLS()
	require.NoError(t, err)
	server.MinVersion, server.MaxVersion = version, version
	// With this, crypto/tls sends its tickets after the handshake, as vsftpd does, and not with its last flight: they lie
	// unread in the client's socket.
	server.ClientAuth = tls.RequestClientCert
	client = &tls.Config{InsecureSkipVerify: true, ServerName: "localhost", ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	return client, server
}

func write(t *testing.T, w io.Writer, s string) {
	t.Helper()
	_, err := io.WriteString(w, s)
	require.NoError(t, err)
}

// soon waits for a goroutine of the test.
func soon[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(10 * time.Second):
		require.FailNow(t, "nothing happened")
		panic("unreachable")
	}
}

// result runs f aside.
func result[T any](f func() T) <-chan T {
	c := make(chan T, 1)
	go func() { c <- f() }()
	return c
}
