package ftpclient_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
)

// liveHeap is what is in use after a collection.
func liveHeap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// mallocs is how many objects were allocated so far.
func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

// The budgets of a listed entry: in directories of ten, each with a listing's own allocations, here and in the server, and in a
// large one.
const (
	allocsPerEntry = 20
	allocsPerRow   = 4
)

// A treeServer answers listings from memory and needs next to no time for it: ftptest opens two ports for each, which on a
// machine with many sockets in TIME-WAIT costs more than all that is measured. Its waits are those of a line with latency.
type treeServer struct {
	control net.Listener
	latency time.Duration
	rows    func(dir string) []byte
	stat    func(dir string) []byte // the rows of STAT -a

	mu         sync.Mutex
	roundTrips int // guarded by mu: replies waited for, and data connections
}

func serveTree(b *testing.B, latency time.Duration, rows func(dir string) []byte) *treeServer {
	b.Helper()
	s := &treeServer{latency: latency, rows: rows}
	var err error
	s.control, err = net.Listen("tcp4", "127.0.0.1:0") //nolint:noctx // at once
	require.NoError(b, err)
	b.Cleanup(func() { _ = s.control.Close() })
	go func() {
		for {
			conn, err := s.control.Accept()
			if err != nil {
				return
			}
			go s.session(conn)
		}
	}()
	return s
}

// wait is one round trip, or several.
func (s *treeServer) wait(n int) {
	s.mu.Lock()
	s.roundTrips += n
	s.mu.Unlock()
	if s.latency > 0 {
		<-time.After(time.Duration(n) * s.latency)
	}
}

// trips tells how many there were, and counts anew.
func (s *treeServer) trips() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.roundTrips
	s.roundTrips = 0
	return n
}

func (s *treeServer) session(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	data, err := net.Listen("tcp4", "127.0.0.1:0") //nolint:noctx // at once
	if err != nil {
		return
	}
	defer func() { _ = data.Close() }()
	say := func(text string) { _, _ = io.WriteString(conn, text+"\r\n") }
	say("220 ready")
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		cmd, arg, _ := strings.Cut(lines.Text(), " ")
		switch cmd {
		case "USER":
			say("331 password")
		case "PASS":
			say("230 in")
		case "FEAT":
			say("211-Features\r\n MLST type*;size*;modify*;\r\n EPSV\r\n211 End")
		case "PWD":
			say(`257 "/"`)
		case "EPSV":
			s.wait(1)
			say(fmt.Sprintf("229 Extended (|||%d|)", data.Addr().(*net.TCPAddr).Port))
		case "MLSD":
			out, err := data.Accept()
			if err != nil {
				return
			}
			s.wait(2) // for the connection, and for the command
			say("150 here")
			_, _ = out.Write(s.rows(arg))
			_ = out.Close()
			say("226 done")
		case "STAT":
			say("213-Status follows:")
			_, _ = conn.Write(s.stat(strings.TrimPrefix(arg, "-a ")))
			say("213 End of status")
		case "NOOP": // ends each group
			s.wait(1)
			say("200 ok")
		default:
			say("200 ok")
		}
	}
}

func (s *treeServer) client(b *testing.B, conns int) *ftpclient.Client {
	b.Helper()
	at := s.control.Addr().(*net.TCPAddr)
	client, err := ftpclient.New(ftpclient.Config{Servers: map[string]ftpclient.ServerConfig{
		"srv": {Host: at.IP.String(), Port: at.Port, MaxConns: conns, KeepAlive: -1},
	}})
	require.NoError(b, err)
	b.Cleanup(func() { _ = client.Close() })
	return client
}

// BenchmarkWalk walks a tree of 1,000 directories with 10 files in each. With one worker and 20 ms it takes a minute.
func BenchmarkWalk(b *testing.B) {
	const tops, subs, files = 40, 24, 10
	var content, stated [3][]byte
	for depth, dirs := range []int{tops, subs, 0} {
		var rows, stat bytes.Buffer
		stat.WriteString("drwxr-xr-x 1 u g 4096 Jan  2 03:04 .\r\n")
		for i := range dirs {
			fmt.Fprintf(&rows, "type=dir;modify=20240102030405; directory-%02d\r\n", i)
			fmt.Fprintf(&stat, "drwxr-xr-x 1 u g 4096 Jan  2 03:04 directory-%02d\r\n", i)
		}
		for i := range files {
			fmt.Fprintf(&rows, "type=file;size=%d;modify=20240102030405; file-%02d.dat\r\n", i*1000, i)
			fmt.Fprintf(&stat, "-rw-r--r-- 1 u g %d Jan  2 03:04 file-%02d.dat\r\n", i*1000, i)
		}
		content[depth], stated[depth] = rows.Bytes(), stat.Bytes()
	}
	at := func(content *[3][]byte) func(dir string) []byte {
		return func(dir string) []byte {
			if dir == "" || dir == "." {
				return content[0]
			}
			return content[1+strings.Count(dir, "/")]
		}
	}
	size := func(coarse bool) int64 { // of all rows
		s := &content
		if coarse {
			s = &stated
		}
		return int64(len(s[0]) + tops*len(s[1]) + tops*subs*len(s[2]))
	}
	const listings, entries = 1 + tops + tops*subs, tops + tops*subs + files*(1+tops+tops*subs)
	for _, latency := range []time.Duration{0, 20 * time.Millisecond} {
		var one time.Duration
		for _, c := range []struct {
			workers int
			coarse  bool
		}{{1, false}, {8, false}, {1, true}, {8, true}} {
			workers := c.workers
			b.Run(fmt.Sprintf("latency=%v/workers=%d/coarse=%v", latency, workers, c.coarse), func(b *testing.B) {
				srv := serveTree(b, latency, at(&content))
				srv.stat = at(&stated)
				client := srv.client(b, workers)
				walk := func(opts ftpclient.WalkOptions, visit func(n int)) (n int) {
					opts.Workers, opts.CoarseTimes = workers, c.coarse
					for _, err := range client.Walk(b.Context(), "srv", "", &opts) {
						require.NoError(b, err)
						n++
						visit(n)
					}
					return n
				}
				walk(ftpclient.WalkOptions{MaxDepth: 2, Exclude: []string{"directory-[1-3]?"}}, func(int) {}) // connects
				srv.trips()
				b.SetBytes(size(c.coarse))
				before := liveHeap()
				var peak, allocs uint64
				for b.Loop() {
					allocs -= mallocs()
					n := walk(ftpclient.WalkOptions{}, func(n int) {
						if n%500 == 0 {
							b.StopTimer()
							if now := liveHeap(); now > before {
								peak = max(peak, now-before)
							}
							b.StartTimer()
						}
					})
					allocs += mallocs()
					require.Equal(b, entries, n)
				}
				perEntry := float64(allocs) / float64(b.N*entries)
				b.ReportMetric(perEntry, "allocs/entry")
				if perEntry > allocsPerEntry {
					b.Errorf("%.1f allocations per entry, and the budget is %d", perEntry, allocsPerEntry)
				}
				b.ReportMetric(float64(srv.trips())/float64(b.N*listings), "roundtrips/dir")
				b.ReportMetric(float64(peak)/1024, "peak-KiB")
				took := b.Elapsed() / time.Duration(b.N)
				if workers == 1 && !c.coarse {
					one = took
				} else if one > 0 {
					b.ReportMetric(float64(one)/float64(took), "speedup")
				}
			})
		}
	}
}

// BenchmarkListHuge lists one directory of 200,000 entries.
func BenchmarkListHuge(b *testing.B) {
	const entries = 200_000
	var rows bytes.Buffer
	for i := range entries {
		fmt.Fprintf(&rows, "type=file;size=%d;modify=20240102030405;UNIX.mode=0644; measurement-%06d.csv\r\n", i, i)
	}
	srv := serveTree(b, 0, func(string) []byte { return rows.Bytes() })
	client := srv.client(b, 1)
	require.NoError(b, client.Ping(b.Context(), "srv"))
	before := liveHeap()
	var kept []ftpclient.Entry
	b.SetBytes(int64(rows.Len()))
	srv.trips()
	allocs := -mallocs()
	for b.Loop() {
		var err error
		kept, err = client.List(b.Context(), "srv", "huge")
		require.NoError(b, err)
		require.Len(b, kept, entries)
	}
	perEntry := float64(allocs+mallocs()) / float64(b.N*entries)
	b.ReportMetric(perEntry, "allocs/entry")
	if perEntry > allocsPerRow {
		b.Errorf("%.1f allocations per entry, and the budget is %d", perEntry, allocsPerRow)
	}
	b.ReportMetric(float64(srv.trips())/float64(b.N), "roundtrips/op")
	b.ReportMetric(float64(liveHeap()-before)/entries, "heap-B/entry")
	runtime.KeepAlive(kept)
}
