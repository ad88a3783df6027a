package ftpclient_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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

// slowFinal makes a server end uploads some time after it has granted them; at a distance that makes it one that waits for the
// client.
var slowFinal = ftptest.Fault{Cmd: "STOR", Do: ftptest.SlowFinal, Delay: distance}

const distance = 10 * time.Millisecond

// odd are servers that a download's commands sent ahead have to work with.
var odd = map[string]ftptest.Options{
	"plain":                   {},
	"holds its final reply":   {HoldFinal: true},
	"TLS":                     {TLS: ftptest.Explicit, RequireReuse: true},
	"TLS, holds":              {TLS: ftptest.Explicit, HoldFinal: true},
	"no MFMT":                 {HideFeatures: []string{"MFMT"}},
	"refuses to set times":    {Faults: []ftptest.Fault{{Cmd: "MFMT", Do: ftptest.Refuse, Reply: "501 no"}}},
	"dies at MFMT":            {Latency: distance, Faults: []ftptest.Fault{slowFinal, {Cmd: "MFMT", Skip: 12, Times: 1, Do: ftptest.CutControl}}},
	"no EPSV":                 {HideFeatures: []string{"EPSV"}},
	"no MDTM":                 {HideFeatures: []string{"MDTM"}},
	"no SIZE":                 {HideFeatures: []string{"SIZE"}},
	"no REST":                 {NoREST: true},
	"refuses to rename over":  {RenameRefusesExisting: true},
	"250 for 226":             {Faults: []ftptest.Fault{{Cmd: "RETR", Do: ftptest.FinalReply, Reply: "250 ok"}}},
	"cut now and then":        {Faults: []ftptest.Fault{{Cmd: "RETR", Skip: 7, Times: 1, Do: ftptest.CutData, After: 100}}},
	"loses the control conn":  {Faults: []ftptest.Fault{{Cmd: "RETR", Skip: 7, Times: 1, Do: ftptest.DropFinalReply}}},
	"dies at SIZE":            {Faults: []ftptest.Fault{{Cmd: "SIZE", Skip: 12, Times: 1, Do: ftptest.CutControl}}},
	"dies at MDTM":            {Faults: []ftptest.Fault{{Cmd: "MDTM", Skip: 12, Times: 1, Do: ftptest.CutControl}}},
	"dies at RNFR":            {Faults: []ftptest.Fault{{Cmd: "RNFR", Skip: 12, Times: 1, Do: ftptest.CutControl}}},
	"no answer to RNTO":       {Faults: []ftptest.Fault{{Cmd: "RNTO", Skip: 12, Times: 1, Do: ftptest.DropFinalReply}}},
	"dies at EPSV":            {Faults: []ftptest.Fault{{Cmd: "EPSV", Skip: 12, Times: 1, Do: ftptest.CutControl}}},
	"refuses an EPSV":         {Faults: []ftptest.Fault{{Cmd: "EPSV", Skip: 5, Times: 2, Do: ftptest.Refuse, Reply: "425 not now"}}},
	"says too much":           {Faults: []ftptest.Fault{{Cmd: "RETR", Skip: 5, Times: 1, Do: ftptest.ExtraReply}}},
	"says too much at SIZE":   {Faults: []ftptest.Fault{{Cmd: "SIZE", Skip: 9, Times: 1, Do: ftptest.ExtraReply}}},
	"slow to finish":          {Latency: distance, Faults: []ftptest.Fault{slowFinal}},
	"slow, dies at SIZE":      {Latency: distance, Faults: []ftptest.Fault{slowFinal, {Cmd: "SIZE", Skip: 12, Times: 1, Do: ftptest.CutControl}}},
	"slow, dies at RNFR":      {Latency: distance, Faults: []ftptest.Fault{slowFinal, {Cmd: "RNFR", Skip: 12, Times: 1, Do: ftptest.CutControl}}},
	"slow, refuses SIZE":      {Latency: distance, Faults: []ftptest.Fault{slowFinal, {Cmd: "SIZE", Skip: 9, Times: 1, Do: ftptest.Refuse, Reply: "500 busy"}}},
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
				opts := oneWorker()
				opts.Existing = ftpclient.SkipSame
				result, err := d.move(t.Context(), client, local, "there", opts)
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

func TestASmallUploadTakesFourRoundTrips(t *testing.T) {
	for mode, most := range map[ftptest.TLSMode]int{ftptest.Plain: 4, ftptest.Explicit: 4} {
		t.Run(fmt.Sprint("TLS ", mode), func(t *testing.T) {
			srv, client := serve(t, ftptest.Options{TLS: mode})
			names := small(t, t.TempDir(), 51)
			for i, name := range names {
				at := time.Date(2020, 1, 2, 3, 4, i, 0, time.UTC)
				require.NoError(t, os.Chtimes(name, at, at))
			}
			require.NoError(t, os.MkdirAll(filepath.Join(srv.Dir(), "there"), 0o755))
			require.NoError(t, client.Ping(t.Context(), "srv"))
			srv.ResetStats()
			_, err := client.Upload(t.Context(), "srv", names[50], "there/one", nil)
			require.NoError(t, err)
			assert.LessOrEqual(t, srv.Stats().RoundTrips, 5, "a file by itself")

			srv.ResetStats()
			_, err = client.UploadFiles(t.Context(), "srv", names[:50], "there", oneWorker())
			require.NoError(t, err)
			stats := srv.Stats()
			assert.LessOrEqual(t, stats.RoundTrips, most*50+2)
			assert.Equal(t, 50, stats.Commands["SIZE"], "each is proved")
			assert.Equal(t, 50, stats.Commands["RNFR"])
			assert.Equal(t, 50, stats.Commands["EPSV"])

			srv.ResetStats()
			dated := oneWorker()
			dated.PreserveTime = true
			_, err = client.UploadFiles(t.Context(), "srv", names[:50], "there", dated)
			require.NoError(t, err)
			assert.LessOrEqual(t, srv.Stats().RoundTrips, most*50+2, "a time costs no round trip")
			assert.Equal(t, 50, srv.Stats().Commands["MFMT"])
			for _, name := range names[:50] {
				want, err := os.Stat(name)
				require.NoError(t, err)
				got, err := os.Stat(filepath.Join(srv.Dir(), "there", filepath.Base(name)))
				require.NoError(t, err)
				assert.Equal(t, want.ModTime().Truncate(time.Second), got.ModTime().Truncate(time.Second), name)
			}
		})
	}
}

func TestContentSentBeforeARefusalIsSentAgainAndCountedOnce(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	names := small(t, t.TempDir(), 3)
	var last ftpclient.Progress
	opts := &ftpclient.TransferOptions{Progress: func(p ftpclient.Progress) { last = p }}
	result, err := client.Upload(t.Context(), "srv", names[1], "not/yet/there", opts)
	require.NoError(t, err)
	assert.Equal(t, result.Bytes, last.Bytes)
	assert.Equal(t, result.Bytes, result.Transferred)
	assert.Equal(t, 2, srv.Stats().Commands["STOR"])
	want, err := os.ReadFile(names[1])
	require.NoError(t, err)
	got, err := os.ReadFile(filepath.Join(srv.Dir(), "not/yet/there"))
	require.NoError(t, err)
	assert.Equal(t, want, got)

	srv.SetFaults(ftptest.Fault{Cmd: "STOR", Do: ftptest.Refuse, Reply: "552 full"})
	_, err = client.Upload(t.Context(), "srv", names[2], "full", &ftpclient.TransferOptions{Retry: never()})
	var refused *ftpclient.Error
	require.ErrorAs(t, err, &refused)
	assert.Equal(t, 552, refused.Code)
	assert.Equal(t, 1, srv.Stats().MaxOpen, "the connection is still good")
	require.NoError(t, client.Ping(t.Context(), "srv"))
	assert.Equal(t, 1, srv.Stats().Conns)
}

func TestOddAnswersToCommandsSentAheadLoseNothing(t *testing.T) {
	files := map[string]string{}
	var names []string
	for i := range 12 {
		name := fmt.Sprintf("f%02d", i)
		files[name] = strings.Repeat(name, 50)
		names = append(names, name)
	}
	for what, answer := range map[string]func() ftptest.Answer{
		"refuses SIZE now and then": func() ftptest.Answer {
			var n atomic.Int32
			return func(cmd, _ string) (string, bool) {
				if cmd == "SIZE" && n.Add(1)%5 == 4 { // never the one before RETR for the first time
					return "500 busy", true
				}
				return "", false
			}
		},
		"forgets RNFR": func() ftptest.Answer {
			last := ""
			return func(cmd, arg string) (string, bool) {
				before := last
				last = cmd
				if cmd == "RNTO" && before != "RNFR" {
					return "503 RNFR first", true
				}
				return "", false
			}
		},
		"refuses EPSV now and then": func() ftptest.Answer {
			var n atomic.Int32
			return func(cmd, arg string) (string, bool) {
				return "450 busy", cmd == "EPSV" && n.Add(1)%3 == 0
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			srv := ftptest.ScriptFTP(t, files, answer())
			client := newClient(t, map[string]ftpclient.ServerConfig{"srv": {Host: srv.Host(), Port: srv.Port(), Username: "u", Password: "secret"}})
			local := t.TempDir()
			result, err := client.DownloadFiles(t.Context(), "srv", names, local, oneWorker())
			require.NoError(t, err)
			assert.Equal(t, 12, result.Succeeded)
			assert.Equal(t, files, grown(t, local))
			sources := small(t, t.TempDir(), 5)
			_, err = client.UploadFiles(t.Context(), "srv", sources, "up", oneWorker())
			require.NoError(t, err)
			back := t.TempDir() // what is there now
			_, err = client.DownloadFiles(t.Context(), "srv", remotes("up", sources), back, oneWorker())
			require.NoError(t, err)
			assert.Equal(t, grown(t, filepath.Dir(sources[0])), grown(t, back))
		})
	}
}

func TestAPortThatIsClosedBeforeItIsUsedIsNoFailure(t *testing.T) {
	for _, d := range directions {
		t.Run(d.name, func(t *testing.T) {
			srv, client := serve(t, ftptest.Options{Reply: deadPort(9)})
			local := filepath.Join(t.TempDir(), "here")
			source, target := d.sides(srv, local, "there")
			small(t, source, 20)
			opts := oneWorker()
			opts.Retry = never()
			_, err := d.move(t.Context(), client, local, "there", opts)
			require.NoError(t, err)
			assert.Equal(t, grown(t, source), grown(t, target))
		})
	}
}

// strict makes a server refuse whatever follows a granted RNFR, except RNTO and NOOP, as ProFTPD does.
func strict() func(cmd, arg string, reply []byte) []byte {
	var renaming atomic.Bool
	return func(cmd, _ string, reply []byte) []byte {
		switch {
		case cmd == "RNTO":
			renaming.Store(false)
		case renaming.Load() && cmd != "NOOP":
			return []byte("501 Bad sequence of commands\r\n")
		case cmd == "RNFR" && reply[0] == '3':
			renaming.Store(true)
		}
		return reply
	}
}

func TestAnUploadThatFailsOnceItsRenameWasBegunSpoilsNoOther(t *testing.T) {
	for name, c := range map[string]struct {
		fault  ftptest.Fault
		change bool
		err    error
		conns  int
	}{
		"none":                  {fault: slowFinal, conns: 1},
		"the disk is full":      {fault: ftptest.Fault{Cmd: "STOR", Path: "f003", Do: ftptest.FinalReply, Reply: "552 quota"}, conns: 1},
		"the source changes":    {fault: slowFinal, change: true, err: ftpclient.ErrMismatch, conns: 1},
		"the size is wrong":     {fault: ftptest.Fault{Cmd: "SIZE", Path: "f003", Do: ftptest.FinalReply, Reply: "213 1"}, conns: 1},
		"SIZE is denied":        {fault: ftptest.Fault{Cmd: "SIZE", Do: ftptest.Refuse, Reply: "550 denied"}, conns: 1},
		"there is no SIZE":      {fault: ftptest.Fault{Cmd: "SIZE", Do: ftptest.Refuse, Reply: "500 what?"}, conns: 1},
		"MDTM is denied":        {fault: ftptest.Fault{Cmd: "MDTM", Do: ftptest.Refuse, Reply: "550 denied"}, conns: 1},
		"no time is readable":   {fault: ftptest.Fault{Cmd: "MDTM", Do: ftptest.FinalReply, Reply: "213 yesterday"}, conns: 1},
		"no port now and then":  {fault: ftptest.Fault{Cmd: "EPSV", Skip: 4, Times: 1, Do: ftptest.Refuse, Reply: "425 no port"}, conns: 1},
		"there is no MFMT":      {fault: ftptest.Fault{Cmd: "MFMT", Do: ftptest.Refuse, Reply: "500 what?"}, conns: 1},
		"no time is set":        {fault: ftptest.Fault{Cmd: "MFMT", Do: ftptest.Refuse, Reply: "501 no"}, conns: 1},
		"the rename is refused": {fault: ftptest.Fault{Cmd: "RNTO", Path: "f003", Do: ftptest.Refuse, Reply: "550 no"}, conns: 1},
	} {
		for _, far := range []time.Duration{0, distance} {
			t.Run(fmt.Sprint(name, ", ", far), func(t *testing.T) {
				t.Parallel()
				names := small(t, filepath.Join(t.TempDir(), "here"), 8)
				var once sync.Once
				srv, client := serve(t, ftptest.Options{Latency: far, Reply: strict(), OnCommand: func(cmd, arg string) {
					if c.change && cmd == "STOR" && strings.Contains(arg, "f003") {
						once.Do(func() { _ = os.WriteFile(names[3], []byte("another"), 0o644) })
					}
				}})
				srv.SetFaults(c.fault, slowFinal)
				opts := oneWorker()
				opts.Retry, opts.PreserveTime = never(), true
				result, err := client.UploadFiles(t.Context(), "srv", names, "there", opts)
				failed := 0
				if c.err != nil || c.fault.Path != "" {
					failed = 1
					require.Error(t, err)
					if c.err != nil {
						require.ErrorIs(t, err, c.err)
					}
				}
				assert.Equal(t, failed, result.Failed)
				assert.Equal(t, 8-failed, result.Succeeded)
				assert.Equal(t, c.conns, srv.Stats().Conns)
				want, got := grown(t, filepath.Dir(names[0])), grown(t, filepath.Join(srv.Dir(), "there"))
				if failed > 0 {
					delete(want, "f003")
					assert.NotContains(t, got, "f003")
				}
				for name := range want {
					assert.Equal(t, want[name], got[name], name)
				}
			})
		}
	}
}
