package partfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// CommitOptions says how the target appears; the zero value flushes and replaces.
type CommitOptions struct {
	ModTime   time.Time // zero: left as it is
	NoSync    bool      // no flush: after a power cut the target may be empty or partial
	Exclusive bool      // fs.ErrExist if there is a target
}

// Commit makes the partial the target: flushed, with the permissions of the file that it replaces or else those of any
// new file, in one rename. Afterwards no hidden file is left, and only Close may follow. When it fails there is no new
// target, except that a directory that could not be flushed leaves one that a power cut may take back; the partial stays
// for Close or Discard.
func (f *File) Commit(o CommitOptions) error {
	f.checkpoint.wait()
	if err := f.usable(); err != nil {
		return err
	}
	part, err := f.finish(o)
	if err != nil {
		return err
	}
	if err := f.appear(part, o.Exclusive); err != nil {
		return err
	}
	if !o.NoSync {
		err = f.syncDir()
	}
	if f.noted.Load() {
		// Without its partial a sidecar says nothing, so one that stays does not make the finished download a failure.
		_, _ = f.remove(f.state)
		_, _ = f.remove(f.fresh)
	}
	f.begun, f.closed = false, true
	_ = f.lock.release() // a lock file that stays keeps nobody out
	return err
}

// Flush makes what was written durable, so that Commit need not, if nothing more is written. Commit tells of an error.
func (f *File) Flush() {
	f.checkpoint.wait()
	f.flushed = f.file != nil && f.checkpoint.flush(f.file) == nil
}

// finish makes the partial's content and attributes final and closes it.
func (f *File) finish(o CommitOptions) (part fs.FileInfo, err error) {
	mode, err := f.targetMode()
	if err != nil {
		return nil, err
	}
	if !o.NoSync && !f.flushed {
		if err := f.checkpoint.flush(f.file); err != nil {
			return nil, err
		}
	}
	// Some file systems have no permissions to set: the file then has those that all others have there.
	err = f.file.Chmod(mode)
	if err != nil && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, errors.ErrUnsupported) {
		return nil, f.reopen(err)
	}
	if part, err = f.file.Stat(); err != nil {
		return nil, f.reopen(err)
	}
	// Closed before the time is set and the name changed: Windows allows no rename of an open file, and a network file
	// system may report a failed write here, and may set the time of the last write.
	err = f.checkpoint.close(f.file)
	f.file = nil
	if err != nil {
		return nil, f.reopen(f.checkpoint.fail(err))
	}
	if !o.ModTime.IsZero() {
		if err := f.dir.Chtimes(f.part, o.ModTime, o.ModTime); err != nil {
			return nil, f.reopen(err)
		}
	}
	return part, nil
}

// appear gives the partial the target's name. NFS may do that and deny it: it asks once more if the server goes down meanwhile.
func (f *File) appear(part fs.FileInfo, exclusive bool) error {
	if exclusive {
		err := f.dir.Link(f.part, f.name)
		if err == nil || f.isTarget(part) {
			// The target is there and whole. A second name that stays is found and removed by the next Start.
			_, _ = f.remove(f.part)
			return nil
		}
		if errors.Is(err, fs.ErrExist) {
			return f.reopen(err)
		}
		// Not every file system has links. Without them another program may create the target in between, and loses it.
		if _, err := f.dir.Lstat(f.name); !errors.Is(err, fs.ErrNotExist) {
			if err == nil {
				err = &fs.PathError{Op: "link", Path: f.name, Err: fs.ErrExist}
			}
			return f.reopen(err)
		}
	}
	if err := f.dir.Rename(f.part, f.name); err != nil && !f.isTarget(part) {
		return f.reopen(err)
	}
	return nil
}

// isTarget tells whether the partial is what is under the target's name.
func (f *File) isTarget(part fs.FileInfo) bool {
	target, err := f.dir.Lstat(f.name)
	return err == nil && os.SameFile(part, target)
}

// reopen returns cause, after it made the partial what it was before a commit that failed, so that it can be kept.
func (f *File) reopen(cause error) error {
	if f.file == nil {
		if err := f.dir.Chmod(f.part, 0o600); err != nil && !errors.Is(err, fs.ErrPermission) {
			return errors.Join(cause, err)
		}
		file, err := openRegular(f.dir, f.part, os.O_RDWR)
		if err != nil {
			return errors.Join(cause, err)
		}
		f.file = file
	}
	_, err := f.file.Seek(f.offset.Load(), io.SeekStart)
	return errors.Join(cause, err)
}

// Check returns why Commit would not replace what is under the target's name.
func Check(dir *os.Root, name string) error {
	_, err := replaced(dir, name)
	return err
}

// replaced is the regular file that a commit will replace; nil if there is none. What else is there is not: /dev/null would then be
// gone for all of the system. A link is replaced, wherever it leads, unless that is no regular file below dir.
func replaced(dir *os.Root, name string) (fs.FileInfo, error) {
	info, err := dir.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // as said
	}
	if err != nil {
		return nil, err
	}
	if info.Mode().IsRegular() {
		return info, nil
	}
	led := info.Mode()
	if led.Type() == fs.ModeSymlink {
		led = 0
		if end, err := dir.Stat(name); err == nil {
			led = end.Mode()
		}
	}
	if !led.IsRegular() {
		return nil, &fs.PathError{Op: "replace", Path: filepath.Join(dir.Name(), name), Err: fmt.Errorf("it is no regular file: %w", fs.ErrExist)}
	}
	return nil, nil //nolint:nilnil // a link
}

// targetMode is what the target's permissions will be: those it has, or those of any new file.
func (f *File) targetMode() (fs.FileMode, error) {
	info, err := replaced(f.dir, f.name)
	switch {
	case err != nil:
		return 0, err
	case info != nil:
		return info.Mode().Perm(), nil
	}
	return f.newFileMode()
}

// newModes has the permissions of new files by folder: besides the umask, an access list or a file system without permissions may
// decide.
var newModes struct {
	sync.Mutex
	of map[string]fs.FileMode
}

// mostModes is how many folders are remembered.
const mostModes = 4096

// newFileMode creates a file to see what the umask leaves: to ask for the umask is to change it for a moment, which
// other goroutines would notice.
func (f *File) newFileMode() (fs.FileMode, error) {
	folder := f.dir.Name()
	newModes.Lock()
	mode, known := newModes.of[folder]
	newModes.Unlock()
	if known {
		return mode, nil
	}
	if _, err := f.remove(f.fresh); err != nil {
		return 0, err
	}
	probe, err := f.dir.OpenFile(f.fresh, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return 0, err
	}
	info, err := probe.Stat()
	err = errors.Join(err, probe.Close())
	_, rerr := f.remove(f.fresh)
	if err = errors.Join(err, rerr); err != nil {
		return 0, err
	}
	mode = info.Mode().Perm() & 0o666
	newModes.Lock()
	defer newModes.Unlock()
	if newModes.of == nil || len(newModes.of) >= mostModes {
		newModes.of = map[string]fs.FileMode{}
	}
	newModes.of[folder] = mode
	return mode, nil
}
