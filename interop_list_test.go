//go:build interop && linux

package ftpclient_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/interop"
)

// entriesOf is a whole walk, in order.
func entriesOf(t *testing.T, client *ftpclient.Client, root string, opts ftpclient.WalkOptions) []ftpclient.Entry {
	t.Helper()
	var all []ftpclient.Entry
	for e, err := range client.Walk(t.Context(), "srv", root, &opts) {
		require.NoError(t, err, e.Path)
		all = append(all, e)
	}
	return all
}

// A verbCounter is a log that counts the commands in it.
type verbCounter struct {
	mu    sync.Mutex
	verbs map[string]int // guarded by mu
}

func (c *verbCounter) Enabled(context.Context, slog.Level) bool { return true }
func (c *verbCounter) WithAttrs([]slog.Attr) slog.Handler       { return c }
func (c *verbCounter) WithGroup(string) slog.Handler            { return c }

func (c *verbCounter) Handle(_ context.Context, r slog.Record) error {
	if r.Message != "ftp >" {
		return nil
	}
	r.Attrs(func(a slog.Attr) bool {
		verb, _, _ := strings.Cut(a.Value.String(), " ")
		c.mu.Lock()
		c.verbs[verb]++
		c.mu.Unlock()
		return true
	})
	return nil
}

func (c *verbCounter) take() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	verbs := c.verbs
	c.verbs = map[string]int{}
	return verbs
}

// forest has every kind of thing that listings show differently.
func forest(t *testing.T, dir string) {
	t.Helper()
	for i := range 12 {
		for j := range 12 {
			sub := filepath.Join(dir, "tree", fmt.Sprintf("d%02d", i), fmt.Sprintf("s%02d", j))
			require.NoError(t, os.MkdirAll(sub, 0o755))
			for k := range 3 {
				require.NoError(t, os.WriteFile(filepath.Join(sub, fmt.Sprintf("f%d", k)), make([]byte, 100*i+k), 0o600))
			}
		}
	}
	old := time.Date(2019, 3, 4, 5, 6, 7, 0, time.UTC)
	require.NoError(t, os.Chtimes(filepath.Join(dir, "tree/d03/s03/f1"), old, old))
	for _, name := range []string{"d02/.hidden", "d02/.hd/f", "d03/ü/ö.txt", "d04/with blank/x y", "d04/[b]/*", "d05/-r/f", "d06/s01/.only"} {
		full := filepath.Join(dir, "tree", name)
		require.NoError(t, os.MkdirAll(filepath.Dir(full), 0o755))
		require.NoError(t, os.WriteFile(full, []byte(name), 0o640)) //nolint:gosec // what is tested
	}
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "tree/empty/er"), 0o755))
	require.NoError(t, os.Symlink("../d01", filepath.Join(dir, "tree/d07/dirlink")))
	require.NoError(t, os.Symlink("nowhere", filepath.Join(dir, "tree/d08/s09/dangling")))
	require.NoError(t, os.Symlink("f0", filepath.Join(dir, "tree/d08/s08/link")))
	require.NoError(t, os.Chmod(filepath.Join(dir, "tree/d09/s00"), 0o755|os.ModeSetgid))
}

func TestInteropEntriesAreTheSameByStatAndByDataListing(t *testing.T) {
	for _, cell := range interop.Cells() {
		if cell.TLS == interop.Implicit || cell.RequireReuse || cell.MaxTLS == tls.VersionTLS12 {
			continue // what TLS is like makes no difference to rows
		}
		for name, change := range map[string]func(*ftpclient.ServerConfig){
			"default": func(*ftpclient.ServerConfig) {},
			"LIST":    func(c *ftpclient.ServerConfig) { c.DisableMLSD = true },
			"hidden":  func(c *ftpclient.ServerConfig) { c.ListHidden = true },
		} {
			t.Run(cell.String()+"/"+name, func(t *testing.T) {
				x := realTarget(t, cell)
				forest(t, x.dir)
				x.own()
				for _, workers := range []int{1, 4} {
					exact := x.client(t, change, func(c *ftpclient.ServerConfig) { c.MaxConns = workers })
					count := &verbCounter{verbs: map[string]int{}}
					cfg := x.config
					change(&cfg)
					cfg.MaxConns = workers
					coarse, err := ftpclient.New(ftpclient.Config{Servers: map[string]ftpclient.ServerConfig{"srv": cfg}, Logger: slog.New(count)})
					require.NoError(t, err)
					t.Cleanup(func() { _ = coarse.Close() })
					// List never asks for STAT.
					var want []ftpclient.Entry
					var visit func(dir string)
					visit = func(dir string) {
						entries, err := exact.List(t.Context(), "srv", dir)
						require.NoError(t, err, dir)
						for _, e := range entries {
							want = append(want, e)
							if e.IsDir() {
								visit(e.Path)
							}
						}
					}
					visit("tree")
					require.Greater(t, len(want), 500)
					got := entriesOf(t, coarse, "tree", ftpclient.WalkOptions{Workers: workers, CoarseTimes: true})
					require.Len(t, got, len(want))
					for i := range want {
						a, b := want[i], got[i]
						assert.LessOrEqual(t, a.ModTime.Sub(b.ModTime).Abs(), max(a.TimePrecision, b.TimePrecision), a.Path)
						a.ModTime, a.TimePrecision = b.ModTime, b.TimePrecision
						require.Equal(t, a, b)
					}
					verbs := count.take()
					assert.GreaterOrEqual(t, verbs["STAT"], 150, verbs)
					// One for each kind of entry and for each name that STAT cannot be trusted with.
					assert.LessOrEqual(t, verbs["LIST"]+verbs["MLSD"], 9+4*workers, verbs)
					paths := func(all []ftpclient.Entry) (files []string) {
						for _, e := range all {
							if !e.IsDir() {
								files = append(files, e.Path)
							}
						}
						slices.Sort(files)
						return files
					}
					files, err := coarse.Files(t.Context(), "srv", "tree")
					require.NoError(t, err)
					assert.Equal(t, paths(want), files)
				}
				client := x.client(t, func(c *ftpclient.ServerConfig) { c.ListHidden = true })
				require.NoError(t, client.RemoveAll(t.Context(), "srv", "tree"))
				assert.NoDirExists(t, filepath.Join(x.dir, "tree"))
			})
		}
	}
}

// The last letter of windows-1251 is the byte with which a command of Telnet begins: ProFTPD takes such commands out of a name.
func TestNamesThatLookLikeTelnetAreWhatTheyAre(t *testing.T) {
	for _, server := range []string{interop.VSFTPD, interop.ProFTPD, interop.PureFTPD} {
		t.Run(server, func(t *testing.T) {
			x := realTarget(t, interop.Cell{Server: server, TLS: interop.Plain})
			enc := charset(t, "windows-1251")
			client := x.client(t, func(c *ftpclient.ServerConfig) { c.Encoding = "windows-1251" })
			var want []string
			for i, word := range []string{"а", "пять", "семья", "явь", "яя", "яы", "яфя", "проклятья"} {
				dir := fmt.Sprintf("d/%dпапка", i)
				raw, err := enc.NewEncoder().String(dir + "/" + word)
				require.NoError(t, err)
				_, err = client.UploadFrom(t.Context(), "srv", strings.NewReader(word), dir+"/"+word, nil)
				require.NoError(t, err)
				assert.Equal(t, word, string(x.stored(t, raw)))
				if want = append(want, dir, dir+"/"+word); i > 0 {
					require.NoError(t, client.MkdirAll(t.Context(), "srv", dir+"/я"+word))
					want = append(want, dir+"/я"+word)
				}
			}
			for _, coarse := range []bool{false, true} {
				var got []string
				for _, e := range entriesOf(t, client, "d", ftpclient.WalkOptions{CoarseTimes: coarse}) {
					got = append(got, e.Path)
				}
				assert.Equal(t, want, got)
			}
			require.NoError(t, client.RemoveAll(t.Context(), "srv", "d"))
			assert.NoDirExists(t, filepath.Join(x.dir, "d"))
		})
	}
}
