// Package partfile is the local side of a download: the partial file beside the target, the sidecar that tells what the
// partial is of and how much of it is on the disk for good, the lock, and the commit that makes a whole target appear at
// once or not at all.
//
// Everything is done through an os.Root and plain names, so that no symbolic link can lead a write out of the directory.
package partfile

import (
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/corexalgo/ftpclient/internal/safepath"
)

// ErrInUse is returned by Open while another transfer, in this process or another one, holds the target.
var ErrInUse = errors.New("another transfer holds the target")

// A Source is the identity of a remote file.
type Source struct {
	Server string // host:port
	User   string
	Path   string // full remote path
}

// A State is what proves a partial to be of the same remote file, and how much of it is there.
type State struct {
	Size    int64     // of the remote file when the transfer started; -1 unknown
	ModTime time.Time // MDTM; zero unknown
	Unique  string    // MLST's unique fact; "" unknown
	Offset  int64     // bytes from the start that are on the disk for good
	Parts   []Range   // those beyond Offset, in order and with gaps between them

	DigestName string // name of the hash whose state Digest is; "" none
	Digest     []byte // its marshalled state, covering exactly the bytes [0, Offset)
}

// A File is the download of one remote file to one target. It belongs to one goroutine, but WriteAt, ReadAt, Offset, Held, Missing
// and Before may be used by several side by side, while its owner calls nothing else. What a target is, a whole file, changes
// in Commit only.
type File struct {
	dir        *os.Root
	name       string
	source     Source
	part       string
	state      string
	fresh      string // the sidecar while it is being written
	lock       *lock
	offset     atomic.Int64
	noted      atomic.Bool // there may be a sidecar
	checkpoint checkpointer

	file     *os.File // the open partial; nil: none
	begun    bool     // Start or Continue took over the partial; until then it belongs to an earlier call
	about    State    // as given to Start or Continue; Offset and digest are those of the last Continue
	digestAs string
	closed   bool

	mu      sync.Mutex // guards what is below, which WriteAt changes; it is never held while the disk is waited for
	parts   []Range    // what is held beyond offset, as in a State
	flushed bool       // nothing was written since a Flush
	digest  hash.Hash  // nil: none wanted, or bytes went past it
}

// Open takes the lock of the target name in dir and touches nothing else. It never waits: a lock that is held is ErrInUse.
// The name is one path component. The File must be closed; dir stays the caller's and must outlive it.
func Open(dir *os.Root, name string, src Source) (*File, error) {
	if name == "." || !filepath.IsLocal(name) || filepath.Base(name) != name {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	l, err := takeLock(dir, safepath.Hidden(name, nameKey(name), safepath.Lock))
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", filepath.Join(dir.Name(), name), err)
	}
	key := sourceKey(name, src)
	f := &File{
		dir:    dir,
		name:   name,
		source: src,
		part:   safepath.Hidden(name, key, safepath.Part),
		state:  safepath.Hidden(name, key, safepath.State),
		fresh:  safepath.Hidden(name, key+"-new", safepath.State),
		lock:   l,
	}
	f.checkpoint.sync = (*os.File).Sync
	f.checkpoint.close = (*os.File).Close
	f.checkpoint.write = f.writeSidecar
	f.checkpoint.distant = distant
	f.checkpoint.memory = inMemory
	return f, nil
}

// Tidy removes what a process that was killed may have left beside a target that needs nothing more: each such process held
// the lock, and removed it last.
func Tidy(dir *os.Root, name string, src Source) error {
	_, err := dir.Lstat(safepath.Hidden(name, nameKey(name), safepath.Lock))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	f, err := Open(dir, name, src)
	switch {
	case errors.Is(err, ErrInUse):
		return nil
	case err != nil:
		return err
	}
	return errors.Join(f.Discard(), f.Close())
}

// Saved is what an earlier call left. The error tells in plain words why there is nothing to continue; it is
// fs.ErrNotExist when nothing was left.
func (f *File) Saved() (State, error) {
	if f.closed {
		return State{}, fs.ErrClosed
	}
	s, err := f.readSidecar()
	if err != nil {
		return State{}, err
	}
	info, err := f.regular(f.part)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return State{}, fmt.Errorf("the partial file is gone: %w", fs.ErrNotExist)
	case err != nil:
		return State{}, err
	case info.Size() < s.end():
		return State{}, fmt.Errorf("the partial file has %d bytes, shorter than its durable offset %d", info.Size(), s.end())
	}
	// A process killed between the link and the removal of an exclusive commit leaves both names on one file: to continue
	// the partial would be to write into the finished target.
	if f.isTarget(info) {
		return State{}, errors.New("the partial file is the finished target")
	}
	return s, nil
}

// Start discards any partial and sidecar and creates a new, empty partial that only the user may read.
func (f *File) Start(s State) error {
	if f.closed {
		return fs.ErrClosed
	}
	if err := f.release(); err != nil {
		return err
	}
	file, err := f.create()
	if err != nil {
		return err
	}
	f.noted.Store(false)
	s.Offset, s.Parts, s.DigestName, s.Digest = 0, nil, "", nil
	f.begin(file, s)
	return nil
}

// create makes the partial. Where there is none, a sidecar may be left of an earlier one, and one that was being written if a
// process was killed, whose lock is then left, too.
func (f *File) create() (*os.File, error) {
	const flags = os.O_RDWR | os.O_CREATE | os.O_EXCL
	file, err := f.dir.OpenFile(f.part, flags, 0o600)
	switch {
	case err == nil && !f.exists(f.state) && (!f.lock.left || !f.exists(f.fresh)):
		return file, nil
	case err == nil:
		err = file.Close()
	case errors.Is(err, fs.ErrExist):
		err = nil
	}
	if err == nil {
		err = f.Discard()
	}
	if err != nil {
		return nil, err
	}
	return f.dir.OpenFile(f.part, flags, 0o600)
}

// Continue reopens the saved partial, cuts it where nothing more is known to be good and goes on from there. s is what
// Saved returned; without its Parts they are given up, and then its Offset may be lower, never higher, as nothing vouches
// for the bytes beyond.
func (f *File) Continue(s State) error {
	if f.closed {
		return fs.ErrClosed
	}
	if err := f.release(); err != nil {
		return err
	}
	saved, err := f.Saved()
	if err != nil {
		return err
	}
	if s.Offset < 0 || s.Offset > saved.Offset {
		return fmt.Errorf("cannot continue at %d: only %d bytes are known to be good", s.Offset, saved.Offset)
	}
	if len(s.Parts) > 0 && (s.Offset != saved.Offset || !slices.Equal(s.Parts, saved.Parts)) {
		return errors.New("cannot continue with other parts than those that are known to be good")
	}
	if s.Offset < saved.Offset {
		s.DigestName, s.Digest = "", nil
	}
	file, err := openRegular(f.dir, f.part, os.O_RDWR)
	if err != nil {
		return err
	}
	f.noted.Store(true)
	// The sidecar goes first: a kill between the two leaves a partial that is longer than it says, which is fine.
	if s.Held() < saved.Held() {
		err = f.writeSidecar(s)
	}
	if err == nil {
		err = file.Truncate(s.end())
	}
	if err == nil {
		_, err = file.Seek(s.Offset, io.SeekStart)
	}
	if err != nil {
		return errors.Join(err, file.Close())
	}
	f.begin(file, s)
	return nil
}

func (f *File) begin(file *os.File, s State) {
	f.file, f.begun, f.about = file, true, s
	f.digest, f.digestAs, f.flushed = nil, "", false
	f.offset.Store(s.Offset)
	f.parts = slices.Clone(s.Parts)
	f.checkpoint.reset(s.Held())
}

// Keep makes everything written so far durable, the data before the sidecar that speaks of it. Where the disk is too full
// for the sidecar it gives back some of the partial's end, unless there are parts, which then stay as the last checkpoint
// tells.
func (f *File) Keep() error {
	f.checkpoint.wait()
	if f.file == nil || f.empty() {
		return nil
	}
	if err := f.checkpoint.failure(); err != nil {
		return err
	}
	s := f.snapshot()
	if f.checkpoint.saved.Load() == s.Held() && f.exists(f.state) {
		return nil
	}
	err := f.checkpoint.save(f.file, s)
	if err == nil || f.checkpoint.failure() != nil || len(s.Parts) > 0 {
		return err
	}
	cut := max(s.Offset-spare, f.checkpoint.saved.Load())
	if cut <= 0 || cut == s.Offset {
		return err
	}
	if terr := f.file.Truncate(cut); terr != nil {
		return errors.Join(err, terr)
	}
	if _, serr := f.file.Seek(cut, io.SeekStart); serr != nil {
		return errors.Join(err, serr)
	}
	f.offset.Store(cut)
	f.digest = nil
	return f.checkpoint.save(f.file, f.snapshot())
}

func (f *File) empty() bool { return f.offset.Load() == 0 && len(f.parts) == 0 }

// spare is given back to a disk that is too full for the sidecar, which needs one block of it.
const spare = 64 << 10

// Close ends the work on the target and releases the lock. Without a Commit, what was written is kept as by Keep, and a
// partial without a byte is removed; a partial that neither Start nor Continue took over is left as it was.
func (f *File) Close() error {
	if f.closed {
		return nil
	}
	err := f.Keep()
	if f.begun && f.empty() {
		err = errors.Join(err, f.Discard())
	}
	f.closed = true
	return errors.Join(err, f.release(), f.lock.release())
}

// Discard removes partial and sidecar. The lock is held until Close.
func (f *File) Discard() error {
	if f.closed {
		return nil
	}
	if err := f.release(); err != nil {
		return err
	}
	f.begun = false
	f.offset.Store(0)
	f.parts = nil
	had, err := f.remove(f.state)
	if err != nil {
		return err
	}
	if _, err := f.remove(f.fresh); err != nil {
		return err
	}
	if _, err := f.remove(f.part); err != nil {
		return err
	}
	if had {
		// Else the old sidecar could come back after a power cut and vouch for the bytes of a new partial.
		return f.syncDir()
	}
	return nil
}

// release closes the partial, once nothing is flushing it.
func (f *File) release() error {
	f.checkpoint.wait()
	if f.file == nil {
		return nil
	}
	err := f.file.Close()
	f.file, f.digest = nil, nil
	return err
}
