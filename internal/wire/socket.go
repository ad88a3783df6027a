package wire

import (
	"errors"
	"io"
	"net"
	"time"
)

// socket is a data connection's socket as the layer above it sees it, TLS or none. Its deadline rolls with each piece that
// moves, and it sees the peer's FIN, which TLS takes for a clean end at the border of a record.
type socket struct {
	net.Conn
	*deadlines
	ahead *readAhead    // from the socket, below TLS; nil: it is read as it is asked
	stall time.Duration // 0: somebody else has armed the deadline
	ended bool
}

func (s *socket) Read(p []byte) (int, error) {
	if s.ahead != nil {
		return s.ahead.Read(p)
	}
	return s.take(p, s.stall)
}

// take reads within timeout; 0: the deadline stands.
func (s *socket) take(p []byte, timeout time.Duration) (int, error) {
	s.roll(timeout)
	n, err := s.Conn.Read(p)
	if n == 0 && errors.Is(err, io.EOF) {
		s.ended = true
	}
	return n, err
}

// Write goes on after a time-out within which something moved: that is slow, and no stall. TLS, to which a time-out of its
// writes is final, never sees one.
func (s *socket) Write(p []byte) (int, error) {
	sent := 0
	for {
		s.roll(s.stall)
		n, err := s.Conn.Write(p[sent:])
		sent += n
		if s.stall > 0 && n > 0 && sent < len(p) && timedOut(err) {
			continue
		}
		return sent, err
	}
}

func (s *socket) roll(timeout time.Duration) {
	if timeout > 0 {
		s.arm(timeout)
	}
}

// SetDeadline does nothing: crypto/tls sets one of its own before close_notify, and would revive a cancelled connection.
func (s *socket) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (s *socket) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (s *socket) SetWriteDeadline(time.Time) error { return nil }
