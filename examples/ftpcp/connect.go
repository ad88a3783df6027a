package main

import (
	"log/slog"
	"net"
	"path"
	"slices"
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
	name, server, remote, err := t.parse(rawURL, "FTP_PASSWORD")
	if err != nil {
		return nil, err
	}
	server.MaxConns = conns
	client, err := t.newClient(map[string]ftpclient.ServerConfig{name: server})
	if err != nil {
		return nil, err
	}
	t.announce(client, name)
	return &place{Client: client, server: name, path: remote}, nil
}

// parse understands a URL. A password that is missing in it is taken from an environment variable. The name of the server
// is what messages say.
func (t *tool) parse(rawURL, passwordEnv string) (name string, server ftpclient.ServerConfig, path string, err error) {
	server, path, err = ftpclient.ParseURL(rawURL)
	if err != nil {
		return "", server, "", &usageError{err.Error()}
	}
	if server.Username != "" && server.Password == "" { // nobody's password is for an anonymous login
		server.Password = ftpclient.Secret(t.env(passwordEnv))
	}
	server.InsecureSkipVerify = t.insecure
	server.CAFile = t.caFile
	server.Encoding = t.encoding
	name = server.Host
	if server.Port != 0 {
		name = net.JoinHostPort(server.Host, strconv.Itoa(server.Port))
	}
	return name, server, path, nil
}

// newClient makes a Client as the shared flags ask for.
func (t *tool) newClient(servers map[string]ftpclient.ServerConfig) (*ftpclient.Client, error) {
	cfg := ftpclient.Config{Servers: servers}
	cfg.Retry.MaxRetries = t.retries
	if t.retries == 0 { // which means the default there
		cfg.Retry.MaxRetries = -1
	}
	switch {
	case t.verbose:
		cfg.Logger = slog.New(slog.NewTextHandler(t.stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	case t.watched && !t.quiet:
		cfg.Logger = slog.New(retries{t})
	}
	client, err := ftpclient.New(cfg)
	if err != nil {
		return nil, &usageError{inFlags(err, servers)}
	}
	return client, nil
}

// inFlags says what is wrong with a configuration in the words of the flags that made it.
func inFlags(err error, servers map[string]ftpclient.ServerConfig) string {
	text := err.Error()
	for name := range servers {
		key := "servers." + name + "."
		text = strings.NewReplacer(key+"ca_file", "-cacert", key+"encoding", "-encoding", key, "").Replace(text)
	}
	lines := strings.Split(text, "\n")
	slices.Sort(lines)
	return strings.Join(slices.Compact(lines), "; ") // both servers of cp have the same flags
}

// isFolder reports whether the path can only be a folder's.
func (p *place) isFolder() bool { return p.path == "" || strings.HasSuffix(p.path, "/") }

// base is the path's last element.
func (p *place) base() string { return path.Base(p.path) }

// shown is how messages call the place.
func (p *place) shown() string { return p.server + ":" + p.path }

// printable is s without what a terminal would obey.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}
