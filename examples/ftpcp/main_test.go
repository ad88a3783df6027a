package main

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/corexalgo/ftpclient/internal/ftptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const password = "s3cr3t-pass"

// serve starts a server whose password must never be printed.
func serve(t *testing.T, o ftptest.Options) *ftptest.Server {
	t.Helper()
	o.Password = password
	return ftptest.Start(t, o)
}

// An outcome is what a call of ftpcp left behind.
type outcome struct {
	status         int
	stdout, stderr string
}

func ftpcp(t *testing.T, args ...string) outcome {
	t.Helper()
	return ftpcpIn(t, t.Context(), nil, args...)
}

func ftpcpIn(t *testing.T, ctx context.Context, env map[string]string, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	status := run(ctx, args, func(key string) string { return env[key] }, &stdout, &stderr)
	assert.NotContains(t, stdout.String()+stderr.String(), password, "%q", args)
	return outcome{status, stdout.String(), stderr.String()}
}

// fails asserts an exit status and one line that holds words.
func (o outcome) fails(t *testing.T, status int, words ...string) {
	t.Helper()
	assert.Equal(t, status, o.status, o.stderr)
	assert.Empty(t, o.stdout)
	assert.Equal(t, 1, strings.Count(o.stderr, "\n"), "one line: %s", o.stderr)
	assert.True(t, strings.HasPrefix(o.stderr, "ftpcp: "), o.stderr)
	assert.NotContains(t, o.stderr, "\uFFFD")
	for _, w := range words {
		assert.Contains(t, o.stderr, w)
	}
}

func (o outcome) succeeds(t *testing.T) {
	t.Helper()
	assert.Zero(t, o.status, o.stderr)
}

func content(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(b) // always nil
	return b
}

func write(t *testing.T, dir, name string, b []byte) string {
	t.Helper()
	file := filepath.Join(dir, filepath.FromSlash(name))
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
	require.NoError(t, os.WriteFile(file, b, 0o600))
	return file
}

func holds(t *testing.T, want []byte, path ...string) {
	t.Helper()
	got, err := os.ReadFile(filepath.Join(path...))
	require.NoError(t, err)
	assert.True(t, bytes.Equal(want, got), "%d bytes, want %d", len(got), len(want))
}

// without is a URL of the server with neither password nor, if user is "", a user.
func without(t *testing.T, srv *ftptest.Server, user, path string) string {
	t.Helper()
	u, err := url.Parse(srv.URL(path))
	require.NoError(t, err)
	u.User = nil
	if user != "" {
		u.User = url.User(user)
	}
	return u.String()
}

func TestHelpTellsEveryCommandAndItsFlags(t *testing.T) {
	for _, args := range [][]string{{"help"}, {"-h"}, {"--help"}} {
		o := ftpcp(t, args...)
		o.succeeds(t)
		for _, c := range commands {
			assert.Contains(t, o.stdout, c.usage())
		}
		assert.Contains(t, o.stdout, "FTP_PASSWORD")
		assert.Contains(t, o.stdout, "-insecure")
		assert.Empty(t, o.stderr)
	}
	for _, c := range commands {
		for _, args := range [][]string{{"help", c.name}, {c.name, "-h"}} {
			o := ftpcp(t, args...)
			o.succeeds(t)
			assert.Contains(t, o.stdout, c.usage())
		}
	}
	assert.Equal(t, "ftpcp get [-resume] [-segments N] URL LOCAL", commands[0].usage())
	ftpcp(t, "help", "nonsense").fails(t, 2, "no such command")
	all := ftpcp(t, "help")
	assert.Equal(t, all, ftpcp(t, "help", "help"))
	column := strings.Index(all.stdout, "download a file\n") - strings.Index(all.stdout, "  ftpcp get")
	for _, c := range commands {
		line := strings.Index(all.stdout, "  "+c.usage()+" ")
		assert.Equal(t, column, strings.Index(all.stdout[line:], "  "+c.summary)+len("  "), c.name)
	}
}

func TestAFaultOfAFlagNamesTheFlag(t *testing.T) {
	bad := write(t, t.TempDir(), "bad.pem", nil)
	const a, b = "ftpes://127.0.0.1:1/a", "ftpes://127.0.0.1:2/b"
	o := ftpcp(t, "cp", "-cacert", bad, "-encoding", "nonsense", a, b)
	o.fails(t, 2)
	assert.Equal(t, "ftpcp: -cacert: "+bad+": no certificate in PEM form; -encoding: unknown charset \"nonsense\"\n", o.stderr)
	ftpcp(t, "ls", "-cacert", bad, "ftp://127.0.0.1:1/a").fails(t, 2, "-cacert: is set, but tls is not")
}

func TestAnInterruptedCallThatMovedNothingSaysJustThat(t *testing.T) {
	for _, args := range [][]string{{"ls"}, {"ls", "-r"}, {"rm", "-r"}, {"verify", "-r"}, {"mirror", "-n"}, {"get"}} {
		ctx, cancel := context.WithCancel(t.Context())
		cmd := "MLSD"
		if args[0] == "get" {
			cmd = "RETR"
		}
		srv := serve(t, ftptest.Options{
			Faults: []ftptest.Fault{{Cmd: cmd, Do: ftptest.StallControl}},
			OnCommand: func(got, _ string) {
				if got == cmd {
					cancel()
				}
			},
		})
		write(t, srv.Dir(), "d/f", content(10))
		switch local := t.TempDir(); args[0] {
		case "get":
			args = append(args, srv.URL("d/f"), local)
		case "verify", "mirror":
			args = append(args, srv.URL("d"), local)
		default:
			args = append(args, srv.URL("d"))
		}
		o := ftpcpIn(t, ctx, nil, args...)
		o.fails(t, 1)
		assert.Equal(t, "ftpcp: interrupted\n", o.stderr, args)
	}
}

func TestWrongUsageIsStatus2AndOneLineWithoutSecrets(t *testing.T) {
	const there = "ftp://user:" + password + "@127.0.0.1:1/x"
	for _, args := range [][]string{
		{},
		{there, "x"},
		{"got", there, "x"},
		{"get"},
		{"get", there},
		{"get", there, "x", "y"},
		{"get", "x", there},
		{"get", there, there},
		{"get", there, ""},
		{"get", strings.Replace(there, "ftp:", "http:", 1), "x"},
		{"get", "ftp://user:" + password + "@/x", "x"},
		{"get", "ftp://user:" + password + "@127.0.0.1", "x"},
		{"get", "ftp://user:" + password + "@127.0.0.1/dir/", "x"},
		{"get", "-resume=" + there, there, "x"},
		{"get", "-" + there, "x"},
		{"get", "-nonsense", there, "x"},
		{"-nonsense", "get", there, "x"},
		{"-cacert", "/nonexistent", "get", strings.Replace(there, "ftp:", "ftpes:", 1), "x"},
		{"-cacert", "/nonexistent", "get", there, "x"}, // two faults
		{"put", there, "x"},
		{"put", there, there},
		{"put", "", there},
		{"mget", there},
		{"mget", "x", there},
		{"mget", there, there},
		{"mget", "-workers", "x", there, "x"},
		{"mput", there, "x"},
		{"mput", there, there},
		{"mirror", there},
		{"mirror", there, there},
		{"mirror", there, ""},
		{"mirror", "x", "y"},
		{"mirror", "-compare", there, there, "x"},
		{"cp", there},
		{"cp", there, "x"},
		{"cp", "x", there},
		{"cp", there + "/", there},
		{"ls"},
		{"ls", "x"},
		{"mkdir"},
		{"mv", there, there},
		{"mv", there, ""},
		{"rm"},
	} {
		ftpcp(t, args...).fails(t, 2)
	}
}

func TestWrongUsageCountsArgumentsInWords(t *testing.T) {
	ftpcp(t, "ls").fails(t, 2, "ls takes 1 argument, ")
	ftpcp(t, "mv", "a").fails(t, 2, "mv takes 2 arguments, ")
}

func TestAPasswordFromTheEnvironmentIsForNamedUsersOnly(t *testing.T) {
	var mu sync.Mutex
	var sent []string
	srv := serve(t, ftptest.Options{OnCommand: func(cmd, arg string) {
		if cmd == "PASS" {
			mu.Lock()
			defer mu.Unlock()
			sent = append(sent, arg)
		}
	}})
	write(t, srv.Dir(), "f", content(10))
	local := filepath.Join(t.TempDir(), "f")
	env := map[string]string{"FTP_PASSWORD": password}

	ftpcpIn(t, t.Context(), env, "get", without(t, srv, srv.User(), "f"), local).succeeds(t)
	holds(t, content(10), local)
	ftpcpIn(t, t.Context(), env, "get", without(t, srv, "", "f"), local).fails(t, 1, "530")
	ftpcpIn(t, t.Context(), map[string]string{"FTP_PASSWORD": "other"}, "ls", srv.URL("")).succeeds(t)
	assert.Equal(t, []string{password, "anonymous@", password}, sent)
}

func TestARefusedLoginIsTriedOnceAndSaysSo(t *testing.T) {
	srv := serve(t, ftptest.Options{})
	env := map[string]string{"FTP_PASSWORD": "wrong-" + password}
	o := ftpcpIn(t, t.Context(), env, "ls", without(t, srv, srv.User(), ""))
	o.fails(t, 1, "530", srv.Addr())
	assert.Equal(t, 1, srv.Stats().Commands["PASS"])
}

func TestNamesInAnotherCharsetAreReadAndWrittenInIt(t *testing.T) {
	srv := serve(t, ftptest.Options{})
	const raw = "\xd6\xd0\xce\xc4" // 中文 in GBK
	write(t, srv.Dir(), raw+"/"+raw, content(10))
	local := t.TempDir()

	ftpcp(t, "ls", srv.URL("")).fails(t, 1, "-encoding")
	o := ftpcp(t, "ls", "-r", "-encoding", "gbk", srv.URL(""))
	o.succeeds(t)
	assert.Equal(t, "中文\n中文/中文\n", o.stdout)
	ftpcp(t, "-encoding", "gbk", "mget", srv.URL("中文"), local).succeeds(t)
	holds(t, content(10), local, "中文")
	ftpcp(t, "cp", "-encoding", "gbk", srv.URL("中文/中文"), srv.URL("中文/文")).succeeds(t)
	holds(t, content(10), srv.Dir(), raw, "\xce\xc4")
	ftpcp(t, "put", "-encoding", "gbk", filepath.Join(local, "中文"), srv.URL("😀")).fails(t, 1, "charset")
	ftpcp(t, "ls", "-encoding", "nonsense", srv.URL("")).fails(t, 2, "unknown charset")
}

func TestVerboseShowsCommandsButNoPassword(t *testing.T) {
	srv := serve(t, ftptest.Options{})
	write(t, srv.Dir(), "f", content(10))
	o := ftpcp(t, "get", "-verbose", srv.URL("f"), filepath.Join(t.TempDir(), "f"))
	o.succeeds(t)
	assert.Contains(t, o.stderr, "RETR")
	assert.Contains(t, o.stderr, "PASS")
}
