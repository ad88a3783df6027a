package retry

import (
	"errors"
	"sync"
	"time"

	"github.com/corexalgo/ftpclient/internal/reply"
)

// refusalStands is how long a refused login is not tried again: a batch of a thousand files is not a thousand wrong
// passwords.
const refusalStands = time.Minute

// A Login remembers that a server refused one. Its zero value is ready.
type Login struct {
	mu    sync.Mutex // guards err and until
	err   error
	until time.Time
}

// Try calls dial, unless the login was refused a short while ago: then it is the same error.
func (l *Login) Try(dial func() error) error {
	l.mu.Lock()
	err, stands := l.err, time.Now().Before(l.until)
	l.mu.Unlock()
	if stands {
		return err
	}
	if err = dial(); errors.Is(err, reply.ErrAuth) {
		l.mu.Lock()
		l.err, l.until = err, time.Now().Add(refusalStands)
		l.mu.Unlock()
	}
	return err
}
