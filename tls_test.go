package ftpclient_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	mathbig "math/big" // big is a constant of the tests against real servers
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
	"github.com/corexalgo/ftpclient/internal/ftptest"
)

// An attack is what a hostile server, or somebody in between, does to TLS.
type attack struct {
	replies      map[string]string // to commands
	control      *tls.Config       // nil: an honest one
	data         *tls.Config       // nil: an honest one
	plainData    bool              // the data connection speaks no TLS
	host         string            // what the client calls the server; "": its address
	onData       bool              // it is seen only there
	plain, moved safeBuffer        // what the client said in plaintext, and what it sent on data connections
	conns        atomic.Int64
}

// teeConn keeps what is received.
type teeConn struct {
	net.Conn
	to io.Writer
}

func (c teeConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	_, _ = c.to.Write(p[:n])
	return n, err
}

func (a *attack) serve(c *ftptest.Conn) {
	a.conns.Add(1)
	c.Send("220 ready\r\n")
	secured := false
	var l *ftptest.DataListener
	for {
		line := c.ReadLine()
		verb, _, _ := strings.Cut(line, " ")
		if !secured {
			_, _ = a.plain.Write([]byte(line + "\n"))
		}
		reply, hostile := a.replies[verb]
		switch {
		case hostile:
			c.Send(reply + "\r\n")
		case verb == "AUTH":
			c.Send("234 go on\r\n")
			c.StartTLS(a.control)
			secured = true
		case verb == "EPSV":
			l = c.Listen()
			c.Send(l.EPSV())
		case verb == "STOR" || verb == "RETR":
			c.Send("150 here\r\n")
			a.transfer(l.Accept(), verb)
			c.Send("226 done\r\n")
		default:
			code, ok := map[string]string{"USER": "331", "PASS": "230", "FEAT": "500", "SIZE": "550", "MDTM": "550", "CWD": "550"}[verb]
			if !ok {
				code = "200"
			}
			c.Send(code + " x\r\n")
		}
	}
}

func (a *attack) transfer(raw net.Conn, verb string) {
	defer func() { _ = raw.Close() }()
	_ = raw.SetDeadline(time.Now().Add(5 * time.Second))
	conn := net.Conn(teeConn{raw, &a.moved})
	if !a.plainData {
		cfg := a.data
		if cfg == nil {
			cfg, _ = ftptest.ServerTLS()
		}
		conn = tls.Server(conn, cfg)
	}
	if verb == "RETR" {
		_, _ = io.WriteString(conn, "not what it says")
		return
	}
	_, _ = io.Copy(io.Discard, conn)
}

func TestEachAttackOnTLSIsFatalAndNothingIsSaidInPlaintext(t *testing.T) {
	reply := func(verb, text string) map[string]string { return map[string]string{verb: text} }
	other, _ := selfSigned(t)
	old, err := ftptest.ServerTLS()
	require.NoError(t, err)
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	for what, a := range map[string]*attack{
		"plaintext after 234":             {replies: reply("AUTH", "234 go on\r\n230 in")},
		"a reply for each after 234":      {replies: reply("AUTH", "234 go on\r\n331 x\r\n230 x\r\n200 x")},
		"AUTH refused":                    {replies: reply("AUTH", "502 no TLS here")},
		"AUTH refused as vsftpd does":     {replies: reply("AUTH", "530 Please login with USER and PASS.")},
		"AUTH granted without TLS":        {replies: reply("AUTH", "200 secure enough")},
		"AUTH refused for now":            {replies: reply("AUTH", "431 no certificate today")},
		"PBSZ refused":                    {replies: reply("PBSZ", "500 what?")},
		"PROT refused":                    {replies: reply("PROT", "534 only in the clear")},
		"an old version":                  {control: old},
		"a wrong certificate":             {control: other},
		"a certificate for another name":  {host: "127.0.0.2"},
		"a wrong certificate for data":    {data: other, onData: true},
		"an old version for data":         {data: old, onData: true},
		"plaintext on a data connection":  {plainData: true, onData: true},
		"certificate of a name, not host": {host: "ftp.example.com"},
	} {
		srv := ftptest.Script(t, a.serve)
		ca := filepath.Join(t.TempDir(), "ca.pem")
		require.NoError(t, os.WriteFile(ca, ftptest.Start(t, ftptest.Options{}).CertPEM(), 0o600))
		client := hostile(t, srv, func(c *ftpclient.ServerConfig) {
			c.TLS, c.CAFile = ftpclient.TLSExplicit, ca
			if a.host != "" {
				c.Host = a.host
				c.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
					return new(net.Dialer).DialContext(ctx, network, srv.Addr())
				}
			}
		})
		for way, call := range map[string]func() (*ftpclient.Result, error){
			"down": func() (*ftpclient.Result, error) {
				return client.Download(t.Context(), "srv", "f", filepath.Join(t.TempDir(), "f"), nil)
			},
			"up": func() (*ftpclient.Result, error) {
				return client.UploadFrom(t.Context(), "srv", strings.NewReader("top secret"), "f", nil)
			},
		} {
			if a.plainData && way == "up" {
				continue // who says nothing is waited for
			}
			result, err := call()
			require.Error(t, err, "%s, %s", what, way)
			require.NotErrorIs(t, err, ftpclient.ErrAuth, what)
			assert.False(t, ftpclient.Retryable(err), "%s, %s: %v", what, way, err)
			assert.Equal(t, 1, result.Attempts, "%s, %s", what, way)
		}
		require.NoError(t, client.Close())
		assert.Empty(t, strings.ReplaceAll(a.plain.String(), "AUTH TLS\n", ""), what)
		assert.NotContains(t, a.moved.String(), "secret", what)
		assert.Equal(t, a.onData && !a.plainData, a.moved.String() != "", what)
	}
}

// selfSigned is what somebody has whom nobody trusts, and his certificate in PEM.
func selfSigned(t *testing.T) (*tls.Config, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: mathbig.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	cfg := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
	return cfg, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestOnlyACertificateOfTheCAFileIsTrusted(t *testing.T) {
	_, others := selfSigned(t)
	for _, mode := range []ftptest.TLSMode{ftptest.Explicit, ftptest.Implicit} {
		srv, client := serve(t, ftptest.Options{TLS: mode})
		moveBothWays(t, srv, client, "CAFile")
		for what, pem := range map[string][]byte{"another CA": others, "none, but the system's": nil} {
			client := connect(t, srv, mode, func(c *ftpclient.ServerConfig) {
				if c.CAFile = ""; pem != nil {
					c.CAFile = filepath.Join(t.TempDir(), "other.pem")
					require.NoError(t, os.WriteFile(c.CAFile, pem, 0o600))
				}
			})
			srv.ResetStats()
			var untrusted *tls.CertificateVerificationError
			require.ErrorAs(t, client.Ping(t.Context(), "srv"), &untrusted, what)
			assert.Zero(t, srv.Stats().Commands["USER"], what)
			assert.Equal(t, 1, srv.Stats().Conns, what)
		}
	}
}

func TestAClientCertificateIsShownOnEveryConnection(t *testing.T) {
	for _, mode := range []ftptest.TLSMode{ftptest.Explicit, ftptest.Implicit} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			for _, reuse := range []bool{false, true} {
				srv, client := serve(t, ftptest.Options{TLS: mode, TLSMax: version, ClientCert: true, RequireReuse: reuse})
				require.Error(t, client.Ping(t.Context(), "srv"), "without")
				assert.Zero(t, srv.Stats().Commands["PASS"])
				client = connect(t, srv, mode, func(c *ftpclient.ServerConfig) {
					c.TLSConfig = &tls.Config{Certificates: []tls.Certificate{srv.ClientCertificate()}} //nolint:gosec // the session sets MinVersion
				})
				moveBothWays(t, srv, client, "client certificate")
			}
		}
	}
}

// With TLS 1.3 a ticket lies unread in the client's socket when it closes it.
func TestUploadsUnderTLSArriveWholeAtASlowServer(t *testing.T) {
	srv, client := serve(t, ftptest.Options{TLS: ftptest.Explicit, RequireReuse: true, DataRate: 40 << 20})
	content := randomBytes(t, 5*mib)
	var next atomic.Int64
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			for i := next.Add(1); i <= 40; i = next.Add(1) {
				result, err := client.UploadFrom(t.Context(), "srv", bytes.NewReader(content), strconv.FormatInt(i, 10), nil)
				if assert.NoError(t, err) {
					assert.Equal(t, 1, result.Attempts)
					assert.True(t, bytes.Equal(content, stored(t, srv, strconv.FormatInt(i, 10))))
				}
			}
		})
	}
	all.Wait()
	assert.Len(t, names(t, srv.Dir()), 40)
	stats := srv.Stats()
	assert.Equal(t, stats.DataConns, stats.Resumed)
}
