// Package mirror compares two trees and says what makes one like the other. It reads neither.
package mirror

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/corexalgo/ftpclient/internal/join"
	"github.com/corexalgo/ftpclient/internal/safepath"
)

// Compare says when files of both sides are the same.
type Compare int

// The comparisons.
const (
	SizeAndTime Compare = iota
	Size
	Hash
)

// Options say what is compared, and how.
type Options struct {
	Up               bool     // the local tree is the source
	Include, Exclude []string // valid patterns
	Delete           bool
	Compare          Compare
	ListsHidden      bool             // the remote tree has the names that begin with a dot, even if there are none
	Folding          safepath.Folding // of local names
}

// Questions are what the trees do not tell.
type Questions struct {
	// Times are the exact modification times of remote files; zero where the server does not tell.
	Times func(rels []string) ([]time.Time, error)
	// Unlisted are the remote files under names that no listing showed; nil where the server tells of none.
	Unlisted func(rels []string) ([]*Node, error)
	// Same tells of each file whether both sides have the same content.
	Same func(rels []string) ([]bool, error)
}

// A Node is what one of the trees has under a path.
type Node struct {
	Mode      fs.FileMode // a file's where the server tells of no type
	Untyped   bool        // the server told of no type
	Size      int64
	ModTime   time.Time     // zero unknown
	Precision time.Duration // of ModTime
}

// Kind is what a Step does.
type Kind int

// The kinds.
const (
	Copy Kind = iota
	Mkdir
	Delete
	Skip
)

// A Step is what becomes of one path.
type Step struct {
	Kind    Kind
	Rel     string
	IsDir   bool
	Size    int64
	ModTime time.Time // of a file to delete; zero: not known to the second
	Reason  string
}

// A Plan is all steps in the order of the trees, but for deletions, which come last, each directory after what is in it.
type Plan struct {
	Steps      []Step
	Unchanged  int  // files
	Incomplete bool // something of a tree could not be read: there are no deletions
	Faults     []join.Fault
}

// A planner compares two trees.
type planner struct {
	opts   Options
	ask    Questions
	plan   Plan
	doubts []doubt
	dead   []Step              // deletions, in the order of the trees
	kept   map[string]struct{} // directories of the target in which something stays
	names  safepath.Siblings   // of the source, where they become local ones
	passed safepath.Collisions // paths of the source that are skipped, or not included
	dots   bool                // the remote tree has names that begin with a dot, or would show them
	hiders map[string]struct{} // directories in which the server has what it does not list

	blocked map[string]struct{} // what stays although the source has something else there
	closed  string              // a path below which nothing is done; "": none
	fatal   error

	left, right bool // something of that tree was listed
}

// A doubt is a file whose sizes are equal.
type doubt struct {
	at            int // index of its Step, made in case it is needed
	remote, local *Node
}

// doubtful is how many doubts are settled at a time.
const doubtful = 256

// Make compares the trees. A source that cannot be read at all, and any question that fails, is an error.
func Make(remote, local iter.Seq[join.Item[Node]], opts Options, ask Questions) (Plan, error) {
	p := &planner{opts: opts, ask: ask, dots: opts.ListsHidden, kept: map[string]struct{}{}, hiders: map[string]struct{}{}, blocked: map[string]struct{}{}}
	p.passed.Folding, p.names.Folding = safepath.FoldNames, opts.Folding
	for pair := range p.completed(join.Trees(remote, local, p.fault)) {
		if p.fatal != nil {
			break
		}
		if p.closed != "" && strings.HasPrefix(pair.Path, p.closed+"/") {
			continue
		}
		p.compare(pair)
		if len(p.doubts) >= doubtful {
			p.settle()
		}
	}
	if p.fatal == nil {
		p.fatal = p.unread()
	}
	p.settle()
	p.plan.Steps = slices.DeleteFunc(p.plan.Steps, p.makesHider)
	p.finish()
	return p.plan, p.fatal
}

func (p *planner) fault(f join.Fault) {
	source := f.Left != p.opts.Up
	if f.Path == "" && !source && errors.Is(f.Err, fs.ErrNotExist) { // a target that is missing will be made, and hides nothing
		p.dots = true
		return
	}
	if p.excludes(f.Path) { // it stays, whatever is in it
		p.keep(f.Path)
		return
	}
	p.plan.Incomplete = true
	p.plan.Faults = append(p.plan.Faults, f)
}

// unread is the error of a tree of which nothing but the error was seen.
func (p *planner) unread() error {
	for _, f := range p.plan.Faults {
		if f.Path == "" && (f.Left && !p.left || !f.Left && !p.right) {
			return f.Err
		}
	}
	return nil
}

func kindName(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "directory"
	case mode.IsRegular():
		return "file"
	case mode&fs.ModeSymlink != 0:
		return "symbolic link"
	}
	return "special file"
}

// Reasons.
const (
	missing     = "missing"
	typeChanged = "type changed"
)

// compare decides what becomes of one path.
func (p *planner) compare(pair join.Pair[Node, Node]) {
	from, to := pair.Left, pair.Right
	if p.opts.Up {
		from, to = to, from
	}
	rel := pair.Path
	if p.excludes(rel) || !p.includes(rel, from, to) {
		p.keep(rel)
		return
	}
	if from == nil {
		if !p.opts.Delete {
			return
		}
		p.dead = append(p.dead, step(Delete, rel, to, "deleted at the source"))
		return
	}
	reason, misnamed := p.misnamed(rel)
	switch {
	case misnamed != nil:
		p.plan.Faults = append(p.plan.Faults, join.Fault{Path: rel, Left: true, Err: misnamed})
		p.skip(rel, from, reason)
	case !from.Mode.IsDir() && !from.Mode.IsRegular():
		p.skip(rel, from, kindName(from.Mode))
	case to == nil:
		p.add(rel, from, missing)
	case from.Untyped && to.Mode.IsDir(): // which it may be, too: nobody has looked into it
		p.skip(rel, from, "type unknown: a directory is in the way")
	case from.Mode.Type() != to.Mode.Type() && !p.opts.Delete:
		p.skip(rel, from, typeChanged+": a "+kindName(to.Mode)+" is in the way")
	case from.Mode.Type() != to.Mode.Type():
		p.dead = append(p.dead, step(Delete, rel, to, typeChanged))
		p.add(rel, from, typeChanged)
	case from.Mode.IsDir():
	case from.Size != to.Size:
		p.add(rel, from, "size differs")
	case p.opts.Compare == Size:
		p.plan.Unchanged++
	case p.opts.Compare == Hash:
		p.doubt(rel, from, pair, "content differs")
	case !exact(pair.Left.Precision): // and perhaps of another zone than it is read as
		p.doubt(rel, from, pair, "time differs")
	case sameTime(pair.Left, pair.Right):
		p.plan.Unchanged++
	default:
		p.add(rel, from, differs(from, to))
	}
}

// misnamed tells why a name of the server cannot become a local one.
func (p *planner) misnamed(rel string) (reason string, err error) {
	if p.opts.Up {
		return "", nil
	}
	if err := safepath.CheckLocal(path.Base(rel)); err != nil {
		return "unsafe name", err
	}
	if other, clash := p.names.Add(rel); clash {
		return "name collision", fmt.Errorf("name collision: %q is the name of %q on this system", path.Base(rel), other)
	}
	return "", nil
}

// differs is how the times of two files do.
func differs(from, to *Node) string {
	switch {
	case from.ModTime.IsZero() || to.ModTime.IsZero():
		return "time unknown"
	case from.ModTime.After(to.ModTime):
		return "newer"
	}
	return "older"
}

// exact tells a time that is known to the second.
func exact(precision time.Duration) bool { return precision > 0 && precision <= time.Second }

// sameTime tells whether the local time may be the remote one, as exactly as the server tells that.
func sameTime(remote, local *Node) bool {
	if remote.ModTime.IsZero() || local.ModTime.IsZero() {
		return false
	}
	if remote.Precision <= time.Second {
		return remote.ModTime.Truncate(time.Second).Equal(local.ModTime.Truncate(time.Second))
	}
	since := local.ModTime.Sub(remote.ModTime)
	return since >= 0 && since < remote.Precision
}

// excludes applies Exclude. What an unfinished transfer keeps is nobody else's.
func (p *planner) excludes(rel string) bool {
	return safepath.IsOurs(path.Base(rel)) || within(rel, func(name string) bool { return matches(p.opts.Exclude, name) })
}

// includes applies Include, to files.
func (p *planner) includes(rel string, from, to *Node) bool {
	is := from
	if is == nil {
		is = to
	}
	if is.Mode.IsDir() || len(p.opts.Include) == 0 || matches(p.opts.Include, rel) {
		return true
	}
	if from != nil && p.opts.Delete {
		p.passed.Add(bare(rel))
	}
	return false
}

func matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return doublestar.MatchUnvalidated(p, name) })
}

func step(kind Kind, rel string, n *Node, reason string) Step {
	s := Step{Kind: kind, Rel: rel, IsDir: n.Mode.IsDir(), Size: n.Size, Reason: reason}
	switch {
	case s.IsDir:
		s.Size = 0
	case !n.Mode.IsRegular(): // a link's is that of its own text in a listing, and of what it leads to for SIZE
		s.Size = -1
	case kind == Delete && n.Precision <= time.Second: // a local time has none
		s.ModTime = n.ModTime
	}
	return s
}

func (p *planner) add(rel string, from *Node, reason string) {
	kind := Copy
	if from.Mode.IsDir() {
		kind = Mkdir
	}
	p.plan.Steps = append(p.plan.Steps, step(kind, rel, from, reason))
}

// skip leaves a path, and all that either side has below it, as it is.
func (p *planner) skip(rel string, from *Node, reason string) {
	p.plan.Steps = append(p.plan.Steps, step(Skip, rel, from, reason))
	p.closed = rel
	p.passed.Add(bare(rel))
	p.kept[rel] = struct{}{}
	p.keep(rel)
}

// doubt makes a Step for the file, in case it turns out to differ.
func (p *planner) doubt(rel string, from *Node, pair join.Pair[Node, Node], reason string) {
	p.doubts = append(p.doubts, doubt{len(p.plan.Steps), pair.Left, pair.Right})
	p.add(rel, from, reason)
}

// settle asks about the doubts.
func (p *planner) settle() {
	if len(p.doubts) == 0 || p.fatal != nil {
		return
	}
	rels := make([]string, len(p.doubts))
	for i, d := range p.doubts {
		rels[i] = p.plan.Steps[d.at].Rel
	}
	var same []bool
	if p.opts.Compare == Hash {
		same, p.fatal = p.ask.Same(rels)
	} else {
		same, p.fatal = p.sameTimes(rels)
	}
	if p.fatal != nil {
		return
	}
	drop := map[int]bool{}
	for i, d := range p.doubts {
		if drop[d.at] = same[i]; same[i] {
			p.plan.Unchanged++
		}
	}
	kept := p.plan.Steps[:0]
	for i, s := range p.plan.Steps {
		if !drop[i] {
			kept = append(kept, s)
		}
	}
	p.plan.Steps, p.doubts = kept, p.doubts[:0]
}

// sameTimes asks for the times that a listing did not tell to the second.
func (p *planner) sameTimes(rels []string) ([]bool, error) {
	times, err := p.ask.Times(rels)
	if err != nil {
		return nil, err
	}
	same := make([]bool, len(rels))
	for i, d := range p.doubts {
		remote := *d.remote
		if !times[i].IsZero() { // else the server has told all that it knows
			remote.ModTime, remote.Precision = times[i], time.Second
		}
		same[i] = sameTime(&remote, d.local)
		from, to := &remote, d.local
		if p.opts.Up {
			from, to = to, from
		}
		p.plan.Steps[d.at].Reason = differs(from, to)
	}
	return same, nil
}
