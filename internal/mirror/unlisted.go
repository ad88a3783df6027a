package mirror

import (
	"iter"
	"path"
	"strings"

	"github.com/corexalgo/ftpclient/internal/join"
)

// hidden tells a name that many listings leave out.
func hidden(rel string) bool { return strings.HasPrefix(rel, ".") || strings.Contains(rel, "/.") }

// Bounds of the pairs that wait for an answer.
const (
	unlistedAsked = 256
	unlistedHeld  = 4096
)

// completed adds to the pairs of an upload the files that the server has without listing them: they would seem to be missing, and be
// copied again by every plan. A server that lists one name with a dot lists them all.
func (p *planner) completed(pairs iter.Seq[join.Pair[Node, Node]]) iter.Seq[join.Pair[Node, Node]] {
	return func(yield func(join.Pair[Node, Node]) bool) {
		var held []join.Pair[Node, Node] // in order, with those that are asked about
		var asked []int
		flush := func() bool {
			p.find(held, asked)
			for _, pair := range held {
				if p.fatal != nil || !yield(pair) {
					return false
				}
			}
			held, asked = held[:0], asked[:0]
			return true
		}
		for pair := range pairs {
			p.left, p.right = p.left || pair.Left != nil, p.right || pair.Right != nil
			if pair.Left != nil && hidden(pair.Path) {
				p.dots, asked = true, asked[:0]
			}
			if p.mayBeUnlisted(pair) {
				asked = append(asked, len(held))
			}
			held = append(held, pair)
			if (len(asked) == 0 || len(asked) == unlistedAsked || len(held) == unlistedHeld) && !flush() {
				return
			}
		}
		flush()
	}
}

func (p *planner) mayBeUnlisted(pair join.Pair[Node, Node]) bool {
	return p.opts.Up && !p.dots && pair.Left == nil && hidden(pair.Path) && pair.Right.Mode.IsRegular() &&
		!p.excludes(pair.Path) && (len(p.opts.Include) == 0 || matches(p.opts.Include, pair.Path))
}

// find asks about some of the pairs.
func (p *planner) find(pairs []join.Pair[Node, Node], asked []int) {
	if len(asked) == 0 {
		return
	}
	rels := make([]string, len(asked))
	for i, at := range asked {
		rels[i] = pairs[at].Path
	}
	var found []*Node
	if found, p.fatal = p.ask.Unlisted(rels); p.fatal != nil {
		return
	}
	for i, node := range found {
		pairs[asked[i]].Left = node
		for dir := path.Dir(rels[i]); node != nil && dir != "."; dir = path.Dir(dir) {
			p.hiders[dir] = struct{}{}
		}
	}
}

// makesHider tells a step that makes a directory which is there.
func (p *planner) makesHider(s Step) bool {
	_, there := p.hiders[s.Rel]
	return there && s.Kind == Mkdir
}
