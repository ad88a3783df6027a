package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/ftptest"
)

func TestFilesAreCopiedBothWaysUnderTheNamesAskedFor(t *testing.T) {
	srv := serve(t, ftptest.Options{})
	file := content(100_000)
	write(t, srv.Dir(), "pub/中文 file.bin", file)
	from := srv.URL("pub/中文 file.bin")
	dir := t.TempDir()

	o := ftpcp(t, "get", from, filepath.Join(dir, "new", "name.bin"))
	o.succeeds(t)
	holds(t, file, dir, "new", "name.bin")
	assert.Empty(t, o.stdout)
	assert.Contains(t, o.stderr, "100000 bytes, checked: size only")

	o = ftpcp(t, "get", "-quiet", from, dir)
	o.succeeds(t)
	holds(t, file, dir, "中文 file.bin")
	assert.Empty(t, o.stdout+o.stderr)

	ftpcp(t, "get", from, filepath.Join(dir, "missing")+"/").succeeds(t)
	holds(t, file, dir, "missing", "中文 file.bin")

	local := filepath.Join(dir, "new", "name.bin")
	ftpcp(t, "put", local, srv.URL("a/b/c.bin")).succeeds(t)
	holds(t, file, srv.Dir(), "a", "b", "c.bin")
	ftpcp(t, "put", local, srv.URL("a/")).succeeds(t)
	holds(t, file, srv.Dir(), "a", "name.bin")
	ftpcp(t, "-quiet", "put", local, srv.URL("")).succeeds(t)
	holds(t, file, srv.Dir(), "name.bin")
}

func TestANameThatCannotBeLocalNeedsAnotherOne(t *testing.T) {
	srv := serve(t, ftptest.Options{})
	write(t, srv.Dir(), `c:x`, content(10))
	dir := t.TempDir()
	ftpcp(t, "get", srv.URL("c:x"), dir).fails(t, 1, "LOCAL is a folder")
	ftpcp(t, "get", srv.URL("c:x"), filepath.Join(dir, "x")).succeeds(t)
	holds(t, content(10), dir, "x")
}

func TestBothKindsOfTLSNeedACertificateOrAnExplicitWaiver(t *testing.T) {
	for _, mode := range []ftptest.TLSMode{ftptest.Explicit, ftptest.Implicit} {
		srv := serve(t, ftptest.Options{TLS: mode})
		write(t, srv.Dir(), "f", content(1000))
		local := filepath.Join(t.TempDir(), "f")
		ca := write(t, t.TempDir(), "ca.pem", srv.CertPEM())

		ftpcp(t, "get", srv.URL("f"), local).fails(t, 1, "certificate")
		assert.NoFileExists(t, local)
		for _, args := range [][]string{
			{"-insecure", "get", srv.URL("f"), local},
			{"get", "-insecure", srv.URL("f"), local},
			{"get", "-cacert", ca, srv.URL("f"), local},
		} {
			ftpcp(t, args...).succeeds(t)
			holds(t, content(1000), local)
			require.NoError(t, os.Remove(local))
		}
	}
}

func TestAWaiverIsNoNeedOfTLS(t *testing.T) {
	srv := serve(t, ftptest.Options{})
	write(t, srv.Dir(), "f", content(1000))
	local := filepath.Join(t.TempDir(), "f")
	ftpcp(t, "-insecure", "get", srv.URL("f"), local).succeeds(t)
	holds(t, content(1000), local)
}

func TestFailuresAreStatus1AndOneLine(t *testing.T) {
	srv := serve(t, ftptest.Options{})
	write(t, srv.Dir(), "dir/f", content(10))
	dir := t.TempDir()
	local := filepath.Join(dir, "f")

	ftpcp(t, "get", srv.URL("missing"), local).fails(t, 1, "missing", srv.Addr(), "file does not exist")
	ftpcp(t, "get", "-quiet", srv.URL("dir"), local).fails(t, 1, "is a directory")
	ftpcp(t, "put", filepath.Join(dir, "missing"), srv.URL("f")).fails(t, 1, "no such file")
	ftpcp(t, "put", "-quiet", dir, srv.URL("f")).fails(t, 1, "mput")
	ftpcp(t, "ls", srv.URL("missing")).fails(t, 1, "file does not exist")
	ftpcp(t, "rm", srv.URL("missing")).fails(t, 1, "file does not exist")
	ftpcp(t, "rm", srv.URL("dir")).fails(t, 1, "dir")
	ftpcp(t, "mv", srv.URL("missing"), "x").fails(t, 1, "file does not exist")
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, entries, "nothing is left of what failed")
}

// nobody listens there. A port that was closed a moment ago may be another test's by now.
const nobody = "ftp://127.0.0.1:1"

func TestAServerThatIsNotThereIsStatus1(t *testing.T) {
	ftpcp(t, "get", "-retries", "0", nobody+"/f", filepath.Join(t.TempDir(), "f")).fails(t, 1, "refused")
}

func TestAFileThatNothingProvesIsAFailure(t *testing.T) {
	srv := serve(t, ftptest.Options{
		NoMLSD: true, HideFeatures: []string{"SIZE", "MDTM"},
	})
	write(t, srv.Dir(), "f", content(1000))
	local := filepath.Join(t.TempDir(), "f")
	ftpcp(t, "get", "-quiet", srv.URL("f"), local).fails(t, 1, "nothing proves that it is whole")
	holds(t, content(1000), local)
}

func TestAnInterruptedTransferIsContinuedByResume(t *testing.T) {
	const size, kept = 1 << 20, 600_000
	file := content(size)
	for _, verb := range []string{"get", "put"} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		srv := serve(t, ftptest.Options{Faults: []ftptest.Fault{
			{Cmd: map[string]string{"get": "RETR", "put": "STOR"}[verb], Do: ftptest.StallData, After: kept, Times: 1},
		}})
		local, remote := filepath.Join(t.TempDir(), "f"), filepath.Join(srv.Dir(), "f")
		source, target, args := remote, local, []string{srv.URL("f"), local}
		if verb == "put" {
			source, target, args = local, remote, []string{local, srv.URL("f")}
		}
		require.NoError(t, os.WriteFile(source, file, 0o600))
		interrupted := make(chan outcome)
		go func() { interrupted <- ftpcpIn(t, ctx, nil, append([]string{verb, "-quiet"}, args...)...) }()
		require.Eventually(t, func() bool { return hidden(t, filepath.Dir(target)) >= kept }, waitTime, tick)
		cancel()
		(<-interrupted).fails(t, 1, "interrupted", "-resume")
		assert.NoFileExists(t, target)

		srv.ResetStats()
		o := ftpcp(t, append([]string{verb, "-resume"}, args...)...)
		o.succeeds(t)
		holds(t, file, target)
		assert.Contains(t, o.stderr, "resumed at", verb)
		assert.Zero(t, hidden(t, filepath.Dir(target)), "no partial is left")
	}
}

// hidden is the size of the partial in a folder.
func hidden(t *testing.T, dir string) int64 {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var size int64
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if info, err := e.Info(); err == nil {
			size = max(size, info.Size())
		}
	}
	return size
}

func TestAFileIsFetchedOverAsManyConnectionsAsAskedFor(t *testing.T) {
	srv := serve(t, ftptest.Options{DataRate: 8 << 20})
	file := content(8 << 20)
	write(t, srv.Dir(), "f", file)
	dir := t.TempDir()
	ftpcp(t, "get", "-segments", "8", srv.URL("f"), dir).succeeds(t)
	holds(t, file, dir, "f")
	assert.Equal(t, 8, srv.Stats().MaxOpen)
	ftpcp(t, "get", "-segments", "0", srv.URL("f"), dir).fails(t, 2, "-segments")
}
