//go:build interop && linux

package ftpclient_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
)

func interopDigests(t *testing.T, x *target) {
	t.Helper()
	client := x.client(t)
	ctx := t.Context()
	content := randomBytes(t, 300<<10)
	hash := &ftpclient.TransferOptions{Verify: ftpclient.VerifyHash}
	if !strings.HasPrefix(x.name, "proftpd") && !strings.HasPrefix(x.name, "ftpserverlib") {
		_, err := client.UploadFrom(ctx, "srv", bytes.NewReader(content), "digests/f", hash)
		require.ErrorIs(t, err, ftpclient.ErrUnverifiable)
		assert.NoDirExists(t, filepath.Join(x.dir, "digests"), "nothing was sent")
		return
	}
	for _, name := range []string{"plain", "a b", `q"q`, `a "q" b`, "中 文", "d e/f", "f 0 5", "f"} {
		for _, algorithm := range []string{"SHA-512", "SHA-256", "SHA-1", "MD5", "CRC32"} {
			opts := &ftpclient.TransferOptions{Verify: ftpclient.VerifyHash, Expected: ftpclient.Checksum{Algorithm: algorithm, Digest: digestOf(t, algorithm, content)}}
			up, err := client.UploadFrom(ctx, "srv", bytes.NewReader(content), "digests/"+name, opts)
			require.NoError(t, err, "%s %s", name, algorithm)
			assert.Equal(t, algorithm+" expected", up.Verification.String(), name)
			assert.Equal(t, opts.Expected.Digest, up.Verification.Remote)
		}
		down, err := client.DownloadTo(ctx, "srv", "digests/"+name, &bytes.Buffer{}, hash)
		require.NoError(t, err, name)
		assert.Equal(t, "SHA-256 by server", down.Verification.String(), name)
	}
	empty, err := client.UploadFrom(ctx, "srv", &bytes.Reader{}, "digests/empty", hash)
	require.NoError(t, err)
	assert.Equal(t, "SHA-256 by server", empty.Verification.String())

	local := localFile(t, content)
	other := bytes.Clone(content)
	other[0] ^= 1
	require.NoError(t, os.WriteFile(local, other, 0o600))
	for _, mode := range []ftpclient.VerifyMode{ftpclient.VerifyBest, ftpclient.VerifyHash, ftpclient.VerifyReadBack} {
		proof, err := client.Verify(ctx, "srv", "digests/plain", local, mode)
		require.ErrorIs(t, err, ftpclient.ErrMismatch)
		assert.Equal(t, digestOf(t, "SHA-256", content), proof.Remote)
	}
	interopDigestOfABeginning(t, x, client)
}

// A resume is proved by the server's digest of what is there, and nothing is moved again.
func interopDigestOfABeginning(t *testing.T, x *target, client *ftpclient.Client) {
	t.Helper()
	content := randomBytes(t, 24*mib)
	local := localFile(t, content)
	opts := func(p ftpclient.ProgressFunc) *ftpclient.TransferOptions {
		o := &ftpclient.TransferOptions{Resume: true, Verify: ftpclient.VerifyHash, Progress: p}
		if p != nil {
			o.BytesPerSecond = 40 * mib
		}
		return o
	}
	ctx, progress := stopAfter(t, 12*mib)
	_, err := client.Upload(ctx, "srv", local, "digests/big", opts(progress))
	require.ErrorIs(t, err, context.Canceled)
	up, err := client.Upload(t.Context(), "srv", local, "digests/big", opts(nil))
	require.NoError(t, err)
	assert.True(t, bytes.Equal(content, x.stored(t, "digests/big")))
	if x.storesRestart {
		assert.Positive(t, up.ResumedFrom, up.RestartReason)
		assert.Equal(t, int64(len(content)), up.Transferred+up.ResumedFrom)
	}
	assert.Equal(t, "SHA-256 by server", up.Verification.String())

	back := filepath.Join(t.TempDir(), "f")
	ctx, progress = stopAfter(t, 12*mib)
	_, err = client.Download(ctx, "srv", "digests/big", back, opts(progress))
	require.ErrorIs(t, err, context.Canceled)
	down, err := client.Download(t.Context(), "srv", "digests/big", back, opts(nil))
	require.NoError(t, err)
	onlyFile(t, back, content)
	assert.Positive(t, down.ResumedFrom, down.RestartReason)
	assert.Equal(t, int64(len(content)), down.Transferred+down.ResumedFrom)
}
