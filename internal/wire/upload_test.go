package wire_test

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/wire"
)

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestAContextThatEndsWhileTheSourceIsSlowEndsTheUpload(t *testing.T) {
	for what, n := range map[string]int{"little by little": 1, "nothing at all": 0} {
		ours, theirs := pair(t)
		ctx, cancel := context.WithCancel(t.Context())
		opts := options(t)
		opts.Ctx = ctx
		d := wire.NewData(ours, opts)
		reads := 0
		_, err := d.ReadFrom(readerFunc(func([]byte) (int, error) {
			if reads++; reads == 3 {
				cancel()
			}
			return n, nil
		}))
		require.ErrorIs(t, err, context.Canceled, what)
		assert.Equal(t, 3, reads, what)
		require.NoError(t, d.Close())
		requireReset(t, theirs, what)
	}
}

func TestASourceThatSaysNothingForEverFails(t *testing.T) {
	ours, theirs := pair(t)
	d := wire.NewData(ours, options(t))
	src := &wire.Source{R: readerFunc(func([]byte) (int, error) { return 0, nil })}
	_, err := d.ReadFrom(src)
	require.ErrorIs(t, err, io.ErrNoProgress)
	require.ErrorIs(t, src.Err, io.ErrNoProgress, "it is the source's failure")
	require.NoError(t, d.Close())
	requireReset(t, theirs, "half a file")
}

func TestWhatASlowSourceHasGivenDoesNotWaitForMore(t *testing.T) {
	ours, theirs := pair(t)
	d := wire.NewData(ours, options(t))
	came, reads := make(chan struct{}), 0
	sent := result(func() error {
		_, err := d.ReadFrom(readerFunc(func(p []byte) (int, error) {
			switch reads++; reads {
			case 2:
				<-time.After(1100 * time.Millisecond)
			case 3:
				<-came
				return 0, io.EOF
			}
			p[0] = 'x'
			return 1, nil
		}))
		return err
	})
	require.NoError(t, theirs.SetReadDeadline(time.Now().Add(5*time.Second)))
	_, err := io.ReadFull(theirs, make([]byte, 2))
	close(came)
	require.NoError(t, err, "it came before the source gave more")
	require.NoError(t, soon(t, sent))
	require.NoError(t, d.Close())
}
