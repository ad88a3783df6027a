package wire_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

	"github.com/corexalgo/ftpclient/internal/wire"
)

// asked is a socket of which is known how much it was asked for.
type asked struct {
	*net.TCPConn
	sizes []int
}

func (a *asked) Read(p []byte) (int, error) {
	a.sizes = append(a.sizes, len(p))
	return a.TCPConn.Read(p)
}

const (
	twoRecords = 33 << 10
	much       = 2 << 20
)

// sending is a socket to which content comes, and then no end.
func sending(t *testing.T, content []byte) (ours *asked, theirs *net.TCPConn) {
	t.Helper()
	conn, theirs := pair(t)
	sent := result(func() error { _, err := theirs.Write(content); return err })
	t.Cleanup(func() {
		_ = conn.Close()
		_ = soon(t, sent)
	})
	return &asked{TCPConn: conn}, theirs
}

// pull reads n bytes, asking for two records at a time.
func pull(t *testing.T, r io.Reader, n int) []byte {
	t.Helper()
	return soon(t, pulled(t, r, n))
}

// pulled pulls aside.
func pulled(t *testing.T, r io.Reader, n int) <-chan []byte {
	t.Helper()
	return result(func() []byte {
		all := make([]byte, 0, n+twoRecords)
		for len(all) < n {
			got, err := r.Read(all[len(all) : len(all)+twoRecords])
			all = all[:len(all)+got]
			if !assert.NoError(t, err) {
				break
			}
		}
		return all
	})
}

func TestMuchIsTakenAtOnceOnAFastLineUntilTheEndIsNear(t *testing.T) {
	content := pattern(24<<20 + 100)
	most := content[:len(content)-1]
	conn, theirs := sending(t, most)
	r := wire.NewReadAhead(conn, int64(len(content)), time.Hour, time.Hour, time.Hour)
	got := pull(t, r, len(most))
	rest := pulled(t, r, 1)
	<-time.After(20 * time.Millisecond) // it waits
	write(t, theirs, string(content[len(most):]))
	assert.True(t, bytes.Equal(content, append(got, soon(t, rest)...)))
	first := slices.Index(conn.sizes, much)
	require.GreaterOrEqual(t, first, 4<<20/twoRecords, "the first 4 MiB show how fast the line is")
	assert.GreaterOrEqual(t, len(conn.sizes)-first, (20<<20)/much)
	assert.Less(t, len(conn.sizes)-first, 2*(20<<20)/twoRecords/3)
}

func TestALineThatIsSlowOrCannotTellIsReadAsItIsAsked(t *testing.T) {
	content := pattern(12 << 20)
	for name, c := range map[string]struct {
		left  int64
		fast  time.Duration
		layer bool
	}{
		"slow":            {1 << 40, 0, false},
		"near the end":    {4<<20 + 1, time.Hour, false},
		"no plain socket": {1 << 40, time.Hour, true},
	} {
		conn, _ := sending(t, content)
		var from net.Conn = conn
		if c.layer {
			from = bare{conn}
		}
		got := pull(t, wire.NewReadAhead(from, c.left, c.fast, time.Hour, time.Hour), len(content))
		assert.True(t, bytes.Equal(content, got), name)
		assert.Equal(t, twoRecords, slices.Max(conn.sizes), name)
	}
}

func TestWhatComesSlowlyIsTakenBeforeMuchOfItIsThere(t *testing.T) {
	content := pattern(8<<20 + 100)
	conn, theirs := sending(t, content)
	r := wire.NewReadAhead(conn, 1<<40, time.Hour, 20*time.Millisecond, 10*time.Second)
	got := pull(t, r, len(content))
	assert.True(t, bytes.Equal(content, got))
	require.Contains(t, conn.sizes, much)
	came := pulled(t, r, 4)
	<-time.After(50 * time.Millisecond) // it waits for much, in vain, and then for anything
	write(t, theirs, "slow")
	assert.Equal(t, "slow", string(soon(t, came)))
	write(t, theirs, "ly")
	assert.Equal(t, "ly", string(pull(t, r, 2)))
}

func TestALineThatStopsIsAStallAheadToo(t *testing.T) {
	content := pattern(8 << 20)
	conn, _ := sending(t, content)
	r := wire.NewReadAhead(conn, 1<<40, time.Hour, 20*time.Millisecond, time.Second)
	pull(t, r, len(content))
	begin := time.Now()
	_, err := r.Read(make([]byte, twoRecords))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	assert.GreaterOrEqual(t, time.Since(begin), time.Second)
}

// tardy is a layer that tells a time-out once, together with what came before it.
type tardy struct {
	*net.TCPConn
	told bool
}

func (c *tardy) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	if len(p) == much && n > 0 && !c.told {
		c.told = true
		return n, os.ErrDeadlineExceeded
	}
	return n, err
}

func TestWhatCameWithATimeOutIsNoStall(t *testing.T) {
	content := pattern(8 << 20)
	conn, _ := sending(t, content)
	layer := &tardy{TCPConn: conn.TCPConn}
	got := pull(t, wire.NewReadAhead(layer, 1<<40, time.Hour, 20*time.Millisecond, time.Hour), len(content))
	assert.True(t, bytes.Equal(content, got))
	assert.True(t, layer.told)
}

// broken gives its error together with the last of its content.
type broken struct {
	*net.TCPConn
	left int
}

func (b *broken) Read(p []byte) (int, error) {
	n, err := b.TCPConn.Read(p[:min(len(p), b.left)])
	if b.left -= n; b.left == 0 {
		err = io.ErrClosedPipe
	}
	return n, err
}

func TestAnErrorIsToldAfterWhatCameBeforeIt(t *testing.T) {
	content := pattern(12 << 20)
	conn, _ := sending(t, content)
	r := wire.NewReadAhead(&broken{conn.TCPConn, len(content)}, 1<<40, time.Hour, 20*time.Millisecond, time.Hour)
	var got bytes.Buffer
	require.ErrorIs(t, soon(t, result(func() error {
		_, err := io.CopyBuffer(struct{ io.Writer }{&got}, struct{ io.Reader }{r}, make([]byte, twoRecords))
		return err
	})), io.ErrClosedPipe)
	assert.True(t, bytes.Equal(content, got.Bytes()))
}

func TestADownloadUnderTLSReadsAheadUnlessARateLimitsIt(t *testing.T) {
	content := bytes.Repeat(pattern(1<<20), 16)
	for name, c := range map[string]struct {
		expected int64
		limits   []*rate.Limiter
		cut      bool // there is no close_notify
		want     bool
	}{
		"no limit": {16 << 20, []*rate.Limiter{nil}, false, true},
		"shorter":  {1 << 40, nil, false, true},
		"cut":      {1 << 40, nil, true, true},
		"unknown":  {-1, nil, false, false},
		"limited":  {16 << 20, []*rate.Limiter{nil, rate.NewLimiter(1<<40, 1<<20)}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			client, server := tlsPair(t, tls.VersionTLS13)
			ours, theirs := pair(t)
			sent := result(func() error {
				peer := tls.Server(theirs, server)
				_, err := peer.Write(content)
				if c.cut {
					return errors.Join(err, theirs.Close())
				}
				return errors.Join(err, peer.Close())
			})
			conn := &asked{TCPConn: ours}
			o := options(t)
			o.TLS, o.Expected, o.Limits, o.StallTimeout = client, c.expected, c.limits, time.Minute
			d := wire.NewData(conn, o)
			d.EveryLineIsFast()
			got, err := io.ReadAll(d)
			require.NoError(t, err)
			require.NoError(t, soon(t, sent))
			assert.Equal(t, c.cut, d.Unauthenticated())
			require.NoError(t, d.Close())
			assert.True(t, bytes.Equal(content, got))
			assert.Equal(t, c.want, slices.Contains(conn.sizes, much))
		})
	}
}

func TestADownloadThatReadsAheadEndsWithItsContext(t *testing.T) {
	client, server := tlsPair(t, tls.VersionTLS13)
	ours, theirs := pair(t)
	content := pattern(12 << 20)
	sent := result(func() error { _, err := tls.Server(theirs, server).Write(content); return err })
	ctx, cancel := context.WithCancel(t.Context())
	conn := &asked{TCPConn: ours}
	o := options(t)
	o.Ctx, o.TLS, o.Expected, o.StallTimeout = ctx, client, 1<<40, time.Hour
	d := wire.NewData(conn, o)
	d.EveryLineIsFast()
	pull(t, d, len(content))
	require.NoError(t, soon(t, sent))
	require.Contains(t, conn.sizes, much)
	ended := result(func() error { _, err := d.Read(make([]byte, 10)); return err })
	<-time.After(50 * time.Millisecond)
	begin := time.Now()
	cancel()
	require.Error(t, soon(t, ended))
	assert.Less(t, time.Since(begin), prompt)
	_ = d.Close()
	requireReset(t, theirs, "")
}
