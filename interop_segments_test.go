//go:build interop && linux

package ftpclient_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
)

// interopSegments fetches a file over several connections, is stopped on the way, and goes on with another number of them.
func interopSegments(t *testing.T, x *target) {
	t.Helper()
	client := x.client(t)
	content := randomBytes(t, 24*mib)
	require.NoError(t, os.WriteFile(filepath.Join(x.dir, "segments"), content, 0o644))
	x.own()
	local := filepath.Join(t.TempDir(), "f")
	ctx, progress := stopAfter(t, 12*mib)
	_, err := client.Download(ctx, "srv", "segments", local, &ftpclient.TransferOptions{Segments: 4, Progress: progress, BytesPerSecond: 16 * mib})
	require.ErrorIs(t, err, context.Canceled)
	assert.NoFileExists(t, local)
	stats, err := client.Stats("srv")
	require.NoError(t, err)
	assert.Greater(t, stats.Dials, int64(1), "the server may be slow to greet")

	down, err := client.Download(t.Context(), "srv", "segments", local, &ftpclient.TransferOptions{Segments: 3, Resume: true})
	require.NoError(t, err)
	assert.Positive(t, down.ResumedFrom, down.RestartReason)
	assert.Less(t, down.Transferred, int64(len(content)))
	onlyFile(t, local, content)
}
