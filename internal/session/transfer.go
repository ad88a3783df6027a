package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/jlaffaye/ftp"
	"golang.org/x/time/rate"

	"github.com/corexalgo/ftpclient/internal/reply"
	"github.com/corexalgo/ftpclient/internal/wire"
)

// TransferOptions says how content moves. The zero value is without limits.
type TransferOptions struct {
	Limits   []*rate.Limiter // bytes per second; nil ones are skipped
	Moved    func(n int)     // called for each piece that moved, in the goroutine of the transfer
	Expected int64           // bytes that a download will bring, as far as is known; 0 or less: nobody knows
	Eager    bool            // an upload's content is no more than EagerSize and can be read again: see Store
	Then     func() Ahead    // called once all content of a download or an Eager upload was moved: what is asked with the final reply

	Meanwhile func() // called once all content of a download has come, and the server is at work on what Then said
}

// A Retrieval is a download under way. It occupies its session until Close.
type Retrieval struct {
	s      *Session
	resp   *ftp.Response
	data   *wire.Data
	closed bool
}

// Retrieve begins to download path from offset on. ctx is in force until Close.
func (s *Session) Retrieve(ctx context.Context, path string, offset int64, opts TransferOptions) (*Retrieval, error) {
	arg, err := s.encode(path)
	if err != nil {
		return nil, err
	}
	if offset < 0 {
		return nil, fmt.Errorf("offset %d is negative", offset)
	}
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	s.opts = opts
	resp, err := s.ftp.RetrFrom(arg, uint64(offset))
	if err != nil {
		return nil, s.end(s.forgetRestart(offset, s.blameRestart(offset, s.outcome(err))))
	}
	return &Retrieval{s: s, resp: resp, data: s.data}, nil
}

// Read reads content. io.EOF says that the server closed the data connection, not that the file is whole: Close tells.
func (r *Retrieval) Read(p []byte) (int, error) {
	if r.closed {
		return 0, net.ErrClosed
	}
	n, err := r.data.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && r.s.ctx.Err() != nil {
		err = r.s.ctx.Err()
	}
	return n, err
}

// Unauthenticated tells that the content's end came without TLS's close_notify, so that somebody may have cut it.
func (r *Retrieval) Unauthenticated() bool { return r.data.Unauthenticated() }

// Close ends the download. After io.EOF it reads the final reply and returns nil only if the server says that it sent all.
// Before io.EOF it abandons the rest and returns nil, with the session usable if the server is found in step.
func (r *Retrieval) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	s := r.s
	switch {
	case isTimeout(r.data.Err()): // a stall: the final reply would not come either
		err := r.data.Err()
		_ = r.data.Abort()
		return s.end(err)
	case r.data.Ended(), r.data.Err() != nil:
		return s.end(r.finish())
	}
	willing := s.ctx.Err() == nil
	_ = r.data.Abort()
	_ = r.resp.Close() // reads the final reply, whatever it is
	s.settle()
	s.spent = s.broken && willing
	return s.end(nil)
}

// settle finds out whether a session is in step after a transfer was given up half way. Servers end it with 426, 226, 451
// or 550, with two replies, or with none; only one that then answers NOOP, and says no more, is in step.
func (s *Session) settle() {
	if s.ctl.Settled() {
		s.ctl.SetNextTimeout(min(abortTimeout, s.cfg.ReplyTimeout))
		// A second reply to the transfer may have waited for our acknowledgement, which NOOP carries, and must not pass for its own.
		if replies, err := s.exchange("NOOP"); err == nil && replies[0].Done() && !endsTransfer(replies[0]) && s.ctl.Quiet() {
			return
		}
	}
	s.broken = true // on purpose, and no reason to warn
}

// EagerSize is how much content may be sent before the server grants an upload: it fits into the sockets' buffers of both
// sides, so that sending it waits for nobody.
const EagerSize = 32 << 10

// Store uploads src to path, beginning at offset of the remote file (0 replaces it), and returns how many bytes were sent.
// An error of src is returned as a *SourceError, and the server is made to see a broken transfer, not a short file.
//
// Eager content follows STOR at once, which saves a round trip. Where the server refuses the upload then, it was sent in
// vain and counts as not sent.
func (s *Session) Store(ctx context.Context, path string, offset int64, src io.Reader, opts TransferOptions) (int64, error) {
	if offset < 0 {
		return 0, fmt.Errorf("offset %d is negative", offset)
	}
	return s.upload(ctx, path, src, opts, func(arg string, r io.Reader) error {
		// Not under TLS: a handshake with a server that has refused the transfer would wait for nothing.
		s.early = opts.Eager && offset == 0 && s.cfg.TLS == Plain && !s.cfg.Active && !s.cfg.Quirks.Patient.Load()
		s.hurried = s.early
		if s.early {
			s.opts.Moved = nil // told once it is known not to be in vain
			s.asks = time.Now()
		}
		err := s.outcome(s.ftp.StorFrom(arg, r, uint64(offset)))
		if s.early && s.ctl.Granted() {
			err = s.conclude(err)
		}
		return s.forgetRestart(offset, err)
	})
}

// Distrust makes uploads wait for the server's grant from now on, if the last one, which went wrong, did not.
func (s *Session) Distrust() {
	if s.hurried {
		s.cfg.Quirks.Patient.Store(true)
	}
}

// Append uploads src to the end of path.
func (s *Session) Append(ctx context.Context, path string, src io.Reader, opts TransferOptions) (int64, error) {
	return s.upload(ctx, path, src, opts, func(arg string, r io.Reader) error {
		return s.outcome(s.ftp.Append(arg, r))
	})
}

func (s *Session) upload(ctx context.Context, path string, src io.Reader, opts TransferOptions, send func(arg string, r io.Reader) error) (int64, error) {
	arg, err := s.encode(path)
	if err != nil {
		return 0, err
	}
	source := &wire.Source{R: src}
	var sent int64
	err = s.do(ctx, func() error {
		s.opts, s.storing = opts, true
		err := send(arg, source)
		if s.data != nil && (!s.early || s.ctl.Granted()) {
			sent = s.data.Moved()
		}
		if s.early && sent > 0 && opts.Moved != nil {
			opts.Moved(int(sent))
		}
		// A connection that was lost, or not even opened, tells nothing of the content.
		lost := s.ctl.Err()
		if s.early && s.data != nil && err != nil && s.ctl.Granted() && source.Err == nil && s.ctx.Err() == nil && (lost == nil || isTimeout(lost)) {
			s.Distrust()
		}
		if source.Err != nil {
			s.settle()
			s.spent = s.broken && s.ctx.Err() == nil
			return inStep(&SourceError{Err: source.Err})
		}
		return err
	})
	return sent, err
}

// SourceError is the error of an upload whose source failed, not the line or the server.
type SourceError struct{ Err error }

func (e *SourceError) Error() string { return "source: " + e.Err.Error() }

// Unwrap returns the source's error.
func (e *SourceError) Unwrap() error { return e.Err }

// outcome turns what jlaffaye made of a transfer into what happened: the server's refusal if it gave one, and the error of
// the data connection. jlaffaye's errors do not always carry the code, and repeat the server's text raw.
func (s *Session) outcome(err error) error {
	var dataErr error
	if s.data != nil {
		dataErr = s.data.Err()
	}
	if err == nil && dataErr == nil && (!s.early || s.ctl.Granted()) {
		s.cfg.Quirks.dataTrouble.Store(0)
		return nil
	}
	if isTimeout(dataErr) {
		s.broken = true // a stall: whatever the server says now, it or the way to it is sick
	}
	verb, last := s.ctl.Last()
	lost := s.ctl.Err()
	if s.early && !s.ctl.Granted() && lost == nil && s.dialErr == nil {
		if last.Code < 400 {
			return unexpected(verb, last)
		}
		dataErr = nil // nobody was there to take the content
	}
	switch {
	case lost != nil && dataErr != nil:
		return fmt.Errorf("%w; then %w", dataErr, lost)
	case lost != nil:
		return lost
	case s.dialErr != nil:
		s.noteDataTrouble()
		return inStep(s.dialErr)
	case last.Code == 425:
		s.noteDataTrouble()
	}
	if dataErr != nil && !s.broken && s.ctl.Settled() {
		s.settle()
	}
	switch {
	case last.Code >= 400 && dataErr != nil:
		return fmt.Errorf("%w; %w", reply.Err(verb, last), dataErr)
	case last.Code >= 400:
		return reply.Err(verb, last)
	case dataErr != nil:
		return inStep(dataErr)
	}
	return unexpected(verb, last)
}

// noteDataTrouble changes between EPSV and PASV after data connections failed twice in a row. One that nobody waited for any more
// has not failed.
func (s *Session) noteDataTrouble() {
	if q := s.cfg.Quirks; s.ctx.Err() == nil && q.dataTrouble.Add(1)%2 == 0 {
		q.PASV.Store(!q.PASV.Load())
	}
}

// RestartError is the error of a download that is refused, or may be, because it would begin in the middle of the file.
type RestartError struct {
	Err   error
	Final bool // the server says that it does not do that; else it may be for the moment, or about something else
}

func (e *RestartError) Error() string { return e.Err.Error() }

// Unwrap returns the refusal.
func (e *RestartError) Unwrap() error { return e.Err }

// CheckRestart sees the server begin in the middle of a file where it says so: of path, which has size bytes, it is asked for the
// last one, and must send that and no more. Once seen, that is so for all sessions of the server. The error of one that does
// not is a RestartError.
func (s *Session) CheckRestart(ctx context.Context, path string, size int64) error {
	switch {
	case s.cfg.Quirks.Restarts.Load():
		return nil
	case size < 2:
		return &RestartError{fmt.Errorf("whether REST is heeded cannot be seen: %w", errors.ErrUnsupported), false}
	}
	r, err := s.Retrieve(ctx, path, size-1, TransferOptions{Expected: 1})
	if err != nil {
		return err
	}
	n, err := io.ReadFull(r, make([]byte, 2))
	cerr := r.Close()
	switch {
	case n == 2:
		return &RestartError{fmt.Errorf("%w: REST was granted and not heeded", reply.ErrMalformed), true}
	case n == 0 || cerr != nil:
		return errors.Join(err, cerr)
	}
	s.cfg.Quirks.Restarts.Store(true)
	return nil
}

// blameRestart makes a refusal that may be one to begin at offset a RestartError. RFC 1123 section 4.1.3.4 has 554 and 555 to RETR
// for it; ProFTPD, where it is told to, answers 451.
func (s *Session) blameRestart(offset int64, err error) error {
	verb, last := s.ctl.Last()
	if offset == 0 || s.ctl.Err() != nil || s.dialErr != nil {
		return err
	}
	switch code := last.Code; {
	case verb == "REST" && code != 350:
		return &RestartError{err, code/100 == 5}
	case verb == "RETR" && (code == 501 || code == 504 || code == 554 || code == 555):
		return &RestartError{err, true}
	case verb == "RETR" && code == 451:
		return &RestartError{err, false}
	}
	return err
}

// forgetRestart takes back a restart marker whose transfer was refused, so that it cannot apply to a later one.
func (s *Session) forgetRestart(offset int64, err error) error {
	var refused *reply.Error
	if offset == 0 || !errors.As(err, &refused) || refused.Code == 421 || refused.Command == "REST" || !s.ctl.Settled() {
		return err
	}
	if replies, rerr := s.exchange("REST 0"); rerr != nil || replies[0].Code >= 400 {
		s.broken = true // nobody knows what the server will do with the marker
	}
	return err
}
