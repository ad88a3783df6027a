package session_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/corexalgo/ftpclient/internal/listing"
	"github.com/corexalgo/ftpclient/internal/session"
)

// pipeConn is an end of a net.Pipe with the address of a TCP connection.
type pipeConn struct{ net.Conn }

func (pipeConn) LocalAddr() net.Addr  { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
func (pipeConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 2} }

// hostile answers the n-th command with the n-th of the replies, which are parted by "|", and any data connection with the
// last one.
type hostile struct {
	replies []string
	content string
	dials   int
}

func (h *hostile) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	h.dials++
	if h.dials > 1 {
		go func() {
			_, _ = io.WriteString(theirs, h.content)
			_ = theirs.Close()
		}()
		return pipeConn{ours}, nil
	}
	go func() {
		defer func() { _ = theirs.Close() }()
		buf := make([]byte, 1<<10)
		for _, r := range h.replies {
			if _, err := io.WriteString(theirs, r+"\r\n"); err != nil {
				return
			}
			if _, err := theirs.Read(buf); err != nil {
				return
			}
		}
	}()
	return pipeConn{ours}, nil
}

// FuzzSession feeds a session any bytes for replies and rows. Nothing may panic or hang, and a session that is still
// usable must be in step: what it says last is answered by what the server says last.
func FuzzSession(f *testing.F) {
	login := "220 hi|331 p|230 in|211-F\r\n MLST a;\r\n SIZE\r\n211 e|200 t|"
	for _, s := range []string{
		login + "229 (|||21|)|150 go|226 ok|type=file;size=1; a\r\n",
		login + "500 no|227 (127,0,0,1,4,1)|150 go|226 ok|213 1\r\n213 20240102030405|x",
		login + "227 )(|226|x", login + "257 \"|x", "421 no|", "120 a|120 b|220 c|", "220-|", login + "229 (|||21|)|150 go|426 cut|200 ok|rows\r\n",
		login + "229 (|||21|)|250 done|x",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, script string) {
		parts := strings.Split(script, "|")
		last := len(parts) - 1
		h := &hostile{replies: parts[:last], content: parts[last]}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		s, err := session.Dial(ctx, session.Config{
			Host: "127.0.0.1", Port: 1, User: "u", Password: password, Dial: h.dial, Direct: true,
			ConnectTimeout: 20 * time.Millisecond, ReplyTimeout: 20 * time.Millisecond, StallTimeout: 20 * time.Millisecond,
		})
		if err != nil {
			if strings.Contains(fmt.Sprint(err), "\n") && !strings.Contains(script, password) {
				t.Errorf("%q is not one line", err)
			}
			return
		}
		defer s.Close()
		for _, use := range []func(){
			func() { _ = s.List(ctx, "d", func(listing.Entry, error) bool { return true }) },
			func() {
				if r, err := s.Retrieve(ctx, "f", 1, session.TransferOptions{}); err == nil {
					_, _ = io.Copy(io.Discard, r)
					_ = r.Close()
				}
			},
			func() { _, _ = s.Store(ctx, "f", 0, bytes.NewReader([]byte("x")), session.TransferOptions{}) },
			func() { _, _ = s.Look(ctx, "f") },
			func() { _, _ = s.Fact(ctx, "f") },
			func() { _ = s.IsDir(ctx, "d") },
			func() { _ = s.Rename(ctx, "a", "b") },
			func() { _ = s.SetModTime(ctx, "f", time.Unix(0, 0)) },
		} {
			use()
			if ctx.Err() != nil {
				t.Fatal("it took too long")
			}
		}
	})
}
