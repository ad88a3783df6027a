package ftptest

import (
	"io"
	"net"
	"sync"
)

// listening is a server with all that it has open.
type listening struct {
	listener *net.TCPListener
	wg       sync.WaitGroup

	mu     sync.Mutex
	closed bool                   // guarded by mu
	open   map[io.Closer]struct{} // guarded by mu
}

// listen opens a port on 127.0.0.1.
func (l *listening) listen() (err error) {
	l.open = map[io.Closer]struct{}{}
	l.listener, err = listenLoopback()
	return err
}

// serve begins to serve connections, each of which is closed when f returns.
func (l *listening) serve(f func(conn *net.TCPConn)) {
	l.wg.Go(func() {
		for {
			conn, err := l.listener.AcceptTCP()
			if err != nil {
				return
			}
			l.track(conn)
			l.wg.Go(func() {
				defer l.untrack(conn)
				f(conn)
			})
		}
	})
}

// track has c closed at the end, or at once if that has come.
func (l *listening) track(c io.Closer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		_ = c.Close()
		return
	}
	l.open[c] = struct{}{}
}

// untrack closes c.
func (l *listening) untrack(c io.Closer) {
	_ = c.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, c)
}

// close closes everything and waits for all who serve.
func (l *listening) close() {
	_ = l.listener.Close()
	l.mu.Lock()
	l.closed = true
	for c := range l.open {
		_ = c.Close()
	}
	l.mu.Unlock()
	l.wg.Wait()
}
