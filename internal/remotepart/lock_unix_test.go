//go:build unix

package remotepart_test

import (
	"bufio"
	"errors"
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

// childVar has the test binary be a process that holds a target until its standard input ends, or says that it cannot.
const childVar = "REMOTEPART_TEST_HOLDS"

const inUse = "in use"

func TestMain(m *testing.M) {
	target := os.Getenv(childVar)
	if target == "" {
		os.Exit(m.Run())
	}
	f, err := remotepart.Hold("a:21", "joe", target, "key")
	switch {
	case errors.Is(err, partfile.ErrInUse):
		fmt.Println(inUse)
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	default:
		fmt.Println(f.Name())
		_, _ = io.Copy(io.Discard, os.Stdin)
		f.Release()
	}
	os.Exit(0)
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

// others is what another process finds: the name that it has for the target's temporary file, or that it is in use.
func others(t *testing.T, target string) string {
	t.Helper()
	_, release, name := holder(t, target)
	release()
	return name
}

// folderIn has the folder of locks in dir.
func folderIn(t *testing.T, dir string) string {
	t.Helper()
	cacheIn(t, dir)
	base, err := os.UserCacheDir()
	require.NoError(t, err)
	return filepath.Join(base, fmt.Sprint("ftpclient-", os.Getuid()))
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

func TestALockStaysWhileOthersComeAndGo(t *testing.T) {
	first := t.TempDir()
	cacheIn(t, first)
	f, err := remotepart.Hold("a:21", "joe", "f", "key")
	require.NoError(t, err)
	require.NoError(t, free("g"))
	assert.Equal(t, inUse, others(t, "f"))
	cacheIn(t, t.TempDir())
	require.NoError(t, free("g"), "in another folder")
	cacheIn(t, first)
	assert.Equal(t, inUse, others(t, "f"))
	f.Release()
	assert.NotEqual(t, inUse, others(t, "f"))
}

func TestWhoFindsOtherLocksHasOtherNames(t *testing.T) {
	for _, remove := range []string{".", "identity"} {
		folder := folderIn(t, t.TempDir())
		f, err := remotepart.Hold("a:21", "joe", "f", "key")
		require.NoError(t, err)
		require.NoError(t, os.RemoveAll(filepath.Join(folder, remove)))
		require.ErrorIs(t, free("f"), partfile.ErrInUse)
		name := others(t, "f")
		assert.NotEqual(t, inUse, name)
		assert.NotEqual(t, f.Name(), name)
		_, release, _ := holder(t, "g")
		require.ErrorIs(t, free("g"), partfile.ErrInUse, "the new locks are looked at")
		release()
		require.NoError(t, free("g"))
		f.Release()
		require.NoError(t, free("f"))
	}
}

func TestALinkIsNoFileOfLocks(t *testing.T) {
	folder := folderIn(t, t.TempDir())
	require.NoError(t, os.MkdirAll(folder, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "other"), []byte("x"), 0o600))
	require.NoError(t, os.Symlink("other", filepath.Join(folder, "identity")))
	t.Setenv("TMPDIR", filepath.Join(folder, "other", "nothing can be here"))
	require.Error(t, free("f"))
	t.Setenv("TMPDIR", t.TempDir())
	require.NoError(t, free("f"), "the other folder is taken")
}
