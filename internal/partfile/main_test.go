package partfile_test

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/corexalgo/ftpclient/internal/partfile"
)

// childVar has the test binary be a child process that does one thing: the tests that kill need somebody to kill.
const childVar = "PARTFILE_TEST_CHILD"

var children = map[string]func(dir string, args []string) error{
	"download": download,
	"hold":     hold,
	"contend":  contend,
}

func TestMain(m *testing.M) {
	if child := os.Getenv(childVar); child != "" {
		if err := children[child](os.Args[1], os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

type process struct {
	*exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func run(t *testing.T, child, dir string, args ...string) *process {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], append([]string{dir}, args...)...)
	cmd.Env = append(os.Environ(), childVar+"="+child, "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	return &process{cmd, in, bufio.NewScanner(out)}
}

// hold takes the lock of "target" until its standard input ends.
func hold(dir string, _ []string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	f, err := partfile.Open(root, "target", source)
	if err != nil {
		return err
	}
	fmt.Println("held")
	_, err = io.Copy(io.Discard, os.Stdin)
	if err != nil {
		return err
	}
	return f.Close()
}

// contend takes and leaves the target many times, and fails if it ever shares it.
func contend(dir string, _ []string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	for taken := 0; taken < 1000; {
		f, err := partfile.Open(root, "target", source)
		if errors.Is(err, partfile.ErrInUse) {
			continue
		}
		if err != nil {
			return err
		}
		taken++
		alone, err := root.OpenFile("inside", os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		if err := errors.Join(alone.Close(), root.Remove("inside"), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

var (
	source = partfile.Source{Server: "ftp.example.com:21", User: "me", Path: "/pub/file"}
	then   = time.Date(2021, 2, 3, 4, 5, 6, 0, time.UTC)
)

func about(size int) partfile.State {
	return partfile.State{Size: int64(size), ModTime: then, Unique: "u1"}
}

// content is the same n bytes for the same seed.
func content(seed uint64, n int) []byte {
	var key [32]byte
	key[0] = byte(seed)
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(key).Read(b)
	return b
}

func openRoot(tb testing.TB) *os.Root {
	tb.Helper()
	root, err := os.OpenRoot(tb.TempDir())
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, root.Close()) })
	return root
}

func open(tb testing.TB, root *os.Root) *partfile.File {
	tb.Helper()
	f, err := partfile.Open(root, "target", source)
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = f.Close() })
	return f
}

// begin is a File with a new partial that has data.
func begin(tb testing.TB, root *os.Root, data []byte) *partfile.File {
	tb.Helper()
	f := open(tb, root)
	require.NoError(tb, f.Start(about(len(data))))
	write(tb, f, data)
	return f
}

func write(tb testing.TB, f *partfile.File, data []byte) {
	tb.Helper()
	n, err := f.Write(data)
	require.NoError(tb, err)
	require.Equal(tb, len(data), n)
}

// leave has an earlier call leave data as a partial.
func leave(tb testing.TB, root *os.Root, data []byte) {
	tb.Helper()
	require.NoError(tb, begin(tb, root, data).Close())
}

func names(tb testing.TB, root *os.Root) []string {
	tb.Helper()
	entries, err := fs.ReadDir(root.FS(), ".")
	require.NoError(tb, err)
	found := []string{}
	for _, e := range entries {
		found = append(found, e.Name())
	}
	return found
}

func partOf(f *partfile.File) string {
	part, _, _ := f.Names()
	return part
}

func path(root *os.Root, name string) string { return filepath.Join(root.Name(), name) }

func sum(b []byte) []byte {
	s := sha256.Sum256(b)
	return s[:]
}
