//go:build unix

package partfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/partfile"
)

func init() { children["full"] = full }

const roomFor = 10*mib + 1234

// full writes until the disk takes no more, and then as a caller would.
func full(dir string, _ []string) error {
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
	if err := f.Start(about(20 * mib)); err != nil {
		return err
	}
	data := content(1, 20*mib)
	for off := 0; off < len(data); off += 256 << 10 {
		if _, err = f.Write(data[off : off+256<<10]); err != nil {
			break
		}
	}
	if !errors.Is(err, syscall.EFBIG) {
		return fmt.Errorf("the disk was not full: %w", err)
	}
	return f.Close()
}

func TestAFullDiskKeepsTheDurablePart(t *testing.T) {
	root := openRoot(t)
	require.NoError(t, root.WriteFile("target", []byte("old"), 0o644))
	require.NoError(t, run(t, "full", root.Name()).Wait())
	got, err := root.ReadFile("target")
	require.NoError(t, err)
	assert.Equal(t, "old", string(got))

	f := open(t, root)
	s, err := f.Saved()
	require.NoError(t, err)
	assert.EqualValues(t, roomFor, s.Offset)
	data := content(1, 20*mib)
	require.NoError(t, f.Continue(s))
	write(t, f, data[s.Offset:])
	require.NoError(t, f.Commit(partfile.CommitOptions{}))
	got, err = root.ReadFile("target")
	require.NoError(t, err)
	assert.True(t, bytes.Equal(data, got))
}
