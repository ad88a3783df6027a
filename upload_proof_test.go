package ftpclient_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

// A server that says 426 or 451 has failed, however many bytes it holds: there must be a final reply that says otherwise.
func TestAFullCountIsNoUploadWithoutAFinalReply(t *testing.T) {
	content := randomBytes(t, 3*mib)
	const last = 64 << 10
	for what, tt := range map[string]struct {
		options ftptest.Options
		size    int64
		sent    int64 // again
		log     string
	}{
		"continued":         {ftptest.Options{}, 3 * mib, last, "REST 3080192"},
		"small":             {ftptest.Options{}, 1000, 1000, ""},
		"empty":             {ftptest.Options{}, 0, 0, ""},
		"REST+STOR refused": {ftptest.Options{RestStorRefused: true}, 3 * mib, 3 * mib, ""}, // APPE would make it longer
		"neither":           {ftptest.Options{RestStorRefused: true, NoAppend: true}, 3 * mib, 3 * mib, ""},
		"no REST":           {ftptest.Options{NoREST: true}, 3 * mib, 3 * mib, ""},
	} {
		for _, fault := range []ftptest.Fault{
			once("STOR", ftptest.FinalReply, "426 Broken"), once("STOR", ftptest.FinalReply, "451 Broken"), once("STOR", ftptest.DropFinalReply, ""),
		} {
			tt.options.Faults = []ftptest.Fault{fault}
			srv, client := serve(t, tt.options)
			result, err := client.Upload(t.Context(), "srv", localFile(t, content[:tt.size]), "g", nil)
			require.NoError(t, err, "%s: %s", what, fault.Reply)
			onlyFile(t, filepath.Join(srv.Dir(), "g"), content[:tt.size])
			assert.Equal(t, 2, result.Attempts, what)
			assert.Equal(t, tt.size+tt.sent, result.Transferred, "%s: %s", what, fault.Reply)
			if tt.log != "" {
				assert.Contains(t, srv.Stats().Log, tt.log, what)
			}
			assert.Zero(t, srv.Stats().Commands["APPE"], what)
		}

		tt.options.Faults = []ftptest.Fault{always("STOR", ftptest.FinalReply, "426 Broken")}
		srv, client := serve(t, tt.options)
		_, err := client.Upload(t.Context(), "srv", localFile(t, content[:tt.size]), "g", &ftpclient.TransferOptions{Verify: ftpclient.VerifyBest})
		require.ErrorContains(t, err, "426", what)
		assert.NoFileExists(t, filepath.Join(srv.Dir(), "g"), what)
	}
}

// So must one that an earlier call left.
func TestAWholePartialOfAnEarlierCallIsFinishedByAFinalReply(t *testing.T) {
	content := randomBytes(t, 3*mib)
	local := localFile(t, content)
	srv, client := serve(t, ftptest.Options{})
	left := leaveUpload(t, srv, client, local)
	put(t, srv, left, content)
	srv.SetFaults(always("STOR", ftptest.FinalReply, "451 Disk trouble"))
	resume := &ftpclient.TransferOptions{Resume: true}
	_, err := client.Upload(t.Context(), "srv", local, "g", resume)
	require.ErrorContains(t, err, "451")
	_, err = os.Stat(filepath.Join(srv.Dir(), "g"))
	require.ErrorIs(t, err, os.ErrNotExist)
	srv.SetFaults()
	_, err = client.Upload(t.Context(), "srv", local, "g", resume)
	require.NoError(t, err)
	onlyFile(t, filepath.Join(srv.Dir(), "g"), content)
}

// A server that refuses to tell a size has not said that there is nothing.
func TestAFileIsReplacedWhereTheServerRefusesBothItsSizeAndARenameOverIt(t *testing.T) {
	sizeRefused := func(reply string) func(cmd, arg string) (string, bool) {
		return func(cmd, arg string) (string, bool) { return reply, cmd == "SIZE" && arg == "g" }
	}
	for what, o := range map[string]ftptest.Options{
		"no SIZE":            {HideFeatures: []string{"SIZE"}},
		"SIZE refused":       {Command: sizeRefused("550 SIZE not allowed in ASCII mode")},
		"SIZE forbidden":     {Command: sizeRefused("550 Permission denied")},
		"and no MLST":        {Command: sizeRefused("550 Could not get file size."), NoMLSD: true},
		"and nothing listed": {Command: sizeRefused("550 No"), NoMLSD: true, Faults: []ftptest.Fault{always("LIST", ftptest.Refuse, "550 No")}},
	} {
		o.RenameRefusesExisting = true
		srv, client := serve(t, o)
		put(t, srv, "g", []byte("old"))
		_, err := client.UploadFrom(t.Context(), "srv", strings.NewReader("new"), "g", nil)
		require.NoError(t, err, what)
		onlyFile(t, filepath.Join(srv.Dir(), "g"), []byte("new"))
	}
}

func TestNothingIsMovedAsideWhereNothingIsInTheWay(t *testing.T) {
	for _, inPlace := range []bool{false, true} {
		srv, client := serve(t, ftptest.Options{Faults: []ftptest.Fault{always("RNTO", ftptest.Refuse, "550 No")}})
		_, err := client.UploadFrom(t.Context(), "srv", strings.NewReader("new"), "g", &ftpclient.TransferOptions{InPlace: inPlace})
		assert.Equal(t, 1, srv.Stats().Commands["RNTO"])
		if inPlace {
			require.NoError(t, err)
			onlyFile(t, filepath.Join(srv.Dir(), "g"), []byte("new"))
			continue
		}
		require.ErrorContains(t, err, "refuses to rename")
		assert.Empty(t, names(t, srv.Dir()))
	}
}

// The lock cannot see that two ways to write a path lead to one file; the temporary files are two all the same.
func TestTwoWaysToWriteATargetShareNoTemporaryFile(t *testing.T) {
	content := randomBytes(t, 2*mib)
	local := localFile(t, content)
	for what, send := range map[string]func(client *ftpclient.Client, remote string) error{
		"upload": func(client *ftpclient.Client, remote string) error {
			_, err := client.Upload(t.Context(), "b", local, remote, nil)
			return err
		},
		"copy": func(client *ftpclient.Client, remote string) error {
			_, err := client.Copy(t.Context(), "a", "f", "b", remote, nil)
			return err
		},
	} {
		from, srv, client := two(t, ftptest.Options{}, ftptest.Options{DataRate: 4 << 20})
		put(t, from, "f", content)
		var all sync.WaitGroup
		for _, remote := range []string{"g", "/g"} {
			all.Go(func() { assert.NoError(t, send(client, remote), what) })
		}
		all.Wait()
		onlyFile(t, filepath.Join(srv.Dir(), "g"), content)
		sent := map[string]bool{}
		for _, line := range srv.Stats().Log {
			if name, ok := strings.CutPrefix(line, "STOR "); ok {
				sent[strings.TrimPrefix(name, "/")] = true
			}
		}
		assert.Len(t, sent, 2, what)
	}
}

// late is a connection whose first write comes a little late, as of a client that reads from a slow disk.
type late struct {
	net.Conn
	once sync.Once
}

func (l *late) Write(p []byte) (int, error) {
	l.once.Do(func() { <-time.After(100 * time.Millisecond) })
	return l.Conn.Write(p)
}

// lateData makes all data connections late. They are no plain sockets either: what is sent goes through a buffer.
func lateData(c *ftpclient.ServerConfig) {
	control := ""
	c.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if control == "" {
			control = addr
		}
		if err != nil || addr == control {
			return conn, err
		}
		return &late{Conn: conn}, nil
	}
}

// A transfer that was granted and fails at the first write has read from its source and sent nothing.
func TestWhatWasReadAndNotSentIsSentAgain(t *testing.T) {
	for what, tt := range map[string]struct {
		size   int
		once   bool // the source is a reader that cannot be read again
		faults []ftptest.Fault
		final  string // in place of 426; "": that
		hidden []string
		sends  int // 0: the upload fails
	}{
		"continued":                  {4 * mib, false, []ftptest.Fault{cut("STOR", 2*mib), once("STOR", ftptest.ResetData, "")}, "", nil, 3},
		"small":                      {1000, false, []ftptest.Fault{once("STOR", ftptest.ResetData, "")}, "550 Cannot create", nil, 2},
		"refused like a missing one": {mib, true, []ftptest.Fault{once("STOR", ftptest.ResetData, "")}, "550 Cannot create", nil, 0},
		"and there is no SIZE":       {mib, true, []ftptest.Fault{once("STOR", ftptest.ResetData, "")}, "553 Cannot create", []string{"SIZE"}, 0},
	} {
		for _, verify := range []ftpclient.VerifyMode{ftpclient.VerifySize, ftpclient.VerifyNone} {
			content := randomBytes(t, tt.size)
			srv, client := serve(t, ftptest.Options{HideFeatures: tt.hidden, Reply: func(cmd, _ string, reply []byte) []byte {
				if tt.final != "" && cmd == "STOR" && bytes.HasPrefix(reply, []byte("426")) {
					return []byte(tt.final + "\r\n")
				}
				return reply
			}}, lateData)
			srv.SetFaults(tt.faults...)
			opts := &ftpclient.TransferOptions{Verify: verify}
			var err error
			if tt.once {
				_, err = client.UploadFrom(t.Context(), "srv", io.MultiReader(bytes.NewReader(content)), "g", opts)
			} else {
				_, err = client.Upload(t.Context(), "srv", localFile(t, content), "g", opts)
			}
			if tt.sends == 0 {
				require.Error(t, err, what)
				assert.Empty(t, names(t, srv.Dir()), what)
				continue
			}
			require.NoError(t, err, what)
			onlyFile(t, filepath.Join(srv.Dir(), "g"), content)
			assert.Equal(t, tt.sends, srv.Stats().Commands["STOR"], what)
		}
	}
}

// A server that is busy has not said that it tells no sizes.
func TestASizeThatIsRefusedForNowIsAskedForAgain(t *testing.T) {
	content := randomBytes(t, 3*mib)
	busy := func(after int) ftptest.Fault {
		return ftptest.Fault{Cmd: "SIZE", Skip: after, Times: 1, Do: ftptest.Refuse, Reply: "450 Busy"}
	}
	for what, tt := range map[string]struct {
		faults []ftptest.Fault
		once   bool // the source is a reader that cannot be read again
		moved  int64
	}{
		"of a short upload": {[]ftptest.Fault{{Cmd: "STOR", Times: 1, After: mib, Do: ftptest.CutDataSilently}, busy(0)}, false, 5 * mib},
		"of what is left":   {[]ftptest.Fault{cut("STOR", 2*mib), busy(0)}, false, 4 * mib},
		"of what was sent":  {[]ftptest.Fault{busy(0)}, true, 3 * mib},
		"of what was here":  {[]ftptest.Fault{once("RNTO", ftptest.CutControl, ""), busy(1)}, true, 3 * mib},
		"of what is there":  {[]ftptest.Fault{once("RNTO", ftptest.DropFinalReply, ""), busy(2)}, true, 3 * mib},
	} {
		srv, client := serve(t, ftptest.Options{Faults: tt.faults})
		var result *ftpclient.Result
		var err error
		if tt.once {
			result, err = client.UploadFrom(t.Context(), "srv", io.MultiReader(bytes.NewReader(content)), "g", nil)
		} else {
			result, err = client.Upload(t.Context(), "srv", localFile(t, content), "g", nil)
		}
		require.NoError(t, err, what)
		onlyFile(t, filepath.Join(srv.Dir(), "g"), content)
		assert.Equal(t, ftpclient.VerifiedSize, result.Verification.Method, what)
		assert.Equal(t, len(tt.faults), srv.Stats().Faults, what)
		assert.LessOrEqual(t, result.Transferred, tt.moved, what)
	}

	srv, client := serve(t, ftptest.Options{Faults: []ftptest.Fault{always("SIZE", ftptest.Refuse, "450 Busy")}})
	_, err := client.Upload(t.Context(), "srv", localFile(t, content), "g", nil)
	require.ErrorContains(t, err, "450")
	assert.True(t, ftpclient.Retryable(err))
	assert.NoFileExists(t, filepath.Join(srv.Dir(), "g"))
}

// The old file may well have the size of the new one.
func TestAnOldFileIsNotTakenForTheNewOneWhereTheTemporaryNameIsHidden(t *testing.T) {
	hides := func(cmd, arg string) (string, bool) {
		return "550 No such file", (cmd == "SIZE" || cmd == "MDTM") && strings.HasPrefix(path.Base(arg), ".")
	}
	for _, verify := range []ftpclient.VerifyMode{ftpclient.VerifySize, ftpclient.VerifyNone} {
		content := randomBytes(t, 1000)
		srv, client := serve(t, ftptest.Options{Command: hides})
		put(t, srv, "g", randomBytes(t, 1000))
		srv.SetFaults(once("RNTO", ftptest.CutControl, ""))
		_, err := client.Upload(t.Context(), "srv", localFile(t, content), "g", &ftpclient.TransferOptions{Verify: verify})
		require.NoError(t, err, verify)
		onlyFile(t, filepath.Join(srv.Dir(), "g"), content)
	}
}

// The server has not answered RNTO when its reply is given up, and does it later.
func TestARenameThatIsDoneLateIsDone(t *testing.T) {
	content := randomBytes(t, 100<<10)
	for _, late := range []string{"RNFR", "RNTO"} { // of the second try: what it finds to be done
		for _, refuses := range []bool{false, true} {
			var seen atomic.Int32
			var given atomic.Bool
			release := make(chan struct{})
			dir := t.TempDir()
			srv, client := serve(t, ftptest.Options{Dir: dir, RenameRefusesExisting: refuses, OnCommand: func(cmd, _ string) {
				if cmd == late && seen.Add(1) == 2 {
					close(release)
					for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); <-time.After(time.Millisecond) {
						if _, err := os.Stat(filepath.Join(dir, "g")); err == nil {
							return
						}
					}
				} else if cmd == "RNTO" && given.CompareAndSwap(false, true) {
					<-release
				}
			}}, impatient)
			_, err := client.UploadFrom(t.Context(), "srv", io.MultiReader(bytes.NewReader(content)), "g", nil)
			require.NoError(t, err, "%s %v", late, refuses)
			onlyFile(t, filepath.Join(dir, "g"), content)
			assert.Zero(t, srv.Stats().Commands["DELE"], "nothing was moved out of the way")
		}
	}
}

// A refusal is the server's word, and no proof that it did nothing.
func TestARenameThatWasDoneThoughTheServerRefusedIsDone(t *testing.T) {
	for _, reply := range []string{"550 Odd", "451 Odd"} {
		for _, policy := range []ftpclient.ExistingPolicy{ftpclient.Overwrite, ftpclient.FailExisting} { // with and without RNFR ahead
			srv, client := serve(t, ftptest.Options{Faults: []ftptest.Fault{once("RNTO", ftptest.FinalReply, reply)}})
			if policy == ftpclient.Overwrite {
				put(t, srv, "g", []byte("old"))
			}
			_, err := client.UploadFrom(t.Context(), "srv", io.MultiReader(strings.NewReader("new")), "g", &ftpclient.TransferOptions{Existing: policy})
			require.NoError(t, err, reply)
			onlyFile(t, filepath.Join(srv.Dir(), "g"), []byte("new"))
			assert.Equal(t, 1, srv.Stats().Commands["RNTO"], reply)
		}
	}
}

func TestAnOldFileThatWentAsideThoughTheServerRefusedIsSpokenOf(t *testing.T) {
	for reply, ok := range map[string]bool{"550 Done, but": false, "451 Done, but": true} { // the second is tried again
		srv, client := serve(t, ftptest.Options{RenameRefusesExisting: true, Faults: []ftptest.Fault{
			{Cmd: "RNTO", Skip: 1, Times: 1, Do: ftptest.FinalReply, Reply: reply},
		}})
		put(t, srv, "g", []byte("old"))
		_, err := client.UploadFrom(t.Context(), "srv", strings.NewReader("new"), "g", nil)
		if ok {
			require.NoError(t, err)
			onlyFile(t, filepath.Join(srv.Dir(), "g"), []byte("new"))
			continue
		}
		left := names(t, srv.Dir())
		require.Len(t, left, 1)
		require.ErrorContains(t, err, left[0])
		onlyFile(t, filepath.Join(srv.Dir(), left[0]), []byte("old"))
	}
}

// Without SIZE only the names tell, and with FailExisting nothing was there before.
func TestAFileOfOurOwnIsNoneThatExistedWhereNoSizeIsTold(t *testing.T) {
	content := randomBytes(t, 1000)
	for what, fault := range map[string]ftptest.Fault{
		"RNTO done":     once("RNTO", ftptest.DropFinalReply, ""),
		"RNTO not done": once("RNTO", ftptest.CutControl, ""),
	} {
		srv, client := serve(t, ftptest.Options{HideFeatures: []string{"SIZE"}, Faults: []ftptest.Fault{fault}})
		r := io.MultiReader(bytes.NewReader(content))
		_, err := client.UploadFrom(t.Context(), "srv", r, "g", &ftpclient.TransferOptions{Existing: ftpclient.FailExisting})
		require.NoError(t, err, what)
		onlyFile(t, filepath.Join(srv.Dir(), "g"), content)
	}
}

func TestWhatACallLeftUnderAnotherTemporaryNameIsContinued(t *testing.T) {
	content := randomBytes(t, 3*mib)
	srv, client := serve(t, ftptest.Options{})
	local := localFile(t, content)
	resume := &ftpclient.TransferOptions{Resume: true, Retry: never()}
	put(t, srv, leaveUpload(t, srv, client, local), randomBytes(t, 2*mib)) // of something else
	srv.SetFaults(cut("STOR", 2*mib))
	_, err := client.Upload(t.Context(), "srv", local, "g", resume)
	require.Error(t, err)
	result, err := client.Upload(t.Context(), "srv", local, "g", resume)
	require.NoError(t, err)
	assert.EqualValues(t, 2*mib, result.ResumedFrom)
	onlyFile(t, filepath.Join(srv.Dir(), "g"), content)

	trips := map[bool]int{} // where nothing was left
	for _, resumes := range []bool{false, true} {
		srv.ResetStats()
		_, err = client.Upload(t.Context(), "srv", local, fmt.Sprint("h", resumes), &ftpclient.TransferOptions{Resume: resumes})
		require.NoError(t, err)
		trips[resumes] = srv.Stats().RoundTrips
	}
	assert.LessOrEqual(t, trips[true], trips[false]+1, "both names are asked for at once")
}

// What comes back from the beginning is no partial that is growing.
func TestAnUploadStartsOverWhereItsEndCannotBeReadBack(t *testing.T) {
	content := randomBytes(t, 3*mib)
	srv, client := serve(t, ftptest.Options{Command: func(cmd, arg string) (string, bool) {
		return "350 Restarting", cmd == "REST" && arg != "0" // and begins at 0
	}, Faults: []ftptest.Fault{cut("STOR", 2*mib)}})
	result, err := client.Upload(t.Context(), "srv", localFile(t, content), "g", nil)
	require.NoError(t, err)
	onlyFile(t, filepath.Join(srv.Dir(), "g"), content)
	assert.Contains(t, result.RestartReason, "differs")
	assert.Equal(t, 2, result.Attempts)
}
