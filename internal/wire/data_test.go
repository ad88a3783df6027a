package wire_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

	"github.com/corexalgo/ftpclient/internal/wire"
)

func options(t *testing.T) wire.DataOptions {
	t.Helper()
	return wire.DataOptions{Ctx: t.Context(), StallTimeout: 5 * time.Second}
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}

func fileOf(t *testing.T, content []byte) *os.File {
	t.Helper()
	name := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(name, content, 0o600))
	f, err := os.Open(name)
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// slowly reads all of conn in small pieces, with a pause after each of the first.
func slowly(conn net.Conn, piece, pauses int, pause time.Duration) <-chan []byte {
	return result(func() []byte {
		var all bytes.Buffer
		buf := make([]byte, piece)
		for i := 0; ; i++ {
			n, err := conn.Read(buf)
			all.Write(buf[:n])
			if err != nil {
				return all.Bytes()
			}
			if i < pauses {
				<-time.After(pause)
			}
		}
	})
}

// shrink makes writing to a peer that does not read wait soon.
func shrink(t *testing.T, ours, theirs *net.TCPConn) {
	t.Helper()
	require.NoError(t, ours.SetWriteBuffer(4<<10))
	require.NoError(t, theirs.SetReadBuffer(4<<10))
}

func TestEveryWaitOfADataConnectionEndsWithItsContext(t *testing.T) {
	client, _ := tlsPair(t, tls.VersionTLS13)
	content := pattern(8 << 20)
	big := fileOf(t, content)
	for name, tt := range map[string]struct {
		tls  *tls.Config
		wait func(d *wire.Data) error
	}{
		"Read":      {nil, func(d *wire.Data) error { _, err := d.Read(make([]byte, 10)); return err }},
		"Write":     {nil, func(d *wire.Data) error { _, err := d.Write(content); return err }},
		"sendfile":  {nil, func(d *wire.Data) error { _, err := d.ReadFrom(source(big)); return err }},
		"Handshake": {client, func(d *wire.Data) error { return d.Handshake() }},
	} {
		ours, theirs := pair(t)
		shrink(t, ours, theirs)
		ctx, cancel := context.WithCancel(t.Context())
		o := options(t)
		o.Ctx, o.TLS = ctx, tt.tls
		d := wire.NewData(ours, o)
		waiting := result(func() error { return tt.wait(d) })
		select {
		case err := <-waiting:
			require.FailNow(t, "it did not wait", "%s: %v", name, err)
		case <-time.After(50 * time.Millisecond):
		}
		begin := time.Now()
		cancel()
		require.Error(t, soon(t, waiting), name)
		_ = d.Close()
		assert.Less(t, time.Since(begin), prompt, name)
		requireReset(t, theirs, name)
	}
}

func source(f *os.File) *wire.Source {
	info, _ := f.Stat()
	return &wire.Source{R: &io.LimitedReader{R: f, N: info.Size()}}
}

// requireReset reads to an end that is no clean one.
func requireReset(t *testing.T, conn net.Conn, name string) {
	t.Helper()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(5*time.Second)))
	_, err := io.Copy(io.Discard, conn)
	if name == "Handshake" && err == nil {
		return // crypto/tls has closed it, before any content
	}
	require.ErrorIs(t, err, syscall.ECONNRESET, name)
}

func TestEveryWaitOfADataConnectionEndsByItsDeadline(t *testing.T) {
	client, _ := tlsPair(t, tls.VersionTLS13)
	content := pattern(8 << 20)
	big := fileOf(t, content)
	for name, tt := range map[string]struct {
		tls  *tls.Config
		wait func(d *wire.Data) error
	}{
		"Read":      {nil, func(d *wire.Data) error { _, err := d.Read(make([]byte, 10)); return err }},
		"Write":     {nil, func(d *wire.Data) error { _, err := d.Write(content); return err }},
		"sendfile":  {nil, func(d *wire.Data) error { _, err := d.ReadFrom(source(big)); return err }},
		"Handshake": {client, func(d *wire.Data) error { return d.Handshake() }},
	} {
		ours, theirs := pair(t)
		shrink(t, ours, theirs)
		o := options(t)
		o.StallTimeout, o.TLS = 100*time.Millisecond, tt.tls
		d := wire.NewData(ours, o)
		err := soon(t, result(func() error { return tt.wait(d) }))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded, name)
		assert.Equal(t, err, d.Err(), name)
		_ = d.Close()
		requireReset(t, theirs, name)
	}
}

func TestACancelledConnectionIsNotRevivedByClosing(t *testing.T) {
	client, server := tlsPair(t, tls.VersionTLS13)
	ours, theirs := pair(t)
	peer := tls.Server(theirs, server)
	shaken := result(func() error { return peer.HandshakeContext(t.Context()) })
	ctx, cancel := context.WithCancel(t.Context())
	o := options(t)
	o.Ctx, o.TLS = ctx, client
	d := wire.NewData(ours, o)
	_, err := d.Write([]byte("half"))
	require.NoError(t, err)
	require.NoError(t, soon(t, shaken))
	cancel()
	begin := time.Now()
	_ = d.Close()
	assert.Less(t, time.Since(begin), prompt)
	_, err = io.ReadAll(peer)
	require.Error(t, err, "no close_notify and no FIN")
	assert.NotErrorIs(t, err, io.EOF)
}

func TestTheDrainOfAnUploadIsBoundedAndEndsWithTheContext(t *testing.T) {
	for _, cancelled := range []bool{true, false} {
		client, server := tlsPair(t, tls.VersionTLS13)
		ours, theirs := pair(t)
		peer := tls.Server(theirs, server)
		read := result(func() error { _, err := io.Copy(io.Discard, peer); return err }) // and never closes
		ctx, cancel := context.WithCancel(t.Context())
		o := options(t)
		o.Ctx, o.TLS, o.DrainTimeout = ctx, client, 10*time.Second
		if !cancelled {
			o.DrainTimeout = 100 * time.Millisecond
		}
		d := wire.NewData(ours, o)
		_, err := d.Write([]byte("whole"))
		require.NoError(t, err)
		closed := result(d.Close)
		require.NoError(t, soon(t, read), "close_notify came")
		begin := time.Now()
		if cancelled {
			cancel()
		}
		_ = soon(t, closed)
		assert.Less(t, time.Since(begin), 2*prompt)
		cancel()
	}
}

func TestASlowReaderIsNoStall(t *testing.T) {
	// The peer takes a little every 20 ms, the deadline is 400 ms, and the whole takes more than a second.
	content := pattern(1 << 20)
	client, server := tlsPair(t, tls.VersionTLS13)
	for name, send := range map[string]func(d *wire.Data) error{
		"Write":    func(d *wire.Data) error { _, err := d.Write(content); return err },
		"sendfile": func(d *wire.Data) error { _, err := d.ReadFrom(source(fileOf(t, content))); return err },
		"TLS":      func(d *wire.Data) error { _, err := d.Write(content); return err },
	} {
		ours, theirs := pair(t)
		require.NoError(t, ours.SetWriteBuffer(32<<10))
		require.NoError(t, theirs.SetReadBuffer(32<<10))
		o := options(t)
		o.StallTimeout, o.DrainTimeout = 400*time.Millisecond, 5*time.Second
		var peer net.Conn = theirs
		if name == "TLS" {
			o.TLS, peer = client, tls.Server(theirs, server)
		}
		got := slowly(peer, 8<<10, 80, 20*time.Millisecond)
		d := wire.NewData(ours, o)
		require.NoError(t, send(d), name)
		closed := result(func() error {
			defer func() { _ = theirs.CloseWrite() }()
			assert.True(t, bytes.Equal(content, soon(t, got)), name)
			return nil
		})
		require.NoError(t, d.Close(), name)
		require.NoError(t, soon(t, closed))
		assert.Equal(t, int64(len(content)), d.Moved())
	}
}

func TestAnAbortedUploadIsReset(t *testing.T) {
	client, server := tlsPair(t, tls.VersionTLS13)
	for _, cfg := range []*tls.Config{nil, client} {
		ours, theirs := pair(t)
		o := options(t)
		o.TLS = cfg
		var peer net.Conn = theirs
		if cfg != nil {
			peer = tls.Server(theirs, server)
		}
		read := result(func() error { _, err := io.ReadFull(peer, make([]byte, 4)); return err })
		d := wire.NewData(ours, o)
		_, err := d.Write([]byte("half"))
		require.NoError(t, err)
		require.NoError(t, soon(t, read))
		require.NoError(t, d.Abort())
		assert.True(t, d.Aborted())
		_, err = io.ReadAll(peer)
		require.ErrorIs(t, err, syscall.ECONNRESET)
	}
}

func TestAFailingSourceIsABrokenTransferForTheServer(t *testing.T) {
	failure := errors.New("disk gone")
	for name, err := range map[string]error{
		"error":          failure,
		"wrapped EOF":    fmt.Errorf("the other server: %w", io.EOF),
		"unexpected EOF": io.ErrUnexpectedEOF,
	} {
		for _, sent := range []int{0, 5, wire.BufferSize, wire.BufferSize + 7} {
			ours, theirs := pair(t)
			d := wire.NewData(ours, options(t))
			read := result(func() error { _, err := io.Copy(io.Discard, theirs); return err })
			src := &wire.Source{R: io.MultiReader(bytes.NewReader(pattern(sent)), iotest.ErrReader(err))}
			n, got := d.ReadFrom(src)
			require.Equal(t, err, got, "%s after %d", name, sent)
			assert.Equal(t, int64(sent), n)
			assert.Equal(t, err, src.Err)
			assert.NoError(t, d.Err(), "the line is sound")
			require.NoError(t, d.Close())
			require.ErrorIs(t, soon(t, read), syscall.ECONNRESET, "%s after %d", name, sent)
		}
	}
}

func TestAFileThatShrinksOrGrowsIsSentAsFarAsItWasAskedFor(t *testing.T) {
	content := pattern(3 << 20)
	for name, tt := range map[string]struct {
		limit int64
		want  []byte
	}{
		"grows":   {1 << 20, content[:1<<20]},
		"shrinks": {5 << 20, content},
		"is read": {3 << 20, content},
	} {
		ours, theirs := pair(t)
		got := slowly(theirs, 64<<10, 0, 0)
		f := fileOf(t, content)
		var moved int64
		o := options(t)
		o.Moved = func(n int) { moved += int64(n) }
		d := wire.NewData(ours, o)
		src := &wire.Source{R: &io.LimitedReader{R: f, N: tt.limit}}
		n, err := d.ReadFrom(src)
		require.NoError(t, err, name)
		require.NoError(t, d.Close())
		assert.True(t, bytes.Equal(tt.want, soon(t, got)), name)
		assert.Equal(t, int64(len(tt.want)), n)
		assert.Equal(t, n, moved)
		assert.Equal(t, n, d.Moved())
	}
}

func TestAFileIsSentFromWhereItStands(t *testing.T) {
	content := pattern(1 << 20)
	f := fileOf(t, content)
	_, err := f.Seek(1000, io.SeekStart)
	require.NoError(t, err)
	ours, theirs := pair(t)
	got := slowly(theirs, 64<<10, 0, 0)
	d := wire.NewData(ours, options(t))
	_, err = d.ReadFrom(&wire.Source{R: &io.LimitedReader{R: f, N: 1 << 20}})
	require.NoError(t, err)
	require.NoError(t, d.Close())
	assert.True(t, bytes.Equal(content[1000:], soon(t, got)))
}

func TestAFileThatCannotBeReadIsTheSourcesFailure(t *testing.T) {
	dir, err := os.Open(t.TempDir()) // reading a directory fails with EISDIR, by sendfile too
	require.NoError(t, err)
	defer func() { _ = dir.Close() }()
	ours, theirs := pair(t)
	d := wire.NewData(ours, options(t))
	src := &wire.Source{R: &io.LimitedReader{R: dir, N: 100}}
	_, err = d.ReadFrom(src)
	require.Error(t, err)
	require.Error(t, src.Err)
	require.NoError(t, d.Err())
	require.NoError(t, d.Close())
	requireReset(t, theirs, "")
}

func TestALineThatBreaksIsNotTheSourcesFailure(t *testing.T) {
	ours, theirs := pair(t)
	require.NoError(t, theirs.SetLinger(0))
	require.NoError(t, theirs.Close())
	d := wire.NewData(ours, options(t))
	src := source(fileOf(t, pattern(16<<20)))
	_, err := d.ReadFrom(src)
	require.Error(t, err)
	require.NoError(t, src.Err)
	assert.Equal(t, err, d.Err())
	_ = d.Close()
}

func TestRateLimitsAreObeyedBothWaysAndEndWithTheContext(t *testing.T) {
	content := pattern(64 << 10)
	limit := func() []*rate.Limiter {
		return []*rate.Limiter{nil, rate.NewLimiter(160<<10, 16<<10), rate.NewLimiter(rate.Inf, 1)}
	}
	ours, theirs := pair(t)
	o := options(t)
	o.Limits = limit()[:2]
	got := slowly(theirs, 64<<10, 0, 0)
	d := wire.NewData(ours, o)
	begin := time.Now()
	_, err := d.ReadFrom(source(fileOf(t, content)))
	require.NoError(t, err)
	assert.Greater(t, time.Since(begin), 250*time.Millisecond)
	require.NoError(t, d.Close())
	assert.True(t, bytes.Equal(content, soon(t, got)))

	ours, theirs = pair(t)
	o.Limits = limit()[:2]
	sent := result(func() error { _, err := theirs.Write(content); _ = theirs.Close(); return err })
	d = wire.NewData(ours, o)
	begin = time.Now()
	read, err := io.ReadAll(readOnly{d})
	require.NoError(t, err)
	require.NoError(t, soon(t, sent))
	assert.Greater(t, time.Since(begin), 250*time.Millisecond)
	assert.Equal(t, content, read)
	require.NoError(t, d.Close())

	// A wait longer than the context has left is waited until then, and ends as the context does.
	ours, _ = pair(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	o.Ctx, o.Limits = ctx, []*rate.Limiter{rate.NewLimiter(10, 10)}
	d = wire.NewData(ours, o)
	begin = time.Now()
	_, err = d.Write(content)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.Greater(t, time.Since(begin), 10*time.Millisecond)
	assert.Less(t, time.Since(begin), 5*time.Second, "at this rate it takes hours")
	_ = d.Close()
}

type readOnly struct{ io.Reader }

func TestConsumeTakesAllAndItsErrorIsTheConnections(t *testing.T) {
	ours, theirs := pair(t)
	write(t, theirs, "a\nb\n")
	require.NoError(t, theirs.Close())
	var got string
	closed := 0
	o := options(t)
	o.Consume = func(r io.Reader) error { b, err := io.ReadAll(r); got = string(b); return err }
	o.Closed = func() { closed++ }
	d := wire.NewData(ours, o)
	_, err := d.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	assert.Equal(t, "a\nb\n", got)
	assert.True(t, d.Ended())
	require.NoError(t, d.Close())
	require.NoError(t, d.Close())
	assert.Equal(t, 1, closed)

	ours, theirs = pair(t)
	write(t, theirs, "a\nb\n")
	enough := errors.New("enough")
	o.Consume = func(io.Reader) error { return enough }
	d = wire.NewData(ours, o)
	_, err = d.Read(make([]byte, 1))
	require.ErrorIs(t, err, enough)
	assert.True(t, d.Aborted())
	assert.Equal(t, enough, d.Err())
	require.NoError(t, d.Close())
	requireReset(t, theirs, "")
}

func TestActiveModeAcceptsOnFirstUseAndGivesUpOtherwise(t *testing.T) {
	ours, theirs := pair(t)
	accepted, abandoned := 0, 0
	accept := func() (net.Conn, error) { accepted++; return ours, nil }
	d := wire.NewActiveData(accept, func() { abandoned++ }, options(t))
	assert.Zero(t, accepted)
	assert.Equal(t, &net.TCPAddr{}, d.LocalAddr())
	write(t, theirs, "x")
	_, err := d.Read(make([]byte, 1))
	require.NoError(t, err)
	assert.Equal(t, ours.LocalAddr(), d.LocalAddr())
	assert.Equal(t, ours.RemoteAddr(), d.RemoteAddr())
	require.NoError(t, d.Close())
	assert.Equal(t, 1, accepted)
	assert.Zero(t, abandoned)

	d = wire.NewActiveData(accept, func() { abandoned++ }, options(t))
	require.NoError(t, d.Close())
	assert.Equal(t, 1, accepted)
	assert.Equal(t, 1, abandoned)
	require.ErrorIs(t, d.Handshake(), net.ErrClosed)
	assert.Equal(t, 1, accepted, "nothing is accepted any more")

	d = wire.NewActiveData(func() (net.Conn, error) { return nil, io.ErrClosedPipe }, func() {}, options(t))
	_, err = d.Write([]byte("x"))
	require.ErrorIs(t, err, io.ErrClosedPipe)
	require.ErrorIs(t, d.Err(), io.ErrClosedPipe)
	require.NoError(t, d.Close())
}

func TestASlowSourceIsNotGatheredWhole(t *testing.T) {
	ours, theirs := pair(t)
	d := wire.NewData(ours, options(t))
	r, w := io.Pipe()
	sent := result(func() error { _, err := d.ReadFrom(r); return err })
	write(t, w, strings.Repeat("x", 20<<10))
	require.NoError(t, theirs.SetReadDeadline(time.Now().Add(5*time.Second)))
	_, err := io.ReadFull(theirs, make([]byte, 20<<10))
	require.NoError(t, err, "it came before the source gave more")
	require.NoError(t, w.Close())
	require.NoError(t, soon(t, sent))
	require.NoError(t, d.Close())
}

func TestAFilledBufferIsFollowedByALargerOne(t *testing.T) {
	small := wire.GetBuffer()
	require.Len(t, *small, wire.BufferSize)
	assert.Same(t, small, wire.Larger(small, wire.BufferSize-1))
	large := wire.Larger(small, wire.BufferSize)
	assert.Greater(t, len(*large), 4*wire.BufferSize)
	assert.Same(t, large, wire.Larger(large, len(*large)))
	wire.PutBuffer(large)
	small = wire.GetBuffer()
	require.Len(t, *small, wire.BufferSize, "each goes to its own kind")
	wire.PutBuffer(small)
}
