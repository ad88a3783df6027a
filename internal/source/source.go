// Package source is what an upload reads: a local file, which can be read again from anywhere, or a caller's reader.
package source

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/corexalgo/ftpclient/internal/digest"
)

// A Source is read once from some offset on, and again if a connection is lost.
type Source interface {
	io.ReaderAt
	Size() int64        // -1 unknown
	ModTime() time.Time // zero unknown
	Resumable() bool    // can be continued at any offset, and read back
	Repeatable() bool   // can be read again from the beginning
	// Rewind makes the next Content begin at offset. A watching hash sees what comes before, which is read for it; ctx ends
	// that.
	Rewind(ctx context.Context, offset int64) error
	Content() io.Reader             // from where Rewind said to the end
	Offset() int64                  // how far Content was read, from the beginning of the source
	Check() error                   // nil if the source is whole and what it was at the start
	Watch(newHash func() hash.Hash) // before the first Rewind: hashes all content; further calls do nothing
	Sum() []byte                    // of the watching hash, of all content up to Offset; nil: none watches
}

// Is tells whether all of s is of that digest, in lowercase hex, by the algorithm of that name.
func Is(ctx context.Context, s Source, algorithm, sum string) (bool, error) {
	if err := s.Rewind(ctx, 0); err != nil {
		return false, err
	}
	return digest.Is(ctx, s.Content(), algorithm, sum)
}

// A File is a local regular file.
type File struct {
	f       *os.File
	path    string
	info    fs.FileInfo
	limited *io.LimitedReader
	digest  *running // nil: nothing watches
}

// Open opens a regular file, by its absolute path.
func Open(local string) (*File, error) {
	abs, err := filepath.Abs(local)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(abs); err == nil && !info.Mode().IsRegular() { // opening a FIFO would wait for its writer
		return nil, fmt.Errorf("local source %s is no regular file: %w", local, fs.ErrInvalid)
	}
	f, err := os.Open(abs)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return &File{f: f, path: abs, info: info}, nil
}

// Close closes the file.
func (s *File) Close() error { return s.f.Close() }

// Path is the absolute path.
func (s *File) Path() string { return s.path }

// Size is the file's size when it was opened.
func (s *File) Size() int64 { return s.info.Size() }

// ModTime is the file's modification time when it was opened.
func (s *File) ModTime() time.Time { return s.info.ModTime() }

// Resumable is true.
func (s *File) Resumable() bool { return true }

// Repeatable is true.
func (s *File) Repeatable() bool { return true }

// ReadAt reads from anywhere.
func (s *File) ReadAt(p []byte, off int64) (int, error) { return s.f.ReadAt(p, off) }

// Watch makes a hash see all content.
func (s *File) Watch(newHash func() hash.Hash) {
	if s.digest == nil {
		s.digest = &running{newHash: newHash}
	}
}

// Rewind makes the next Content begin at offset.
func (s *File) Rewind(ctx context.Context, offset int64) error {
	s.limited = &io.LimitedReader{R: s.f, N: s.info.Size() - offset}
	if s.digest != nil {
		if err := s.digest.seek(ctx, s.f, offset); err != nil {
			return err
		}
	}
	_, err := s.f.Seek(offset, io.SeekStart)
	return err
}

// Content is an *io.LimitedReader over the *os.File, which can be sent without passing through the process, unless a hash
// has to see it.
func (s *File) Content() io.Reader {
	if s.digest == nil {
		return s.limited
	}
	return io.TeeReader(s.limited, s.digest)
}

// Offset is how far the file was read.
func (s *File) Offset() int64 { return s.info.Size() - s.limited.N }

// Check finds a file that was changed, replaced or cut while it was read.
func (s *File) Check() error {
	if s.limited.N > 0 {
		return fmt.Errorf("local source ended %d bytes early", s.limited.N)
	}
	info, err := os.Stat(s.path)
	if err != nil {
		return err
	}
	if !os.SameFile(info, s.info) || info.Size() != s.info.Size() || !info.ModTime().Equal(s.info.ModTime()) {
		return errors.New("local source changed while it was read")
	}
	var more [1]byte
	if n, _ := s.f.ReadAt(more[:], info.Size()); n > 0 { // as in /proc
		return fmt.Errorf("local source has more than the %d bytes of its size", info.Size())
	}
	return nil
}

// Sum is the digest of all content.
func (s *File) Sum() []byte {
	if s.digest == nil {
		return nil
	}
	return s.digest.sum()
}

// ErrOnce is the error of reading a reader a second time.
var ErrOnce = errors.New("the reader cannot be read again")

// A Reader is a caller's reader.
type Reader struct {
	r       io.Reader
	begin   int64 // where an io.Seeker stood
	seeker  io.Seeker
	read    int64
	newHash func() hash.Hash
	digest  hash.Hash
}

// NewReader makes r a Source. An io.Seeker that cannot tell where it stands is taken for a mere reader.
func NewReader(r io.Reader) *Reader {
	s := &Reader{r: r}
	if seeker, ok := r.(io.Seeker); ok {
		if at, err := seeker.Seek(0, io.SeekCurrent); err == nil {
			s.seeker, s.begin = seeker, at
		}
	}
	return s
}

// Size is unknown, as what a reader says of itself proves nothing.
func (s *Reader) Size() int64 { return -1 }

// ModTime is unknown.
func (s *Reader) ModTime() time.Time { return time.Time{} }

// Resumable is false.
func (s *Reader) Resumable() bool { return false }

// Repeatable tells whether the reader can seek, or was not read yet.
func (s *Reader) Repeatable() bool { return s.seeker != nil || s.read == 0 }

// ReadAt is never called, as a Reader is not Resumable.
func (s *Reader) ReadAt([]byte, int64) (int, error) { return 0, ErrOnce }

// Watch makes a hash see all content.
func (s *Reader) Watch(newHash func() hash.Hash) { s.newHash = newHash }

// Rewind goes back to where the reader stood at first.
func (s *Reader) Rewind(context.Context, int64) error {
	if s.newHash != nil {
		s.digest = s.newHash()
	}
	if s.read == 0 {
		return nil
	}
	if s.seeker == nil {
		return fmt.Errorf("%w after %d bytes of it were sent", ErrOnce, s.read)
	}
	_, err := s.seeker.Seek(s.begin, io.SeekStart)
	s.read = 0
	return err
}

// Content is the reader.
func (s *Reader) Content() io.Reader { return s }

func (s *Reader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if n < 0 || n > len(p) {
		return 0, errors.New("invalid count from Read")
	}
	s.read += int64(n)
	if s.digest != nil {
		s.digest.Write(p[:n])
	}
	return n, err
}

// Offset is how much was read.
func (s *Reader) Offset() int64 { return s.read }

// Check has nothing to find.
func (s *Reader) Check() error { return nil }

// Sum is the digest of all content.
func (s *Reader) Sum() []byte {
	if s.digest == nil {
		return nil
	}
	return s.digest.Sum(nil)
}
