package ftpclient_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

func TestAVerificationTellsWhatWasReallySeen(t *testing.T) {
	content := randomBytes(t, 200<<10)
	for _, tt := range []struct {
		name string
		opts ftptest.Options
		mode ftpclient.VerifyMode
		want string
	}{
		{"size", ftptest.Options{}, ftpclient.VerifySize, "size only"},
		{"none", ftptest.Options{}, ftpclient.VerifyNone, "final reply only"},
		{"best without digests", ftptest.Options{}, ftpclient.VerifyBest, "size only"},
		{"best with digests", ftptest.Options{Hash: true}, ftpclient.VerifyBest, "SHA-256 by server"},
		{"best with CRC only", ftptest.Options{Hash: true, HideFeatures: []string{"HASH", "XSHA256", "XSHA512", "XSHA1", "XSHA", "XMD5", "MD5"}}, ftpclient.VerifyBest, "CRC32 by server"},
		{"digest", ftptest.Options{Hash: true, HashQuirk: true}, ftpclient.VerifyHash, "SHA-256 by server"},
		{"read back", ftptest.Options{}, ftpclient.VerifyReadBack, "SHA-256 read back"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv, client := serve(t, tt.opts)
			put(t, srv, "a b", content)
			local := filepath.Join(t.TempDir(), "f")
			opts := &ftpclient.TransferOptions{Verify: tt.mode}
			down, err := client.Download(t.Context(), "srv", "a b", local, opts)
			require.NoError(t, err)
			assert.Equal(t, tt.want, down.Verification.String())
			onlyFile(t, local, content)
			up, err := client.Upload(t.Context(), "srv", local, "c d", opts)
			require.NoError(t, err)
			assert.Equal(t, tt.want, up.Verification.String())
			assert.Equal(t, content, stored(t, srv, "c d"))
			proof, err := client.Verify(t.Context(), "srv", "a b", local, tt.mode)
			require.NoError(t, err)
			assert.Equal(t, tt.want, proof.String())
			assert.Equal(t, proof.Local, proof.Remote)
		})
	}
}

func TestADigestThatIsInsistedOnAndNotThereFailsBeforeTheTargetAppears(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	put(t, srv, "f", []byte("content"))
	local := filepath.Join(t.TempDir(), "f")
	opts := &ftpclient.TransferOptions{Verify: ftpclient.VerifyHash}
	_, err := client.Download(t.Context(), "srv", "f", local, opts)
	require.ErrorIs(t, err, ftpclient.ErrUnverifiable)
	assert.NoFileExists(t, local)
	_, err = client.UploadFrom(t.Context(), "srv", strings.NewReader("x"), "g", opts)
	require.ErrorIs(t, err, ftpclient.ErrUnverifiable)
	assert.Equal(t, []string{"f"}, names(t, srv.Dir()))
	assert.Zero(t, srv.Stats().Commands["RETR"]+srv.Stats().Commands["STOR"], "nothing was moved for nothing")
}

func TestAFlippedByteIsFoundAndFetchedAgainOnce(t *testing.T) {
	content := randomBytes(t, 300<<10)
	flip := func(times int) ftptest.Options {
		return ftptest.Options{Hash: true, Faults: []ftptest.Fault{
			{Cmd: "RETR", Times: times, After: 100 << 10, Do: ftptest.CorruptData},
			{Cmd: "STOR", Times: times, After: 100 << 10, Do: ftptest.CorruptUpload},
		}}
	}
	for _, opts := range []*ftpclient.TransferOptions{
		{Verify: ftpclient.VerifyHash}, {Verify: ftpclient.VerifyBest}, {SHA256: sum(content), Verify: ftpclient.VerifyHash},
	} {
		srv, client := serve(t, flip(1))
		put(t, srv, "f", content)
		local := filepath.Join(t.TempDir(), "f")
		result, err := client.Download(t.Context(), "srv", "f", local, opts)
		require.NoError(t, err)
		onlyFile(t, local, content)
		assert.Equal(t, 2, result.Attempts)
		assert.Contains(t, result.RestartReason, "digest")
		result, err = client.Upload(t.Context(), "srv", local, "g", opts)
		require.NoError(t, err)
		assert.Equal(t, 2, result.Attempts)
		assert.Equal(t, content, stored(t, srv, "g"))

		srv, client = serve(t, flip(0))
		put(t, srv, "f", content)
		result, err = client.Download(t.Context(), "srv", "f", local, opts)
		require.ErrorIs(t, err, ftpclient.ErrMismatch)
		assert.NotEqual(t, result.Verification.Local, result.Verification.Remote, "both digests are told")
		onlyFile(t, local, content)
		_, err = client.Upload(t.Context(), "srv", local, "g", opts)
		require.ErrorIs(t, err, ftpclient.ErrMismatch)
		assert.Equal(t, []string{"f"}, names(t, srv.Dir()))
	}
}

func TestReadingBackFindsAServerThatStoresSomethingElse(t *testing.T) {
	srv, client := serve(t, ftptest.Options{Faults: []ftptest.Fault{{Cmd: "STOR", After: 5, Do: ftptest.CorruptUpload}}})
	_, err := client.UploadFrom(t.Context(), "srv", bytes.NewReader(randomBytes(t, 1000)), "g", &ftpclient.TransferOptions{Verify: ftpclient.VerifyReadBack})
	require.ErrorIs(t, err, ftpclient.ErrMismatch)
	assert.Empty(t, names(t, srv.Dir()))
}

func TestAnExpectedDigestIsCheckedBeforeTheTargetAppears(t *testing.T) {
	content := randomBytes(t, 100<<10)
	srv, client := serve(t, ftptest.Options{})
	put(t, srv, "f", content)
	local := filepath.Join(t.TempDir(), "f")
	_, err := client.Download(t.Context(), "srv", "f", local, &ftpclient.TransferOptions{SHA256: sum([]byte("other"))})
	require.ErrorIs(t, err, ftpclient.ErrMismatch)
	assert.NoFileExists(t, local)
	result, err := client.Download(t.Context(), "srv", "f", local, &ftpclient.TransferOptions{SHA256: strings.ToUpper(sum(content))})
	require.NoError(t, err)
	assert.Equal(t, "SHA-256 expected", result.Verification.String())
	_, err = client.Upload(t.Context(), "srv", local, "g", &ftpclient.TransferOptions{SHA256: sum([]byte("other"))})
	require.ErrorIs(t, err, ftpclient.ErrMismatch)
	assert.Equal(t, []string{"f"}, names(t, srv.Dir()))
	_, err = client.Download(t.Context(), "srv", "f", local, &ftpclient.TransferOptions{SHA256: "12"})
	require.ErrorIs(t, err, os.ErrInvalid)
}

func TestVerifyFindsADifference(t *testing.T) {
	srv, client := serve(t, ftptest.Options{Hash: true})
	put(t, srv, "f", []byte("one"))
	local := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(local, []byte("two"), 0o600))
	for mode, found := range map[ftpclient.VerifyMode]bool{
		ftpclient.VerifySize: false, ftpclient.VerifyBest: true, ftpclient.VerifyHash: true, ftpclient.VerifyReadBack: true,
	} {
		proof, err := client.Verify(t.Context(), "srv", "f", local, mode)
		if !found {
			require.NoError(t, err)
			continue
		}
		require.ErrorIs(t, err, ftpclient.ErrMismatch)
		assert.NotEqual(t, proof.Local, proof.Remote)
	}
	require.NoError(t, os.WriteFile(local, []byte("longer"), 0o600))
	_, err := client.Verify(t.Context(), "srv", "f", local, ftpclient.VerifySize)
	require.ErrorIs(t, err, ftpclient.ErrMismatch)
	_, err = client.Verify(t.Context(), "srv", "absent", local, ftpclient.VerifySize)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestVerifyComparesWhatAListingTellsWhereThereIsNoSIZE(t *testing.T) {
	for _, noMLSD := range []bool{false, true} {
		srv, client := serve(t, ftptest.Options{NoMLSD: noMLSD, Faults: []ftptest.Fault{{Cmd: "SIZE", Do: ftptest.Refuse, Reply: "502 no"}}})
		put(t, srv, "d/f", []byte("content"))
		local := filepath.Join(t.TempDir(), "f")
		require.NoError(t, os.WriteFile(local, []byte("content"), 0o600))
		proof, err := client.Verify(t.Context(), "srv", "d/f", local, ftpclient.VerifySize)
		require.NoError(t, err)
		assert.Equal(t, ftpclient.VerifiedSize, proof.Method)
		require.NoError(t, os.WriteFile(local, []byte("another"+"s"), 0o600))
		_, err = client.Verify(t.Context(), "srv", "d/f", local, ftpclient.VerifySize)
		require.ErrorIs(t, err, ftpclient.ErrMismatch)
		_, err = client.Verify(t.Context(), "srv", "d", local, ftpclient.VerifyBest)
		require.ErrorContains(t, err, "is a directory")
	}
}

func TestALocalFileIsDigestedOnceThoughTheConnectionIsLostMeanwhile(t *testing.T) {
	local := filepath.Join(t.TempDir(), "f")
	srv, client := serve(t, ftptest.Options{
		Hash: true, Faults: []ftptest.Fault{{Cmd: "HASH", Times: 1, Do: ftptest.CutControl}},
		OnCommand: func(cmd, _ string) {
			if cmd == "HASH" {
				_ = os.WriteFile(local, []byte("x"), 0o600) // in place of what was read before
			}
		},
	})
	content := randomBytes(t, mib)
	put(t, srv, "f", content)
	require.NoError(t, os.WriteFile(local, content, 0o600))
	_, err := client.Verify(t.Context(), "srv", "f", local, ftpclient.VerifyHash)
	require.ErrorContains(t, err, "changed")
	assert.Equal(t, 1, srv.Stats().Commands["HASH"])
}
