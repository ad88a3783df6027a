package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/corexalgo/ftpclient/internal/ftptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFilesAreToldOfAndFailuresListedAndTheNextRunFetchesTheRest(t *testing.T) {
	srv := ftptest.Start(t, ftptest.Options{Faults: []ftptest.Fault{
		{Cmd: "RETR", Path: "b.txt", Do: ftptest.Refuse, Reply: "553 not today"},
	}})
	for _, name := range []string{"reports/a.txt", "reports/b.txt", "reports/2026/c.txt"} {
		file := filepath.Join(srv.Dir(), name)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(name), 0o600))
	}
	folder := filepath.Join(t.TempDir(), "here")

	var out bytes.Buffer
	require.Error(t, fetch(t.Context(), srv.URL("reports"), folder, &out))
	assert.Contains(t, out.String(), "fetched  reports/2026/c.txt: 18 bytes\n")
	assert.Contains(t, out.String(), "failed   reports/b.txt\n")
	assert.Regexp(t, `here/b\.txt: .*553 not today\n2 fetched, 0 skipped, 1 failed in `, out.String())
	assert.FileExists(t, filepath.Join(folder, "a.txt"))
	assert.NoFileExists(t, filepath.Join(folder, "b.txt"))

	srv.SetFaults()
	out.Reset()
	require.NoError(t, fetch(t.Context(), srv.URL("reports"), folder, &out))
	assert.Contains(t, out.String(), "skipped  reports/a.txt: same size and time\n")
	assert.Contains(t, out.String(), "1 fetched, 2 skipped, 0 failed in ")
	got, err := os.ReadFile(filepath.Join(folder, "b.txt"))
	require.NoError(t, err)
	assert.Equal(t, "reports/b.txt", string(got))
	assert.NotContains(t, out.String(), srv.Password())
}
