//go:build interop && linux

package interop_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jlaffaye/ftp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/corexalgo/ftpclient/internal/interop"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// login connects with a bare jlaffaye client. It trusts the server's authority
// only, and resumes sessions as RFC 4217 section 10 asks.
func login(t *testing.T, s *interop.Server, more ...ftp.DialOption) (*ftp.ServerConn, *tls.Config) {
	t.Helper()
	config := clientTLS(t, s)
	options := append([]ftp.DialOption{ftp.DialWithContext(t.Context()), ftp.DialWithTimeout(5 * time.Second)}, more...)
	switch s.TLS {
	case interop.Explicit:
		options = append(options, ftp.DialWithExplicitTLS(config))
	case interop.Implicit:
		options = append(options, ftp.DialWithTLS(config))
	}
	conn, err := ftp.Dial(s.Addr(), options...)
	require.NoError(t, err)
	require.NoError(t, conn.Login(s.User, s.Password))
	return conn, config
}

func clientTLS(t *testing.T, s *interop.Server) *tls.Config {
	t.Helper()
	ca, err := os.ReadFile(s.CAFile)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(ca))
	return &tls.Config{
		RootCAs:            roots,
		ServerName:         s.Host,
		ClientSessionCache: tls.NewLRUClientSessionCache(4),
	}
}

func quit(t *testing.T, conn *ftp.ServerConn) {
	t.Helper()
	assert.NoError(t, conn.Quit())
}

func TestEveryCellStoresAFileAndGivesItBack(t *testing.T) {
	for _, cell := range interop.Cells() {
		t.Run(cell.String(), func(t *testing.T) {
			t.Parallel()
			s := interop.Start(t, cell)
			conn, config := login(t, s)
			defer quit(t, conn)
			versions := make(map[uint16]int)
			config.VerifyConnection = func(cs tls.ConnectionState) error {
				versions[cs.Version]++
				return nil
			}

			content := strings.Repeat("0123456789", 10)
			require.NoError(t, conn.Stor("a.txt", strings.NewReader(content)))
			onDisk, err := os.ReadFile(filepath.Join(s.Dir, "a.txt"))
			require.NoError(t, err)
			assert.Equal(t, content, string(onDisk))

			entries, err := conn.List("/")
			require.NoError(t, err)
			entries = slices.DeleteFunc(entries, func(e *ftp.Entry) bool { return e.Name == "." || e.Name == ".." })
			require.Len(t, entries, 1)
			assert.Equal(t, "a.txt", entries[0].Name)
			assert.EqualValues(t, 100, entries[0].Size)

			r, err := conn.Retr("a.txt")
			require.NoError(t, err)
			back, err := io.ReadAll(r)
			require.NoError(t, err)
			require.NoError(t, r.Close())
			assert.Equal(t, content, string(back))

			if cell.TLS == interop.Plain {
				assert.Empty(t, versions)
			} else {
				assert.Equal(t, map[uint16]int{cell.MaxTLS: 3}, versions, "one handshake a data connection")
			}
		})
	}
}

func TestEveryServerAllowsWhatAClientNeeds(t *testing.T) {
	for _, server := range []string{interop.VSFTPD, interop.ProFTPD, interop.PureFTPD} {
		t.Run(server, func(t *testing.T) {
			t.Parallel()
			s := interop.Start(t, interop.Cell{Server: server})
			conn, _ := login(t, s, ftp.DialWithWritingMDTM(server == interop.VSFTPD))
			defer quit(t, conn)
			require.NoError(t, conn.MakeDir("d"))
			require.NoError(t, conn.Stor("d/a", strings.NewReader("one")))
			require.NoError(t, conn.Stor("d/a", strings.NewReader("three")), "overwrite")
			require.NoError(t, conn.Rename("d/a", "d/b"))
			when := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
			require.NoError(t, conn.SetTime("d/b", when))
			got, err := conn.GetTime("d/b")
			require.NoError(t, err)
			assert.Equal(t, when, got.UTC())
			require.NoError(t, conn.Delete("d/b"))
			require.NoError(t, conn.RemoveDir("d"))

			require.NoError(t, os.WriteFile(filepath.Join(s.Dir, "mine"), []byte("x"), 0o644))
			s.Own(t)
			require.NoError(t, conn.Stor("mine", strings.NewReader("y")), "after Own")
		})
	}
}

func TestTLSIsRequiredWhenItIsOn(t *testing.T) {
	for _, server := range []string{interop.VSFTPD, interop.ProFTPD, interop.PureFTPD} {
		t.Run(server, func(t *testing.T) {
			t.Parallel()
			s := interop.Start(t, interop.Cell{Server: server, TLS: interop.Explicit})
			conn, err := ftp.Dial(s.Addr(), ftp.DialWithTimeout(5*time.Second))
			require.NoError(t, err)
			defer func() { _ = conn.Quit() }()
			assert.Error(t, conn.Login(s.User, s.Password))
		})
	}
}

func TestRequiredSessionReuseRefusesAFreshSession(t *testing.T) {
	for _, cell := range interop.Cells() {
		if !cell.RequireReuse {
			continue
		}
		t.Run(cell.String(), func(t *testing.T) {
			t.Parallel()
			s := interop.Start(t, cell)
			conn, config := login(t, s)
			defer func() { _ = conn.Quit() }()
			config.ClientSessionCache = nil
			assert.Error(t, conn.Stor("a.txt", bytes.NewReader(make([]byte, 100))))
		})
	}
}
