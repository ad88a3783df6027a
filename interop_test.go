//go:build interop && linux

package ftpclient_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
	"github.com/corexalgo/ftpclient/internal/interop"
)

// A target is a server of any kind as the suite sees it.
type target struct {
	name, version string
	config        ftpclient.ServerConfig
	dir           string // the served folder
	storesRestart bool
	refusedDirs   []string       // names that it makes no directories of
	changedNames  []string       // names that it stores as others
	own           func()         // makes what was written into dir the server's
	idle          func() *target // the same server with an idle time-out of two seconds; nil: it has none so short
	cell          interop.Cell   // of a real server
}

func (x *target) client(t *testing.T, change ...func(*ftpclient.ServerConfig)) *ftpclient.Client {
	t.Helper()
	cfg := x.config
	for _, f := range change {
		f(&cfg)
	}
	return newClient(t, map[string]ftpclient.ServerConfig{"srv": cfg})
}

func (x *target) stored(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(x.dir, name))
	require.NoError(t, err)
	return b
}

func realTarget(t *testing.T, c interop.Cell) *target {
	t.Helper()
	s := interop.Start(t, c)
	x := &target{name: c.String(), version: s.Version, dir: s.Dir, own: func() { s.Own(t) }, config: ftpclient.ServerConfig{
		Host: s.Host, Port: s.Port, Username: s.User, Password: ftpclient.Secret(s.Password),
	}}
	x.cell, x.storesRestart = c, c.Server != interop.ProFTPD || c.StoreRestart
	if c.Server == interop.ProFTPD {
		x.refusedDirs = []string{"*"}
	}
	if c.Server == interop.PureFTPD {
		x.changedNames = []string{" leading", "trailing "}
	}
	if c.StoreRestart {
		x.name += "/restart"
	}
	if c.TLS != interop.Plain {
		x.config.TLS, x.config.CAFile = ftpclient.TLSMode(c.TLS), s.CAFile
	}
	if c.Server != interop.PureFTPD && c.IdleTimeout == 0 {
		x.idle = func() *target {
			c.IdleTimeout = 2 * time.Second // ProFTPD counts turns of the clock's second: of one, a moment may be left
			return realTarget(t, c)
		}
	}
	return x
}

func libraryTarget(t *testing.T, mode ftptest.TLSMode, version uint16, idle time.Duration) *target {
	t.Helper()
	s := ftptest.Start(t, ftptest.Options{TLS: mode, TLSMax: version, RequireReuse: mode != ftptest.Plain, IdleTimeout: idle, Hash: true})
	x := &target{name: "ftpserverlib/plain", version: "0.32.3", dir: s.Dir(), own: func() {}, storesRestart: true, config: ftpclient.ServerConfig{
		Host: s.Host(), Port: s.Port(), Username: s.User(), Password: ftpclient.Secret(s.Password()),
	}}
	if mode != ftptest.Plain {
		x.config.TLS = map[ftptest.TLSMode]ftpclient.TLSMode{ftptest.Explicit: ftpclient.TLSExplicit, ftptest.Implicit: ftpclient.TLSImplicit}[mode]
		x.name = fmt.Sprintf("ftpserverlib/%s/%s/reuse", x.config.TLS, strings.ToLower(strings.ReplaceAll(tls.VersionName(version), " ", "")))
		x.config.CAFile = filepath.Join(t.TempDir(), "ca.pem")
		require.NoError(t, os.WriteFile(x.config.CAFile, s.CertPEM(), 0o600))
	}
	if idle == 0 {
		x.idle = func() *target { return libraryTarget(t, mode, version, 2*time.Second) }
	}
	return x
}

// checks are the suite, in the order of the matrix's columns.
var checks = []struct {
	name string
	run  func(t *testing.T, x *target)
}{
	{"sizes", interopSizes},
	{"200 uploads", interopManyUploads},
	{"resume", interopResume},
	{"segments", interopSegments},
	{"files", interopFiles},
	{"trees", interopTrees},
	{"names", interopNames},
	{"parallel", interopParallel},
	{"cancel", interopCancel},
	{"idle", interopIdle},
	{"verify", interopVerify},
	{"digests", interopDigests},
	{"resumed", interopResumed},
	{"whole", interopWhole},
}

func TestInterop(t *testing.T) {
	m := &matrix{versions: map[string]string{}, marks: map[string]map[string]string{}}
	t.Cleanup(func() { m.print(t) })
	run := func(start func(t *testing.T) *target) {
		// A server per cell, and within it one check after another.
		t.Run("", func(t *testing.T) {
			x := start(t)
			m.versions[x.name] = x.version
			for _, check := range checks {
				mark := "ok"
				if !x.offers(check.name) {
					mark = "n/a"
				} else if !t.Run(strings.ReplaceAll(x.name, "/", "_")+"/"+check.name, func(t *testing.T) { check.run(t, x) }) {
					mark = "FAILED"
				}
				m.set(x.name, check.name, mark)
			}
		})
	}
	run(func(t *testing.T) *target { return libraryTarget(t, ftptest.Plain, 0, 0) })
	for _, mode := range []ftptest.TLSMode{ftptest.Explicit, ftptest.Implicit} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			run(func(t *testing.T) *target { return libraryTarget(t, mode, version, 0) })
		}
	}
	cells := append(interop.Cells(), interop.Cell{Server: interop.ProFTPD, TLS: interop.Plain, Options: interop.Options{StoreRestart: true}})
	for _, c := range cells {
		strict := c
		strict.RequireReuse = true
		if !c.RequireReuse && c.TLS != interop.Plain && strict.Check() == nil {
			continue // the same with session reuse required is the harder one
		}
		run(func(t *testing.T) *target { return realTarget(t, c) })
	}
}

// big is the size of the largest file.
const big = 256 * mib

func interopSizes(t *testing.T, x *target) {
	t.Helper()
	client := x.client(t)
	dir := t.TempDir()
	content := bytes.Repeat(randomBytes(t, mib), big/mib)
	for _, size := range []int{0, 1, 100 << 10, 8 * mib, big} {
		local := filepath.Join(dir, "up")
		require.NoError(t, os.WriteFile(local, content[:size], 0o600))
		up, err := client.Upload(t.Context(), "srv", local, "sizes/f", nil)
		require.NoError(t, err, size)
		assert.Equal(t, ftpclient.VerifiedSize, up.Verification.Method)
		require.True(t, bytes.Equal(content[:size], x.stored(t, "sizes/f")), size)
		back := filepath.Join(dir, "down")
		_, err = client.Download(t.Context(), "srv", "sizes/f", back, &ftpclient.TransferOptions{NoSync: true})
		require.NoError(t, err, size)
		got, err := os.ReadFile(back)
		require.NoError(t, err)
		require.True(t, bytes.Equal(content[:size], got), size)
	}
	assert.Equal(t, []string{"f"}, names(t, filepath.Join(x.dir, "sizes")))
	require.NoError(t, client.Remove(t.Context(), "srv", "sizes/f"))
	runtime.GC()
}

func interopManyUploads(t *testing.T, x *target) {
	t.Helper()
	client := x.client(t, func(c *ftpclient.ServerConfig) { c.MaxConns = 1 })
	for i := range 200 {
		content := []byte(strconv.Itoa(i))
		result, err := client.UploadFrom(t.Context(), "srv", bytes.NewReader(content), fmt.Sprintf("many/%d", i), nil)
		require.NoError(t, err, i)
		require.Equal(t, 1, result.Attempts, i)
	}
	assert.Len(t, names(t, filepath.Join(x.dir, "many")), 200)
	assert.Equal(t, "199", string(x.stored(t, "many/199")))
	stats, err := client.Stats("srv")
	require.NoError(t, err)
	assert.Equal(t, int64(1), stats.Dials)
}

// stopAfter is a context that ends once so much was moved.
func stopAfter(t *testing.T, bytes int64) (context.Context, ftpclient.ProgressFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	return ctx, func(p ftpclient.Progress) {
		if p.Bytes >= bytes {
			cancel()
		}
	}
}

func interopResume(t *testing.T, x *target) {
	t.Helper()
	client := x.client(t)
	content := randomBytes(t, 24*mib)
	local := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(local, content, 0o600))
	ctx, progress := stopAfter(t, 12*mib)
	_, err := client.Upload(ctx, "srv", local, "resume", &ftpclient.TransferOptions{Progress: progress, BytesPerSecond: 40 * mib})
	require.ErrorIs(t, err, context.Canceled)
	assert.NoFileExists(t, filepath.Join(x.dir, "resume"))
	up, err := client.Upload(t.Context(), "srv", local, "resume", &ftpclient.TransferOptions{Resume: true})
	require.NoError(t, err)
	if x.storesRestart {
		assert.Positive(t, up.ResumedFrom, up.RestartReason)
	} else {
		assert.Contains(t, up.RestartReason, "451")
	}
	require.True(t, bytes.Equal(content, x.stored(t, "resume")))

	back := filepath.Join(t.TempDir(), "f")
	ctx, progress = stopAfter(t, 12*mib)
	_, err = client.Download(ctx, "srv", "resume", back, &ftpclient.TransferOptions{Progress: progress, BytesPerSecond: 40 * mib})
	require.ErrorIs(t, err, context.Canceled)
	assert.NoFileExists(t, back)
	down, err := client.Download(t.Context(), "srv", "resume", back, &ftpclient.TransferOptions{Resume: true})
	require.NoError(t, err)
	assert.Positive(t, down.ResumedFrom, down.RestartReason)
	onlyFile(t, back, content)
}

func interopFiles(t *testing.T, x *target) {
	t.Helper()
	client := x.client(t)
	ctx := t.Context()
	require.NoError(t, client.MkdirAll(ctx, "srv", "tree/a/b"))
	require.NoError(t, client.MkdirAll(ctx, "srv", "tree/a/b"), "again")
	_, err := client.UploadFrom(ctx, "srv", strings.NewReader("four"), "tree/a/file", nil)
	require.NoError(t, err)
	entries, err := client.List(ctx, "srv", "tree/a")
	require.NoError(t, err)
	require.Len(t, entries, 2)
	assert.Equal(t, "tree/a/b", entries[0].Path)
	assert.True(t, entries[0].IsDir())
	assert.Equal(t, int64(4), entries[1].Size)

	e, err := client.Stat(ctx, "srv", "tree/a/file")
	require.NoError(t, err)
	assert.Equal(t, int64(4), e.Size)
	assert.True(t, e.Mode.IsRegular())
	for path, want := range map[string]bool{"tree/a": true, "tree/a/file": false, "tree/none": false, "none/none": false} {
		is, err := client.IsDir(ctx, "srv", path)
		require.NoError(t, err, path)
		assert.Equal(t, want, is, path)
	}
	_, err = client.Stat(ctx, "srv", "tree/absent")
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = client.List(ctx, "srv", "tree/absent")
	require.Error(t, err)
	_, err = client.List(ctx, "srv", "tree/a/file")
	require.Error(t, err)
	_, err = client.Download(ctx, "srv", "tree/absent", filepath.Join(t.TempDir(), "f"), nil)
	require.ErrorIs(t, err, os.ErrNotExist)

	when := time.Date(2021, 2, 3, 4, 5, 6, 0, time.UTC)
	require.NoError(t, client.SetModTime(ctx, "srv", "tree/a/file", when))
	e, err = client.Stat(ctx, "srv", "tree/a/file")
	require.NoError(t, err)
	assert.Equal(t, when, e.ModTime)

	_, err = client.UploadFrom(ctx, "srv", strings.NewReader("other"), "tree/a/other", nil)
	require.NoError(t, err)
	_, err = client.UploadFrom(ctx, "srv", strings.NewReader("replaced"), "tree/a/other", nil)
	require.NoError(t, err)
	require.NoError(t, client.Rename(ctx, "srv", "tree/a/other", "tree/moved"))
	assert.Equal(t, "replaced", string(x.stored(t, "tree/moved")))
	require.ErrorIs(t, client.Rename(ctx, "srv", "tree/gone", "tree/x"), os.ErrNotExist)
	require.Error(t, client.Remove(ctx, "srv", "tree/a"), "not empty")
	for _, path := range []string{"tree/a/file", "tree/a/b", "tree/a", "tree/moved", "tree"} {
		require.NoError(t, client.Remove(ctx, "srv", path), path)
	}
	require.ErrorIs(t, client.Remove(ctx, "srv", "tree"), os.ErrNotExist)
}

func interopTrees(t *testing.T, x *target) {
	t.Helper()
	client := x.client(t)
	ctx := t.Context()
	var want []string
	for _, dir := range []string{"w", "w/a b", "w/a b/中", "w/empty", "w/z"} {
		require.NoError(t, client.MkdirAll(ctx, "srv", dir))
		for i := range 3 {
			if dir != "w/empty" {
				name := fmt.Sprintf("%s/f%d", dir, i)
				_, err := client.UploadFrom(ctx, "srv", strings.NewReader(name), name, nil)
				require.NoError(t, err)
				want = append(want, name)
			}
		}
	}
	slices.Sort(want)
	files, err := client.Files(ctx, "srv", "w")
	require.NoError(t, err)
	assert.Equal(t, want, files)
	for _, workers := range []int{1, 4} {
		var seen []string
		for e, err := range client.Walk(ctx, "srv", "w", &ftpclient.WalkOptions{Workers: workers, Exclude: []string{"z"}}) {
			require.NoError(t, err)
			seen = append(seen, e.Path)
		}
		assert.Equal(t, []string{
			"w/a b", "w/a b/f0", "w/a b/f1", "w/a b/f2", "w/a b/中", "w/a b/中/f0", "w/a b/中/f1", "w/a b/中/f2",
			"w/empty", "w/f0", "w/f1", "w/f2",
		}, seen)
	}
	content, err := fs.ReadFile(client.FS(ctx, "srv", "w"), "a b/中/f1")
	require.NoError(t, err)
	assert.Equal(t, "w/a b/中/f1", string(content))
	require.NoError(t, client.RemoveAll(ctx, "srv", "w"))
	require.NoError(t, client.RemoveAll(ctx, "srv", "w"), "again")
	assert.NoDirExists(t, filepath.Join(x.dir, "w"))
}

func interopNames(t *testing.T, x *target) {
	t.Helper()
	client := x.client(t)
	ctx := t.Context()
	odd := []string{"-R", "a b", "a;b", "a#%41", "[a]", "*", "q'q", "中文.txt", "~x", "{a,b}", "💾", ".hidden", " leading", "trailing ", `a"b`}
	for _, name := range odd {
		if slices.Contains(x.changedNames, name) {
			continue
		}
		for _, path := range []string{name, "odd/" + name} {
			_, err := client.UploadFrom(ctx, "srv", strings.NewReader(name), path, nil)
			require.NoError(t, err, path)
			assert.Equal(t, name, string(x.stored(t, path)), path)
			var b bytes.Buffer
			_, err = client.DownloadTo(ctx, "srv", path, &b, nil)
			require.NoError(t, err, path)
			assert.Equal(t, name, b.String())
			e, err := client.Stat(ctx, "srv", path)
			require.NoError(t, err, path)
			assert.Equal(t, int64(len(name)), e.Size, path)
			require.NoError(t, client.Rename(ctx, "srv", path, path+" moved"), path)
			assert.Equal(t, name, string(x.stored(t, path+" moved")), path)
			require.NoError(t, client.Rename(ctx, "srv", path+" moved", path), path)
			require.NoError(t, client.Remove(ctx, "srv", path), path)
		}
		dir := "dirs/" + name
		if slices.Contains(x.refusedDirs, name) {
			require.ErrorContains(t, client.MkdirAll(ctx, "srv", dir), "550")
			continue
		}
		require.NoError(t, client.MkdirAll(ctx, "srv", dir), dir)
		_, err := client.UploadFrom(ctx, "srv", strings.NewReader("x"), dir+"/file", nil)
		require.NoError(t, err)
		entries, err := client.List(ctx, "srv", dir)
		require.NoError(t, err, dir)
		require.Len(t, entries, 1, dir)
		assert.Equal(t, dir+"/file", entries[0].Path)
	}
}

func interopParallel(t *testing.T, x *target) {
	t.Helper()
	client := x.client(t)
	content := randomBytes(t, 3*mib)
	var all sync.WaitGroup
	errs, back := make([]error, 5), make([]bytes.Buffer, 5)
	for i := range errs {
		all.Go(func() {
			name := fmt.Sprintf("parallel/%d", i)
			_, up := client.UploadFrom(t.Context(), "srv", bytes.NewReader(content), name, nil)
			_, down := client.DownloadTo(t.Context(), "srv", name, &back[i], nil)
			errs[i] = errors.Join(up, down)
		})
	}
	all.Wait()
	require.NoError(t, errors.Join(errs...))
	for i := range back {
		assert.True(t, bytes.Equal(content, back[i].Bytes()))
	}
}

func interopCancel(t *testing.T, x *target) {
	t.Helper()
	client := x.client(t, func(c *ftpclient.ServerConfig) { c.MaxConns = 1 })
	require.NoError(t, os.WriteFile(filepath.Join(x.dir, "cancel"), make([]byte, 8*mib), 0o644))
	x.own()
	for range 3 {
		ctx, progress := stopAfter(t, mib)
		_, err := client.DownloadTo(ctx, "srv", "cancel", &bytes.Buffer{}, &ftpclient.TransferOptions{Progress: progress, BytesPerSecond: 4 * mib})
		require.ErrorIs(t, err, context.Canceled)
		require.NoError(t, client.Ping(t.Context(), "srv"))
		_, err = client.UploadFrom(t.Context(), "srv", strings.NewReader("after"), "after", nil)
		require.NoError(t, err)
	}
}

func interopIdle(t *testing.T, x *target) {
	t.Helper()
	idle := x.idle()
	client := idle.client(t, func(c *ftpclient.ServerConfig) { c.KeepAlive = -1 })
	require.NoError(t, client.Ping(t.Context(), "srv"))
	<-time.After(3500 * time.Millisecond) // the server's clock, not ours
	result, err := client.UploadFrom(t.Context(), "srv", strings.NewReader("x"), "idle", nil)
	require.NoError(t, err)
	assert.Equal(t, 1, result.Attempts, "the server's goodbye is not seen")
	kept := idle.client(t, func(c *ftpclient.ServerConfig) { c.KeepAlive = 300 * time.Millisecond })
	require.NoError(t, kept.Ping(t.Context(), "srv"))
	<-time.After(3500 * time.Millisecond)
	require.NoError(t, kept.Ping(t.Context(), "srv"))
	stats, err := kept.Stats("srv")
	require.NoError(t, err)
	assert.Equal(t, int64(1), stats.Dials, "NOOP kept it alive")
}

func interopVerify(t *testing.T, x *target) {
	t.Helper()
	client := x.client(t)
	content := randomBytes(t, mib)
	best := &ftpclient.TransferOptions{Verify: ftpclient.VerifyBest}
	up, err := client.UploadFrom(t.Context(), "srv", bytes.NewReader(content), "ver ify", best)
	require.NoError(t, err)
	var b bytes.Buffer
	down, err := client.DownloadTo(t.Context(), "srv", "ver ify", &b, best)
	require.NoError(t, err)
	want := ftpclient.VerifiedSize
	if strings.HasPrefix(x.name, "proftpd") || strings.HasPrefix(x.name, "ftpserverlib") {
		want = ftpclient.VerifiedServerHash
	}
	assert.Equal(t, want, up.Verification.Method)
	assert.Equal(t, want, down.Verification.Method)
	back, err := client.UploadFrom(t.Context(), "srv", bytes.NewReader(content), "verify2", &ftpclient.TransferOptions{Verify: ftpclient.VerifyReadBack})
	require.NoError(t, err)
	assert.Equal(t, ftpclient.VerifiedReadBack, back.Verification.Method)
}

// A matrix is what the suite found, a row a cell.
type matrix struct {
	rows     []string
	versions map[string]string
	marks    map[string]map[string]string
}

func (m *matrix) set(row, column, mark string) {
	if m.marks[row] == nil {
		m.marks[row] = map[string]string{}
		m.rows = append(m.rows, row)
	}
	m.marks[row][column] = mark
}

// print writes the matrix to the log, and between two marks of docs/INTEROP.md where the environment asks for that.
func (m *matrix) print(t *testing.T) {
	t.Helper()
	var b strings.Builder
	b.WriteString("| server | version |")
	for _, c := range checks {
		b.WriteString(" " + c.name + " |")
	}
	b.WriteString("\n| --- | --- |" + strings.Repeat(" --- |", len(checks)) + "\n")
	for _, row := range m.rows {
		fmt.Fprintf(&b, "| %s | %s |", row, m.versions[row])
		for _, c := range checks {
			fmt.Fprintf(&b, " %s |", m.marks[row][c.name])
		}
		b.WriteString("\n")
	}
	fmt.Print("\n" + b.String())
	path := os.Getenv("FTPCLIENT_INTEROP_DOC") // the matrix is also kept there
	if path == "" {
		return
	}
	const begin, end = "<!-- matrix -->\n", "<!-- end of matrix -->"
	doc, err := os.ReadFile(path)
	require.NoError(t, err)
	head, rest, ok := strings.Cut(string(doc), begin)
	require.True(t, ok)
	_, tail, ok := strings.Cut(rest, end)
	require.True(t, ok)
	require.NoError(t, os.WriteFile(path, []byte(head+begin+b.String()+end+tail), 0o644))
}
