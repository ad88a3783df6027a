package ftptest_test

import (
	"io"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/ftptest"
)

const half = 150_001 // no multiple of a buffer

func TestDownloadFaultsStrikeAtTheirByte(t *testing.T) {
	content := pattern(400_000)
	tests := []struct {
		name  string
		fault ftptest.Fault
		bytes int
		final string
	}{
		{"none", ftptest.Fault{Cmd: "STOR", Do: ftptest.CutData}, len(content), "226"},
		{"cut", ftptest.Fault{Cmd: "RETR", After: half, Do: ftptest.CutData}, half, "426"},
		{"cut at the start", ftptest.Fault{Cmd: "RETR", Do: ftptest.CutData}, 0, "426"},
		{"cut at the very end", ftptest.Fault{After: 400_000, Do: ftptest.CutData}, len(content), "426"},
		{"cut past the end", ftptest.Fault{After: 400_001, Do: ftptest.CutData}, len(content), "226"},
		{"cut and lied about", ftptest.Fault{Path: "f", After: half, Do: ftptest.CutDataSilently}, half, "226"},
		{"another path", ftptest.Fault{Path: "g", After: half, Do: ftptest.CutData}, len(content), "226"},
		{"late refusal", ftptest.Fault{After: half, Do: ftptest.LateRefuse, Reply: "451 no"}, half, "451 no"},
		{"control cut", ftptest.Fault{After: half, Do: ftptest.CutControl}, len(content), "EOF"},
		{"both cut", ftptest.Fault{After: half, Do: ftptest.CutBoth}, half, "EOF"},
		{"final reply", ftptest.Fault{Cmd: "RETR", Do: ftptest.FinalReply, Reply: "250 ok"}, len(content), "250 ok"},
		{"no final reply", ftptest.Fault{Cmd: "RETR", Do: ftptest.DropFinalReply}, len(content), "EOF"},
		{"corrupt", ftptest.Fault{Cmd: "RETR", After: half, Do: ftptest.CorruptData}, -1, "226"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, mode := range []ftptest.TLSMode{ftptest.Plain, ftptest.Explicit} {
				s := ftptest.Start(t, ftptest.Options{TLS: mode, Faults: []ftptest.Fault{tt.fault}})
				write(t, s, "f", content)
				var c *client
				if mode == ftptest.Plain {
					c = login(t, s)
				} else {
					c = loginTLS(t, s, tlsConfig(s))
				}

				got, err, final := c.get("RETR f")

				if tt.bytes < 0 {
					require.Len(t, got, len(content))
					got[tt.fault.After] ^= 0xff
					assert.Equal(t, content, got, "one byte differs")
				} else {
					assert.Equal(t, content[:tt.bytes], got)
				}
				assert.Contains(t, final, tt.final)
				if clean := tt.fault.Do != ftptest.CutData && tt.fault.Do != ftptest.CutBoth && tt.fault.Do != ftptest.LateRefuse; clean || mode == ftptest.Plain {
					assert.NoError(t, err)
				}
			}
		})
	}
}

func TestUploadFaultsStoreWhatTheySay(t *testing.T) {
	content := pattern(400_000)
	flipped := pattern(400_000)
	flipped[half] ^= 0xff
	tests := []struct {
		name  string
		fault ftptest.Fault
		want  []byte
		final string
	}{
		{"cut", ftptest.Fault{Cmd: "STOR", After: half, Do: ftptest.CutData}, content[:half], "426"},
		{"cut and lied about", ftptest.Fault{After: half, Do: ftptest.CutDataSilently}, content[:half], "226"},
		{"reset", ftptest.Fault{After: half, Do: ftptest.ResetData}, content[:half], "426"},
		{"late refusal", ftptest.Fault{After: half, Do: ftptest.LateRefuse}, content[:half], "552"},
		{"corrupt", ftptest.Fault{After: half, Do: ftptest.CorruptUpload}, flipped, "226"},
		{"a download's fault", ftptest.Fault{After: half, Do: ftptest.CorruptData}, content, "226"},
		{"no final reply", ftptest.Fault{Cmd: "STOR", Do: ftptest.DropFinalReply}, content, "EOF"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, mode := range []ftptest.TLSMode{ftptest.Plain, ftptest.Explicit} {
				s := ftptest.Start(t, ftptest.Options{TLS: mode, Faults: []ftptest.Fault{tt.fault}})
				var c *client
				if mode == ftptest.Plain {
					c = login(t, s)
				} else {
					c = loginTLS(t, s, tlsConfig(s))
				}
				final := c.put("STOR f", content)
				assert.Contains(t, final, tt.final)
				assert.Equal(t, tt.want, read(t, s, "f"))
			}
		})
	}
}

func TestResetDataIsSeenAsAReset(t *testing.T) {
	s := ftptest.Start(t, ftptest.Options{Faults: []ftptest.Fault{{Cmd: "RETR", After: 10, Do: ftptest.ResetData}}})
	write(t, s, "f", pattern(100))
	c := login(t, s)
	_, err, final := c.get("RETR f")
	require.ErrorIs(t, err, syscall.ECONNRESET)
	assert.Contains(t, final, "426")
	c.cmd("200", "NOOP")
}

func TestStallDataHoldsEverythingOpenUntilTheClientGoes(t *testing.T) {
	s := ftptest.Start(t, ftptest.Options{Faults: []ftptest.Fault{{Cmd: "RETR", After: 10, Do: ftptest.StallData}}})
	write(t, s, "f", pattern(100))
	c := login(t, s)
	data := c.passive()
	c.cmd("150", "RETR f")
	got := make([]byte, 10)
	_, err := io.ReadFull(data, got)
	require.NoError(t, err)
	require.NoError(t, data.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	_, err = data.Read(got)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.NoError(t, data.Close())
	c.expect("426")
	c.cmd("200", "NOOP")
}

func TestSkipAndTimesCountCommands(t *testing.T) {
	s := ftptest.Start(t, ftptest.Options{Faults: []ftptest.Fault{
		{Cmd: "NOOP", Skip: 1, Times: 2, Do: ftptest.Refuse, Reply: "450 busy"},
	}})
	c := login(t, s)
	c.cmd("200", "NOOP")
	c.cmd("450 busy", "NOOP")
	c.cmd("450 busy", "NOOP")
	c.cmd("200", "NOOP")
	assert.Equal(t, 2, s.Stats().Faults)

	s.SetFaults(ftptest.Fault{Do: ftptest.Refuse, Reply: "421 going"})
	c.cmd("421 going", "PWD")
	c.requireEOF()
}

func TestControlFaultsDoWhatTheirNamesSay(t *testing.T) {
	s := ftptest.Start(t, ftptest.Options{})
	tests := []struct {
		fault ftptest.Fault
		check func(t *testing.T, c *client)
		made  bool
	}{
		{ftptest.Fault{Do: ftptest.CutControl}, func(_ *testing.T, c *client) { c.requireEOF() }, false},
		{ftptest.Fault{Do: ftptest.CutBoth}, func(_ *testing.T, c *client) { c.requireEOF() }, false},
		{ftptest.Fault{Do: ftptest.DropFinalReply}, func(_ *testing.T, c *client) { c.requireEOF() }, true},
		{ftptest.Fault{Do: ftptest.FinalReply, Reply: "500 eh"}, func(_ *testing.T, c *client) { c.expect("500 eh") }, true},
		{ftptest.Fault{Do: ftptest.ExtraReply, Reply: "226 again"}, func(_ *testing.T, c *client) {
			c.expect("257")
			c.expect("226 again")
		}, true},
		{ftptest.Fault{Do: ftptest.SlowFinal, Delay: 30 * time.Millisecond}, func(t *testing.T, c *client) {
			begin := time.Now()
			c.expect("257")
			assert.GreaterOrEqual(t, time.Since(begin), 20*time.Millisecond)
		}, true},
		{ftptest.Fault{Do: ftptest.StallControl}, requireSilence, false},
		{ftptest.Fault{Do: ftptest.StallReply}, requireSilence, true},
	}
	for _, tt := range tests {
		c := login(t, s)
		tt.fault.Cmd = "MKD"
		s.SetFaults(tt.fault)
		c.send("MKD d")
		tt.check(t, c)
		s.SetFaults()

		c = login(t, s)
		code := "550"
		if tt.made {
			code = "250"
		}
		c.cmd(code, "RMD d")
	}
}

func requireSilence(t *testing.T, c *client) {
	t.Helper()
	require.NoError(t, c.tcp.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	_, err := c.r.ReadByte()
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
}

func TestTheGreetingCanFailToo(t *testing.T) {
	s := ftptest.Start(t, ftptest.Options{Banner: "one\ntwo"})
	assert.Equal(t, "220-one\r\n220 two\r\n", dial(t, s).expect("220"))

	s.SetFaults(ftptest.Fault{Cmd: "CONNECT", Do: ftptest.CutControl})
	dial(t, s).requireEOF()
	s.SetFaults(ftptest.Fault{Cmd: "CONNECT", Do: ftptest.StallReply})
	requireSilence(t, dial(t, s))
	s.SetFaults(ftptest.Fault{Cmd: "CONNECT", Do: ftptest.Refuse, Reply: "421 later"})
	c := dial(t, s)
	c.expect("421 later")
	c.requireEOF()
	s.SetFaults(ftptest.Fault{Cmd: "LOGIN", Do: ftptest.Refuse, Reply: "530 no"})
	c = dial(t, s)
	c.expect("220")
	c.cmd("331", "USER user")
	c.cmd("530 no", "PASS secret")
}

func TestAnAbortedTransferAnswersTwice(t *testing.T) {
	s := ftptest.Start(t, ftptest.Options{Faults: []ftptest.Fault{{Cmd: "RETR", After: 1, Do: ftptest.StallData}}})
	write(t, s, "f", pattern(100))
	c := login(t, s)
	c.passive()
	c.cmd("150", "RETR f")
	c.send("ABOR")
	c.expect("426")
	c.expect("226")
	c.cmd("200", "NOOP")
}

func TestAClientThatLeavesInTheMiddleGets426(t *testing.T) {
	s := ftptest.Start(t, ftptest.Options{})
	write(t, s, "f", pattern(32<<20))
	c := login(t, s)
	data := c.passive()
	c.cmd("150", "RETR f")
	_, err := io.ReadFull(data, make([]byte, 10))
	require.NoError(t, err)
	require.NoError(t, data.Close())
	c.expect("426")

	data = c.passive()
	c.cmd("150", "STOR g")
	_, err = data.Write(pattern(10))
	require.NoError(t, err)
	require.NoError(t, data.SetLinger(0))
	require.NoError(t, data.Close())
	c.expect("426")
}
