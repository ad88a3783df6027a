package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/corexalgo/ftpclient/internal/rethrow"
	"github.com/corexalgo/ftpclient/internal/wire"
)

// reach opens the data connection, if it was not dialed ahead.
func (s *Session) reach() (net.Conn, error) {
	if d := s.target.dialing; d != nil {
		s.target.dialing = nil
		conn, err := d.take(s.ctx)
		if err != nil {
			return nil, err
		}
		s.noteReach(d.took)
		if wire.Ended(conn) {
			_ = conn.Close()
			return nil, io.ErrUnexpectedEOF
		}
		return conn, nil
	}
	begun := time.Now()
	conn, err := s.dial(s.ctx, s.target.host, int(s.target.port))
	if err == nil {
		s.noteReach(time.Since(begun))
	}
	return conn, err
}

// noteReach notes how long opening a data connection took, if it was the shortest. A clock that has not ticked tells nothing.
func (s *Session) noteReach(took time.Duration) {
	if took > 0 && (s.reached == 0 || took < s.reached) {
		s.reached = took
	}
}

// near tells a server to which opening a connection takes less than handing that over to another goroutine, and the connection
// back. What was the shortest time says so: all others were spent on this side of the line.
func (s *Session) near() bool {
	const least = 250 * time.Microsecond
	return s.reached > 0 && s.reached < least
}

// dial opens a connection within ConnectTimeout.
func (s *Session) dial(ctx context.Context, host string, port int) (net.Conn, error) {
	limited, cancel := context.WithTimeout(ctx, s.cfg.ConnectTimeout)
	defer cancel()
	addr := net.JoinHostPort(host, strconv.Itoa(port))
	conn, err := s.cfg.Dial(limited, "tcp", addr)
	switch {
	case err == nil:
		return conn, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case overdue(ctx): // a dialer looks at the clock, and may be sooner than the context
		return nil, context.DeadlineExceeded
	case errors.Is(err, context.DeadlineExceeded): // ours, which must not look like the caller's
		return nil, fmt.Errorf("dial %s: %w", addr, os.ErrDeadlineExceeded)
	}
	return nil, err
}

func overdue(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ok && !time.Now().Before(deadline)
}

// A dialing is a data connection that is opened while something else is asked.
type dialing struct {
	cancel context.CancelFunc
	done   chan struct{}
	conn   net.Conn // once done
	err    error
	took   time.Duration
	fell   rethrow.Keeper // of Config.Dial
}

// dialAhead begins to open the data connection that s.kept leads to, unless the server is near.
func (s *Session) dialAhead() {
	if s.near() {
		return
	}
	to, err := s.leads(s.kept.passive, *s.kept.data)
	if err != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.ctx)) // the next operation's, if any
	d := &dialing{cancel: cancel, done: make(chan struct{})}
	s.kept.dialing = d
	go func() {
		defer close(d.done)
		begun := time.Now()
		d.fell.Run(func() { d.conn, d.err = s.dial(ctx, to.host, int(to.port)) }, func() {})
		d.took = time.Since(begun)
	}()
}

// take waits for the connection.
func (d *dialing) take(ctx context.Context) (net.Conn, error) {
	select {
	case <-d.done:
		d.cancel()
		d.fell.Again()
		return d.conn, d.err
	case <-ctx.Done():
		d.drop()
		return nil, ctx.Err()
	}
}

// drop closes the connection; d may be nil.
func (d *dialing) drop() {
	if d == nil {
		return
	}
	d.cancel()
	go func() {
		if <-d.done; d.conn != nil {
			_ = d.conn.Close()
		}
	}()
}
