package session

import (
	"time"

	"github.com/corexalgo/ftpclient/internal/digest"
	"github.com/corexalgo/ftpclient/internal/reply"
)

// ReadHash reads the digest out of the reply to a hash command for a file of so many bytes.
func ReadHash(verb string, a digest.Algorithm, arg string, bytes int64, r reply.Reply) (string, error) {
	return hashAnswer{verb: verb, algorithm: a, arg: arg, part: part{bytes: bytes}}.read(r)
}

// Reached is how long opening the shortest data connection took.
func (s *Session) Reached() *time.Duration { return &s.reached }
