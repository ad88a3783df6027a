package ftpclient

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
)

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
