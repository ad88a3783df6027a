package ftpurl_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/ftpurl"
)

func TestParseTakesAURLApart(t *testing.T) {
	for raw, want := range map[string]ftpurl.Parts{
		"ftp://host":                               {Scheme: "ftp", Host: "host"},
		"FTP://host/":                              {Scheme: "ftp", Host: "host"},
		"ftp://host/a/b":                           {Scheme: "ftp", Host: "host", Path: "a/b"},
		"ftp://host//a/b":                          {Scheme: "ftp", Host: "host", Path: "/a/b"},
		"ftp://host/%2Fa/b":                        {Scheme: "ftp", Host: "host", Path: "/a/b"},
		"ftp://host//":                             {Scheme: "ftp", Host: "host", Path: "/"},
		"ftp://host/a%20b%23%25%E4%B8%AD":          {Scheme: "ftp", Host: "host", Path: "a b#%中"},
		"ftp://host/what?is=this#x;y":              {Scheme: "ftp", Host: "host", Path: "what?is=this#x;y"},
		"ftp://host/[a]+b":                         {Scheme: "ftp", Host: "host", Path: "[a]+b"},
		"ftp://host/a;type=i":                      {Scheme: "ftp", Host: "host", Path: "a"},
		"ftp://host/a;TYPE=I":                      {Scheme: "ftp", Host: "host", Path: "a"},
		"ftp://host/a%3Btype=a":                    {Scheme: "ftp", Host: "host", Path: "a;type=a"},
		"ftp://host:2121/x":                        {Scheme: "ftp", Host: "host", Port: 2121, Path: "x"},
		"ftp://host:/x":                            {Scheme: "ftp", Host: "host", Path: "x"},
		"ftps://host/x":                            {Scheme: "ftps", Host: "host", Path: "x"},
		"ftpes://host/x":                           {Scheme: "ftpes", Host: "host", Path: "x"},
		"ftp://user:pass@host:21/x":                {Scheme: "ftp", Host: "host", Port: 21, User: "user", Password: "pass", Path: "x"},
		"ftp://user@host/x":                        {Scheme: "ftp", Host: "host", User: "user", Path: "x"},
		"ftp://u%40corp:p%3A%2F%40%25@host/x":      {Scheme: "ftp", Host: "host", User: "u@corp", Password: "p:/@%", Path: "x"},
		"ftp://user:p@ss:word@host/x@y":            {Scheme: "ftp", Host: "host", User: "user", Password: "p@ss:word", Path: "x@y"},
		"ftp://user:p?#@host/x":                    {Scheme: "ftp", Host: "host", User: "user", Password: "p?#", Path: "x"},
		"ftp://[2001:db8::1]/x":                    {Scheme: "ftp", Host: "2001:db8::1", Path: "x"},
		"ftp://u:p@[fe80::1%25eth0]:2121/x":        {Scheme: "ftp", Host: "fe80::1%eth0", Port: 2121, User: "u", Password: "p", Path: "x"},
		"ftp://user:password@127.0.0.1:2121/f.bin": {Scheme: "ftp", Host: "127.0.0.1", Port: 2121, User: "user", Password: "password", Path: "f.bin"},
	} {
		got, err := ftpurl.Parse(raw)
		require.NoError(t, err, raw)
		assert.Equal(t, want, got, raw)
	}
}

func TestParseRefusesWithoutShowingTheURL(t *testing.T) {
	for _, raw := range []string{
		"", "host/path", "http://u:hunter2@host/", "sftp://u:hunter2@host/", "hunter2://host/", "ftp:/host", "ftp://", "ftp:///path", "ftp://u:hunter2@/x",
		"ftp://u:hunter2@host:0/", "ftp://u:hunter2@host:65536/", "ftp://u:hunter2@host:+21/", "ftp://u:hunter2@host:ftp/", "ftp://u:hunter2/x@host/",
		"ftp://u:hunter2%zz@host/", "ftp://u:hunter2%0d%0a@host/", "ftp://u:hunter2@host/%00", "ftp://u:hunter2@host/a\nb", "ftp://u:hunter2@host/%",
		"ftp://u:hunter2@host/x;type=a", "ftp://u:hunter2@host/x;type=d", "ftp://u:hunter2@host/x;type=", "ftp://u:hunter2@ho st/x", "ftp://u:hunter2@host?x",
		"ftp://u:hunter2@[::1/x", "ftp://u:hunter2@[::1]x/x", "ftp://u:hunter2@[hunter2]/x", "ftp://u:hunter2@::1/x", "ftp://u:hunter2@ho%73t/x",
	} {
		parts, err := ftpurl.Parse(raw)
		require.Error(t, err, raw)
		assert.NotContains(t, err.Error(), "hunter2", raw)
		assert.Zero(t, parts, raw)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"ftp://user:password@host:21/path", "ftps://u%40:p%25@[fe80::1%25eth0]:990//a%2Fb;type=i", "ftpes://:@h/?#", "ftp://a@b@c:1/%zz",
		"ftp://h/;type=a", "ftp://[::1", "://", "ftp://u:p%0a@h/",
	} {
		f.Add(seed, "pa55word")
	}
	f.Fuzz(func(t *testing.T, raw, password string) {
		parts, err := ftpurl.Parse(raw)
		if err == nil {
			require.NoError(t, ftpurl.CheckHost(parts.Host), "%q", raw)
			assert.True(t, parts.Port >= 0 && parts.Port <= 65535, "%q", raw)
			assert.False(t, strings.ContainsAny(parts.User+parts.Password+parts.Path, "\x00\r\n\x7f"), "%q", raw)
			return
		}
		// The same in the place of a password; one long enough not to be an English word of the error by chance.
		if len(password) < 12 || strings.ContainsAny(password, "/@") {
			return
		}
		_, err = ftpurl.Parse("ftp://user:" + password + "@host:bad/" + raw)
		require.Error(t, err)
		assert.NotContains(t, err.Error(), password)
	})
}

func TestAHostIsANameOrAnAddressAndNothingElse(t *testing.T) {
	for _, host := range []string{"h", "ftp.example.com", "192.0.2.1", "2001:db8::1", "fe80::1%eth0", "例え.テスト", "under_score"} {
		require.NoError(t, ftpurl.CheckHost(host), host)
	}
	for _, host := range []string{
		"", "h:21", "[::1]", "ftp://u:hunter2@h/", "u:hunter2@h", "hunter2 h", "hunter2/", "hunter2\r\n", "hunter2\x7f", `hunter2\`, "hunter2%x", "h?hunter2",
	} {
		err := ftpurl.CheckHost(host)
		require.Error(t, err, host)
		assert.NotContains(t, err.Error(), "hunter2", host)
	}
}

func TestAProxyIsASOCKS5URLWithAPort(t *testing.T) {
	for _, proxy := range []string{"", "socks5://proxy:1080", "socks5://[::1]:1080", "socks5://u:p%40@proxy:1080/"} {
		require.NoError(t, ftpurl.CheckProxy(proxy), proxy)
	}
	for _, proxy := range []string{
		"proxy:1080", "socks5://", "socks5://proxy", "socks5://proxy:0", "socks5://proxy:70000", "socks5://:1080", "socks4://proxy:1080",
		"socks5://proxy:1080/path", "socks5://proxy:1080?x", "socks5://proxy:1080#x", "socks5://u:" + strings.Repeat("p", 256) + "@proxy:1080",
		"socks5://" + strings.Repeat("u", 256) + ":p@proxy:1080",
		"socks5://:hunter2@proxy:1080", "socks5://@proxy:1080",
		"socks5://u:hunter2%zz@proxy:1080", "http://u:hunter2@proxy:1080", "socks5://u:hunter2@proxy:0", "hunter2",
	} {
		err := ftpurl.CheckProxy(proxy)
		require.Error(t, err, proxy)
		assert.NotContains(t, err.Error(), "hunter2", proxy)
	}
}
