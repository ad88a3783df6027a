package ftpclient

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/corexalgo/ftpclient/internal/remotefs"
	"github.com/corexalgo/ftpclient/internal/retry"
	"github.com/corexalgo/ftpclient/internal/session"
	"github.com/corexalgo/ftpclient/internal/sink"
)

// Copy copies a file from one server to another, or on one, through this process and never through its disk. It uses two
// connections. It is an upload in all else: the file appears under its name when it is whole and proved, lost connections
// heal on both sides, and Resume continues what an earlier call left, if size and time of the source are what they were
// and the last 64 KiB are equal. The Result is that of the upload; its Local is "".
//
// Copies wait for one another rather than for connections that the other one holds. On one server MaxConns must be 2 at
// least.
func (c *Client) Copy(ctx context.Context, fromServer, from, toServer, to string, opts *TransferOptions) (*Result, error) {
	t, err := c.newTransfer(ctx, Job{Direction: Up, Server: toServer, Remote: to}, opts)
	if err != nil {
		return t.result, err
	}
	return t.call(func() error { return t.copyFrom(fromServer, from) })
}

func (t *transfer) copyFrom(server, remote string) error {
	origin, ok := t.c.servers[server]
	if !ok {
		return wrap("copy", server, remote, ErrUnknownServer)
	}
	admitted, err := t.admitCopy(origin)
	if err != nil {
		return err
	}
	defer admitted()
	for changes := 0; ; changes++ {
		before := t.result.Attempts
		t.result.Attempts = 0
		err := t.copyVersion(origin, remote)
		t.result.Attempts += before
		if changes == maxChanges || !errors.Is(err, errOtherFile) {
			return err
		}
		t.result.RestartReason = errChanged.Error()
	}
}

// copyVersion copies the file as it is now.
func (t *transfer) copyVersion(origin *server, remote string) error {
	src, err := t.openOrigin(origin, remote)
	if err != nil {
		return err
	}
	defer src.close()
	key := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%s\x00%d\x00%d",
		origin.id, origin.cfg.Username, remote, src.id.Size, src.id.ModTime.UnixNano()))
	err = t.upload(src, hex.EncodeToString(key[:6]))
	var failed *session.SourceError
	if errors.As(err, &failed) && retry.Retryable(failed.Err) {
		err = retry.Transient(err) // by a later call: the source has had tries of its own
	}
	return err
}

// openOrigin finds out which version of the file will be copied.
func (t *transfer) openOrigin(origin *server, remote string) (*remoteSource, error) {
	id, err := t.lookAtOrigin(origin, remote)
	if err != nil {
		return nil, err
	}
	if id.Size >= 0 && id.Size <= smallFile { // one connection at a time will do
		return t.fetchOrigin(origin, remote, id.Size)
	}
	dial := func() (io.ReadSeekCloser, error) {
		f, err := t.c.open(t.ctx, origin.name, remote, Entry{Path: remote, Size: id.Size, ModTime: id.ModTime})
		if err != nil {
			return nil, err
		}
		f.patience, f.retry = patience, *t.opts.Retry
		if id.Provable() {
			f.id = &id
		}
		t.origin = f
		return f, nil
	}
	return &remoteSource{id: id, dial: dial}, nil
}

func (t *transfer) lookAtOrigin(origin *server, remote string) (id sink.ID, err error) {
	op, err := t.c.begin(t.ctx, "copy", origin.name, remote)
	if err != nil {
		return id, err
	}
	defer op.end()
	_, err = op.try(*t.opts.Retry, func(context.Context, int) (bool, error) {
		return false, op.use(func(s *session.Session) error {
			look, err := s.Look(op.ctx, remote)
			id, err = version(look, err, unknown)
			if err != nil || look.SizeErr == nil {
				return err
			}
			e, err := remotefs.Stat(op.ctx, s, remote)
			if err == nil && e.IsDir() {
				err = retry.Permanent(errIsDir)
			}
			return err
		})
	})
	return id, op.wrap(err)
}

// fetchOrigin fetches a small file, in the version that is there by now, if it is no longer than it was.
func (t *transfer) fetchOrigin(origin *server, remote string, size int64) (*remoteSource, error) {
	in, err := t.c.newTransfer(t.ctx, Job{Server: origin.name, Remote: remote}, &TransferOptions{Retry: t.opts.Retry})
	if err != nil {
		return nil, err
	}
	var content bytes.Buffer
	d := &download{transfer: in, sink: sink.NewWriter(&capped{&content, size, errOtherFile})}
	if _, err := in.call(d.run); err != nil {
		return nil, err
	}
	dial := func() (io.ReadSeekCloser, error) { return memory{bytes.NewReader(content.Bytes())}, nil }
	return &remoteSource{id: d.id, dial: dial}, nil
}

// capped is a writer of so many bytes; more are the error over.
type capped struct {
	w    io.Writer
	left int64
	over error
}

func (c *capped) Write(p []byte) (int, error) {
	if int64(len(p)) > c.left {
		return 0, c.over
	}
	c.left -= int64(len(p))
	return c.w.Write(p)
}

// memory is a small file.
type memory struct{ *bytes.Reader }

func (memory) Close() error { return nil }

// admitCopy waits until the copies that run would leave connections for one more. Of two servers the first by name is asked
// first, or else copies in opposite directions could wait for one another.
func (t *transfer) admitCopy(origin *server) (done func(), err error) {
	first, second := origin, t.srv
	if first == second {
		if t.srv.cfg.MaxConns < 2 {
			return nil, fmt.Errorf("a copy on one server needs two connections, and max_conns is 1: %w", errors.ErrUnsupported)
		}
		if err := first.copies.Acquire(t.ctx, 2); err != nil {
			return nil, err
		}
		return func() { first.copies.Release(2) }, nil
	}
	if first.name > second.name {
		first, second = second, first
	}
	if err := first.copies.Acquire(t.ctx, 1); err != nil {
		return nil, err
	}
	if err := second.copies.Acquire(t.ctx, 1); err != nil {
		first.copies.Release(1)
		return nil, err
	}
	return func() {
		second.copies.Release(1)
		first.copies.Release(1)
	}, nil
}

// A remoteSource is a file of another server, as the source of an upload.
type remoteSource struct {
	id   sink.ID
	dial func() (io.ReadSeekCloser, error)

	file    io.ReadSeekCloser // nil: not open
	read    int64
	newHash func() hash.Hash
	digest  hash.Hash
}

// patience is how long a copy waits for its second connection.
const patience = time.Minute

func (s *remoteSource) open(offset int64) error {
	s.close()
	f, err := s.dial()
	if err != nil {
		return err
	}
	s.file = f
	_, err = f.Seek(offset, io.SeekStart)
	return err
}

func (s *remoteSource) close() {
	if s.file != nil {
		_ = s.file.Close()
		s.file = nil
	}
}

func (s *remoteSource) Size() int64        { return s.id.Size }
func (s *remoteSource) ModTime() time.Time { return s.id.ModTime }
func (s *remoteSource) Resumable() bool    { return s.id.Provable() }
func (s *remoteSource) Repeatable() bool   { return true }
func (s *remoteSource) Offset() int64      { return s.read }

// ReadAt reads a piece, to be compared with what the target holds.
func (s *remoteSource) ReadAt(p []byte, off int64) (int, error) {
	if err := s.open(off); err != nil {
		return 0, err
	}
	defer s.close()
	return io.ReadFull(s.file, p)
}

func (s *remoteSource) Watch(newHash func() hash.Hash) { s.newHash = newHash }

// Rewind makes the next Content begin at offset. A watching hash needs what comes before moved once more.
func (s *remoteSource) Rewind(_ context.Context, offset int64) error {
	begin := offset
	if s.newHash != nil {
		s.digest, begin = s.newHash(), 0
	}
	if err := s.open(begin); err != nil {
		return err
	}
	if _, err := io.CopyN(io.Discard, s, offset-begin); err != nil {
		return err
	}
	s.read = offset
	return nil
}

// Content is the file from where Rewind said.
func (s *remoteSource) Content() io.Reader { return s }

func (s *remoteSource) Read(p []byte) (int, error) {
	n, err := s.file.Read(p)
	s.read += int64(n)
	if s.digest != nil {
		s.digest.Write(p[:n])
	}
	return n, err
}

// Check needs the file to have been read to its end, where File proves that it did not change.
func (s *remoteSource) Check() error {
	if s.id.Size >= 0 && s.read != s.id.Size {
		return fmt.Errorf("the source has %d bytes, and %d were read", s.id.Size, s.read)
	}
	return nil
}

func (s *remoteSource) Sum() []byte {
	if s.digest == nil {
		return nil
	}
	return s.digest.Sum(nil)
}
