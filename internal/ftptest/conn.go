package ftptest

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// clientConn is a connection to the client below TLS.
type clientConn interface {
	net.Conn
	reset() // closes with RST
}

// rawConn is a socket that the Server knows of until it is closed, so that Close can close it under a blocked call.
type rawConn struct {
	*net.TCPConn
	srv  *Server
	wait *waits // nil on data connections
}

func (c *rawConn) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	if n > 0 && c.wait != nil {
		c.wait.read()
	}
	return n, err
}

func (c *rawConn) Write(p []byte) (int, error) {
	if c.wait != nil {
		c.wait.wrote()
	}
	return c.TCPConn.Write(p)
}

func (c *rawConn) Close() error {
	c.srv.forget(c.TCPConn)
	return c.TCPConn.Close()
}

func (c *rawConn) reset() {
	_ = c.SetLinger(0)
	_ = c.Close()
}

// delayQueueMax bounds what is on the way in one direction; with it 100 ms of latency still carry 600 MB/s.
const delayQueueMax = 32 << 20

// delayConn delays both directions by half a round trip each. Everything on the way is queued, so it takes
// longer but is not slower; the end of the stream travels through the same queue.
type delayConn struct {
	*rawConn
	half    time.Duration
	in, out *delayQueue
}

func newDelayConn(raw *rawConn, half time.Duration) *delayConn {
	c := &delayConn{rawConn: raw, half: half, in: newDelayQueue(), out: newDelayQueue()}
	raw.srv.wg.Go(c.receive)
	raw.srv.wg.Go(c.deliver)
	return c
}

func (c *delayConn) receive() {
	for {
		buf := make([]byte, 64<<10)
		n, err := c.rawConn.Read(buf)
		if n > 0 && !c.in.push(parcel{data: buf[:n], due: time.Now().Add(c.half)}) {
			return
		}
		if err != nil {
			c.in.push(parcel{err: err, due: time.Now().Add(c.half)})
			return
		}
	}
}

func (c *delayConn) deliver() {
	for {
		p := c.out.pop(c.srv)
		switch {
		case p.rst:
			c.rawConn.reset()
		case p.err != nil:
			_ = c.rawConn.Close()
		case p.fin:
			_ = c.rawConn.CloseWrite()
			continue
		default:
			if _, err := c.rawConn.Write(p.data); err == nil {
				continue
			}
			_ = c.rawConn.Close()
		}
		c.in.close()
		c.out.close()
		return
	}
}

func (c *delayConn) Read(p []byte) (int, error) {
	next := c.in.pop(c.srv)
	if next.err != nil {
		c.in.unpop(next) // the end stays the end
		return 0, next.err
	}
	n := copy(p, next.data)
	if n < len(next.data) {
		next.data = next.data[n:]
		c.in.unpop(next)
	}
	return n, nil
}

func (c *delayConn) Write(p []byte) (int, error) {
	if !c.out.push(parcel{data: append([]byte(nil), p...), due: time.Now().Add(c.half)}) {
		return 0, net.ErrClosed
	}
	return len(p), nil
}

func (c *delayConn) Close() error {
	c.out.push(parcel{err: io.EOF, due: time.Now().Add(c.half)})
	return nil
}

// CloseWrite ends our side of the stream.
func (c *delayConn) CloseWrite() error {
	c.out.push(parcel{fin: true, due: time.Now().Add(c.half)})
	return nil
}

func (c *delayConn) reset() {
	c.out.push(parcel{rst: true, due: time.Now().Add(c.half)})
}

// The deadlines of tls.Conn's own Close do not matter on a queue that always takes.
func (c *delayConn) SetDeadline(time.Time) error      { return nil }
func (c *delayConn) SetReadDeadline(time.Time) error  { return nil }
func (c *delayConn) SetWriteDeadline(time.Time) error { return nil }

type parcel struct {
	data []byte
	err  error // the end of the stream
	fin  bool  // the end of what is written
	rst  bool
	due  time.Time
}

type delayQueue struct {
	mu     sync.Mutex
	change *sync.Cond
	items  []parcel // guarded by mu, as are the two below
	bytes  int
	closed bool
}

func newDelayQueue() *delayQueue {
	q := &delayQueue{}
	q.change = sync.NewCond(&q.mu)
	return q
}

// push blocks while the queue is full and reports false once it is closed.
func (q *delayQueue) push(p parcel) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.bytes > delayQueueMax && !q.closed {
		q.change.Wait()
	}
	if q.closed {
		return false
	}
	q.items = append(q.items, p)
	q.bytes += len(p.data)
	q.change.Broadcast()
	return true
}

// pop blocks until the first parcel is due.
func (q *delayQueue) pop(srv *Server) parcel {
	q.mu.Lock()
	for len(q.items) == 0 && !q.closed {
		q.change.Wait()
	}
	if len(q.items) == 0 {
		q.mu.Unlock()
		return parcel{err: net.ErrClosed}
	}
	p := q.items[0]
	q.items = q.items[1:]
	q.bytes -= len(p.data)
	q.change.Broadcast()
	q.mu.Unlock()
	srv.sleep(time.Until(p.due))
	return p
}

func (q *delayQueue) unpop(p parcel) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items = append([]parcel{p}, q.items...)
	q.bytes += len(p.data)
}

func (q *delayQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.change.Broadcast()
}

// endSpy sits below TLS: tls reports a bare FIN at a record's boundary as io.EOF, and only the socket
// tells it from a close_notify.
type endSpy struct {
	clientConn
	ended atomic.Bool
}

func (c *endSpy) Read(p []byte) (int, error) {
	n, err := c.clientConn.Read(p)
	if err != nil {
		c.ended.Store(true)
	}
	return n, err
}
