package retry

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/corexalgo/ftpclient/internal/reply"
)

// refusalStands is how long a refused login is not tried again: a batch of a thousand files is not a thousand wrong
// passwords.
const refusalStands = time.Minute

// mostSilences is how often in a row a password may be sent that was never accepted, and that the server says nothing to. Once may
// be the line's fault.
const mostSilences = 2

// A Login remembers what a server said to a user's password. Its zero value is ready.
type Login struct {
	mu       sync.Mutex // guards what follows
	err      error      // the refusal
	until    time.Time  // when it ends
	accepted bool       // it was the last that the server said
	silences int        // tries without an answer while it was not
}

// Try calls dial, unless the login was refused a short while ago: then it is the same error. Servers that hang up on a wrong
// password refuse it, too.
func (l *Login) Try(dial func() error) error {
	l.mu.Lock()
	err, stands := l.err, time.Now().Before(l.until)
	l.mu.Unlock()
	if stands {
		return err
	}
	err = dial()
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		l.accepted, l.silences = true, 0
	case errors.Is(err, reply.ErrAuth):
		l.refuse(err)
	case errors.Is(err, reply.ErrUnanswered) && !l.accepted:
		if l.silences++; l.silences >= mostSilences {
			err = Permanent(fmt.Errorf("%w; not sent again for %v, as more tries may lock the account", err, refusalStands))
			l.refuse(err)
		}
	}
	return err
}

func (l *Login) refuse(err error) {
	l.accepted, l.err, l.until = false, err, time.Now().Add(refusalStands)
}
