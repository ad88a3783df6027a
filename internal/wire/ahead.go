package wire

import "time"

const (
	// wakeAt is how much stands in the socket before a reader that takes much at once is woken, and how much is left to come at least:
	// the last bytes of a file, which a server may hold its end back for, must not be waited for.
	wakeAt = 1 << 20
	// fastBytes in fastTime is a line on which that is worth while, and whose next wakeAt bytes come well within patience.
	fastBytes = 4 << 20
	fastTime  = 20 * time.Millisecond
	// patience is how long a reader waits to be woken, before it takes what there is.
	patience = 20 * time.Millisecond
)

// readAhead takes from a socket at once what TLS, which asks for two records, would take in many reads, and is woken for that only
// (SO_RCVLOWAT): on a line on which processors are the limit, both ends wake each other less often, and from vsftpd a download takes four
// fifths of the time. Without the option a reader that has caught up is woken for each record, and to ask for much does harm.
type readAhead struct {
	sock *socket
	fast time.Duration // fastBytes in that
	wait time.Duration // for wakeAt bytes
	left int64         // bytes to come at least
	came int64         // bytes read as they were asked for
	from time.Time     // when the first of those was asked for
	much bool          // is taken at once
	buf  *[]byte       // lent from then on
	rest []byte        // of buf, not handed on yet
	err  error         // to be told after rest
}

func newReadAhead(sock *socket, left int64) *readAhead {
	return &readAhead{sock: sock, fast: fastTime, wait: patience, left: left}
}

func (r *readAhead) Read(p []byte) (int, error) {
	if len(r.rest) == 0 && r.err == nil {
		if !r.much {
			return r.asked(p)
		}
		r.fill()
	}
	n := copy(p, r.rest)
	if r.rest = r.rest[n:]; len(r.rest) > 0 {
		return n, nil
	}
	err := r.err
	r.err = nil
	return n, err
}

func (r *readAhead) asked(p []byte) (int, error) {
	if r.came == 0 {
		r.from = time.Now()
	}
	n, err := r.sock.take(p, r.sock.stall)
	r.left -= int64(n)
	if r.came += int64(n); r.came >= fastBytes {
		r.much = r.left >= wakeAt && r.sock.stall > 0 && time.Since(r.from) <= r.fast && wakeFor(r.sock.Conn, wakeAt)
		r.came = 0
	}
	return n, err
}

func (r *readAhead) fill() {
	if r.buf == nil {
		r.buf = large.Get().(*[]byte)
	}
	wait := min(r.wait, r.sock.stall/64)
	n, err := r.sock.take(*r.buf, wait)
	late := n == 0 && timedOut(err)
	if r.left -= int64(n); late || r.left < wakeAt {
		r.much = false
		wakeFor(r.sock.Conn, 1)
	}
	if late {
		n, err = r.sock.take(*r.buf, r.sock.stall-wait) // a stall is seen no later than without
		r.left -= int64(n)
	}
	if r.rest = (*r.buf)[:n]; n == 0 || !timedOut(err) { // something came: it is no stall
		r.err = err
	}
}

// release gives the buffer back; nothing may read any more.
func (r *readAhead) release() {
	if r.buf != nil {
		PutBuffer(r.buf)
		r.buf, r.rest = nil, nil
	}
}
