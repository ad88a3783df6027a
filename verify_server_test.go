package ftpclient_test

import (
	"bytes"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/digest"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

func digestOf(t *testing.T, algorithm string, content []byte) string {
	t.Helper()
	a, ok := digest.ByName(algorithm)
	require.True(t, ok, algorithm)
	h := a.New()
	h.Write(content)
	return hex.EncodeToString(h.Sum(nil))
}

func TestABusyServerIsAskedForItsDigestAgainWithoutMovingAnything(t *testing.T) {
	content := randomBytes(t, 100<<10)
	busy := ftptest.Fault{Cmd: "HASH", Times: 2, Do: ftptest.Refuse, Reply: "450 busy with another file"}
	quick := &ftpclient.RetryPolicy{Delay: time.Millisecond}
	opts := &ftpclient.TransferOptions{Verify: ftpclient.VerifyHash, Retry: quick}
	srv, client := serve(t, ftptest.Options{Hash: true, HideFeatures: onlyHash})
	put(t, srv, "f", content)
	srv.SetFaults(busy)
	down, err := client.Download(t.Context(), "srv", "f", filepath.Join(t.TempDir(), "f"), opts)
	require.NoError(t, err)
	assert.Equal(t, "SHA-256 by server", down.Verification.String())
	assert.Equal(t, 1, down.Attempts)
	srv.SetFaults(busy)
	up, err := client.UploadFrom(t.Context(), "srv", io.MultiReader(bytes.NewReader(content)), "g", opts)
	require.NoError(t, err, "a reader that cannot be read again")
	assert.Equal(t, "SHA-256 by server", up.Verification.String())
	assert.Equal(t, 1, srv.Stats().Commands["STOR"])

	busy.Times = 0
	srv.SetFaults(busy)
	local := filepath.Join(t.TempDir(), "f")
	_, err = client.Download(t.Context(), "srv", "f", local, opts)
	require.ErrorIs(t, err, ftpclient.ErrUnverifiable, "for ever busy")
	assert.NoFileExists(t, local)
	opts.Verify = ftpclient.VerifyBest
	down, err = client.Download(t.Context(), "srv", "f", local, opts)
	require.NoError(t, err)
	assert.Equal(t, "size only", down.Verification.String())
}

func TestAnAnswerThatIsNoDigestLeavesBestWithTheSizeAndTheTargetsAlone(t *testing.T) {
	content := randomBytes(t, 10<<10)
	decoy := strings.Repeat("ab", 32)
	for _, answer := range []string{
		"213 done", "213 SHA-1 0-10240 " + decoy[:40] + " f", "213 SHA-256 0-99 " + decoy + " f", "213 SHA-256 0-10240 " + decoy + " other",
		"550 not this file", "552 not for you", "501 what?", "556 too large",
	} {
		srv, client := serve(t, ftptest.Options{Hash: true, HideFeatures: onlyHash, Faults: []ftptest.Fault{{Cmd: "HASH", Do: ftptest.FinalReply, Reply: answer}}})
		put(t, srv, "f", content)
		local := filepath.Join(t.TempDir(), "f")
		_, err := client.Download(t.Context(), "srv", "f", local, &ftpclient.TransferOptions{Verify: ftpclient.VerifyHash})
		require.ErrorIs(t, err, ftpclient.ErrUnverifiable, answer)
		assert.NoFileExists(t, local)
		_, err = client.UploadFrom(t.Context(), "srv", bytes.NewReader(content), "g", &ftpclient.TransferOptions{Verify: ftpclient.VerifyHash})
		require.ErrorIs(t, err, ftpclient.ErrUnverifiable, answer)
		assert.NoFileExists(t, filepath.Join(srv.Dir(), "g"))
		result, err := client.Download(t.Context(), "srv", "f", local, &ftpclient.TransferOptions{Verify: ftpclient.VerifyBest})
		require.NoError(t, err, answer)
		assert.Equal(t, "size only", result.Verification.String(), answer)
		assert.Equal(t, "10240", result.Verification.Remote)
		assert.Equal(t, 1, result.Attempts)
		stats, err := client.Stats("srv")
		require.NoError(t, err)
		assert.EqualValues(t, 1, stats.Dials, "the connection is as good as before")
	}
}

func TestACommandThatTheServerOnlyClaimsToHaveIsFoundOutOnce(t *testing.T) {
	content := randomBytes(t, 10<<10)
	srv, client := serve(t, ftptest.Options{Hash: true, HideFeatures: onlyHash, Faults: []ftptest.Fault{{Cmd: "HASH", Do: ftptest.Refuse, Reply: "502 not implemented"}}})
	put(t, srv, "f", content)
	opts := &ftpclient.TransferOptions{Verify: ftpclient.VerifyBest}
	for range 3 {
		result, err := client.DownloadTo(t.Context(), "srv", "f", io.Discard, opts)
		require.NoError(t, err)
		assert.Equal(t, "size only", result.Verification.String())
	}
	assert.Equal(t, 1, srv.Stats().Commands["HASH"])
	srv.ResetStats()
	opts.Verify = ftpclient.VerifyHash
	_, err := client.DownloadTo(t.Context(), "srv", "f", io.Discard, opts)
	require.ErrorIs(t, err, ftpclient.ErrUnverifiable)
	assert.Zero(t, srv.Stats().Commands["RETR"], "known before anything moves")

	srv, client = serve(t, ftptest.Options{Hash: true, HideFeatures: onlyHash, Command: func(cmd, arg string) (string, bool) {
		return "501 unknown", cmd == "OPTS" && strings.HasPrefix(arg, "HASH") || cmd == "OPTS" && strings.HasPrefix(arg, "hash")
	}, Reply: func(cmd, _ string, reply []byte) []byte {
		if cmd == "FEAT" {
			return bytes.ReplaceAll(reply, []byte("*"), nil)
		}
		return reply
	}})
	put(t, srv, "f", content)
	_, err = client.DownloadTo(t.Context(), "srv", "f", io.Discard, opts)
	require.ErrorIs(t, err, ftpclient.ErrUnverifiable)
	assert.Zero(t, srv.Stats().Commands["RETR"]+srv.Stats().Commands["HASH"])
}

func TestAnotherUsersSelectionOnAPooledConnectionMisleadsNobody(t *testing.T) {
	content := randomBytes(t, 10<<10)
	srv, client := serve(t, ftptest.Options{Hash: true, HideFeatures: onlyHash}, oneConnection)
	put(t, srv, "f", content)
	for range 3 {
		for _, algorithm := range []string{"MD5", "SHA-512", "CRC32", "SHA-1", "SHA-256"} {
			result, err := client.DownloadTo(t.Context(), "srv", "f", io.Discard, &ftpclient.TransferOptions{
				Verify: ftpclient.VerifyHash, Expected: ftpclient.Checksum{Algorithm: algorithm, Digest: digestOf(t, algorithm, content)},
			})
			require.NoError(t, err, algorithm)
			assert.Equal(t, algorithm+" expected", result.Verification.String())
		}
		result, err := client.DownloadTo(t.Context(), "srv", "f", io.Discard, &ftpclient.TransferOptions{Verify: ftpclient.VerifyBest})
		require.NoError(t, err)
		assert.Equal(t, ftpclient.Verification{
			Method: ftpclient.VerifiedServerHash, Algorithm: "SHA-256", Local: digestOf(t, "SHA-256", content), Remote: digestOf(t, "SHA-256", content),
		}, result.Verification)
	}
	assert.Equal(t, 18, srv.Stats().Commands["HASH"])
	assert.Equal(t, 1, srv.Stats().Conns)
}

func TestAMismatchStartsOverOnceAndThenTellsBothDigests(t *testing.T) {
	content := randomBytes(t, 300<<10)
	flipped := bytes.Clone(content)
	flipped[100<<10] ^= 0xff
	faults := []ftptest.Fault{{Cmd: "RETR", After: 100 << 10, Do: ftptest.CorruptData}, {Cmd: "STOR", After: 100 << 10, Do: ftptest.CorruptUpload}}
	for _, mode := range []ftpclient.VerifyMode{ftpclient.VerifyBest, ftpclient.VerifyHash, ftpclient.VerifyReadBack} {
		srv, client := serve(t, ftptest.Options{Hash: true, Faults: faults})
		put(t, srv, "f", content)
		opts := &ftpclient.TransferOptions{Verify: mode}
		folder := t.TempDir()
		result, err := client.Download(t.Context(), "srv", "f", filepath.Join(folder, "f"), opts)
		if mode != ftpclient.VerifyReadBack { // which is read wrong in the same way
			require.ErrorIs(t, err, ftpclient.ErrMismatch)
			assert.Equal(t, 2, result.Attempts)
			assert.Equal(t, 2, srv.Stats().Commands["RETR"])
			require.ErrorContains(t, err, digestOf(t, "SHA-256", content))
			require.ErrorContains(t, err, digestOf(t, "SHA-256", flipped))
			assert.Equal(t, digestOf(t, "SHA-256", flipped), result.Verification.Local)
			assert.Equal(t, digestOf(t, "SHA-256", content), result.Verification.Remote)
			assert.Empty(t, names(t, folder), "the partial is gone")
		}

		srv, client = serve(t, ftptest.Options{Hash: true, Faults: faults[1:]})
		put(t, srv, "old", []byte("old"))
		result, err = client.Upload(t.Context(), "srv", localFile(t, content), "old", opts)
		require.ErrorIs(t, err, ftpclient.ErrMismatch)
		assert.Equal(t, 2, result.Attempts)
		require.ErrorContains(t, err, digestOf(t, "SHA-256", content))
		require.ErrorContains(t, err, digestOf(t, "SHA-256", flipped))
		assert.Equal(t, []string{"old"}, names(t, srv.Dir()), "the partial is gone")
		assert.Equal(t, "old", string(stored(t, srv, "old")))

		srv.ResetStats()
		_, err = client.UploadFrom(t.Context(), "srv", io.MultiReader(bytes.NewReader(content)), "once", opts)
		require.ErrorIs(t, err, ftpclient.ErrMismatch, "and not that the reader cannot be read again")
		assert.Equal(t, 1, srv.Stats().Commands["STOR"])
		assert.Equal(t, []string{"old"}, names(t, srv.Dir()))
	}
}

func TestADigestThatTakesTooLongLeavesBestWithTheSize(t *testing.T) {
	srv, client := serve(t, ftptest.Options{Hash: true, Faults: []ftptest.Fault{{Cmd: "HASH", Do: ftptest.StallReply}}},
		func(c *ftpclient.ServerConfig) { c.ReplyTimeout = 100 * time.Millisecond })
	put(t, srv, "f", []byte("content"))
	result, err := client.Download(t.Context(), "srv", "f", filepath.Join(t.TempDir(), "f"),
		&ftpclient.TransferOptions{Verify: ftpclient.VerifyBest, Retry: &ftpclient.RetryPolicy{Delay: time.Millisecond}})
	require.NoError(t, err)
	assert.Equal(t, "size only", result.Verification.String())
	assert.Equal(t, 2, result.Attempts)
	assert.Equal(t, 1, srv.Stats().Commands["HASH"])
}

func TestAnExpectedDigestOfAnUploadIsClaimedOfTheServerOnlyIfItWasSeenThere(t *testing.T) {
	content := randomBytes(t, 10<<10)
	expected := ftpclient.Checksum{Algorithm: "sha1", Digest: strings.ToUpper(digestOf(t, "SHA-1", content))}
	for _, tt := range []struct {
		hash bool
		mode ftpclient.VerifyMode
		want string
	}{
		{true, ftpclient.VerifySize, "SHA-1 expected"},
		{true, ftpclient.VerifyBest, "SHA-1 expected"},
		{true, ftpclient.VerifyHash, "SHA-1 expected"},
		{false, ftpclient.VerifySize, "size only"},
		{false, ftpclient.VerifyBest, "size only"},
		{false, ftpclient.VerifyReadBack, "SHA-1 expected"},
		{true, ftpclient.VerifyNone, "final reply only"},
	} {
		srv, client := serve(t, ftptest.Options{Hash: tt.hash})
		result, err := client.UploadFrom(t.Context(), "srv", bytes.NewReader(content), "f", &ftpclient.TransferOptions{Verify: tt.mode, Expected: expected})
		require.NoError(t, err)
		assert.Equal(t, tt.want, result.Verification.String(), tt)
		srv.SetFaults(ftptest.Fault{Cmd: "STOR", Do: ftptest.CorruptUpload})
		_, err = client.UploadFrom(t.Context(), "srv", bytes.NewReader(content), "g", &ftpclient.TransferOptions{Verify: tt.mode, Expected: expected})
		if strings.Contains(tt.want, "SHA-1") {
			require.ErrorIs(t, err, ftpclient.ErrMismatch)
			assert.NoFileExists(t, filepath.Join(srv.Dir(), "g"))
		}
	}
}

func TestAnExpectedDigestThatMakesNoSenseIsRefused(t *testing.T) {
	_, client := serve(t, ftptest.Options{})
	for _, opts := range []ftpclient.TransferOptions{
		{Expected: ftpclient.Checksum{Algorithm: "SHA-256", Digest: "12"}},
		{Expected: ftpclient.Checksum{Algorithm: "SHA-256"}},
		{Expected: ftpclient.Checksum{Digest: strings.Repeat("0", 64)}},
		{Expected: ftpclient.Checksum{Algorithm: "WHIRLPOOL", Digest: strings.Repeat("0", 64)}},
		{Expected: ftpclient.Checksum{Algorithm: "MD5", Digest: strings.Repeat("0", 64)}},
		{Expected: ftpclient.Checksum{Algorithm: "MD5", Digest: strings.Repeat("0", 32)}, SHA256: strings.Repeat("0", 64)},
	} {
		_, err := client.DownloadTo(t.Context(), "srv", "f", io.Discard, &opts)
		require.ErrorIs(t, err, os.ErrInvalid)
	}
}

func TestAServerThatGivesNothingBackIsNoProofForReadBack(t *testing.T) {
	srv, client := serve(t, ftptest.Options{Faults: []ftptest.Fault{{Cmd: "RETR", Do: ftptest.Refuse, Reply: "550 this folder takes files only"}}})
	opts := &ftpclient.TransferOptions{Verify: ftpclient.VerifyReadBack, Retry: never()}
	_, err := client.UploadFrom(t.Context(), "srv", strings.NewReader("x"), "f", opts)
	require.ErrorIs(t, err, ftpclient.ErrUnverifiable)
	assert.Empty(t, names(t, srv.Dir()), "neither the target nor a partial that nobody could continue")

	srv.SetFaults(ftptest.Fault{Cmd: "RETR", Times: 1, After: 1, Do: ftptest.CutData})
	opts.Retry = &ftpclient.RetryPolicy{Delay: time.Millisecond}
	result, err := client.UploadFrom(t.Context(), "srv", strings.NewReader("content"), "f", opts)
	require.NoError(t, err, "a connection that is lost is replaced")
	assert.Equal(t, "SHA-256 read back", result.Verification.String())
}
