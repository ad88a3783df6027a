package ftptest_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/jlaffaye/ftp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/ftptest"
)

func TestAScriptSaysWhatNoServerSays(t *testing.T) {
	s := ftptest.Script(t, func(c *ftptest.Conn) {
		c.Send("220 hi\r\n")
		c.Expect("AUTH TLS")
		c.Send("234 go\r\n")
		c.StartTLS(nil)
		c.Expect("EPSV")
		l := c.Listen()
		c.Send(l.EPSV() + l.PASV())
		data := l.Accept()
		_, _ = io.WriteString(data, "rows")
		_ = data.Close()
		c.Send("226 surplus\r\n")
		c.Reset()
	})
	c := dialAddr(t, s.Addr())
	c.expect("220 hi")
	c.cmd("234", "AUTH TLS")
	c.startTLS(&tls.Config{InsecureSkipVerify: true})
	data := c.passive()
	c.expect("227")
	got, err := io.ReadAll(data)
	require.NoError(t, err)
	assert.Equal(t, "rows", string(got))
	c.expect("226")
}

// recorder is a TB that remembers what a failing test would be told.
type recorder struct {
	*testing.T
	fatal    []string
	cleanups []func()
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.fatal = append(r.fatal, fmt.Sprintf(format, args...))
}
func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }

func TestAScriptThatIsNotFollowedFailsTheTest(t *testing.T) {
	r := &recorder{T: t}
	s := ftptest.Script(r, func(c *ftptest.Conn) { c.Expect("USER") })
	c := dialAddr(t, s.Addr())
	c.send("QUIT")
	c.requireEOF()
	gone := dialAddr(t, s.Addr()) // a client that leaves is no failure
	require.NoError(t, gone.conn.Close())
	for _, f := range r.cleanups {
		f()
	}
	require.Len(t, r.fatal, 1)
	assert.Contains(t, r.fatal[0], `want "USER", got "QUIT"`)
}

func TestAScriptedServerServesAnOrdinaryClientAndItsExceptions(t *testing.T) {
	files := map[string]string{"f": "0123456789", "LIST": "-rw-r--r-- 1 u g 10 Jan 1 2024 f\r\n"}
	s := ftptest.ScriptFTP(t, files, ftptest.Replies(map[string]string{
		"SIZE big": "213 99999999999999999999",
		"NOOP":     "200 one\r\n200 two",
		"PASV":     "227 nonsense",
	}))
	c, err := ftp.Dial(s.Addr(), ftp.DialWithTimeout(5*time.Second))
	require.NoError(t, err)
	require.NoError(t, c.Login("u", "p"))
	r, err := c.RetrFrom("/f", 3)
	require.NoError(t, err)
	got, err := io.ReadAll(r)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	assert.Equal(t, "3456789", string(got))
	require.NoError(t, c.StorFrom("f", bytes.NewReader([]byte("ab")), 2))
	size, err := c.FileSize("f")
	require.NoError(t, err)
	assert.Equal(t, int64(4), size)
	_, err = c.FileSize("big")
	require.Error(t, err)
	entries, err := c.List("")
	require.NoError(t, err)
	assert.Len(t, entries, 1)
	_, err = c.Retr("absent")
	require.ErrorContains(t, err, "550")
	require.NoError(t, c.Quit())
	assert.Equal(t, "0123456789", files["f"])
}
