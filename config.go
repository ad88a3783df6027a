package ftpclient

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
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
	// Username "" is "anonymous", with the customary password where none is given (RFC 1635).
	Username string `yaml:"username"`
	// Password is sent as it is. Of Password and PasswordEnv only one may be set.
	Password Secret `yaml:"password"`
	// PasswordEnv names the environment variable that holds the password; New reads it once.
	PasswordEnv string `yaml:"password_env"`

	// TLS says whether and how the connections are encrypted. Without it (TLSNone) the password and every file travel in
	// plain text. With it nothing ever falls back to plain text.
	TLS TLSMode `yaml:"tls"`
	// CAFile holds certificates in PEM form to trust instead of the system's. LoadConfig takes a relative path from the
	// folder of the configuration file, New from the working directory.
	CAFile string `yaml:"ca_file"`
	// InsecureSkipVerify accepts any certificate, and with it anyone who gets between.
	InsecureSkipVerify bool `yaml:"insecure_skip_verify"`
	// TLSConfig is a base for the rest, such as client certificates; nil is the zero tls.Config. It is cloned. ServerName
	// defaults to Host; the session cache is ours, since servers want data connections to resume the control
	// connection's session.
	TLSConfig *tls.Config `yaml:"-"`

	// ConnectTimeout bounds each step of a new connection: dial, TLS handshake, greeting, login. 0 is 10 s.
	ConnectTimeout time.Duration `yaml:"connect_timeout"`
	// ReplyTimeout bounds the wait for one reply, from the command to its last line. 0 is 30 s.
	ReplyTimeout time.Duration `yaml:"reply_timeout"`
	// StallTimeout is how long a data connection may move no byte. 0 is 30 s. A transfer that moves may take any time.
	StallTimeout time.Duration `yaml:"stall_timeout"`

	// MaxConns is the most connections to this server at a time. 0 is 5. Fewer are used while the server refuses more.
	MaxConns int `yaml:"max_conns"`
	// KeepAlive is the time between the NOOPs on an idle connection. 0 is 30 s; less than 0 sends none.
	KeepAlive time.Duration `yaml:"keep_alive"`
	// IdleTimeout is how long a connection may be idle before it is closed. 0 is 5 min; less than 0 keeps it.
	IdleTimeout time.Duration `yaml:"idle_timeout"`

	// Encoding is the IANA name of the charset of the server's file names, such as "gbk", "shift_jis" or "windows-1251".
	// "" is UTF-8 (RFC 2640). Names that it cannot spell are errors.
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
	// connection goes to. A hostile server makes a port scanner of such a client.
	TrustPASVHost bool `yaml:"trust_pasv_host"`
	// Active lets the server dial us (EPRT, PORT). Connections from any other address are refused.
	Active bool `yaml:"active"`
	// BytesPerSecond limits the content moved in both directions by all connections together; 0 is no limit.
	BytesPerSecond int64 `yaml:"bytes_per_second"`
	// Proxy is a SOCKS5 proxy for all connections, socks5://[user:password@]host:port; "" is none. Environment variables
	// are not looked at.
	Proxy string `yaml:"proxy"`

	// DialContext opens every connection, to the proxy where there is one; nil is a net.Dialer.
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

// plainConfig and plainServer are the same without methods, so that printing them does not come back here.
type (
	plainConfig Config
	plainServer ServerConfig
)

// public is s without its secrets. The Password needs nothing: it knows how to print.
func (s ServerConfig) public() plainServer {
	if i := strings.LastIndexByte(s.Proxy, '@'); proxyFault(s.Proxy) != "" {
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
