package interop

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const startTimeout = 10 * time.Second

// Server is one running server.
type Server struct {
	Cell
	Host     string // 127.0.0.1
	Port     int
	User     string
	Password string
	Dir      string // the user's folder on disk; the user sees it as /
	CAFile   string // PEM of the authority that signed the server's certificate
	Version  string // of its Debian package

	root string
}

// Start runs a server for the cell until the test ends, and returns once it
// listens. It fails the test when the cell is not offered or install.sh was not
// run. The server's logs are printed when the test has failed.
func Start(tb testing.TB, c Cell) *Server {
	tb.Helper()
	require.NoError(tb, c.Check())
	require.Zero(tb, os.Geteuid(), "interop: the servers need root")
	pkg, missing, err := Available()
	require.NoError(tb, err)
	require.Emptyf(tb, missing, "interop: not in %s: run internal/interop/install.sh", pkg)
	v, err := version(pkg, c.Server)
	require.NoError(tb, err)
	libraries, err := libraryPath(pkg)
	require.NoError(tb, err)

	root, err := os.MkdirTemp("", "ftpclient-interop-") //nolint:usetesting // the server's user cannot enter tb.TempDir
	require.NoError(tb, err)
	tb.Cleanup(func() {
		if err := os.RemoveAll(root); err != nil {
			tb.Errorf("interop: %v", err)
		}
	})
	require.NoError(tb, os.Chmod(root, 0o755))
	port, err := freePort(tb.Context())
	require.NoError(tb, err)
	l := layout{pkg: pkg, root: root, port: port}
	require.NoError(tb, l.write(c))

	s := &Server{
		Cell: c, Host: "127.0.0.1", Port: port, User: user, Password: password,
		Dir: l.home(), CAFile: l.path("ca.pem"), Version: v, root: root,
	}
	s.run(tb, l.command(c), libraries)
	return s
}

// Addr is host:port of the control connection.
func (s *Server) Addr() string { return fmt.Sprintf("%s:%d", s.Host, s.Port) }

// Own gives everything below Dir to the server's user. A test that writes there
// itself calls it after, since the server may not change files of others.
func (s *Server) Own(tb testing.TB) {
	tb.Helper()
	require.NoError(tb, filepath.WalkDir(s.Dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, uid, uid)
	}))
}

// run starts the command in namespaces of its own and stops it in Cleanup.
func (s *Server) run(tb testing.TB, command []string, libraries string) {
	tb.Helper()
	output, err := os.Create(filepath.Join(s.root, "log/output.log"))
	require.NoError(tb, err)
	ctx, stop := context.WithCancel(context.WithoutCancel(tb.Context()))
	const script = `set -e
for name in passwd group shadow pam.d; do mount --bind "$0/etc/$name" "/etc/$name"; done
"$@" &
wait $!`
	cmd := exec.CommandContext(ctx, "/bin/sh", append([]string{"-c", script, s.root}, command...)...)
	cmd.Dir = "/"
	cmd.Env = []string{
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "TZ=UTC", "LC_ALL=C.UTF-8",
		"LD_LIBRARY_PATH=" + libraries, "OPENSSL_CONF=" + filepath.Join(s.root, "openssl.cnf"),
	}
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = &syscall.SysProcAttr{
		// The shell is the first process of the PID namespace: when it is killed
		// the kernel ends every session before Wait returns, whatever process
		// group they chose. The server itself must not be the first: orphaned
		// processes become the first one's children, and vsftpd aborts at the end
		// of a child that it did not start.
		Cloneflags:   syscall.CLONE_NEWPID,
		Unshareflags: syscall.CLONE_NEWNS,
		Pdeathsig:    syscall.SIGKILL,
	}
	if err := cmd.Start(); err != nil {
		stop()
		_ = output.Close()
		require.NoError(tb, err, "interop: namespaces need CAP_SYS_ADMIN")
	}
	var exit error
	exited := make(chan struct{})
	go func() {
		exit = cmd.Wait()
		close(exited)
	}()
	tb.Cleanup(func() {
		stop()
		<-exited
		_ = output.Close()
		if tb.Failed() {
			s.printLogs(tb)
		}
	})

	deadline := time.NewTimer(startTimeout)
	defer deadline.Stop()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case <-exited:
			require.Failf(tb, "interop: the server ended", "%s: %v", s.Cell, exit)
		case <-deadline.C:
			require.Failf(tb, "interop: the server does not listen", "%s: port %d after %v", s.Cell, s.Port, startTimeout)
		case <-look.C:
		}
		up, err := listening(s.Port)
		require.NoError(tb, err)
		if up {
			return
		}
	}
}

// printLogs shows the end of each of the server's logs.
func (s *Server) printLogs(tb testing.TB) {
	tb.Helper()
	const most = 32 << 10
	logs, err := filepath.Glob(filepath.Join(s.root, "log", "*"))
	if err != nil {
		tb.Errorf("interop: %v", err)
	}
	for _, name := range logs {
		text, err := os.ReadFile(name)
		if err != nil {
			tb.Errorf("interop: %v", err)
		}
		if len(text) > most {
			text = text[len(text)-most:]
		}
		if len(text) > 0 {
			tb.Logf("%s %s, %s:\n%s", s.Cell, s.Version, filepath.Base(name), text)
		}
	}
}

// listening reports whether a socket listens on the port of 127.0.0.1. It reads
// the kernel's table, since a connection made to find out would count against
// MaxConns.
func listening(port int) (bool, error) {
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return false, err
	}
	local := fmt.Sprintf("0100007F:%04X", port)
	for line := range strings.Lines(string(table)) {
		const listen = "0A"
		if f := strings.Fields(line); len(f) > 3 && f[1] == local && f[3] == listen {
			return true, nil
		}
	}
	return false, nil
}

// freePort finds a port below those that the kernel gives to outgoing
// connections, so that none of these takes it before the server does.
func freePort(ctx context.Context) (int, error) {
	var config net.ListenConfig
	for range 100 {
		port := 12000 + rand.IntN(20000)
		l, err := config.Listen(ctx, "tcp4", fmt.Sprintf("127.0.0.1:%d", port))
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			return 0, err
		}
		return port, l.Close()
	}
	return 0, errors.New("interop: no free port")
}
