package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// BufferSize is the size of one read of content: with 32 KiB, jlaffaye's and io.Copy's, a download takes twice the time.
const BufferSize = 256 << 10

// largeBuffer is the size of the reads of a download that has once found more waiting for it than that: both ends wake each
// other less often, and it takes three quarters of the time where nothing else limits it. TLS gives a record at a time: see readAhead.
const largeBuffer = 2 << 20

var (
	buffers = sync.Pool{New: func() any { return newBuffer(BufferSize) }}
	large   = sync.Pool{New: func() any { return newBuffer(largeBuffer) }}
)

func newBuffer(size int) *[]byte {
	b := make([]byte, size)
	return &b
}

// GetBuffer lends a buffer of BufferSize bytes, to be given back by PutBuffer.
func GetBuffer() *[]byte { return buffers.Get().(*[]byte) }

// Larger is the buffer for the next read after one of n bytes: if they filled b, a larger one, and b is given back.
func Larger(b *[]byte, n int) *[]byte {
	if n < len(*b) || n == largeBuffer {
		return b
	}
	PutBuffer(b)
	return large.Get().(*[]byte)
}

// PutBuffer takes back a buffer.
func PutBuffer(b *[]byte) {
	if len(*b) == largeBuffer {
		large.Put(b)
		return
	}
	buffers.Put(b)
}

// ErrNoCloseNotify is the error of a download under TLS whose end was not authenticated: anybody may have cut it.
var ErrNoCloseNotify = errors.New("data connection ended without TLS close_notify")

// DataOptions says how a Data behaves.
type DataOptions struct {
	Ctx          context.Context //nolint:containedctx // ends every wait, for good
	StallTimeout time.Duration   // how long no byte may move
	DrainTimeout time.Duration   // how long a finished upload under TLS waits for the peer's end; 0: StallTimeout
	TLS          *tls.Config     // nil: plaintext
	Limits       []*rate.Limiter // bytes per second, all of them obeyed; nil ones are skipped
	Moved        func(n int)     // called for each piece of content moved; nil: nobody asks
	Expected     int64           // bytes of content that a download will bring; 0 or less: nobody knows

	// Consume takes all content at the first Read, which then reports the end: a listing is read row by row here, and
	// jlaffaye, which drops what it cannot parse, sees none of it. An error of Consume is the connection's.
	Consume func(io.Reader) error

	// BrokenOff is called when a TLS handshake that nobody waited for ended with the connection; nil: nobody asks.
	BrokenOff func()

	// Closed is called once, after the connection was closed and before the final reply is waited for; nil: nobody asks.
	Closed func()
}

// Data is a data connection. It shakes hands on its first use, or from Begin on: earlier, vsftpd, ProFTPD and Pure-FTPd all
// wait for the transfer command first.
type Data struct {
	deadlines
	opts    DataOptions
	accept  func() (net.Conn, error) // active mode: the server connects after it has granted the transfer
	abandon func()                   // active mode: stops listening
	raw     net.Conn
	sock    *socket
	conn    net.Conn // sock, or the TLS connection over it
	tls     *tls.Conn
	stop    func() bool // ends the watch on Ctx
	moved   int64
	stored  bool       // it is an upload
	shaking chan error // of the TLS handshake under way; nil: none is
	shaken  bool       // nothing is left to do before content may move
	ended   bool       // the peer's end was read
	aborted bool
	closed  bool
	err     error // the first error of the content's way
}

// NewData takes over raw, an open connection to the server.
func NewData(raw net.Conn, opts DataOptions) *Data {
	d := &Data{opts: opts}
	d.open(raw)
	d.watch()
	return d
}

// NewActiveData makes a data connection that calls accept on first use, and abandon if it is closed before.
func NewActiveData(accept func() (net.Conn, error), abandon func(), opts DataOptions) *Data {
	d := &Data{opts: opts, accept: accept, abandon: abandon}
	d.watch()
	return d
}

func (d *Data) watch() { d.stop = context.AfterFunc(d.opts.Ctx, d.cancelAll) }

func (d *Data) cancelAll() {
	d.cancel()
	if d.abandon != nil {
		d.abandon()
	}
}

func (d *Data) open(raw net.Conn) {
	d.raw, d.sock = raw, &socket{Conn: raw, deadlines: &d.deadlines, stall: d.opts.StallTimeout}
	d.conn = d.sock
	d.attach(raw)
	if d.opts.TLS != nil {
		if d.opts.Expected > fastBytes && !d.limited() {
			d.sock.ahead = newReadAhead(d.sock, d.opts.Expected)
		}
		d.tls = tls.Client(d.sock, d.opts.TLS)
		d.conn = d.tls
	}
}

// Begin begins the TLS handshake and does not wait for it, which saves a round trip: it is called when the transfer command was
// sent, before the server grants or refuses it.
func (d *Data) Begin() {
	if d.tls == nil || d.shaken || d.closed || d.shaking != nil {
		return
	}
	d.sock.stall = 0 // one deadline for all of it, once somebody waits for it
	shaking := make(chan error, 1)
	d.shaking = shaking
	go func() { shaking <- d.tls.HandshakeContext(d.opts.Ctx) }()
}

// Handshake makes the connection ready for content: it accepts the server's connection in active mode, and shakes hands
// under TLS. jlaffaye looks for it after an empty upload, which no write has made to shake hands.
func (d *Data) Handshake() error {
	if d.shaken {
		return nil
	}
	if d.closed {
		return net.ErrClosed
	}
	if d.conn == nil {
		raw, err := d.accept()
		if err != nil {
			return d.failed(err)
		}
		d.open(raw)
	}
	if d.tls != nil {
		d.Begin()
		d.arm(d.opts.StallTimeout)
		err := <-d.shaking
		d.shaking, d.sock.stall = nil, d.opts.StallTimeout
		if err != nil {
			return d.failed(err)
		}
	}
	d.shaken = true
	return nil
}

// Read reads content.
func (d *Data) Read(p []byte) (int, error) {
	consume := d.opts.Consume
	if consume == nil {
		return d.read(p)
	}
	d.opts.Consume = nil
	if err := consume(readerFunc(d.read)); err != nil {
		d.abort()
		return 0, d.failed(err)
	}
	return 0, io.EOF
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func (d *Data) read(p []byte) (int, error) {
	if err := d.Handshake(); err != nil {
		return 0, err
	}
	n, err := d.conn.Read(p[:d.allowed(len(p))])
	d.ended = d.ended || errors.Is(err, io.EOF)
	if werr := d.account(n); err == nil {
		err = werr
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return n, d.failed(err)
	}
	return n, err
}

// Write sends content.
func (d *Data) Write(p []byte) (int, error) {
	d.stored = true
	if err := d.Handshake(); err != nil {
		return 0, err
	}
	sent := 0
	for sent < len(p) {
		part := p[sent:]
		n, err := d.conn.Write(part[:d.allowed(len(part))])
		sent += n
		if werr := d.account(n); err == nil {
			err = werr
		}
		if err != nil {
			return sent, d.failed(err)
		}
	}
	return sent, nil
}

func (d *Data) limited() bool {
	return slices.ContainsFunc(d.opts.Limits, func(l *rate.Limiter) bool { return l != nil })
}

// allowed is how much of n may be moved in one piece under the rate limits.
func (d *Data) allowed(n int) int {
	for _, l := range d.opts.Limits {
		if l != nil {
			n = min(n, max(l.Burst(), 1))
		}
	}
	return n
}

// account counts n bytes and waits until the rate limits allow them.
func (d *Data) account(n int) error {
	if n <= 0 {
		return nil
	}
	d.moved += int64(n)
	if d.opts.Moved != nil {
		d.opts.Moved(n)
	}
	for _, l := range d.opts.Limits {
		if l == nil {
			continue
		}
		if err := d.pause(l.ReserveN(time.Now(), n).Delay()); err != nil {
			return err
		}
	}
	return nil
}

// pause waits as long as a rate limit says. The limiter's own wait gives up at once where the context would end first.
func (d *Data) pause(delay time.Duration) error {
	if delay <= 0 {
		return nil
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-d.opts.Ctx.Done():
		return d.opts.Ctx.Err()
	}
}

// Moved is the number of bytes of content that passed.
func (d *Data) Moved() int64 { return d.moved }

// Err is the first error on the content's way, nil if there was none.
func (d *Data) Err() error { return d.err }

// Ended tells whether the peer's end was read.
func (d *Data) Ended() bool { return d.ended }

// Aborted tells whether this side gave the content up.
func (d *Data) Aborted() bool { return d.aborted }

// Unauthenticated tells that the end under TLS came without close_notify.
func (d *Data) Unauthenticated() bool { return d.tls != nil && d.sock.ended }

// Resumed tells whether the TLS session was resumed from the control connection's.
func (d *Data) Resumed() bool { return d.tls != nil && d.tls.ConnectionState().DidResume }

// failed keeps the first error. The context's wins over the time-out by which it ends every wait.
func (d *Data) failed(err error) error {
	if ended := d.opts.Ctx.Err(); ended != nil && timedOut(err) {
		err = ended
	}
	if d.err == nil {
		d.err = err
	}
	return err
}

// Abort ends an upload so that the server sees an error, or a download that is not wanted to its end.
func (d *Data) Abort() error {
	d.abort()
	return d.Close()
}

func (d *Data) abort() { d.aborted = true }

// Close ends the connection. A finished upload under TLS sends close_notify and FIN, and reads to the peer's end before it
// closes: with a session ticket unread in the socket, close(2) sends RST, and the server loses what it had not read yet.
func (d *Data) Close() error {
	if d.closed {
		return nil
	}
	d.closed = true
	err := d.close()
	if d.shaking != nil { // the transfer was refused, and the socket is closed
		d.breakOff(<-d.shaking)
	}
	if d.sock != nil && d.sock.ahead != nil {
		d.sock.ahead.release()
	}
	d.stop()
	if d.opts.Closed != nil {
		d.opts.Closed()
	}
	return err
}

// breakOff takes note of how a handshake ended that nobody waited for: with the connection, as the transfer was refused, or by
// the client, as of a wrong certificate. What the server made of it is in its reply.
func (d *Data) breakOff(err error) {
	var op *net.OpError
	var plain tls.RecordHeaderError
	switch {
	case err == nil:
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.ErrClosedPipe), errors.Is(err, net.ErrClosed),
		errors.As(err, &op), errors.As(err, &plain), d.opts.Ctx.Err() != nil:
		if d.opts.BrokenOff != nil {
			d.opts.BrokenOff()
		}
	default:
		_ = d.failed(err)
	}
}

func (d *Data) close() error {
	switch {
	case d.conn == nil:
		d.abandon()
		return nil
	case d.aborted || d.err != nil || d.opts.Ctx.Err() != nil: // whether or not the watch has fired yet
		return reset(d.raw)
	case d.tls != nil && d.stored:
		return d.finishTLS()
	case d.tls != nil && d.ended:
		_ = d.tls.CloseWrite() // courtesy: all content is here
		return d.raw.Close()
	}
	return d.raw.Close()
}

func (d *Data) finishTLS() error {
	if err := d.tls.CloseWrite(); err != nil {
		_ = reset(d.raw)
		return d.failed(err)
	}
	timeout := d.opts.DrainTimeout
	if timeout <= 0 {
		timeout = d.opts.StallTimeout
	}
	if !closeWrite(d.raw) { // close_notify alone has to do, and a server may wait for more
		timeout = min(timeout, blindDrain)
	}
	d.arm(timeout)
	_, _ = io.Copy(io.Discard, io.LimitReader(d.raw, 1<<20))
	return d.raw.Close()
}

// blindDrain bounds the wait for the peer's end on a connection that cannot tell it ours.
const blindDrain = 3 * time.Second

// LocalAddr is the socket's.
func (d *Data) LocalAddr() net.Addr { return d.addr(net.Conn.LocalAddr) }

// RemoteAddr is the socket's.
func (d *Data) RemoteAddr() net.Addr { return d.addr(net.Conn.RemoteAddr) }

func (d *Data) addr(of func(net.Conn) net.Addr) net.Addr {
	if d.raw == nil {
		return &net.TCPAddr{}
	}
	return of(d.raw)
}

// SetDeadline does nothing: deadlines are the Data's own.
func (d *Data) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (d *Data) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (d *Data) SetWriteDeadline(time.Time) error { return nil }
