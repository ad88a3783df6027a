package ftpclient

import (
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // TimeZone means the same on machines that have no zone files

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/unicode"
)

// validate reports every fault of c at once, each with the key where it is. No fault repeats a value that could be a
// password, or hold one, by mistake.
func (c Config) validate() error {
	var f faults
	if len(c.Servers) == 0 {
		f.add("servers", "at least one is required")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Servers)) {
		key := "servers." + name
		if name == "" || hasControl(name) {
			key = "servers." + strconv.Quote(name)
			f.add(key, "a name must not be empty or hold control characters")
		}
		c.Servers[name].validate(f.below(key))
	}
	c.Retry.validate(f.below("retry"))
	return errors.Join(f...)
}

// validate reports every fault of one server.
func (s ServerConfig) validate(fault func(key, text string)) {
	if text := hostFault(s.Host); text != "" {
		fault("host", text)
	}
	if s.Port < 0 || s.Port > 65535 {
		fault("port", fmt.Sprintf("%d is not between 1 and 65535", s.Port))
	}
	s.validateLogin(fault)
	s.validateTLS(fault)
	notNegative(fault, "connect_timeout", s.ConnectTimeout)
	notNegative(fault, "reply_timeout", s.ReplyTimeout)
	notNegative(fault, "stall_timeout", s.StallTimeout)
	notNegative(fault, "max_conns", s.MaxConns)
	notNegative(fault, "bytes_per_second", s.BytesPerSecond)
	if _, err := s.charset(); err != nil {
		fault("encoding", err.Error())
	}
	if _, err := s.location(); err != nil {
		fault("time_zone", err.Error())
	}
	if text := proxyFault(s.Proxy); text != "" {
		fault("proxy", text)
	}
	if s.Active && s.Proxy != "" {
		fault("active", "a SOCKS5 proxy cannot be dialled from outside: choose one of active and proxy")
	}
}

func (s ServerConfig) validateLogin(fault func(key, text string)) {
	if hasControl(s.Username) {
		fault("username", "holds a control character")
	}
	if hasControl(s.Password.reveal()) {
		fault("password", "holds a control character")
	}
	if s.PasswordEnv == "" {
		return
	}
	value := os.Getenv(s.PasswordEnv)
	switch {
	case s.Password != "":
		fault("password_env", "password is set too: choose one")
	case value == "":
		fault("password_env", "the environment variable is unset or empty")
	case hasControl(value):
		fault("password_env", "the environment variable holds a control character, such as a line feed at its end")
	}
}

func (s ServerConfig) validateTLS(fault func(key, text string)) {
	switch s.TLS {
	case TLSNone, TLSExplicit, TLSImplicit:
	default:
		fault("tls", fmt.Sprintf("%q is not one of %q, %q and empty", string(s.TLS), TLSExplicit, TLSImplicit))
	}
	if s.CAFile == "" {
		return
	}
	if s.TLS == TLSNone { // who names a CA believes that the connection is encrypted
		fault("ca_file", "is set, but tls is not: the connection would be in plain text")
	}
	pem, err := os.ReadFile(s.CAFile)
	switch {
	case err != nil:
		fault("ca_file", err.Error())
	case !x509.NewCertPool().AppendCertsFromPEM(pem):
		fault("ca_file", fmt.Sprintf("%s: no certificate in PEM form", s.CAFile))
	}
}

func (r RetryPolicy) validate(fault func(key, text string)) {
	notNegative(fault, "delay", r.Delay)
	notNegative(fault, "max_delay", r.MaxDelay)
}

// charset is the encoding of the server's file names, nil for UTF-8.
func (s ServerConfig) charset() (encoding.Encoding, error) {
	if s.Encoding == "" {
		return nil, nil
	}
	// The registry of IANA first: the one for web pages reads "latin1" as windows-1252. It knows names that the other
	// has no table for.
	enc, err := ianaindex.IANA.Encoding(s.Encoding)
	if err != nil || enc == nil {
		enc, err = htmlindex.Get(s.Encoding)
	}
	if err != nil {
		return nil, fmt.Errorf("unknown charset %q", s.Encoding)
	}
	if enc == unicode.UTF8 {
		return nil, nil
	}
	if !safeInCommands(enc) {
		return nil, fmt.Errorf("charset %q cannot be used for file names: it is no superset of ASCII", s.Encoding)
	}
	return enc, nil
}

// safeInCommands reports whether enc leaves ASCII alone, so that slashes stay slashes, and spells nothing with control
// bytes as ISO-2022-JP does.
func safeInCommands(enc encoding.Encoding) bool {
	for c := byte(' '); c < 0x7f; c++ {
		if out, err := enc.NewEncoder().Bytes([]byte{c}); err != nil || string(out) != string(c) {
			return false
		}
	}
	for _, r := range "éЖ日本語한글中文" {
		if out, err := enc.NewEncoder().String(string(r)); err == nil && hasControl(out) {
			return false
		}
	}
	return true
}

// location is the zone of the times in LIST.
func (s ServerConfig) location() (*time.Location, error) {
	loc, err := time.LoadLocation(s.TimeZone) // "" is UTC
	if err != nil {
		return nil, fmt.Errorf("unknown time zone %q", s.TimeZone)
	}
	return loc, nil
}

// faults collects what is wrong.
type faults []error

func (f *faults) add(key, text string) { *f = append(*f, fmt.Errorf("%s: %s", key, text)) }

// below returns add for the keys below one.
func (f *faults) below(prefix string) func(key, text string) {
	return func(key, text string) { f.add(prefix+"."+key, text) }
}

func notNegative[T int | int64 | time.Duration](fault func(key, text string), key string, v T) {
	if v < 0 {
		fault(key, fmt.Sprintf("%v is negative", v))
	}
}

// hostFault says what is wrong with a host, or "". It does not repeat the host: a whole URL, put there by mistake, may
// hold a password.
func hostFault(host string) string {
	switch {
	case host == "":
		return "required"
	case hasControl(host):
		return "holds a control character"
	case strings.ContainsAny(host, " /@?#[]\\\"<>"):
		return "must be a name or an IP address and nothing else (IPv6 without brackets)"
	}
	if strings.ContainsAny(host, ":%") {
		if _, err := netip.ParseAddr(host); err != nil {
			return "is no IPv6 address; a port belongs in port"
		}
	}
	return ""
}

// proxyFault says what is wrong with a proxy, or "", without a word of what it holds.
func proxyFault(raw string) string {
	if raw == "" {
		return ""
	}
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "socks5" || u.Port() == "" || hostFault(u.Hostname()) != "" ||
		(u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "" {
		return "must be socks5://[user:password@]host:port"
	}
	if port, err := strconv.Atoi(u.Port()); err != nil || port < 1 || port > 65535 {
		return "the port is not between 1 and 65535"
	}
	if password, _ := u.User.Password(); len(password) > 255 || len(u.User.Username()) > 255 {
		return "user and password must not be longer than 255 bytes (RFC 1929)"
	}
	return ""
}

// hasControl reports whether s holds a byte that would end a command, or confuse a server or a terminal.
func hasControl(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) >= 0
}
