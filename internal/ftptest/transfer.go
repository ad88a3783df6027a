package ftptest

import (
	"bytes"
	"io"
	"net"
	"sync"
	"time"
)

const (
	transferComplete = "226 Transfer complete\r\n"
	transferAborted  = "426 Connection closed; transfer aborted\r\n"
)

// bufPool holds the buffers that content moves through.
var bufPool = sync.Pool{New: func() any { b := make([]byte, 256<<10); return &b }}

// transfer is one command that uses a data connection, from its 150 to its final reply.
type transfer struct {
	s      *session
	c      command
	fault  *Fault
	raw    clientConn // the client's data connection below TLS
	spy    *endSpy    // nil without TLS
	client net.Conn   // what content moves on
	server io.ReadWriteCloser
	moved  int64
}

func (s *session) transfer(c command, fault *Fault) error {
	plan := s.pending
	s.pending = nil
	if plan == nil {
		return s.answer(c, fault, "425 Use PASV or PORT first\r\n")
	}
	defer plan.close()

	t := &transfer{s: s, c: c, fault: fault}
	opening, own, err := t.open(plan.port)
	if err != nil {
		return err
	}
	if opening[0] != '1' {
		return s.answer(c, fault, opening)
	}
	// final ends the backend's part: every transfer that it began has a reply of its own, to be read in any case.
	final := func() (string, error) {
		_ = t.server.Close()
		if own {
			return transferComplete, nil
		}
		reply, err := readReply(s.replies)
		return string(reply), err
	}
	verdict, err := t.talk(plan, opening)
	reply, backendErr := final()
	t.closeData(verdict == "")
	if err != nil {
		return err
	}
	if backendErr != nil {
		return backendErr
	}
	if verdict != "" {
		reply = verdict
	}
	return s.answer(c, fault, reply)
}

// open starts the transfer on the backend's side and returns the reply to begin with. Own tells that there is
// no backend in it.
func (t *transfer) open(port int) (opening string, own bool, err error) {
	if list := t.s.srv.opts.ListOnDataLines; list != nil && isListing(t.c.cmd) {
		if rows := list(t.c.cmd, t.c.arg); rows != nil {
			t.server = rowSource{bytes.NewReader(rows)}
			return "150 Here comes the directory listing\r\n", true, nil
		}
	}
	// The backend accepts this before it answers: without it, it would wait for half a minute.
	conn, err := dialLoopback(port)
	if err != nil {
		return "", false, err
	}
	t.s.srv.remember(conn)
	t.server = &rawConn{TCPConn: conn, srv: t.s.srv}
	reply, err := t.s.ask(t.c.line)
	if err != nil || reply[0] != '1' {
		_ = t.server.Close()
	}
	return string(reply), false, err
}

// talk opens the client's side and moves the content. A verdict is the final reply in place of the backend's.
func (t *transfer) talk(plan *dataPlan, opening string) (verdict string, err error) {
	t.raw, err = plan.connect()
	if err != nil {
		return "425 Cannot open the data connection\r\n", nil
	}
	t.client = t.raw
	t.s.setData(t.raw)
	defer t.s.setData(nil)
	if err := t.s.reply(t.c.cmd, t.c.arg, opening); err != nil {
		return transferAborted, err
	}
	if t.s.srv.opts.TLS != Plain {
		if refusal := t.secure(); refusal != "" {
			return refusal, nil
		}
	}
	return t.move()
}

// secure shakes hands on the data connection, after the 150 as servers do.
func (t *transfer) secure() (refusal string) {
	t.spy = &endSpy{clientConn: t.raw}
	conn, err := t.s.handshake(t.spy)
	if err != nil {
		return "425 TLS handshake failed\r\n"
	}
	switch resumed := conn.ConnectionState().DidResume; {
	case resumed:
		t.s.srv.counters.update(func(st *Stats) { st.Resumed++ })
	case t.s.srv.opts.RequireReuse:
		return "522 SSL connection failed; session reuse required: see require_ssl_reuse option in vsftpd.conf man page\r\n"
	}
	t.client = conn
	return ""
}

// move copies the content until it ends or the fault strikes.
func (t *transfer) move() (verdict string, err error) {
	buf := bufPool.Get().(*[]byte)
	defer bufPool.Put(buf)
	src, dst := io.Reader(t.server), io.Writer(t.client)
	if isUpload(t.c.cmd) {
		src, dst = t.client, t.server
	}
	for {
		if t.fault.stops() && t.moved >= t.fault.After {
			over, verdict, err := t.strike(src)
			if over {
				return verdict, err
			}
		}
		n, errRead := src.Read(t.window(*buf))
		t.corrupt((*buf)[:n])
		if _, err := dst.Write((*buf)[:n]); err != nil {
			return transferAborted, nil
		}
		t.moved += int64(n)
		t.rate(n)
		if errRead == nil {
			continue
		}
		if t.fault.stops() && t.moved >= t.fault.After {
			continue // the content ended where the fault was to strike
		}
		return t.end(errRead)
	}
}

// window limits a read so that a fault strikes at its exact byte, and a slow connection moves in small steps.
func (t *transfer) window(buf []byte) []byte {
	size := int64(len(buf))
	if t.fault.stops() {
		size = min(size, t.fault.After-t.moved)
	}
	if rate := t.pace(); rate > 0 {
		size = min(size, max(1, rate/50))
	}
	return buf[:size]
}

func (t *transfer) rate(n int) {
	if rate := t.pace(); rate > 0 && n > 0 {
		t.s.srv.sleep(time.Duration(n) * time.Second / time.Duration(rate))
	}
}

// pace is how many bytes a second move now; 0: as many as can.
func (t *transfer) pace() int64 {
	if t.fault.is(SlowData) && t.moved >= t.fault.After {
		return t.fault.Rate
	}
	return t.s.srv.opts.DataRate
}

func (t *transfer) corrupt(p []byte) {
	if !t.fault.corrupts() {
		return
	}
	if i := t.fault.After - t.moved; i >= 0 && i < int64(len(p)) {
		p[i] ^= 0xff
	}
}

// end judges how the source of the content ended.
func (t *transfer) end(err error) (string, error) {
	switch {
	case err != io.EOF: //nolint:errorlint // io.Reader promises the bare value
		return transferAborted, nil
	case !isUpload(t.c.cmd):
		t.closeDownload()
		return "", nil
	case t.spy != nil && t.spy.ended.Load():
		return transferAborted, nil // a FIN without close_notify: cut off, as far as TLS can tell
	}
	return "", nil
}

// closeDownload ends a download before its final reply.
func (t *transfer) closeDownload() {
	if t.fault.is(NoCloseNotify) {
		_ = t.raw.Close()
		return
	}
	if !t.s.srv.opts.HoldFinal {
		_ = t.client.Close()
		return
	}
	if tc, ok := t.client.(interface{ CloseWrite() error }); ok {
		_ = tc.CloseWrite()
	}
	t.awaitClient()
}

// strike does what the fault says. Over is false when the content goes on.
func (t *transfer) strike(src io.Reader) (over bool, verdict string, err error) {
	f := t.fault
	switch f.Do {
	case CutData:
		_ = t.raw.Close()
		return true, transferAborted, nil
	case CutDataSilently:
		if isUpload(t.c.cmd) {
			_, _ = io.Copy(io.Discard, src)
		} else {
			t.closeDownload()
		}
		return true, transferComplete, nil
	case ResetData:
		t.raw.reset()
		return true, transferAborted, nil
	case StallData:
		t.awaitClient()
		return true, transferAborted, nil
	case CutBoth:
		_ = t.raw.Close()
		t.s.cutControl()
		return true, transferAborted, errGone
	case LateRefuse:
		return true, f.reply("552 Storage exceeded") + "\r\n", nil
	default: // CutControl: the data connection goes on
		t.s.cutControl()
		t.fault = nil
		return false, "", nil
	}
}

// awaitClient waits until the client closes its side. Of an upload it must not read, so only the end of the
// control connection tells.
func (t *transfer) awaitClient() {
	closed := make(chan struct{})
	if !isUpload(t.c.cmd) {
		t.s.srv.wg.Go(func() {
			defer close(closed)
			_, _ = io.Copy(io.Discard, t.client)
		})
	}
	select {
	case <-closed:
	case <-t.s.gone:
	case <-t.s.srv.done:
	}
}

// closeData closes the client's data connection, with close_notify if all went well.
func (t *transfer) closeData(clean bool) {
	switch {
	case t.raw == nil:
	case clean && !t.fault.is(NoCloseNotify):
		_ = t.client.Close()
	default:
		_ = t.raw.Close()
	}
}

// rowSource is a listing that does not come from the backend.
type rowSource struct{ *bytes.Reader }

func (rowSource) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }
func (rowSource) Close() error              { return nil }
