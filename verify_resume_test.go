package ftpclient_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

// breakOff has a transfer of "f" fail after so many bytes, digesting as opts say, and leaves its partial.
func breakOff(t *testing.T, srv *ftptest.Server, client *ftpclient.Client, cmd, local string, after int64, opts ftpclient.TransferOptions) {
	t.Helper()
	srv.SetFaults(cut(cmd, after))
	opts.Retry = never()
	var err error
	if cmd == "RETR" {
		_, err = client.Download(t.Context(), "srv", "f", local, &opts)
	} else {
		_, err = client.Upload(t.Context(), "srv", local, "f", &opts)
	}
	require.Error(t, err)
	srv.SetFaults()
	srv.ResetStats()
}

// onlyHash leaves HASH alone, which digests no parts on the test server.
var onlyHash = []string{"XSHA256", "XSHA512", "XSHA1", "XSHA", "XMD5", "MD5", "XCRC"}

func TestTheServersDigestOfItsBeginningTakesThePlaceOfWhatAResumeMovesAgain(t *testing.T) {
	content := randomBytes(t, 3*mib)
	for _, tt := range []struct {
		what  string
		hide  []string
		mode  ftpclient.VerifyMode
		again int64
	}{
		{"HASH, and XSHA256 for parts", nil, ftpclient.VerifyHash, 0},
		{"XCRC", []string{"HASH", "XSHA256", "XSHA512", "XSHA1", "XSHA", "XMD5", "MD5"}, ftpclient.VerifyBest, 0},
		{"no digest of parts", onlyHash, ftpclient.VerifyHash, 64 << 10},
		{"no digest wanted", nil, ftpclient.VerifySize, 64 << 10},
	} {
		srv, client := serve(t, ftptest.Options{Hash: true, HideFeatures: tt.hide})
		local := filepath.Join(t.TempDir(), "f")
		write(t, srv.Dir(), "f", content, 1)
		opts := ftpclient.TransferOptions{Resume: true, Verify: tt.mode}
		breakOff(t, srv, client, "RETR", local, 2*mib, opts)
		result, err := client.Download(t.Context(), "srv", "f", local, &opts)
		require.NoError(t, err, tt.what)
		onlyFile(t, local, content)
		assert.Empty(t, result.RestartReason, tt.what)
		assert.EqualValues(t, 2*mib, result.ResumedFrom, tt.what)
		assert.Equal(t, mib+tt.again, result.Transferred, tt.what)
		assert.Contains(t, srv.Stats().Log, fmt.Sprintf("REST %d", 2*mib-tt.again), tt.what)
	}
}

func TestABeginningThatTheServerDigestsOtherwiseIsNotContinued(t *testing.T) {
	content := randomBytes(t, 3*mib)
	srv, client := serve(t, ftptest.Options{Hash: true})
	local := filepath.Join(t.TempDir(), "f")
	write(t, srv.Dir(), "f", content, 1)
	opts := ftpclient.TransferOptions{Resume: true, Verify: ftpclient.VerifyHash}
	breakOff(t, srv, client, "RETR", local, 2*mib, opts)
	other := bytes.Clone(content)
	other[0] ^= 1 // far before the end of the partial, with the same size and time
	write(t, srv.Dir(), "f", other, 1)
	result, err := client.Download(t.Context(), "srv", "f", local, &opts)
	require.NoError(t, err)
	onlyFile(t, local, other)
	assert.Contains(t, result.RestartReason, "SHA-256 of the server")
	assert.Equal(t, 1, result.Attempts, "seen before anything moved")
	assert.EqualValues(t, 3*mib, result.Transferred)
}

func TestABeginningWhoseDigestTakesTooLongIsComparedByItsEnd(t *testing.T) {
	content := randomBytes(t, 3*mib)
	for _, action := range []ftptest.Action{ftptest.StallReply, ftptest.CutControl} {
		srv, client := serve(t, ftptest.Options{Hash: true}, impatient)
		local := filepath.Join(t.TempDir(), "f")
		write(t, srv.Dir(), "f", content, 1)
		opts := ftpclient.TransferOptions{Resume: true, Verify: ftpclient.VerifyBest}
		breakOff(t, srv, client, "RETR", local, 2*mib, opts)
		srv.SetFaults(always("XSHA256", action, "")) // HASH, of the whole file, is answered
		opts.Retry = &ftpclient.RetryPolicy{Delay: time.Millisecond}
		result, err := client.Download(t.Context(), "srv", "f", local, &opts)
		require.NoError(t, err)
		onlyFile(t, local, content)
		assert.EqualValues(t, 2*mib, result.ResumedFrom)
		assert.Equal(t, 2, result.Attempts)
		assert.Equal(t, "SHA-256 by server", result.Verification.String())
	}
}

func TestAPartialUploadWhoseDigestTakesTooLongIsReadBack(t *testing.T) {
	content := randomBytes(t, 3*mib)
	for _, mode := range []ftpclient.VerifyMode{ftpclient.VerifyBest, ftpclient.VerifyHash} {
		dir := t.TempDir()
		srv, client := serve(t, ftptest.Options{Dir: dir, Hash: true, HideFeatures: onlyHash, Command: func(cmd, arg string) (string, bool) {
			info, err := os.Stat(filepath.Join(dir, arg))
			return "", cmd == "HASH" && err == nil && info.Size() < int64(len(content)) // nothing is said
		}}, impatient)
		local := localFile(t, content)
		opts := ftpclient.TransferOptions{Resume: true, Verify: mode}
		breakOff(t, srv, client, "STOR", local, 2*mib, opts)
		opts.Retry = &ftpclient.RetryPolicy{Delay: time.Millisecond}
		result, err := client.Upload(t.Context(), "srv", local, "f", &opts)
		require.NoError(t, err)
		assert.Equal(t, content, stored(t, srv, "f"))
		assert.EqualValues(t, 2*mib, result.ResumedFrom, result.RestartReason)
		assert.Equal(t, 2, result.Attempts)
		assert.Equal(t, "SHA-256 by server", result.Verification.String())
	}
}

func TestAWholePartialIsProvedWithoutMovingAnything(t *testing.T) {
	content := randomBytes(t, 3*mib)
	srv, client := serve(t, ftptest.Options{Hash: true})
	local := filepath.Join(t.TempDir(), "f")
	write(t, srv.Dir(), "f", content, 1)
	opts := ftpclient.TransferOptions{Resume: true, Verify: ftpclient.VerifyHash}
	breakOff(t, srv, client, "RETR", local, 3*mib, opts)
	result, err := client.Download(t.Context(), "srv", "f", local, &opts)
	require.NoError(t, err)
	onlyFile(t, local, content)
	assert.Zero(t, result.Transferred)
	assert.Zero(t, srv.Stats().Commands["RETR"])
	assert.Equal(t, "SHA-256 by server", result.Verification.String())
}

func TestAPartialUploadIsProvedByTheServersDigestOfIt(t *testing.T) {
	content := randomBytes(t, 3*mib)
	for _, hide := range [][]string{nil, onlyHash, {"HASH"}} {
		srv, client := serve(t, ftptest.Options{Hash: true, HideFeatures: hide})
		local := localFile(t, content)
		opts := ftpclient.TransferOptions{Resume: true, Verify: ftpclient.VerifyBest}
		breakOff(t, srv, client, "STOR", local, 2*mib, opts)
		result, err := client.Upload(t.Context(), "srv", local, "f", &opts)
		require.NoError(t, err)
		assert.Equal(t, content, stored(t, srv, "f"))
		assert.EqualValues(t, 2*mib, result.ResumedFrom, result.RestartReason)
		assert.EqualValues(t, mib, result.Transferred)
		assert.Zero(t, srv.Stats().Commands["RETR"], "nothing was read back")
		assert.Equal(t, "SHA-256 by server", result.Verification.String())
	}

	srv, client := serve(t, ftptest.Options{Hash: true})
	local := localFile(t, content)
	opts := ftpclient.TransferOptions{Resume: true, Verify: ftpclient.VerifyBest}
	breakOff(t, srv, client, "STOR", local, 2*mib, opts)
	part := names(t, srv.Dir())[0]
	damaged := bytes.Clone(content[:2*mib])
	damaged[0] ^= 1 // far from the end
	put(t, srv, part, damaged)
	result, err := client.Upload(t.Context(), "srv", local, "f", &opts)
	require.NoError(t, err)
	assert.Equal(t, content, stored(t, srv, "f"))
	assert.Contains(t, result.RestartReason, "differs")
	assert.Equal(t, 1, result.Attempts)
	assert.Equal(t, []string{"f"}, names(t, srv.Dir()))
}

// What is kept of a partial is damaged on the disk: that this goes unnoticed shows that it is not read again.
func TestAResumeAtNinetyPercentDoesNotReadThePrefixAgain(t *testing.T) {
	content := randomBytes(t, 10*mib)
	for _, expected := range []ftpclient.Checksum{
		{Algorithm: "SHA-512"}, {Algorithm: "SHA-384"}, {Algorithm: "SHA-256"}, {Algorithm: "SHA-224"}, {Algorithm: "SHA-1"}, {Algorithm: "MD5"}, {Algorithm: "CRC32"},
	} {
		expected.Digest = digestOf(t, expected.Algorithm, content)
		srv, client := serve(t, ftptest.Options{})
		local := filepath.Join(t.TempDir(), "f")
		write(t, srv.Dir(), "f", content, 1)
		opts := ftpclient.TransferOptions{Resume: true, Expected: expected}
		breakOff(t, srv, client, "RETR", local, 9*mib, opts)
		var part string
		for _, name := range names(t, filepath.Dir(local)) {
			if strings.HasSuffix(name, "-part") {
				part = filepath.Join(filepath.Dir(local), name)
			}
		}
		f, err := os.OpenFile(part, os.O_WRONLY, 0)
		require.NoError(t, err)
		_, err = f.WriteAt(make([]byte, mib), mib)
		require.NoError(t, errors.Join(err, f.Close()))
		result, err := client.Download(t.Context(), "srv", "f", local, &opts)
		require.NoError(t, err, expected.Algorithm)
		assert.EqualValues(t, 9*mib, result.ResumedFrom)
		assert.EqualValues(t, mib+64<<10, result.Transferred)
		assert.Equal(t, expected.Algorithm+" expected", result.Verification.String())
	}
}

func TestADigestWithoutASavedStateReadsWhatIsThereOnce(t *testing.T) {
	content := randomBytes(t, 3*mib)
	srv, client := serve(t, ftptest.Options{Hash: true})
	local := filepath.Join(t.TempDir(), "f")
	write(t, srv.Dir(), "f", content, 1)
	breakOff(t, srv, client, "RETR", local, 2*mib, ftpclient.TransferOptions{})
	result, err := client.Download(t.Context(), "srv", "f", local, &ftpclient.TransferOptions{Resume: true, Verify: ftpclient.VerifyHash})
	require.NoError(t, err)
	onlyFile(t, local, content)
	assert.EqualValues(t, 2*mib, result.ResumedFrom)
	assert.Equal(t, digestOf(t, "SHA-256", content), result.Verification.Local)
}

func TestDigestsAreRightThroughLostConnections(t *testing.T) {
	content := randomBytes(t, 12*mib)
	srv, client := serve(t, ftptest.Options{Hash: true, Faults: []ftptest.Fault{
		{Cmd: "RETR", Times: 3, After: 5*mib + 1, Do: ftptest.CutData}, {Cmd: "STOR", Times: 3, After: 5*mib + 1, Do: ftptest.CutData},
	}})
	put(t, srv, "f", content)
	local := filepath.Join(t.TempDir(), "f")
	opts := &ftpclient.TransferOptions{Verify: ftpclient.VerifyHash}
	down, err := client.Download(t.Context(), "srv", "f", local, opts)
	require.NoError(t, err)
	assert.Greater(t, down.Attempts, 1)
	assert.Equal(t, digestOf(t, "SHA-256", content), down.Verification.Local)
	up, err := client.Upload(t.Context(), "srv", local, "g", opts)
	require.NoError(t, err)
	assert.Greater(t, up.Attempts, 1)
	assert.Empty(t, up.RestartReason)
	assert.Equal(t, digestOf(t, "SHA-256", content), up.Verification.Remote)
	assert.Equal(t, content, stored(t, srv, "g"))
}

// Its reply is why the bytes to compare did not come.
func TestWhatAServerSaysOfADownloadThatGoesOnIsHeard(t *testing.T) {
	policy := &ftpclient.RetryPolicy{MaxRetries: 1, Delay: time.Millisecond}
	for _, segments := range []int{1, 3} {
		srv, client := serve(t, ftptest.Options{}, oneConnection)
		put(t, srv, "f", randomBytes(t, 8*mib))
		local := filepath.Join(t.TempDir(), "f")
		srv.SetFaults(ftptest.Fault{Cmd: "RETR", Times: 1, After: 5 * mib, Do: ftptest.CutBoth},
			ftptest.Fault{Cmd: "RETR", Do: ftptest.LateRefuse, Reply: "550 Permission denied"})
		_, err := client.Download(t.Context(), "srv", "f", local, &ftpclient.TransferOptions{Segments: segments, Retry: policy})
		require.ErrorIs(t, err, fs.ErrPermission, "%d segments", segments)
		require.ErrorContains(t, err, "Permission denied")
	}
	srv, client := serve(t, ftptest.Options{NoREST: true})
	put(t, srv, "f", randomBytes(t, 8*mib))
	srv.SetFaults(ftptest.Fault{Cmd: "RETR", Times: 1, After: 5 * mib, Do: ftptest.CutBoth},
		ftptest.Fault{Cmd: "RETR", After: mib, Do: ftptest.LateRefuse, Reply: "550 Permission denied"})
	result, err := client.DownloadTo(t.Context(), "srv", "f", io.Discard, &ftpclient.TransferOptions{Retry: &ftpclient.RetryPolicy{Delay: time.Millisecond}})
	require.ErrorIs(t, err, fs.ErrPermission)
	assert.False(t, ftpclient.Retryable(err))
	assert.Equal(t, 2, result.Attempts, "a refusal is final")
}
