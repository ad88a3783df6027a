package remotepart_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/remotepart"
)

func TestReadingTheFileOfLocksLosesNone(t *testing.T) {
	folder := folderIn(t, t.TempDir())
	f, err := remotepart.Hold("a:21", "joe", "f", "key")
	require.NoError(t, err)
	defer f.Release()
	id, err := os.ReadFile(filepath.Join(folder, "identity")) // as to upload it
	require.NoError(t, err)
	assert.NotEmpty(t, id)
	assert.Equal(t, inUse, others(t, "f"))
}
