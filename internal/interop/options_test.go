//go:build interop && linux

package interop_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jlaffaye/ftp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/interop"
)

func TestACellThatIsNotOfferedSaysWhy(t *testing.T) {
	for want, cell := range map[string]interop.Cell{
		"implicit TLS not offered":           {Server: interop.PureFTPD, TLS: interop.Implicit},
		"required session reuse not offered": {Server: interop.PureFTPD, TLS: interop.Explicit, RequireReuse: true},
		"session reuse without TLS":          {Server: interop.VSFTPD, RequireReuse: true},
		"whole minutes":                      {Server: interop.PureFTPD, Options: interop.Options{IdleTimeout: time.Second}},
		"SessionIDs not offered":             {Server: interop.VSFTPD, Options: interop.Options{SessionIDs: true}},
		"unknown server":                     {Server: "wu-ftpd"},
		"unknown TLS mode":                   {Server: interop.VSFTPD, TLS: "maybe"},
	} {
		assert.ErrorContains(t, cell.Check(), want)
	}
}

func TestMaxConnsRefusesOneMore(t *testing.T) {
	for server, want := range map[string]string{
		interop.VSFTPD:   "421 \"There are too many connections from your internet address",
		interop.ProFTPD:  "530 \"Sorry, the maximum number of clients (2) from your host",
		interop.PureFTPD: "421 \"Too many connections (2) from this IP",
	} {
		t.Run(server, func(t *testing.T) {
			t.Parallel()
			s := interop.Start(t, interop.Cell{Server: server, Options: interop.Options{MaxConns: 2}})
			for range 2 {
				conn, _ := login(t, s)
				defer quit(t, conn)
			}
			conn, err := ftp.Dial(s.Addr(), ftp.DialWithTimeout(5*time.Second))
			if err == nil { // ProFTPD refuses at login
				defer func() { _ = conn.Quit() }()
				err = conn.Login(s.User, s.Password)
			}
			assert.ErrorContains(t, err, want)
		})
	}
}

func TestHiddenListsDotFiles(t *testing.T) {
	for _, server := range []string{interop.VSFTPD, interop.ProFTPD, interop.PureFTPD} {
		for name, hidden := range map[string]bool{"shown": true, "by default": false} {
			t.Run(server+"/"+name, func(t *testing.T) {
				t.Parallel()
				s := interop.Start(t, interop.Cell{Server: server, Options: interop.Options{Hidden: hidden}})
				require.NoError(t, os.WriteFile(filepath.Join(s.Dir, ".dot"), nil, 0o644))
				conn, _ := login(t, s, ftp.DialWithDisabledMLSD(true))
				defer quit(t, conn)
				entries, err := conn.List("")
				require.NoError(t, err)
				var listed bool
				for _, e := range entries {
					listed = listed || e.Name == ".dot"
				}
				assert.Equal(t, hidden, listed)
			})
		}
	}
}

func TestIdleTimeoutEndsASession(t *testing.T) {
	for _, server := range []string{interop.VSFTPD, interop.ProFTPD} {
		t.Run(server, func(t *testing.T) {
			t.Parallel()
			// ProFTPD counts whole seconds of the clock: one of them can end before the login.
			s := interop.Start(t, interop.Cell{Server: server, Options: interop.Options{IdleTimeout: 3 * time.Second}})
			conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.Addr())
			require.NoError(t, err)
			defer func() { assert.NoError(t, conn.Close()) }()
			require.NoError(t, conn.SetDeadline(time.Now().Add(30*time.Second)))
			_, err = io.WriteString(conn, "USER "+s.User+"\r\nPASS "+s.Password+"\r\n")
			require.NoError(t, err)
			replies, err := io.ReadAll(conn)
			require.NoError(t, err, "%q", replies)
			assert.Contains(t, string(replies), "\r\n230 ")
			assert.Contains(t, string(replies), "\r\n421 ")
		})
	}
}

func TestBytesPerSecondSlowsADownload(t *testing.T) {
	const rate = 128 << 10
	for _, server := range []string{interop.VSFTPD, interop.ProFTPD, interop.PureFTPD} {
		t.Run(server, func(t *testing.T) {
			t.Parallel()
			s := interop.Start(t, interop.Cell{Server: server, Options: interop.Options{BytesPerSecond: rate}})
			require.NoError(t, os.WriteFile(filepath.Join(s.Dir, "f"), make([]byte, 4*rate), 0o644))
			conn, _ := login(t, s)
			defer quit(t, conn)
			start := time.Now()
			r, err := conn.Retr("f")
			require.NoError(t, err)
			n, err := io.Copy(io.Discard, r)
			require.NoError(t, err)
			require.NoError(t, r.Close())
			assert.EqualValues(t, 4*rate, n)
			assert.Greater(t, time.Since(start), time.Second)
		})
	}
}

func TestProFTPDContinuesAnUploadOnlyWithStoreRestart(t *testing.T) {
	for _, allowed := range []bool{false, true} {
		s := interop.Start(t, interop.Cell{Server: interop.ProFTPD, Options: interop.Options{StoreRestart: allowed}})
		conn, _ := login(t, s)
		require.NoError(t, conn.Stor("a", strings.NewReader("one")))
		err := conn.StorFrom("a", strings.NewReader("two"), 3)
		if allowed {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, "451 ")
		}
		quit(t, conn)
	}
}

func TestProFTPDRefusesToOverwriteWithNoOverwrite(t *testing.T) {
	s := interop.Start(t, interop.Cell{Server: interop.ProFTPD, Options: interop.Options{NoOverwrite: true}})
	conn, _ := login(t, s)
	defer quit(t, conn)
	require.NoError(t, conn.Stor("a", strings.NewReader("one")))
	assert.ErrorContains(t, conn.Stor("a", strings.NewReader("two")), "550 ")
}

func TestCryptoTLSCannotResumeProFTPDSessionIDs(t *testing.T) {
	s := interop.Start(t, interop.Cell{
		Server: interop.ProFTPD, TLS: interop.Explicit, MaxTLS: tls.VersionTLS12, RequireReuse: true,
		Options: interop.Options{SessionIDs: true},
	})
	conn, _ := login(t, s)
	defer func() { _ = conn.Quit() }()
	assert.ErrorContains(t, conn.Stor("a", bytes.NewReader(make([]byte, 100))), "425 ")
}
