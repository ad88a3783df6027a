package remotefs

import (
	"sync/atomic"

	"github.com/corexalgo/ftpclient/internal/session"
)

// A Sweep removes names from one server, many in a round trip. The zero value is ready; it is safe for concurrent use.
type Sweep struct {
	lost atomic.Int32 // groups in a row of which not one name was answered for
}

// A fate is what became of a name.
type fate int

const (
	unknown fate = iota
	removed
	refused
	failed // for good
)

// A group is names that are removed together.
type group struct {
	*Op
	sweep *Sweep
	names []session.Removal
	fates []fate
	errs  []error // of the names that failed
}

// Remove removes names, in their order, none of them a root or a directory above. It tells of each why it may still be there; nil: it is
// not, and perhaps never was.
func (w *Sweep) Remove(op *Op, names []session.Removal) []error {
	g, ended := w.each(op, names)
	for i, f := range g.fates {
		if ended != nil && (f == unknown || f == refused) {
			g.errs[i] = ended
		}
	}
	return g.errs
}

// each removes names. A name at which connections are lost for good is given up, and the others go on; without any connection nothing
// does, and ended is why.
func (w *Sweep) each(op *Op, names []session.Removal) (g *group, ended error) {
	g = &group{op, w, names, make([]fate, len(names)), make([]error, len(names))}
	answered, interrupted := 0, false
	for answered < len(names) {
		connected := false
		err := op.Attempt(func(s *session.Session) (bool, error) {
			connected = true
			before := answered
			err := g.ask(s, interrupted, &answered)
			interrupted = interrupted || err != nil
			return answered > before, err
		})
		if err == nil {
			break
		}
		if !connected || op.Ctx.Err() != nil {
			return g, err
		}
		g.fates[answered], g.errs[answered] = failed, err
		answered++
	}
	if interrupted {
		g.missing()
	}
	for i, name := range names {
		if g.fates[i] == refused {
			g.errs[i] = op.removeKnown(name)
		}
	}
	return g, nil
}

// ask asks for the names that were not answered for, together, or one by one, once a connection was lost in that, or where that happens
// to each group: there are servers that hang up on so many commands.
func (g *group) ask(s *session.Session, single bool, answered *int) error {
	for *answered < len(g.names) {
		some := g.names[*answered:]
		if single || g.sweep.lost.Load() > 1 {
			some = some[:1]
		}
		gone, err := s.RemoveEach(g.Ctx, some)
		for i, ok := range gone {
			if g.fates[*answered+i] = refused; ok {
				g.fates[*answered+i] = removed
			}
		}
		*answered += len(gone)
		switch {
		case err == nil && len(some) > 1:
			g.sweep.lost.Store(0)
		case err != nil && len(some) > 1 && len(gone) == 0:
			g.sweep.lost.Add(1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// missing finds those gone that were refused because an earlier reply was lost, many by one listing.
func (g *group) missing() {
	in := map[string][]int{}
	for i, name := range g.names {
		if dir, _ := Split(name.Name); g.fates[i] == refused {
			in[dir] = append(in[dir], i)
		}
	}
	for dir, some := range in {
		if len(some) == 1 {
			continue
		}
		_ = g.Try(func(s *session.Session) error { // what is not found out here is by and by
			there, complete, err := listed(g.Ctx, s, dir)
			for _, i := range some {
				if _, base := Split(g.names[i].Name); err == nil && complete && !there[base] && (base[0] != '.' || s.ListsHidden()) {
					g.fates[i] = removed
				}
			}
			return err
		})
	}
}
