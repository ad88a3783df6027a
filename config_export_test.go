package ftpclient

import (
	"time"

	"github.com/corexalgo/ftpclient/internal/strictyaml"
)

// What the tests of the configuration look at from outside.

func ValidateConfig(c Config) error              { return c.validate() }
func ServerDefaults(s ServerConfig) ServerConfig { return s.withDefaults() }
func RetryDefaults(r RetryPolicy) RetryPolicy    { return r.withDefaults() }
func Reveal(s Secret) string                     { return s.reveal() }

func ServerLocation(s ServerConfig) (*time.Location, error) { return s.location() }

// EncodeName is name in the charset of s; plain says that there is none.
func EncodeName(s ServerConfig, name string) (text string, plain bool, err error) {
	enc, err := s.charset()
	if enc == nil || err != nil {
		return name, true, err
	}
	text, err = enc.NewEncoder().String(name)
	return text, false, err
}

// ParseConfig is LoadConfig of a file with this text.
func ParseConfig(text []byte) (cfg Config, err error) {
	err = strictyaml.Decode("", text, &cfg)
	return cfg, err
}
