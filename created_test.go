package ftpclient_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

func TestWhatNoListingCouldTellOfIsNotMadeOnAServer(t *testing.T) {
	for _, charset := range []string{"", "gb18030"} { // which has bytes for U+FFFD and U+0085
		srv, client := serve(t, ftptest.Options{}, func(c *ftpclient.ServerConfig) { c.Encoding, c.MaxConns = charset, 2 })
		ctx := t.Context()
		put(t, srv, "f", []byte("x"))
		for _, name := range []string{"gbk\xb1", "d/gbk\xb1", "c1\u0085", "d/\u009b2J"} {
			_, err := client.UploadFrom(ctx, "srv", strings.NewReader("content"), name, nil)
			require.ErrorIs(t, err, ftpclient.ErrUnsafeName, name)
			_, err = client.Copy(ctx, "srv", "f", "srv", name, nil)
			require.ErrorIs(t, err, ftpclient.ErrUnsafeName, name)
			_, err = client.UploadFrom(ctx, "srv", strings.NewReader("content"), name+"/f", nil)
			require.ErrorIs(t, err, ftpclient.ErrUnsafeName, name)
			require.ErrorIs(t, client.MkdirAll(ctx, "srv", name), ftpclient.ErrUnsafeName, name)
			require.ErrorIs(t, client.MkdirAll(ctx, "srv", name+"/sub/"), ftpclient.ErrUnsafeName, name)
			require.ErrorIs(t, client.Rename(ctx, "srv", "f", name), ftpclient.ErrUnsafeName, name)
		}
		local := t.TempDir()
		for _, name := range []string{"a", "c1\u0085/b", "z"} {
			require.NoError(t, os.MkdirAll(filepath.Join(local, filepath.Dir(name)), 0o755))
			require.NoError(t, os.WriteFile(filepath.Join(local, name), []byte("x"), 0o600))
		}
		result, err := client.UploadDir(ctx, "srv", local, "tree", nil)
		require.ErrorIs(t, err, ftpclient.ErrUnsafeName)
		assert.Equal(t, 2, result.Succeeded)
		files, err := client.Files(ctx, "srv", "")
		require.NoError(t, err, "everything there can be listed")
		assert.Equal(t, []string{"f", "tree/a", "tree/z"}, files)
		require.NoError(t, client.RemoveAll(ctx, "srv", "tree"))
	}
}

func TestANameThatIsNoTextCanBeRenamedAndRemoved(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	ctx := t.Context()
	put(t, srv, "gbk\xb1/f", []byte("x"))
	require.NoError(t, client.MkdirAll(ctx, "srv", "gbk\xb1/sub"))
	_, err := client.UploadFrom(ctx, "srv", strings.NewReader("content"), "gbk\xb1/g", nil)
	require.NoError(t, err, "the directory was there")
	require.NoError(t, client.Remove(ctx, "srv", "gbk\xb1/sub"))
	require.NoError(t, client.Rename(ctx, "srv", "gbk\xb1", "text"))
	files, err := client.Files(ctx, "srv", "")
	require.NoError(t, err)
	assert.Equal(t, []string{"text/f", "text/g"}, files)
}
