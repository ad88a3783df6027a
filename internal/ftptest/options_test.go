package ftptest_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/ftptest"
)

func TestTheServerCanLackWhatOthersHave(t *testing.T) {
	s := ftptest.Start(t, ftptest.Options{
		NoMLSD: true, NoREST: true, NoAppend: true, NoRename: true, HideFeatures: []string{"EPSV", "mdtm"},
	})
	write(t, s, "f", []byte("x"))
	c := login(t, s)
	feat := c.cmd("211", "FEAT")
	for _, word := range []string{"MLST", "MLSD", "REST", "EPSV", "MDTM", "AUTH"} {
		assert.NotContains(t, feat, word)
	}
	assert.Contains(t, feat, " SIZE\r\n")
	for _, line := range []string{"MLST f", "MLSD", "REST 1", "APPE f", "EPSV", "MDTM f"} {
		c.cmd("500", line)
	}
	c.cmd("550", "RNFR f")

	data := c.passivePASV()
	c.cmd("150", "RETR f")
	got, err := io.ReadAll(data)
	require.NoError(t, err)
	c.expect("226")
	assert.Equal(t, "x", string(got))
}

func TestFilesChangeOnlyWhereTheServerLetsThem(t *testing.T) {
	s := ftptest.Start(t, ftptest.Options{RenameRefusesExisting: true, RestStorRefused: true})
	write(t, s, "a", []byte("a"))
	write(t, s, "b", []byte("b"))
	require.NoError(t, os.Mkdir(filepath.Join(s.Dir(), "d"), 0o755))
	c := login(t, s)
	c.cmd("350", "RNFR a")
	c.cmd("550", "RNTO b")
	c.cmd("350", "RNFR a")
	c.cmd("250", "RNTO c")
	c.cmd("550", "DELE d")
	c.cmd("550", "RMD b")
	c.cmd("250", "RMD d")
	c.passive()
	c.cmd("350", "REST 1")
	c.cmd("451", "STOR b")
	assert.Equal(t, "b", string(read(t, s, "b")))

	ro := ftptest.Start(t, ftptest.Options{ReadOnly: true})
	write(t, ro, "a", []byte("a"))
	c = login(t, ro)
	c.cmd("550", "DELE a")
	c.passive()
	c.cmd("550", "STOR new")
}

func TestRestartedTransfersBeginAtTheirOffset(t *testing.T) {
	s := ftptest.Start(t, ftptest.Options{})
	write(t, s, "f", []byte("0123456789"))
	c := login(t, s)
	c.cmd("350", "REST 4")
	got, err, _ := c.get("RETR f")
	require.NoError(t, err)
	assert.Equal(t, "456789", string(got))
	c.cmd("350", "REST 8")
	require.Contains(t, c.put("STOR f", []byte("ab")), "226")
	require.Contains(t, c.put("APPE f", []byte("cd")), "226")
	assert.Equal(t, "01234567abcd", string(read(t, s, "f")))
}

func TestHashesAreOfferedUnderTheirName(t *testing.T) {
	s := ftptest.Start(t, ftptest.Options{Hash: true})
	write(t, s, "f", []byte("abc"))
	c := login(t, s)
	assert.Contains(t, c.cmd("211", "FEAT"), " HASH ")
	assert.Contains(t, c.cmd("213", "HASH /f"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
	assert.Contains(t, c.cmd("250", "XCRC /f"), "352441c2")

	quirk := ftptest.Start(t, ftptest.Options{Hash: true, HashQuirk: true})
	assert.NotContains(t, login(t, quirk).cmd("211", "FEAT"), "HASH ")
}

func TestHooksSeeAndChangeWhatPasses(t *testing.T) {
	var s *ftptest.Server
	var once sync.Once
	s = ftptest.Start(t, ftptest.Options{
		ListOnDataLines: func(cmd, _ string) []byte {
			if cmd == "LIST" {
				return []byte("hostile row\r\n")
			}
			return nil
		},
		Reply: func(cmd, _ string, reply []byte) []byte {
			if cmd == "PWD" {
				return bytes.ReplaceAll(reply, []byte("/"), []byte("/home"))
			}
			return reply
		},
		Command: func(cmd, arg string) (string, bool) {
			return "213 " + arg, cmd == "SIZE"
		},
		OnCommand: func(cmd, _ string) {
			if cmd == "RETR" {
				once.Do(func() { write(t, s, "f", []byte("changed")) })
			}
		},
	})
	write(t, s, "f", []byte("first"))
	c := login(t, s)
	rows, err, final := c.get("LIST nowhere")
	require.NoError(t, err)
	assert.Equal(t, "hostile row\r\n", string(rows))
	assert.Contains(t, final, "226")
	assert.Contains(t, c.cmd("257", "PWD"), `"/home"`)
	c.cmd("213 x y", "SIZE x y")
	got, err, _ := c.get("RETR f")
	require.NoError(t, err)
	assert.Equal(t, "changed", string(got))
	rows, err, _ = c.get("MLSD")
	require.NoError(t, err)
	assert.Contains(t, string(rows), "Type=file;Size=7;")
}

func TestActiveModeIsServedByPORTAndEPRT(t *testing.T) {
	s := ftptest.Start(t, ftptest.Options{})
	want := pattern(100_000)
	write(t, s, "f", want)
	c := login(t, s)
	for _, format := range []string{"EPRT |1|127.0.0.1|%d|", "PORT"} {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		require.NoError(t, err)
		port := l.Addr().(*net.TCPAddr).Port
		line := fmt.Sprintf("PORT 127,0,0,1,%d,%d", port>>8, port&0xff)
		if format != "PORT" {
			line = fmt.Sprintf(format, port)
		}
		c.cmd("200", line)
		c.send("RETR f")
		data, err := l.Accept()
		require.NoError(t, err)
		got, err := io.ReadAll(data)
		require.NoError(t, err)
		require.NoError(t, data.Close())
		require.NoError(t, l.Close())
		c.expect("150")
		c.expect("226")
		assert.Equal(t, want, got)

		c.cmd("200", line)
		c.cmd("425", "RETR f") // nobody listens any more
	}
	c.cmd("501", "PORT 1,2,3")
	assert.Equal(t, 2, s.Stats().DataConns)
}

func TestOneConnectionTooManyIsTurnedAway(t *testing.T) {
	s := ftptest.Start(t, ftptest.Options{MaxConns: 1})
	first := login(t, s)
	second := dial(t, s)
	second.expect("421 Too many connections")
	second.requireEOF()
	first.cmd("200", "NOOP")
	st := s.Stats()
	assert.Equal(t, 2, st.Conns)
	assert.Equal(t, 1, st.Open)
	assert.Equal(t, 1, st.MaxOpen)

	first.cmd("221", "QUIT")
	first.requireEOF()
	require.Eventually(t, func() bool { return s.Stats().Open == 0 }, 5*time.Second, time.Millisecond)
	login(t, s)
}

func TestControlConnectionsCanBeDropped(t *testing.T) {
	s := ftptest.Start(t, ftptest.Options{})
	a, b := login(t, s), login(t, s)
	s.CloseControlConnections()
	a.requireEOF()
	b.requireEOF()
	login(t, s).cmd("200", "NOOP")
}

func TestAnIdleConnectionIsClosedWith421(t *testing.T) {
	s := ftptest.Start(t, ftptest.Options{IdleTimeout: 50 * time.Millisecond})
	c := dial(t, s)
	c.expect("220")
	c.expect("421")
	c.requireEOF()
}

func TestTheFinalReplyCanWaitForTheClientsFIN(t *testing.T) {
	for _, mode := range []ftptest.TLSMode{ftptest.Plain, ftptest.Explicit} {
		s := ftptest.Start(t, ftptest.Options{HoldFinal: true, TLS: mode})
		write(t, s, "f", []byte("x"))
		var c *client
		if mode == ftptest.Plain {
			c = login(t, s)
		} else {
			c = loginTLS(t, s, tlsConfig(s))
		}
		data := c.passive()
		c.cmd("150", "RETR f")
		_, err := io.ReadAll(c.wrap(data))
		require.NoError(t, err)
		require.NoError(t, c.tcp.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
		_, err = c.tcp.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.NoError(t, c.tcp.SetReadDeadline(time.Now().Add(20*time.Second)))
		require.NoError(t, data.Close())
		c.expect("226")
	}
}

func TestTheAddressHasUserPasswordAndScheme(t *testing.T) {
	s := ftptest.Start(t, ftptest.Options{User: "a@b", Password: "p/w"})
	assert.Equal(t, fmt.Sprintf("ftp://a%%40b:p%%2Fw@127.0.0.1:%d/x%%20y", s.Port()), s.URL("x y"))
	assert.Equal(t, s.Addr(), fmt.Sprintf("%s:%d", s.Host(), s.Port()))
	s = ftptest.Start(t, ftptest.Options{TLS: ftptest.Implicit})
	assert.True(t, strings.HasPrefix(s.URL("/"), "ftps://user:secret@"))
}

func TestLatencyIsOneRoundTripForAGroupAndCostsNoThroughput(t *testing.T) {
	const rtt = 60 * time.Millisecond
	s := ftptest.Start(t, ftptest.Options{Latency: rtt})
	want := pattern(8 << 20)
	write(t, s, "f", want)

	begin := time.Now()
	c := dial(t, s)
	c.expect("220")
	assertAbout(t, 2*rtt, begin, "connect and greeting")
	c.cmd("331", "USER user")
	c.cmd("230", "PASS secret")
	c.cmd("200", "TYPE I")

	s.ResetStats()
	begin = time.Now()
	c.send("SIZE f", "MDTM f", "NOOP")
	c.expect("213")
	c.expect("213")
	c.expect("200")
	assertAbout(t, rtt, begin, "a group")

	begin = time.Now()
	c.send("NOOP")
	c.send("NOOP")
	c.expect("200")
	c.expect("200")
	assertAbout(t, rtt, begin, "two writes without waiting")
	assert.Equal(t, 2, s.Stats().RoundTrips)

	begin = time.Now()
	got, err, final := c.get("RETR f")
	require.NoError(t, err)
	require.Contains(t, final, "226")
	require.True(t, bytes.Equal(want, got))
	assert.GreaterOrEqual(t, time.Since(begin), 3*rtt-5*time.Millisecond, "EPSV, connect, RETR")
	assert.Less(t, time.Since(begin), 30*rtt, "8 MiB are no 128 round trips")

	begin = time.Now()
	require.Contains(t, c.put("STOR g", want), "226")
	assert.GreaterOrEqual(t, time.Since(begin), 4*rtt-5*time.Millisecond, "EPSV, connect, STOR, content")
	assert.Less(t, time.Since(begin), 30*rtt)
	require.True(t, bytes.Equal(want, read(t, s, "g")))
}

func assertAbout(t *testing.T, want time.Duration, begin time.Time, what string) {
	t.Helper()
	got := time.Since(begin)
	assert.GreaterOrEqual(t, got, want-5*time.Millisecond, what)
	assert.Less(t, got, want+want*3/4, what)
}

func TestLatencyWorksUnderTLSWithFaults(t *testing.T) {
	s := ftptest.Start(t, ftptest.Options{
		Latency: 10 * time.Millisecond, TLS: ftptest.Explicit, RequireReuse: true, HoldFinal: true,
		Faults: []ftptest.Fault{{After: 1000, Times: 1, Do: ftptest.CutData}},
	})
	want := pattern(1 << 20)
	write(t, s, "f", want)
	c := loginTLS(t, s, tlsConfig(s))
	got, _, final := c.get("RETR f")
	assert.Equal(t, want[:1000], got)
	assert.Contains(t, final, "426")
	got, err, final := c.get("RETR f")
	require.NoError(t, err)
	assert.Equal(t, want, got)
	assert.Contains(t, final, "226")
	require.Contains(t, c.put("STOR g", want), "226")
	assert.Equal(t, want, read(t, s, "g"))
}

func TestTheDataRateIsKept(t *testing.T) {
	s := ftptest.Start(t, ftptest.Options{DataRate: 1 << 20})
	write(t, s, "f", pattern(200<<10))
	c := login(t, s)
	begin := time.Now()
	_, err, _ := c.get("RETR f")
	require.NoError(t, err)
	assert.GreaterOrEqual(t, time.Since(begin), 180*time.Millisecond)
	assert.Less(t, time.Since(begin), time.Second)
}
