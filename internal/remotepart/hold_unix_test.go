//go:build unix

package remotepart_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/partfile"
	"github.com/corexalgo/ftpclient/internal/remotepart"
)

// cacheIn has the user's cache folder in dir, by the variables of all systems.
func cacheIn(t *testing.T, dir string) {
	t.Helper()
	t.Setenv("XDG_CACHE_HOME", dir)
	t.Setenv("HOME", dir)
}

func TestWhatIsNotLockedTogetherHasNamesOfItsOwn(t *testing.T) {
	cacheIn(t, t.TempDir())
	names := map[string]bool{}
	for _, who := range [][3]string{{"a:21", "joe", "key"}, {"a:990", "joe", "key"}, {"a:21", "ann", "key"}, {"a:21", "joe", "other"}} {
		f, err := remotepart.Hold(who[0], who[1], "dir/f", who[2])
		require.NoError(t, err)
		names[f.Name()] = true
		if who[2] == "key" {
			_, err = remotepart.Hold(who[0], who[1], "dir/f", "another source")
			require.ErrorIs(t, err, partfile.ErrInUse)
		}
		f.Release()
		again, err := remotepart.Hold(who[0], who[1], "dir/f", who[2])
		require.NoError(t, err)
		assert.True(t, names[again.Name()], "a later call finds it")
		again.Release()
	}
	assert.Len(t, names, 4)
}

func TestLocksNeedNoHomeDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	temp := t.TempDir()
	cacheIn(t, filepath.Join(file, "nothing can be here"))
	t.Setenv("TMPDIR", temp)
	f, err := remotepart.Hold("a:21", "joe", "f", "key")
	require.NoError(t, err)
	f.Release()
	folders, err := os.ReadDir(temp)
	require.NoError(t, err)
	require.Len(t, folders, 1)

	temp = t.TempDir()
	folder := filepath.Join(temp, folders[0].Name())
	require.NoError(t, os.Mkdir(folder, 0o700))
	require.NoError(t, os.Chmod(folder, 0o777)) //nolint:gosec // what others could have made
	t.Setenv("TMPDIR", temp)
	_, err = remotepart.Hold("a:21", "joe", "f", "key")
	require.ErrorContains(t, err, "not for this user alone")
}

func TestEachFolderOfLocksHasNamesOfItsOwn(t *testing.T) {
	hold := func(target string) (string, error) {
		f, err := remotepart.Hold("a:21", "joe", target, "key")
		if err != nil {
			return "", err
		}
		defer f.Release()
		return f.Name(), nil
	}
	all := map[string]bool{}
	for range 2 {
		cacheIn(t, t.TempDir())
		base, err := os.UserCacheDir()
		require.NoError(t, err)
		folder := filepath.Join(base, fmt.Sprint("ftpclient-", os.Getuid()))
		require.NoError(t, os.MkdirAll(folder, 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(folder, "identity"), nil, 0o600), "what a power cut may leave")
		var together sync.WaitGroup
		names, errs := make([]string, 8), make([]error, 8)
		for i := range names {
			together.Go(func() { names[i], errs[i] = hold(fmt.Sprint("dir/", i)) })
		}
		together.Wait()
		require.NoError(t, errors.Join(errs...))
		for i, name := range names {
			again, err := hold(fmt.Sprint("dir/", i))
			require.NoError(t, err)
			assert.Equal(t, name, again, "of one folder, whoever made it")
			all[name] = true
		}
	}
	assert.Len(t, all, 16)
}
