package ftptest_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/ftptest"
)

func TestExplicitTLSCarriesControlAndData(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		s := ftptest.Start(t, ftptest.Options{TLS: ftptest.Explicit, TLSMax: version, RequireReuse: true})
		c := loginTLS(t, s, tlsConfig(s))
		assert.Equal(t, version, c.conn.(*tls.Conn).ConnectionState().Version)
		want := pattern(300_000)
		require.Contains(t, c.put("STOR f", want), "226")
		got, err, final := c.get("RETR f")
		require.NoError(t, err)
		assert.Contains(t, final, "226")
		assert.Equal(t, want, got)
		assert.Equal(t, 2, s.Stats().Resumed)
		feat := c.cmd("211", "FEAT")
		assert.Contains(t, feat, " AUTH TLS\r\n PBSZ\r\n PROT\r\n")
	}
}

func TestReuseIsRequiredOfTheOwnControlConnection(t *testing.T) {
	s := ftptest.Start(t, ftptest.Options{TLS: ftptest.Explicit, RequireReuse: true})
	write(t, s, "f", pattern(10))
	cfg := tlsConfig(s)
	c := loginTLS(t, s, cfg)
	c.tls = tlsConfig(s) // a session cache that knows nothing
	got, _, final := c.get("RETR f")
	assert.Empty(t, got)
	assert.Contains(t, final, "522")

	other := loginTLS(t, s, tlsConfig(s))
	other.tls = cfg // the first connection's sessions
	_, _, final = other.get("RETR f")
	assert.Contains(t, final, "522")
}

func TestImplicitTLSBeginsWithTheFirstByte(t *testing.T) {
	s := ftptest.Start(t, ftptest.Options{TLS: ftptest.Implicit})
	c := dial(t, s)
	c.startTLS(tlsConfig(s))
	c.expect("220")
	c.cmd("331", "USER user")
	c.cmd("230", "PASS secret")
	c.cmd("522", "LIST")
	c.cmd("200", "PROT P")
	_, err, final := c.get("LIST")
	require.NoError(t, err)
	assert.Contains(t, final, "226")
}

func TestNothingIsServedInPlainTextWhenTLSIsRequired(t *testing.T) {
	s := ftptest.Start(t, ftptest.Options{TLS: ftptest.Explicit})
	c := dial(t, s)
	c.expect("220")
	c.cmd("530", "USER user")
	c.cmd("503", "PROT P")
	// what is sent behind AUTH in plain text must not be done after the handshake
	c.send("AUTH TLS", "NOOP")
	c.expect("234")
	c.startTLS(tlsConfig(s))
	c.cmd("331", "USER user")

	plain := ftptest.Start(t, ftptest.Options{})
	c = dial(t, plain)
	c.expect("220")
	c.cmd("502", "AUTH TLS")
}

func TestAnUploadWithoutCloseNotifyIs426(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		s := ftptest.Start(t, ftptest.Options{TLS: ftptest.Explicit, TLSMax: version})
		c := loginTLS(t, s, tlsConfig(s))
		data := c.passive()
		c.cmd("150", "STOR f")
		_, err := c.wrap(data).Write(pattern(1000))
		require.NoError(t, err)
		require.NoError(t, data.CloseWrite())
		c.expect("426")
		assert.Len(t, read(t, s, "f"), 1000)
	}
}

func TestADownloadEndsWithCloseNotifyUnlessAFaultSaysOtherwise(t *testing.T) {
	for _, tt := range []struct {
		faults []ftptest.Fault
		notify bool
	}{
		{nil, true},
		{[]ftptest.Fault{{After: 10, Do: ftptest.CutDataSilently}}, true},
		{[]ftptest.Fault{{Do: ftptest.NoCloseNotify}}, false},
		{[]ftptest.Fault{{After: 10, Do: ftptest.CutData}}, false},
	} {
		s := ftptest.Start(t, ftptest.Options{TLS: ftptest.Explicit, Faults: tt.faults})
		write(t, s, "f", pattern(1000))
		c := loginTLS(t, s, tlsConfig(s))
		data := c.passive()
		c.cmd("150", "RETR f")
		spy := &readSpy{TCPConn: data}
		_, err := io.ReadAll(tls.Client(spy, c.tls))
		require.NoError(t, err)
		assert.Equal(t, tt.notify, !spy.ended, "%v", tt.faults)
		_, err = c.reply()
		require.NoError(t, err)
	}
}

func TestTheCertificateIsForLoopbackAndItsCAIsInTheFile(t *testing.T) {
	s := ftptest.Start(t, ftptest.Options{TLS: ftptest.Implicit})
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(s.CertPEM()))
	connect := func(name string) error {
		return tls.Client(dial(t, s).tcp, &tls.Config{RootCAs: pool, ServerName: name}).HandshakeContext(t.Context())
	}
	require.NoError(t, connect("127.0.0.1"))
	require.NoError(t, connect("localhost"))
	require.Error(t, connect("elsewhere"))
}
