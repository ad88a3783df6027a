// Package wire holds the connections below jlaffaye/ftp: a control connection that hands over exactly one complete and
// checked reply per command, and data connections that neither hang, nor lie about their end, nor leave their peer's host.
package wire

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/corexalgo/ftpclient/internal/reply"
)

// ErrOutOfStep is the error of a control connection on which the server said something that nobody asked for. What it
// says next would answer the wrong command, so the connection must not be used again.
var ErrOutOfStep = fmt.Errorf("%w: one that nobody asked for", reply.ErrMalformed)

// aLongTimeAgo is a deadline that ends every wait at once.
var aLongTimeAgo = time.Unix(1, 0)

// deadlines arms a connection's deadlines until it is cancelled; after that nothing can revive it.
type deadlines struct {
	mu        sync.Mutex // guards conn's deadline and the fields below
	conn      interface{ SetDeadline(time.Time) error }
	until     time.Time // its deadline, as arm set it
	cancelled bool
}

// arm lets what is waited for take timeout from now, or a little more: a deadline that is set and leaves as much stands, as moving
// it may wake a processor, which costs more than a reply. 0: it may take forever.
func (d *deadlines) arm(timeout time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cancelled || d.conn == nil {
		return
	}
	var until time.Time
	if timeout > 0 {
		now, spare := time.Now(), min(timeout/64, time.Second)
		if left := d.until.Sub(now) - timeout; left >= 0 && left <= spare {
			return
		}
		until = now.Add(timeout).Add(spare) // no sum of durations, which a time-out without end would overflow
	}
	d.until = until
	_ = d.conn.SetDeadline(until) // fails only on a closed connection, which says so itself
}

func (d *deadlines) attach(conn net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.conn, d.until = conn, time.Time{}
	if d.cancelled {
		_ = conn.SetDeadline(aLongTimeAgo)
	}
}

// cancel ends every wait under way and to come.
func (d *deadlines) cancel() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cancelled = true
	if d.conn != nil {
		_ = d.conn.SetDeadline(aLongTimeAgo)
	}
}

func (d *deadlines) isCancelled() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.cancelled
}

func timedOut(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// beneath is the connection below conn's layers, as far as each of them offers what it lies on, as *tls.Conn does; conn
// itself where it has none.
func beneath(conn net.Conn) net.Conn {
	for {
		layer, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			return conn
		}
		below := layer.NetConn()
		if below == nil {
			return conn
		}
		conn = below
	}
}

// reset closes conn so that the peer sees an error and never a clean end: an upload given up with a plain FIN is a
// complete file to every server. The socket goes before its layers, which could say goodbye over it. A connection that
// hides its socket ends as its Close ends it.
func reset(conn net.Conn) error {
	below := beneath(conn)
	if l, ok := below.(interface{ SetLinger(sec int) error }); ok {
		_ = l.SetLinger(0)
	}
	err := below.Close()
	if below != conn {
		_ = conn.Close() // says that it is closed
	}
	return err
}

// closeWrite ends this side of conn; false where it cannot be ended alone.
func closeWrite(conn net.Conn) bool {
	for _, c := range []net.Conn{conn, beneath(conn)} {
		if half, ok := c.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
			return true
		}
	}
	return false
}
