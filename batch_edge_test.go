package ftpclient_test

import (
	"context"
	"path/filepath"
	"testing"

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
