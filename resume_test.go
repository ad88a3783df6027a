package ftpclient_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

// never is the policy without a retry.
func never() *ftpclient.RetryPolicy { return &ftpclient.RetryPolicy{MaxRetries: -1} }

// cut is a fault that closes a data connection once, after so many bytes.
func cut(cmd string, after int64) ftptest.Fault {
	return ftptest.Fault{Cmd: cmd, Times: 1, After: after, Do: ftptest.CutData}
}

// write puts content into a folder, with a time that n tells from others.
func write(t *testing.T, dir, name string, content []byte, n int) {
	t.Helper()
	path := filepath.Join(dir, name)
	require.NoError(t, os.WriteFile(path, content, 0o644))
	when := time.Date(2026, 3, 4, 5, 6, n, 0, time.UTC)
	require.NoError(t, os.Chtimes(path, when, when))
}

// leavePartial has a call fail after 2 MiB of the remote file "f".
func leavePartial(t *testing.T, srv *ftptest.Server, client *ftpclient.Client, local string) {
	t.Helper()
	srv.SetFaults(cut("RETR", 2*mib))
	_, err := client.Download(t.Context(), "srv", "f", local, &ftpclient.TransferOptions{Retry: never()})
	require.Error(t, err)
	require.Greater(t, len(names(t, filepath.Dir(local))), 1, "partial and sidecar")
	srv.SetFaults()
	srv.ResetStats()
}

func sha(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func TestAPartialIsContinuedOnlyIntoTheSameFile(t *testing.T) {
	v1, v2 := randomBytes(t, 3*mib), randomBytes(t, 3*mib)
	tail := bytes.Clone(v1)
	tail[2*mib-1] ^= 1
	for _, c := range []struct {
		what    string
		content []byte
		time    int
		reason  string
	}{
		{"the same", v1, 1, ""},
		{"longer", append(bytes.Clone(v1), 'x'), 1, "the remote file changed"},
		{"shorter than the partial", v2[:mib], 1, "the remote file changed"},
		{"of the same size and another time", v2, 2, "the remote file changed"},
		{"of the same size and time with another tail", tail, 1, "the bytes before the offset differ"},
		{"of the same size and time and all different", v2, 1, "the bytes before the offset differ"},
	} {
		srv, client := serve(t, ftptest.Options{})
		local := filepath.Join(t.TempDir(), "f")
		write(t, srv.Dir(), "f", v1, 1)
		leavePartial(t, srv, client, local)
		write(t, srv.Dir(), "f", c.content, c.time)
		result, err := client.Download(t.Context(), "srv", "f", local, &ftpclient.TransferOptions{Resume: true, SHA256: sha(c.content)})
		require.NoError(t, err, c.what)
		onlyFile(t, local, c.content)
		assert.Equal(t, c.reason, result.RestartReason, c.what)
		assert.Equal(t, 1, result.Attempts, c.what)
		if c.reason == "" {
			assert.EqualValues(t, 2*mib, result.ResumedFrom, c.what)
			assert.EqualValues(t, mib+64<<10, result.Transferred, c.what)
		} else {
			assert.Zero(t, result.ResumedFrom, c.what)
		}
	}
}

func TestWithoutResumeAPartialIsNotContinued(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	local, content := filepath.Join(t.TempDir(), "f"), randomBytes(t, 3*mib)
	put(t, srv, "f", content)
	leavePartial(t, srv, client, local)
	result, err := client.Download(t.Context(), "srv", "f", local, nil)
	require.NoError(t, err)
	onlyFile(t, local, content)
	assert.EqualValues(t, len(content), result.Transferred)
	assert.Empty(t, result.RestartReason)
}

func TestAResumedDownloadIsProvedByTheExpectedDigest(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	local, content := filepath.Join(t.TempDir(), "f"), randomBytes(t, 3*mib)
	put(t, srv, "f", content)
	leavePartial(t, srv, client, local)
	damaged := bytes.Clone(content)
	damaged[0] ^= 1 // before the overlap: only a digest can tell
	put(t, srv, "f", damaged)
	result, err := client.Download(t.Context(), "srv", "f", local, &ftpclient.TransferOptions{Resume: true, SHA256: sha(damaged)})
	require.NoError(t, err)
	onlyFile(t, local, damaged)
	assert.Contains(t, result.RestartReason, "digest")
	assert.Equal(t, ftpclient.VerifiedExpected, result.Verification.Method)
	assert.Equal(t, 2, result.Attempts)

	require.NoError(t, os.Remove(local))
	_, err = client.Download(t.Context(), "srv", "f", local, &ftpclient.TransferOptions{SHA256: sha(content)})
	require.ErrorIs(t, err, ftpclient.ErrMismatch)
	assert.Empty(t, names(t, filepath.Dir(local)), "neither a target nor anything that would be continued")
}

// A remote file that changes whenever it is fetched, for so many times.
func changing(t *testing.T, times int64, next func(n int64) []byte) (*ftptest.Server, *ftpclient.Client) {
	t.Helper()
	dir := t.TempDir()
	var fetched atomic.Int64
	return serve(t, ftptest.Options{Dir: dir, OnCommand: func(cmd, _ string) {
		if n := fetched.Load(); cmd == "RETR" && n < times {
			fetched.Add(1)
			write(t, dir, "f", next(n+1), int(n)+1)
		}
	}})
}

func TestARemoteFileThatChangesWhileItIsFetchedIsFetchedAnew(t *testing.T) {
	for what, size := range map[string]func(n int64) int64{
		"same size": func(int64) int64 { return mib },
		"longer":    func(n int64) int64 { return mib + n },
		"shorter":   func(n int64) int64 { return mib - n },
	} {
		var versions [5][]byte
		for i := range versions {
			versions[i] = randomBytes(t, int(size(int64(i))))
		}
		next := func(n int64) []byte { return versions[n] }

		srv, client := changing(t, 3, next)
		write(t, srv.Dir(), "f", versions[0], 0)
		local := filepath.Join(t.TempDir(), "f")
		result, err := client.Download(t.Context(), "srv", "f", local, nil)
		require.NoError(t, err, what)
		onlyFile(t, local, versions[3])
		assert.NotEmpty(t, result.RestartReason, what)

		srv, client = changing(t, 4, next)
		write(t, srv.Dir(), "f", versions[0], 0)
		require.NoError(t, os.WriteFile(local, []byte("old"), 0o600))
		_, err = client.Download(t.Context(), "srv", "f", local, nil)
		require.Error(t, err, what)
		onlyFile(t, local, []byte("old"))
		if what == "same size" {
			assert.ErrorIs(t, err, ftpclient.ErrMismatch)
		}
	}
}

func TestARemoteFileThatChangesBetweenTwoAttemptsIsNotSpliced(t *testing.T) {
	v1, v2 := randomBytes(t, 3*mib), randomBytes(t, 3*mib)
	dir := t.TempDir()
	var fetched atomic.Int64
	_, client := serve(t, ftptest.Options{Dir: dir, Faults: []ftptest.Fault{cut("RETR", mib)}, OnCommand: func(cmd, _ string) {
		if cmd == "RETR" {
			fetched.Add(1)
		}
		if cmd == "SIZE" && fetched.Load() == 1 {
			write(t, dir, "f", v2, 2)
		}
	}})
	write(t, dir, "f", v1, 1)
	local := filepath.Join(t.TempDir(), "f")
	result, err := client.Download(t.Context(), "srv", "f", local, nil)
	require.NoError(t, err)
	onlyFile(t, local, v2)
	assert.Equal(t, "the remote file changed", result.RestartReason)

	fetched.Store(0)
	write(t, dir, "f", v1, 1)
	var b bytes.Buffer
	srv2, client2 := serve(t, ftptest.Options{Dir: t.TempDir()})
	write(t, srv2.Dir(), "f", v1, 1)
	srv2.SetFaults(cut("RETR", mib))
	_, err = client2.DownloadTo(t.Context(), "srv", "f", writerFunc(func(p []byte) (int, error) {
		if b.Len() < mib && b.Len()+len(p) >= mib {
			write(t, srv2.Dir(), "f", v2, 2)
		}
		return b.Write(p)
	}), nil)
	require.ErrorIs(t, err, ftpclient.ErrMismatch, "a writer cannot be taken back")
	require.ErrorContains(t, err, "discard them, and fetch the file anew")
	assert.True(t, bytes.HasPrefix(v1, b.Bytes()), "nothing of the other version")
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestWithoutSizeOrTimeNothingIsResumed(t *testing.T) {
	content := randomBytes(t, 3*mib)
	for _, c := range []struct {
		hide  string
		proof ftpclient.VerifyMethod
	}{{"SIZE", ftpclient.VerifiedNone}, {"MDTM", ftpclient.VerifiedSize}} {
		srv, client := serve(t, ftptest.Options{HideFeatures: []string{c.hide}})
		put(t, srv, "f", content)
		local := filepath.Join(t.TempDir(), "f")
		srv.SetFaults(cut("RETR", 2*mib))
		_, err := client.Download(t.Context(), "srv", "f", local, &ftpclient.TransferOptions{Retry: never()})
		require.Error(t, err)
		assert.Empty(t, names(t, filepath.Dir(local)), "nothing is left that could not be continued")

		srv.SetFaults(cut("RETR", mib), cut("RETR", mib))
		result, err := client.Download(t.Context(), "srv", "f", local, &ftpclient.TransferOptions{Resume: true})
		require.NoError(t, err)
		onlyFile(t, local, content)
		assert.Equal(t, 3, result.Attempts)
		assert.Zero(t, result.ResumedFrom)
		assert.Equal(t, "the server does not tell the file's size and time", result.RestartReason)
		assert.Equal(t, c.proof, result.Verification.Method)
		assert.Zero(t, srv.Stats().Commands["REST"])

		srv.SetFaults(cut("RETR", mib))
		var b bytes.Buffer
		_, err = client.DownloadTo(t.Context(), "srv", "f", &b, nil)
		require.ErrorIs(t, err, ftpclient.ErrUnverifiable)
		assert.True(t, bytes.HasPrefix(content, b.Bytes()))
	}
}

func TestWithoutSizeTheEndOfDataUnderTLSMustBeAuthentic(t *testing.T) {
	content := randomBytes(t, mib)
	fault := ftptest.Fault{Cmd: "RETR", Times: 1, Do: ftptest.NoCloseNotify}
	srv, client := serve(t, ftptest.Options{TLS: ftptest.Explicit, HideFeatures: []string{"SIZE"}, Faults: []ftptest.Fault{fault}})
	put(t, srv, "f", content)
	local := filepath.Join(t.TempDir(), "f")
	result, err := client.Download(t.Context(), "srv", "f", local, nil)
	require.NoError(t, err)
	onlyFile(t, local, content)
	assert.Equal(t, 2, result.Attempts)

	require.NoError(t, os.Remove(local))
	fault.Times = 0
	srv.SetFaults(fault)
	_, err = client.Download(t.Context(), "srv", "f", local, nil)
	require.ErrorContains(t, err, "close_notify")
	assert.Empty(t, names(t, filepath.Dir(local)))

	srv, client = serve(t, ftptest.Options{TLS: ftptest.Explicit, Faults: []ftptest.Fault{fault}})
	put(t, srv, "f", content)
	result, err = client.Download(t.Context(), "srv", "f", local, nil)
	require.NoError(t, err, "the size proves it")
	assert.Equal(t, 1, result.Attempts)
}

func TestAServerWithoutRESTIsFetchedFromTheStartAndNotForEver(t *testing.T) {
	content := randomBytes(t, 3*mib)
	srv, client := serve(t, ftptest.Options{NoREST: true, Faults: []ftptest.Fault{cut("RETR", mib)}})
	put(t, srv, "f", content)
	local := filepath.Join(t.TempDir(), "f")
	result, err := client.Download(t.Context(), "srv", "f", local, nil)
	require.NoError(t, err)
	onlyFile(t, local, content)
	assert.Contains(t, result.RestartReason, "REST")
	assert.Equal(t, 2, result.Attempts)

	always := cut("", mib)
	always.Times = 0
	srv.SetFaults(always)
	result, err = client.Download(t.Context(), "srv", "f", local, nil)
	require.Error(t, err, "each attempt moves bytes, and none gets further than the first")
	assert.LessOrEqual(t, result.Attempts, 5)
	require.NoError(t, os.WriteFile(local+"2", content, 0o600))
	result, err = client.Upload(t.Context(), "srv", local+"2", "g", nil)
	require.Error(t, err)
	assert.LessOrEqual(t, result.Attempts, 5)
}

func TestAResumeIsNotGivenUpForAFileThatIsAbsentForAMoment(t *testing.T) {
	content := randomBytes(t, 3*mib)
	for _, noMLSD := range []bool{false, true} {
		srv, client := serve(t, ftptest.Options{NoMLSD: noMLSD})
		put(t, srv, "f", content)
		local, remote := filepath.Join(t.TempDir(), "f"), filepath.Join(srv.Dir(), "f")
		leavePartial(t, srv, client, local)
		require.NoError(t, os.Rename(remote, remote+".away"))
		_, err := client.Download(t.Context(), "srv", "f", local, &ftpclient.TransferOptions{Resume: true})
		require.ErrorIs(t, err, fs.ErrNotExist)
		require.NoError(t, os.Rename(remote+".away", remote))
		result, err := client.Download(t.Context(), "srv", "f", local, &ftpclient.TransferOptions{Resume: true})
		require.NoError(t, err)
		onlyFile(t, local, content)
		assert.EqualValues(t, 2*mib, result.ResumedFrom)
	}
}

func TestAPartialIsGivenUpOnceTheServerRefusesTheSizeOfAFileThatIsThere(t *testing.T) {
	content := randomBytes(t, 3*mib)
	srv, client := serve(t, ftptest.Options{})
	put(t, srv, "f", content)
	local := filepath.Join(t.TempDir(), "f")
	leavePartial(t, srv, client, local)
	srv.SetFaults(ftptest.Fault{Cmd: "SIZE", Do: ftptest.Refuse, Reply: "550 not now"})
	result, err := client.Download(t.Context(), "srv", "f", local, &ftpclient.TransferOptions{Resume: true})
	require.NoError(t, err)
	onlyFile(t, local, content)
	assert.Zero(t, result.ResumedFrom)
	assert.NotEmpty(t, result.RestartReason)
}

func TestAFinishedFileIsNotFetchedAgainForARefusalOfItsSize(t *testing.T) {
	content := randomBytes(t, 3*mib)
	for _, cmd := range []string{"SIZE", "MDTM"} {
		// Refused when it is asked ahead, and then by itself.
		refused := ftptest.Fault{Cmd: cmd, Skip: 1, Times: 2, Do: ftptest.Refuse, Reply: "450 busy"}
		srv, client := serve(t, ftptest.Options{Faults: []ftptest.Fault{refused}})
		put(t, srv, "f", content)
		local := filepath.Join(t.TempDir(), "f")
		result, err := client.Download(t.Context(), "srv", "f", local, nil)
		require.NoError(t, err, cmd)
		onlyFile(t, local, content)
		assert.Empty(t, result.RestartReason, cmd)
		assert.LessOrEqual(t, result.Transferred, int64(len(content)+64<<10), cmd)

		srv.SetFaults(refused)
		var b bytes.Buffer
		_, err = client.DownloadTo(t.Context(), "srv", "f", &b, nil)
		require.NoError(t, err, cmd)
		assert.True(t, bytes.Equal(content, b.Bytes()), cmd)
	}
}

func TestARefusalOfSIZEAtTheEndIsNoChange(t *testing.T) {
	content := randomBytes(t, 3*mib)
	srv, client := serve(t, ftptest.Options{Faults: []ftptest.Fault{{Cmd: "SIZE", Skip: 1, Do: ftptest.Refuse, Reply: "550 no"}}})
	put(t, srv, "f", content)
	local := filepath.Join(t.TempDir(), "f")
	result, err := client.Download(t.Context(), "srv", "f", local, nil)
	require.ErrorContains(t, err, "SIZE")
	require.NotErrorIs(t, err, ftpclient.ErrMismatch)
	assert.Empty(t, result.RestartReason)
	srv.SetFaults()
	result, err = client.Download(t.Context(), "srv", "f", local, &ftpclient.TransferOptions{Resume: true})
	require.NoError(t, err)
	onlyFile(t, local, content)
	assert.EqualValues(t, len(content), result.ResumedFrom, "all of it was kept")
}

func TestDownloadToContinuesAfterDropsAndProvesTheDigest(t *testing.T) {
	content := randomBytes(t, 3*mib)
	srv, client := serve(t, ftptest.Options{})
	put(t, srv, "f", content)
	for _, sum := range []string{"", sha(content)} {
		srv.SetFaults(cut("RETR", 10), cut("RETR", 100<<10), cut("RETR", mib), cut("RETR", mib))
		var b bytes.Buffer
		result, err := client.DownloadTo(t.Context(), "srv", "f", &b, &ftpclient.TransferOptions{SHA256: sum})
		require.NoError(t, err)
		assert.True(t, bytes.Equal(content, b.Bytes()))
		assert.Equal(t, 5, result.Attempts)
	}
	srv.SetFaults()
	result, err := client.DownloadTo(t.Context(), "srv", "f", &bytes.Buffer{}, &ftpclient.TransferOptions{SHA256: sha(nil)})
	require.ErrorIs(t, err, ftpclient.ErrMismatch)
	assert.Equal(t, 1, result.Attempts, "what the writer took cannot be moved again")
	assert.Equal(t, sha(content), result.Verification.Local)
}

func TestAWriterThatFailsEndsTheDownload(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	put(t, srv, "f", randomBytes(t, 3*mib))
	full := errors.New("the writer is full")
	result, err := client.DownloadTo(t.Context(), "srv", "f", writerFunc(func([]byte) (int, error) { return 3, full }), nil)
	require.ErrorIs(t, err, full)
	assert.Equal(t, 1, result.Attempts)
	_, err = client.DownloadTo(t.Context(), "srv", "f", writerFunc(func([]byte) (int, error) { return 3, nil }), nil)
	require.ErrorContains(t, err, "short write")
	require.NoError(t, client.Ping(t.Context(), "srv"))
}

func TestACancelledContextEndsDownloadToAndKeepsNothing(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	put(t, srv, "f", randomBytes(t, 3*mib))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := client.DownloadTo(ctx, "srv", "f", writerFunc(func(p []byte) (int, error) { cancel(); return len(p), nil }), nil)
	require.ErrorIs(t, err, context.Canceled)
}

func TestAPartialOfAnotherPathOrUserIsNotContinued(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	content := randomBytes(t, 3*mib)
	put(t, srv, "f", content)
	put(t, srv, "g", content)
	local := filepath.Join(t.TempDir(), "f")
	leavePartial(t, srv, client, local)
	result, err := client.Download(t.Context(), "srv", "g", local, &ftpclient.TransferOptions{Resume: true})
	require.NoError(t, err)
	assert.Zero(t, result.ResumedFrom)
	assert.EqualValues(t, len(content), result.Transferred)
}

func TestADamagedSidecarIsNotTrusted(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	content := randomBytes(t, 3*mib)
	put(t, srv, "f", content)
	local := filepath.Join(t.TempDir(), "f")
	leavePartial(t, srv, client, local)
	err := filepath.WalkDir(filepath.Dir(local), func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, "-state") {
			return os.Truncate(path, 20)
		}
		return err
	})
	require.NoError(t, err)
	result, err := client.Download(t.Context(), "srv", "f", local, &ftpclient.TransferOptions{Resume: true})
	require.NoError(t, err)
	onlyFile(t, local, content)
	assert.Contains(t, result.RestartReason, "damaged")
}

func TestWhatAKilledCommitLeftGoesWhateverIsDoneAboutTheTarget(t *testing.T) {
	content := randomBytes(t, 3*mib)
	for what, c := range map[string]struct {
		policy ftpclient.ExistingPolicy
		left   func(partial, target string) error // by a process that was killed then
	}{
		"renamed, kept":      {ftpclient.SkipExisting, os.Rename},
		"linked, kept":       {ftpclient.SkipExisting, os.Link},
		"renamed, an error":  {ftpclient.FailExisting, os.Rename},
		"linked, an error":   {ftpclient.FailExisting, os.Link},
		"renamed, the same":  {ftpclient.SkipSame, os.Rename},
		"renamed, not asked": {ftpclient.Overwrite, os.Rename},
	} {
		srv, client := serve(t, ftptest.Options{})
		put(t, srv, "f", content)
		dir := t.TempDir()
		local := filepath.Join(dir, "f")
		var locks []string
		breakOff(t, srv, client, "RETR", local, 2*mib, ftpclient.TransferOptions{Progress: func(ftpclient.Progress) {
			if len(locks) == 0 {
				locks, _ = filepath.Glob(filepath.Join(dir, ".*-lock"))
			}
		}})
		partials, err := filepath.Glob(filepath.Join(dir, ".*-part"))
		require.NoError(t, err)
		require.Len(t, append(partials, locks...), 2)
		require.NoError(t, os.WriteFile(locks[0], nil, 0o600))
		require.NoError(t, c.left(partials[0], local), what)
		_, err = client.Download(t.Context(), "srv", "f", local, &ftpclient.TransferOptions{Existing: c.policy})
		if c.policy == ftpclient.FailExisting {
			require.ErrorIs(t, err, fs.ErrExist, what)
		} else {
			require.NoError(t, err, what)
		}
		assert.Equal(t, []string{"f"}, names(t, dir), what)
	}
}

func TestAServerThatNeverTellsForTheMomentTellsNothing(t *testing.T) {
	for _, cmd := range []string{"SIZE", "MDTM"} {
		content := randomBytes(t, mib)
		srv, client := serve(t, ftptest.Options{Faults: []ftptest.Fault{always(cmd, ftptest.Refuse, "450 busy")}})
		put(t, srv, "f", content)
		local := filepath.Join(t.TempDir(), "f")
		result, err := client.Download(t.Context(), "srv", "f", local, nil)
		require.NoError(t, err, cmd)
		onlyFile(t, local, content)
		assert.Equal(t, 2, result.Attempts, cmd)
	}
}
