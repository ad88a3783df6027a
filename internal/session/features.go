package session

import (
	"strings"

	"github.com/corexalgo/ftpclient/internal/reply"
)

// Features is what the server says of itself by FEAT (RFC 2389), its verbs in upper case with their parameters.
type Features map[string]string

// Has tells whether the server lists the verb.
func (f Features) Has(verb string) bool {
	_, ok := f[verb]
	return ok
}

func parseFeatures(r reply.Reply) Features {
	f := Features{}
	if r.Code != 211 || len(r.Lines) < 2 {
		return f
	}
	for _, line := range r.Lines[1 : len(r.Lines)-1] {
		// RFC 2389 has one blank before each; servers have been seen to repeat the code instead.
		line = strings.TrimPrefix(line, "211-")
		verb, params, _ := strings.Cut(strings.TrimSpace(line), " ")
		if verb == "" {
			continue
		}
		verb = strings.ToUpper(verb)
		if old, ok := f[verb]; ok { // "AUTH TLS" and "AUTH SSL" come on two lines
			params = old + ";" + params
		}
		f[verb] = strings.TrimSpace(params)
	}
	return f
}
