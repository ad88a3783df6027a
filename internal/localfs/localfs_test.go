package localfs_test

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/localfs"
)

func TestAFolderIsWalkedInOrderAndNoLinkIsFollowed(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"b/x", "a.b", "a/deep/y"} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	}
	require.NoError(t, os.Symlink(dir, filepath.Join(dir, "b/loop")))
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(dir, link))
	for _, root := range []string{dir, dir + "/", link} {
		var got []string
		for e := range localfs.Walk(t.Context(), root) {
			require.NoError(t, e.Err)
			got = append(got, e.Path)
		}
		assert.Equal(t, []string{"a", "a/deep", "a/deep/y", "a.b", "b", "b/loop", "b/x"}, got, root)
	}
	for range localfs.Walk(t.Context(), dir) {
		break
	}
}

func TestAFolderThatIsNoneIsAnError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for name, want := range map[string]error{file: syscall.ENOTDIR, file + "-absent": os.ErrNotExist} {
		n := 0
		for e := range localfs.Walk(t.Context(), name) {
			n++
			assert.Empty(t, e.Path)
			require.ErrorIs(t, e.Err, want)
		}
		assert.Equal(t, 1, n)
	}
}

func TestAWalkEndsWithItsContext(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b", "c"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var got []string
	for e := range localfs.Walk(ctx, dir) {
		require.NoError(t, e.Err)
		got = append(got, e.Path)
		cancel()
	}
	assert.Equal(t, []string{"a"}, got)
}
