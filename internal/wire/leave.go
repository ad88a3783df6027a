package wire

import (
	"context"
	"errors"
	"io"
	"os"
	"time"
)

// Leave is Close once the peer has closed its side, too, which it is asked for by the end of ours. It waits until ctx ends, and
// patience at most. A connection that cannot be ended on one side only is closed at once.
func (c *Control) Leave(ctx context.Context, patience time.Duration) error {
	half, ok := c.raw.(interface{ CloseWrite() error })
	if ok && ctx.Err() == nil && half.CloseWrite() == nil {
		defer context.AfterFunc(ctx, func() { _ = c.raw.Close() })()
		end := time.Now().Add(patience)
		for early := true; early && c.raw.SetReadDeadline(end) == nil; {
			_, err := io.Copy(io.Discard, c.raw) // whatever it still says
			// The watch on a context that ended just now may set a deadline of its own, and late.
			early = errors.Is(err, os.ErrDeadlineExceeded) && time.Now().Before(end)
		}
	}
	return c.Close()
}
