package ftptest_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/ftptest"
)

// client is a raw FTP client that says exactly what a test tells it to.
type client struct {
	t    *testing.T
	tcp  *net.TCPConn
	conn net.Conn
	r    *bufio.Reader
	tls  *tls.Config // for data connections; nil: plain
}

func dial(t *testing.T, s *ftptest.Server) *client {
	t.Helper()
	return dialAddr(t, s.Addr())
}

func dialAddr(t *testing.T, addr string) *client {
	t.Helper()
	c := &client{t: t}
	c.tcp = c.connect(addr)
	c.conn, c.r = c.tcp, bufio.NewReader(c.tcp)
	return c
}

func login(t *testing.T, s *ftptest.Server) *client {
	t.Helper()
	c := dial(t, s)
	c.expect("220")
	c.cmd("331", "USER user")
	c.cmd("230", "PASS secret")
	c.cmd("200", "TYPE I")
	return c
}

func tlsConfig(s *ftptest.Server) *tls.Config {
	return &tls.Config{
		RootCAs: s.CertPool(), ServerName: "localhost", ClientSessionCache: tls.NewLRUClientSessionCache(4),
	}
}

// loginTLS logs in over explicit TLS, with private data connections.
func loginTLS(t *testing.T, s *ftptest.Server, cfg *tls.Config) *client {
	t.Helper()
	c := dial(t, s)
	c.expect("220")
	c.cmd("234", "AUTH TLS")
	c.startTLS(cfg)
	c.cmd("331", "USER user")
	c.cmd("230", "PASS secret")
	c.cmd("200", "TYPE I")
	c.cmd("200", "PBSZ 0")
	c.cmd("200", "PROT P")
	return c
}

func (c *client) startTLS(cfg *tls.Config) {
	c.t.Helper()
	conn := tls.Client(c.tcp, cfg)
	require.NoError(c.t, conn.HandshakeContext(c.t.Context()))
	c.conn, c.r, c.tls = conn, bufio.NewReader(conn), cfg
}

func (c *client) send(lines ...string) {
	c.t.Helper()
	_, err := io.WriteString(c.conn, strings.Join(lines, "\r\n")+"\r\n")
	require.NoError(c.t, err)
}

// reply reads one complete reply.
func (c *client) reply() (string, error) {
	var reply string
	for end := ""; ; {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return reply, err
		}
		reply += line
		if end == "" && line[3] == '-' {
			end = line[:3] + " "
		} else if end == "" || strings.HasPrefix(line, end) {
			return reply, nil
		}
	}
}

func (c *client) expect(code string) string {
	c.t.Helper()
	reply, err := c.reply()
	require.NoError(c.t, err)
	require.Truef(c.t, strings.HasPrefix(reply, code), "want %s, got %q", code, reply)
	return reply
}

func (c *client) cmd(code, line string) string {
	c.t.Helper()
	c.send(line)
	return c.expect(code)
}

func (c *client) requireEOF() {
	c.t.Helper()
	rest, err := c.reply()
	require.ErrorIs(c.t, err, io.EOF)
	require.Empty(c.t, rest)
}

// passive opens a data connection by EPSV; TLS has not begun on it.
func (c *client) passive() *net.TCPConn {
	c.t.Helper()
	reply := c.cmd("229", "EPSV")
	port := regexp.MustCompile(`\|\|\|(\d+)\|`).FindStringSubmatch(reply)[1]
	return c.connect("127.0.0.1:" + port)
}

func (c *client) passivePASV() *net.TCPConn {
	c.t.Helper()
	reply := c.cmd("227", "PASV")
	m := regexp.MustCompile(`\((\d+),(\d+),(\d+),(\d+),(\d+),(\d+)\)`).FindStringSubmatch(reply)
	hi, _ := strconv.Atoi(m[5])
	lo, _ := strconv.Atoi(m[6])
	return c.connect(fmt.Sprintf("%s:%d", strings.Join(m[1:5], "."), hi<<8|lo))
}

func (c *client) connect(addr string) *net.TCPConn {
	c.t.Helper()
	conn, err := new(net.Dialer).DialContext(c.t.Context(), "tcp", addr)
	require.NoError(c.t, err)
	c.t.Cleanup(func() { _ = conn.Close() })
	require.NoError(c.t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	return conn.(*net.TCPConn)
}

// wrap puts TLS on a data connection if the client speaks it.
func (c *client) wrap(data *net.TCPConn) net.Conn {
	if c.tls == nil {
		return data
	}
	return tls.Client(data, c.tls)
}

// get sends a command that downloads, and returns what came and the final reply.
func (c *client) get(line string) (content []byte, err error, final string) { //nolint:staticcheck // err belongs to content
	c.t.Helper()
	data := c.passive()
	c.cmd("150", line)
	content, err = io.ReadAll(c.wrap(data))
	_ = data.Close()
	final, errFinal := c.reply()
	if errFinal != nil {
		final = errFinal.Error()
	}
	return content, err, final
}

// put uploads and returns the final reply. The connection is ended with close_notify under TLS.
func (c *client) put(line string, content []byte) (final string) {
	c.t.Helper()
	data := c.passive()
	c.cmd("150", line)
	conn := c.wrap(data)
	_, _ = conn.Write(content)
	if tc, ok := conn.(*tls.Conn); ok {
		_ = tc.CloseWrite()
	}
	_ = data.CloseWrite()
	_, _ = io.Copy(io.Discard, data)
	_ = data.Close()
	final, err := c.reply()
	if err != nil {
		return err.Error()
	}
	return final
}

func write(t *testing.T, s *ftptest.Server, name string, content []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(s.Dir(), name), content, 0o644))
}

func read(t *testing.T, s *ftptest.Server, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.Dir(), name))
	require.NoError(t, err)
	return b
}

// pattern returns n bytes no two pages of which are alike.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}

// readSpy sits below TLS and tells whether the socket's own end was seen.
type readSpy struct {
	*net.TCPConn
	ended bool
}

func (s *readSpy) Read(p []byte) (int, error) {
	n, err := s.TCPConn.Read(p)
	s.ended = s.ended || err != nil
	return n, err
}
