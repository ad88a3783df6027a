// Package join walks two trees side by side.
package join

import (
	"iter"
	"strings"
)

// An Item is a name of a tree: its path below the root, with slashes, and what it is. Err is something about it that could
// not be read; such an Item is of a name that comes by itself, or came before.
type Item[T any] struct {
	Path  string
	Value T
	Err   error
}

// A Pair is what two trees have under one path. One of them is nil where only the other has it.
type Pair[L, R any] struct {
	Path  string
	Left  *L
	Right *R
}

// A Fault is an Item's error.
type Fault struct {
	Path string
	Left bool // of the left tree
	Err  error
}

// Trees yields the pairs of two trees, each in lexical order with directories before what is in them, and calls fault for
// what could not be read of either, before the pairs that come after it.
func Trees[L, R any](left iter.Seq[Item[L]], right iter.Seq[Item[R]], fault func(Fault)) iter.Seq[Pair[L, R]] {
	return func(yield func(Pair[L, R]) bool) {
		nextLeft, stopLeft := iter.Pull(left)
		defer stopLeft()
		nextRight, stopRight := iter.Pull(right)
		defer stopRight()
		l, lok := readable(nextLeft, true, fault)
		r, rok := readable(nextRight, false, fault)
		for lok || rok {
			var p Pair[L, R]
			var order int
			switch {
			case !rok:
				order = -1
			case !lok:
				order = 1
			default:
				order = Compare(l.Path, r.Path)
			}
			if order <= 0 {
				value := l.Value
				p.Path, p.Left = l.Path, &value
				l, lok = readable(nextLeft, true, fault)
			}
			if order >= 0 {
				value := r.Value
				p.Path, p.Right = r.Path, &value
				r, rok = readable(nextRight, false, fault)
			}
			if !yield(p) {
				return
			}
		}
	}
}

// readable is the next Item without an error.
func readable[T any](next func() (Item[T], bool), left bool, fault func(Fault)) (Item[T], bool) {
	for {
		item, ok := next()
		if !ok || item.Err == nil {
			return item, ok
		}
		fault(Fault{item.Path, left, item.Err})
	}
}

// Compare orders paths as a walk comes to them: a directory, what is in it, its next sibling.
func Compare(a, b string) int {
	for a != "" && b != "" {
		x, restA, _ := strings.Cut(a, "/")
		y, restB, _ := strings.Cut(b, "/")
		if c := strings.Compare(x, y); c != 0 {
			return c
		}
		a, b = restA, restB
	}
	return strings.Compare(a, b)
}
