package wire

import (
	"context"
	"io"
	"time"
)

// Leave is Close once the peer has closed its side, too, which it is asked for by the end of ours. It waits until ctx ends, and
// patience at most. A connection that cannot be ended on one side only is closed at once.
func (c *Control) Leave(ctx context.Context, patience time.Duration) error {
	half, ok := c.raw.(interface{ CloseWrite() error })
	if ok && ctx.Err() == nil && half.CloseWrite() == nil && c.raw.SetReadDeadline(time.Now().Add(patience)) == nil {
		stop := context.AfterFunc(ctx, func() { _ = c.raw.Close() })
		_, _ = io.Copy(io.Discard, c.raw) // whatever it still says
		stop()
	}
	return c.Close()
}
