package ftpclient

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"github.com/corexalgo/ftpclient/internal/pool"
	"github.com/corexalgo/ftpclient/internal/retry"
	"github.com/corexalgo/ftpclient/internal/session"
	"github.com/corexalgo/ftpclient/internal/sink"
	"github.com/corexalgo/ftpclient/internal/wire"
)

// smallFile is the size up to which a File reads all at its first Read, so that it holds no connection between Reads.
const smallFile = 256 << 10

// A File is a remote file that is being read: an fs.File and an io.Seeker. Its methods may be called concurrently, and take
// turns. It must be closed.
//
// What its Reads return is of one version of the file: when a connection was lost, after a Seek to elsewhere and at the end,
// size and modification time are asked again, and after a loss the last 64 KiB before it are read again and compared. Once
// the remote file was changed Read fails with ErrMismatch. Where a server cannot begin in the middle, what lies before is read in
// vain.
type File struct {
	op     *operation
	cancel context.CancelCauseFunc
	stop   func() bool
	end    sync.Once

	retry    RetryPolicy
	patience time.Duration // how long a connection is waited for, and none given up meanwhile; 0: as long as the context lasts
	asked    atomic.Bool   // giveWay will be called

	mu     sync.Mutex // taken by every method; guards what follows
	entry  Entry
	offset int64 // of the next Read
	closed bool

	small *[]byte // the content of a small file, once it was read

	lease    *pool.Lease[*session.Session] // with stream: the connection that it occupies
	stream   *session.Retrieval            // nil: none; else it stands at at
	resting  func()                        // ends the stream's rest; nil: it has none
	left     time.Time                     // when the last Read ended
	at       int64                         // where the last Read ended
	tail     []byte                        // what was read just before it
	id       *sink.ID                      // of the version that is being read; nil: not known yet
	seen     bool                          // bytes of it were returned
	unproved bool                          // more was returned since the version was last proved
	noREST   bool                          // the server does not begin in the middle
}

var (
	_ fs.File   = (*File)(nil)
	_ io.Seeker = (*File)(nil)
)

var errIsDir = errors.New("is a directory")

// Open opens a remote file for reading. It finds out what remote is, and no more: a directory is an error, and nothing of
// the content is moved before the first Read. ctx governs the File until Close.
//
// A file of more than 256 KiB has a connection from its first Read to its end, to a Read elsewhere, or to Close. While nobody
// reads, those who wait for a connection get it, and the next Read goes on over another one; but a file of which the server does
// not tell size and time, and which could not be recognised then, keeps it.
func (c *Client) Open(ctx context.Context, server, remote string) (*File, error) {
	entry, err := c.Stat(ctx, server, remote)
	if err != nil {
		return nil, err
	}
	return c.open(ctx, server, remote, entry)
}

func (c *Client) open(ctx context.Context, server, remote string, entry Entry) (*File, error) {
	if entry.IsDir() {
		return nil, wrap("open", server, remote, errIsDir)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	op, err := c.begin(ctx, "read", server, remote)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	f := &File{op: op, cancel: cancel, entry: entry, retry: c.retry}
	// Whatever ends the context, Close of the Client too, gives the connection back, though nobody closes the File.
	f.stop = context.AfterFunc(op.ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.finish()
	})
	return f, nil
}

// Stat is what the server told when the file was opened.
func (f *File) Stat() (fs.FileInfo, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, f.op.wrap(fs.ErrClosed)
	}
	return fileInfo{f.entry}, nil
}

// Close gives the connection back. A Read that is under way then ends with fs.ErrClosed, which is also what a second Close
// returns.
func (f *File) Close() error {
	if !f.mu.TryLock() { // there is something under way that must end; otherwise the connection may be kept
		f.cancel(fs.ErrClosed)
		f.mu.Lock()
	}
	defer f.mu.Unlock()
	if f.closed {
		return f.op.wrap(fs.ErrClosed)
	}
	f.closed = true
	f.stop()
	f.finish()
	return nil
}

// finish ends the operation; f.mu is held.
func (f *File) finish() {
	f.end.Do(func() {
		f.drop()
		f.small, f.tail = nil, nil
		f.cancel(fs.ErrClosed)
		f.op.end()
	})
}

// Seek sets where the next Read begins. It does no I/O.
func (f *File) Seek(offset int64, whence int) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return 0, f.op.wrap(fs.ErrClosed)
	}
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += f.offset
	case io.SeekEnd:
		if f.size() < 0 {
			return 0, f.op.wrap(fmt.Errorf("the server does not tell the file's size: %w", errors.ErrUnsupported))
		}
		offset += f.size()
	default:
		return 0, f.op.wrap(fmt.Errorf("whence %d: %w", whence, fs.ErrInvalid))
	}
	if offset < 0 {
		return 0, f.op.wrap(fmt.Errorf("a position before the start: %w", fs.ErrInvalid))
	}
	f.offset = offset
	return offset, nil
}

func (f *File) size() int64 {
	if f.id != nil {
		return f.id.Size
	}
	return f.entry.Size
}

// Read reads on, over a new connection if need be. io.EOF says that the server sent all there is, and that the file did not
// change meanwhile.
func (f *File) Read(p []byte) (n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || f.op.ctx.Err() != nil {
		return 0, f.ended()
	}
	if len(p) == 0 {
		return 0, nil
	}
	f.stir()
	if f.offset != f.at {
		f.drop()
		f.at, f.tail, f.unproved = f.offset, f.tail[:0], false
	}
	if size := f.size(); size >= 0 && size <= smallFile {
		n, err = f.readSmall(p)
	} else {
		n, err = f.readAgain(p)
	}
	if f.patience <= 0 {
		f.settle()
	}
	switch {
	case err != nil && f.op.ctx.Err() != nil:
		return 0, f.ended()
	case err != nil:
		return 0, f.op.wrap(err)
	case n == 0:
		return 0, io.EOF
	}
	f.offset += int64(n)
	f.at = f.offset
	return n, nil
}

// ended is the error of a File that is no longer open: its own Close or its Client's is fs.ErrClosed.
func (f *File) ended() error {
	if f.closed || errors.Is(context.Cause(f.op.caller), fs.ErrClosed) {
		return f.op.wrap(fs.ErrClosed)
	}
	return f.op.wrap(f.op.ctx.Err())
}

// readSmall fetches all, if that was not done, and serves from it. At the end it returns 0.
func (f *File) readSmall(p []byte) (int, error) {
	if f.small == nil {
		var b bytes.Buffer
		ctx := context.WithValue(f.op.caller, within{f.op.c}, true)
		if _, err := f.op.c.DownloadTo(ctx, f.op.srv.name, f.op.path, &capped{&b, f.size(), errOtherFile}, nil); err != nil {
			return 0, err
		}
		content := b.Bytes()
		if int64(len(content)) != f.size() {
			return 0, errOtherFile
		}
		f.small = &content
	}
	content := *f.small
	return copy(p, content[min(f.offset, int64(len(content))):]), nil
}

var (
	errOtherFile  = retry.Permanent(fmt.Errorf("%w: the remote file changed since it was opened; open it anew", ErrMismatch))
	errOtherPlace = fmt.Errorf("%w: the server does not begin where it is told to, or the remote file changed since it was opened", ErrMismatch)
)

// readStream reads from the stream, which it opens if there is none. At the proved end it returns 0.
func (f *File) readStream(p []byte) (int, error) {
	if f.stream == nil {
		if size := f.size(); size >= 0 && f.at >= size && !f.unproved {
			return 0, nil
		}
		if err := f.connect(); err != nil {
			return 0, err
		}
	}
	n, err := f.stream.Read(p)
	switch {
	case f.size() >= 0 && f.at+int64(n) > f.size():
		f.drop()
		return 0, errOtherFile
	case n > 0:
		f.remember(p[:n])
		return n, nil
	case errors.Is(err, io.EOF):
		err = f.prove()
	}
	if err != nil {
		f.drop()
	}
	return 0, err
}

// readAgain is readStream, repeated by the policy once what is there has failed.
func (f *File) readAgain(p []byte) (n int, err error) {
	if f.stream != nil {
		if n, err = f.readStream(p); err == nil || !Retryable(err) || f.op.ctx.Err() != nil {
			return n, err
		}
	}
	_, err = f.op.try(f.retry, func(context.Context, int) (bool, error) {
		n, err = f.readStream(p)
		return false, err
	})
	return n, err
}

// remember keeps the last bytes that were read, for the proof after a loss.
func (f *File) remember(p []byte) {
	f.seen, f.unproved = true, true
	if f.tail == nil {
		f.tail = make([]byte, 0, 2*sink.Overlap) // twice, so that small Reads do not move it each time
	}
	p = p[max(0, len(p)-sink.Overlap):]
	if len(f.tail)+len(p) > cap(f.tail) {
		f.tail = f.tail[:copy(f.tail, f.overlap())]
	}
	f.tail = append(f.tail, p...)
}

// overlap is what is compared after a loss.
func (f *File) overlap() []byte { return f.tail[max(0, len(f.tail)-sink.Overlap):] }

// connect opens the stream at at, over a connection that it keeps. One that was idle and turns out to be dead is replaced.
func (f *File) connect() error {
	for free := true; ; free = false {
		lease, err := f.acquire()
		if err != nil {
			return err
		}
		if lease.Reused() {
			lease.Conn().Forget() // it may have been dialed for somebody who did not wait for it
		}
		stream, err := f.begin(lease.Conn())
		if err == nil {
			f.lease, f.stream = lease, stream
			f.lend()
			return nil
		}
		again := free && lease.Reused() && !lease.Conn().Usable() && f.op.ctx.Err() == nil && lost(err)
		lease.Release()
		if !again {
			return err
		}
	}
}

// acquire gets a connection, within patience.
func (f *File) acquire() (*pool.Lease[*session.Session], error) {
	if f.patience <= 0 {
		return f.op.srv.acquire(f.op.ctx)
	}
	ctx, cancel := context.WithTimeout(f.op.ctx, f.patience)
	defer cancel()
	lease, err := f.op.srv.acquire(ctx)
	if err != nil && ctx.Err() != nil && f.op.ctx.Err() == nil {
		err = retry.Permanent(fmt.Errorf("no connection became free within %v", f.patience))
	}
	return lease, err
}

// begin proves that the file is still the one that was read so far, and leads to where it was left.
func (f *File) begin(s *session.Session) (*session.Retrieval, error) {
	told := unknown
	if f.id != nil {
		told = *f.id
	}
	now, err := f.look(s, told)
	switch {
	case err != nil:
		return nil, err
	case f.id == nil && f.entry.Size >= 0 && now.Size >= 0 && f.entry.Size != now.Size:
		return nil, errOtherFile
	case f.id == nil:
		f.id = &now
	case !f.id.Same(now):
		return nil, errOtherFile
	case f.seen && f.at > 0 && !now.Provable():
		return nil, retry.Permanent(fmt.Errorf("%w: the server does not tell the file's size and time, so it may be another one now", ErrUnverifiable))
	}
	ours := f.overlap()
	from := f.at - int64(len(ours))
	r, skip, err := f.retrieve(s, from, now.Size, len(ours) == 0)
	if err != nil {
		return nil, err
	}
	if _, err := io.CopyN(io.Discard, r, skip); err != nil {
		return nil, errors.Join(retry.Transient(err), r.Close())
	}
	theirs := make([]byte, len(ours))
	if _, err := io.ReadFull(r, theirs); err != nil {
		return nil, errors.Join(retry.Transient(err), r.Close())
	}
	switch {
	case bytes.Equal(theirs, ours):
		return r, nil
	case from > 0 && !f.noREST: // or it was granted and not heeded: the next attempt reads from the beginning
		f.noREST = true
		return nil, errors.Join(retry.Transient(errOtherPlace), r.Close())
	}
	return nil, errors.Join(errOtherFile, r.Close())
}

// retrieve begins at from, or at 0 where the server cannot do that: then skip bytes come first. blind says that nothing will be
// compared there, so that a server which says 350 to REST, and begins at 0 all the same, must be found out before.
func (f *File) retrieve(s *session.Session, from, size int64, blind bool) (r *session.Retrieval, skip int64, err error) {
	if from > 0 && !f.noREST {
		if blind {
			err = s.CheckRestart(f.op.ctx, f.op.path, size)
		}
		if err == nil {
			r, err = s.Retrieve(f.op.ctx, f.op.path, from, session.TransferOptions{Expected: size - from})
		}
		var no *session.RestartError
		if !errors.As(err, &no) {
			return r, 0, err
		}
		f.noREST = no.Final || !s.Usable() // otherwise it may do it the next time
		if !s.Usable() {
			return nil, 0, retry.Transient(err)
		}
	}
	r, err = s.Retrieve(f.op.ctx, f.op.path, 0, session.TransferOptions{Expected: size})
	return r, from, err
}

func (f *File) look(s *session.Session, told sink.ID) (sink.ID, error) {
	look, err := s.Look(f.op.ctx, f.op.path)
	return version(look, err, told)
}

// prove ends the stream: the server says that it sent all, that is as much as it said before, and the file has not changed.
func (f *File) prove() error {
	unauthenticated := f.stream.Unauthenticated()
	err := f.stream.Close()
	switch {
	case err != nil:
		return err
	case f.id.Size >= 0 && f.at < f.id.Size:
		return retry.Transient(fmt.Errorf("the server sent %d of %d bytes and called it complete: %w", f.at, f.id.Size, io.ErrUnexpectedEOF))
	case f.id.Size < 0 && unauthenticated:
		return retry.Transient(wire.ErrNoCloseNotify)
	}
	now, err := f.look(f.lease.Conn(), *f.id)
	if err != nil {
		return err
	}
	if !f.id.Same(now) {
		return errOtherFile
	}
	f.drop()
	f.unproved = false
	return nil
}

// drop ends the stream, wherever it is, and gives its connection back.
func (f *File) drop() {
	if f.stream == nil {
		return
	}
	f.stir()
	f.op.srv.offers.Lock()
	delete(f.op.srv.files, f)
	f.op.srv.offers.Unlock()
	_ = f.stream.Close() // what matters of its error, the last Read returned
	f.lease.Release()
	f.stream, f.lease = nil, nil
}

// settle begins the rest of a stream while its caller has the turn, as between two Reads.
func (f *File) settle() {
	if f.stream != nil {
		f.left, f.resting = time.Now(), f.op.srv.pool.Rest(f.op.ctx)
	}
}

// stir ends settle.
func (f *File) stir() {
	if f.resting != nil {
		f.resting()
		f.resting = nil
	}
}

// lull is after what time without a Read a File gives its connection to those who wait for one: what is read on and on keeps
// it, as to come back takes some round trips.
const lull = 100 * time.Millisecond

// lend has the connection given up when others wait for it, if the file can be read on over another one.
func (f *File) lend() {
	if f.patience > 0 || !f.id.Provable() {
		return
	}
	f.op.srv.offers.Lock()
	f.op.srv.files[f] = struct{}{}
	f.op.srv.offers.Unlock()
	if f.op.srv.pool.Waiting() { // who began before
		f.ask()
	}
}

// ask is called when somebody begins to wait for a connection. It does not wait.
func (f *File) ask() {
	if !f.asked.Swap(true) {
		go f.giveWay()
	}
}

// giveWay gives the connection up once nobody has read for a while, if somebody still waits then.
func (f *File) giveWay() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked.Store(false)
	if f.stream == nil || !f.op.srv.pool.Waiting() {
		return
	}
	if wait := lull - time.Since(f.left); wait > 0 {
		f.asked.Store(true)
		time.AfterFunc(wait, f.giveWay)
		return
	}
	f.drop()
}
