// Package ftpurl reads the URLs of FTP servers and of proxies. No error of its functions repeats any part of what they
// read: a mistake in a URL can turn the password into anything.
package ftpurl

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// Parts are the parts of an FTP URL, decoded. What the URL does not say is empty.
type Parts struct {
	Scheme         string // lowercase: "ftp", "ftpes" or "ftps"
	User, Password string
	Host           string // IPv6 without brackets
	Port           int
	Path           string // relative to the login directory, unless it begins with a slash
}

// Parse reads
//
//	scheme://[user[:password]@]host[:port][/path]
//
// User, password and path are percent-decoded. ? and # are part of the path; a suffix ;type=i is dropped, and ;type=a and
// ;type=d are errors.
func Parse(raw string) (Parts, error) {
	scheme, rest, _ := strings.Cut(raw, "://")
	p := Parts{Scheme: strings.ToLower(scheme)}
	switch p.Scheme {
	case "ftp", "ftpes", "ftps":
	default:
		return Parts{}, errors.New("must begin with ftp://, ftps:// or ftpes://")
	}
	authority, rest, _ := strings.Cut(rest, "/")
	err := p.parseAuthority(authority)
	if err == nil {
		err = p.parsePath(rest)
	}
	if err != nil {
		return Parts{}, err
	}
	return p, nil
}

// parseAuthority reads [user[:password]@]host[:port].
func (p *Parts) parseAuthority(authority string) error {
	if i := strings.LastIndexByte(authority, '@'); i >= 0 { // the last: a careless password may hold one
		if err := p.parseUser(authority[:i]); err != nil {
			return err
		}
		authority = authority[i+1:]
	}
	var port string
	if bracketed, found := strings.CutPrefix(authority, "["); found {
		host, after, closed := strings.Cut(bracketed, "]")
		if !closed || (after != "" && after[0] != ':') || !strings.Contains(host, ":") {
			return errors.New("host: what is in brackets must be an IPv6 address")
		}
		p.Host = strings.Replace(host, "%25", "%", 1) // a zone: RFC 6874
		port = strings.TrimPrefix(after, ":")
	} else {
		p.Host, port, _ = strings.Cut(authority, ":")
	}
	if err := CheckHost(p.Host); err != nil {
		return fmt.Errorf("host: %w", err)
	}
	if port == "" {
		return nil
	}
	var err error
	p.Port, err = parsePort(port)
	return err
}

// parseUser reads user[:password].
func (p *Parts) parseUser(raw string) (err error) {
	user, password, _ := strings.Cut(raw, ":")
	if p.User, err = unescape(user); err != nil {
		return fmt.Errorf("user: %w", err)
	}
	if p.Password, err = unescape(password); err != nil {
		return fmt.Errorf("password: %w", err)
	}
	return nil
}

// parsePath reads what follows the slash after the host.
func (p *Parts) parsePath(raw string) (err error) {
	if i := strings.LastIndexByte(raw, ';'); i >= 0 {
		if kind, found := strings.CutPrefix(strings.ToLower(raw[i:]), ";type="); found {
			if kind != "i" {
				return errors.New("only ;type=i is supported: files are moved byte for byte")
			}
			raw = raw[:i]
		}
	}
	if p.Path, err = unescape(raw); err != nil {
		return fmt.Errorf("path: %w", err)
	}
	return nil
}

func parsePort(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return 0, errors.New("the port is not between 1 and 65535")
	}
	return int(n), nil
}

// unescape decodes percent-encoding and refuses what could never be sent.
func unescape(raw string) (string, error) {
	text, err := url.PathUnescape(raw)
	if err != nil { // its text repeats what it could not read
		return "", errors.New("a % must be followed by two hex digits (%25 for the sign itself)")
	}
	if hasControl(text) {
		return "", errControl
	}
	return text, nil
}
