package source_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"hash"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/source"
)

func open(t *testing.T, content []byte) *source.File {
	t.Helper()
	name := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(name, content, 0o600))
	s, err := source.Open(name)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b) // always nil
	return b
}

// What package wire sends by sendfile is just this type: see wire.Data.ReadFrom.
func TestAFileThatNothingWatchesGoesOutWithoutPassingThroughTheProcess(t *testing.T) {
	s := open(t, []byte("content"))
	require.NoError(t, s.Rewind(t.Context(), 3))
	part, ok := s.Content().(*io.LimitedReader)
	require.True(t, ok)
	assert.IsType(t, &os.File{}, part.R)
	assert.Nil(t, s.Sum())
	s.Watch(sha256.New)
	require.NoError(t, s.Rewind(t.Context(), 3))
	assert.NotEqual(t, part, s.Content())
}

// A counting hash tells how many bytes all hashes of its kind have seen.
type counting struct {
	hash.Hash
	seen *int64
}

func (c counting) Write(p []byte) (int, error) {
	*c.seen += int64(len(p))
	return c.Hash.Write(p)
}

func (c counting) MarshalBinary() ([]byte, error) {
	return c.Hash.(interface{ MarshalBinary() ([]byte, error) }).MarshalBinary() //nolint:forcetypeassert // SHA-256
}

func (c counting) UnmarshalBinary(b []byte) error {
	return c.Hash.(interface{ UnmarshalBinary([]byte) error }).UnmarshalBinary(b) //nolint:forcetypeassert // SHA-256
}

func TestAWatchedFileIsReadAgainOnlyWhereItsHashHasNoState(t *testing.T) {
	const mib = 1 << 20
	content := random(40 * mib)
	s := open(t, content)
	var seen int64
	s.Watch(func() hash.Hash { return counting{sha256.New(), &seen} })
	read := func(from, to int64, reads int64, what string) {
		t.Helper()
		seen = 0
		require.NoError(t, s.Rewind(t.Context(), from))
		_, err := io.CopyN(io.Discard, s.Content(), to-from)
		require.NoError(t, err)
		assert.LessOrEqual(t, seen, reads, what)
		assert.Equal(t, to, s.Offset())
		want := sha256.Sum256(content[:to])
		assert.Equal(t, want[:], s.Sum(), what)
	}
	read(10*mib, 30*mib, 30*mib, "of an upload that is resumed all is read once")
	read(30*mib, 35*mib, 5*mib, "from where it is")
	read(33*mib+7, 40*mib, 12*mib, "from a little before")
	read(5, 6, 6, "before the first state there is nothing but the beginning")
	read(0, 40*mib, 40*mib, "from the beginning")
	require.NoError(t, s.Check())
}

func TestReadingForAHashEndsWithItsContext(t *testing.T) {
	s := open(t, random(1<<20))
	s.Watch(sha256.New)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, s.Rewind(ctx, 1<<20), context.Canceled)
	require.NoError(t, s.Rewind(t.Context(), 1<<20))
	want := sha256.Sum256(random(1 << 20))
	assert.Equal(t, want[:], s.Sum())
}

func TestAReaderIsHashedFromWhereItStood(t *testing.T) {
	r := bytes.NewReader([]byte("xxcontent"))
	_, err := r.Seek(2, io.SeekStart)
	require.NoError(t, err)
	s := source.NewReader(r)
	s.Watch(sha256.New)
	want := sha256.Sum256([]byte("content"))
	for range 2 {
		require.NoError(t, s.Rewind(t.Context(), 0))
		_, err = io.Copy(io.Discard, s.Content())
		require.NoError(t, err)
		assert.Equal(t, want[:], s.Sum())
	}
	once := source.NewReader(io.MultiReader(r, bytes.NewReader([]byte("x"))))
	require.NoError(t, once.Rewind(t.Context(), 0))
	_, err = io.Copy(io.Discard, once.Content())
	require.NoError(t, err)
	require.ErrorIs(t, once.Rewind(t.Context(), 0), source.ErrOnce)
}
