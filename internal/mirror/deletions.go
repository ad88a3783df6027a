package mirror

import (
	"path"
	"slices"
	"strings"
	"time"

	"github.com/corexalgo/ftpclient/internal/safepath"
)

// keep says that something under rel stays, and so do the directories above it.
func (p *planner) keep(rel string) {
	for dir := path.Dir(rel); dir != "."; dir = path.Dir(dir) {
		p.kept[dir] = struct{}{}
	}
}

// spare leaves what would be deleted, and puts nothing else in its place.
func (p *planner) spare(s Step, reason string) {
	if s.Reason == typeChanged {
		p.blocked[s.Rel] = struct{}{}
	}
	s.Kind, s.Reason, s.ModTime = Skip, reason, time.Time{}
	p.plan.Steps = append(p.plan.Steps, s)
	p.keep(s.Rel)
}

// finish puts the deletions last, what is in a directory before it.
func (p *planner) finish() {
	if len(p.dead) == 0 || p.fatal != nil {
		return
	}
	spelt, excluded := p.spellings(), fold(p.opts.Exclude)
	for _, s := range slices.Backward(p.dead) {
		_, stays := p.kept[s.Rel]
		switch {
		case p.plan.Incomplete && s.Reason != typeChanged:
		case p.plan.Incomplete:
			p.spare(s, "type changed: nothing is deleted, as not everything was read")
		case !p.opts.Up && !p.dots && hidden(s.Rel):
			p.spare(s, "may be hidden at the source")
		case spelt(s.Rel):
			p.spare(s, "spelt otherwise at the source")
		case within(safepath.Fold(s.Rel), func(name string) bool { return matches(excluded, name) }):
			p.spare(s, "excluded in another spelling")
		case !stays:
			p.plan.Steps = append(p.plan.Steps, s)
		case s.Reason == typeChanged:
			p.spare(s, "type changed: a directory of which something stays is in the way")
		}
	}
	p.plan.Steps = slices.DeleteFunc(p.plan.Steps, func(s Step) bool {
		return s.Kind != Skip && within(s.Rel, func(name string) bool { _, blocked := p.blocked[name]; return blocked })
	})
	p.date()
}

// date asks for the times of the remote files to delete that were not told to the second, by which an edit until then shows.
func (p *planner) date() {
	var undated []int
	for i, s := range p.plan.Steps {
		if p.opts.Up && s.Kind == Delete && s.ModTime.IsZero() && !s.IsDir && s.Size >= 0 {
			undated = append(undated, i)
		}
	}
	for some := range slices.Chunk(undated, doubtful) {
		rels := make([]string, len(some))
		for i, at := range some {
			rels[i] = p.plan.Steps[at].Rel
		}
		times, err := p.ask.Times(rels)
		if p.fatal = err; err != nil {
			return
		}
		for i, at := range some {
			p.plan.Steps[at].ModTime = times[i]
		}
	}
}

// spellings tells of a path of the target whether it may be another spelling of what was just copied, or of what the source has
// and the mirror passes over. Where the target does not tell letter cases apart it is the same file. Where it does, the next plan
// sees a copy beside it, and deletes.
func (p *planner) spellings() func(rel string) bool {
	written := safepath.Collisions{Folding: safepath.FoldNames}
	for _, s := range p.plan.Steps {
		if s.Reason == missing {
			written.Add(bare(s.Rel))
		}
	}
	return func(rel string) bool {
		_, again := written.Find(bare(rel))
		return again || within(bare(rel), func(name string) bool {
			_, passed := p.passed.Find(name)
			return passed
		})
	}
}

// bare is a path without what servers make of the end of a name: Windows leaves dots and blanks off, and Pure-FTPd puts an underscore in
// a blank's place.
func bare(rel string) string {
	if !strings.ContainsAny(rel, "._ ") { // mostly
		return rel
	}
	names := strings.Split(rel, "/")
	for i, name := range names {
		if short := strings.TrimRight(name, "._ "); short != "" {
			names[i] = short
		}
	}
	return strings.Join(names, "/")
}

// within asks of a path, and of the directories above it, until one is.
func within(rel string, is func(name string) bool) bool {
	for name := rel; name != "." && name != ""; name = path.Dir(name) {
		if is(name) {
			return true
		}
	}
	return false
}

func fold(patterns []string) []string {
	folded := make([]string, len(patterns))
	for i, pattern := range patterns {
		folded[i] = safepath.Fold(pattern)
	}
	return folded
}

// MakesRoom tells whether name, or a directory that it is in, gets something else in its place: room are the names that do.
func MakesRoom(room map[string]bool, name string) bool {
	for ; name != "." && name != "/"; name = path.Dir(name) {
		if room[name] {
			return true
		}
	}
	return false
}
