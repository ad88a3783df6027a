// Package remotepart is the remote side of an upload: the temporary name that the bytes go to, the proof that what an
// earlier try left there is the beginning of the same source, and the rename that makes the whole file appear.
package remotepart

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"time"

	"github.com/corexalgo/ftpclient/internal/remotefs"
	"github.com/corexalgo/ftpclient/internal/reply"
	"github.com/corexalgo/ftpclient/internal/safepath"
	"github.com/corexalgo/ftpclient/internal/session"
	"github.com/corexalgo/ftpclient/internal/source"
)

// Overlap is how many bytes before the end of a partial are read back and compared before it is continued.
const Overlap = 64 << 10

// What a server may refuse.
var (
	// ErrNoTemporary is the error of a server that takes no file of the temporary name: some forbid names with a dot.
	ErrNoTemporary = errors.New("the server refuses the temporary file")
	// ErrNoContinuing is the error of one that takes neither REST before STOR nor APPE.
	ErrNoContinuing = errors.New("the server continues no uploads")
	// ErrNoRewriting is the error of one that refuses REST before STOR where only that can mend what it holds.
	ErrNoRewriting = errors.New("the server does not take the end of an upload again")
	// ErrNoRename is the error of one that lets nothing be renamed.
	ErrNoRename = errors.New("server refuses to rename the finished upload")
	// ErrDirectory is the error of a target that is a directory: no later try can replace it.
	ErrDirectory = errors.New("remote target is a directory")
)

// A File is an upload on its way to Target, made by Hold.
type File struct {
	Target string

	key      string
	renewed  int
	inPlace  bool
	asked    bool   // RNTO onto Target was sent
	refusals int    // of the rename
	old      string // what tells the name under which the old file goes aside from those that others left
	aside    bool   // what was under Target was, or may have been, renamed out of the way
	release  func()
}

// Name is the temporary remote name, hidden, beside the target; or the target, after InPlace.
func (f *File) Name() string {
	if f.inPlace {
		return f.Target
	}
	key := f.key
	if f.renewed > 0 {
		key += "-" + strconv.Itoa(f.renewed)
	}
	return f.beside(key, safepath.Part)
}

func (f *File) beside(key, suffix string) string {
	dir, base := path.Split(f.Target)
	return dir + safepath.Hidden(base, key, suffix)
}

// Renew changes to another temporary name: nothing under the old one is trusted any more.
func (f *File) Renew() { f.renewed++ }

// InPlace gives the temporary name up: the bytes go to the target itself.
func (f *File) InPlace() { f.inPlace = true }

// IsInPlace tells whether InPlace was called.
func (f *File) IsInPlace() bool { return f.inPlace }

// Aside is the name under which the file that was there before may have been left; "" if it was not touched, came back, or
// was replaced.
func (f *File) Aside() string {
	if !f.aside {
		return ""
	}
	return f.beside(f.key+"-"+f.old, safepath.Old)
}

// Look is what the server tells of the upload, with more asked in the same write.
func (f *File) Look(ctx context.Context, s *session.Session, ahead session.Ahead) (session.Look, error) {
	return look(ctx, s, f.Name(), ahead)
}

// look is the session's, but for a size that is refused for now: that is an error, and says nothing of the file.
func look(ctx context.Context, s *session.Session, name string, ahead session.Ahead) (session.Look, error) {
	look, err := s.LookAhead(ctx, name, ahead)
	if err == nil && reply.Code(look.SizeErr)/100 == 4 {
		err = look.SizeErr
	}
	return look, err
}

// Size is how much of the upload the server holds; 0 where it holds nothing, or does not tell. What an earlier call left may also
// be under the name that this one would renew to.
func (f *File) Size(ctx context.Context, s *session.Session, earlier bool) (int64, error) {
	names := []string{f.Name()}
	if earlier {
		renewed := *f
		renewed.Renew()
		names = append(names, renewed.Name())
	}
	looks, err := s.Looks(ctx, names...)
	if err != nil {
		return 0, err
	}
	for i, look := range looks {
		switch {
		case reply.Code(look.SizeErr)/100 == 4:
			return 0, look.SizeErr
		case look.SizeErr == nil && look.Size > 0:
			f.renewed += i
			return look.Size, nil
		}
	}
	return 0, nil
}

// ErrDiffers is the error of a partial that is not the beginning of the source.
var ErrDiffers = errors.New("the partial on the server differs from the source")

// ErrGrowing is the error of a partial that became longer while it was looked at: the server is still writing what it
// received over a connection that is lost for us.
var ErrGrowing = errors.New("the partial on the server is still growing")

// Prove reads the last bytes of the partial back, which has size bytes, and compares them with the source's.
func (f *File) Prove(ctx context.Context, s *session.Session, size int64, src source.Source) error {
	if size > src.Size() {
		return fmt.Errorf("%w: it has %d bytes, the source %d", ErrDiffers, size, src.Size())
	}
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
	if _, err := src.ReadAt(ours, from); err != nil && !errors.Is(err, io.EOF) {
		return &session.SourceError{Err: err}
	}
	switch {
	case !bytes.HasPrefix(theirs, ours): // nor where REST was granted and not heeded
		return ErrDiffers
	case len(theirs) > len(ours):
		return ErrGrowing
	}
	return nil
}

// Remove deletes the temporary file, as far as the server lets it. It does not touch a target that was written in place.
func (f *File) Remove(ctx context.Context, s *session.Session) error {
	if f.inPlace {
		return nil
	}
	if err := s.Delete(ctx, f.Name()); err != nil && refusal(err) == nil {
		return err
	}
	return nil
}

// A Proof is what was seen of the finished upload under its temporary name.
type Proof struct {
	Size    int64
	Told    bool      // the server told it; else it is what was sent
	ModTime time.Time // zero unknown
	Vacant  bool      // nothing was under Target just before the rename
}

// Find looks what became of a finished upload after a connection was lost, or a rename refused: it is still here under its
// temporary name, it was renamed and is done, or neither can be told.
func (f *File) Find(ctx context.Context, s *session.Session, proof Proof) (here, done bool, err error) {
	temp, err := f.Look(ctx, s, session.Ahead{})
	if err != nil {
		return false, false, err
	}
	if temp.SizeErr == nil {
		return temp.Size == proof.Size, false, nil
	}
	switch {
	case !f.asked:
		return false, false, nil
	case !proof.Told && proof.Vacant:
		return f.findUntold(ctx, s, proof)
	case !proof.Told, reply.Code(temp.SizeErr) != 550: // which says something only where it said another thing before
		return false, false, nil
	}
	target, err := look(ctx, s, f.Target, session.Ahead{})
	if err != nil || target.SizeErr != nil || target.Size != proof.Size {
		return false, false, err
	}
	if !proof.ModTime.IsZero() && !target.ModTime.Equal(proof.ModTime) { // a rename keeps the time
		return false, false, nil
	}
	return false, true, f.removeOld(ctx, s)
}

// GiveWay removes the finished upload if there is something under its target's name by now, of which skip is told the size.
// SIZE is enough to find that out: that nothing was there has been proved before.
func (f *File) GiveWay(ctx context.Context, s *session.Session, skip func(size int64)) (gone bool, err error) {
	if f.inPlace {
		return false, nil
	}
	look, err := s.Look(ctx, f.Target)
	switch {
	case err != nil:
		return false, err
	case reply.Code(look.SizeErr) == 550:
		return false, nil
	case look.SizeErr != nil: // as of a server that tells no sizes
		e, err := remotefs.Stat(ctx, s, f.Target)
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		look.Size = e.Size
	}
	if err := f.Remove(ctx, s); err != nil {
		return false, err
	}
	skip(look.Size)
	return true, nil
}

// findUntold is Find where no size is told. A target where there was none is ours if the temporary file is gone.
func (f *File) findUntold(ctx context.Context, s *session.Session, proof Proof) (here, done bool, err error) {
	temp, err := remotefs.Stat(ctx, s, f.Name())
	switch {
	case err == nil:
		return temp.Size == proof.Size, false, nil
	case !errors.Is(err, fs.ErrNotExist):
		return false, false, lost(err)
	}
	target, err := remotefs.Stat(ctx, s, f.Target)
	if err != nil {
		return false, false, lost(err)
	}
	return false, target.Mode.IsRegular() && (target.Size < 0 || target.Size == proof.Size), nil
}

// lost is err if it is one of the connection, and says nothing of what was asked.
func lost(err error) error {
	if refusal(err) != nil || errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return err
}

// Commit gives the finished file, of which proof was seen, its name. Where the server refuses to rename over a file, the old one is
// moved out of the way and comes back if the new one cannot take its place. What follows is asked together with the rename.
func (f *File) Commit(ctx context.Context, s *session.Session, proof Proof, follows session.Ahead) error {
	if f.inPlace {
		return f.removeOld(ctx, s)
	}
	asked, err := s.RenameAhead(ctx, f.Name(), f.Target, follows)
	f.asked = f.asked || asked
	r := refusal(err)
	if r != nil && f.asked { // it may be done all the same, or by a server that was still at what was asked before
		if _, done, err := f.Find(ctx, s, proof); done || err != nil {
			return err
		}
	}
	switch {
	case r != nil && r.Command != "RNTO":
		return f.noRename(err)
	case r != nil:
		err = f.replace(ctx, s, err)
	}
	if err != nil {
		return err
	}
	return f.removeOld(ctx, s)
}

// noRename is the error of a server that refuses to rename: for good, or for now (4xx). Pure-FTPd says 451 whatever is the matter, so
// one more after some others is for good.
func (f *File) noRename(said error) error {
	if f.refusals++; reply.Code(said)/100 == 4 && f.refusals <= maxRefusals {
		return said
	}
	return fmt.Errorf("%w: %w", ErrNoRename, said)
}

// maxRefusals is how often a rename is tried that is refused for now.
const maxRefusals = 3

// replace moves the target out of the way, said being the refusal to rename over it. A ctx that ends meanwhile is given a
// moment: between two renames there is nothing under the target's name.
func (f *File) replace(ctx context.Context, s *session.Session, said error) error {
	there, err := remotefs.Stat(ctx, s, f.Target)
	switch {
	case errors.Is(err, fs.ErrNotExist): // nothing is in the way
		return f.noRename(said)
	case err == nil && there.IsDir():
		return fmt.Errorf("%w: %w", ErrDirectory, said)
	case err != nil && refusal(err) == nil:
		return err
	case err != nil: // neither there nor absent for certain, and then a directory least of all must be moved
		switch err := s.IsDir(ctx, f.Target); {
		case err == nil:
			return fmt.Errorf("%w: %w", ErrDirectory, said)
		case refusal(err) == nil:
			return err
		}
	}
	ctx, cancel := withGrace(ctx)
	defer cancel()
	f.aside = true
	if err := s.Rename(ctx, f.Target, f.Aside()); err != nil {
		if refusal(err) == nil {
			return err
		}
		_, gone := remotefs.Stat(ctx, s, f.Target)
		f.aside = gone != nil
		if reply.Code(err)/100 == 4 { // said is of its being there
			return err
		}
		return f.noRename(said)
	}
	err = s.Rename(ctx, f.Name(), f.Target)
	if refusal(err) != nil && s.Rename(ctx, f.Aside(), f.Target) == nil {
		f.aside = false
	}
	return err
}

// removeOld removes the file that was there before, once the new one is in its place. A server that refuses keeps both.
func (f *File) removeOld(ctx context.Context, s *session.Session) error {
	if !f.aside {
		return nil
	}
	if err := s.Delete(ctx, f.Aside()); err != nil && refusal(err) == nil {
		return err
	}
	f.aside = false
	return nil
}

// grace is how much longer than its context a replacement may take that has begun.
const grace = time.Second

func withGrace(ctx context.Context) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })
	return longer, func() {
		stop()
		cancel()
	}
}

func refusal(err error) *reply.Error {
	var e *reply.Error
	if errors.As(err, &e) && e.Code != 421 {
		return e
	}
	return nil
}
