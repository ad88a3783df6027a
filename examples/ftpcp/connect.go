package main

import (
	"log/slog"
	"net"
	"path"
	"strconv"
	"strings"
	"unicode"

	"github.com/corexalgo/ftpclient"
)

// A place is a path on a server, with a Client for it. The caller closes it.
type place struct {
	*ftpclient.Client
	server string // its name in the Client
	path   string
}

// connect understands a URL. At most conns connections will be used; 0 is the library's default. It does no I/O.
func (t *tool) connect(rawURL string, conns int) (*place, error) {
	server, remote, err := ftpclient.ParseURL(rawURL)
	if err != nil {
		return nil, &usageError{err.Error()}
	}
	if server.Username != "" && server.Password == "" { // nobody's password is for an anonymous login
		server.Password = ftpclient.Secret(t.env("FTP_PASSWORD"))
	}
	server.InsecureSkipVerify = t.insecure
	server.CAFile = t.caFile
	server.MaxConns = conns
	name := server.Host // what messages say
	if server.Port != 0 {
		name = net.JoinHostPort(server.Host, strconv.Itoa(server.Port))
	}
	cfg := ftpclient.Config{Servers: map[string]ftpclient.ServerConfig{name: server}}
	cfg.Retry.MaxRetries = t.retries
	if t.retries == 0 { // which means the default there
		cfg.Retry.MaxRetries = -1
	}
	if t.verbose {
		cfg.Logger = slog.New(slog.NewTextHandler(t.stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	client, err := ftpclient.New(cfg)
	if err != nil {
		return nil, &usageError{err.Error()}
	}
	return &place{Client: client, server: name, path: remote}, nil
}

// isFolder reports whether the path can only be a folder's.
func (p *place) isFolder() bool { return p.path == "" || strings.HasSuffix(p.path, "/") }

// base is the path's last element.
func (p *place) base() string { return path.Base(p.path) }

// printable is s without what a terminal would obey.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}
