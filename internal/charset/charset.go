// Package charset finds the charsets that the names of a server's files may be in.
package charset

import (
	"fmt"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/unicode"

	"github.com/corexalgo/ftpclient/internal/safepath"
)

// Lookup is the encoding with an IANA name, nil for UTF-8 and "". One that cannot stand in the commands of FTP is an error,
// as is a name that nobody knows.
func Lookup(name string) (encoding.Encoding, error) {
	if name == "" {
		return nil, nil
	}
	// The registry of IANA first: the one for web pages reads "latin1" as windows-1252. It knows names that the other
	// has no table for.
	enc, err := ianaindex.IANA.Encoding(name)
	if err != nil || enc == nil {
		enc, err = htmlindex.Get(name)
	}
	if err != nil {
		return nil, fmt.Errorf("unknown charset %q", name)
	}
	if enc == unicode.UTF8 {
		return nil, nil
	}
	if !safeInCommands(enc) {
		return nil, fmt.Errorf("charset %q cannot be used for file names: it is no superset of ASCII", name)
	}
	return enc, nil
}

// safeInCommands reports whether enc leaves ASCII alone in both directions, so that slashes stay slashes, and spells nothing
// with control bytes as ISO-2022-JP does. What the registry of web pages has for ISO-2022-KR writes UTF-8 and reads nothing.
func safeInCommands(enc encoding.Encoding) bool {
	for c := byte(' '); c < 0x7f; c++ {
		out, err := enc.NewEncoder().String(string(c))
		back, rerr := enc.NewDecoder().String(string(c))
		if err != nil || rerr != nil || out != string(c) || back != string(c) {
			return false
		}
	}
	for _, r := range "éЖ日本語한글中文" {
		out, err := enc.NewEncoder().String(string(r))
		if err == nil && safepath.CheckArgument(out) != nil {
			return false
		}
	}
	return true
}
