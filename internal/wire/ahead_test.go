package wire_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

	"github.com/corexalgo/ftpclient/internal/wire"
)

// asked is a reader of which is known how much it was asked for, and that gives no more at once than stands in it.
type asked struct {
	io.Reader
	stands int
	sizes  []int
}

func (a *asked) Read(p []byte) (int, error) {
	a.sizes = append(a.sizes, len(p))
	return a.Reader.Read(p[:min(len(p), a.stands)])
}

const twoRecords = 33 << 10

// asAsked is how much is read as it is asked where it always waits.
const asAsked = (wire.MuchWaiting + twoRecords - 1) / twoRecords * twoRecords

// pull reads n bytes, asking for two records at a time.
func pull(t *testing.T, r io.Reader, n int) []byte {
	t.Helper()
	all := make([]byte, 0, n+twoRecords)
	for len(all) < n {
		got, err := r.Read(all[len(all) : len(all)+twoRecords])
		if err != nil {
			require.NoError(t, err)
		}
		all = all[:len(all)+got]
	}
	return all
}

// skip reads n bytes as pull does.
func skip(t *testing.T, r io.Reader, n int) {
	t.Helper()
	p := make([]byte, twoRecords)
	for n > 0 {
		got, err := r.Read(p)
		if err != nil {
			require.NoError(t, err)
		}
		n -= got
	}
}

func TestMuchIsTakenAtOnceWhereMuchIsWaiting(t *testing.T) {
	content := pattern(asAsked + 6<<20)
	from := &asked{Reader: bytes.NewReader(content), stands: 4 << 20}
	r := wire.NewReadAhead(from)
	got := pull(t, r, len(content))
	assert.True(t, bytes.Equal(content, got))
	assert.Len(t, from.sizes, asAsked/twoRecords+3)
	_, err := r.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
}

func TestAReaderThatHasCaughtUpLetsTheSenderGoAhead(t *testing.T) {
	for name, c := range map[string]struct{ taken, again int }{
		"soon": {4 << 20, 64 * wire.MuchWaiting},
		"late": {64 << 20, wire.MuchWaiting},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				from := &asked{Reader: endless{}, stands: 4 << 20}
				r := wire.NewReadAhead(from)
				last := func() int { return from.sizes[len(from.sizes)-1] }
				skip(t, r, asAsked+c.taken)
				require.Equal(t, 2<<20, last())

				start := time.Now()
				from.stands = 16 << 10
				skip(t, r, 4<<20)
				assert.Equal(t, 4*time.Millisecond, time.Since(start), "it waits once")
				assert.Equal(t, twoRecords, last())

				from.stands = 4 << 20
				seen := len(from.sizes)
				skip(t, r, c.again-twoRecords)
				for _, size := range from.sizes[seen:] {
					require.Equal(t, twoRecords, size)
				}
				skip(t, r, 4*twoRecords)
				assert.Equal(t, 2<<20, last())
			})
		})
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestTheEndOfAFileIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from := &asked{Reader: io.LimitReader(endless{}, asAsked+2<<20+100), stands: 2 << 20}
		r := wire.NewReadAhead(from)
		got := pull(t, r, asAsked+1<<20)
		require.Equal(t, 2<<20, from.sizes[len(from.sizes)-1])
		start := time.Now()
		rest, err := io.ReadAll(r)
		require.NoError(t, err)
		assert.Len(t, append(got, rest...), asAsked+2<<20+100)
		assert.Zero(t, time.Since(start))
	})
}

func TestASlowLineIsReadAsItIsAsked(t *testing.T) {
	from := &asked{Reader: bytes.NewReader(pattern(8 << 20)), stands: twoRecords - 1}
	pull(t, wire.NewReadAhead(from), 8<<20)
	for _, size := range from.sizes {
		require.Equal(t, twoRecords, size)
	}
}

// broken gives all it is asked for, and its error together with the last of it.
type broken struct {
	content []byte
	err     error
}

func (b *broken) Read(p []byte) (int, error) {
	n := copy(p, b.content)
	if b.content = b.content[n:]; len(b.content) > 0 {
		return n, nil
	}
	return n, b.err
}

func TestAnErrorIsToldAfterWhatCameBeforeIt(t *testing.T) {
	content := pattern(asAsked + 1<<20)
	from := &asked{Reader: &broken{content, io.ErrClosedPipe}, stands: 2 << 20}
	r := wire.NewReadAhead(from)
	got := pull(t, r, asAsked+twoRecords)
	require.Equal(t, 2<<20, from.sizes[len(from.sizes)-1])
	rest, err := io.ReadAll(r)
	require.ErrorIs(t, err, io.ErrClosedPipe)
	assert.True(t, bytes.Equal(content, append(got, rest...)))
}

// waiting is a connection on which everything has arrived that will, once it was gathered.
type waiting struct {
	net.Conn
	all     io.Reader
	largest int // that was asked for since
}

func (w *waiting) gather() error {
	all, err := io.ReadAll(w.Conn)
	w.all = bytes.NewReader(all)
	return err
}

func (w *waiting) Read(p []byte) (int, error) {
	if w.all == nil {
		return w.Conn.Read(p)
	}
	w.largest = max(w.largest, len(p))
	return w.all.Read(p)
}

func TestADownloadUnderTLSReadsAheadUnlessARateLimitsIt(t *testing.T) {
	content := bytes.Repeat(pattern(1<<20), asAsked>>20+8)
	for name, c := range map[string]struct {
		limits []*rate.Limiter
		cut    bool // there is no close_notify
		want   bool
	}{
		"no limit": {[]*rate.Limiter{nil}, false, true},
		"cut":      {nil, true, true},
		"limited":  {[]*rate.Limiter{nil, rate.NewLimiter(1<<40, 1<<20)}, false, false},
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
			conn := &waiting{Conn: ours}
			o := options(t)
			o.TLS, o.Limits, o.StallTimeout = client, c.limits, time.Minute
			d := wire.NewData(conn, o)
			require.NoError(t, d.Handshake())
			require.NoError(t, conn.gather())
			require.NoError(t, soon(t, sent))
			got, err := io.ReadAll(d)
			require.NoError(t, err)
			assert.Equal(t, c.cut, d.Unauthenticated())
			require.NoError(t, d.Close())
			assert.True(t, bytes.Equal(content, got))
			assert.Equal(t, c.want, conn.largest == 2<<20, conn.largest)
		})
	}
}
