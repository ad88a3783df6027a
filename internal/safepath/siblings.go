package safepath

import (
	"path"
	"strings"
)

// Siblings finds names of one directory that land on one file, in a tree whose paths come in the order of a walk. It keeps
// those of the directories on the way only. The zero value is ready to use, by one goroutine.
type Siblings struct {
	Folding Folding

	levels []level
}

// A level is a directory on the way to where the walk is, and the names in it so far.
type level struct {
	dir   string
	names Collisions
}

// leadsTo tells whether dir is l, or somewhere below it.
func (l *level) leadsTo(dir string) bool {
	return l.dir == "." || l.dir == dir || strings.HasPrefix(dir, l.dir+"/")
}

// Add records a path below the root, and tells whether an earlier name of its directory, other, lands on the same file.
func (s *Siblings) Add(rel string) (other string, clash bool) {
	dir, name := path.Dir(rel), path.Base(rel)
	for n := len(s.levels); n > 0 && !s.levels[n-1].leadsTo(dir); n-- {
		s.levels = s.levels[:n-1]
	}
	if n := len(s.levels); n == 0 || s.levels[n-1].dir != dir {
		s.levels = append(s.levels, level{dir: dir, names: Collisions{Folding: s.Folding}})
	}
	return s.levels[len(s.levels)-1].names.Add(name)
}
