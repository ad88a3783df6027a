package ftpclient_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/ianaindex"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

// oddNames are those that servers, shells and clients have been seen to stumble over.
var oddNames = []string{
	"-R", "-la", "*", "?", "[a]", "{a,b}", "a b", " leading", "  two", "trailing ", "a;b", "type=dir; x", `a"b`, "a'b", "a`b", "$HOME", "~", "~root",
	"#a%41", "a:b", `a\b`, "a -> b", "...", ".hidden", "中文.txt", "emoji 😀", "e\u0301", "ü", "a\u00a0b", strings.Repeat("n", 200),
}

func TestEveryNameCanBeMadeListedStattedMovedAndRemoved(t *testing.T) {
	for dialect, o := range dialects {
		t.Run(dialect, func(t *testing.T) {
			srv, client := serve(t, o)
			ctx := t.Context()
			for _, name := range oddNames {
				// as a directory
				require.NoError(t, client.MkdirAll(ctx, "srv", name+"/"+name), name)
				assert.DirExists(t, filepath.Join(srv.Dir(), name, name))
				isDir, err := client.IsDir(ctx, "srv", name)
				require.NoError(t, err, name)
				assert.True(t, isDir, name)

				// as a file in it
				file := name + "/" + name + "/" + name
				_, err = client.UploadFrom(ctx, "srv", strings.NewReader("content"), file, nil)
				require.NoError(t, err, name)
				entries, err := client.List(ctx, "srv", name+"/"+name)
				require.NoError(t, err, name)
				require.Len(t, entries, 1, name)
				assert.Equal(t, name, entries[0].Name)
				assert.Equal(t, file, entries[0].Path)
				assert.Equal(t, int64(7), entries[0].Size)
				assert.False(t, entries[0].IsDir())
				e, err := client.Stat(ctx, "srv", file)
				require.NoError(t, err, name)
				assert.Equal(t, file, e.Path)
				assert.Equal(t, name, e.Name)
				assert.Equal(t, int64(7), e.Size)
				assert.True(t, e.Mode.IsRegular())
				when := time.Date(2020, 2, 3, 4, 5, 6, 0, time.UTC)
				require.NoError(t, client.SetModTime(ctx, "srv", file, when), name)
				if e, err = client.Stat(ctx, "srv", file); assert.NoError(t, err) {
					assert.Equal(t, when, e.ModTime)
				}
				files, err := client.Files(ctx, "srv", name)
				require.NoError(t, err, name)
				assert.Equal(t, []string{file}, files)

				// moved
				require.NoError(t, client.Rename(ctx, "srv", file, name+"/"+name+"/moved"), name)
				require.NoError(t, client.Rename(ctx, "srv", name+"/"+name+"/moved", name+"/file "+name), name)
				if o.NoMLSD && strings.HasPrefix(name, ".") {
					put(t, srv, name+"/"+name+"/.seen", nil) // else the server may be one that hides such names
				}
				exists, err := client.Exists(ctx, "srv", file)
				require.NoError(t, err, name)
				assert.False(t, exists, name)
				_, err = client.Stat(ctx, "srv", file)
				require.ErrorIs(t, err, fs.ErrNotExist, name)
				_ = os.Remove(filepath.Join(srv.Dir(), name, name, ".seen"))
				require.NoError(t, client.Rename(ctx, "srv", name+"/"+name, "renamed "+name), name)
				require.NoError(t, client.Rename(ctx, "srv", "renamed "+name, name+"/"+name), name)

				// removed
				require.Error(t, client.Remove(ctx, "srv", name), "it is not empty")
				require.NoError(t, client.Remove(ctx, "srv", name+"/"+name), name)
				require.NoError(t, client.Remove(ctx, "srv", name+"/file "+name), name)
				require.NoError(t, client.Remove(ctx, "srv", name), name)
				if err = client.Remove(ctx, "srv", name); !o.NoMLSD || !strings.HasPrefix(name, ".") {
					require.ErrorIs(t, err, fs.ErrNotExist, name)
				}
				require.Error(t, err)
				assert.Empty(t, names(t, srv.Dir()), name)
			}
			stats, err := client.Stats("srv")
			require.NoError(t, err)
			assert.Equal(t, int64(1), stats.Dials, "no name costs a connection")
		})
	}
}

func TestOddNamesSideBySideAreAllListedAndRemovedTogether(t *testing.T) {
	for dialect, o := range dialects {
		t.Run(dialect, func(t *testing.T) {
			srv, client := serve(t, o)
			var want []string
			for _, name := range oddNames {
				put(t, srv, "d/"+name+"/"+name, []byte("x"))
				want = append(want, "d/"+name+"/"+name)
			}
			slices.Sort(want)
			files, err := client.Files(t.Context(), "srv", "d")
			require.NoError(t, err)
			assert.Equal(t, want, files)
			require.NoError(t, client.RemoveAll(t.Context(), "srv", "d"))
			assert.Empty(t, names(t, srv.Dir()))
		})
	}
}

func TestControlCharactersAreRefusedBeforeAnythingIsSent(t *testing.T) {
	srv, client := serve(t, ftptest.Options{})
	ctx := t.Context()
	require.NoError(t, client.Ping(ctx, "srv"))
	srv.ResetStats()
	for _, name := range []string{"a\r\nDELE b", "a\x00b", "a\x7fb", "a\tb/c"} {
		_, err := client.List(ctx, "srv", name)
		require.ErrorIs(t, err, ftpclient.ErrUnsafeName)
		_, err = client.Stat(ctx, "srv", name)
		require.ErrorIs(t, err, ftpclient.ErrUnsafeName)
		_, err = client.Open(ctx, "srv", name)
		require.ErrorIs(t, err, ftpclient.ErrUnsafeName)
		require.ErrorIs(t, client.MkdirAll(ctx, "srv", name), ftpclient.ErrUnsafeName)
		require.ErrorIs(t, client.Remove(ctx, "srv", name), ftpclient.ErrUnsafeName)
		require.ErrorIs(t, client.RemoveAll(ctx, "srv", name), ftpclient.ErrUnsafeName)
		require.ErrorIs(t, client.Rename(ctx, "srv", name, "x"), ftpclient.ErrUnsafeName)
		require.ErrorIs(t, client.Rename(ctx, "srv", "x", name), ftpclient.ErrUnsafeName)
		require.ErrorIs(t, client.SetModTime(ctx, "srv", name, time.Now()), ftpclient.ErrUnsafeName)
		for _, err := range client.Walk(ctx, "srv", name, nil) {
			require.ErrorIs(t, err, ftpclient.ErrUnsafeName)
		}
	}
	assert.Empty(t, srv.Stats().Commands)
}

func charset(t *testing.T, name string) encoding.Encoding {
	t.Helper()
	enc, err := ianaindex.IANA.Encoding(name)
	require.NoError(t, err)
	return enc
}

func TestNamesGoThroughTheServersCharsetAndBack(t *testing.T) {
	for name, words := range map[string][]string{
		"gbk":          {"中文.txt", "乗[i]", "文件 夹", "-中"}, // 乗 ends with 0x5c in GBK
		"gb18030":      {"中文.txt", "emoji 😀", "€"},
		"big5":         {"中文.txt", "功許蓋"}, // each ends with 0x5c
		"shift_jis":    {"表示.txt", "ソース"},
		"windows-1251": {"Привет мир.txt", "ё"},
		"iso-8859-1":   {"Größe.txt", "é à"},
		"euc-kr":       {"한글.txt"},
	} {
		for dialect, o := range dialects {
			t.Run(name+" "+dialect, func(t *testing.T) {
				srv, client := serve(t, o, func(c *ftpclient.ServerConfig) { c.Encoding = name })
				ctx, enc := t.Context(), charset(t, name)
				for _, word := range words {
					raw, err := enc.NewEncoder().String(word)
					require.NoError(t, err)
					require.NotEqual(t, word, raw)

					require.NoError(t, client.MkdirAll(ctx, "srv", word))
					_, err = client.UploadFrom(ctx, "srv", strings.NewReader("content"), word+"/"+word, nil)
					require.NoError(t, err)
					assert.FileExists(t, filepath.Join(srv.Dir(), raw, raw), "the server has the name in its charset")

					entries, err := client.List(ctx, "srv", word)
					require.NoError(t, err)
					require.Len(t, entries, 1)
					assert.Equal(t, word, entries[0].Name)
					e, err := client.Stat(ctx, "srv", word+"/"+word)
					require.NoError(t, err)
					assert.Equal(t, word, e.Name)
					assert.Equal(t, int64(7), e.Size)
					isDir, err := client.IsDir(ctx, "srv", word)
					require.NoError(t, err)
					assert.True(t, isDir)
					require.NoError(t, client.Rename(ctx, "srv", word+"/"+word, word+"/2"+word))
					assert.FileExists(t, filepath.Join(srv.Dir(), raw, "2"+raw))
					content, err := fs.ReadFile(client.FS(ctx, "srv", word), "2"+word)
					require.NoError(t, err)
					assert.Equal(t, "content", string(content))
					require.NoError(t, client.RemoveAll(ctx, "srv", word))
					assert.Empty(t, names(t, srv.Dir()))
				}
			})
		}
	}
}

func TestBytesThatAreInvalidInTheCharsetAreAnErrorForThatEntry(t *testing.T) {
	for charset, bad := range map[string]string{"": "\xd6\xd0", "gbk": "\xff\xfe", "shift_jis": "\x85\x20", "euc-kr": "\xff"} {
		for dialect, o := range dialects {
			t.Run(charset+" "+dialect, func(t *testing.T) {
				srv, client := serve(t, o, func(c *ftpclient.ServerConfig) { c.Encoding = charset })
				put(t, srv, "d/good", []byte("x"))
				put(t, srv, "d/a"+bad, []byte("x"))
				put(t, srv, "d/sub/f", []byte("x"))
				entries, err := client.List(t.Context(), "srv", "d")
				require.Error(t, err)
				assert.False(t, ftpclient.Retryable(err))
				assert.Equal(t, []string{"good", "sub"}, entryNames(entries))
				files, err := client.Files(t.Context(), "srv", "")
				require.Error(t, err)
				assert.Equal(t, []string{"d/good", "d/sub/f"}, files)
				require.Error(t, client.RemoveAll(t.Context(), "srv", "d"))
				assert.Len(t, names(t, filepath.Join(srv.Dir(), "d")), 3, "nothing of a directory that is not seen whole is removed")
			})
		}
	}
	_, client := serve(t, ftptest.Options{}, func(c *ftpclient.ServerConfig) { c.Encoding = "gbk" })
	_, err := client.Stat(t.Context(), "srv", "😀")
	require.ErrorIs(t, err, ftpclient.ErrUnsafeName, "what the charset has no bytes for")
}

func entryNames(entries []ftpclient.Entry) []string {
	names := []string{}
	for _, e := range entries {
		names = append(names, e.Name)
	}
	return names
}

func TestNamesThatLeadOutOfTheirDirectoryAreErrors(t *testing.T) {
	for _, name := range []string{"../up", "/etc/passwd", "a/b", "x\x01y"} {
		for cmd, row := range map[string]string{
			"MLSD": "type=file;size=1;modify=20240102030405; " + name + "\r\ntype=file;size=2;modify=20240102030405; good\r\n",
			"LIST": "-rw-r--r-- 1 u g 1 Jan  2 2024 " + name + "\r\n-rw-r--r-- 1 u g 2 Jan  2 2024 good\r\n",
		} {
			_, client := serve(t, ftptest.Options{NoMLSD: cmd == "LIST", ListOnDataLines: func(string, string) []byte { return []byte(row) }})
			entries, err := client.List(t.Context(), "srv", "")
			require.ErrorIs(t, err, ftpclient.ErrUnsafeName, name)
			assert.Equal(t, []string{"good"}, entryNames(entries))
			for e, err := range client.Walk(t.Context(), "srv", "", nil) {
				if err != nil {
					require.ErrorIs(t, err, ftpclient.ErrUnsafeName)
					assert.Empty(t, e.Path, "the directory's, never the name's")
				}
			}
		}
	}
}

func TestASecondRowOfOneNameIsAnErrorAndNeitherFollowedNorRemoved(t *testing.T) {
	srv, client := serve(t, ftptest.Options{ListOnDataLines: func(_, arg string) []byte {
		switch arg {
		case "":
			return []byte("type=dir; x\r\n")
		case "x":
			return []byte("type=OS.unix=slink:/etc; d\r\ntype=dir; d\r\ntype=file;size=1; f\r\n")
		}
		return []byte("type=file;size=1; inside\r\n")
	}})
	var visited []string
	var faults int
	for e, err := range client.Walk(t.Context(), "srv", "x", nil) {
		if err != nil {
			require.ErrorIs(t, err, ftpclient.ErrNameCollision)
			faults++
			continue
		}
		visited = append(visited, e.Path)
	}
	assert.Equal(t, 1, faults)
	assert.Equal(t, []string{"x/d", "x/f"}, visited)
	assert.Equal(t, 1, srv.Stats().Commands["MLSD"])
	require.NoError(t, os.Mkdir(filepath.Join(srv.Dir(), "x"), 0o755))
	require.ErrorIs(t, client.RemoveAll(t.Context(), "srv", "x"), ftpclient.ErrNameCollision)
	assert.Equal(t, 1, srv.Stats().Commands["DELE"], "of x itself")
	assert.Zero(t, srv.Stats().Commands["RMD"])
}

func TestALetterWhoseSecondByteIsAGlobsIsNotGivenToLIST(t *testing.T) {
	srv, client := serve(t, ftptest.Options{NoMLSD: true}, func(c *ftpclient.ServerConfig) { c.Encoding = "shift_jis" })
	require.NoError(t, client.MkdirAll(t.Context(), "srv", "表")) // 0x95 0x5c
	_, err := client.List(t.Context(), "srv", "表")
	require.NoError(t, err)
	assert.Contains(t, srv.Stats().Log, "CWD \x95\\")
	assert.NotContains(t, srv.Stats().Log, "LIST \x95\\")
}

// A disk of another system's may be mounted anywhere; one that takes names for one is made of what it answers.
func TestNamesThatDifferInCaseCollideWhereTheFolderTakesThemForOne(t *testing.T) {
	content := map[string]string{"d/README": "1", "d/readme": "2", "d/Sub/x": "3", "d/sub/x": "4", "d/alone": "5"}
	for _, folding := range []bool{false, true} {
		ftpclient.Fold(t, folding)
		srv, client := serve(t, ftptest.Options{})
		for name, text := range content {
			put(t, srv, name, []byte(text))
		}
		plan, err := client.PlanMirror(t.Context(), "srv", "d", t.TempDir(), nil)
		require.NoError(t, err)
		for what, f := range map[string]func(local string) (*ftpclient.BatchResult, error){
			"tree": func(local string) (*ftpclient.BatchResult, error) {
				return client.DownloadDir(t.Context(), "srv", "d", local, nil)
			},
			"files": func(local string) (*ftpclient.BatchResult, error) {
				return client.DownloadFiles(t.Context(), "srv", []string{"d/README", "d/alone", "d/readme"}, local, nil)
			},
			"mirror": func(local string) (*ftpclient.BatchResult, error) {
				at := *plan
				at.Actions = slices.Clone(plan.Actions)
				for i := range at.Actions {
					at.Actions[i].Local = filepath.Join(local, strings.TrimPrefix(at.Actions[i].Remote, "d"))
				}
				at.LocalDir = local
				return client.Apply(t.Context(), &at, nil)
			},
		} {
			local := t.TempDir()
			result, err := f(local)
			got := grown(t, local)
			assert.Equal(t, "5", got["alone"], what)
			if !folding {
				require.NoError(t, err, what)
				assert.Equal(t, result.Total, result.Succeeded, what)
				continue
			}
			require.ErrorIs(t, err, ftpclient.ErrNameCollision, what)
			assert.Equal(t, map[string]int{"tree": 3, "files": 1, "mirror": 1}[what], result.Succeeded, what)
			for _, failure := range result.Failures {
				require.ErrorIs(t, failure.Err, ftpclient.ErrNameCollision, what)
			}
			if what == "tree" { // the first of two is the one
				assert.Equal(t, map[string]string{"README": "1", "Sub/x": "3", "alone": "5"}, got)
			}
		}
	}
}
