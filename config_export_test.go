package ftpclient

// What the tests of the configuration look at from outside.

func ValidateConfig(c Config) error              { return c.validate() }
func ParseConfig(text []byte) (Config, error)    { return parseConfig(text) }
func ServerDefaults(s ServerConfig) ServerConfig { return s.withDefaults() }
func RetryDefaults(r RetryPolicy) RetryPolicy    { return r.withDefaults() }
func Reveal(s Secret) string                     { return s.reveal() }
