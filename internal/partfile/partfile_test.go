package partfile_test

import (
	"bytes"
	"crypto/sha256"
	"encoding"
	"errors"
	"io/fs"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/partfile"
)

const mib = 1 << 20

func TestOpenDoesNotTouchTheTargetAndCloseLeavesNothing(t *testing.T) {
	root := openRoot(t)
	require.NoError(t, root.WriteFile("target", []byte("old"), 0o644))
	f := open(t, root)
	_, err := f.Saved()
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, f.Close())
	require.NoError(t, f.Close())
	assert.Equal(t, []string{"target"}, names(t, root))
}

func TestOpenTakesOnePathComponentOnly(t *testing.T) {
	root := openRoot(t)
	for _, name := range []string{"", ".", "..", "a/b", "/a", "a/", "../a"} {
		_, err := partfile.Open(root, name, source)
		assert.ErrorIs(t, err, fs.ErrInvalid, name)
	}
}

func TestAFolderThatIsGoneIsNotInUse(t *testing.T) {
	root := openRoot(t)
	require.NoError(t, os.RemoveAll(root.Name()))
	_, err := partfile.Open(root, "target", source)
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestASecondCallerInOneProcessIsToldThatTheTargetIsInUse(t *testing.T) {
	root := openRoot(t)
	f := open(t, root)
	other := source
	other.Path = "/another"
	_, err := partfile.Open(root, "target", other)
	require.ErrorIs(t, err, partfile.ErrInUse)
	require.NoError(t, f.Close())
	assert.NoError(t, open(t, root).Close())
}

func TestOneOfManyCallersHoldsTheTarget(t *testing.T) {
	root := openRoot(t)
	var mu sync.Mutex
	var inside, taken int
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				f, err := partfile.Open(root, "target", source)
				if errors.Is(err, partfile.ErrInUse) {
					continue
				}
				if err != nil {
					t.Errorf("neither held nor in use: %v", err)
					return
				}
				mu.Lock()
				inside++
				taken++
				assert.Equal(t, 1, inside)
				inside--
				mu.Unlock()
				assert.NoError(t, f.Close())
			}
		})
	}
	wg.Wait()
	assert.Positive(t, taken)
	assert.Empty(t, names(t, root))
}

func TestAnErrorAboutTheTargetTellsItsFolder(t *testing.T) {
	root := openRoot(t)
	held := open(t, root)
	_, err := partfile.Open(root, "target", source)
	require.ErrorContains(t, err, path(root, "target"))
	_, _, lock := held.Names()
	require.NoError(t, held.Close())
	require.NoError(t, root.Mkdir(lock, 0o700))
	_, err = partfile.Open(root, "target", source)
	require.ErrorContains(t, err, path(root, "target"))
	require.NoError(t, root.Mkdir("target", 0o700))
	require.ErrorContains(t, partfile.Check(root, "target"), path(root, "target"))
}

func TestCloseKeepsWhatWasWrittenAndContinueGoesOnThere(t *testing.T) {
	root := openRoot(t)
	data := content(1, 3*mib)
	f := open(t, root)
	require.NoError(t, f.Start(about(len(data))))
	write(t, f, data[:mib])
	require.NoError(t, f.Close())
	assert.Len(t, names(t, root), 2, "partial and sidecar")

	f = open(t, root)
	s, err := f.Saved()
	require.NoError(t, err)
	assert.Equal(t, partfile.State{Size: 3 * mib, ModTime: then, Unique: "u1", Offset: mib}, s)
	require.NoError(t, f.Continue(s))
	assert.EqualValues(t, mib, f.Offset())
	tail := make([]byte, 100)
	_, err = f.ReadAt(tail, mib-100)
	require.NoError(t, err)
	assert.Equal(t, data[mib-100:mib], tail)
	write(t, f, data[mib:])
	require.NoError(t, f.Commit(partfile.CommitOptions{ModTime: then}))

	got, err := root.ReadFile("target")
	require.NoError(t, err)
	assert.True(t, bytes.Equal(data, got))
	info, err := root.Stat("target")
	require.NoError(t, err)
	assert.True(t, info.ModTime().Equal(then))
	assert.Equal(t, []string{"target"}, names(t, root))
	_, err = f.Write(data)
	require.ErrorIs(t, err, fs.ErrClosed)
	require.NoError(t, f.Discard())
	assert.NoError(t, f.Close())
}

func TestContinueCutsWhatIsBeyondTheOffset(t *testing.T) {
	root := openRoot(t)
	data := content(1, 1000)
	leave(t, root, data)
	f := open(t, root)
	part, _, _ := f.Names()
	file, err := root.OpenFile(part, os.O_WRONLY|os.O_APPEND, 0)
	require.NoError(t, err)
	_, err = file.WriteString("never flushed")
	require.NoError(t, err)
	require.NoError(t, file.Close())

	s, err := f.Saved()
	require.NoError(t, err)
	require.EqualValues(t, 1000, s.Offset)
	over := s
	over.Offset++
	require.Error(t, f.Continue(over), "nothing vouches for the byte beyond")
	require.NoError(t, f.Continue(s))
	info, err := root.Stat(part)
	require.NoError(t, err)
	assert.EqualValues(t, 1000, info.Size())

	// From further back: what is saved stays true at once, not only at the next checkpoint.
	s.Offset = 600
	require.NoError(t, f.Continue(s))
	require.NoError(t, root.Link(part, "copy"))
	again, err := f.Saved()
	require.NoError(t, err)
	assert.EqualValues(t, 600, again.Offset)
	got, err := root.ReadFile("copy")
	require.NoError(t, err)
	assert.Equal(t, data[:600], got)
}

func TestClosingWithoutStartLeavesAnEarlierPartial(t *testing.T) {
	root := openRoot(t)
	leave(t, root, []byte("some bytes"))
	require.NoError(t, open(t, root).Close())
	s, err := open(t, root).Saved()
	require.NoError(t, err)
	assert.EqualValues(t, 10, s.Offset)
}

func TestAPartialWithoutAByteIsNotKept(t *testing.T) {
	root := openRoot(t)
	leave(t, root, []byte("earlier"))
	f := open(t, root)
	require.NoError(t, f.Start(about(10)))
	require.NoError(t, f.Close())
	assert.Empty(t, names(t, root))
}

func TestDiscardRemovesAllButTheLock(t *testing.T) {
	root := openRoot(t)
	f := begin(t, root, []byte("bytes"))
	require.NoError(t, f.Keep())
	_, _, lock := f.Names()
	require.NoError(t, f.Discard())
	assert.Equal(t, []string{lock}, names(t, root))
	_, err := f.Write([]byte("x"))
	require.ErrorIs(t, err, fs.ErrClosed)
	require.NoError(t, f.Start(about(1)))
	write(t, f, []byte("y"))
	require.NoError(t, f.Commit(partfile.CommitOptions{}))
	got, err := root.ReadFile("target")
	require.NoError(t, err)
	assert.Equal(t, "y", string(got))
}

func TestTwoSourcesOfOneTargetHavePartialsOfTheirOwn(t *testing.T) {
	root := openRoot(t)
	leave(t, root, []byte("bytes"))
	other := source
	other.User = "you"
	f, err := partfile.Open(root, "target", other)
	require.NoError(t, err)
	defer func() { assert.NoError(t, f.Close()) }()
	_, err = f.Saved()
	assert.ErrorIs(t, err, fs.ErrNotExist)
}

func TestASmallFileNeedsNoSidecar(t *testing.T) {
	root := openRoot(t)
	f := begin(t, root, content(1, mib))
	f.SetWriteSidecar(func(partfile.State, func(partfile.State) error) error {
		assert.Fail(t, "a sidecar was written")
		return nil
	})
	require.NoError(t, f.Commit(partfile.CommitOptions{}))
}

func TestACheckpointIsDueEvery8MiB(t *testing.T) {
	root := openRoot(t)
	f := open(t, root)
	require.NoError(t, f.Start(about(16*mib)))
	write(t, f, content(1, 8*mib-1))
	f.Wait()
	_, err := f.Saved()
	require.ErrorIs(t, err, fs.ErrNotExist)
	for range 2 {
		write(t, f, []byte("x"))
		f.Wait()
		s, err := f.Saved()
		require.NoError(t, err)
		assert.EqualValues(t, 8*mib, s.Offset, "at 8 MiB, and not again one byte later")
	}
}

func TestACheckpointIsDueEveryTwoSeconds(t *testing.T) {
	root := openRoot(t)
	synctest.Test(t, func(t *testing.T) {
		f, err := partfile.Open(root, "target", source)
		require.NoError(t, err)
		defer func() { require.NoError(t, f.Close()) }()
		require.NoError(t, f.Start(about(100)))
		<-time.After(2*time.Second - 1)
		write(t, f, []byte("a"))
		f.Wait()
		_, err = f.Saved()
		require.ErrorIs(t, err, fs.ErrNotExist)
		<-time.After(1)
		write(t, f, []byte("b"))
		f.Wait()
		s, err := f.Saved()
		require.NoError(t, err)
		assert.EqualValues(t, 2, s.Offset)
	})
}

func TestACheckpointInMemoryIsThereWhenItsWriteIsDone(t *testing.T) {
	root := openRoot(t)
	synctest.Test(t, func(t *testing.T) {
		f, err := partfile.Open(root, "target", source)
		require.NoError(t, err)
		defer func() { require.NoError(t, f.Close()) }()
		f.InMemory(true)
		f.SetWriteSidecar(func(s partfile.State, write func(partfile.State) error) error {
			<-time.After(time.Second) // passes only while the writer waits, too
			return write(s)
		})
		require.NoError(t, f.Start(about(32*mib)))
		for n := range 3 {
			write(t, f, content(1, 8*mib))
			s, err := f.Saved()
			require.NoError(t, err)
			assert.EqualValues(t, (n+1)*8*mib, s.Offset)
		}
	})
}

func TestTheWriterDoesNotWaitForTheFlushAndNeverHasTwo(t *testing.T) {
	root := openRoot(t)
	f := open(t, root)
	flushing, release := make(chan struct{}, 16), make(chan struct{})
	f.SetSync(func(file *os.File) error {
		flushing <- struct{}{}
		<-release
		return file.Sync()
	})
	data := content(1, 8*mib)
	require.NoError(t, f.Start(about(4*len(data))))
	for range 3 {
		write(t, f, data)
	}
	<-flushing
	assert.Empty(t, flushing, "a second flush beside the first")
	close(release)
	f.Wait()
	s, err := f.Saved()
	require.NoError(t, err)
	assert.EqualValues(t, 8*mib, s.Offset)
	write(t, f, data)
	f.Wait()
	s, err = f.Saved()
	require.NoError(t, err)
	assert.EqualValues(t, 32*mib, s.Offset)
}

func TestTheDigestCoversExactlyTheDurableBytes(t *testing.T) {
	root := openRoot(t)
	data := content(1, 20*mib)
	f := open(t, root)
	require.NoError(t, f.Start(about(len(data))))
	require.NoError(t, f.SetDigest(t.Context(), "SHA-256", sha256.New()))
	for off := 0; off < 12*mib; off += 100_000 {
		write(t, f, data[off:min(off+100_000, 12*mib)])
		if s, err := f.Saved(); err == nil {
			h := sha256.New()
			require.NoError(t, h.(encoding.BinaryUnmarshaler).UnmarshalBinary(s.Digest))
			require.Equal(t, sum(data[:s.Offset]), h.Sum(nil))
		}
	}
	require.NoError(t, f.Close())

	f = open(t, root)
	s, err := f.Saved()
	require.NoError(t, err)
	require.Equal(t, "SHA-256", s.DigestName)
	h := sha256.New()
	require.NoError(t, f.Continue(s))
	require.NoError(t, f.SetDigest(t.Context(), "SHA-256", h))
	write(t, f, data[12*mib:])
	assert.Equal(t, sum(data), h.Sum(nil))
	require.NoError(t, f.Close())
}

func TestADigestWithoutSavedStateReadsThePartialAgain(t *testing.T) {
	root := openRoot(t)
	data := content(1, 2*mib)
	leave(t, root, data[:mib])
	f := open(t, root)
	s, err := f.Saved()
	require.NoError(t, err)
	require.Empty(t, s.Digest)
	s.Offset -= 1000
	require.NoError(t, f.Continue(s))
	h := sha256.New()
	require.NoError(t, f.SetDigest(t.Context(), "SHA-256", h))
	write(t, f, data[mib-1000:])
	assert.Equal(t, sum(data), h.Sum(nil))
}

func TestADigestSetAfterWritingSeesWhatWasWrittenBefore(t *testing.T) {
	root := openRoot(t)
	data := content(1, 3000)
	f := open(t, root)
	require.NoError(t, f.Start(about(len(data))))
	require.NoError(t, f.SetDigest(t.Context(), "SHA-256", sha256.New()))
	write(t, f, data[:1000])
	require.NoError(t, f.Close())

	f = open(t, root)
	s, err := f.Saved()
	require.NoError(t, err)
	require.NoError(t, f.Continue(s))
	write(t, f, data[1000:2000])
	h := sha256.New()
	require.NoError(t, f.SetDigest(t.Context(), "SHA-256", h))
	write(t, f, data[2000:])
	assert.Equal(t, sum(data), h.Sum(nil))
}

func TestBytesThatWentPastTheDigestEndIt(t *testing.T) {
	root := openRoot(t)
	data := content(1, 1000)
	f := open(t, root)
	require.NoError(t, f.Start(about(2000)))
	require.NoError(t, f.SetDigest(t.Context(), "SHA-256", sha256.New()))
	write(t, f, data)
	_, err := f.WriteAt(data, 1000)
	require.NoError(t, err)
	assert.EqualValues(t, 2000, f.Offset())
	require.NoError(t, f.Close())

	f = open(t, root)
	s, err := f.Saved()
	require.NoError(t, err)
	assert.EqualValues(t, 2000, s.Offset)
	assert.Empty(t, s.Digest)
	require.NoError(t, f.Continue(s))
	got := make([]byte, 2000)
	_, err = f.ReadAt(got, 0)
	require.NoError(t, err)
	assert.Equal(t, append(data, data...), got)
}
