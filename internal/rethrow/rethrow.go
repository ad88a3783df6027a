// Package rethrow takes the untimely end of a goroutine, a panic or a runtime.Goexit, to the one that waits for it. A caller
// can recover from the panic of a callback then, wherever it was called, and t.FailNow ends the test in one.
package rethrow

import (
	"runtime"
	"sync/atomic"
)

// A Keeper keeps the first such end. Its zero value is ready.
type Keeper struct{ first atomic.Pointer[any] }

// Run calls f, and fallen once that has ended by a panic, or by runtime.Goexit, after which Run does not return.
func (k *Keeper) Run(f, fallen func()) {
	done := false
	defer func() {
		if !done {
			p := recover()
			k.first.CompareAndSwap(nil, &p)
			fallen()
		}
	}()
	f()
	done = true
}

// Again ends the goroutine of its caller in the way that was kept, and forgets it. Mostly there is none, and it returns.
func (k *Keeper) Again() {
	p := k.first.Swap(nil)
	switch {
	case p == nil:
	case *p == nil:
		runtime.Goexit()
	default:
		panic(*p)
	}
}
