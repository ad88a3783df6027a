package ftptest

import (
	"crypto/tls"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"

	ftpserver "github.com/fclairamb/ftpserverlib"
	"github.com/spf13/afero"
)

// backend is the ftpserverlib server behind the proxy.
type backend struct {
	port   int
	server *ftpserver.FtpServer
	served chan struct{}

	opts     Options
	settings *ftpserver.Settings
	fs       afero.Fs
	busy     tally // connected clients and open files
}

func startBackend(dir string, o Options) (*backend, error) {
	l, err := listenLoopback()
	if err != nil {
		return nil, err
	}
	b := &backend{
		port: portOf(l), served: make(chan struct{}), opts: o,
		settings: &ftpserver.Settings{
			EnableHASH: o.Hash, DisableMLSD: o.NoMLSD, DisableMLST: o.NoMLSD,
			DefaultTransferType: ftpserver.TransferTypeASCII,
			IdleTimeout:         24 * 60 * 60, // seconds; the proxy keeps the time
		},
	}
	b.settings.Listener = &countingListener{TCPListener: l, busy: &b.busy}
	b.fs = afero.NewBasePathFs(afero.NewOsFs(), dir)
	if o.ReadOnly {
		b.fs = afero.NewReadOnlyFs(b.fs)
	}
	b.server = ftpserver.NewFtpServer(b)
	b.server.Logger = slog.New(slog.DiscardHandler)
	if err := b.server.Listen(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	go func() {
		defer close(b.served)
		_ = b.server.Serve() // ends when Stop closes the listener
	}()
	return b, nil
}

// close waits for the clients, whose connections the proxy has closed: Stop closes none of them, and calling it
// twice is a race.
func (b *backend) close() {
	_ = b.server.Stop()
	<-b.served
	b.busy.wait()
}

func (b *backend) GetSettings() (*ftpserver.Settings, error) { return b.settings, nil }

func (b *backend) ClientConnected(ftpserver.ClientContext) (string, error) { return "ready", nil }

func (b *backend) ClientDisconnected(ftpserver.ClientContext) { b.busy.add(-1) }

func (b *backend) AuthUser(_ ftpserver.ClientContext, user, pass string) (ftpserver.ClientDriver, error) {
	if user != b.opts.User || pass != b.opts.Password {
		return nil, errors.New("login incorrect")
	}
	return &driver{Fs: b.fs, b: b}, nil
}

func (b *backend) GetTLSConfig() (*tls.Config, error) {
	return nil, errors.New("the proxy speaks TLS")
}

// driver makes ftpserverlib's view of the folder that of a Unix server.
type driver struct {
	afero.Fs
	b *backend
}

// Remove serves DELE, which must not take directories.
func (d *driver) Remove(name string) error {
	info, err := d.Stat(name)
	if err == nil && info.IsDir() {
		return &fs.PathError{Op: "remove", Path: name, Err: syscall.EISDIR}
	}
	return d.Fs.Remove(name)
}

// RemoveDir serves RMD, which must not take files.
func (d *driver) RemoveDir(name string) error {
	info, err := d.Stat(name)
	if err == nil && !info.IsDir() {
		return &fs.PathError{Op: "rmdir", Path: name, Err: syscall.ENOTDIR}
	}
	return d.Fs.Remove(name)
}

func (d *driver) Rename(from, to string) error {
	if d.b.opts.RenameRefusesExisting {
		if _, err := d.Stat(to); err == nil {
			return &fs.PathError{Op: "rename", Path: to, Err: fs.ErrExist}
		}
	}
	return d.Fs.Rename(from, to)
}

// ReadDir lists in order, with times in UTC, so that a listing does not depend on the machine.
func (d *driver) ReadDir(name string) ([]os.FileInfo, error) {
	infos, err := afero.ReadDir(d.Fs, name)
	if err != nil {
		return nil, err
	}
	sort.Slice(infos, func(i, j int) bool { return infos[i].Name() < infos[j].Name() })
	for i := range infos {
		infos[i] = utcInfo{infos[i]}
	}
	return infos, nil
}

type utcInfo struct{ os.FileInfo }

func (i utcInfo) ModTime() time.Time { return i.FileInfo.ModTime().UTC() }

// GetHandle opens a file for a transfer; close waits for those still open.
func (d *driver) GetHandle(name string, flags int, _ int64) (ftpserver.FileTransfer, error) {
	if strings.HasSuffix(name, "/") {
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.EISDIR}
	}
	if info, err := d.Stat(name); err == nil && info.IsDir() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.EISDIR}
	}
	f, err := d.OpenFile(name, flags, 0o644)
	if err != nil {
		return nil, err
	}
	d.b.busy.add(1)
	return &handle{File: f, done: func() { d.b.busy.add(-1) }}, nil
}

type handle struct {
	afero.File
	once sync.Once
	done func()
}

func (h *handle) Close() error {
	defer h.once.Do(h.done)
	return h.File.Close()
}

// countingListener counts a client before its goroutine starts; ClientDisconnected takes it off.
type countingListener struct {
	*net.TCPListener
	busy *tally
}

func (l *countingListener) Accept() (net.Conn, error) {
	conn, err := l.TCPListener.Accept()
	if err == nil {
		l.busy.add(1)
	}
	return conn, err
}

// tally is a WaitGroup that may be added to while somebody waits.
type tally struct {
	mu   sync.Mutex
	n    int // guarded by mu
	zero chan struct{}
}

func (t *tally) add(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n += n
	if t.n == 0 && t.zero != nil {
		close(t.zero)
		t.zero = nil
	}
}

func (t *tally) wait() {
	t.mu.Lock()
	if t.n == 0 {
		t.mu.Unlock()
		return
	}
	if t.zero == nil {
		t.zero = make(chan struct{})
	}
	zero := t.zero
	t.mu.Unlock()
	<-zero
}
