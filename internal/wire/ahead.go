package wire

import (
	"io"
	"time"
)

const (
	// muchWaiting is how much must have been found waiting, without a break, before a readAhead takes much at once. A file of a few MiB
	// would pay for the trial, and have nothing of it.
	muchWaiting = 32 << 20
	// caughtUp is less than a sender leaves to be read that is faster than its reader.
	caughtUp = 32 << 10
	// worthwhile is how much is taken from a faster sender before it is caught up with: Pure-FTPd gave 40 MiB to 1.3 GiB on loopback,
	// vsftpd and ProFTPD, which are no faster under TLS, 0 to 25 MiB.
	worthwhile = 32 << 20
	// fullRecord is what comes at least where the content goes on: the end of it, and of TLS, is not waited for.
	fullRecord = 16 << 10
	// standing is how long a reader that has caught up leaves the sender to itself.
	standing = 4 * time.Millisecond
)

// readAhead takes from a socket at once what TLS, which asks for two records, would take in many reads: where the server is the
// faster end, both wake each other less often, and a download takes six sevenths of the time. From a server that is no faster
// it would do harm: a reader that has caught up is woken for each record, and takes the server's processor from it. So it then
// pauses once, for something to stand in the socket, and reads as it is asked until as much was found waiting again, or far more
// where it had caught up soon.
type readAhead struct {
	from    io.Reader
	waiting int64   // bytes of the reads in a row that filled what they were given
	enough  int64   // as many make it take much at once
	taken   int64   // since then
	caught  bool    // up with the sender, just now
	buf     *[]byte // lent from then on
	rest    []byte  // of buf, not handed on yet
	err     error   // to be told after rest
}

func newReadAhead(from io.Reader) *readAhead { return &readAhead{from: from, enough: muchWaiting} }

func (r *readAhead) Read(p []byte) (int, error) {
	if len(r.rest) == 0 && r.err == nil {
		if r.waiting < r.enough {
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
	n, err := r.from.Read(p)
	if r.waiting += int64(n); n < len(p) {
		r.waiting = 0
	}
	if r.caught && n >= fullRecord {
		time.Sleep(standing)
	}
	r.caught = false
	return n, err
}

func (r *readAhead) fill() {
	if r.buf == nil {
		r.buf = large.Get().(*[]byte)
	}
	n, err := r.from.Read(*r.buf)
	r.rest, r.err = (*r.buf)[:n], err
	r.taken += int64(n)
	if n >= caughtUp || err != nil {
		return
	}
	if r.taken < worthwhile {
		r.enough *= 64
	}
	r.waiting, r.taken, r.caught = 0, 0, true
}

// release gives the buffer back; nothing may read any more.
func (r *readAhead) release() {
	if r.buf != nil {
		PutBuffer(r.buf)
		r.buf, r.rest = nil, nil
	}
}
