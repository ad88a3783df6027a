// Package ftpclient moves files to and from FTP servers so that every byte is right or the error is clear.
//
// A [Client] holds named servers and lends pooled connections to them. Downloads and uploads resume after drops, appear
// under their name only when they are whole and proved, and end with their context; no call waits for ever.
//
//	client, err := ftpclient.New(ftpclient.Config{Servers: map[string]ftpclient.ServerConfig{
//		"backup": {Host: "ftp.example.com", Username: "joe", PasswordEnv: "BACKUP_PASSWORD", TLS: ftpclient.TLSExplicit},
//	}})
//	if err != nil {
//		return err
//	}
//	defer client.Close()
//	result, err := client.Download(ctx, "backup", "dumps/monday.tar.gz", "monday.tar.gz", nil)
//
// Remote paths are separated by slashes, and relative ones begin at the login directory. Options may be nil;
// a value in them that has no meaning is an error, fs.ErrInvalid, before anything is done.
package ftpclient

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/corexalgo/ftpclient/internal/pool"
	"github.com/corexalgo/ftpclient/internal/reply"
	"github.com/corexalgo/ftpclient/internal/retry"
	"github.com/corexalgo/ftpclient/internal/session"
)

// A Client works with named servers. It is safe for concurrent use. Connections are opened when they are first needed,
// kept for reuse, and closed by Close.
type Client struct {
	servers map[string]*server
	retry   RetryPolicy
	log     *slog.Logger

	ctx    context.Context //nolint:containedctx // ends with Close, and every call's work with it
	cancel context.CancelFunc

	mu      sync.Mutex // guards closing; calls that are no part of others are added to running only before
	closing bool
	running work
}

// New makes a Client. It checks all of cfg, reports every fault at once, and does no network I/O.
func New(cfg Config) (*Client, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	c := &Client{servers: make(map[string]*server, len(cfg.Servers)), retry: cfg.Retry, log: cfg.Logger}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	var faults []error
	for name, sc := range cfg.Servers {
		srv, err := c.newServer(name, sc.withDefaults())
		if err != nil {
			faults = append(faults, fmt.Errorf("servers.%s: %w", name, err))
			continue
		}
		c.servers[name] = srv
	}
	if len(faults) > 0 {
		c.cancel()
		return nil, errors.Join(faults...)
	}
	return c, nil
}

// Format keeps a printed Client from showing what is inside it, passwords among it.
func (c *Client) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "ftpclient.Client%v", c.Servers())
}

// Close cancels running work, closes every connection and waits for both, at most a second: only a caller's own reader,
// writer or callback that does not return can outlast it. Later calls do nothing; the error is always nil.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closing = true
	c.mu.Unlock()
	c.cancel()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		var all sync.WaitGroup
		for _, srv := range c.servers {
			all.Go(srv.pool.Close)
		}
		all.Wait()
		<-c.running.Idle()
	}()
	select {
	case <-closed:
	case <-time.After(time.Second):
		c.log.Warn("ftp client closed while a caller's reader, writer or callback still runs")
	}
	return nil
}

// Shutdown refuses new work, waits for running work to finish until ctx ends, and then does what Close does. Its error is
// ctx's if work had to be cut off.
func (c *Client) Shutdown(ctx context.Context) error {
	c.mu.Lock()
	c.closing = true
	c.mu.Unlock()
	idle := c.running.Idle()
	var err error
	select {
	case <-idle:
	case <-ctx.Done():
		select {
		case <-idle: // nothing has to be cut off
		default:
			err = ctx.Err()
		}
	}
	_ = c.Close()
	return err
}

// work counts calls while they run. Unlike a sync.WaitGroup it can be asked without a wait.
type work struct {
	mu   sync.Mutex    // guards what follows
	n    int           // calls
	idle chan struct{} // closed when there are none; nil: nobody has asked
}

// Add counts n calls more.
func (w *work) Add(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n += n
	if w.n == 0 && w.idle != nil {
		close(w.idle)
		w.idle = nil
	}
}

// Done counts one less.
func (w *work) Done() { w.Add(-1) }

// Idle is closed when no call runs.
func (w *work) Idle() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	idle := w.idle
	if idle == nil {
		idle = make(chan struct{})
	}
	if w.n == 0 {
		close(idle)
	} else {
		w.idle = idle
	}
	return idle
}

// Servers are the names of the servers, sorted.
func (c *Client) Servers() []string {
	names := make([]string, 0, len(c.servers))
	for name := range c.servers {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Ping borrows a connection, opening one if there is none, and sends NOOP over it.
func (c *Client) Ping(ctx context.Context, server string) error {
	return c.repeat(ctx, "ping", server, "", func(ctx context.Context, s *session.Session) error { return s.Ping(ctx) })
}

// IsConnected reports whether the server answers now: it is Ping without a retry, and true where other calls use all connections.
func (c *Client) IsConnected(ctx context.Context, server string) bool {
	op, err := c.begin(ctx, "ping", server, "")
	if err != nil {
		return false
	}
	defer op.end()
	ping := func(s *session.Session) error { return s.Ping(op.ctx) }
	op.spare = true
	err = op.use(ping)
	if !errors.Is(err, pool.ErrBusy) {
		return err == nil
	}
	if op.srv.pool.Stats().InUse > 0 {
		return true
	}
	op.spare = false // they are being opened or closed
	return op.use(ping) == nil
}

// Features are the extensions that a server says it has (FEAT, RFC 2389): verbs in upper case with their parameters.
// It is empty for a server without FEAT.
type Features map[string]string

// Has reports whether the server lists verb, in upper case.
func (f Features) Has(verb string) bool {
	_, ok := f[verb]
	return ok
}

// Features returns what the server says it can do. It needs a connection, and no round trip where one is there.
func (c *Client) Features(ctx context.Context, server string) (Features, error) {
	var features Features
	err := c.repeat(ctx, "features", server, "", func(_ context.Context, s *session.Session) error {
		features = maps.Clone(Features(s.Features())) // the session goes by its own
		return nil
	})
	return features, err
}

// PoolStats counts a server's connections.
type PoolStats struct {
	Max   int // the limit in force now: it falls below MaxConns when the server refuses more, and rises again later
	Open  int
	Idle  int
	InUse int

	Dials      int64 // connections opened and logged in so far
	Reconnects int64 // dials that replaced a connection that was lost
	Noops      int64 // NOOPs sent to keep idle connections alive

	Workers int // of the batches that use the server just now
}

// Stats returns the counts of a server's connections. It does no I/O.
func (c *Client) Stats(server string) (PoolStats, error) {
	srv, ok := c.servers[server]
	if !ok {
		return PoolStats{}, wrap("stats", server, "", ErrUnknownServer)
	}
	s := srv.pool.Stats()
	return PoolStats{
		Max: s.Max, Open: s.Open, Idle: s.Idle, InUse: s.InUse,
		Dials: s.Dials, Reconnects: s.Reconnects, Noops: s.Noops,
		Workers: int(srv.workers.Load()),
	}, nil
}

// An operation is one call of a method while it runs: its context ends with the caller's and with the Client.
type operation struct {
	c      *Client
	srv    *server
	name   string
	path   string
	lane   *lane           // of a batch that it is part of; nil: none
	spare  bool            // it wants no connection that it would have to wait for
	expect func(files int) // called when a listing, which may not be proved yet, shows so many files more; nil: nobody asks
	caller context.Context //nolint:containedctx // lives as long as the call
	ctx    context.Context //nolint:containedctx // caller, ended by Close too
	cancel context.CancelFunc
	stop   func() bool
	log    *slog.Logger
}

func (c *Client) begin(ctx context.Context, name, serverName, path string) (*operation, error) {
	srv, ok := c.servers[serverName]
	if !ok {
		return nil, wrap(name, serverName, path, ErrUnknownServer)
	}
	if err := c.enter(ctx); err != nil {
		return nil, wrap(name, serverName, path, err)
	}
	return c.operation(ctx, name, srv, path), nil
}

// within is the key of an operation's context: what is begun with it is a part of work that Shutdown waits for.
type within struct{ *Client }

// enter counts work that Close and Shutdown have to wait for, unless there shall be no more of it.
func (c *Client) enter(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing && ctx.Value(within{c}) == nil {
		return fs.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	c.running.Add(1)
	return nil
}

// operation begins a call for which enter was called.
func (c *Client) operation(ctx context.Context, name string, srv *server, path string) *operation {
	op := &operation{c: c, srv: srv, name: name, path: path, caller: ctx}
	op.ctx, op.cancel = context.WithCancel(context.WithValue(ctx, within{c}, true))
	op.stop = context.AfterFunc(c.ctx, op.cancel)
	op.log = c.log.With(slog.String("op", name), slog.String("server", srv.name), slog.String("path", path))
	return op
}

func (o *operation) end() {
	o.stop()
	o.cancel()
	o.c.running.Done()
}

// wrap makes err the call's error.
func (o *operation) wrap(err error) error {
	if err != nil && o.caller.Err() == nil && o.c.ctx.Err() != nil && (isContext(err) || errors.Is(err, pool.ErrClosed)) {
		err = fs.ErrClosed
	}
	return wrap(o.name, o.srv.name, o.path, err)
}

// use lends f a connection for one try. A reused connection that turns out to be dead, as it gives no reply at all, or of a login
// that the server has forgotten meanwhile, is replaced once, free of charge: f must be safe to run again.
func (o *operation) use(f func(*session.Session) error) error {
	stale, err := o.useOnce(f)
	if stale {
		_, err = o.useOnce(f)
	}
	return err
}

// useOnce tells besides whether the connection was one of before that had died unnoticed.
func (o *operation) useOnce(f func(*session.Session) error) (stale bool, err error) {
	s, reused, done, err := o.borrow()
	if err != nil {
		return false, err
	}
	defer done() // also where a callback of the caller's panics
	before := s.Served()
	err = f(s)
	nothing := err != nil && !s.Usable() && s.Served() == before && o.ctx.Err() == nil
	return reused && nothing && (lost(err) || reply.Code(err) == 530), err
}

// borrow gets a connection, until done; reused tells that it served somebody before.
func (o *operation) borrow() (s *session.Session, reused bool, done func(), err error) {
	if o.lane != nil {
		return o.lane.borrow(o)
	}
	acquire := o.srv.acquire
	if o.spare {
		acquire = o.srv.pool.TryAcquire
	}
	lease, err := acquire(o.ctx)
	if err != nil {
		return nil, false, nil, o.unreachable(err)
	}
	if lease.Reused() {
		lease.Conn().Forget() // it may have been dialed for somebody who did not wait for it
	}
	return lease.Conn(), lease.Reused(), func() {
		lease.Conn().Forget()
		lease.Release()
	}, nil
}

// acquire waits for a connection, but not where that may be for ever.
func (s *server) acquire(ctx context.Context) (*pool.Lease[*session.Session], error) {
	lease, err := s.pool.Acquire(ctx)
	if errors.Is(err, pool.ErrStuck) {
		err = retry.Permanent(fmt.Errorf("for %v all connections (max_conns) are held by calls that wait for their caller: "+
			"for a reader, a writer, a callback, or the next Read of a File", s.cfg.StallTimeout))
	}
	return lease, err
}

// useSpare is use of a connection that nobody else wants: it is pool.ErrBusy at once where there is none. ctx bounds the
// look for it.
func (o *operation) useSpare(ctx context.Context, f func(*session.Session) error) error {
	lease, err := o.srv.pool.TryAcquire(ctx)
	if err != nil {
		return err
	}
	if lease.Reused() {
		lease.Conn().Forget() // it may have been dialed for somebody who did not wait for it
	}
	defer func() {
		lease.Conn().Forget()
		lease.Release()
	}()
	return f(lease.Conn())
}

// lost tells an error of a connection that went away, as idle ones do, from one that was waited for in vain.
func lost(err error) bool { return retry.Retryable(err) && !timedOut(err) }

func timedOut(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// try runs attempt until it succeeds or the policy ends it. Others may have a worker's connection, and its next task, while
// it waits.
func (o *operation) try(policy RetryPolicy, attempt retry.Attempt) (int, error) {
	pause := func() {}
	if o.lane != nil {
		pause = o.lane.pause
	}
	return o.tryAside(o.ctx, policy, pause, attempt)
}

// tryAside is try of something that goes on beside the operation, whose connection it has not: it ends with ctx and calls
// pause before each wait.
func (o *operation) tryAside(ctx context.Context, policy RetryPolicy, pause func(), attempt retry.Attempt) (int, error) {
	return retry.Do(ctx, retry.Policy(policy.withDefaults()), func(n int, wait time.Duration, err error) {
		o.log.Info("ftp retry", slog.Int("attempt", n), slog.Duration("wait", wait), slog.String("cause", err.Error()))
		pause()
	}, attempt)
}

// repeat is a whole call of something that may be repeated.
func (c *Client) repeat(ctx context.Context, name, server, path string, f func(context.Context, *session.Session) error) error {
	op, err := c.begin(ctx, name, server, path)
	if err != nil {
		return err
	}
	defer op.end()
	_, err = op.try(c.retry, func(context.Context, int) (bool, error) {
		return false, op.use(func(s *session.Session) error { return f(op.ctx, s) })
	})
	return op.wrap(err)
}

// giveUp gives a connection to whoever needs it; nil: none.
func giveUp(lease *pool.Lease[*session.Session]) {
	if lease != nil {
		lease.Conn().Forget()
		lease.Release()
	}
}

// openTree opens a local folder, made if it is missing, for what comes from a server by a batch of such options.
func (c *Client) openTree(server, dir string, opts *BatchOptions) (*os.Root, error) {
	if err := check(opts); err != nil {
		return nil, err
	}
	if c.servers[server] == nil {
		return nil, ErrUnknownServer
	}
	dir = filepath.Clean(dir)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	return os.OpenRoot(dir)
}

// times asks for exact modification times, many in one round trip.
func (o *operation) times(names []string) (times []time.Time, err error) {
	err = o.names().Try(func(s *session.Session) (err error) {
		times, err = s.Times(o.ctx, names)
		return err
	})
	return times, err
}

// looks asks for sizes and times, many in one round trip.
func (o *operation) looks(names []string) (looks []session.Look, err error) {
	err = o.names().Try(func(s *session.Session) (err error) {
		looks, err = s.Looks(o.ctx, names...)
		return err
	})
	return looks, err
}
