//go:build unix

package ftpclient_test

import (
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

const nobody = 65534

func init() {
	// A process that may write no longer files has what a full disk is to others.
	children["starved"] = func() error {
		signal.Ignore(syscall.SIGXFSZ)
		return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 2*mib + 17, Max: 2*mib + 17})
	}
	children["starved segments"] = func() error {
		childSegments = 3
		return children["starved"]()
	}
	// Root may write anywhere.
	children["nobody"] = func() error {
		if os.Getuid() != 0 {
			return nil
		}
		return syscall.Setuid(nobody)
	}
}

func TestAFullDiskEndsADownloadAndKeepsWhatItHolds(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	content := randomBytes(t, 3*mib)
	put(t, srv, "f", content)
	local := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(local, []byte("old"), 0o600))
	c := startChild(t, "starved", "download", srv, "f", local)
	require.Error(t, c.Wait())
	assert.Equal(t, "old", read(t, local))
	assert.Equal(t, 1, srv.Stats().Commands["RETR"], "more room does not come by moving the bytes again")

	result, err := client.Download(t.Context(), "srv", "f", local, &ftpclient.TransferOptions{Resume: true})
	require.NoError(t, err)
	onlyFile(t, local, content)
	assert.EqualValues(t, 2*mib+17, result.ResumedFrom)
}

func TestAFullDiskEndsAllSegmentsAndKeepsWhatTheyHold(t *testing.T) {
	srv, client := serve(t, ftptest.Options{DataRate: 8 * mib})
	content := randomBytes(t, 3*mib)
	put(t, srv, "f", content)
	local := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(local, []byte("old"), 0o600))
	require.Error(t, startChild(t, "starved segments", "download", srv, "f", local).Wait())
	assert.Equal(t, "old", read(t, local))
	assert.LessOrEqual(t, srv.Stats().Commands["RETR"], 3, "more room does not come by moving the bytes again")

	result, err := client.Download(t.Context(), "srv", "f", local, &ftpclient.TransferOptions{Resume: true, Segments: 3})
	require.NoError(t, err)
	onlyFile(t, local, content)
	assert.Positive(t, result.ResumedFrom)
}

func TestAFolderThatMayNotBeWrittenEndsADownloadBeforeItBegins(t *testing.T) {
	srv, _ := serve(t, ftptest.Options{})
	put(t, srv, "f", []byte("new"))
	dir := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755)) // for nobody to get there
	local := filepath.Join(dir, "f")
	require.NoError(t, os.WriteFile(local, []byte("old"), 0o644))
	require.NoError(t, os.Chmod(dir, 0o555))
	c := startChild(t, "nobody", "download", srv, "f", local)
	require.Error(t, c.Wait())
	onlyFile(t, local, []byte("old"))
	assert.Zero(t, srv.Stats().Conns)
	require.NoError(t, os.Chmod(dir, 0o755))
}
