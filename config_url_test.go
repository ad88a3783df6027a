package ftpclient_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
)

func TestParseURLReadsServerAndPath(t *testing.T) {
	type server = ftpclient.ServerConfig
	for raw, want := range map[string]struct {
		server server
		path   string
	}{
		"ftp://host":                               {server{Host: "host"}, ""},
		"FTP://host/":                              {server{Host: "host"}, ""},
		"ftp://host/a/b":                           {server{Host: "host"}, "a/b"},
		"ftp://host//a/b":                          {server{Host: "host"}, "/a/b"},
		"ftp://host/%2Fa/b":                        {server{Host: "host"}, "/a/b"},
		"ftp://host//":                             {server{Host: "host"}, "/"},
		"ftp://host/a%20b%23%25%E4%B8%AD":          {server{Host: "host"}, "a b#%中"},
		"ftp://host/what?is=this#x;y":              {server{Host: "host"}, "what?is=this#x;y"},
		"ftp://host/[a]+b":                         {server{Host: "host"}, "[a]+b"},
		"ftp://host/a;type=i":                      {server{Host: "host"}, "a"},
		"ftp://host/a;TYPE=I":                      {server{Host: "host"}, "a"},
		"ftp://host/a%3Btype=a":                    {server{Host: "host"}, "a;type=a"},
		"ftp://host:2121/x":                        {server{Host: "host", Port: 2121}, "x"},
		"ftp://host:/x":                            {server{Host: "host"}, "x"},
		"ftps://host/x":                            {server{Host: "host", TLS: ftpclient.TLSImplicit}, "x"},
		"ftpes://host/x":                           {server{Host: "host", TLS: ftpclient.TLSExplicit}, "x"},
		"ftp://user:pass@host:21/x":                {server{Host: "host", Port: 21, Username: "user", Password: "pass"}, "x"},
		"ftp://user@host/x":                        {server{Host: "host", Username: "user"}, "x"},
		"ftp://u%40corp:p%3A%2F%40%25@host/x":      {server{Host: "host", Username: "u@corp", Password: "p:/@%"}, "x"},
		"ftp://user:p@ss:word@host/x@y":            {server{Host: "host", Username: "user", Password: "p@ss:word"}, "x@y"},
		"ftp://user:p?#@host/x":                    {server{Host: "host", Username: "user", Password: "p?#"}, "x"},
		"ftp://[2001:db8::1]/x":                    {server{Host: "2001:db8::1"}, "x"},
		"ftp://u:p@[fe80::1%25eth0]:2121/x":        {server{Host: "fe80::1%eth0", Port: 2121, Username: "u", Password: "p"}, "x"},
		"ftp://user:password@127.0.0.1:2121/f.bin": {server{Host: "127.0.0.1", Port: 2121, Username: "user", Password: "password"}, "f.bin"},
	} {
		server, path, err := ftpclient.ParseURL(raw)
		require.NoError(t, err, raw)
		assert.Equal(t, want.server, server, raw)
		assert.Equal(t, want.path, path, raw)
	}
}

func TestParseURLRefusesWithoutShowingTheURL(t *testing.T) {
	for _, raw := range []string{
		"", "host/path", "http://u:hunter2@host/", "sftp://u:hunter2@host/", "hunter2://host/", "ftp:/host", "ftp://", "ftp:///path", "ftp://u:hunter2@/x",
		"ftp://u:hunter2@host:0/", "ftp://u:hunter2@host:65536/", "ftp://u:hunter2@host:+21/", "ftp://u:hunter2@host:ftp/", "ftp://u:hunter2/x@host/",
		"ftp://u:hunter2%zz@host/", "ftp://u:hunter2%0d%0a@host/", "ftp://u:hunter2@host/%00", "ftp://u:hunter2@host/a\nb", "ftp://u:hunter2@host/%",
		"ftp://u:hunter2@host/x;type=a", "ftp://u:hunter2@host/x;type=d", "ftp://u:hunter2@host/x;type=", "ftp://u:hunter2@ho st/x", "ftp://u:hunter2@host?x",
		"ftp://u:hunter2@[::1/x", "ftp://u:hunter2@[::1]x/x", "ftp://u:hunter2@[hunter2]/x", "ftp://u:hunter2@::1/x", "ftp://u:hunter2@ho%73t/x",
	} {
		server, path, err := ftpclient.ParseURL(raw)
		require.Error(t, err, raw)
		assert.NotContains(t, err.Error(), "hunter2", raw)
		assert.Zero(t, server, raw)
		assert.Empty(t, path, raw)
	}
}

func FuzzParseURL(f *testing.F) {
	for _, seed := range []string{
		"ftp://user:password@host:21/path", "ftps://u%40:p%25@[fe80::1%25eth0]:990//a%2Fb;type=i", "ftpes://:@h/?#", "ftp://a@b@c:1/%zz",
		"ftp://h/;type=a", "ftp://[::1", "://", "ftp://u:p%0a@h/",
	} {
		f.Add(seed, "pa55word")
	}
	f.Fuzz(func(t *testing.T, raw, password string) {
		server, path, err := ftpclient.ParseURL(raw)
		if err == nil {
			cfg := ftpclient.Config{Servers: map[string]ftpclient.ServerConfig{"a": server}}
			require.NoError(t, ftpclient.ValidateConfig(cfg), "%q", raw)
			assert.NotContains(t, path, "\n")
			return
		}
		// The same in the place of a password; one long enough not to be an English word of the error by chance.
		if len(password) < 12 || strings.ContainsAny(password, "/@") {
			return
		}
		_, _, err = ftpclient.ParseURL("ftp://user:" + password + "@host:bad/" + raw)
		require.Error(t, err)
		assert.NotContains(t, err.Error(), password)
	})
}
