package partfile_test

import (
	"bytes"
	"crypto/sha256"
	"io/fs"
	"math/rand/v2"
	"os"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/partfile"
)

func writeAt(tb testing.TB, f *partfile.File, data []byte, from, to int) {
	tb.Helper()
	n, err := f.WriteAt(data[from:to], int64(from))
	require.NoError(tb, err)
	require.Equal(tb, to-from, n)
}

func TestWhatIsWrittenInAnyOrderAndSideBySideIsHeldAsWhatItIs(t *testing.T) {
	const size, piece = 1000, 10
	data := content(1, size)
	for range 50 {
		f := open(t, openRoot(t))
		require.NoError(t, f.Start(about(size)))
		var mu sync.Mutex
		written := make([]bool, size)
		var wg sync.WaitGroup
		order := rand.Perm(size / piece)[:rand.IntN(size/piece)]
		for w := range 4 {
			wg.Go(func() {
				for i := w; i < len(order); i += 4 {
					from := order[i] * piece
					to := min(from+piece+rand.IntN(piece), size)
					if _, err := f.WriteAt(data[from:to], int64(from)); err != nil {
						t.Error(err)
					}
					mu.Lock()
					for j := from; j < to; j++ {
						written[j] = true
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		missing := make([]bool, size)
		var last int64 = -1
		for _, r := range f.Missing(size) {
			require.Greater(t, r.From, last)
			require.Positive(t, r.Len())
			last = r.To
			for j := r.From; j < r.To; j++ {
				missing[j] = true
			}
		}
		var held, before int64
		for j := range written {
			require.Equal(t, written[j], !missing[j])
			require.Equal(t, min(before, 25), f.Before(int64(j), 25), j)
			before++
			if !written[j] {
				before = 0
			} else {
				held++
			}
		}
		assert.Equal(t, held, f.Held())
		require.NoError(t, f.Close())
	}
}

func TestAPartialInPartsIsContinuedWithAllOfThem(t *testing.T) {
	root := openRoot(t)
	data := content(1, 1000)
	f := open(t, root)
	require.NoError(t, f.Start(about(1000)))
	require.NoError(t, f.SetDigest(t.Context(), "SHA-256", sha256.New()))
	writeAt(t, f, data, 500, 600)
	writeAt(t, f, data, 0, 100)
	writeAt(t, f, data, 800, 900)
	_, err := f.Write(data[100:200])
	require.Error(t, err, "appending to the first part would run into the next one")
	require.NoError(t, f.Close())

	f = open(t, root)
	s, err := f.Saved()
	require.NoError(t, err)
	assert.EqualValues(t, 100, s.Offset)
	assert.Equal(t, []partfile.Range{{From: 500, To: 600}, {From: 800, To: 900}}, s.Parts)
	assert.EqualValues(t, 300, s.Held())
	assert.Empty(t, s.Digest, "no digest saw the bytes in order")
	other := s
	other.Parts = []partfile.Range{{From: 500, To: 601}}
	require.Error(t, f.Continue(other))
	require.NoError(t, f.Continue(s))
	assert.Equal(t, []partfile.Range{{From: 100, To: 500}, {From: 600, To: 800}, {From: 900, To: 1000}}, f.Missing(1000))
	for _, r := range f.Missing(1000) {
		writeAt(t, f, data, int(r.From), int(r.To))
	}
	assert.Empty(t, f.Missing(1000))
	assert.EqualValues(t, 1000, f.Offset())
	require.NoError(t, f.Commit(partfile.CommitOptions{}))
	got, err := root.ReadFile("target")
	require.NoError(t, err)
	assert.True(t, bytes.Equal(data, got))
	assert.Equal(t, []string{"target"}, names(t, root))
}

func TestAPartialInPartsIsAlsoContinuedFromItsBeginningAlone(t *testing.T) {
	root := openRoot(t)
	data := content(1, 1000)
	f := open(t, root)
	require.NoError(t, f.Start(about(1000)))
	writeAt(t, f, data, 0, 100)
	writeAt(t, f, data, 500, 600)
	require.NoError(t, f.Close())
	f = open(t, root)
	s, err := f.Saved()
	require.NoError(t, err)
	s.Parts = nil
	require.NoError(t, f.Continue(s))
	saved, err := f.Saved()
	require.NoError(t, err)
	assert.Empty(t, saved.Parts, "the sidecar speaks of no bytes that were cut off")
	write(t, f, data[100:])
	require.NoError(t, f.Commit(partfile.CommitOptions{}))
	got, err := root.ReadFile("target")
	require.NoError(t, err)
	assert.True(t, bytes.Equal(data, got))
}

func TestAPartialWithoutItsFirstByteIsKept(t *testing.T) {
	root := openRoot(t)
	f := open(t, root)
	require.NoError(t, f.Start(about(1000)))
	writeAt(t, f, content(1, 1000), 500, 600)
	require.NoError(t, f.Close())
	s, err := open(t, root).Saved()
	require.NoError(t, err)
	assert.EqualValues(t, 100, s.Held())
}

func TestACheckpointIsDueAfterSoManyBytesOfAllParts(t *testing.T) {
	root := openRoot(t)
	f := open(t, root)
	require.NoError(t, f.Start(about(100*mib)))
	data := content(1, 3*mib)
	for _, at := range []int64{90, 50, 10} {
		_, err := f.WriteAt(data, at*mib)
		require.NoError(t, err)
	}
	f.Wait()
	s, err := f.Saved()
	require.NoError(t, err)
	assert.EqualValues(t, 9*mib, s.Held())
	f.SetSync(func(*os.File) error { return syscall.EIO })
	for _, at := range []int64{93, 53, 13} {
		_, err := f.WriteAt(data, at*mib)
		require.NoError(t, err)
	}
	f.Wait()
	_, err = f.WriteAt(data, 0)
	require.ErrorIs(t, err, syscall.EIO)
	require.ErrorIs(t, f.Close(), syscall.EIO)
	s, err = open(t, root).Saved()
	require.NoError(t, err)
	assert.EqualValues(t, 9*mib, s.Held(), "what was not flushed is not spoken of")
}

func TestASidecarWithPartsIsRefusedByThoseThatDoNotKnowThem(t *testing.T) {
	state := about(100)
	state.Offset, state.Parts = 10, []partfile.Range{{From: 20, To: 30}, {From: 50, To: 100}}
	good, err := partfile.Encode(source, state)
	require.NoError(t, err)
	assert.Contains(t, string(good), `"version":2`)
	back, err := partfile.Decode(good, source)
	require.NoError(t, err)
	assert.Equal(t, state, back)
	state.Parts = nil
	plain, err := partfile.Encode(source, state)
	require.NoError(t, err)
	assert.Contains(t, string(plain), `"version":1`)
	assert.NotContains(t, string(plain), "parts")
	for _, parts := range [][]partfile.Range{
		{{From: 10, To: 20}},
		{{From: 5, To: 8}},
		{{From: 20, To: 20}},
		{{From: 30, To: 20}},
		{{From: 90, To: 101}},
		{{From: 20, To: 30}, {From: 30, To: 40}},
		{{From: 50, To: 60}, {From: 20, To: 30}},
		{{From: -5, To: 8}},
	} {
		state.Parts = parts
		data, err := partfile.Encode(source, state)
		require.NoError(t, err)
		_, err = partfile.Decode(data, source)
		require.ErrorContains(t, err, "damaged", parts)
	}
}

func TestAPartialShorterThanItsLastPartIsNotContinued(t *testing.T) {
	root := openRoot(t)
	f := open(t, root)
	require.NoError(t, f.Start(about(1000)))
	writeAt(t, f, content(1, 1000), 500, 600)
	require.NoError(t, f.Close())
	require.NoError(t, os.Truncate(path(root, partOf(f)), 599))
	_, err := open(t, root).Saved()
	require.ErrorContains(t, err, "599 bytes, shorter")
	require.NotErrorIs(t, err, fs.ErrNotExist)
	assert.ErrorContains(t, err, "600")
}

func TestNobodyWaitsForTheCheckpointOfAnother(t *testing.T) {
	root := openRoot(t)
	f := open(t, root)
	saving, release := make(chan struct{}, 16), make(chan struct{})
	f.InMemory(true) // the writer makes it
	f.SetWriteSidecar(func(s partfile.State, write func(partfile.State) error) error {
		saving <- struct{}{}
		<-release
		return write(s)
	})
	data := content(1, 24*mib)
	require.NoError(t, f.Start(about(len(data))))
	var all sync.WaitGroup
	all.Go(func() { writeAt(t, f, data, 0, 8*mib) })
	<-saving
	writeAt(t, f, data, 16*mib, 24*mib)
	assert.EqualValues(t, 16*mib, f.Held())
	assert.EqualValues(t, 8*mib, f.Before(8*mib, 8*mib))
	got := make([]byte, mib)
	_, err := f.ReadAt(got, 20*mib)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(data[20*mib:21*mib], got))
	assert.Empty(t, saving, "a second checkpoint beside the first")
	close(release)
	all.Wait()
	s, err := f.Saved()
	require.NoError(t, err)
	assert.EqualValues(t, 8*mib, s.Held())
}
