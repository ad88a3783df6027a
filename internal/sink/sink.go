// Package sink is where a download's bytes go: a partial file, or a writer that cannot be taken back.
package sink

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"time"

	"github.com/corexalgo/ftpclient/internal/partfile"
)

// Overlap is how many of the last bytes a sink can read back, to be compared before a transfer continues.
const Overlap = 64 << 10

// An ID tells one version of a remote file from another.
type ID struct {
	Size    int64 // -1 unknown
	ModTime time.Time
}

// Provable tells whether the file can be recognised: only then is a partial of it ever continued.
func (id ID) Provable() bool { return id.Size >= 0 && !id.ModTime.IsZero() }

// Same tells whether both are of the same version.
func (id ID) Same(other ID) bool { return id.Size == other.Size && id.ModTime.Equal(other.ModTime) }

// A Sink takes content in order.
type Sink interface {
	io.Writer
	ReadAt(p []byte, off int64) (int, error) // reads back what was written, at least the last Overlap bytes
	Offset() int64                           // how much was written
	Start(id ID) error                       // forgets what was written and begins anew
	Saved() (id ID, offset int64, err error) // what an earlier call left; the error says why there is nothing to continue
	Continue(offset int64) error             // goes on at the offset that Saved returned
	// Watch, after Start or Continue, hashes all content. What is kept is read again if the state of its hash was not.
	Watch(ctx context.Context, name string, newHash func() hash.Hash) error
	Sum() []byte // of the watching hash, of all content so far; nil: none watches
}

// ErrTaken is the error of starting anew where bytes cannot be taken back.
var ErrTaken = errors.New("bytes that were written cannot be taken back; discard them, and fetch the file anew")

// A File is a partial file.
type File struct {
	*partfile.File
	saved  partfile.State
	digest hash.Hash
}

// NewFile makes part a Sink.
func NewFile(part *partfile.File) *File { return &File{File: part} }

// Start begins anew.
func (f *File) Start(id ID) error {
	f.digest = nil
	return f.File.Start(partfile.State{Size: id.Size, ModTime: id.ModTime})
}

// Offset is how much was written, wherever it is.
func (f *File) Offset() int64 { return f.Held() }

// Saved is what an earlier call left.
func (f *File) Saved() (ID, int64, error) {
	s, err := f.File.Saved()
	f.saved = s
	return ID{Size: s.Size, ModTime: s.ModTime}, s.Held(), err
}

// Continue goes on with what Saved found.
func (f *File) Continue(int64) error {
	f.digest = nil
	return f.File.Continue(f.saved)
}

// Digest reads a finished file, which was not written in order, to hash it: once, as nothing is written to it any more.
func (f *File) Digest(ctx context.Context, newHash func() hash.Hash) error {
	if f.digest != nil {
		return nil
	}
	digest, r := newHash(), io.NewSectionReader(f, 0, f.Held())
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		_, err := io.CopyN(digest, r, 1<<20)
		switch {
		case errors.Is(err, io.EOF):
			f.digest = digest
			return nil
		case err != nil:
			return err
		}
	}
}

// Watch hashes the content.
func (f *File) Watch(ctx context.Context, name string, newHash func() hash.Hash) error {
	f.digest = newHash()
	return f.SetDigest(ctx, name, f.digest)
}

// Sum is the digest of all content.
func (f *File) Sum() []byte {
	if f.digest == nil {
		return nil
	}
	return f.digest.Sum(nil)
}

// A Writer is a caller's writer, with enough of what went into it to prove that a retry continues the same file.
type Writer struct {
	w      io.Writer
	offset int64
	tail   []byte // the last bytes written, up to Overlap
	digest hash.Hash
}

// NewWriter makes w a Sink.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Offset is how much w took.
func (s *Writer) Offset() int64 { return s.offset }

func (s *Writer) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	if n < 0 || n > len(p) {
		return 0, errors.New("invalid count from Write")
	}
	if n < len(p) && err == nil {
		err = io.ErrShortWrite
	}
	s.offset += int64(n)
	if s.digest != nil {
		s.digest.Write(p[:n])
	}
	s.remember(p[:n])
	return n, err
}

func (s *Writer) remember(p []byte) {
	if len(p) >= Overlap {
		s.tail = append(s.tail[:0], p[len(p)-Overlap:]...)
		return
	}
	if keep := Overlap - len(p); len(s.tail) > keep {
		s.tail = append(s.tail[:0], s.tail[len(s.tail)-keep:]...)
	}
	s.tail = append(s.tail, p...)
}

// ReadAt reads from the last bytes written.
func (s *Writer) ReadAt(p []byte, off int64) (int, error) {
	begin := s.offset - int64(len(s.tail))
	if off < begin || off+int64(len(p)) > s.offset {
		return 0, io.ErrUnexpectedEOF
	}
	return copy(p, s.tail[off-begin:]), nil
}

// Start fails once w has taken bytes.
func (s *Writer) Start(ID) error {
	if s.offset > 0 {
		return fmt.Errorf("%d %w", s.offset, ErrTaken)
	}
	return nil
}

// Saved finds nothing.
func (s *Writer) Saved() (ID, int64, error) { return ID{}, 0, fs.ErrNotExist }

// Continue is never called, as Saved finds nothing.
func (s *Writer) Continue(int64) error { return fs.ErrInvalid }

// Watch hashes what is written from now on; it is called before the first byte.
func (s *Writer) Watch(_ context.Context, _ string, newHash func() hash.Hash) error {
	s.digest = newHash()
	return nil
}

// Sum is the digest of all content.
func (s *Writer) Sum() []byte {
	if s.digest == nil {
		return nil
	}
	return s.digest.Sum(nil)
}
