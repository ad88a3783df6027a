package wire

import (
	"io"
	"net"
	"time"
)

// NewReadAhead is how a data connection under TLS reads conn, from which left bytes are to come. A line is fast where 4 MiB come within
// fast, and what was to come is waited for as long as wait.
func NewReadAhead(conn net.Conn, left int64, fast, wait, stall time.Duration) io.Reader {
	d := &deadlines{}
	d.attach(conn)
	r := newReadAhead(&socket{Conn: conn, deadlines: d, stall: stall}, left)
	r.fast, r.wait = fast, wait
	return r
}

// EveryLineIsFast for d.
func (d *Data) EveryLineIsFast() {
	if d.sock.ahead != nil {
		d.sock.ahead.fast = time.Hour
	}
}
