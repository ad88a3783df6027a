package pool

import (
	"sync"

	"github.com/jackc/puddle/v2"
)

// Lease is a connection in the hands of one caller, who must end it with Release or Retire.
type Lease[C Conn] struct {
	pool   *Pool[C]
	res    *puddle.Resource[*slot[C]]
	conn   C
	reused bool
	once   sync.Once
}

func (p *Pool[C]) lease(res *puddle.Resource[*slot[C]], reused bool) *Lease[C] {
	p.mu.Lock()
	p.stats.InUse++
	p.mu.Unlock()
	return &Lease[C]{pool: p, res: res, conn: res.Value().conn, reused: reused}
}

// Conn returns the connection. It is the caller's until Release or Retire, and must not be used after.
func (l *Lease[C]) Conn() C { return l.conn }

// Reused reports that the connection was not dialed for this lease.
func (l *Lease[C]) Reused() bool { return l.reused }

// Replaced reports that the connection was dialed for this lease because another one had been lost.
func (l *Lease[C]) Replaced() bool { return !l.reused && l.res.Value().heir }

// Release gives the connection back when it is usable and alive, else closes it in the background: as one that was lost,
// unless it says of itself that it is Spent. It does not block, and does nothing after Release or Retire.
func (l *Lease[C]) Release() {
	l.once.Do(func() {
		if cause := look(l.conn); cause != nil {
			l.lose(cause)
			return
		}
		l.pool.returned()
		l.res.Release()
		l.pool.units.Release(1)
	})
}

// Retire closes the connection in the background, though it may be good. It does not block, and does nothing after
// Release or Retire.
func (l *Lease[C]) Retire() {
	l.once.Do(func() {
		if !l.conn.Usable() {
			l.lose(errUnusable)
			return
		}
		l.pool.returned()
		l.pool.dismiss(l.res)
		l.pool.report(Retired, nil)
	})
}

func (l *Lease[C]) lose(cause error) {
	l.pool.returned()
	if c, ok := any(l.conn).(interface{ Spent() bool }); ok && c.Spent() {
		l.pool.dismiss(l.res)
		l.pool.report(Retired, cause)
		return
	}
	l.res.Value().unit = true
	l.pool.discard(l.res, cause)
}

func (p *Pool[C]) returned() {
	p.mu.Lock()
	p.stats.InUse--
	p.mu.Unlock()
}

// dismiss closes a connection that was not lost in the background, and gives its unit back.
func (p *Pool[C]) dismiss(res *puddle.Resource[*slot[C]]) {
	res.Value().unit = true
	res.Destroy()
}
