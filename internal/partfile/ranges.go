package partfile

import (
	"errors"
	"fmt"
	"slices"
)

// A Range is the bytes [From, To) of a file.
type Range struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// Len is the number of its bytes.
func (r Range) Len() int64 { return r.To - r.From }

// Held is how many bytes are there: the first Offset ones and those of Parts.
func (s State) Held() int64 { return sum(s.Offset, s.Parts) }

func sum(offset int64, parts []Range) int64 {
	for _, r := range parts {
		offset += r.Len()
	}
	return offset
}

// end is how long the partial must be to have all that s speaks of.
func (s State) end() int64 {
	if len(s.Parts) == 0 {
		return s.Offset
	}
	return s.Parts[len(s.Parts)-1].To
}

// check finds parts that cannot be true: each has a byte, they are in order, and there is a gap before each.
func (s State) check() error {
	at := s.Offset
	for _, r := range s.Parts {
		if r.From <= at || r.To <= r.From || s.Size < r.To {
			return fmt.Errorf("sidecar damaged: bytes %d to %d of %d", r.From, r.To, s.Size)
		}
		at = r.To
	}
	return nil
}

// include adds r to sorted parts with gaps between them.
func include(parts []Range, r Range) []Range {
	i, _ := slices.BinarySearchFunc(parts, r.From, func(p Range, from int64) int {
		if p.To < from {
			return -1
		}
		return 1
	})
	j := i
	for ; j < len(parts) && parts[j].From <= r.To; j++ {
		r.From, r.To = min(r.From, parts[j].From), max(r.To, parts[j].To)
	}
	return slices.Replace(parts, i, j, r)
}

// WriteAt writes p at off, which may be anywhere in the file: what is held beyond Offset are parts, until what is missing
// before them was written. Several goroutines may use it side by side, but no Write between them, and a digest that was set is
// given up. It fails as Write does.
func (f *File) WriteAt(p []byte, off int64) (int, error) {
	if err := f.usable(); err != nil {
		return 0, err
	}
	n, err := f.file.WriteAt(p, off)
	f.checkpoint.wrote(f.file, err)
	if n == 0 {
		return 0, err
	}
	f.mu.Lock()
	f.digest = nil
	f.hold(Range{off, off + int64(n)})
	s, due := f.due()
	f.mu.Unlock()
	if due {
		f.checkpoint.start(f.file, s)
	}
	return n, err
}

// hold accounts for a range that was written.
func (f *File) hold(r Range) {
	f.parts = include(f.parts, r)
	if offset := f.offset.Load(); f.parts[0].From <= offset {
		f.offset.Store(max(offset, f.parts[0].To))
		f.parts = slices.Delete(f.parts, 0, 1)
	}
}

// errParts is the error of appending to a partial that has parts beyond its Offset.
var errParts = errors.New("the partial file has parts beyond its offset")

// Held is how many bytes were written so far, wherever they are.
func (f *File) Held() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return sum(f.offset.Load(), f.parts)
}

// Missing are the gaps in the first size bytes.
func (f *File) Missing(size int64) []Range {
	f.mu.Lock()
	defer f.mu.Unlock()
	var gaps []Range
	at := f.offset.Load()
	for _, r := range f.parts {
		gaps = append(gaps, Range{at, r.From})
		at = r.To
	}
	if at < size {
		gaps = append(gaps, Range{at, size})
	}
	return gaps
}

// Before is how many bytes, most at most, are held right before off.
func (f *File) Before(off, most int64) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if off <= f.offset.Load() {
		return min(off, most)
	}
	for _, r := range f.parts {
		if r.From < off && off <= r.To {
			return min(off-r.From, most)
		}
	}
	return 0
}
