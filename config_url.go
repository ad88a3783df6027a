package ftpclient

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// ParseURL reads the URL of a server, and of a file on it: ftp, ftpes (explicit TLS) or ftps (implicit TLS), then
//
//	ftp://[user[:password]@]host[:port][/path]
//
// User, password and path are percent-decoded; an IPv6 address stands in brackets. Nothing else than the path is given a
// default here, so a Port of 0 and a Username of "" mean what they mean in a ServerConfig.
//
// The path is relative to the login directory, as in RFC 1738, section 3.2.2, and in curl: ftp://host/a/b is "a/b", "" is
// the login directory itself, and the absolute /a/b is written ftp://host//a/b or ftp://host/%2Fa/b. FTP has neither
// queries nor fragments, so that ? and # are part of the path. A suffix ;type=i is dropped; ;type=a and ;type=d are
// errors, since files are always moved as they are.
//
// No error repeats any part of the URL: a mistake in it can turn the password into anything.
func ParseURL(raw string) (server ServerConfig, path string, err error) {
	scheme, rest, _ := strings.Cut(raw, "://")
	switch strings.ToLower(scheme) {
	case "ftp":
	case "ftpes":
		server.TLS = TLSExplicit
	case "ftps":
		server.TLS = TLSImplicit
	default:
		return ServerConfig{}, "", errors.New("ftp URL: must begin with ftp://, ftps:// or ftpes://")
	}
	authority, rest, _ := strings.Cut(rest, "/")
	if err := server.parseAuthority(authority); err != nil {
		return ServerConfig{}, "", fmt.Errorf("ftp URL: %w", err)
	}
	if path, err = parseURLPath(rest); err != nil {
		return ServerConfig{}, "", fmt.Errorf("ftp URL: %w", err)
	}
	return server, path, nil
}

// parseAuthority reads [user[:password]@]host[:port].
func (s *ServerConfig) parseAuthority(authority string) error {
	hostport := authority
	if i := strings.LastIndexByte(authority, '@'); i >= 0 { // the last: a careless password may hold one
		user, password, _ := strings.Cut(authority[:i], ":")
		hostport = authority[i+1:]
		var err error
		if s.Username, err = unescape(user); err != nil {
			return fmt.Errorf("user: %w", err)
		}
		if password, err = unescape(password); err != nil {
			return fmt.Errorf("password: %w", err)
		}
		s.Password = Secret(password)
	}

	var port string
	if bracketed, found := strings.CutPrefix(hostport, "["); found {
		host, after, closed := strings.Cut(bracketed, "]")
		if !closed || (after != "" && after[0] != ':') || !strings.Contains(host, ":") {
			return errors.New("host: what is in brackets must be an IPv6 address")
		}
		s.Host = strings.Replace(host, "%25", "%", 1) // a zone: RFC 6874
		port = strings.TrimPrefix(after, ":")
	} else {
		s.Host, port, _ = strings.Cut(hostport, ":")
	}
	if text := hostFault(s.Host); text != "" {
		return errors.New("host: " + text)
	}
	if port == "" {
		return nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return errors.New("port: must be between 1 and 65535")
	}
	s.Port = int(n)
	return nil
}

// parseURLPath reads what follows the slash after the host.
func parseURLPath(raw string) (string, error) {
	if i := strings.LastIndexByte(raw, ';'); i >= 0 {
		if kind, found := strings.CutPrefix(strings.ToLower(raw[i:]), ";type="); found {
			if kind != "i" {
				return "", errors.New("only ;type=i is supported: files are moved byte for byte")
			}
			raw = raw[:i]
		}
	}
	path, err := unescape(raw)
	if err != nil {
		return "", fmt.Errorf("path: %w", err)
	}
	return path, nil
}

// unescape decodes percent-encoding and refuses what could never be sent.
func unescape(raw string) (string, error) {
	text, err := url.PathUnescape(raw)
	if err != nil { // its text repeats what it could not read
		return "", errors.New("a % must be followed by two hex digits (%25 for the sign itself)")
	}
	if hasControl(text) {
		return "", errors.New("holds a control character")
	}
	return text, nil
}
