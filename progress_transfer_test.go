package ftpclient_test

import (
	"bytes"
	"context"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

// listener keeps every call, and when it came.
type listener struct {
	calls []ftpclient.Progress
	times []time.Time
}

func (r *listener) tell(p ftpclient.Progress) {
	r.calls = append(r.calls, p)
	r.times = append(r.times, time.Now())
}

// check proves what holds for the calls of every transfer that succeeds.
func (r *listener) check(t *testing.T, size int64) {
	t.Helper()
	require.GreaterOrEqual(t, len(r.calls), 2)
	last := len(r.calls) - 1
	for i, p := range r.calls {
		assert.Equal(t, i == last, p.Done, "call %d", i)
		require.NoError(t, p.Err)
		assert.Equal(t, [2]int{1, 1}, [2]int{p.Index, p.Total})
		assert.Equal(t, "srv", p.Job.Server)
		if i > 0 && p.Attempt == r.calls[i-1].Attempt {
			assert.GreaterOrEqual(t, p.Bytes, r.calls[i-1].Bytes)
		}
	}
	assert.Equal(t, size, r.calls[last].Bytes)
	// Attempts are told of at once; between them there are at least 100 ms.
	for i := 1; i < last; i++ {
		if r.calls[i].Attempt == r.calls[i-1].Attempt {
			assert.GreaterOrEqual(t, r.times[i].Sub(r.times[i-1]), 95*time.Millisecond, "call %d", i)
		}
	}
}

func TestProgressIsToldFromTheFirstByteToTheLast(t *testing.T) {
	content := randomBytes(t, 2*mib)
	srv, client := serve(t, ftptest.Options{DataRate: 6 * mib})
	put(t, srv, "f", content)
	local := filepath.Join(t.TempDir(), "f")
	var down, up, to, from listener
	_, err := client.Download(t.Context(), "srv", "f", local, &ftpclient.TransferOptions{Progress: down.tell})
	require.NoError(t, err)
	down.check(t, 2*mib)
	assert.Zero(t, down.calls[0].Bytes)
	assert.GreaterOrEqual(t, len(down.calls), 4)
	assert.Equal(t, ftpclient.Job{Direction: ftpclient.Down, Server: "srv", Remote: "f", Local: local}, down.calls[0].Job)
	assert.Zero(t, down.calls[len(down.calls)-1].ETA)

	_, err = client.Upload(t.Context(), "srv", local, "g", &ftpclient.TransferOptions{Progress: up.tell})
	require.NoError(t, err)
	up.check(t, 2*mib)
	assert.EqualValues(t, 2*mib, up.calls[0].Size)

	_, err = client.DownloadTo(t.Context(), "srv", "f", io.Discard, &ftpclient.TransferOptions{Progress: to.tell})
	require.NoError(t, err)
	to.check(t, 2*mib)

	_, err = client.UploadFrom(t.Context(), "srv", bytes.NewReader(content), "h", &ftpclient.TransferOptions{Progress: from.tell})
	require.NoError(t, err)
	from.check(t, 2*mib)
	assert.EqualValues(t, -1, from.calls[0].Size, "nobody knows how much a reader has")
}

func TestProgressCountsWhatAResumeKept(t *testing.T) {
	content := randomBytes(t, 3*mib)
	srv, client := serve(t, ftptest.Options{})
	put(t, srv, "f", content)
	local := filepath.Join(t.TempDir(), "f")
	leavePartial(t, srv, client, local)
	var down, up listener
	_, err := client.Download(t.Context(), "srv", "f", local, &ftpclient.TransferOptions{Resume: true, Progress: down.tell})
	require.NoError(t, err)
	down.check(t, 3*mib)
	srv, client = serve(t, ftptest.Options{})
	leaveUpload(t, srv, client, local)
	_, err = client.Upload(t.Context(), "srv", local, "g", &ftpclient.TransferOptions{Resume: true, Progress: up.tell})
	require.NoError(t, err)
	up.check(t, 3*mib)
	for _, first := range []ftpclient.Progress{down.calls[0], up.calls[0]} {
		assert.EqualValues(t, 2*mib, first.Bytes)
		assert.EqualValues(t, 2*mib, first.ResumedFrom)
		assert.EqualValues(t, 3*mib, first.Size)
	}
}

func TestProgressTellsOfEachAttempt(t *testing.T) {
	content := randomBytes(t, 3*mib)
	srv, client := serve(t, ftptest.Options{Faults: []ftptest.Fault{cut("RETR", mib), cut("STOR", mib), once("SIZE", ftptest.CutControl, "")}})
	put(t, srv, "f", content)
	local := filepath.Join(t.TempDir(), "f")
	var down, up listener
	result, err := client.Download(t.Context(), "srv", "f", local, &ftpclient.TransferOptions{Progress: down.tell})
	require.NoError(t, err)
	down.check(t, 3*mib)
	assert.Equal(t, result.Attempts, down.calls[len(down.calls)-1].Attempt)
	result, err = client.Upload(t.Context(), "srv", local, "g", &ftpclient.TransferOptions{Progress: up.tell})
	require.NoError(t, err)
	up.check(t, 3*mib)
	assert.Equal(t, result.Attempts, up.calls[len(up.calls)-1].Attempt)
	for _, r := range []listener{down, up} {
		begins := map[int]int64{}
		for _, p := range r.calls {
			if _, seen := begins[p.Attempt]; !seen {
				begins[p.Attempt] = p.Bytes
			}
		}
		last := r.calls[len(r.calls)-1]
		assert.Greater(t, last.Attempt, 1)
		assert.GreaterOrEqual(t, begins[last.Attempt], int64(mib), "the last attempt begins where the one before was cut")
		assert.Zero(t, last.ResumedFrom, "no earlier call left anything")
	}
}

func TestProgressOfATransferThatFailsOrIsSkippedHasOneLastCall(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	put(t, srv, "f", []byte("content"))
	local := filepath.Join(t.TempDir(), "f")
	var failed, skipped, empty listener
	_, err := client.Download(t.Context(), "srv", "absent", local, &ftpclient.TransferOptions{Progress: failed.tell})
	require.Error(t, err)
	ends := 0
	for _, p := range failed.calls {
		assert.False(t, p.Done)
		if p.Err != nil {
			ends++
		}
	}
	assert.Equal(t, 1, ends)
	assert.Equal(t, err, failed.calls[len(failed.calls)-1].Err)

	_, err = client.Download(t.Context(), "srv", "f", local, nil)
	require.NoError(t, err)
	_, err = client.Download(t.Context(), "srv", "f", local, &ftpclient.TransferOptions{Existing: ftpclient.SkipExisting, Progress: skipped.tell})
	require.NoError(t, err)
	skipped.check(t, 7)
	assert.EqualValues(t, 7, skipped.calls[0].Size)

	put(t, srv, "empty", nil)
	_, err = client.Download(t.Context(), "srv", "empty", local, &ftpclient.TransferOptions{Progress: empty.tell})
	require.NoError(t, err)
	empty.check(t, 0)
}

// within proves that a rate was obeyed within 20 %.
func within(t *testing.T, bytes, perSecond int64, took time.Duration, what string) {
	t.Helper()
	want := time.Duration(float64(bytes) / float64(perSecond) * float64(time.Second))
	assert.InEpsilon(t, want.Seconds(), took.Seconds(), 0.2, what)
}

func TestTheRateOfATransferIsObeyed(t *testing.T) {
	const rate, size = 2 * mib, 3 * mib
	content := randomBytes(t, size)
	for _, mode := range []ftptest.TLSMode{ftptest.Plain, ftptest.Explicit} {
		srv, client := serve(t, ftptest.Options{TLS: mode})
		put(t, srv, "f", content)
		local := localFile(t, content)
		opts := &ftpclient.TransferOptions{BytesPerSecond: rate}
		var all sync.WaitGroup
		for what, call := range map[string]func() (*ftpclient.Result, error){
			"download": func() (*ftpclient.Result, error) { return client.DownloadTo(t.Context(), "srv", "f", io.Discard, opts) },
			"upload":   func() (*ftpclient.Result, error) { return client.Upload(t.Context(), "srv", local, "g", opts) },
			"uploadFrom": func() (*ftpclient.Result, error) {
				return client.UploadFrom(t.Context(), "srv", bytes.NewReader(content), "h", opts)
			},
		} {
			all.Go(func() {
				result, err := call()
				if assert.NoError(t, err) {
					within(t, size, rate, result.Elapsed, what)
				}
			})
		}
		all.Wait()
	}
}

func TestTheRateOfAServerIsSharedByItsTransfers(t *testing.T) {
	const rate, size = 3 * mib, mib
	content := randomBytes(t, size)
	srv, client := serve(t, ftptest.Options{}, func(c *ftpclient.ServerConfig) { c.BytesPerSecond = rate })
	put(t, srv, "f", content)
	start := time.Now()
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			var err error
			if i%2 == 0 {
				_, err = client.DownloadTo(t.Context(), "srv", "f", io.Discard, nil)
			} else {
				_, err = client.UploadFrom(t.Context(), "srv", bytes.NewReader(content), strings.Repeat("g", i), nil)
			}
			assert.NoError(t, err)
		})
	}
	all.Wait()
	within(t, 4*size, rate, time.Since(start), "four transfers together")
}

func TestADeadlineEndsARatedTransferAsADeadline(t *testing.T) {
	content := randomBytes(t, mib)
	srv, client := serve(t, ftptest.Options{})
	put(t, srv, "f", content)
	for _, rate := range []int64{1, 64 << 10} {
		for what, call := range map[string]func(context.Context, *ftpclient.TransferOptions) error{
			"download": func(ctx context.Context, o *ftpclient.TransferOptions) error {
				_, err := client.DownloadTo(ctx, "srv", "f", io.Discard, o)
				return err
			},
			"upload": func(ctx context.Context, o *ftpclient.TransferOptions) error {
				_, err := client.UploadFrom(ctx, "srv", bytes.NewReader(content), "g", o)
				return err
			},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
			start := time.Now()
			err := call(ctx, &ftpclient.TransferOptions{BytesPerSecond: rate})
			cancel()
			require.ErrorIs(t, err, context.DeadlineExceeded, "%s at %d", what, rate)
			assert.Less(t, time.Since(start), 150*time.Millisecond+soon, "%s at %d", what, rate)
		}
	}
}
