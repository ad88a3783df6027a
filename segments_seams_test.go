package ftpclient_test

import (
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

// deaf is a farm of servers of which one, the one that is the nth to be asked, grants REST and sends the file from its beginning.
func deaf(nth int32) ftptest.Options {
	asked := new(atomic.Int32)
	return ftptest.Options{DataRate: 8 * mib, Command: func(cmd, arg string) (string, bool) {
		return "350 Restarting", cmd == "REST" && arg != "0" && asked.Add(1) == nth
	}}
}

func TestAConnectionThatOnlySaysItBeginsInTheMiddleIsFoundOut(t *testing.T) {
	content := randomBytes(t, 8*mib)
	for nth := range int32(4) {
		srv, client := serve(t, deaf(nth), many(4))
		put(t, srv, "f", content)
		local := filepath.Join(t.TempDir(), "f")
		result, err := client.Download(t.Context(), "srv", "f", local, in(4))
		require.NoError(t, err)
		onlyFile(t, local, content)
		assert.Equal(t, nth == 0, result.RestartReason == "", result.RestartReason)
	}
}

func TestWhatSuchAConnectionLeftIsFoundOutByALaterCall(t *testing.T) {
	content := randomBytes(t, 8*mib)
	for nth := range int32(4) {
		for name, leave := range map[string]func(*ftptest.Server, *ftpclient.Client, string){
			"gaps": func(_ *ftptest.Server, client *ftpclient.Client, local string) {
				breakOffIn(t, client, local, 4, 2*mib)
			},
			"seams": func(srv *ftptest.Server, client *ftpclient.Client, local string) {
				// The last range is never fetched.
				srv.SetFaults(ftptest.Fault{Cmd: "RETR", Skip: 1, Times: 1, Do: ftptest.CutData, After: 1}, ftptest.Fault{Cmd: "RETR", Skip: 3, Do: ftptest.CutData, After: 1})
				opts := in(4)
				opts.Retry = never()
				_, err := client.Download(t.Context(), "srv", "f", local, opts)
				require.Error(t, err)
				srv.SetFaults()
			},
		} {
			srv, client := serve(t, deaf(nth), many(4))
			put(t, srv, "f", content)
			local := filepath.Join(t.TempDir(), "f")
			leave(srv, client, local)
			_, err := client.Download(t.Context(), "srv", "f", local, in(1))
			require.NoError(t, err, name)
			onlyFile(t, local, content)
		}
	}
}

// Those whose lines stop where their ranges end cannot tell what follows: somebody else has to.
func TestASeamThatNobodySawIsLookedAtInTheEnd(t *testing.T) {
	content := randomBytes(t, 8*mib)
	for nth := range int32(4) {
		o := deaf(nth)
		o.Faults = []ftptest.Fault{{Cmd: "RETR", Times: 4, After: 2*mib + 10, Do: ftptest.StallData}}
		srv, client := serve(t, o, many(4))
		put(t, srv, "f", content)
		local := filepath.Join(t.TempDir(), "f")
		_, err := client.Download(t.Context(), "srv", "f", local, in(4))
		require.NoError(t, err)
		onlyFile(t, local, content)
	}
}

func TestToReadAgainWhatIsHeldIsNoProgress(t *testing.T) {
	// With some latency the second transfer to begin is the helper's.
	srv, client := serve(t, ftptest.Options{DataRate: 2 * mib, Latency: 20 * time.Millisecond, Faults: []ftptest.Fault{
		{Cmd: "RETR", Skip: 1, Times: 1, After: 200 << 10, Do: ftptest.CutData},
		{Cmd: "RETR", Skip: 1, After: 50 << 10, Do: ftptest.CutData}, // less than is compared
	}}, many(2))
	content := randomBytes(t, 4*mib)
	put(t, srv, "f", content)
	local := filepath.Join(t.TempDir(), "f")
	opts := in(2)
	opts.Retry.MaxRetries = 3
	if _, err := client.Download(t.Context(), "srv", "f", local, opts); err == nil { // the first connection may come by, or not
		onlyFile(t, local, content)
	}
	assert.Less(t, len(rests(srv)), 10, "%v", rests(srv))
}
