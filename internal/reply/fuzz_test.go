package reply_test

import (
	"bufio"
	"bytes"
	"net/textproto"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/corexalgo/ftpclient/internal/reply"
)

// FuzzReader holds the reader to three things: pieces make no difference, no bound is passed, and what it hands on is for
// net/textproto, which jlaffaye reads with, one whole reply whatever its code was changed to.
func FuzzReader(f *testing.F) {
	for _, s := range []string{
		"220 ready\r\n", "226\r\n", "211-F\r\n SIZE\r\n211 End\r\n", "250-a\r\n226 b\r\n250 c\r\n", "230-a\r\n230\r\n226 x\r\n", "220-\x00\r\n220 \xff\n",
		"227 )(\r\n", "257 \"\r\n", "2", "220 a\r\r\n", "123-a\r\n123\r\n",
	} {
		f.Add([]byte(s), 226)
	}
	f.Fuzz(func(t *testing.T, sent []byte, code int) {
		whole := reply.NewReader(bufio.NewReader(bytes.NewReader(sent)))
		pieces := reply.NewReader(bufio.NewReader(iotest.OneByteReader(bytes.NewReader(sent))))
		for {
			a, aerr := whole.Read()
			b, berr := pieces.Read()
			if (aerr == nil) != (berr == nil) || a.Code != b.Code || a.Text() != b.Text() {
				t.Fatalf("%+v %v\n%+v %v", a, aerr, b, berr)
			}
			if aerr != nil {
				return
			}
			if len(a.Text()) > reply.MaxReply {
				t.Fatalf("%d bytes", len(a.Text()))
			}
			a.Code = 100 + (code&0x7fffffff)%500
			raw := a.Bytes()
			tp := textproto.NewReader(bufio.NewReader(bytes.NewReader(raw)))
			got, _, err := tp.ReadResponse(a.Code)
			if err != nil || got != a.Code {
				t.Fatalf("%q: %d %v", raw, got, err)
			}
			if left, _ := tp.R.Peek(1); len(left) > 0 {
				t.Fatalf("%q: bytes are left", raw)
			}
		}
	})
}

func FuzzPassive(f *testing.F) {
	for _, s := range []string{"(|||6446|)", "Entering Passive Mode (127,0,0,1,4,1).", "1,2,3,4,5,6", ")(", "(|||0|)", "(!!!65536!)", "(127,0,0,1,0,0)", "(((((()"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r := reply.Reply{Code: 229, Lines: strings.Split(text, "\n")}
		if port, err := reply.EPSV(r); (err == nil) != (port != 0) {
			t.Fatalf("%q: %d %v", text, port, err)
		}
		r.Code = 227
		at, err := reply.PASV(r)
		if err == nil && (at.Port() == 0 || !at.Addr().Is4()) || err != nil && at.IsValid() {
			t.Fatalf("%q: %s %v", text, at, err)
		}
	})
}

func FuzzPath(f *testing.F) {
	for _, s := range []string{`"/" is current`, `"`, `""`, `"/say ""hi"""`, "\"a\nb\"", `""""`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		path, err := reply.Path(reply.Reply{Code: 257, Lines: strings.Split(text, "\n")})
		switch {
		case err != nil && path == "":
		case err != nil || path == "" || strings.ContainsAny(path, "\x00\r\n"):
			t.Fatalf("%q: %q %v", text, path, err)
		case !strings.Contains(text, `"`+strings.ReplaceAll(path, `"`, `""`)+`"`):
			t.Fatalf("%q: %q was not said", text, path)
		}
	})
}

func FuzzTime(f *testing.F) {
	for _, s := range []string{"20240229235958", "20240229235958.123", "19100010203040506", "191240229235958", "20240101000060", "2024010203040,5"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		at, err := reply.ParseTime(text)
		if err != nil {
			return
		}
		digits, _, _ := strings.Cut(text, ".")
		if at.Location().String() != "UTC" || (len(digits) == 14 && at.Format("20060102150405") != digits) {
			t.Fatalf("%q: %s", text, at)
		}
	})
}
