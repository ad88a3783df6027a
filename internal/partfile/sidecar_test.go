package partfile_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/partfile"
)

func TestAnUnusableSidecarSaysWhy(t *testing.T) {
	state := about(100)
	state.Offset = 10
	sidecar := func(src partfile.Source, s partfile.State) []byte {
		data, err := partfile.Encode(src, s)
		require.NoError(t, err)
		return data
	}
	good := string(sidecar(source, state))
	other := source
	other.Path = "/other"
	far, beyond := state, state
	far.Offset = 11
	beyond.Offset = 101
	for reason, data := range map[string]string{
		"damaged":                            good[:len(good)-5],
		"damaged: too long":                  good + strings.Repeat(" ", 64<<10),
		"damaged: wrong checksum":            strings.Replace(good, `"size":100`, `"size":999`, 1),
		"damaged: unexpected end":            "",
		"unknown version 3":                  strings.Replace(good, `"version":1`, `"version":3`, 1),
		"of another source":                  string(sidecar(other, state)),
		"10 bytes, shorter than its durable": string(sidecar(source, far)),
		"offset 101 of 100 bytes":            string(sidecar(source, beyond)),
		"offset -1":                          string(sidecar(source, partfile.State{Size: -1, Offset: -1})),
	} {
		t.Run(reason, func(t *testing.T) {
			root := openRoot(t)
			leave(t, root, []byte("ten bytes."))
			f := open(t, root)
			_, name, _ := f.Names()
			require.NoError(t, root.WriteFile(name, []byte(data), 0o600))
			_, err := f.Saved()
			require.ErrorContains(t, err, reason)
			require.NotErrorIs(t, err, fs.ErrNotExist)
			require.Error(t, f.Continue(state))
			require.NoError(t, f.Start(state), "a new start needs nothing of the old")
		})
	}
}

func TestASidecarWithoutItsPartialIsNothing(t *testing.T) {
	root := openRoot(t)
	leave(t, root, []byte("bytes"))
	f := open(t, root)
	require.NoError(t, root.Remove(partOf(f)))
	_, err := f.Saved()
	assert.ErrorIs(t, err, fs.ErrNotExist)
}

func TestASidecarHoldsNoNameOfUserOrFile(t *testing.T) {
	data, err := partfile.Encode(partfile.Source{Server: "secret.host:21", User: "secret-user", Path: "/secret"}, about(1))
	require.NoError(t, err)
	assert.NotContains(t, string(data), "secret")
}

func TestAHiddenNameThatIsNoRegularFileIsAnErrorAndStays(t *testing.T) {
	make := map[string]func(t *testing.T, root *os.Root, name string){
		"directory": func(t *testing.T, root *os.Root, name string) {
			t.Helper()
			require.NoError(t, root.Mkdir(name, 0o755))
		},
		"link": func(t *testing.T, root *os.Root, name string) {
			t.Helper()
			require.NoError(t, root.WriteFile("victim", []byte("precious"), 0o600))
			require.NoError(t, root.Symlink("victim", name))
		},
		"dangling link": func(t *testing.T, root *os.Root, name string) {
			t.Helper()
			require.NoError(t, root.Symlink("nowhere", name))
		},
	}
	for kind, plant := range make {
		for i, which := range []string{"partial", "sidecar", "lock"} {
			t.Run(kind+" as "+which, func(t *testing.T) {
				root := openRoot(t)
				f := begin(t, root, []byte("12345678"))
				part, state, lock := f.Names()
				require.NoError(t, f.Close())
				name := []string{part, state, lock}[i]
				require.NoError(t, root.RemoveAll(name))
				plant(t, root, name)

				f, err := partfile.Open(root, "target", source)
				if which == "lock" {
					require.ErrorContains(t, err, "not a regular file")
				} else {
					require.NoError(t, err)
					defer func() { assert.NoError(t, f.Close()) }()
					_, err = f.Saved()
					require.ErrorContains(t, err, "not a regular file")
					require.ErrorContains(t, f.Continue(partfile.State{Size: 8, Offset: 8}), "not a regular file")
					require.ErrorContains(t, f.Start(about(8)), "not a regular file")
				}
				_, err = root.Lstat(name)
				require.NoError(t, err)
				_, err = root.Lstat("nowhere")
				require.ErrorIs(t, err, fs.ErrNotExist)
				if kind == "link" {
					data, err := root.ReadFile("victim")
					require.NoError(t, err)
					assert.Equal(t, "precious", string(data))
				}
			})
		}
	}
}

func FuzzSidecar(f *testing.F) {
	s := about(100)
	s.Offset, s.DigestName, s.Digest = 10, "SHA-256", []byte("state")
	good, err := partfile.Encode(source, s)
	require.NoError(f, err)
	var e struct{ Payload json.RawMessage }
	require.NoError(f, json.Unmarshal(good, &e))
	f.Add(good)
	f.Add([]byte(e.Payload))
	f.Add([]byte(`{"version":1}`))
	f.Add([]byte(`{"version":1,"sha256":"","payload":null}`))
	f.Add([]byte(strings.Replace(string(e.Payload), `:10`, `:-10`, 1)))
	f.Add([]byte(strings.Replace(string(e.Payload), `:10`, `:10,"parts":[{"from":20,"to":30}]`, 1)))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, sidecar := range [][]byte{data, partfile.Envelope(string(data))} {
			s, err := partfile.Decode(sidecar, source)
			if err != nil {
				continue
			}
			if s.Offset < 0 || (s.Size >= 0 && s.Offset > s.Size) {
				t.Fatalf("impossible state %+v", s)
			}
			again, err := partfile.Encode(source, s)
			if err != nil {
				continue // a year beyond 9999
			}
			back, err := partfile.Decode(again, source)
			require.NoError(t, err)
			require.True(t, s.ModTime.Equal(back.ModTime))
			require.Len(t, back.Digest, len(s.Digest))
			require.Equal(t, s.Unique, back.Unique)
		}
	})
}
