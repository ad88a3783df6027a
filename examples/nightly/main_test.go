package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A night is a run's surroundings: a server, and a folder with the configuration and the local side.
type night struct {
	srv *ftptest.Server
	dir string
}

func newNight(t *testing.T, mirrors string) night {
	t.Helper()
	n := night{ftptest.Start(t, ftptest.Options{}), t.TempDir()}
	t.Setenv("SHOP_PASSWORD", n.srv.Password())
	write(t, n.dir+"/servers.yaml", fmt.Sprintf("servers:\n  shop: {host: %q, port: %d, username: %s, password_env: SHOP_PASSWORD}\n",
		n.srv.Host(), n.srv.Port(), n.srv.User()))
	write(t, n.dir+"/nightly.yaml", "servers: servers.yaml\nmirrors:\n"+mirrors)
	return n
}

// run returns the exit status, the log and the output.
func (n night) run(t *testing.T, dry bool) (status int, log, out string) {
	t.Helper()
	var logged, printed bytes.Buffer
	status = run(t.Context(), slog.New(slog.NewTextHandler(&logged, nil)), &printed, n.dir+"/nightly.yaml", dry)
	assert.NotContains(t, logged.String(), n.srv.Password())
	return status, logged.String(), printed.String()
}

func write(t *testing.T, name, content string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
	require.NoError(t, os.WriteFile(name, []byte(content), 0o600))
}

func TestEachNightCopiesWhatIsNewAndDeletesWhatIsGone(t *testing.T) {
	dir := t.TempDir()
	n := newNight(t, fmt.Sprintf(`
  - {server: shop, remote: orders, local: %q, exclude: ["*.tmp"]}
  - {server: shop, direction: upload, local: %q, remote: backup, delete: true}
`, dir+"/orders", dir+"/books"))
	write(t, n.srv.Dir()+"/orders/1.csv", "one")
	write(t, n.srv.Dir()+"/orders/1.tmp", "unfinished")
	write(t, dir+"/books/2.csv", "two")
	write(t, n.srv.Dir()+"/backup/old.csv", "old")

	status, log, out := n.run(t, true)
	assert.Zero(t, status, log)
	assert.Regexp(t, `(?m)^copy +3 +1\.csv +missing$`, out)
	assert.Regexp(t, `(?m)^delete +3 +old\.csv +deleted at the source$`, out)
	assert.NoDirExists(t, dir+"/orders")
	assert.FileExists(t, n.srv.Dir()+"/backup/old.csv")

	status, log, _ = n.run(t, false)
	assert.Zero(t, status, log)
	assert.FileExists(t, dir+"/orders/1.csv")
	assert.NoFileExists(t, dir+"/orders/1.tmp")
	assert.FileExists(t, n.srv.Dir()+"/backup/2.csv")
	assert.NoFileExists(t, n.srv.Dir()+"/backup/old.csv")
	assert.Contains(t, log, "direction=upload copied=1 bytes=3 unchanged=0 deleted=1 ")

	_, log, _ = n.run(t, false)
	assert.Contains(t, log, "direction=download copied=0 bytes=0 unchanged=1 ")
	assert.Contains(t, log, "direction=upload copied=0 bytes=0 unchanged=1 deleted=0 ")
}

func TestAMirrorThatFailsIsLoggedAndStopsNoOther(t *testing.T) {
	dir := t.TempDir()
	n := newNight(t, fmt.Sprintf(`
  - {server: shop, remote: missing, local: %q}
  - {server: shop, remote: orders, local: %q}
`, dir+"/a", dir+"/b"))
	write(t, n.srv.Dir()+"/orders/bad", "x")
	write(t, n.srv.Dir()+"/orders/good", "x")
	n.srv.SetFaults(ftptest.Fault{Cmd: "RETR", Path: "bad", Do: ftptest.Refuse, Reply: "553 no"})
	status, log, _ := n.run(t, false)
	assert.Equal(t, 1, status)
	assert.Contains(t, log, `msg="no plan" server=shop remote=missing`)
	assert.Contains(t, log, "path=orders/bad")
	assert.FileExists(t, dir+"/b/good")
}

func TestAConfigurationThatMakesNoSenseIsStatus2(t *testing.T) {
	for _, mirrors := range []string{"  - {nonsense: 1}", "  - {local: x}", "  - {server: shop, local: x, direction: sideways}"} {
		status, log, _ := newNight(t, mirrors).run(t, false)
		assert.Equal(t, 2, status, mirrors)
		assert.Contains(t, log, "nightly.yaml")
	}
	n := newNight(t, "  []")
	require.NoError(t, os.Remove(n.dir+"/servers.yaml"))
	status, log, _ := n.run(t, false)
	assert.Equal(t, 2, status)
	assert.Contains(t, log, "servers.yaml")
}

func TestTheSampleConfigurationIsValid(t *testing.T) {
	t.Setenv("SHOP_PASSWORD", "x")
	t.Setenv("ARCHIVE_PASSWORD", "x")
	cfg, mirrors, err := load("nightly.yaml")
	require.NoError(t, err)
	client, err := ftpclient.New(cfg)
	require.NoError(t, err)
	defer client.Close() //nolint:errcheck // always nil
	require.Len(t, mirrors, 2)
	assert.Equal(t, ftpclient.Up, mirrors[1].Direction)
	for _, m := range mirrors {
		assert.Contains(t, client.Servers(), m.Server)
	}
}
