package partfile_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/partfile"
)

func mode(t *testing.T, root *os.Root, name string) fs.FileMode {
	t.Helper()
	info, err := root.Lstat(name)
	require.NoError(t, err)
	return info.Mode()
}

func TestOnlyTheUserMayReadAPartial(t *testing.T) {
	root := openRoot(t)
	f := begin(t, root, []byte("secret"))
	require.NoError(t, f.Keep())
	for _, name := range names(t, root) {
		assert.Equal(t, fs.FileMode(0o600), mode(t, root, name), name)
	}
}

func TestANewTargetHasThePermissionsOfAnyNewFile(t *testing.T) {
	root := openRoot(t)
	ordinary, err := root.Create("ordinary")
	require.NoError(t, err)
	require.NoError(t, ordinary.Close())
	require.NoError(t, begin(t, root, []byte("x")).Commit(partfile.CommitOptions{}))
	assert.Equal(t, mode(t, root, "ordinary"), mode(t, root, "target"))
}

func TestAReplacedTargetKeepsItsPermissions(t *testing.T) {
	root := openRoot(t)
	require.NoError(t, root.WriteFile("target", []byte("old"), 0o600))
	require.NoError(t, root.Chmod("target", 0o640))
	require.NoError(t, begin(t, root, []byte("new")).Commit(partfile.CommitOptions{NoSync: true}))
	assert.Equal(t, fs.FileMode(0o640), mode(t, root, "target"))
	got, err := root.ReadFile("target")
	require.NoError(t, err)
	assert.Equal(t, "new", string(got))
	assert.Equal(t, []string{"target"}, names(t, root))
}

func TestAnExclusiveCommitNeverReplacesATarget(t *testing.T) {
	root := openRoot(t)
	f := begin(t, root, []byte("first"))
	require.NoError(t, f.Commit(partfile.CommitOptions{Exclusive: true}))
	assert.Equal(t, []string{"target"}, names(t, root))

	f = begin(t, root, []byte("second"))
	require.ErrorIs(t, f.Commit(partfile.CommitOptions{Exclusive: true}), fs.ErrExist)
	got, err := root.ReadFile("target")
	require.NoError(t, err)
	assert.Equal(t, "first", string(got))

	require.NoError(t, f.Close())
	f = open(t, root)
	s, err := f.Saved()
	require.NoError(t, err, "what was refused is kept")
	require.NoError(t, f.Continue(s))
	require.NoError(t, f.Commit(partfile.CommitOptions{}))
	got, err = root.ReadFile("target")
	require.NoError(t, err)
	assert.Equal(t, "second", string(got))
}

func TestAPartialThatIsTheFinishedTargetIsNotContinued(t *testing.T) {
	root := openRoot(t)
	f := begin(t, root, []byte("bytes"))
	require.NoError(t, f.Keep())
	require.NoError(t, root.Link(partOf(f), "target")) // as a kill in the middle of an exclusive commit leaves it
	require.NoError(t, f.Close())

	f = open(t, root)
	_, err := f.Saved()
	require.ErrorContains(t, err, "finished target")
	require.NoError(t, f.Start(about(3)))
	write(t, f, []byte("new"))
	got, err := root.ReadFile("target")
	require.NoError(t, err)
	assert.Equal(t, "bytes", string(got))
}

func TestADirectoryIsNotReplaced(t *testing.T) {
	root := openRoot(t)
	require.NoError(t, root.Mkdir("target", 0o755))
	f := begin(t, root, []byte("bytes"))
	require.Error(t, f.Commit(partfile.CommitOptions{}))
	require.NoError(t, f.Close())
	s, err := open(t, root).Saved()
	require.NoError(t, err)
	assert.EqualValues(t, 5, s.Offset)
}

func TestALinkToADirectoryBesideItIsNotReplaced(t *testing.T) {
	root := openRoot(t)
	require.NoError(t, root.Mkdir("elsewhere", 0o755))
	require.NoError(t, root.Symlink("elsewhere", "target"))
	require.ErrorIs(t, partfile.Check(root, "target"), fs.ErrExist)
	require.ErrorIs(t, begin(t, root, []byte("bytes")).Commit(partfile.CommitOptions{}), fs.ErrExist)
	assert.Equal(t, fs.ModeSymlink, mode(t, root, "target").Type())
}

func TestALinkUnderTheTargetsNameIsReplacedAndNotFollowed(t *testing.T) {
	root := openRoot(t)
	require.NoError(t, root.WriteFile("elsewhere", []byte("old"), 0o600))
	require.NoError(t, root.Symlink("elsewhere", "target"))
	require.NoError(t, begin(t, root, []byte("new")).Commit(partfile.CommitOptions{}))
	got, err := root.ReadFile("elsewhere")
	require.NoError(t, err)
	assert.Equal(t, "old", string(got))
	assert.True(t, mode(t, root, "target").IsRegular())
}

func TestAFailedFlushIsFinal(t *testing.T) {
	root := openRoot(t)
	require.NoError(t, root.WriteFile("target", []byte("old"), 0o644))
	f := begin(t, root, []byte("bytes"))
	calls := 0
	f.SetSync(func(*os.File) error { calls++; return syscall.EIO })
	require.ErrorIs(t, f.Commit(partfile.CommitOptions{}), syscall.EIO)
	require.ErrorIs(t, f.Commit(partfile.CommitOptions{NoSync: true}), syscall.EIO)
	_, err := f.Write([]byte("more"))
	require.ErrorIs(t, err, syscall.EIO)
	require.ErrorIs(t, f.Close(), syscall.EIO)
	assert.Equal(t, 1, calls)
	got, err := root.ReadFile("target")
	require.NoError(t, err)
	assert.Equal(t, "old", string(got))
	_, err = open(t, root).Saved()
	assert.ErrorIs(t, err, fs.ErrNotExist, "no sidecar vouches for what was not flushed")
}

func TestALockThatCannotBeRemovedDoesNotSpoilAFinishedTarget(t *testing.T) {
	root := openRoot(t)
	f := begin(t, root, []byte("bytes"))
	_, _, lock := f.Names()
	require.NoError(t, root.Remove(lock))
	require.NoError(t, root.MkdirAll(lock+"/in the way", 0o700))
	require.NoError(t, f.Commit(partfile.CommitOptions{}))
	require.NoError(t, f.Close())
	got, err := root.ReadFile("target")
	require.NoError(t, err)
	assert.Equal(t, "bytes", string(got))
}

func TestATargetThatAppearedThoughTheFileSystemDeniesItIsSuccess(t *testing.T) {
	for name, c := range map[string]struct {
		appear    func(root *os.Root, part string) error
		exclusive bool
	}{
		"rename": {func(root *os.Root, part string) error { return root.Rename(part, "target") }, false},
		"link":   {func(root *os.Root, part string) error { return root.Link(part, "target") }, true},
	} {
		t.Run(name, func(t *testing.T) {
			root := openRoot(t)
			f := begin(t, root, []byte("bytes"))
			f.SetClose(func(file *os.File) error { // as NFS, which asks a server again that did it and went down
				return errors.Join(file.Close(), c.appear(root, partOf(f)))
			})
			require.NoError(t, f.Commit(partfile.CommitOptions{Exclusive: c.exclusive}))
			require.NoError(t, f.Close())
			assert.Equal(t, []string{"target"}, names(t, root))
			got, err := root.ReadFile("target")
			require.NoError(t, err)
			assert.Equal(t, "bytes", string(got))
		})
	}
}

func TestWhatACloseFailedToWriteIsNotContinued(t *testing.T) {
	for name, flushed := range map[string]bool{"a checkpoint before": true, "none": false} {
		t.Run(name, func(t *testing.T) {
			root := openRoot(t)
			f := open(t, root)
			require.NoError(t, f.Start(about(9*mib)))
			if flushed {
				write(t, f, content(1, 8*mib))
				f.Wait()
			}
			write(t, f, content(2, mib))
			f.SetClose(func(file *os.File) error { // as NFS does where the server's disk is full: the error is told once
				return errors.Join(syscall.ENOSPC, file.Close())
			})
			require.ErrorIs(t, f.Commit(partfile.CommitOptions{NoSync: true}), syscall.ENOSPC)
			require.ErrorIs(t, f.Close(), syscall.ENOSPC)
			assert.NotContains(t, names(t, root), "target")

			s, err := open(t, root).Saved()
			if !flushed {
				require.ErrorIs(t, err, fs.ErrNotExist, "no sidecar vouches for what was not flushed")
				return
			}
			require.NoError(t, err)
			assert.EqualValues(t, 8*mib, s.Offset)
		})
	}
}

func TestWhatWasFlushedIsNotFlushedAgainUnlessMoreIsWritten(t *testing.T) {
	for name, c := range map[string]struct {
		then func(*partfile.File)
		want int
	}{
		"nothing more": {func(*partfile.File) {}, 1},
		"more":         {func(f *partfile.File) { write(t, f, []byte("more")) }, 2},
		"begun anew":   {func(f *partfile.File) { require.NoError(t, f.Start(about(4))); write(t, f, []byte("anew")) }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			f := begin(t, openRoot(t), []byte("bytes"))
			calls := 0
			f.SetSync(func(*os.File) error { calls++; return nil })
			f.Flush()
			c.then(f)
			require.NoError(t, f.Commit(partfile.CommitOptions{}))
			assert.Equal(t, c.want, calls)
			f.Flush() // as nothing is open, it has no effect
		})
	}
	f := begin(t, openRoot(t), []byte("bytes"))
	f.SetSync(func(*os.File) error { return syscall.EIO })
	f.Flush()
	f.SetSync(func(*os.File) error { return nil })
	require.ErrorIs(t, f.Commit(partfile.CommitOptions{}), syscall.EIO, "a failure is told of")
}

func TestNoSidecarIsLeftOfAPartialThatIsContinuedAtItsBeginning(t *testing.T) {
	root := openRoot(t)
	f := begin(t, root, []byte("bytes"))
	_, state, _ := f.Names()
	require.NoError(t, f.Close())
	f = open(t, root)
	s, err := f.Saved()
	require.NoError(t, err)
	s.Offset = 0
	require.NoError(t, f.Continue(s))
	write(t, f, []byte("again"))
	require.NoError(t, f.Commit(partfile.CommitOptions{}))
	_, err = root.Lstat(state)
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestAFailedFlushBesideTheWriterStopsItAndKeepsTheCheckpointBefore(t *testing.T) {
	root := openRoot(t)
	f := open(t, root)
	require.NoError(t, f.Start(about(24*mib)))
	data := content(1, 8*mib)
	write(t, f, data)
	f.Wait()
	f.SetSync(func(*os.File) error { return syscall.EIO })
	write(t, f, data)
	f.Wait()
	_, err := f.Write(data)
	require.ErrorIs(t, err, syscall.EIO)
	require.ErrorIs(t, f.Commit(partfile.CommitOptions{}), syscall.EIO)
	require.ErrorIs(t, f.Close(), syscall.EIO)

	f = open(t, root)
	s, err := f.Saved()
	require.NoError(t, err)
	assert.EqualValues(t, 8*mib, s.Offset)
	require.NoError(t, f.Continue(s))
	got := make([]byte, 8*mib)
	_, err = f.ReadAt(got, 0)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(data, got))
}

func TestADiskTooFullForTheSidecarGivesBackTheEndOfThePartial(t *testing.T) {
	root := openRoot(t)
	data := content(1, mib)
	f := begin(t, root, data)
	f.SetWriteSidecar(func(s partfile.State, write func(partfile.State) error) error {
		if info, err := root.Stat(partOf(f)); err != nil || info.Size() == mib {
			return errors.Join(err, syscall.ENOSPC)
		}
		return write(s)
	})
	require.NoError(t, f.Close())
	f = open(t, root)
	s, err := f.Saved()
	require.NoError(t, err)
	assert.Less(t, s.Offset, int64(mib))
	assert.Positive(t, s.Offset)
	require.NoError(t, f.Continue(s))
	got := make([]byte, s.Offset)
	_, err = f.ReadAt(got, 0)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(data[:s.Offset], got))
}

func TestASidecarThatCannotBeWrittenLeavesTheOneBefore(t *testing.T) {
	root := openRoot(t)
	f := open(t, root)
	require.NoError(t, f.Start(about(20*mib)))
	write(t, f, content(1, 8*mib))
	f.Wait()
	f.SetWriteSidecar(func(partfile.State, func(partfile.State) error) error { return syscall.ENOSPC })
	write(t, f, content(2, mib))
	require.ErrorIs(t, f.Close(), syscall.ENOSPC)
	s, err := open(t, root).Saved()
	require.NoError(t, err)
	assert.EqualValues(t, 8*mib, s.Offset)
}
