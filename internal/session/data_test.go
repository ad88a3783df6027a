package session_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/ftptest"
	"github.com/corexalgo/ftpclient/internal/reply"
)

// dialed remembers what a session dials, and leads every data connection to where the control connection leads.
type dialed struct {
	mu    sync.Mutex
	addrs []string
	fail  bool // data connections
}

func (d *dialed) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d.mu.Lock()
	d.addrs = append(d.addrs, addr)
	fail := d.fail && len(d.addrs) > 1
	d.mu.Unlock()
	if fail {
		return nil, errors.New("firewall")
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	return new(net.Dialer).DialContext(ctx, network, "127.0.0.1:"+port)
}

func TestDataConnectionsLeadToTheServerOnly(t *testing.T) {
	for _, advertised := range []string{"10,1,2,3", "0,0,0,0", "127,0,0,9", "8,8,8,8"} {
		for _, trust := range []bool{false, true} {
			o := ftptest.Options{Password: password, Reply: func(cmd, _ string, r []byte) []byte {
				if cmd != "PASV" {
					return r
				}
				return []byte(strings.Replace(string(r), "127,0,0,1", advertised, 1))
			}}
			if !trust {
				o.HideFeatures = []string{"EPSV"} // or else nobody asks for PASV
			}
			srv := ftptest.Start(t, o)
			d := &dialed{}
			cfg := config(srv.Host(), srv.Port())
			cfg.Dial, cfg.TrustPASVHost = d.dial, trust
			s := dial(t, cfg)
			require.NoError(t, store(t.Context(), s, "f", "x"))
			d.mu.Lock()
			host, _, _ := net.SplitHostPort(d.addrs[1])
			d.mu.Unlock()
			want := "127.0.0.1"
			if trust && advertised != "0,0,0,0" {
				want = strings.ReplaceAll(advertised, ",", ".")
			}
			assert.Equal(t, want, host, "%s, trusted: %t", advertised, trust)
		}
	}
}

func TestBehindAProxyDataConnectionsLeadToTheConfiguredHost(t *testing.T) {
	srv := ftptest.Start(t, ftptest.Options{Password: password})
	d := &dialed{}
	cfg := config("ftp.example.invalid", srv.Port())
	cfg.Dial, cfg.Direct = d.dial, false
	require.NoError(t, store(t.Context(), dial(t, cfg), "f", "x"))
	for _, addr := range d.addrs {
		assert.True(t, strings.HasPrefix(addr, "ftp.example.invalid:"), addr)
	}
}

func TestEPSVThatIsRefusedIsNotAskedForAgain(t *testing.T) {
	for _, refusal := range []string{"500 what?", "501 no", "502 no", "522 no"} {
		rec := newRecorder()
		cfg := scripted(ftptest.ScriptFTP(t, map[string]string{"f": "x"}, rec.answer(ftptest.Replies(map[string]string{"EPSV": refusal}))))
		for range 2 {
			s := dial(t, cfg)
			for range 2 {
				_, err := fetch(t.Context(), s, "f", 0)
				require.NoError(t, err)
			}
			inStep(t, s, refusal)
		}
		all := strings.Join(rec.all(), ",")
		assert.Equal(t, 1, strings.Count(all, "EPSV"), "the next session knows it too")
		assert.Equal(t, 4, strings.Count(all, "PASV"))
	}
	rec := newRecorder()
	cfg := scripted(ftptest.ScriptFTP(t, map[string]string{"f": "x"}, rec.answer(nil)))
	cfg.DisableEPSV = true
	_, err := fetch(t.Context(), dial(t, cfg), "f", 0)
	require.NoError(t, err)
	assert.NotContains(t, rec.all(), "EPSV")
}

func TestAfterTwoFailuresTheOtherPassiveCommandIsTried(t *testing.T) {
	rec := newRecorder()
	cfg := scripted(ftptest.ScriptFTP(t, map[string]string{"f": "x"}, rec.answer(nil)))
	d := &dialed{fail: true}
	cfg.Dial = d.dial
	s := dial(t, cfg)
	for range 5 {
		_, err := fetch(t.Context(), s, "f", 0)
		require.ErrorContains(t, err, "firewall")
		inStep(t, s, "no data connection, no transfer")
	}
	var asked []string
	for _, line := range rec.all() {
		if strings.HasSuffix(line, "SV") {
			asked = append(asked, line)
		}
	}
	assert.Equal(t, []string{"EPSV", "EPSV", "PASV", "PASV", "EPSV"}, asked)
}

// jlaffaye panics on the last two, and would dial what any of them says.
func TestAMalformedPassiveReplyDiscardsTheSession(t *testing.T) {
	for name, replies := range map[string]map[string]string{
		"EPSV port 0":            {"EPSV": "229 (|||0|)"},
		"EPSV port too large":    {"EPSV": "229 (|||65536|)"},
		"EPSV with no port":      {"EPSV": "229 (|||)"},
		"EPSV granted as 200":    {"EPSV": "200 ok"},
		"EPSV preliminary":       {"EPSV": "150 what?"},
		"EPSV answered by a 227": {"EPSV": "227 )("},
		"EPSV by another's 227":  {"EPSV": "227 (10,0,0,1,4,1)"},
		"PASV port 0":            {"EPSV": "500", "PASV": "227 (127,0,0,1,0,0)"},
		"PASV number too large":  {"EPSV": "500", "PASV": "227 (127,0,0,1,256,1)"},
		"PASV answered by a 229": {"EPSV": "500", "PASV": "229 (|||21|)"},
		"PASV jlaffaye 1":        {"EPSV": "500", "PASV": "227 )("},
		"PASV jlaffaye 2":        {"EPSV": "500", "PASV": "227 ("},
	} {
		d := &dialed{}
		cfg := scripted(ftptest.ScriptFTP(t, map[string]string{"f": "x"}, ftptest.Replies(replies)))
		cfg.Dial = d.dial
		s := dial(t, cfg)
		_, err := fetch(t.Context(), s, "f", 0)
		require.ErrorIs(t, err, reply.ErrMalformed, name)
		assert.Len(t, d.addrs, 1, "%s: nothing was dialled", name)
		gone(t, s, name)
	}
	cfg := scripted(ftptest.ScriptFTP(t, nil, ftptest.Replies(map[string]string{"PWD": `257 "`})))
	s := dial(t, cfg)
	require.ErrorIs(t, s.IsDir(t.Context(), "d"), reply.ErrMalformed)
	gone(t, s, "257")
}

// active is a server that connects to its client. connect gets the address that the client announced.
func active(t *testing.T, refuse string, connect func(addr string, final func(string))) *ftptest.ScriptServer {
	t.Helper()
	return ftptest.Script(t, func(c *ftptest.Conn) {
		c.Send("220 ready\r\n")
		addr := ""
		for {
			verb, arg, _ := strings.Cut(c.ReadLine(), " ")
			switch verb {
			case "EPRT":
				if refuse == "EPRT" {
					c.Send("500 what?\r\n")
					continue
				}
				parts := strings.Split(arg, "|")
				addr = net.JoinHostPort(parts[2], parts[3])
				c.Send("200 ok\r\n")
			case "PORT":
				var h [4]int
				var hi, lo int
				_, _ = fmt.Sscanf(arg, "%d,%d,%d,%d,%d,%d", &h[0], &h[1], &h[2], &h[3], &hi, &lo)
				addr = fmt.Sprintf("%d.%d.%d.%d:%d", h[0], h[1], h[2], h[3], hi<<8|lo)
				c.Send("200 ok\r\n")
			case "RETR":
				if refuse == "RETR" {
					c.Send("425 cannot connect to you\r\n")
					continue
				}
				c.Send("150 here\r\n")
				connect(addr, func(r string) { c.Send(r + "\r\n") })
			case "USER":
				c.Send("230 in\r\n")
			case "FEAT":
				c.Send("500 no\r\n")
			default:
				c.Send("200 ok\r\n")
			}
		}
	})
}

// from connects from an address of this machine, and sends text.
func from(ip, addr, text string) error {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}, Timeout: 5 * time.Second}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		return err
	}
	_, err = io.WriteString(c, text)
	return errors.Join(err, c.Close())
}

func TestActiveModeTakesTheServersConnectionAndNobodyElses(t *testing.T) {
	for i, refuse := range []string{"", "EPRT", ""} {
		srv := active(t, refuse, func(addr string, final func(string)) {
			assert.NoError(t, from("127.0.0.2", addr, "from a thief"))
			assert.NoError(t, from("127.0.0.1", addr, "from the server"))
			final("226 done")
		})
		cfg := scripted(srv)
		cfg.Active, cfg.Direct = true, i < 2 // the same by a dialer of the user's
		s := dial(t, cfg)
		for range 2 {
			got, err := fetch(t.Context(), s, "f", 0)
			require.NoError(t, err)
			assert.Equal(t, "from the server", got)
		}
		inStep(t, s, "active")
	}
}

func TestActiveModeSaysWhomItRefused(t *testing.T) {
	srv := active(t, "", func(addr string, _ func(string)) { assert.NoError(t, from("127.0.0.2", addr, "from behind a gateway")) })
	cfg := scripted(srv)
	cfg.Active, cfg.ConnectTimeout = true, 200*time.Millisecond
	_, err := fetch(t.Context(), dial(t, cfg), "f", 0)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.ErrorContains(t, err, "127.0.0.2")

	cfg.Dial, cfg.Direct = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		return nowhere{conn}, err
	}, false
	_, err = fetch(t.Context(), dial(t, cfg), "f", 0)
	require.ErrorContains(t, err, "active mode", "whoever connected could not be told from the server")
}

// nowhere is a connection that does not tell where it leads.
type nowhere struct{ net.Conn }

func (nowhere) RemoteAddr() net.Addr { return &net.UnixAddr{Name: "@", Net: "unix"} }

func TestActiveModeDoesNotWaitForAServerThatRefused(t *testing.T) {
	cfg := scripted(active(t, "RETR", nil))
	cfg.Active = true
	s := dial(t, cfg)
	begin := time.Now()
	_, err := fetch(t.Context(), s, "f", 0)
	assert.Equal(t, 425, reply.Code(err))
	assert.Less(t, time.Since(begin), time.Second)
	inStep(t, s, "425")
}

func TestActiveModeEndsWithItsContextAndByItsDeadline(t *testing.T) {
	cfg := scripted(active(t, "", func(string, func(string)) {}))
	cfg.Active, cfg.ConnectTimeout = true, 200*time.Millisecond
	s := dial(t, cfg)
	begin := time.Now()
	_, err := fetch(t.Context(), s, "f", 0)
	require.Error(t, err)
	assert.Less(t, time.Since(begin), 2*time.Second)
	gone(t, s, "the server never came")

	cfg.ConnectTimeout = time.Minute
	cancelled(t, "accept", func() func(context.Context) error {
		s := dial(t, cfg)
		return func(ctx context.Context) error {
			_, err := fetch(ctx, s, "f", 0)
			gone(t, s, "cancelled")
			return err
		}
	})
}

func TestActiveModeRefusedAltogetherIsARefusal(t *testing.T) {
	for _, refusal := range []string{"500 no", "227 )("} {
		cfg := scripted(ftptest.ScriptFTP(t, nil, ftptest.Replies(map[string]string{"EPRT": refusal, "PORT": refusal})))
		cfg.Active = true
		s := dial(t, cfg)
		_, err := fetch(t.Context(), s, "f", 0)
		require.Error(t, err)
		if refusal[0] == '2' {
			gone(t, s, refusal)
		} else {
			inStep(t, s, refusal)
		}
	}
}
