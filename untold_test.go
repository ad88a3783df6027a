package ftpclient_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

// However a server refuses for good to tell size and time, the file can be had, and the result says what proves it.
func TestAServerThatRefusesToTellOfFilesMovesThemAllTheSame(t *testing.T) {
	content := randomBytes(t, 100<<10)
	for _, reply := range []string{"530 Not for anonymous users", "550 Could not get file size", "500 What?", "502 Not implemented"} {
		for _, refused := range []string{"SIZE", "SIZE MDTM"} {
			srv, client := serve(t, ftptest.Options{Command: func(cmd, _ string) (string, bool) {
				return reply, cmd != "" && strings.Contains(refused, cmd)
			}})
			put(t, srv, "f", content)
			local := filepath.Join(t.TempDir(), "f")
			down, err := client.Download(t.Context(), "srv", "f", local, nil)
			require.NoError(t, err, reply)
			onlyFile(t, local, content)
			up, err := client.Upload(t.Context(), "srv", local, "g", nil)
			require.NoError(t, err, reply)
			assert.Equal(t, content, stored(t, srv, "g"), reply)
			for _, result := range []*ftpclient.Result{down, up} {
				assert.Equal(t, "final reply only", result.Verification.String(), reply)
				assert.Equal(t, 1, result.Attempts, reply)
			}
			stats, err := client.Stats("srv")
			require.NoError(t, err)
			assert.EqualValues(t, 1, stats.Dials, "%s: the connection is as good as before", reply)
		}
	}
}
