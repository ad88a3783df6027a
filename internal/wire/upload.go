package wire

import (
	"errors"
	"io"
	"net"
	"os"
	"time"
)

// A file is sent in chunks between these, so that progress is seen on a slow line and calls are few on a fast one.
const (
	minChunk = 256 << 10
	maxChunk = 8 << 20
)

// fastLine is the rate, in bytes per second, beyond which it is no line of a gigabit that limits a plain upload but the two ends.
// sendfile leaves the server, too, to fetch the bytes from memory: copying on this side, at the same time, took three quarters
// of the time on loopback.
const fastLine = 150 << 20

// uploadBuffer is how much is copied at a time where sendfile is not used: what was read is then still in the processor's cache
// when it is sent. With 256 KiB an upload to vsftpd on loopback took 8 % longer.
const uploadBuffer = 64 << 10

// minRecord is how much is gathered from a source that gives little at a time: shorter TLS records double vsftpd's work.
const minRecord = 16 << 10

// A Source is what an upload sends. It keeps what went wrong on its own side apart from what went wrong on the line.
type Source struct {
	R   io.Reader
	Err error // the first error of R other than io.EOF
}

// Read reads from R. Only io.EOF itself is R's end: an error that wraps it, such as that of a lost connection which R reads
// from, is a failure.
func (s *Source) Read(p []byte) (int, error) {
	n, err := s.R.Read(p)
	if err != nil && err != io.EOF && s.Err == nil {
		s.Err = err
	}
	return n, err
}

// ReadFrom sends all of r: a plain file by sendfile, anything else through a buffer.
func (d *Data) ReadFrom(r io.Reader) (int64, error) {
	d.stored = true
	if err := d.Handshake(); err != nil {
		return 0, err
	}
	src, ok := r.(*Source)
	if !ok {
		src = &Source{R: r}
	}
	if part, file := d.plainFile(src); file != nil {
		if start, err := file.Seek(0, io.SeekCurrent); err == nil {
			return d.sendFile(src, part, file, start)
		}
	}
	buf := GetBuffer()
	defer PutBuffer(buf)
	var total int64
	for {
		n, rerr := d.gather(src, (*buf)[:uploadBuffer])
		wn, werr := d.Write((*buf)[:n])
		total += int64(wn)
		switch {
		case werr != nil:
			return total, werr
		case src.Err != nil:
			d.abort() // a plain end would make half a file a whole one for the server
			return total, src.Err
		case errors.Is(rerr, io.EOF):
			return total, nil
		case rerr != nil:
			return total, d.failed(rerr)
		}
	}
}

// Bounds of gathering from a source that is slow, and from one that has nothing to say.
const (
	gatherTime = time.Second
	maxEmpty   = 100
)

// gather reads minRecord bytes at least, or what comes within gatherTime. The context's end ends it as soon as src has given
// something; io.EOF is src's end.
func (d *Data) gather(src *Source, buf []byte) (n int, err error) {
	began, empty := time.Now(), 0
	for n < minRecord && (n == 0 || time.Since(began) < gatherTime) {
		if err := d.opts.Ctx.Err(); err != nil {
			return n, err
		}
		more, err := src.Read(buf[n:])
		n += more
		if empty++; more > 0 {
			empty = 0
		}
		if err == nil && empty == maxEmpty {
			err, src.Err = io.ErrNoProgress, io.ErrNoProgress
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// plainFile finds the file that the kernel can send by itself, as nothing has to see its bytes.
func (d *Data) plainFile(src *Source) (*io.LimitedReader, *os.File) {
	_, tcp := d.raw.(*net.TCPConn)
	if !tcp || d.tls != nil || d.allowed(maxChunk) < maxChunk {
		return nil, nil
	}
	part, ok := src.R.(*io.LimitedReader)
	if !ok {
		return nil, nil
	}
	file, _ := part.R.(*os.File)
	return part, file
}

func (d *Data) sendFile(src *Source, part *io.LimitedReader, file *os.File, start int64) (int64, error) {
	var total int64
	buf := GetBuffer()
	defer PutBuffer(buf)
	sendfile, fast := io.Writer(d.raw), false
	copied := struct{ io.Writer }{d.raw}
	chunk := int64(minChunk)
	for part.N > 0 {
		began := time.Now()
		d.arm(d.opts.StallTimeout)
		want, to := min(chunk, part.N), sendfile
		if fast {
			to = copied
		}
		n, err := io.CopyBuffer(to, &io.LimitedReader{R: file, N: want}, (*buf)[:uploadBuffer])
		total += n
		part.N -= n
		if werr := d.account(int(n)); err == nil {
			err = werr
		}
		if err != nil {
			// A copy has read more of it than it sent.
			if rerr := readable(file, start+total); rerr != nil {
				src.Err = rerr
				d.abort()
				return total, rerr
			}
		}
		took := time.Since(began)
		fast = n >= minChunk && float64(n) > took.Seconds()*fastLine
		switch {
		case timedOut(err) && n > 0: // slow, but not stalled
			chunk = minChunk
		case err != nil:
			return total, d.failed(err)
		case n < want: // the file ends early
			return total, nil
		case took < 50*time.Millisecond && chunk < maxChunk:
			chunk *= 2
		case took > 200*time.Millisecond && chunk > minChunk:
			chunk /= 2
		}
	}
	return total, nil
}

// readable puts file back to at, and tells an error of the file from one of the line, which sendfile does not.
func readable(file *os.File, at int64) error {
	if _, err := file.Seek(at, io.SeekStart); err != nil {
		return err
	}
	var one [1]byte
	if _, err := file.ReadAt(one[:], at); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}
