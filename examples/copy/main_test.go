package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/corexalgo/ftpclient/internal/ftptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFilesAreCopiedAndWhatFailsStopsNothing(t *testing.T) {
	from, to := ftptest.Start(t, ftptest.Options{}), ftptest.Start(t, ftptest.Options{Password: "other", Hash: true})
	for _, name := range []string{"a", "b"} {
		require.NoError(t, os.WriteFile(filepath.Join(from.Dir(), name), []byte("content of "+name), 0o600))
	}
	config := filepath.Join(t.TempDir(), "servers.yaml")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `
servers:
  old: {host: %q, port: %d, username: %s, password: %s}
  new: {host: %q, port: %d, username: %s, password: %s}
`, from.Host(), from.Port(), from.User(), from.Password(), to.Host(), to.Port(), to.User(), to.Password()), 0o600))

	err := copyAll(t.Context(), config, "old", "new", []string{"a", "missing", "b"})
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, "missing")
	for _, name := range []string{"a", "b"} {
		got, err := os.ReadFile(filepath.Join(to.Dir(), name))
		require.NoError(t, err)
		assert.Equal(t, "content of "+name, string(got))
	}
}
