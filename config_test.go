package ftpclient_test

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
)

func TestLoadConfigReadsTheSameFromYAMLAndJSON(t *testing.T) {
	want := ftpclient.Config{
		Servers: map[string]ftpclient.ServerConfig{
			"backup": {
				Host: "ftp.example.com", TLS: ftpclient.TLSExplicit, CAFile: filepath.Join("testdata", "config", "ca.pem"),
				Username: "backup", PasswordEnv: "BACKUP_PASSWORD", StallTimeout: 90 * time.Second, MaxConns: 3,
			},
			"legacy": {
				Host: "192.0.2.10", Port: 2121, Username: "it's", Password: `p"a\s%s'#1`, Encoding: "gbk",
				TimeZone: "Asia/Shanghai", DisableEPSV: true, BytesPerSecond: 1_000_000,
			},
		},
		Retry: ftpclient.RetryPolicy{MaxRetries: 5, Delay: 2 * time.Second, MaxDelay: time.Minute},
	}
	for _, name := range []string{"servers.yaml", "servers.json"} {
		got, err := ftpclient.LoadConfig(filepath.Join("testdata", "config", name))
		require.NoError(t, err, name)
		assert.Equal(t, want, got, name) // compares the secrets' texts: they are strings
	}
}

func TestLoadConfigNamesTheFileTheLineAndTheMistake(t *testing.T) {
	for text, want := range map[string]string{
		"servers:\n  a:\n    hosst: h\n":                   `:3: unknown key "hosst"`,
		"servers:\n  a:\n    host: h\n  a:\n    host: x\n": `:4: the key "a" is given twice`,
		"retri: 1\n":                           `:1: unknown key "retri"`,
		"logger: 1\n":                          `:1: unknown key "logger"`,
		"servers:\n  a:\n    TLSConfig: {}\n":  `:3: unknown key "TLSConfig"`,
		"retry:\n  delay: 2\n":                 ":2: delay: must be a duration such as 30s or 1m30s",
		"servers:\n  a:\n    port: ftp\n":      ":3: port: must be a whole number",
		"servers:\n  a:\n    active: yes\n":    ":3: active: must be true or false",
		"servers:\n  a:\n    password: 0123\n": ":3: password: must be a text; put it in quotes",
		"servers:\n  0123:\n    host: x\n":     ":2: servers: each key must be a text; put it in quotes",
		"servers:\n  a: h\n":                   ":2: the value has the wrong type",
		"":                                     ": is empty",
		"{\"servers\": {\"a\": {\n\"host\": \"h\", \"prt\": 1}}}": `:2: unknown key "prt"`,
	} {
		path := filepath.Join(t.TempDir(), "ftp.yaml")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		_, err := ftpclient.LoadConfig(path)
		require.EqualError(t, err, "config: "+path+want, "%s", text)
	}
	_, err := ftpclient.LoadConfig("no/such/file")
	assert.ErrorIs(t, err, os.ErrNotExist)
}

func TestLoadConfigNeverShowsWhatIsInTheFile(t *testing.T) {
	for _, value := range []string{
		`"hunter2`, `'hunter2' x`, "@hunter2", "*hunter2", "!hunter2 x", "!!binary hunter2", "hunter2: x",
		"{hunter2: 1}", "[hunter2]", "hunter2\n  host: h", "hunter2\n\thost: h", "hunter2\n    port: x", "hunter2\n    host: &a *a",
		"hunter2\n    keep_alive: hunter2", "hunter2\n    password: hunter2", "\"hunter2\\q\"", "hunter2\n    nokey: hunter2",
		"&hunter2 *hunter2", "hunter2\n    <<: *hunter2", "hunter2\n    <<: hunter2", "? hunter2", "|9 hunter2", "> hunter2\n hunter2",
	} {
		_, err := ftpclient.ParseConfig([]byte("servers:\n  a:\n    password: " + value + "\n"))
		require.Error(t, err, "%s", value)
		assert.NotContains(t, err.Error(), "hunter2", "%s", value)
	}
}

func TestPasswordsAreReadAsWritten(t *testing.T) {
	for written, want := range map[string]string{
		`'it''s'`: "it's", `"a\"b\\c"`: `a"b\c`, `a"b'c`: `a"b'c`, `"0123"`: "0123", "yes": "yes", `"null"`: "null", "": "",
		`"\u4e2d"`: "中", "中文": "中文", `" x "`: " x ", `"[redacted]"`: "[redacted]", `"#x"`: "#x", `'%a'`: "%a", "%a": "%a", "!!str 1": "",
	} {
		cfg, err := ftpclient.ParseConfig([]byte("servers:\n  a:\n    password: " + written + "\n"))
		if written == "!!str 1" {
			require.Error(t, err)
			continue
		}
		require.NoError(t, err, "%s", written)
		assert.Equal(t, want, ftpclient.Reveal(cfg.Servers["a"].Password), "%s", written)
	}
}

func TestValidateReportsEveryFaultWithItsKey(t *testing.T) {
	t.Setenv("FTP_TEST_NEWLINE", "secret\n")
	noCerts := filepath.Join(t.TempDir(), "empty.pem")
	require.NoError(t, os.WriteFile(noCerts, nil, 0o600))
	cfg := ftpclient.Config{
		Servers: map[string]ftpclient.ServerConfig{
			"a": {Port: 65536, Username: "u\r\n", Password: "p\x00", TLS: "on", CAFile: noCerts, Encoding: "klingon", TimeZone: "Mars/Phobos"},
			"b": {Host: "ftp://u:secret@h/", PasswordEnv: "FTP_TEST_UNSET", CAFile: "no/such.pem", Encoding: "utf-16", Proxy: "http://u:secret@h:1"},
			"c": {Host: "h:21", PasswordEnv: "FTP_TEST_NEWLINE", ConnectTimeout: -1, ReplyTimeout: -1, StallTimeout: -1, MaxConns: -1, BytesPerSecond: -1},
			"d": {Host: "[::1]", Password: "secret", PasswordEnv: "FTP_TEST_NEWLINE", Encoding: "iso-2022-jp", Active: true, Proxy: "socks5://u:secret@h:1", Port: -1},
			"e": {Host: "h", MaxConns: 1 << 31},
			"f": {Host: "h", TLSConfig: &tls.Config{}, Username: "用户", Encoding: "iso-8859-1"},
			"":  {Host: "h"},
		},
		Retry: ftpclient.RetryPolicy{Delay: -1, MaxDelay: -1},
	}
	err := ftpclient.ValidateConfig(cfg)
	require.Error(t, err)
	var keys []string
	for _, line := range strings.Split(err.Error(), "\n") {
		key, _, _ := strings.Cut(line, ": ")
		keys = append(keys, key)
	}
	assert.Equal(t, []string{
		`servers.""`,
		"servers.a.host", "servers.a.port", "servers.a.username", "servers.a.password", "servers.a.tls", "servers.a.ca_file",
		"servers.a.encoding", "servers.a.time_zone",
		"servers.b.host", "servers.b.password_env", "servers.b.ca_file", "servers.b.ca_file", "servers.b.encoding", "servers.b.proxy",
		"servers.c.host", "servers.c.password_env", "servers.c.connect_timeout", "servers.c.reply_timeout", "servers.c.stall_timeout",
		"servers.c.max_conns", "servers.c.bytes_per_second",
		"servers.d.host", "servers.d.port", "servers.d.password_env", "servers.d.encoding", "servers.d.active",
		"servers.e.max_conns",
		"servers.f.TLSConfig", "servers.f.username",
		"retry.delay", "retry.max_delay",
	}, keys)
	assert.Contains(t, err.Error(), "servers.a.host: required")
	assert.NotContains(t, err.Error(), "secret")
}

func TestValidateAcceptsWhatMakesSense(t *testing.T) {
	for _, s := range []ftpclient.ServerConfig{
		{Host: "ftp.example.com"},
		{Host: "192.0.2.1", Port: 65535},
		{Host: "2001:db8::1"},
		{Host: "fe80::1%eth0", Active: true},
		{Host: "h", KeepAlive: -1, IdleTimeout: -1, TLS: ftpclient.TLSImplicit},
		{Host: "h", TLS: ftpclient.TLSExplicit, InsecureSkipVerify: true, TLSConfig: &tls.Config{}},
		{Host: "h", InsecureSkipVerify: true}, // there is nothing to verify
		{Host: "h", Username: "用户", Encoding: "gbk"},
		{Host: "h", Proxy: "socks5://[::1]:1080"},
		{Host: "h", Proxy: "socks5://u:p%40@proxy:1080/"},
	} {
		require.NoError(t, ftpclient.ValidateConfig(ftpclient.Config{Servers: map[string]ftpclient.ServerConfig{"a": s}}), "%v", s)
	}
	assert.EqualError(t, ftpclient.ValidateConfig(ftpclient.Config{}), "servers: at least one is required")
}

func TestZeroFieldsHaveDefaults(t *testing.T) {
	t.Setenv("FTP_TEST_PASSWORD", "from the environment")
	got := ftpclient.ServerDefaults(ftpclient.ServerConfig{Host: "h"})
	assert.Equal(t, ftpclient.ServerConfig{
		Host: "h", Port: 21, Username: "anonymous", Password: "anonymous@",
		ConnectTimeout: 10 * time.Second, ReplyTimeout: 30 * time.Second, StallTimeout: 30 * time.Second,
		MaxConns: 5, KeepAlive: 30 * time.Second, IdleTimeout: 5 * time.Minute,
	}, got)

	got = ftpclient.ServerDefaults(ftpclient.ServerConfig{
		TLS: ftpclient.TLSImplicit, Username: "u", PasswordEnv: "FTP_TEST_PASSWORD", KeepAlive: -1, IdleTimeout: -1, MaxConns: 1,
	})
	assert.Equal(t, 990, got.Port)
	assert.Equal(t, "from the environment", ftpclient.Reveal(got.Password))
	assert.Equal(t, []any{time.Duration(-1), time.Duration(-1), 1}, []any{got.KeepAlive, got.IdleTimeout, got.MaxConns})
	assert.Equal(t, 21, ftpclient.ServerDefaults(ftpclient.ServerConfig{TLS: ftpclient.TLSExplicit}).Port)
	assert.Empty(t, ftpclient.Reveal(ftpclient.ServerDefaults(ftpclient.ServerConfig{Username: "u"}).Password))

	assert.Equal(t, ftpclient.RetryPolicy{MaxRetries: 3, Delay: time.Second, MaxDelay: 30 * time.Second}, ftpclient.RetryDefaults(ftpclient.RetryPolicy{}))
	assert.Equal(t, ftpclient.RetryPolicy{MaxRetries: -1, Delay: time.Minute, MaxDelay: time.Minute},
		ftpclient.RetryDefaults(ftpclient.RetryPolicy{MaxRetries: -1, Delay: time.Minute}))
}

func TestTheCharsetIsLookedUpByItsName(t *testing.T) {
	name, plain, err := ftpclient.EncodeName(ftpclient.ServerConfig{Encoding: "gbk"}, "中")
	require.NoError(t, err)
	assert.False(t, plain)
	assert.Equal(t, "\xd6\xd0", name)
	_, plain, err = ftpclient.EncodeName(ftpclient.ServerConfig{}, "中")
	require.NoError(t, err)
	assert.True(t, plain, "UTF-8")
}

func TestZonesAreFoundByTheirNames(t *testing.T) {
	loc, err := ftpclient.ServerLocation(ftpclient.ServerConfig{})
	require.NoError(t, err)
	assert.Equal(t, time.UTC, loc)
	loc, err = ftpclient.ServerLocation(ftpclient.ServerConfig{TimeZone: "Asia/Shanghai"})
	require.NoError(t, err)
	_, offset := time.Unix(0, 0).In(loc).Zone()
	assert.Equal(t, 8*3600, offset)
}
