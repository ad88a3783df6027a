package ftpclient_test

import (
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
		"ftp://host":                        {server{Host: "host"}, ""},
		"ftp://host/a/b":                    {server{Host: "host"}, "a/b"},
		"ftp://host//a/b":                   {server{Host: "host"}, "/a/b"},
		"ftp://host/what?is=this#x;y":       {server{Host: "host"}, "what?is=this#x;y"},
		"FTPS://host/x":                     {server{Host: "host", TLS: ftpclient.TLSImplicit}, "x"},
		"ftpes://host/x;type=i":             {server{Host: "host", TLS: ftpclient.TLSExplicit}, "x"},
		"ftp://u%40corp:p%3A%40@host:21/x":  {server{Host: "host", Port: 21, Username: "u@corp", Password: "p:@"}, "x"},
		"ftp://u:p@[fe80::1%25eth0]:2121/x": {server{Host: "fe80::1%eth0", Port: 2121, Username: "u", Password: "p"}, "x"},
	} {
		server, path, err := ftpclient.ParseURL(raw)
		require.NoError(t, err, raw)
		assert.Equal(t, want.server, server, raw)
		assert.Equal(t, want.path, path, raw)
		assert.NoError(t, ftpclient.ValidateConfig(ftpclient.Config{Servers: map[string]ftpclient.ServerConfig{"a": server}}), raw)
	}
}

func TestParseURLRefusesWithoutShowingTheURL(t *testing.T) {
	for raw, want := range map[string]string{
		"hunter2://host/":               "ftp URL: must begin with ftp://, ftps:// or ftpes://",
		"ftp://u:hunter2@host:ftp/":     "ftp URL: the port is not between 1 and 65535",
		"ftp://u:hunter2%0d%0a@host/":   "ftp URL: password: holds a control character",
		"ftp://u:hunter2@[hunter2]/x":   "ftp URL: host: what is in brackets must be an IPv6 address",
		"ftp://u:hunter2@host/x;type=a": "ftp URL: only ;type=i is supported: files are moved byte for byte",
	} {
		server, path, err := ftpclient.ParseURL(raw)
		require.EqualError(t, err, want, raw)
		assert.Zero(t, server, raw)
		assert.Empty(t, path, raw)
	}
}
