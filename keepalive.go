package ftpclient

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"github.com/corexalgo/ftpclient/internal/crew"
	"github.com/corexalgo/ftpclient/internal/pool"
	"github.com/corexalgo/ftpclient/internal/reply"
	"github.com/corexalgo/ftpclient/internal/retry"
	"github.com/corexalgo/ftpclient/internal/session"
	"github.com/corexalgo/ftpclient/internal/sink"
	"github.com/corexalgo/ftpclient/internal/socks"
	"github.com/corexalgo/ftpclient/internal/wire"
)

// A server is one entry of Config.Servers with its connections.
type server struct {
	name string
	cfg  ServerConfig
	id   string // host:port
	pool *pool.Pool[*session.Session]

	workers atomic.Int64        // of batches
	copies  *semaphore.Weighted // connections that copies between servers may use

	offers  sync.Mutex         // guards what follows, and the leases of those in offered
	offered map[*lane]struct{} // between two files
	files   map[*File]struct{} // that have a connection, and can do without while nobody reads
}

func (c *Client) newServer(name string, cfg ServerConfig) (*server, error) {
	log := c.log.With(slog.String("server", name))
	sc, err := cfg.connection(log)
	if err != nil {
		return nil, err
	}
	srv := &server{
		name: name, cfg: cfg, id: fmt.Sprintf("%s:%d", cfg.Host, cfg.Port),
		copies: semaphore.NewWeighted(int64(cfg.MaxConns)), offered: map[*lane]struct{}{}, files: map[*File]struct{}{},
	}
	var login retry.Login
	srv.pool = pool.New(pool.Options[*session.Session]{
		Max: cfg.MaxConns,
		Dial: func(ctx context.Context) (s *session.Session, err error) {
			err = login.Try(func() error {
				s, err = session.Dial(ctx, sc)
				return err
			})
			return s, err
		},
		Refused:     func(err error) bool { return errors.Is(err, reply.ErrTooMany) },
		Fatal:       func(err error) bool { return errors.Is(err, ErrAuth) },
		KeepAlive:   cfg.KeepAlive,
		PingTimeout: min(cfg.ReplyTimeout, 10*time.Second),
		IdleTimeout: cfg.IdleTimeout,
		Patience:    cfg.StallTimeout,
		Reclaim:     srv.reclaim,
		OnEvent:     logEvents(log),
	})
	return srv, nil
}

func logEvents(log *slog.Logger) func(pool.Event) {
	return func(e pool.Event) {
		level := slog.LevelDebug
		switch e.Kind {
		case pool.Replaced, pool.LimitLowered, pool.LimitRaised:
			level = slog.LevelInfo
		}
		attrs := []slog.Attr{slog.Int("limit", e.Limit)}
		if e.Err != nil {
			attrs = append(attrs, slog.String("cause", e.Err.Error()))
		}
		log.LogAttrs(context.Background(), level, "ftp connection "+e.Kind.String(), attrs...)
	}
}

// tcpKeepAlive is how the operating system is asked to watch over connections that are silent while a transfer runs
// beside them: NOOP cannot be used then, as servers queue or refuse it, and routers forget silent connections.
var tcpKeepAlive = net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 15 * time.Second, Count: 4}

// connection is what the layer below needs to know, s having its defaults.
func (s ServerConfig) connection(log *slog.Logger) (session.Config, error) {
	charset, err := s.charset()
	if err != nil {
		return session.Config{}, err
	}
	zone, err := s.location()
	if err != nil {
		return session.Config{}, err
	}
	cfg := session.Config{
		Host: s.Host, Port: s.Port, User: s.Username, Password: s.Password.reveal(),
		ConnectTimeout: s.ConnectTimeout, ReplyTimeout: s.ReplyTimeout, StallTimeout: s.StallTimeout,
		Encoding: charset, Zone: zone,
		DisableEPSV: s.DisableEPSV, DisableMLSD: s.DisableMLSD, ListHidden: s.ListHidden,
		TrustPASVHost: s.TrustPASVHost, Active: s.Active,
		Limiter: newLimiter(s.BytesPerSecond), Logger: log, Quirks: &session.Quirks{},
	}
	switch s.TLS {
	case TLSExplicit:
		cfg.TLS = session.Explicit
	case TLSImplicit:
		cfg.TLS = session.Implicit
	}
	if cfg.TLS != session.Plain {
		if cfg.TLSConfig, err = s.tls(); err != nil {
			return session.Config{}, err
		}
	}
	cfg.Dial, cfg.Direct, err = s.dialer()
	return cfg, err
}

func (s ServerConfig) tls() (*tls.Config, error) {
	cfg := &tls.Config{} //nolint:gosec // the session sets MinVersion
	if s.TLSConfig != nil {
		cfg = s.TLSConfig.Clone()
	}
	if s.InsecureSkipVerify {
		cfg.InsecureSkipVerify = true
	}
	if s.CAFile == "" {
		return cfg, nil
	}
	pem, err := os.ReadFile(s.CAFile)
	if err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	cfg.RootCAs = x509.NewCertPool()
	if !cfg.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("ca_file: %s holds no certificate", s.CAFile)
	}
	return cfg, nil
}

// dialer opens connections as configured; direct tells that they lead to the server's own address.
func (s ServerConfig) dialer() (dial socks.Dial, direct bool, err error) {
	dial, direct = (&net.Dialer{KeepAliveConfig: tcpKeepAlive, Control: wire.Unpaced}).DialContext, true
	if s.DialContext != nil {
		dial, direct = s.DialContext, false
	}
	if s.Proxy == "" {
		return dial, direct, nil
	}
	if dial, err = socks.Through(s.Proxy, dial); err != nil {
		return nil, false, fmt.Errorf("proxy: %w", err)
	}
	return dial, false, nil
}

// newLimiter is nil for an unlimited rate.
func newLimiter(bytesPerSecond int64) *rate.Limiter {
	if bytesPerSecond <= 0 {
		return nil
	}
	// A tenth of a second at once: smooth for the eye and the line, and few enough calls.
	burst := min(max(bytesPerSecond/10, 1), 1<<20)
	return rate.NewLimiter(rate.Limit(bytesPerSecond), int(burst))
}

// unreachableError is the error of a connection that could not be opened.
type unreachableError struct{ error }

func (e *unreachableError) Unwrap() error { return e.error }

// A duty is what a batch does with a server.
type duty struct {
	gone    error // it cannot be reached any more
	before  int64 // connections that had been lost when the batch came
	healed  int64 // of those that were lost since, the ones it replaced
	restore func()
}

// limit is the most connections that the servers of the batch take together.
func (b *batch) limit() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.servers) == 0 {
		return math.MaxInt
	}
	limit := 0
	for srv := range b.servers {
		limit += srv.pool.Stats().Max
	}
	return limit
}

// staffed notes how many workers there are.
func (b *batch) staffed(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for srv := range b.servers {
		srv.workers.Add(int64(n - b.workers))
	}
	b.workers = n
}

// announce logs how many workers there are.
func (b *batch) announce() {
	b.mu.Lock()
	n := b.workers
	b.mu.Unlock()
	b.c.log.Debug("ftp batch workers", slog.Int("workers", n))
}

// attend notes that the batch uses a server. The error is why it no longer does.
func (b *batch) attend(srv *server) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := b.servers[srv]
	if d == nil {
		d = &duty{restore: func() {}, before: srv.pool.Losses()}
		b.servers[srv] = d
		srv.workers.Add(int64(b.workers))
		if b.opts.NoopInterval != 0 {
			d.restore = srv.pool.Pace(b.opts.NoopInterval)
		}
	}
	return d.gone
}

// openAhead has the workers open their connections while a tree is being listed, once there is a file for each of them: it
// returns a function to tell of files that are seen. nil: what is seen may have to stay.
func (b *batch) openAhead(srv *server) (expect func(files int)) {
	if b.opts.Existing != Overwrite || len(b.opts.Include)+len(b.opts.Exclude) > 0 {
		return nil
	}
	// One worker stays free for the first task. It has the connection of the listing in the end.
	most := min(cmp.Or(b.opts.Workers, firstWorkers), srv.pool.Stats().Max) - 1
	b.chores = make(chan func(context.Context), max(most, 0))
	begin := sync.OnceFunc(func() {
		for range most {
			b.chores <- func(ctx context.Context) { b.open(ctx, srv, most+1) }
		}
	})
	var seen atomic.Int64
	return func(files int) {
		if seen.Add(int64(files)) > int64(most) {
			begin()
		}
	}
}

// open opens a connection, if nobody else needs its place, and there are not as many as total.
func (b *batch) open(ctx context.Context, srv *server, total int) {
	lease, err := srv.pool.Open(ctx, total)
	if err != nil {
		return
	}
	defer lease.Release()
	if err := b.dialed(srv, lease.Replaced()); err != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.end(err)
	}
}

// leave ends what the batch does with its servers.
func (b *batch) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, d := range b.servers {
		d.restore()
	}
}

// dialed notes a connection that was opened for the batch.
func (b *batch) dialed(srv *server, replaced bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := b.servers[srv]
	if !replaced || d == nil || d.healed >= srv.pool.Losses()-d.before { // it stands for one that was lost before
		return nil
	}
	d.healed++
	if b.reconnects++; b.reconnects > b.opts.MaxReconnects {
		return retry.Permanent(fmt.Errorf("%w: %d", ErrTooManyReconnects, b.reconnects))
	}
	return nil
}

// worn notes that a connection served a file, and tells whether it should be replaced.
func (b *batch) worn(s *session.Session) bool {
	if b.opts.ReconnectEvery <= 0 {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.served[s]++; b.served[s] < b.opts.ReconnectEvery {
		return false
	}
	delete(b.served, s)
	return true
}

// A lane is one worker's way to the servers of a batch. It keeps its connection from one file to the next, so that what the
// end of the one and the beginning of the other have to ask can travel together.
type lane struct {
	batch *batch
	srv   *server
	lease *pool.Lease[*session.Session] // nil: none
	used  bool                          // it served somebody before
	ahead crew.Ahead[task]              // what the worker does next
	tired *time.Timer                   // ends an offer that nobody takes; nil: there was none
}

// borrow is operation.borrow. It never waits for a connection while it holds another one.
func (l *lane) borrow(o *operation) (s *session.Session, reused bool, done func(), err error) {
	if l.lease != nil && (l.srv != o.srv || !l.lease.Conn().Alive()) {
		l.idle()
	}
	if l.lease == nil {
		lease, err := o.srv.acquire(o.ctx)
		if err != nil {
			return nil, false, nil, o.unreachable(err)
		}
		if err := l.batch.dialed(o.srv, lease.Replaced()); err != nil {
			lease.Release()
			return nil, false, nil, err
		}
		if l.lease, l.srv, l.used = lease, o.srv, lease.Reused(); l.used {
			lease.Conn().Forget() // it may have been dialed for somebody who did not wait for it
		}
	}
	s, reused = l.lease.Conn(), l.used
	return s, reused, func() {
		if l.used = true; !s.Usable() {
			l.idle()
		}
	}, nil
}

// idle gives the connection to whoever needs it.
func (l *lane) idle() {
	giveUp(l.lease)
	l.lease = nil
}

// pause gives up all that others could use while the worker waits.
func (l *lane) pause() {
	l.idle()
	if l.ahead != nil {
		l.ahead.GiveBack()
	}
}

// next is what the worker's next task will ask a server first, as far as it is one of the same server. It is nothing where
// somebody waits for the connection.
func (o *operation) next() session.Ahead {
	l := o.lane
	if l == nil || l.ahead == nil || o.srv.pool.Waiting() {
		return session.Ahead{}
	}
	t, ok := l.ahead.Peek()
	switch {
	case !ok, t.err != nil, t.skip != "", t.act != nil, l.batch.c.servers[t.Server] != o.srv:
		return session.Ahead{}
	case t.Direction == Up:
		return session.Ahead{Data: true}
	}
	return session.Ahead{Looks: []string{t.Remote}, Data: true}
}

// then is what will be asked once all content is there: the same file again, by prove, and the next one.
func (d *download) then(now sink.ID) session.Ahead {
	var a session.Ahead
	if !d.verifier.asksMore() {
		a = d.next()
		a.Dial = len(a.Looks) > 0 && d.opts.Existing == Overwrite // else the next file may not be moved
	}
	if now.Size >= 0 || !now.ModTime.IsZero() {
		a.Looks = append(a.Looks, d.remote)
	}
	return a
}

// renaming is what follows the proof by size and time at once, if that is all: what commit will ask.
func (u *upload) renaming() session.Ahead {
	if u.part.IsInPlace() || u.verifier.asksMore() || u.opts.Existing == FailExisting || u.opts.Existing == SkipExisting {
		return session.Ahead{}
	}
	a := session.Ahead{Rename: u.part.Name()}
	a.Data = u.next().Data
	a.Dial = a.Data
	if u.dates() {
		a.Date, a.ModTime = u.part.Name(), u.source.ModTime()
	}
	return a
}

// then is what is asked once all is sent.
func (u *upload) then() session.Ahead {
	if u.source.Check() != nil { // prove will say so, and there will be nothing to rename
		return session.Ahead{}
	}
	a := u.renaming()
	if u.opts.Verify != VerifyNone {
		a.Looks = []string{u.part.Name()}
	}
	return a
}

// between is called when a file is done, and served when its connection served it.
func (l *lane) between(served bool) {
	switch {
	case l.lease == nil:
	case served && l.batch.worn(l.lease.Conn()):
		l.lease.Retire()
		l.lease = nil
	case l.batch.opts.OnFile != nil: // a callback may need a connection, and other workers wait for it
		l.offer()
	case l.srv.pool.Waiting():
		l.idle()
	}
}

// offerHeld is how long an offer that nobody takes keeps its connection.
const offerHeld = time.Second

// offer lets whoever begins to wait for a connection have the lane's, until recall. One that nobody takes goes to the pool
// before long: a callback, or the wait for its turn, may outlast what a server allows a silent connection, and the pool keeps it
// alive.
func (l *lane) offer() {
	srv, held := l.srv, offerHeld
	if every := srv.pool.KeepAlive(); every > 0 {
		held = min(held, every)
	}
	srv.offers.Lock()
	srv.offered[l] = struct{}{}
	srv.offers.Unlock()
	l.tired = time.AfterFunc(held, func() { giveUp(srv.takeOffer(l)) })
	if srv.pool.Waiting() { // who began before
		srv.reclaim()
	}
}

// recall ends offer. The lane may have no connection any more.
func (l *lane) recall() {
	if l.tired == nil {
		return
	}
	l.tired.Stop()
	l.srv.offers.Lock()
	defer l.srv.offers.Unlock()
	delete(l.srv.offered, l)
}

// reclaim gives up what lanes offer, and has files do so.
func (s *server) reclaim() {
	for lease := s.takeOffer(nil); lease != nil; lease = s.takeOffer(nil) {
		giveUp(lease)
	}
	s.offers.Lock()
	defer s.offers.Unlock()
	for f := range s.files {
		f.ask()
	}
}

// takeOffer takes the lease of a lane that offers it, only of this one if it is not nil; nil: none does.
func (s *server) takeOffer(only *lane) (lease *pool.Lease[*session.Session]) {
	s.offers.Lock()
	defer s.offers.Unlock()
	for l := range s.offered {
		if only == nil || l == only {
			delete(s.offered, l)
			lease, l.lease = l.lease, nil
			break
		}
	}
	return lease
}

// unreachable marks the error of a connection that could not be opened.
func (o *operation) unreachable(err error) error {
	if o.ctx.Err() != nil || errors.Is(err, pool.ErrClosed) {
		return err
	}
	return &unreachableError{err}
}
