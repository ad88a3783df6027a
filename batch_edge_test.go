package ftpclient_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

func existing(policy ftpclient.ExistingPolicy) *ftpclient.BatchOptions {
	return &ftpclient.BatchOptions{TransferOptions: ftpclient.TransferOptions{Existing: policy}}
}

func TestABatchThatIsCancelledWhileItLooksIsNoSuccess(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, client := serve(t, ftptest.Options{
		OnCommand: func(cmd, _ string) {
			if cmd == "MLSD" {
				cancel()
			}
		},
		Faults: []ftptest.Fault{{Cmd: "MLSD", Do: ftptest.StallControl}},
	})
	local := t.TempDir()
	require.NoError(t, writeAll(filepath.Join(local, "f"), "never sent"))
	_, err := client.UploadDir(ctx, "srv", local, "there", existing(ftpclient.SkipSame))
	require.ErrorIs(t, err, context.Canceled)

	ctx, cancel = context.WithCancel(t.Context())
	_, err = client.Batch(ctx, func(func(ftpclient.Job) bool) { cancel() }, nil)
	require.ErrorIs(t, err, context.Canceled, "a stream that ends because its context did is not done")
}

func TestACallbackMayUseTheClientWhateverIsLeftOfIt(t *testing.T) {
	for _, workers := range []int{1, 3} {
		srv, client := serve(t, ftptest.Options{}, func(sc *ftpclient.ServerConfig) { sc.MaxConns = workers })
		sow(t, filepath.Join(srv.Dir(), "there"), 20)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		opts := &ftpclient.BatchOptions{Workers: workers, OnFile: func(e ftpclient.FileEvent) {
			_, err := client.Stat(ctx, "srv", e.Job.Remote)
			assert.NoError(t, err)
		}}
		_, err := client.DownloadDir(ctx, "srv", "there", t.TempDir(), opts)
		require.NoError(t, err)
	}
}
