package source

import (
	"context"
	"encoding"
	"hash"
	"io"

	"github.com/corexalgo/ftpclient/internal/digest"
)

// A running digest is that of the first at bytes of a file. It keeps states of the hash on its way: an upload whose
// connection is lost goes on a little before the place to which the file was read.
type running struct {
	newHash func() hash.Hash
	hash    hash.Hash
	at      int64
	marks   []mark // in ascending order, the last maxMarks
}

type mark struct {
	at    int64
	state []byte
}

const (
	markEvery = 4 << 20
	maxMarks  = 64
)

func (r *running) Write(p []byte) (int, error) {
	n, err := r.hash.Write(p)
	r.at += int64(n)
	if last := len(r.marks) - 1; (last < 0 && r.at >= markEvery) || (last >= 0 && r.at-r.marks[last].at >= markEvery) {
		r.mark()
	}
	return n, err
}

func (r *running) mark() {
	m, ok := r.hash.(encoding.BinaryMarshaler)
	if !ok {
		return
	}
	state, err := m.MarshalBinary()
	if err != nil {
		return
	}
	if len(r.marks) == maxMarks {
		r.marks = append(r.marks[:0], r.marks[1:]...)
	}
	r.marks = append(r.marks, mark{r.at, state})
}

// seek makes it the digest of the first offset bytes of content, and reads of them only what it has not got.
func (r *running) seek(ctx context.Context, content io.ReaderAt, offset int64) error {
	if r.hash == nil || offset < r.at {
		r.restore(offset)
	}
	_, err := digest.Copy(ctx, r, io.NewSectionReader(content, r.at, offset-r.at))
	return err
}

// restore goes back to the last mark that is not after offset, or else to the beginning.
func (r *running) restore(offset int64) {
	for i := len(r.marks) - 1; i >= 0; i-- {
		if m := r.marks[i]; m.at <= offset {
			h := r.newHash()
			if u, ok := h.(encoding.BinaryUnmarshaler); ok && u.UnmarshalBinary(m.state) == nil {
				r.hash, r.at, r.marks = h, m.at, r.marks[:i+1]
				return
			}
		}
	}
	r.hash, r.at, r.marks = r.newHash(), 0, nil
}

func (r *running) sum() []byte {
	if r.hash == nil {
		return nil
	}
	return r.hash.Sum(nil)
}
