// Package remotepart is the remote side of an upload: the temporary name that the bytes go to, the proof that what an
// earlier try left there is the beginning of the same source, and the rename that makes the whole file appear.
package remotepart

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"time"

	"github.com/corexalgo/ftpclient/internal/reply"
	"github.com/corexalgo/ftpclient/internal/safepath"
	"github.com/corexalgo/ftpclient/internal/session"
)

// Overlap is how many bytes before the end of a partial are read back and compared before it is continued.
const Overlap = 64 << 10

// ErrNoRename is the error of a server that lets nothing be renamed.
var ErrNoRename = errors.New("server refuses to rename the finished upload")

// A File is an upload on its way to Target.
type File struct {
	Target string

	key     string
	renewed int
	asked   bool // RNTO was sent for the name in force
}

// New names the temporary file of an upload to target. key tells one source from another.
func New(target, key string) *File { return &File{Target: target, key: key} }

// Name is the temporary remote name, hidden, beside the target.
func (f *File) Name() string { return f.beside("ftpclient-part") }

func (f *File) beside(suffix string) string {
	key := f.key
	if f.renewed > 0 {
		key += "-" + strconv.Itoa(f.renewed)
	}
	dir, base := path.Split(f.Target)
	return dir + safepath.Hidden(base, key, suffix)
}

// Renew changes to another temporary name: nothing under the old one is trusted any more.
func (f *File) Renew() { f.renewed, f.asked = f.renewed+1, false }

// Size is how much of the upload the server holds; 0 where it holds nothing, or does not tell.
func (f *File) Size(ctx context.Context, s *session.Session) (int64, error) {
	look, err := s.Look(ctx, f.Name())
	if err != nil || look.SizeErr != nil {
		return 0, err
	}
	return look.Size, nil
}

// ErrDiffers is the error of a partial that is not the beginning of the source.
var ErrDiffers = errors.New("the partial on the server differs from the source")

// ProveTail reads the last bytes of the partial back, which has size bytes, and compares them with the source's.
func (f *File) ProveTail(ctx context.Context, s *session.Session, size int64, source io.ReaderAt) error {
	from := max(0, size-Overlap)
	r, err := s.Retrieve(ctx, f.Name(), from, session.TransferOptions{})
	if err != nil {
		return err
	}
	// One byte more than there should be is enough to see that the partial is longer than SIZE said.
	theirs, rerr := io.ReadAll(io.LimitReader(r, size-from+1))
	cerr := r.Close()
	if rerr != nil || cerr != nil {
		return errors.Join(rerr, cerr)
	}
	ours := make([]byte, size-from)
	if _, err := source.ReadAt(ours, from); err != nil && !errors.Is(err, io.EOF) {
		return &session.SourceError{Err: err}
	}
	if !bytes.Equal(theirs, ours) {
		return ErrDiffers
	}
	return nil
}

// Remove deletes the temporary file, as far as the server lets it.
func (f *File) Remove(ctx context.Context, s *session.Session) error {
	err := s.Delete(ctx, f.Name())
	if refused(err) {
		return nil
	}
	return err
}

// Commit gives the finished file, of size bytes, its name. Where the server refuses to rename over a file, the old one is
// moved out of the way and comes back if the new one cannot take its place.
func (f *File) Commit(ctx context.Context, s *session.Session, size int64) error {
	if f.asked { // by an earlier try whose answer was lost
		if done, err := f.committed(ctx, s, size); done || err != nil {
			return err
		}
	}
	f.asked = true
	err := s.Rename(ctx, f.Name(), f.Target)
	if !refused(err) {
		return err
	}
	look, lerr := s.Look(ctx, f.Target)
	if lerr != nil {
		return lerr
	}
	if look.SizeErr != nil { // nothing is in the way
		return fmt.Errorf("%w: %w", ErrNoRename, err)
	}
	backup := f.beside("ftpclient-old")
	if berr := s.Rename(ctx, f.Target, backup); berr != nil {
		if refused(berr) {
			return fmt.Errorf("%w: %w", ErrNoRename, err)
		}
		return berr
	}
	if err := s.Rename(ctx, f.Name(), f.Target); err != nil {
		if !s.Usable() {
			return fmt.Errorf("%w; the old file is now %s", err, reply.Quote(backup))
		}
		// What was there comes back even if the caller has just given up.
		restore, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if rerr := s.Rename(restore, backup, f.Target); rerr != nil {
			return fmt.Errorf("%w; the old file is now %s", err, reply.Quote(backup))
		}
		return err
	}
	return s.Delete(ctx, backup)
}

// committed looks whether a rename whose answer was lost was done.
func (f *File) committed(ctx context.Context, s *session.Session, size int64) (bool, error) {
	temp, err := s.Look(ctx, f.Name())
	if err != nil || temp.SizeErr == nil {
		return false, err
	}
	target, err := s.Look(ctx, f.Target)
	return err == nil && target.SizeErr == nil && target.Size == size, err
}

func refused(err error) bool {
	var e *reply.Error
	return errors.As(err, &e) && e.Code != 421
}
