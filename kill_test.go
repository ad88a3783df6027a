package ftpclient_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

// kill ends a child within the next moments, if it has not ended by itself.
func (c child) kill(within time.Duration) {
	timer := time.AfterFunc(rand.N(within), func() { _ = c.Process.Kill() })
	_ = c.Wait()
	timer.Stop()
}

func TestAKilledTransferIsFinishedByALaterOneAndNeverHalfThere(t *testing.T) {
	v1, v2 := randomBytes(t, 10*mib), randomBytes(t, 10*mib)
	for _, direction := range []string{"download", "upload"} {
		srv, client := serve(t, ftptest.Options{DataRate: 40 * mib})
		remote, local := filepath.Join(srv.Dir(), "f"), filepath.Join(t.TempDir(), "f")
		source, target := remote, local
		if direction == "upload" {
			source, target = local, remote
		}
		require.NoError(t, os.WriteFile(source, v2, 0o644))
		require.NoError(t, os.WriteFile(target, v1, 0o644))
		for range 10 {
			c := startChild(t, "transfer", direction, srv, "f", local)
			c.kill(300 * time.Millisecond)
			got, err := os.ReadFile(target)
			require.NoError(t, err)
			if bytes.Equal(got, v2) {
				require.NoError(t, os.WriteFile(target, v1, 0o644))
				continue
			}
			require.True(t, bytes.Equal(got, v1), "%s: the target is neither the old file nor the new one", direction)
		}
		c := startChild(t, "transfer", direction, srv, "f", local)
		require.NoError(t, c.Process.Kill())
		_ = c.Wait()
		opts := &ftpclient.TransferOptions{Resume: true, SHA256: sha(v2)}
		var err error
		if direction == "upload" {
			_, err = client.Upload(t.Context(), "srv", local, "f", opts)
		} else {
			_, err = client.Download(t.Context(), "srv", "f", local, opts)
		}
		require.NoError(t, err, direction)
		onlyFile(t, target, v2)
		onlyFile(t, source, v2)
	}
}

func TestATransferOfAnotherProcessHoldsItsTargetUntilItDies(t *testing.T) {
	content := randomBytes(t, mib)
	for direction, command := range map[string]string{"download": "RETR", "upload": "STOR"} {
		srv, client := serve(t, ftptest.Options{Faults: []ftptest.Fault{once(command, ftptest.StallReply, "")}})
		put(t, srv, "f", content)
		local := filepath.Join(t.TempDir(), "f")
		require.NoError(t, os.WriteFile(local, content, 0o600))
		transfer := func() error {
			if direction == "upload" {
				_, err := client.Upload(t.Context(), "srv", local, "f", &ftpclient.TransferOptions{Resume: true})
				return err
			}
			_, err := client.Download(t.Context(), "srv", "f", local, &ftpclient.TransferOptions{Resume: true})
			return err
		}
		c := startChild(t, "transfer", direction, srv, "f", local)
		require.Eventually(t, func() bool { return srv.Stats().Faults == 1 }, 5*time.Second, time.Millisecond)
		require.ErrorIs(t, transfer(), ftpclient.ErrInUse, direction)
		require.NoError(t, c.Process.Kill())
		_ = c.Wait()
		require.NoError(t, transfer(), direction)
		onlyFile(t, local, content)
		onlyFile(t, filepath.Join(srv.Dir(), "f"), content)
		assert.Equal(t, 1, srv.Stats().Faults)
	}
}
