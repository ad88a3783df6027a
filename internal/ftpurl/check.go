package ftpurl

import (
	"errors"
	"net/netip"
	"net/url"
	"strings"

	"github.com/corexalgo/ftpclient/internal/safepath"
)

// CheckHost checks that host is a name or an IP address, IPv6 without brackets. Its error does not repeat the host: a whole
// URL, put there by mistake, may hold a password.
func CheckHost(host string) error {
	switch {
	case host == "":
		return errors.New("required")
	case hasControl(host):
		return errControl
	case strings.ContainsAny(host, " /@?#[]\\\"<>"):
		return errors.New("must be a name or an IP address and nothing else (IPv6 without brackets)")
	}
	if strings.ContainsAny(host, ":%") {
		if _, err := netip.ParseAddr(host); err != nil {
			return errors.New("is no IPv6 address; a port belongs in port")
		}
	}
	return nil
}

// CheckProxy checks that raw is the URL of a SOCKS5 proxy with a port, or empty. Its error has no word of what raw holds.
func CheckProxy(raw string) error {
	if raw == "" {
		return nil
	}
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "socks5" || u.Port() == "" || CheckHost(u.Hostname()) != nil ||
		(u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("must be socks5://[user:password@]host:port")
	}
	if _, err := parsePort(u.Port()); err != nil {
		return err
	}
	if u.User == nil {
		return nil
	}
	if password, _ := u.User.Password(); u.User.Username() == "" || len(password) > 255 || len(u.User.Username()) > 255 {
		return errors.New("a user must be named, and neither user nor password be longer than 255 bytes (RFC 1929)")
	}
	return nil
}

var errControl = errors.New("holds a control character")

func hasControl(s string) bool { return safepath.CheckSecret(s) != nil }
