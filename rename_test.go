package ftpclient_test

import (
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

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
