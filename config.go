package ftpclient

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // TimeZone means the same on machines that have no zone files

	"github.com/goccy/go-yaml"
	"golang.org/x/text/encoding"

	"github.com/corexalgo/ftpclient/internal/charset"
	"github.com/corexalgo/ftpclient/internal/ftpurl"
	"github.com/corexalgo/ftpclient/internal/safepath"
	"github.com/corexalgo/ftpclient/internal/strictyaml"
)

// A Config is all that New needs: the servers by the names that calls use for them, and what they share. Fill it in Go, or
// read it from a file with LoadConfig. New copies what it needs, so a Config may be changed and used again afterwards.
type Config struct {
	// Servers maps a name of your choice to a server. A Client without any has no use and is refused.
	Servers map[string]ServerConfig `yaml:"servers"`

	// Retry says how often work is tried again after a failure that may pass.
	Retry RetryPolicy `yaml:"retry"`

	// Logger is told what the library does, passwords never; nil discards.
	Logger *slog.Logger `yaml:"-"`
}

// A ServerConfig says how to reach one server and how to speak with it. Only Host is required. It prints, logs and
// marshals without its secrets.
type ServerConfig struct {
	// Host is a name or an IP address, IPv6 without brackets.
	Host string `yaml:"host"`
	// Port 0 is 21, or 990 with TLSImplicit.
	Port int `yaml:"port"`
	// Username "" is "anonymous", with the customary password where none is given (RFC 1635). It is sent in Encoding.
	Username string `yaml:"username"`
	// Password is sent in Encoding, or byte for byte where that has no such characters. Of Password and PasswordEnv only one may be set.
	Password Secret `yaml:"password"`
	// PasswordEnv names the environment variable that holds the password; New reads it once.
	PasswordEnv string `yaml:"password_env"`

	// TLS says whether and how the connections are encrypted. Without it (TLSNone) the password and every file travel in
	// plain text, and CAFile and TLSConfig must not be set. With it nothing ever falls back to plain text.
	TLS TLSMode `yaml:"tls"`
	// CAFile holds certificates in PEM form to trust instead of the system's. LoadConfig takes a relative path from the
	// folder of the configuration file, New from the working directory.
	CAFile string `yaml:"ca_file"`
	// InsecureSkipVerify accepts any certificate, and with it anyone who gets between.
	InsecureSkipVerify bool `yaml:"insecure_skip_verify"`
	// TLSConfig is a base for the rest, such as client certificates; nil is the zero tls.Config. It is cloned. ServerName
	// is always Host, without the zone of an IPv6 address, and the session cache is ours, since servers want data connections
	// to resume the control connection's session.
	TLSConfig *tls.Config `yaml:"-"`

	// ConnectTimeout bounds each step of a new connection: dial, TLS handshake, greeting, login. 0 is 10 s.
	ConnectTimeout time.Duration `yaml:"connect_timeout"`
	// ReplyTimeout bounds the wait for one reply, from the command to its last line. 0 is 30 s. It and StallTimeout may end late by
	// a 64th, and a second at most.
	ReplyTimeout time.Duration `yaml:"reply_timeout"`
	// StallTimeout is how long a data connection may move no byte. 0 is 30 s. A transfer that moves may take any time.
	StallTimeout time.Duration `yaml:"stall_timeout"`

	// MaxConns is the most connections to this server at a time. 0 is 5. Fewer are used while the server refuses more. A call
	// waits for one as long as others use all of them. It is an error once these have done nothing for StallTimeout but wait for a
	// reader, a writer or a callback of their callers, or for the next Read of a File: that may be the very code which waits.
	// The files and listings of a batch wait for its own callbacks as long as these take.
	MaxConns int `yaml:"max_conns"`
	// KeepAlive is the time between the NOOPs on an idle connection. 0 is 30 s; less than 0 sends none.
	KeepAlive time.Duration `yaml:"keep_alive"`
	// IdleTimeout is how long a connection may be idle before it is closed. 0 is 5 min; less than 0 keeps it.
	IdleTimeout time.Duration `yaml:"idle_timeout"`

	// Encoding is the IANA name of the charset that the server speaks, such as "gbk", "shift_jis" or "windows-1251": that of
	// its file names, of Username and of Password. "" is UTF-8 (RFC 2640). Names that it cannot spell are errors.
	Encoding string `yaml:"encoding"`
	// TimeZone is the IANA name of the zone of the times in LIST, such as "Asia/Shanghai"; "" is UTC. The times of MLSD
	// and MDTM are UTC whatever it says (RFC 3659, section 2.3).
	TimeZone string `yaml:"time_zone"`

	// DisableEPSV uses PASV on IPv4, for firewalls that know no EPSV (RFC 2428).
	DisableEPSV bool `yaml:"disable_epsv"`
	// DisableMLSD lists with LIST although the server offers MLSD.
	DisableMLSD bool `yaml:"disable_mlsd"`
	// ListHidden asks LIST for hidden files too, with "-a". MLSD lists them or not as the server likes.
	ListHidden bool `yaml:"list_hidden"`
	// TrustPASVHost dials the address that the server names in its reply to PASV, and not the one that the control
	// connection goes to; on IPv4 EPSV, which names none, is not asked then. A hostile server makes a port scanner of such a
	// client.
	TrustPASVHost bool `yaml:"trust_pasv_host"`
	// Active lets the server dial us (EPRT, PORT). Connections from any other address than the control connection's are refused.
	Active bool `yaml:"active"`
	// BytesPerSecond limits the content moved in both directions by all connections together; 0 is no limit.
	BytesPerSecond int64 `yaml:"bytes_per_second"`
	// Proxy is a SOCKS5 proxy for all connections, socks5://[user:password@]host:port; "" is none. Environment variables
	// are not looked at. The proxy looks up Host, and data connections go to Host too. An upload that is given up is ended
	// with a reset, for a plain end makes half a file a whole one for every server; a proxy that passes that on as a plain
	// end, as many do, leaves a part under the upload's temporary name. The target itself appears only after its size is proved.
	Proxy string `yaml:"proxy"`

	// DialContext opens every connection, to the proxy where there is one; nil is a net.Dialer. It must return once its context
	// has ended, and its connections must obey their deadlines. One that wraps another should offer a method NetConn() net.Conn, as *tls.Conn does: by what is below
	// it an upload is reset when it is given up, and a connection is looked at without a wait before each command (else a
	// millisecond is spent on that). Only a bare *net.TCPConn sends files by sendfile. What Proxy says of resets holds for
	// a connection that hides its socket. Data connections are asked of it for Host, too, and not for the address that a
	// connection has, which may be a proxy's: where a name stands for several servers, it has to choose one and keep to it.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error) `yaml:"-"`
}

// A TLSMode says how connections are encrypted.
type TLSMode string

// The TLS modes.
const (
	TLSNone     TLSMode = ""         // plain text
	TLSExplicit TLSMode = "explicit" // AUTH TLS on the plain port, 21 (RFC 4217); what most servers mean by FTPS
	TLSImplicit TLSMode = "implicit" // TLS from the first byte, port 990
)

// A RetryPolicy says how failures that may pass are answered. A transfer's retries continue where the last attempt got to,
// and an attempt that got further starts the count again.
type RetryPolicy struct {
	// MaxRetries is the number of tries after the first. 0 is 3; less than 0 is none.
	MaxRetries int `yaml:"max_retries"`
	// Delay is the longest wait before the first retry; it doubles with each further one. 0 is 1 s. The real wait is a
	// random part of it, so that many workers do not all come back at once.
	Delay time.Duration `yaml:"delay"`
	// MaxDelay is where the doubling ends. 0 is 30 s, or Delay where that is longer.
	MaxDelay time.Duration `yaml:"max_delay"`
}

// LoadConfig reads a Config from a YAML or JSON file. Durations are written as "30s" or "1m30s". A key that does not
// exist, a key given twice and a value of the wrong type are errors that name the file and the line. It only reads:
// whether the values make sense is for New to say.
//
// No error shows the contents of the file, passwords least of all.
func LoadConfig(path string) (Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("config: %w", err)
	}
	var cfg Config
	if err := strictyaml.Decode(path, text, &cfg); err != nil {
		return Config{}, fmt.Errorf("config: %w", err)
	}
	for name, s := range cfg.Servers {
		if s.CAFile != "" && !filepath.IsAbs(s.CAFile) {
			s.CAFile = filepath.Join(filepath.Dir(path), s.CAFile)
			cfg.Servers[name] = s
		}
	}
	return cfg, nil
}

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
	parts, err := ftpurl.Parse(raw)
	if err != nil {
		return ServerConfig{}, "", fmt.Errorf("ftp URL: %w", err)
	}
	server = ServerConfig{Host: parts.Host, Port: parts.Port, Username: parts.User, Password: Secret(parts.Password)}
	switch parts.Scheme {
	case "ftpes":
		server.TLS = TLSExplicit
	case "ftps":
		server.TLS = TLSImplicit
	}
	return server, parts.Path, nil
}

// withDefaults is s with every zero replaced by what it stands for, and the password read from the environment. It must
// be valid.
func (s ServerConfig) withDefaults() ServerConfig {
	if s.Port == 0 {
		s.Port = 21
		if s.TLS == TLSImplicit {
			s.Port = 990
		}
	}
	if s.PasswordEnv != "" {
		s.Password = Secret(os.Getenv(s.PasswordEnv))
	}
	s.Username = cmp.Or(s.Username, "anonymous")
	if s.Username == "anonymous" {
		s.Password = cmp.Or(s.Password, "anonymous@")
	}
	s.ConnectTimeout = cmp.Or(s.ConnectTimeout, 10*time.Second)
	s.ReplyTimeout = cmp.Or(s.ReplyTimeout, 30*time.Second)
	s.StallTimeout = cmp.Or(s.StallTimeout, 30*time.Second)
	s.MaxConns = cmp.Or(s.MaxConns, 5)
	s.KeepAlive = cmp.Or(s.KeepAlive, 30*time.Second)
	s.IdleTimeout = cmp.Or(s.IdleTimeout, 5*time.Minute)
	return s
}

// withDefaults is r with every zero replaced by what it stands for. MaxRetries stays negative where it is.
func (r RetryPolicy) withDefaults() RetryPolicy {
	r.MaxRetries = cmp.Or(r.MaxRetries, 3)
	r.Delay = cmp.Or(r.Delay, time.Second)
	r.MaxDelay = cmp.Or(r.MaxDelay, max(30*time.Second, r.Delay))
	return r
}

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
		c.Servers[name].validate(fault(f.add).below(key))
	}
	c.Retry.validate(fault(f.add).below("retry"))
	return errors.Join(f...)
}

// mostConns is more than any server takes.
const mostConns = 1 << 16

// validate reports every fault of one server.
func (s ServerConfig) validate(f fault) {
	if err := ftpurl.CheckHost(s.Host); err != nil {
		f("host", "%w", err)
	}
	if s.Port < 0 || s.Port > 65535 {
		f("port", "%d is not between 1 and 65535", s.Port)
	}
	s.validateLogin(f)
	s.validateTLS(f)
	notNegative(f, "connect_timeout", s.ConnectTimeout)
	notNegative(f, "reply_timeout", s.ReplyTimeout)
	notNegative(f, "stall_timeout", s.StallTimeout)
	notNegative(f, "max_conns", s.MaxConns)
	if s.MaxConns > mostConns {
		f("max_conns", "%d is more than %d", s.MaxConns, mostConns)
	}
	notNegative(f, "bytes_per_second", s.BytesPerSecond)
	if charset, err := s.charset(); err != nil {
		f("encoding", "%w", err)
	} else if charset != nil {
		if name, err := charset.NewEncoder().String(s.Username); err != nil || hasControl(name) {
			f("username", "cannot be written in encoding")
		}
	}
	if _, err := s.location(); err != nil {
		f("time_zone", "%w", err)
	}
	if err := ftpurl.CheckProxy(s.Proxy); err != nil {
		f("proxy", "%w", err)
	}
	if s.Active && s.Proxy != "" {
		f("active", "a SOCKS5 proxy cannot be dialled from outside: choose one of active and proxy")
	}
}

func (s ServerConfig) validateLogin(f fault) {
	if hasControl(s.Username) {
		f("username", "holds a control character")
	}
	if hasControl(s.Password.reveal()) {
		f("password", "holds a control character")
	}
	if s.PasswordEnv == "" {
		return
	}
	value := os.Getenv(s.PasswordEnv)
	switch {
	case s.Password != "":
		f("password_env", "password is set too: choose one")
	case value == "":
		f("password_env", "the environment variable is unset or empty")
	case hasControl(value):
		f("password_env", "the environment variable holds a control character, such as a line feed at its end")
	}
}

func (s ServerConfig) validateTLS(f fault) {
	switch s.TLS {
	case TLSNone, TLSExplicit, TLSImplicit:
	default:
		f("tls", "%q is not one of %q, %q and empty", string(s.TLS), TLSExplicit, TLSImplicit)
	}
	onlyWithTLS := func(key string, set bool) {
		if set && s.TLS == TLSNone { // who says how the connection is encrypted believes that it is
			f(key, "is set, but tls is not: the connection would be in plain text")
		}
	}
	onlyWithTLS("ca_file", s.CAFile != "")
	onlyWithTLS("TLSConfig", s.TLSConfig != nil)
	if s.CAFile == "" {
		return
	}
	pem, err := os.ReadFile(s.CAFile)
	switch {
	case err != nil:
		f("ca_file", "%w", err)
	case !x509.NewCertPool().AppendCertsFromPEM(pem):
		f("ca_file", "%s: no certificate in PEM form", s.CAFile)
	}
}

func (r RetryPolicy) validate(f fault) {
	notNegative(f, "delay", r.Delay)
	notNegative(f, "max_delay", r.MaxDelay)
}

// charset is the encoding of the server's file names, nil for UTF-8.
func (s ServerConfig) charset() (encoding.Encoding, error) { return charset.Lookup(s.Encoding) }

// location is the zone of the times in LIST.
func (s ServerConfig) location() (*time.Location, error) {
	loc, err := time.LoadLocation(s.TimeZone) // "" is UTC
	if err != nil {
		return nil, fmt.Errorf("unknown time zone %q", s.TimeZone)
	}
	return loc, nil
}

// hasControl reports whether s holds a byte that would end a command, or confuse a server or a terminal.
func hasControl(s string) bool { return safepath.CheckSecret(s) != nil }

// plainConfig and plainServer are the same without methods, so that printing them does not come back here.
type (
	plainConfig Config
	plainServer ServerConfig
)

// public is s without its secrets. The Password needs nothing: it knows how to print.
func (s ServerConfig) public() plainServer {
	if i := strings.LastIndexByte(s.Proxy, '@'); ftpurl.CheckProxy(s.Proxy) != nil {
		s.Proxy = redacted // the password may be anywhere
	} else if i >= 0 {
		s.Proxy = "socks5://" + redacted + s.Proxy[i:]
	}
	return plainServer(s)
}

// String is the ServerConfig without its secrets, as %+v prints it.
func (s ServerConfig) String() string { return fmt.Sprintf("%+v", s.public()) }

// GoString is the ServerConfig without its secrets, in Go's syntax.
func (s ServerConfig) GoString() string { return fmt.Sprintf("%#v", s.public()) }

// Format prints the ServerConfig without its secrets, whatever the verb.
func (s ServerConfig) Format(f fmt.State, verb rune) { formatStruct(f, verb, s.public()) }

// formatStruct prints plain as %v does with its flags, and for every other verb as %+v: those print what they do not fit,
// such as a *tls.Config, down to its keys.
func formatStruct(f fmt.State, verb rune, plain any) {
	format := "%+v"
	if verb == 'v' {
		format = fmt.FormatString(f, verb)
	}
	_, _ = fmt.Fprintf(f, format, plain) // a fmt.State has no way to report it
}

// LogValue is String.
func (s ServerConfig) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalJSON writes the keys that LoadConfig reads, without the secrets.
func (s ServerConfig) MarshalJSON() ([]byte, error) {
	return yaml.MarshalWithOptions(s.public(), yaml.JSON())
}

// MarshalYAML writes the keys that LoadConfig reads, without the secrets.
func (s ServerConfig) MarshalYAML() (any, error) { return s.public(), nil }

// MarshalJSON writes the keys that LoadConfig reads, without the secrets.
func (c Config) MarshalJSON() ([]byte, error) {
	return yaml.MarshalWithOptions(plainConfig(c), yaml.JSON())
}

// String is the Config without its secrets, as %+v prints it.
func (c Config) String() string { return fmt.Sprintf("%+v", plainConfig(c)) }

// GoString is the Config without its secrets, in Go's syntax.
func (c Config) GoString() string { return fmt.Sprintf("%#v", plainConfig(c)) }

// Format prints the Config without its secrets, whatever the verb.
func (c Config) Format(f fmt.State, verb rune) { formatStruct(f, verb, plainConfig(c)) }

// LogValue is String.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// A Secret is a text that does not print: every way of formatting, logging or encoding it gives "[redacted]", or "" when
// it is empty. Convert it to a string to read it.
//
// Three places are out of its reach. fmt does not ask values in unexported fields of other structs how they print, so such
// a struct needs a Format of its own. The verbs that no text has, %p and %w, print any string raw; go vet reports them. And
// encoding/json writes the keys of a map raw when they are strings.
type Secret string

const redacted = "[redacted]"

// String is "[redacted]", or "" when s is empty.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString is String, quoted.
func (s Secret) GoString() string { return fmt.Sprintf("%q", s.String()) }

// Format writes String whatever the verb; %x would print the text in another spelling otherwise.
func (s Secret) Format(f fmt.State, verb rune) {
	text := s.String()
	if verb == 'q' || verb == 'v' && f.Flag('#') {
		text = s.GoString()
	}
	_, _ = io.WriteString(f, text) // a fmt.State has no way to report it
}

// LogValue is String.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText is String: a configuration that is written out again holds no passwords.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalJSON is String.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// MarshalYAML is String.
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }

// UnmarshalText takes the text as it is.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = Secret(text)
	return nil
}

// UnmarshalYAML takes the text as it is. Left to UnmarshalText, the YAML library would write the value out and read it
// again, and lose what quotes and backslashes mean.
func (s *Secret) UnmarshalYAML(decode func(any) error) error { return decode((*string)(s)) }

func (s Secret) reveal() string { return string(s) }
