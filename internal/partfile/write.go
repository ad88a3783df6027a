package partfile

import (
	"context"
	"encoding"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/corexalgo/ftpclient/internal/digest"
)

// A checkpoint is due after this many bytes or this much time, so that a file that is done sooner has none.
const (
	checkpointBytes = 8 << 20
	checkpointEvery = 2 * time.Second
)

// Offset is the length of the partial as written so far, without its parts: where Start or Continue began, and all bytes
// since.
func (f *File) Offset() int64 { return f.offset.Load() }

// Write appends p. It never waits for the disk to flush, but fails with the error of an earlier flush: what such an error
// concerned may be lost, and no later flush would tell.
func (f *File) Write(p []byte) (int, error) {
	if err := f.usable(); err != nil {
		return 0, err
	}
	if len(f.parts) > 0 {
		return 0, errParts
	}
	n, err := f.file.Write(p)
	f.checkpoint.wrote(f.file, err)
	f.offset.Add(int64(n))
	if f.digest != nil {
		f.digest.Write(p[:n])
	}
	if s, due := f.due(); due {
		f.checkpoint.start(f.file, s)
	}
	return n, err
}

// ReadAt reads bytes already written.
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	if f.file == nil {
		return 0, fs.ErrClosed
	}
	return f.file.ReadAt(p, off)
}

// SetDigest has h see every byte of the file: those that a Continue kept, from the saved state of the hash or else by
// reading them again, and all that Write will take. Checkpoints then carry its state. It is to be called after Start or
// Continue, which both forget it. The caller may use h once nothing writes any more. Only the reading ends with ctx.
func (f *File) SetDigest(ctx context.Context, name string, h hash.Hash) error {
	if err := f.usable(); err != nil {
		return err
	}
	h.Reset()
	offset := f.offset.Load()
	if !f.restore(name, h, offset) {
		h.Reset()
		n, err := digest.Copy(ctx, h, io.NewSectionReader(f.file, 0, offset))
		if err == nil && n != offset {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return fmt.Errorf("read the partial file again: %w", err)
		}
	}
	f.digest, f.digestAs = h, name
	return nil
}

func (f *File) restore(name string, h hash.Hash, offset int64) bool {
	u, ok := h.(encoding.BinaryUnmarshaler)
	return ok && f.about.Digest != nil && f.about.DigestName == name && f.about.Offset == offset &&
		u.UnmarshalBinary(f.about.Digest) == nil
}

func (f *File) usable() error {
	if f.file == nil {
		return fs.ErrClosed
	}
	return f.checkpoint.failure()
}

// due is what a checkpoint is due of; true leaves it to the caller alone to make one. WriteAt holds mu.
func (f *File) due() (State, bool) {
	f.flushed = false
	if !f.checkpoint.due(sum(f.offset.Load(), f.parts)) {
		return State{}, false
	}
	return f.snapshot(), true
}

// snapshot is the State of this moment. WriteAt holds mu.
func (f *File) snapshot() State {
	s := f.about
	s.Offset, s.Parts, s.DigestName, s.Digest = f.offset.Load(), slices.Clone(f.parts), "", nil
	if m, ok := f.digest.(encoding.BinaryMarshaler); ok {
		if state, err := m.MarshalBinary(); err == nil {
			s.DigestName, s.Digest = f.digestAs, state
		}
	}
	return s
}

// A checkpointer makes data and then the sidecar durable, one checkpoint at a time, beside the writer.
type checkpointer struct {
	sync    func(*os.File) error
	close   func(*os.File) error // of a partial that is finished
	write   func(State) error
	distant func(*os.File) bool // tells a file on a network file system
	memory  func(*os.File) bool // tells one that is in memory only

	running sync.WaitGroup
	busy    atomic.Bool  // one is under way, and has known and direct to itself
	known   bool         // direct is
	direct  bool         // a checkpoint takes no time
	saved   atomic.Int64 // how many bytes the sidecar speaks of
	err     atomic.Pointer[error]

	at   int64 // how many bytes there were when one was last due, and its time; guarded as what a File has written
	when time.Time
}

func (c *checkpointer) reset(held int64) {
	c.err.Store(nil)
	c.saved.Store(held)
	c.at, c.when = held, time.Now()
}

// due makes a checkpoint the caller's to start.
func (c *checkpointer) due(held int64) bool {
	if held == c.at || (held-c.at < checkpointBytes && time.Since(c.when) < checkpointEvery) || !c.busy.CompareAndSwap(false, true) {
		return false
	}
	c.at, c.when = held, time.Now()
	return true
}

// start has one goroutine run until its checkpoint is done; wait waits for it. Where there is no disk to wait for it is done at
// once: the threads that are woken otherwise cost a download under TLS a twentieth of its time.
func (c *checkpointer) start(file *os.File, s State) {
	if !c.known {
		c.known, c.direct = true, c.memory(file)
	}
	work := func() {
		defer c.busy.Store(false)
		// A sidecar that could not be written leaves the one before it, which stays true.
		_ = c.save(file, s)
	}
	if c.direct {
		work()
		return
	}
	c.running.Go(work)
}

func (c *checkpointer) save(file *os.File, s State) error {
	if err := c.flush(file); err != nil {
		return err
	}
	if err := c.write(s); err != nil {
		return err
	}
	c.saved.Store(s.Held())
	return nil
}

// flush remembers its first failure for good: the kernel forgets the pages that it could not write, and the next fsync
// would report success without them.
func (c *checkpointer) flush(file *os.File) error {
	if err := c.failure(); err != nil {
		return err
	}
	if err := c.sync(file); err != nil {
		return c.fail(fmt.Errorf("flush the partial file: %w", err))
	}
	return c.failure() // of a write meanwhile
}

// wrote takes note of how a write ended. On a network file system its error may be that of an earlier one, and is told once, too:
// then nothing is known to be there that was not flushed before.
func (c *checkpointer) wrote(file *os.File, err error) {
	if err != nil && c.distant(file) {
		_ = c.fail(err)
	}
}

// fail remembers the first failure.
func (c *checkpointer) fail(err error) error {
	c.err.CompareAndSwap(nil, &err)
	return err
}

func (c *checkpointer) failure() error {
	if err := c.err.Load(); err != nil {
		return *err
	}
	return nil
}

func (c *checkpointer) wait() { c.running.Wait() }
