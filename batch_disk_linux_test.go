package ftpclient_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/ftptest"
)

const diskVar = "FTPCLIENT_TEST_DISK"

func init() {
	// A disk of its own, of one mebibyte, in a mount namespace that ends with the process.
	children["disk"] = func() error {
		return syscall.Mount("tmpfs", os.Getenv(diskVar), "tmpfs", 0, "size=1m")
	}
}

func TestAFullDiskEndsTheBatch(t *testing.T) {
	srv, _ := serve(t, ftptest.Options{})
	for i := range 300 {
		put(t, srv, filepath.Join("there", strconv.Itoa(i)), randomBytes(t, 100_000))
	}
	disk := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "download tree", srv.Host(), strconv.Itoa(srv.Port()), "there", filepath.Join(disk, "in"))
	cmd.Env = append(os.Environ(), childVar+"=disk", diskVar+"="+disk)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	cmd.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS // which makes the mounts private
	out, err := cmd.CombinedOutput()
	require.Error(t, err)
	assert.Contains(t, string(out), "no space left on device")
	assert.Contains(t, string(out), "not tried")
	assert.Less(t, srv.Stats().Commands["RETR"], 20, strings.TrimSpace(string(out)))
}
