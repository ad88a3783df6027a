//go:build unix

package partfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/partfile"
)

func init() {
	children["full"] = func(dir string, _ []string) error { return full(dir, false) }
	children["full and far away"] = func(dir string, _ []string) error { return full(dir, true) }
}

const roomFor = 10*mib + 1234

// full writes until the disk takes no more, and then as a caller would.
func full(dir string, distant bool) error {
	signal.Ignore(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: roomFor, Max: roomFor}); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	f, err := partfile.Open(root, "target", source)
	if err != nil {
		return err
	}
	if distant {
		partfile.Distant(f)
	}
	if err := f.Start(about(20 * mib)); err != nil {
		return err
	}
	data := content(1, 20*mib)
	for off := 0; off < len(data); off += 256 << 10 {
		if _, err = f.Write(data[off : off+256<<10]); err != nil {
			break
		}
		for notes := []string(nil); off >= 9*mib && len(notes) == 0; { // the checkpoint of 8 MiB
			if notes, err = filepath.Glob(filepath.Join(dir, ".*state")); err != nil {
				return err
			}
		}
	}
	if !errors.Is(err, syscall.EFBIG) {
		return fmt.Errorf("the disk was not full: %w", err)
	}
	if err := f.Close(); errors.Is(err, syscall.EFBIG) != distant {
		return fmt.Errorf("closed: %w", err)
	}
	return nil
}

func TestAFullDiskKeepsTheDurablePart(t *testing.T) {
	// Far away the error may be about any bytes that were not flushed.
	for child, durable := range map[string]int{"full": roomFor, "full and far away": 8 * mib} {
		t.Run(child, func(t *testing.T) {
			root := openRoot(t)
			require.NoError(t, root.WriteFile("target", []byte("old"), 0o644))
			require.NoError(t, run(t, child, root.Name()).Wait())
			got, err := root.ReadFile("target")
			require.NoError(t, err)
			assert.Equal(t, "old", string(got))

			f := open(t, root)
			s, err := f.Saved()
			require.NoError(t, err)
			assert.EqualValues(t, durable, s.Offset)
			data := content(1, 20*mib)
			require.NoError(t, f.Continue(s))
			write(t, f, data[s.Offset:])
			require.NoError(t, f.Commit(partfile.CommitOptions{}))
			got, err = root.ReadFile("target")
			require.NoError(t, err)
			assert.True(t, bytes.Equal(data, got))
		})
	}
}

func TestNewFilesHaveThePermissionsThatTheirFolderGives(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	for _, c := range []struct {
		mask int
		want os.FileMode
	}{{0o077, 0o600}, {0o022, 0o644}} {
		syscall.Umask(c.mask) // as another file system, or an access list, would
		root := openRoot(t)
		f := open(t, root)
		require.NoError(t, f.Start(about(1)))
		write(t, f, []byte("x"))
		require.NoError(t, f.Commit(partfile.CommitOptions{}))
		info, err := root.Stat("target")
		require.NoError(t, err)
		assert.Equal(t, c.want, info.Mode())
	}
}
