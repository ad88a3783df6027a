package ftpclient_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

// localFile writes a file to upload.
func localFile(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "source")
	require.NoError(t, os.WriteFile(path, content, 0o600))
	return path
}

// leaveUpload has a call fail after 2 MiB of local, which was to become "g", and returns the temporary name.
func leaveUpload(t *testing.T, srv *ftptest.Server, client *ftpclient.Client, local string) string {
	t.Helper()
	srv.SetFaults(cut("STOR", 2*mib))
	_, err := client.Upload(t.Context(), "srv", local, "g", &ftpclient.TransferOptions{Retry: never()})
	require.Error(t, err)
	srv.SetFaults()
	srv.ResetStats()
	left := names(t, srv.Dir())
	require.Len(t, left, 1)
	require.Contains(t, left[0], "ftpclient-part")
	return left[0]
}

func TestAnUploadIsContinuedOnlyIfWhatIsThereIsItsBeginning(t *testing.T) {
	content := randomBytes(t, 3*mib)
	other := bytes.Clone(content[:2*mib])
	other[len(other)-1] ^= 1
	for _, c := range []struct {
		what   string
		left   []byte
		from   int64
		reason string
	}{
		{"its beginning", content[:2*mib], 2 * mib, ""},
		{"all of it", content, 3*mib - 64<<10, ""}, // the last piece again, for a final reply
		{"another tail", other, 0, "the partial on the server differs from the source"},
		{"longer", append(bytes.Clone(content), 'x'), 0, "differs from the source: it has"},
		{"empty", nil, 0, ""},
	} {
		srv, client := serve(t, ftptest.Options{})
		local := localFile(t, content)
		left := leaveUpload(t, srv, client, local)
		put(t, srv, left, c.left)
		result, err := client.Upload(t.Context(), "srv", local, "g", &ftpclient.TransferOptions{Resume: true, SHA256: sha(content)})
		require.NoError(t, err, c.what)
		onlyFile(t, filepath.Join(srv.Dir(), "g"), content)
		assert.Equal(t, c.from, result.ResumedFrom, c.what)
		assert.Equal(t, int64(len(content))-c.from, result.Transferred, c.what)
		assert.Contains(t, result.RestartReason, c.reason, c.what)
		assert.Equal(t, c.reason == "", result.RestartReason == "", c.what)
		if c.reason != "" { // something may still be writing to the old one
			assert.NotContains(t, srv.Stats().Log, "STOR "+left, "%s: a new temporary name", c.what)
		}
	}
}

func TestASourceThatChangedBetweenTwoCallsIsSentAnew(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	content := randomBytes(t, 3*mib)
	local := localFile(t, content)
	leaveUpload(t, srv, client, local)
	content = randomBytes(t, 3*mib)
	write(t, filepath.Dir(local), filepath.Base(local), content, 30)
	result, err := client.Upload(t.Context(), "srv", local, "g", &ftpclient.TransferOptions{Resume: true})
	require.NoError(t, err)
	assert.True(t, bytes.Equal(content, stored(t, srv, "g")))
	assert.Zero(t, result.ResumedFrom)
}

func TestAnUploadStartsOverWhereNothingCanBeContinued(t *testing.T) {
	content := randomBytes(t, 3*mib)
	for what, o := range map[string]ftptest.Options{
		"neither REST nor APPE": {RestStorRefused: true, NoAppend: true},
		"no REST":               {NoREST: true},
		"no SIZE":               {HideFeatures: []string{"SIZE"}},
		"no reading":            {Faults: []ftptest.Fault{cut("STOR", mib), always("RETR", ftptest.Refuse, "550 Permission denied")}},
	} {
		if len(o.Faults) == 0 {
			o.Faults = []ftptest.Fault{cut("STOR", mib)}
		}
		srv, client := serve(t, o)
		result, err := client.Upload(t.Context(), "srv", localFile(t, content), "g", nil)
		require.NoError(t, err, what)
		onlyFile(t, filepath.Join(srv.Dir(), "g"), content)
		assert.Equal(t, 2, result.Attempts, what)
		assert.GreaterOrEqual(t, result.Transferred, int64(len(content)+mib), what)
	}
}

func TestASourceThatChangesWhileItIsSentLeavesNothing(t *testing.T) {
	content := randomBytes(t, 2*mib)
	for what, change := range map[string]func(path string) error{
		"shrinks": func(path string) error { return os.Truncate(path, mib) },
		"grows":   func(path string) error { return os.Truncate(path, 3*mib) },
		"changes": func(path string) error { return os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour)) },
		"is replaced": func(path string) error {
			info, err := os.Stat(path)
			if err == nil { // by a file of the same size and time
				err = errors.Join(os.WriteFile(path+"2", content, 0o600), os.Chtimes(path+"2", info.ModTime(), info.ModTime()))
			}
			return errors.Join(err, os.Rename(path+"2", path))
		},
		"goes": os.Remove,
	} {
		local := localFile(t, content)
		srv, client := serve(t, ftptest.Options{OnCommand: func(cmd, _ string) {
			if cmd == "STOR" {
				assert.NoError(t, change(local))
			}
		}})
		put(t, srv, "g", []byte("old"))
		result, err := client.Upload(t.Context(), "srv", local, "g", nil)
		require.Error(t, err, what)
		assert.Equal(t, 1, result.Attempts, what)
		onlyFile(t, filepath.Join(srv.Dir(), "g"), []byte("old"))
	}
}

func TestAReaderThatFailsLeavesNothing(t *testing.T) {
	broken := errors.New("the reader broke")
	for what, fail := range map[string]error{"an error": broken, "an error that is io.EOF within": errors.Join(broken, io.EOF), "cut": io.ErrUnexpectedEOF} {
		for _, mode := range []ftptest.TLSMode{ftptest.Plain, ftptest.Explicit} {
			srv, client := serve(t, ftptest.Options{TLS: mode})
			put(t, srv, "g", []byte("old"))
			r := io.MultiReader(bytes.NewReader(randomBytes(t, mib)), iotest.ErrReader(fail))
			result, err := client.UploadFrom(t.Context(), "srv", r, "g", nil)
			require.ErrorIs(t, err, fail, what)
			assert.Equal(t, 1, result.Attempts, what)
			onlyFile(t, filepath.Join(srv.Dir(), "g"), []byte("old"))
		}
	}
}

func TestAReaderIsSentAgainOnlyIfItCanSeek(t *testing.T) {
	content := randomBytes(t, 3*mib)
	srv, client := serve(t, ftptest.Options{})
	for _, sum := range []string{"", sha(content[5:])} {
		srv.SetFaults(cut("STOR", mib), cut("STOR", mib))
		r := bytes.NewReader(content)
		_, err := r.Seek(5, io.SeekStart)
		require.NoError(t, err)
		result, err := client.UploadFrom(t.Context(), "srv", r, "g", &ftpclient.TransferOptions{SHA256: sum})
		require.NoError(t, err)
		onlyFile(t, filepath.Join(srv.Dir(), "g"), content[5:])
		assert.Equal(t, 3, result.Attempts)
	}
	srv.SetFaults(cut("STOR", mib))
	_, err := client.UploadFrom(t.Context(), "srv", io.MultiReader(bytes.NewReader(content)), "g", nil)
	require.ErrorContains(t, err, "cannot be read again")
	onlyFile(t, filepath.Join(srv.Dir(), "g"), content[5:])

	srv.SetFaults(once("STOR", ftptest.Refuse, "450 Busy"))
	_, err = client.UploadFrom(t.Context(), "srv", io.MultiReader(bytes.NewReader(content)), "g", nil)
	require.NoError(t, err, "nothing of it had been read")
	onlyFile(t, filepath.Join(srv.Dir(), "g"), content)
}

func TestAWrongDigestLeavesNoUpload(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	content := randomBytes(t, mib)
	_, err := client.Upload(t.Context(), "srv", localFile(t, content), "g", &ftpclient.TransferOptions{SHA256: sha(nil)})
	require.ErrorIs(t, err, ftpclient.ErrMismatch)
	_, err = client.UploadFrom(t.Context(), "srv", bytes.NewReader(content), "g", &ftpclient.TransferOptions{SHA256: sha(nil)})
	require.ErrorIs(t, err, ftpclient.ErrMismatch)
	assert.Empty(t, names(t, srv.Dir()))
	result, err := client.UploadFrom(t.Context(), "srv", bytes.NewReader(content), "g", &ftpclient.TransferOptions{SHA256: strings.ToUpper(sha(content))})
	require.NoError(t, err)
	assert.Equal(t, ftpclient.VerifiedSize, result.Verification.Method, "nobody saw the server's digest")
}

func TestAFullServerEndsAnUploadAndKeepsWhatIsThere(t *testing.T) {
	content := randomBytes(t, 3*mib)
	for _, reply := range []string{"452 No space", "552 Quota exceeded", "553 Not that name", "451 f: No space left on device"} {
		srv, client := serve(t, ftptest.Options{})
		put(t, srv, "g", []byte("old"))
		local := localFile(t, content)
		srv.SetFaults(after(always("STOR", ftptest.LateRefuse, reply), 2*mib))
		result, err := client.Upload(t.Context(), "srv", local, "g", nil)
		require.ErrorContains(t, err, reply)
		assert.Equal(t, 1, result.Attempts)
		assert.Equal(t, "old", string(stored(t, srv, "g")))

		srv.SetFaults(always("STOR", ftptest.Refuse, reply))
		result, err = client.Upload(t.Context(), "srv", local, "g", &ftpclient.TransferOptions{Resume: true})
		require.ErrorContains(t, err, reply)
		assert.Equal(t, 1, result.Attempts)

		srv.SetFaults()
		result, err = client.Upload(t.Context(), "srv", local, "g", &ftpclient.TransferOptions{Resume: true})
		require.NoError(t, err)
		onlyFile(t, filepath.Join(srv.Dir(), "g"), content)
		assert.EqualValues(t, 2*mib, result.ResumedFrom)
	}
}

func TestAnUploadThatCannotSucceedLeavesTheOldTarget(t *testing.T) {
	t.Parallel() // it mostly waits
	content := randomBytes(t, 2*mib)
	for _, c := range []struct {
		what     string
		options  ftptest.Options
		attempts int
		is       error
	}{
		{"denied", ftptest.Options{Faults: []ftptest.Fault{always("STOR", ftptest.Refuse, "550 Permission denied")}}, 1, fs.ErrPermission},
		{"busy", ftptest.Options{Faults: []ftptest.Fault{always("STOR", ftptest.Refuse, "450 Busy")}}, 4, nil},
		{"no data connection", ftptest.Options{Faults: []ftptest.Fault{always("STOR", ftptest.Refuse, "425 None")}}, 4, nil},
		{"426 for nothing", ftptest.Options{Faults: []ftptest.Fault{always("STOR", ftptest.CutData, "")}}, 4, nil},
		{"stalled for ever", ftptest.Options{Faults: []ftptest.Fault{always("STOR", ftptest.StallData, "")}}, 4, nil},
		{"SIZE says less", sizeSays("1000"), 4, nil},
		{"renaming refused", ftptest.Options{NoRename: true}, 1, nil},
		{"renaming refused for now", ftptest.Options{Faults: []ftptest.Fault{always("RNFR", ftptest.Refuse, "450 Busy")}}, 4, nil},
	} {
		srv, client := serve(t, c.options, impatient)
		put(t, srv, "g", []byte("old"))
		result, err := client.Upload(t.Context(), "srv", localFile(t, content), "g", nil)
		require.Error(t, err, c.what)
		assert.Equal(t, "old", string(stored(t, srv, "g")), c.what)
		assert.Equal(t, c.attempts, result.Attempts, "%s: %v", c.what, err)
		if c.is != nil {
			require.ErrorIs(t, err, c.is, c.what)
		}
	}
}

func TestAReplyThatIsLostIsLookedInto(t *testing.T) {
	content := randomBytes(t, 100<<10)
	for what, f := range map[string]ftptest.Fault{
		"RNTO done":     once("RNTO", ftptest.DropFinalReply, ""),
		"RNTO not done": once("RNTO", ftptest.CutControl, ""),
		"RNTO silent":   once("RNTO", ftptest.StallReply, ""),
		"RNFR not done": once("RNFR", ftptest.CutControl, ""),
		"MFMT done":     once("MFMT", ftptest.DropFinalReply, ""),
		"MFMT not done": once("MFMT", ftptest.CutControl, ""),
		"MKD done":      once("MKD", ftptest.DropFinalReply, ""),
		"MKD not done":  once("MKD", ftptest.CutControl, ""),
	} {
		for _, remote := range []string{"g", "a/b/c/g"} {
			srv, client := serve(t, ftptest.Options{}, impatient)
			opts := &ftpclient.TransferOptions{Existing: ftpclient.FailExisting, PreserveTime: true}
			local := localFile(t, content)
			write(t, filepath.Dir(local), filepath.Base(local), content, 9) // a time that no upload gets by itself
			send := map[string]func() (*ftpclient.Result, error){
				"file": func() (*ftpclient.Result, error) {
					return client.Upload(t.Context(), "srv", local, remote, opts)
				},
				"reader": func() (*ftpclient.Result, error) {
					return client.UploadFrom(t.Context(), "srv", io.MultiReader(bytes.NewReader(content)), remote, opts)
				},
			}
			for from, call := range send {
				for _, reused := range []bool{false, true} {
					what := fmt.Sprintf("%s: %s from %s, reused %v", what, remote, from, reused)
					require.NoError(t, os.RemoveAll(filepath.Join(srv.Dir(), strings.Split(remote, "/")[0])))
					srv.SetFaults(f)
					if reused {
						require.NoError(t, client.Ping(t.Context(), "srv"))
					}
					result, err := call()
					require.NoError(t, err, what)
					onlyFile(t, filepath.Join(srv.Dir(), remote), content)
					assert.EqualValues(t, len(content), result.Transferred, what)
					assert.EqualValues(t, len(content), result.Bytes, what)
					assert.Equal(t, ftpclient.VerifiedSize, result.Verification.Method, what)
				}
			}
		}
	}
}

func TestAReplacedFileIsNeverLostOnAServerThatRefusesToRenameOverIt(t *testing.T) {
	renames := func(n int) ftptest.Fault { return ftptest.Fault{Cmd: "RNTO", Skip: n, Times: 1} }
	with := func(f ftptest.Fault, do ftptest.Action, reply string) ftptest.Fault {
		f.Do, f.Reply = do, reply
		return f
	}
	for _, c := range []struct {
		what  string
		fault ftptest.Fault
		ok    bool
	}{
		{"lost at the first", with(renames(0), ftptest.CutControl, ""), true},
		{"lost after the old one went aside", with(renames(1), ftptest.DropFinalReply, ""), true},
		{"lost before the old one went aside", with(renames(1), ftptest.CutControl, ""), true},
		{"lost after the new one came", with(renames(2), ftptest.DropFinalReply, ""), true},
		{"lost before the new one came", with(renames(2), ftptest.CutControl, ""), true},
		{"lost after the old one was removed", once("DELE", ftptest.DropFinalReply, ""), true},
		{"lost before the old one was removed", once("DELE", ftptest.CutControl, ""), true},
		{"the old one stays", with(renames(1), ftptest.Refuse, "550 No"), false},
		{"the new one is refused", with(renames(2), ftptest.Refuse, "550 No"), false},
	} {
		srv, client := serve(t, ftptest.Options{RenameRefusesExisting: true, Faults: []ftptest.Fault{c.fault}})
		put(t, srv, "g", []byte("old"))
		_, err := client.UploadFrom(t.Context(), "srv", strings.NewReader("new"), "g", nil)
		if c.ok {
			require.NoError(t, err, c.what)
			onlyFile(t, filepath.Join(srv.Dir(), "g"), []byte("new"))
		} else {
			require.Error(t, err, c.what)
			onlyFile(t, filepath.Join(srv.Dir(), "g"), []byte("old"))
		}
		assert.Equal(t, 1, srv.Stats().Faults, c.what)
	}
}

func TestAnUploadThatCannotBeRenamedLeavesTheTargetWhereItIs(t *testing.T) {
	refusal := ftptest.Fault{Cmd: "RNFR", Path: "ftpclient-part", Do: ftptest.Refuse, Reply: "550 No"}
	srv, client := serve(t, ftptest.Options{Faults: []ftptest.Fault{refusal}})
	put(t, srv, "g", []byte("old"))
	_, err := client.UploadFrom(t.Context(), "srv", strings.NewReader("new"), "g", nil)
	require.Error(t, err)
	onlyFile(t, filepath.Join(srv.Dir(), "g"), []byte("old"))
	assert.NotContains(t, srv.Stats().Log, "RNFR g", "moving the old one out of the way would help nobody")
}

func TestADirectoryUnderTheTargetsNameIsNotMovedAway(t *testing.T) {
	tellsItsSize := func(cmd, arg string) (string, bool) { return "213 4096", cmd == "SIZE" && arg == "g" }
	for _, o := range []ftptest.Options{
		{},
		{RenameRefusesExisting: true},
		{RenameRefusesExisting: true, Command: tellsItsSize},
		{Faults: []ftptest.Fault{always("RNTO", ftptest.Refuse, "451 Is a directory")}}, // Pure-FTPd
	} {
		srv, client := serve(t, o)
		require.NoError(t, os.MkdirAll(filepath.Join(srv.Dir(), "g", "inside"), 0o755))
		result, err := client.Upload(t.Context(), "srv", localFile(t, []byte("new")), "g", &ftpclient.TransferOptions{InPlace: true})
		require.ErrorContains(t, err, "is a directory")
		assert.False(t, ftpclient.Retryable(err))
		assert.Equal(t, 1, result.Attempts)
		assert.Equal(t, []string{"g"}, names(t, srv.Dir()))
		assert.DirExists(t, filepath.Join(srv.Dir(), "g", "inside"))
	}
}

func TestInPlaceWritesToTheTargetWhereNothingCanBeRenamed(t *testing.T) {
	content := randomBytes(t, 2*mib)
	srv, client := serve(t, ftptest.Options{NoRename: true})
	put(t, srv, "g", []byte("old"))
	srv.SetFaults(ftptest.Fault{Cmd: "STOR", Skip: 1, Times: 1, After: mib, Do: ftptest.CutBoth})
	result, err := client.Upload(t.Context(), "srv", localFile(t, content), "g", &ftpclient.TransferOptions{InPlace: true, Existing: ftpclient.SkipSame})
	require.NoError(t, err)
	onlyFile(t, filepath.Join(srv.Dir(), "g"), content)
	assert.Equal(t, ftpclient.VerifiedSize, result.Verification.Method)
	assert.Equal(t, 2, result.Attempts)

	srv.SetFaults(ftptest.Fault{Cmd: "STOR", Skip: 1, Times: 1, After: mib, Do: ftptest.CutDataSilently})
	_, err = client.UploadFrom(t.Context(), "srv", bytes.NewReader(content[1:]), "g", &ftpclient.TransferOptions{InPlace: true})
	require.NoError(t, err)
	onlyFile(t, filepath.Join(srv.Dir(), "g"), content[1:])

	srv.SetFaults()
	_, err = client.UploadFrom(t.Context(), "srv", io.MultiReader(bytes.NewReader(content)), "g", &ftpclient.TransferOptions{InPlace: true})
	require.Error(t, err, "it cannot be read a second time")
	onlyFile(t, filepath.Join(srv.Dir(), "g"), content[1:])
}

func TestTheExistingPolicyHoldsForUploads(t *testing.T) {
	local := localFile(t, []byte("new"))
	for _, o := range []ftptest.Options{{}, {NoMLSD: true}} {
		srv, client := serve(t, o)
		send := func(policy ftpclient.ExistingPolicy) (*ftpclient.Result, error) {
			t.Helper()
			srv.SetFaults(once("EPSV", ftptest.CutControl, ""), once("MLST", ftptest.CutControl, ""), once("CWD", ftptest.CutControl, ""))
			client = connect(t, srv, ftptest.Plain) // whose first attempt is lost: the policy must hold for the second one
			return client.Upload(t.Context(), "srv", local, "g", &ftpclient.TransferOptions{Existing: policy})
		}
		_, err := send(ftpclient.FailExisting)
		require.NoError(t, err)
		onlyFile(t, filepath.Join(srv.Dir(), "g"), []byte("new"))

		put(t, srv, "g", []byte("old"))
		_, err = send(ftpclient.FailExisting)
		require.ErrorIs(t, err, fs.ErrExist)
		onlyFile(t, filepath.Join(srv.Dir(), "g"), []byte("old"))
		result, err := send(ftpclient.SkipExisting)
		require.NoError(t, err)
		assert.True(t, result.Skipped)
		assert.EqualValues(t, 3, result.Bytes)
		onlyFile(t, filepath.Join(srv.Dir(), "g"), []byte("old"))
		result, err = send(ftpclient.SkipSame)
		require.NoError(t, err)
		assert.False(t, result.Skipped)
		onlyFile(t, filepath.Join(srv.Dir(), "g"), []byte("new"))
		result, err = send(ftpclient.SkipSame)
		require.NoError(t, err)
		assert.True(t, result.Skipped, "the first one gave it the source's time")
	}
}

func TestARemoteTargetThatAppearsMeanwhileIsNotReplaced(t *testing.T) {
	noSizes := func(cmd, _ string) (string, bool) { return "502 no", cmd == "SIZE" }
	for what, o := range map[string]ftptest.Options{
		"MLSD": {}, "LIST": {NoMLSD: true}, "refuses to rename over": {RenameRefusesExisting: true}, "no sizes": {Command: noSizes},
	} {
		for _, policy := range []ftpclient.ExistingPolicy{ftpclient.FailExisting, ftpclient.SkipExisting} {
			dir := t.TempDir()
			var stored atomic.Bool
			o.Dir, o.OnCommand = dir, func(cmd, _ string) {
				if cmd == "STOR" && stored.CompareAndSwap(false, true) {
					write(t, dir, "g", []byte("somebody's"), 1)
				}
			}
			_, client := serve(t, o)
			result, err := client.UploadFrom(t.Context(), "srv", strings.NewReader("new"), "g", &ftpclient.TransferOptions{Existing: policy})
			if policy == ftpclient.FailExisting {
				require.ErrorIs(t, err, fs.ErrExist, what)
			} else {
				require.NoError(t, err, what)
				assert.Equal(t, "exists", result.SkipReason, what)
				assert.EqualValues(t, len("somebody's"), result.Bytes, what)
				assert.Equal(t, ftpclient.VerifiedNone, result.Verification.Method, what)
			}
			onlyFile(t, filepath.Join(dir, "g"), []byte("somebody's"))
			require.NoError(t, client.Ping(t.Context(), "srv"), what)
		}
	}
}

func TestALocalSourceThatIsNoFileIsRefused(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	for what, local := range map[string]string{
		"absent": filepath.Join(t.TempDir(), "absent"), "a directory": t.TempDir(), "no name": "", "a device": os.DevNull,
	} {
		_, err := client.Upload(t.Context(), "srv", local, "g", nil)
		require.Error(t, err, what)
		assert.Equal(t, what == "absent", errors.Is(err, fs.ErrNotExist), what)
		assert.False(t, ftpclient.Retryable(err), what)
	}
	assert.Zero(t, srv.Stats().Conns)
}

func TestLongRemoteNamesAreUploadedOrRefused(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	long := strings.Repeat("n", 255)
	_, err := client.UploadFrom(t.Context(), "srv", strings.NewReader("content"), long, nil)
	require.NoError(t, err)
	onlyFile(t, filepath.Join(srv.Dir(), long), []byte("content"))
	_, err = client.UploadFrom(t.Context(), "srv", strings.NewReader("content"), long+"n", nil)
	require.Error(t, err)
	assert.Equal(t, []string{long}, names(t, srv.Dir()))
}

func TestUploadsSideBySideIntoAMissingFolderAllArrive(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	for round := range 20 {
		var all sync.WaitGroup
		errs := make([]error, 5)
		for i := range errs {
			all.Go(func() {
				_, errs[i] = client.UploadFrom(t.Context(), "srv", strings.NewReader("x"), fmt.Sprintf("%d/a/b/%d", round, i), nil)
			})
		}
		all.Wait()
		require.NoError(t, errors.Join(errs...))
		assert.Len(t, names(t, filepath.Join(srv.Dir(), strconv.Itoa(round), "a", "b")), 5)
	}
}

func TestAFolderWhoseNameEndsInADotIsMadeAsItIs(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	_, err := client.UploadFrom(t.Context(), "srv", strings.NewReader("x"), "Acme Inc./f", nil)
	require.NoError(t, err)
	assert.FileExists(t, filepath.Join(srv.Dir(), "Acme Inc.", "f"))
	assert.NoDirExists(t, filepath.Join(srv.Dir(), "Acme Inc"))
}
