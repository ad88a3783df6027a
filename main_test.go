package ftpclient_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

// childVar has the test binary be a child process that makes one transfer: some tests need a process to kill or to starve.
const childVar = "FTPCLIENT_TEST_CHILD"

// children say what a child does before its transfer.
var children = map[string]func() error{
	"transfer": func() error { return nil },
	"segments": func() error {
		childSegments = 4
		return nil
	},
}

var childSegments int

func TestMain(m *testing.M) {
	if prepare, ok := children[os.Getenv(childVar)]; ok {
		err := prepare()
		if err == nil {
			err = transferAsChild(os.Args[1:])
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// transferAsChild moves one file or tree, resuming, and writes a line when bytes begin to move.
func transferAsChild(args []string) error {
	direction, host, remote, local := args[0], args[1], args[3], args[4]
	port, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	client, err := ftpclient.New(ftpclient.Config{Servers: map[string]ftpclient.ServerConfig{
		"srv": {Host: host, Port: port, Username: "user", Password: "secret"},
	}})
	if err != nil {
		return err
	}
	var begun atomic.Bool
	opts := &ftpclient.TransferOptions{Resume: true, Retry: never(), Segments: childSegments, Progress: func(ftpclient.Progress) {
		if !begun.Swap(true) {
			fmt.Println("begun")
		}
	}}
	ctx := context.Background()
	batch := &ftpclient.BatchOptions{TransferOptions: *opts, Workers: 4}
	batch.Existing = ftpclient.SkipSame
	switch direction {
	case "upload":
		_, err = client.Upload(ctx, "srv", local, remote, opts)
	case "download":
		_, err = client.Download(ctx, "srv", remote, local, opts)
	case "upload tree":
		_, err = client.UploadDir(ctx, "srv", local, remote, batch)
	case "download tree":
		_, err = client.DownloadDir(ctx, "srv", remote, local, batch)
	}
	_ = client.Close()
	return err
}

// A child is a process that has begun a transfer.
type child struct{ *exec.Cmd }

// startChild starts a transfer in a process of its own and waits until it has begun, or the process has ended.
func startChild(t *testing.T, kind, direction string, srv *ftptest.Server, remote, local string) child {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], direction, srv.Host(), strconv.Itoa(srv.Port()), remote, local)
	cmd.Env = append(os.Environ(), childVar+"="+kind, "GORACE=atexit_sleep_ms=0")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	bufio.NewScanner(out).Scan()
	return child{cmd}
}
