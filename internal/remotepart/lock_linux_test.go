package remotepart_test

import (
	"os"
	"path/filepath"
	"strconv"
	"sync"
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

func TestTheFileOfLocksIsOpenedOnceHoweverManyBeginAndByWhateverPath(t *testing.T) {
	base := t.TempDir()
	folder := folderIn(t, base)
	var all sync.WaitGroup
	held := make([]*remotepart.File, 32)
	for i := range held {
		all.Go(func() {
			f, err := remotepart.Hold("a:21", "joe", strconv.Itoa(i), "key")
			if assert.NoError(t, err) {
				held[i] = f
			}
		})
	}
	all.Wait()
	id, err := os.Stat(filepath.Join(folder, "identity"))
	require.NoError(t, err)
	fds, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	open := 0
	for _, fd := range fds {
		if info, err := os.Stat("/proc/self/fd/" + fd.Name()); err == nil && os.SameFile(info, id) {
			open++
		}
	}
	assert.Equal(t, 1, open)

	alias := filepath.Join(t.TempDir(), "alias")
	require.NoError(t, os.Symlink(base, alias))
	cacheIn(t, alias)
	f, err := remotepart.Hold("a:21", "joe", "f", "key")
	require.NoError(t, err)
	assert.Equal(t, inUse, others(t, "f"))
	f.Release()
	assert.Equal(t, inUse, others(t, "7"), "held by the other path")
	for _, f := range held {
		f.Release()
	}
	assert.NotEqual(t, inUse, others(t, "7"))
}
