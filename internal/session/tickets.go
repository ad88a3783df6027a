package session

import (
	"crypto/tls"
	"sync"
)

// tickets is the TLS session cache of one control connection and its data connections, all of which share one name. crypto/tls
// throws a session away when a handshake with it fails. One that was broken off, as the server refused the transfer, says
// nothing of the session, which servers that insist on it would miss.
type tickets struct {
	mu     sync.Mutex // guards the rest
	last   *tls.ClientSessionState
	thrown *tls.ClientSessionState
}

// Get is tls.ClientSessionCache's.
func (t *tickets) Get(string) (*tls.ClientSessionState, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last, t.last != nil
}

// Put is tls.ClientSessionCache's.
func (t *tickets) Put(_ string, s *tls.ClientSessionState) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s == nil && t.last != nil {
		t.thrown = t.last
	}
	t.last = s
}

// restore takes back what a handshake threw away that was broken off.
func (t *tickets) restore() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == nil {
		t.last = t.thrown
	}
	t.thrown = nil
}
