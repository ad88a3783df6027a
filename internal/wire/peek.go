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

// probe lies below TLS. While probing, a Read that would have to wait fails as if its deadline had passed, which leaves
// the TLS layer whole.
type probe struct {
	net.Conn
	probing bool
}

func (p *probe) Read(b []byte) (int, error) {
	if p.probing && peek(p.Conn) == peekSilent {
		return 0, silence{}
	}
	return p.Conn.Read(b)
}

// silence is a time-out that crypto/tls, which looks at its own type only, takes for one.
type silence struct{}

func (silence) Error() string   { return "nothing received" }
func (silence) Timeout() bool   { return true }
func (silence) Temporary() bool { return true }
