package ftpclient_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

// small makes n small files below a folder, in one directory, and returns their names below it.
func small(t testing.TB, dir string, n int) []string {
	t.Helper()
	require.NoError(t, os.MkdirAll(dir, 0o755))
	var names []string
	for i := range n {
		name := filepath.Join(dir, fmt.Sprintf("f%03d", i))
		require.NoError(t, os.WriteFile(name, []byte(strings.Repeat(fmt.Sprintf("%d of %d. ", i, n), 300)), 0o644))
		names = append(names, name)
	}
	return names
}

func remotes(dir string, names []string) []string {
	var remotes []string
	for _, name := range names {
		remotes = append(remotes, dir+"/"+filepath.Base(name))
	}
	return remotes
}

// oneWorker is a batch whose files follow each other.
func oneWorker() *ftpclient.BatchOptions { return &ftpclient.BatchOptions{Workers: 1} }

// odd are servers that a download's commands sent ahead have to work with.
var odd = map[string]ftptest.Options{
	"plain":                   {},
	"holds its final reply":   {HoldFinal: true},
	"TLS":                     {TLS: ftptest.Explicit, RequireReuse: true},
	"TLS, holds":              {TLS: ftptest.Explicit, HoldFinal: true},
	"no EPSV":                 {HideFeatures: []string{"EPSV"}},
	"no MDTM":                 {HideFeatures: []string{"MDTM"}},
	"no SIZE":                 {HideFeatures: []string{"SIZE"}},
	"no REST":                 {NoREST: true},
	"refuses to rename over":  {RenameRefusesExisting: true},
	"250 for 226":             {Faults: []ftptest.Fault{{Cmd: "RETR", Do: ftptest.FinalReply, Reply: "250 ok"}}},
	"cut now and then":        {Faults: []ftptest.Fault{{Cmd: "RETR", Skip: 7, Times: 1, Do: ftptest.CutData, After: 100}}},
	"loses the control conn":  {Faults: []ftptest.Fault{{Cmd: "RETR", Skip: 7, Times: 1, Do: ftptest.DropFinalReply}}},
	"dies at SIZE":            {Faults: []ftptest.Fault{{Cmd: "SIZE", Skip: 12, Times: 1, Do: ftptest.CutControl}}},
	"dies at EPSV":            {Faults: []ftptest.Fault{{Cmd: "EPSV", Skip: 12, Times: 1, Do: ftptest.CutControl}}},
	"refuses an EPSV":         {Faults: []ftptest.Fault{{Cmd: "EPSV", Skip: 5, Times: 2, Do: ftptest.Refuse, Reply: "425 not now"}}},
	"says too much":           {Faults: []ftptest.Fault{{Cmd: "RETR", Skip: 5, Times: 1, Do: ftptest.ExtraReply}}},
	"says too much at SIZE":   {Faults: []ftptest.Fault{{Cmd: "SIZE", Skip: 9, Times: 1, Do: ftptest.ExtraReply}}},
	"dead port":               {Reply: deadPort(5)},
	"lies about a size":       {Faults: []ftptest.Fault{{Cmd: "SIZE", Skip: 9, Times: 1, Do: ftptest.Refuse, Reply: "213 7"}}},
	"refuses SIZE after RETR": {Faults: []ftptest.Fault{{Cmd: "SIZE", Skip: 9, Times: 1, Do: ftptest.Refuse, Reply: "500 busy"}}},
}

// deadPort makes the nth answer to EPSV lead nowhere.
func deadPort(nth int32) func(cmd, arg string, reply []byte) []byte {
	var seen atomic.Int32
	return func(cmd, _ string, reply []byte) []byte {
		if cmd == "EPSV" && seen.Add(1) == nth {
			return []byte("229 Entering Extended Passive Mode (|||1|)\r\n")
		}
		return reply
	}
}

func TestSmallFilesArriveWhateverTheServerMakesOfCommandsSentAhead(t *testing.T) {
	for name, o := range odd {
		for _, d := range directions {
			t.Run(name+", "+d.name, func(t *testing.T) {
				t.Parallel()
				if o.Reply != nil {
					o.Reply = deadPort(5)
				}
				srv, client := serve(t, o)
				local := filepath.Join(t.TempDir(), "here")
				source, target := d.sides(srv, local, "there")
				small(t, source, 20)
				result, err := d.move(t.Context(), client, local, "there", oneWorker())
				require.NoError(t, err)
				assert.Equal(t, 20, result.Succeeded)
				assert.Equal(t, grown(t, source), grown(t, target))
			})
		}
	}
}

func TestASmallDownloadTakesThreeRoundTrips(t *testing.T) {
	for _, hold := range []bool{false, true} {
		for _, mode := range []ftptest.TLSMode{ftptest.Plain, ftptest.Explicit} {
			t.Run(fmt.Sprint("hold ", hold, ", TLS ", mode), func(t *testing.T) {
				srv, client := serve(t, ftptest.Options{HoldFinal: hold, TLS: mode})
				names := small(t, filepath.Join(srv.Dir(), "there"), 51)
				require.NoError(t, client.Ping(t.Context(), "srv"))
				srv.ResetStats()
				local := t.TempDir()
				_, err := client.Download(t.Context(), "srv", "there/f050", filepath.Join(local, "one"), nil)
				require.NoError(t, err)
				assert.LessOrEqual(t, srv.Stats().RoundTrips, 4, "a file by itself")

				srv.ResetStats()
				_, err = client.DownloadFiles(t.Context(), "srv", remotes("there", names[:50]), local, oneWorker())
				require.NoError(t, err)
				stats := srv.Stats()
				assert.LessOrEqual(t, stats.RoundTrips, 3*50+2)
				assert.Equal(t, 100, stats.Commands["SIZE"], "each is proved")
				assert.Equal(t, 50, stats.Commands["EPSV"])
			})
		}
	}
}

func TestAFileThatChangesAfterItWasLookedAtAheadIsFetchedAsItThenIs(t *testing.T) {
	var once sync.Once
	var srv *ftptest.Server
	srv, client := serve(t, ftptest.Options{OnCommand: func(cmd, arg string) {
		if cmd == "RETR" && strings.HasSuffix(arg, "f003") {
			once.Do(func() { put(t, srv, "there/f003", []byte("another")) })
		}
	}})
	names := small(t, filepath.Join(srv.Dir(), "there"), 8)
	local := t.TempDir()
	result, err := client.DownloadFiles(t.Context(), "srv", remotes("there", names), local, oneWorker())
	require.NoError(t, err)
	assert.Equal(t, 8, result.Succeeded)
	got, err := os.ReadFile(filepath.Join(local, "f003"))
	require.NoError(t, err)
	assert.Equal(t, "another", string(got))
}
