package ftpclient_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

// two starts two servers of one Client, "a" and "b".
func two(t *testing.T, a, b ftptest.Options, change ...func(*ftpclient.ServerConfig)) (from, to *ftptest.Server, client *ftpclient.Client) {
	t.Helper()
	from, to = ftptest.Start(t, a), ftptest.Start(t, b)
	servers := map[string]ftpclient.ServerConfig{}
	for name, srv := range map[string]*ftptest.Server{"a": from, "b": to} {
		sc := ftpclient.ServerConfig{Host: srv.Host(), Port: srv.Port(), Username: srv.User(), Password: ftpclient.Secret(srv.Password())}
		for _, f := range change {
			f(&sc)
		}
		servers[name] = sc
	}
	client, err := ftpclient.New(ftpclient.Config{Servers: servers, Retry: ftpclient.RetryPolicy{Delay: time.Millisecond}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	return from, to, client
}

func one(sc *ftpclient.ServerConfig) { sc.MaxConns = 1 }

func TestAFileIsCopiedBetweenServersOfAnySize(t *testing.T) {
	from, to, client := two(t, ftptest.Options{}, ftptest.Options{}, one)
	for _, size := range []int{0, 1, 256 << 10, 256<<10 + 1, 3 * mib} {
		content := randomBytes(t, size)
		put(t, from, "d/f", content)
		result, err := client.Copy(t.Context(), "a", "d/f", "b", "new/dir/g", &ftpclient.TransferOptions{PreserveTime: true})
		require.NoError(t, err, size)
		assert.Equal(t, int64(size), result.Bytes)
		assert.Equal(t, ftpclient.VerifiedSize, result.Verification.Method)
		onlyFile(t, filepath.Join(to.Dir(), "new/dir/g"), content)
		was, err := os.Stat(filepath.Join(from.Dir(), "d/f"))
		require.NoError(t, err)
		is, err := os.Stat(filepath.Join(to.Dir(), "new/dir/g"))
		require.NoError(t, err)
		assert.Equal(t, was.ModTime().Unix(), is.ModTime().Unix())
		require.NoError(t, os.RemoveAll(filepath.Join(to.Dir(), "new")))
	}
}

func TestACopyHealsLostConnectionsOnBothSides(t *testing.T) {
	cut := func(cmd string) []ftptest.Fault {
		return []ftptest.Fault{{Cmd: cmd, Times: 3, After: mib, Do: ftptest.CutBoth}}
	}
	from, to, client := two(t, ftptest.Options{Faults: cut("RETR")}, ftptest.Options{Faults: cut("STOR")})
	content := randomBytes(t, 8*mib)
	put(t, from, "f", content)
	_, err := client.Copy(t.Context(), "a", "f", "b", "g", &ftpclient.TransferOptions{SHA256: sha(content)})
	require.NoError(t, err)
	onlyFile(t, filepath.Join(to.Dir(), "g"), content)
	assert.Positive(t, from.Stats().Faults)
	assert.Positive(t, to.Stats().Faults)
}

func TestACopyThatFailedIsResumedAndOfAChangedSourceIsNot(t *testing.T) {
	for _, changed := range []bool{false, true} {
		from, to, client := two(t, ftptest.Options{}, ftptest.Options{
			Faults: []ftptest.Fault{{Cmd: "STOR", Times: 1, After: 5 * mib, Do: ftptest.CutBoth}},
		})
		content := randomBytes(t, 8*mib)
		put(t, from, "f", content)
		opts := &ftpclient.TransferOptions{Resume: true, Retry: never()}
		_, err := client.Copy(t.Context(), "a", "f", "b", "g", opts)
		require.Error(t, err)
		assert.NoFileExists(t, filepath.Join(to.Dir(), "g"))
		if changed {
			content = randomBytes(t, 8*mib)
			put(t, from, "f", content)
			later := time.Now().Add(time.Hour)
			require.NoError(t, os.Chtimes(filepath.Join(from.Dir(), "f"), later, later))
		}
		opts.Retry = nil // the server may still be writing what it received
		result, err := client.Copy(t.Context(), "a", "f", "b", "g", opts)
		require.NoError(t, err)
		got, err := os.ReadFile(filepath.Join(to.Dir(), "g"))
		require.NoError(t, err)
		assert.Equal(t, content, got)
		assert.Equal(t, changed, result.ResumedFrom == 0)
	}
}

func TestACopyWhoseSourceCannotBeReachedIsResumedLater(t *testing.T) {
	from, to, client := two(t, ftptest.Options{}, ftptest.Options{})
	content := randomBytes(t, 8*mib)
	put(t, from, "f", content)
	from.SetFaults(ftptest.Fault{Cmd: "RETR", Times: 1, After: 5 * mib, Do: ftptest.CutBoth}, ftptest.Fault{Cmd: "CONNECT", Skip: 1, Do: ftptest.CutControl})
	opts := &ftpclient.TransferOptions{Resume: true}
	_, err := client.Copy(t.Context(), "a", "f", "b", "g", opts)
	require.Error(t, err)
	assert.True(t, ftpclient.Retryable(err))
	assert.Len(t, names(t, to.Dir()), 1)
	from.SetFaults()
	result, err := client.Copy(t.Context(), "a", "f", "b", "g", opts)
	require.NoError(t, err)
	assert.Positive(t, result.ResumedFrom)
	onlyFile(t, filepath.Join(to.Dir(), "g"), content)
}

func TestASourceThatChangesWhileItIsCopiedIsCopiedAnew(t *testing.T) {
	var from *ftptest.Server
	content := randomBytes(t, 4*mib)
	changes := 0
	from, to, client := two(t, ftptest.Options{OnCommand: func(cmd, _ string) {
		if cmd == "RETR" && changes == 0 {
			changes++
			put(t, from, "f", content)
			later := time.Now().Add(time.Hour)
			_ = os.Chtimes(filepath.Join(from.Dir(), "f"), later, later)
		}
	}}, ftptest.Options{})
	put(t, from, "f", randomBytes(t, 4*mib))
	result, err := client.Copy(t.Context(), "a", "f", "b", "g", nil)
	require.NoError(t, err)
	onlyFile(t, filepath.Join(to.Dir(), "g"), content)
	assert.NotEmpty(t, result.RestartReason)
	assert.Equal(t, 2, result.Attempts)
}

func TestASmallSourceThatChangesWhileItIsCopiedIsCopiedAsItIsThen(t *testing.T) {
	for name, size := range map[string]int{"same size": 1000, "shorter": 900, "longer": 1100} {
		t.Run(name, func(t *testing.T) {
			var from *ftptest.Server
			content, later := randomBytes(t, size), time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
			looks := 0
			from, to, client := two(t, ftptest.Options{OnCommand: func(cmd, _ string) {
				if cmd != "SIZE" {
					return
				}
				if looks++; looks == 2 {
					put(t, from, "f", content)
					_ = os.Chtimes(filepath.Join(from.Dir(), "f"), later, later)
				}
			}}, ftptest.Options{})
			put(t, from, "f", randomBytes(t, 1000))
			result, err := client.Copy(t.Context(), "a", "f", "b", "g", &ftpclient.TransferOptions{PreserveTime: true})
			require.NoError(t, err)
			assert.EqualValues(t, size, result.Bytes)
			onlyFile(t, filepath.Join(to.Dir(), "g"), content)
			info, err := os.Stat(filepath.Join(to.Dir(), "g"))
			require.NoError(t, err)
			assert.Equal(t, later, info.ModTime().UTC())
		})
	}
}

func TestTheRetryPolicyOfACopyIsThatOfItsSourceToo(t *testing.T) {
	for name, fault := range map[string]ftptest.Fault{
		"look":    {Cmd: "SIZE", Times: 1, Do: ftptest.CutControl},
		"small":   {Cmd: "RETR", Path: "small", Times: 1, After: 100, Do: ftptest.CutBoth},
		"content": {Cmd: "RETR", Times: 2, After: 1, Do: ftptest.CutBoth}, // the first loss of an open File is no attempt
	} {
		t.Run(name, func(t *testing.T) {
			from, to, client := two(t, ftptest.Options{}, ftptest.Options{})
			put(t, from, "small", randomBytes(t, 1000))
			put(t, from, "content", randomBytes(t, 3*mib))
			remote := name
			if name == "look" {
				remote = "small"
			}
			from.SetFaults(fault)
			_, err := client.Copy(t.Context(), "a", remote, "b", "g", &ftpclient.TransferOptions{Retry: never()})
			require.Error(t, err)
			assert.NoFileExists(t, filepath.Join(to.Dir(), "g"))
			from.SetFaults(fault)
			_, err = client.Copy(t.Context(), "a", remote, "b", "g", nil)
			require.NoError(t, err)
		})
	}
}

func TestCopiesInOppositeDirectionsDoNotWaitForOneAnother(t *testing.T) {
	from, to, client := two(t, ftptest.Options{}, ftptest.Options{}, one)
	content := randomBytes(t, mib)
	put(t, from, "f", content)
	put(t, to, "f", content)
	var group errgroup.Group
	for range 6 {
		group.Go(func() error {
			_, err := client.Copy(t.Context(), "a", "f", "b", "copy", nil)
			if err != nil && !ftpclient.Retryable(err) && !assert.ErrorIs(t, err, ftpclient.ErrInUse) {
				return err
			}
			return nil
		})
		group.Go(func() error {
			_, err := client.Copy(t.Context(), "b", "f", "a", "copy", nil)
			if err != nil {
				assert.ErrorIs(t, err, ftpclient.ErrInUse)
			}
			return nil
		})
	}
	require.NoError(t, group.Wait())
	onlyContent(t, filepath.Join(from.Dir(), "copy"), content)
	onlyContent(t, filepath.Join(to.Dir(), "copy"), content)
}

func onlyContent(t *testing.T, name string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(name)
	require.NoError(t, err)
	assert.Equal(t, want, got)
}

func TestACopyOnOneServerNeedsTwoConnections(t *testing.T) {
	from, _, client := two(t, ftptest.Options{}, ftptest.Options{})
	content := randomBytes(t, mib)
	put(t, from, "f", content)
	_, err := client.Copy(t.Context(), "a", "f", "a", "g", nil)
	require.NoError(t, err)
	onlyContent(t, filepath.Join(from.Dir(), "g"), content)

	_, _, client = two(t, ftptest.Options{}, ftptest.Options{}, one)
	_, err = client.Copy(t.Context(), "a", "f", "a", "g", nil)
	require.Error(t, err)
}

func TestACopyOfWhatIsNotThereSaysSo(t *testing.T) {
	from, to, client := two(t, ftptest.Options{}, ftptest.Options{})
	_, err := client.Copy(t.Context(), "a", "absent", "b", "g", nil)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, os.Mkdir(filepath.Join(from.Dir(), "dir"), 0o755))
	_, err = client.Copy(t.Context(), "a", "dir", "b", "g", nil)
	require.Error(t, err)
	_, err = client.Copy(t.Context(), "nobody", "f", "b", "g", nil)
	require.ErrorIs(t, err, ftpclient.ErrUnknownServer)
	assert.NoFileExists(t, filepath.Join(to.Dir(), "g"))
}
