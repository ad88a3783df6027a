package session

import (
	"io/fs"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"github.com/corexalgo/ftpclient/internal/listing"
)

// kinds are the ways in which entries differ that a server's listings may show differently.
type kinds uint16

const (
	regular kinds = 1 << iota
	directory
	link
	irregular
	setBits   // setuid, setgid, sticky
	dotted    // hidden, for some
	foreign   // a name beyond ASCII
	outerwise // a name with a blank at an end
)

func kindsOf(e listing.Entry) (k kinds) {
	switch e.Mode.Type() {
	case 0:
		k = regular
	case fs.ModeDir:
		k = directory
	case fs.ModeSymlink:
		k = link
	default:
		k = irregular
	}
	if e.Mode&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky) != 0 {
		k |= setBits
	}
	if strings.HasPrefix(e.Name, ".") {
		k |= dotted
	}
	if strings.IndexFunc(e.Name, func(r rune) bool { return r >= utf8.RuneSelf }) >= 0 {
		k |= foreign
	}
	if strings.HasPrefix(e.Name, " ") || strings.HasSuffix(e.Name, " ") {
		k |= outerwise
	}
	return k
}

// A statProof is what comparing a server's answers to STAT with its data listings of the same directories has shown. Each
// kind of entry is proved on the first directory that has it, which is listed by both.
type statProof struct {
	off  atomic.Bool  // they differ, or STAT does not work: never ask again
	lost atomic.Int32 // connections lost while STAT was under way

	mu     sync.Mutex // guards what follows
	proved kinds
	adapt  adaptation
	bare   int // directories of which STAT alone told names with a dot
}

// bareEnough is how many directories prove that data listings leave such names out: those of one may have been removed in between.
const bareEnough = 2

// An adaptation is what a data listing leaves out that STAT tells.
type adaptation struct {
	hidden  bool // names with a dot
	dirSize bool // the size of directories
	perm    bool // permission bits
}

// apply makes entries those of a data listing, and tells their kinds.
func (a adaptation) apply(entries []listing.Entry) (kept []listing.Entry, k kinds) {
	kept = make([]listing.Entry, 0, len(entries))
	for _, e := range entries {
		if a.hidden && strings.HasPrefix(e.Name, ".") {
			continue
		}
		if a.dirSize && e.Mode.IsDir() {
			e.Size = -1
		}
		if a.perm {
			e.Mode = e.Mode.Type()
		}
		kept = append(kept, e)
		k |= kindsOf(e)
	}
	return kept, k
}

// extend finds what data leaves out of entries of the kinds that are seen for the first time, beside those that were proved.
func (a adaptation) extend(data []listing.Entry, seen, proved kinds) adaptation {
	none := func(f func(e listing.Entry) bool) bool { return !slices.ContainsFunc(data, f) }
	if seen&dotted != 0 {
		a.hidden = none(func(e listing.Entry) bool { return strings.HasPrefix(e.Name, ".") })
	}
	if seen&directory != 0 {
		a.dirSize = none(func(e listing.Entry) bool { return e.Mode.IsDir() && e.Size >= 0 })
	}
	if proved == 0 {
		a.perm = none(func(e listing.Entry) bool { return e.Mode != e.Mode.Type() })
	}
	return a
}

// many are more entries than STAT is trusted with: Pure-FTPd ends a listing after 2,000 or 10,000 names, or as many as it is told,
// and only a data listing's final reply says so. The round trips of one are little for so many entries.
const many = 200

// Accept returns what a data listing would show of st's directory; false where only a data listing can tell.
func (s *Session) Accept(st *Stated) ([]listing.Entry, bool) {
	p := s.proof()
	if st == nil || !st.whole || p.off.Load() {
		return nil, false
	}
	p.mu.Lock()
	proved, adapt := p.proved, p.adapt
	p.mu.Unlock()
	entries, k := adapt.apply(st.entries)
	if s.usesMLSD() && k&link != 0 {
		return nil, false // ProFTPD's MLSD leaves out those that lead nowhere, and nobody's tells as much of them
	}
	if proved == 0 || k&^proved != 0 {
		return nil, false
	}
	return entries, true
}

// Prove compares st with what a data listing of the same directory has shown just now, which was read whole and without
// faults. Once they differ STAT is never asked again. That they are equal proves nothing of a directory that may be the current
// one: a server that ignores the argument of STAT would show it under each name below, too.
func (s *Session) Prove(st *Stated, data []listing.Entry) {
	p := s.proof()
	if st == nil || st.faulty || (st.whole && len(data) == 0) { // nothing to see
		return
	}
	if !st.whole {
		p.off.Store(true)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	all := kinds(0)
	for _, e := range st.entries {
		all |= kindsOf(e)
	}
	if s.usesMLSD() && all&link != 0 {
		return
	}
	adapt := p.adapt.extend(data, all&^p.proved, p.proved)
	entries, k := adapt.apply(st.entries)
	if !sameEntries(entries, data, !s.usesMLSD()) {
		p.off.Store(true)
		return
	}
	if st.here {
		return
	}
	if all&dotted != 0 && adapt.hidden {
		if p.bare++; p.bare < bareEnough {
			all &^= dotted
			adapt.hidden = false
		}
	}
	p.proved, p.adapt = p.proved|k|all&dotted, adapt
}

func sameEntries(a, b []listing.Entry, times bool) bool {
	byName := func(a, b listing.Entry) int { return strings.Compare(a.Name, b.Name) }
	b = slices.Clone(b)
	slices.SortStableFunc(a, byName)
	slices.SortStableFunc(b, byName)
	return slices.EqualFunc(a, b, func(a, b listing.Entry) bool {
		return a.Name == b.Name && a.Size == b.Size && a.Mode == b.Mode && a.Target == b.Target &&
			(!times || (a.ModTime.Equal(b.ModTime) && a.Precise == b.Precise))
	})
}
