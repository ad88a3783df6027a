package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// BufferSize is the size of one read of content: with 32 KiB, jlaffaye's and io.Copy's, a download takes twice the time.
const BufferSize = 256 << 10

// sendfile works in chunks between these, so that progress is seen on a slow line and calls are few on a fast one.
const (
	minChunk = 256 << 10
	maxChunk = 8 << 20
)

var buffers = sync.Pool{New: func() any { b := make([]byte, BufferSize); return &b }}

// GetBuffer lends a buffer of BufferSize bytes, to be given back by PutBuffer.
func GetBuffer() *[]byte { return buffers.Get().(*[]byte) }

// PutBuffer takes back a buffer.
func PutBuffer(b *[]byte) { buffers.Put(b) }

// ErrNoCloseNotify is the error of a download under TLS whose end was not authenticated: anybody may have cut it.
var ErrNoCloseNotify = errors.New("data connection ended without TLS close_notify")

// DataOptions says how a Data behaves.
type DataOptions struct {
	Ctx          context.Context // ends every wait, for good
	StallTimeout time.Duration   // how long no byte may move
	DrainTimeout time.Duration   // how long a finished upload under TLS waits for the peer's end; 0: StallTimeout
	TLS          *tls.Config     // nil: plaintext
	Limits       []*rate.Limiter // bytes per second, all of them obeyed; nil ones are skipped
	Moved        func(n int)     // called for each piece of content moved; nil: nobody asks

	// Consume takes all content at the first Read, which then reports the end: a listing is read row by row here, and
	// jlaffaye, which drops what it cannot parse, sees none of it. An error of Consume is the connection's.
	Consume func(io.Reader) error
}

// Data is a data connection. It shakes hands on its first use only: earlier, vsftpd, ProFTPD and Pure-FTPd all wait for
// the transfer command first.
type Data struct {
	deadlines
	opts    DataOptions
	accept  func() (net.Conn, error) // active mode: the server connects after it has granted the transfer
	abandon func()                   // active mode: stops listening
	raw     net.Conn
	conn    net.Conn // raw, or the TLS connection over it
	tls     *tls.Conn
	spy     *endSpy
	stop    func() bool // ends the watch on Ctx
	moved   int64
	stored  bool // it is an upload
	ended   bool // the peer's end was read
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

func (d *Data) watch() {
	stop := context.AfterFunc(d.opts.Ctx, d.cancelAll)
	d.stop = stop
}

func (d *Data) cancelAll() {
	d.cancel()
	if d.abandon != nil {
		d.abandon()
	}
}

func (d *Data) open(raw net.Conn) {
	d.raw, d.conn = raw, raw
	d.attach(raw)
	if d.opts.TLS == nil {
		return
	}
	d.spy = &endSpy{Conn: raw}
	d.tls = tls.Client(d.spy, d.opts.TLS)
	d.conn = d.tls
}

// ready accepts the server's connection in active mode.
func (d *Data) ready() error {
	if d.conn != nil {
		return nil
	}
	raw, err := d.accept()
	if err != nil {
		return err
	}
	d.open(raw)
	return nil
}

// Handshake shakes hands now. jlaffaye looks for it after an empty upload, which no write has made to shake hands.
func (d *Data) Handshake() error {
	if err := d.ready(); err != nil {
		return err
	}
	if d.tls == nil {
		return nil
	}
	d.arm(d.opts.StallTimeout)
	return d.tls.Handshake()
}

// Read reads content.
func (d *Data) Read(p []byte) (int, error) {
	consume := d.opts.Consume
	if consume == nil {
		return d.read(p)
	}
	d.opts.Consume = nil
	if err := consume(readerFunc(d.read)); err != nil {
		return 0, d.failed(err)
	}
	return 0, io.EOF
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func (d *Data) read(p []byte) (int, error) {
	if err := d.ready(); err != nil {
		return 0, d.failed(err)
	}
	p = p[:d.allowed(len(p))]
	d.arm(d.opts.StallTimeout)
	n, err := d.conn.Read(p)
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
	if err := d.ready(); err != nil {
		return 0, d.failed(err)
	}
	sent := 0
	for sent < len(p) {
		part := p[sent:]
		part = part[:d.allowed(len(part))]
		d.arm(d.opts.StallTimeout)
		n, err := d.conn.Write(part)
		sent += n
		if werr := d.account(n); err == nil {
			err = werr
		}
		if timedOut(err) && n > 0 && d.tls == nil {
			continue // slow, but not stalled
		}
		if err != nil {
			return sent, d.failed(err)
		}
	}
	return sent, nil
}

// A Source is what an upload sends. It keeps what went wrong on its own side apart from what went wrong on the line.
type Source struct {
	R   io.Reader
	Err error // the first error of R other than io.EOF
}

func (s *Source) Read(p []byte) (int, error) {
	n, err := s.R.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && s.Err == nil {
		s.Err = err
	}
	return n, err
}

// ReadFrom sends all of r: a plain file by sendfile, anything else through one large buffer.
func (d *Data) ReadFrom(r io.Reader) (int64, error) {
	d.stored = true
	if err := d.Handshake(); err != nil {
		return 0, d.failed(err)
	}
	src, _ := r.(*Source)
	if src != nil && d.tls == nil {
		part, _ := src.R.(*io.LimitedReader)
		if part != nil && d.allowed(maxChunk) == maxChunk {
			if file, ok := part.R.(*os.File); ok {
				return d.sendFile(src, part, file)
			}
		}
	}
	buf := GetBuffer()
	defer PutBuffer(buf)
	var total int64
	for {
		n, rerr := io.ReadFull(r, *buf)
		wn, werr := d.Write((*buf)[:n])
		total += int64(wn)
		switch {
		case werr != nil:
			return total, werr
		case errors.Is(rerr, io.EOF), errors.Is(rerr, io.ErrUnexpectedEOF) && (src == nil || src.Err == nil):
			return total, nil
		case rerr != nil:
			d.abort() // a plain end would make half a file a whole one for the server
			return total, rerr
		}
	}
}

func (d *Data) sendFile(src *Source, part *io.LimitedReader, file *os.File) (int64, error) {
	var total int64
	chunk := int64(minChunk)
	for part.N > 0 {
		start := time.Now()
		d.arm(d.opts.StallTimeout)
		want := min(chunk, part.N)
		n, err := io.Copy(d.conn, &io.LimitedReader{R: file, N: want})
		total += n
		part.N -= n
		if werr := d.account(int(n)); err == nil {
			err = werr
		}
		took := time.Since(start)
		switch {
		case timedOut(err) && n > 0: // slow, but not stalled
			chunk = minChunk
		case err != nil:
			if rerr := readable(file); rerr != nil {
				src.Err = rerr
				d.abort()
				return total, rerr
			}
			return total, d.failed(err)
		case n < want: // the file ends early
			return total, nil
		case took < 50*time.Millisecond && chunk < maxChunk:
			chunk *= 2
		case took > 200*time.Millisecond && chunk > minChunk:
			chunk /= 2
		}
	}
	return total, nil
}

// readable tells an error of the file from one of the line, which sendfile does not.
func readable(file *os.File) error {
	at, err := file.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	var one [1]byte
	if _, err := file.ReadAt(one[:], at); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// allowed is how much of n may be moved in one piece under the rate limits.
func (d *Data) allowed(n int) int {
	for _, l := range d.opts.Limits {
		if l != nil {
			n = min(n, l.Burst())
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
		if err := l.WaitN(d.opts.Ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// Moved is the number of bytes of content that passed.
func (d *Data) Moved() int64 { return d.moved }

// Err is the first error on the content's way, nil if there was none.
func (d *Data) Err() error { return d.err }

// Ended tells whether the peer's end was read.
func (d *Data) Ended() bool { return d.ended }

// Unauthenticated tells that the end under TLS came without close_notify.
func (d *Data) Unauthenticated() bool { return d.spy != nil && d.spy.ended }

// Resumed tells whether the TLS session was resumed from the control connection's.
func (d *Data) Resumed() bool { return d.tls != nil && d.tls.ConnectionState().DidResume }

func (d *Data) failed(err error) error {
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
	defer d.stop()
	if d.conn == nil {
		d.abandon()
		return nil
	}
	switch {
	case d.aborted || d.err != nil || d.isCancelled():
		return reset(d.raw)
	case d.stored && d.tls != nil:
		return d.finishTLS()
	case d.ended && d.tls != nil:
		d.arm(time.Second)
		_ = d.tls.CloseWrite() // courtesy: all content is here
		return d.raw.Close()
	default:
		return d.raw.Close()
	}
}

func (d *Data) finishTLS() error {
	d.arm(d.opts.StallTimeout)
	if err := d.tls.CloseWrite(); err != nil {
		_ = reset(d.raw)
		return d.failed(err)
	}
	if half, ok := d.raw.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
		timeout := d.opts.DrainTimeout
		if timeout <= 0 {
			timeout = d.opts.StallTimeout
		}
		d.arm(timeout)
		_, _ = io.Copy(io.Discard, io.LimitReader(d.raw, 1<<20))
	}
	return d.raw.Close()
}

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

func timedOut(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// endSpy sits below TLS and sees the peer's FIN, which TLS takes for a clean end at the border of a record.
type endSpy struct {
	net.Conn
	ended bool
}

func (s *endSpy) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if errors.Is(err, io.EOF) {
		s.ended = true
	}
	return n, err
}
