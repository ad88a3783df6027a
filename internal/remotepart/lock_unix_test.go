//go:build unix

package remotepart_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/partfile"
	"github.com/corexalgo/ftpclient/internal/remotepart"
)

// childVar has the test binary be a process that holds a target until its standard input ends.
const childVar = "REMOTEPART_TEST_HOLDS"

func TestMain(m *testing.M) {
	if target := os.Getenv(childVar); target != "" {
		f, err := remotepart.Hold("a:21", "joe", target, "key")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(f.Name())
		_, _ = io.Copy(io.Discard, os.Stdin)
		f.Release()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// holder is a process that holds a target, and the name that it has for its temporary file.
func holder(t *testing.T, target string) (child *exec.Cmd, release func(), name string) {
	t.Helper()
	child = exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), childVar+"="+target, "GORACE=atexit_sleep_ms=0")
	child.Stderr = os.Stderr
	in, err := child.StdinPipe()
	require.NoError(t, err)
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan())
	return child, func() {
		require.NoError(t, in.Close())
		require.NoError(t, child.Wait())
	}, lines.Text()
}

func free(target string) error {
	f, err := remotepart.Hold("a:21", "joe", target, "key")
	if err == nil {
		f.Release()
	}
	return err
}

func TestAnotherProcessHoldsItsTargetsAndNoOthers(t *testing.T) {
	cacheIn(t, t.TempDir())
	_, release, name := holder(t, "f")
	require.ErrorIs(t, free("f"), partfile.ErrInUse)
	require.NoError(t, free("g"))
	require.ErrorIs(t, free("./f"), partfile.ErrInUse, "after another one was held and released")
	_, releaseOther, _ := holder(t, "h")
	releaseOther()
	require.NoError(t, free("h"))
	require.ErrorIs(t, free("f"), partfile.ErrInUse)
	release()
	f, err := remotepart.Hold("a:21", "joe", "f", "key")
	require.NoError(t, err)
	assert.Equal(t, name, f.Name(), "what it left is found")
	f.Release()
}

func TestAProcessThatIsKilledHoldsNothing(t *testing.T) {
	cacheIn(t, t.TempDir())
	child, _, _ := holder(t, "f")
	require.ErrorIs(t, free("f"), partfile.ErrInUse)
	require.NoError(t, child.Process.Kill())
	_ = child.Wait()
	require.NoError(t, free("f"))
}

func TestFoldersOfLocksMayBeRemoved(t *testing.T) {
	cache := t.TempDir()
	cacheIn(t, cache)
	f, err := remotepart.Hold("a:21", "joe", "f", "key")
	require.NoError(t, err)
	found, err := filepath.Glob(filepath.Join(cache, "*"))
	require.NoError(t, err)
	for _, folder := range found {
		require.NoError(t, os.RemoveAll(folder))
	}
	require.ErrorIs(t, free("f"), partfile.ErrInUse)
	_, release, _ := holder(t, "g")
	require.ErrorIs(t, free("g"), partfile.ErrInUse, "the new file of locks is looked at")
	release()
	require.NoError(t, free("g"))
	f.Release()
	require.NoError(t, free("f"))
}

func TestALinkIsNoFileOfLocks(t *testing.T) {
	cache := t.TempDir()
	cacheIn(t, cache)
	base, err := os.UserCacheDir()
	require.NoError(t, err)
	folder := filepath.Join(base, fmt.Sprint("ftpclient-", os.Getuid()))
	require.NoError(t, os.MkdirAll(folder, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "other"), nil, 0o600))
	require.NoError(t, os.Symlink("other", filepath.Join(folder, "locks")))
	t.Setenv("TMPDIR", filepath.Join(folder, "other", "nothing can be here"))
	require.Error(t, free("f"))
	t.Setenv("TMPDIR", t.TempDir())
	require.NoError(t, free("f"), "the other folder is taken")
}
