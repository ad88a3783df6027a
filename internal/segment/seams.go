package segment

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/corexalgo/ftpclient/internal/session"
)

// Seams are the places where what one transfer fetched follows what another one did, with nothing to show that the second began where
// it was told: of several servers behind one name, one may grant REST and send the file from its beginning. So whoever comes up to
// one reads some bytes beyond it, which must be those that are held there.
type seams struct {
	mu   sync.Mutex
	open map[int64][]byte // what follows there as it was read from before; nil: that is not known
}

func (m *seams) set(off int64, beyond []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.open == nil {
		m.open = map[int64][]byte{}
	}
	m.open[off] = beyond
}

func (m *seams) close(off int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.open, off)
}

// next is one that is open.
func (m *seams) next() (off int64, beyond []byte, open bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for off, beyond := range m.open {
		return off, beyond, true
	}
	return 0, nil, false
}

// begin says where a transfer begins that is to fetch what is missing at off: some bytes before it, which are compared.
func (c *Crew) begin(off int64) (from int64) {
	from = off - c.Partial.Before(off, c.Overlap)
	if off-from < min(off, c.Overlap) {
		c.seams.set(off, nil)
	} else {
		c.seams.close(off)
	}
	return from
}

// reach ends the range of t at off, where others go on. Beyond are the first bytes of what r sends then. Whatever goes wrong here,
// join finds out what it means.
func (c *Crew) reach(t *Task, off int64, beyond []byte, r io.Reader) (moved int64, err error) {
	if patience := t.patience(); patience > 0 {
		defer time.AfterFunc(patience, t.Close).Stop()
	}
	all := make([]byte, min(c.Overlap, c.Size-off))
	got := copy(all, beyond)
	n, err := io.ReadFull(r, all[got:])
	moved = int64(n)
	if err != nil {
		c.seams.set(off, nil)
		return moved, nil // it stays open
	}
	c.seams.set(off, all)
	if most := int64(len(all)); c.Partial.Before(off+most, most) == most { // else whoever fetches it is not so far
		err = c.compare(off, all)
	}
	return moved, err
}

// compare closes a seam.
func (c *Crew) compare(off int64, beyond []byte) error {
	ours := make([]byte, len(beyond))
	if _, err := c.Partial.ReadAt(ours, off); err != nil || !bytes.Equal(ours, beyond) {
		return c.fatal(fmt.Errorf("%w: what was fetched from %d on is not what follows there", ErrOverlap, off), ErrOverlap)
	}
	c.seams.close(off)
	return nil
}

// join closes all seams, once nothing is missing.
func (c *Crew) join(ctx context.Context, s *session.Session) error {
	for {
		off, beyond, open := c.seams.next()
		if !open {
			return nil
		}
		if beyond != nil {
			if err := c.compare(off, beyond); err != nil {
				return err
			}
			continue
		}
		if !s.Usable() {
			return ErrSpent
		}
		from := off - c.Partial.Before(off, c.Overlap)
		r, err := s.Retrieve(ctx, c.Remote, from, c.Moving)
		if err != nil {
			return err
		}
		n, err := Compare(r, c.Partial, from, min(off+c.Overlap, c.Size), c.Size)
		c.moved.Add(n)
		cerr := r.Close()
		switch {
		case err != nil:
			return c.fatal(err, ErrOverlap)
		case cerr != nil:
			return cerr
		}
		c.seams.close(off)
	}
}
