package sink_test

import (
	"context"
	"crypto/sha256"
	"hash"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/partfile"
	"github.com/corexalgo/ftpclient/internal/sink"
)

// A server may give up an idle connection meanwhile, and what is known must do for the next one.
func TestAFinishedFileIsDigestedOnceAndAfterAnInterruptionAgain(t *testing.T) {
	root, err := os.OpenRoot(t.TempDir())
	require.NoError(t, err)
	defer func() { require.NoError(t, root.Close()) }()
	part, err := partfile.Open(root, "f", partfile.Source{Path: "f"})
	require.NoError(t, err)
	defer func() { require.NoError(t, part.Close()) }()
	f := sink.NewFile(part)
	content := []byte("content")
	require.NoError(t, f.Start(sink.ID{Size: int64(len(content))}))
	_, err = f.Write(content)
	require.NoError(t, err)

	digests := 0
	newHash := func() hash.Hash {
		digests++
		return sha256.New()
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, f.Digest(ended, newHash), context.Canceled)
	assert.Nil(t, f.Sum(), "that of a part is none")
	want := sha256.Sum256(content)
	for range 2 {
		require.NoError(t, f.Digest(t.Context(), newHash))
		assert.Equal(t, want[:], f.Sum())
	}
	assert.Equal(t, 2, digests)

	require.NoError(t, f.Start(sink.ID{Size: 0}))
	assert.Nil(t, f.Sum())
}
