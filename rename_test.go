package ftpclient_test

import (
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

// What the connection was lost at, and whether the name was there to begin with.
func TestARenameIsDoneOnlyIfThereWasSomethingToRename(t *testing.T) {
	for what, fault := range map[string]ftptest.Fault{
		"RNFR not done": once("RNFR", ftptest.CutControl, ""),
		"RNFR done":     once("RNFR", ftptest.DropFinalReply, ""),
		"RNTO not done": once("RNTO", ftptest.CutControl, ""),
		"RNTO done":     once("RNTO", ftptest.DropFinalReply, ""),
	} {
		for _, reused := range []bool{false, true} {
			srv, client := serve(t, ftptest.Options{})
			put(t, srv, "new", []byte("another's"))
			if reused {
				require.NoError(t, client.Ping(t.Context(), "srv"))
			}
			srv.SetFaults(fault)
			require.ErrorIs(t, client.Rename(t.Context(), "srv", "old", "new"), fs.ErrNotExist, what)
			assert.Equal(t, "another's", string(stored(t, srv, "new")))

			put(t, srv, "old", []byte("content"))
			srv.SetFaults(fault)
			require.NoError(t, client.Rename(t.Context(), "srv", "old", "new"), what)
			onlyFile(t, filepath.Join(srv.Dir(), "new"), []byte("content"))
			assert.Positive(t, srv.Stats().Faults, what)
		}
	}
}

// ftpserverlib keeps what a refused RNTO was to rename, and forgets it only with the next RNFR that it grants.
func TestAFileThatIsGoneDoesNotGetTheContentOfAnother(t *testing.T) {
	dir := t.TempDir()
	srv, client := serve(t, ftptest.Options{Dir: dir, OnCommand: func(cmd, arg string) {
		if cmd == "RNFR" && strings.HasPrefix(arg, ".b.") { // somebody tidies up, or moves on what has arrived
			_ = os.Remove(filepath.Join(dir, arg))
		}
	}})
	require.NoError(t, os.Mkdir(filepath.Join(dir, "a"), 0o755))
	put(t, srv, "b", []byte("old b"))
	_, err := client.Upload(t.Context(), "srv", localFile(t, []byte("content of a")), "a", nil)
	require.Error(t, err) // a directory is in the way
	_, err = client.Upload(t.Context(), "srv", localFile(t, []byte("content of b")), "b", nil)
	require.Error(t, err)
	assert.Equal(t, "old b", string(stored(t, srv, "b")))
}

func TestASurplusReplyIsNotTakenForThatToARename(t *testing.T) {
	for what, faults := range map[string][]ftptest.Fault{
		"after RNFR":      {once("RNFR", ftptest.ExtraReply, "226 Transfer complete"), once("RNTO", ftptest.Refuse, "550 No")},
		"in place of it":  {once("RNFR", ftptest.Refuse, "226 Transfer complete"), once("RNTO", ftptest.Refuse, "350 Ready")},
		"to RNTO":         {once("RNTO", ftptest.Refuse, "226 Transfer complete")},
		"that grants one": {once("RNTO", ftptest.Refuse, "350 Ready")},
	} {
		for _, policy := range []ftpclient.ExistingPolicy{ftpclient.Overwrite, ftpclient.FailExisting} { // with and without RNFR ahead
			srv, client := serve(t, ftptest.Options{Faults: faults})
			_, err := client.UploadFrom(t.Context(), "srv", io.LimitReader(strings.NewReader("new"), 3), "g", &ftpclient.TransferOptions{Existing: policy})
			if err != nil { // the second try was refused
				assert.Empty(t, names(t, srv.Dir()), what)
			} else {
				onlyFile(t, filepath.Join(srv.Dir(), "g"), []byte("new"))
			}
			assert.Equal(t, 2, srv.Stats().Conns, what)
		}
	}
}

func TestARenameThatIsRefusedForNowIsNoReasonToWriteInPlace(t *testing.T) {
	busy := func(path string, skip, times int) ftptest.Fault {
		return ftptest.Fault{Cmd: "RNFR", Path: path, Skip: skip, Times: times, Do: ftptest.Refuse, Reply: "450 In use by another process"}
	}
	for what, o := range map[string]ftptest.Options{
		"of the new one": {Faults: []ftptest.Fault{busy("ftpclient-part", 0, 3)}},
		"of the old one": {Faults: []ftptest.Fault{busy("g", 1, 1)}, RenameRefusesExisting: true},
		"onto its place": {Faults: []ftptest.Fault{{Cmd: "RNTO", Path: "g", Times: 1, Do: ftptest.Refuse, Reply: "451 Not now"}}, RenameRefusesExisting: true},
	} {
		for _, inPlace := range []bool{false, true} {
			srv, client := serve(t, o)
			put(t, srv, "g", []byte("old"))
			_, err := client.Upload(t.Context(), "srv", localFile(t, []byte("new")), "g", &ftpclient.TransferOptions{InPlace: inPlace})
			require.NoError(t, err, what)
			onlyFile(t, filepath.Join(srv.Dir(), "g"), []byte("new"))
			assert.NotContains(t, srv.Stats().Log, "STOR g", what)
		}
	}
}

// Pure-FTPd says 451 to each rename that fails, for whatever reason.
func TestARenameThatIsRefusedForNowAgainAndAgainIsRefused(t *testing.T) {
	for _, inPlace := range []bool{false, true} {
		srv, client := serve(t, ftptest.Options{Faults: []ftptest.Fault{always("RNTO", ftptest.Refuse, "451 Rename/move failure: Operation not permitted")}})
		_, err := client.Upload(t.Context(), "srv", localFile(t, []byte("new")), "g", &ftpclient.TransferOptions{InPlace: inPlace})
		if inPlace {
			require.NoError(t, err)
			onlyFile(t, filepath.Join(srv.Dir(), "g"), []byte("new"))
		} else {
			require.ErrorContains(t, err, "refuses to rename")
		}
	}
}

func TestAnOldFileThatCouldNotBeRemovedIsInNobodysWay(t *testing.T) {
	srv, client := serve(t, ftptest.Options{RenameRefusesExisting: true, Faults: []ftptest.Fault{always("DELE", ftptest.Refuse, "550 No deleting")}})
	put(t, srv, "g", []byte("old"))
	local := localFile(t, []byte("new"))
	for range 2 {
		_, err := client.Upload(t.Context(), "srv", local, "g", nil)
		require.NoError(t, err)
		assert.Equal(t, "new", string(stored(t, srv, "g")))
	}
}

func TestInPlaceWritesToTheTargetWhereTheTemporaryNameIsForbidden(t *testing.T) {
	for _, code := range []string{"550", "553"} {
		srv, client := serve(t, ftptest.Options{Command: func(cmd, arg string) (string, bool) {
			return code + " Prohibited file name: " + arg, cmd == "STOR" && strings.HasPrefix(path.Base(arg), ".")
		}})
		for _, inPlace := range []bool{false, true} {
			put(t, srv, "d/g", []byte("old"))
			_, err := client.UploadFrom(t.Context(), "srv", io.MultiReader(strings.NewReader("new")), "d/g", &ftpclient.TransferOptions{InPlace: inPlace})
			assert.Equal(t, inPlace, err == nil, "%s: %v", code, err)
			onlyFile(t, filepath.Join(srv.Dir(), "d/g"), []byte(map[bool]string{false: "old", true: "new"}[inPlace]))
		}
	}
}
