package retry_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/reply"
	"github.com/corexalgo/ftpclient/internal/retry"
)

// answer is the error of a server's answer, as a session makes it.
func answer(command string, code int, text string) error {
	return fmt.Errorf("get /file from server: %w", reply.Err(command, reply.Reply{Code: code, Lines: strings.Split(text, "\n")}))
}

func socket(op string, errno syscall.Errno) error {
	return &net.OpError{Op: op, Net: "tcp", Err: os.NewSyscallError(op, errno)}
}

func TestWhatMayBeRepeated(t *testing.T) {
	const yes, no = true, false
	for _, c := range []struct {
		what string
		err  error
		want bool
	}{
		{"success", nil, no},
		{"dial refused", socket("connect", syscall.ECONNREFUSED), yes},
		{"dial timeout", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ETIMEDOUT)}, yes},
		{"no route to the host", socket("connect", syscall.EHOSTUNREACH), yes},
		{"no route to the network", socket("connect", syscall.ENETUNREACH), yes},
		{"name not found", &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", IsNotFound: true}}, no},
		{"name server down", &net.OpError{Op: "dial", Err: &net.DNSError{Err: "server misbehaving", IsTemporary: true}}, yes},
		{"name server slow", &net.DNSError{Err: "i/o timeout", IsTimeout: true, UnwrapErr: context.DeadlineExceeded}, yes},
		{"certificate of an unknown authority", &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, no},
		{"certificate of another host", fmt.Errorf("tls: %w", x509.HostnameError{Host: "a", Certificate: &x509.Certificate{}}), no},
		{"certificate expired", x509.CertificateInvalidError{Reason: x509.Expired}, no},
		{"TLS refused for now", fmt.Errorf("%w: %w", reply.ErrInsecure, answer("AUTH", 431, "later")), no},
		{"TLS granted oddly", fmt.Errorf("%w: %w", reply.ErrInsecure, reply.ErrMalformed), no},
		{"no TLS at all", tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, no},
		{"TLS alert of the server", &net.OpError{Op: "remote error", Err: tls.AlertError(40)}, no},
		{"TLS alert, then the connection lost", errors.Join(&net.OpError{Op: "remote error", Err: errors.New("tls: handshake failure")}, io.EOF), no},
		{"certificate, then the connection lost", errors.Join(&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, io.EOF), no},
		{"421 at login", answer("USER", 421, "Service not available"), yes},
		{"530 too many", answer("PASS", 530, "Too many connections from your address"), yes},
		{"530 otherwise", answer("PASS", 530, "Login incorrect"), no},
		{"430 at login", answer("PASS", 430, "Invalid username or password"), no},
		{"5xx at login", answer("USER", 501, "no"), no},
		{"ErrTooMany by itself", reply.ErrTooMany, yes},
		{"ErrAuth by itself", reply.ErrAuth, no},
		{"control lost", fmt.Errorf("RETR: %w", io.EOF), yes},
		{"control lost in a reply", io.ErrUnexpectedEOF, yes},
		{"connection closed from our side", &net.OpError{Op: "read", Err: net.ErrClosed}, yes},
		{"data lost by reset", socket("read", syscall.ECONNRESET), yes},
		{"data lost by abort", socket("read", syscall.ECONNABORTED), yes},
		{"data lost while writing", socket("write", syscall.EPIPE), yes},
		{"stall", &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, yes},
		{"425", answer("RETR", 425, "Can't open data connection"), yes},
		{"426", answer("RETR", 426, "Connection closed; transfer aborted"), yes},
		{"451", answer("RETR", 451, "Local error"), yes},
		{"450", answer("RETR", 450, "File busy"), yes},
		{"450 with denied", answer("RETR", 450, "Permission denied"), yes},
		{"452", answer("STOR", 452, "Insufficient storage"), no},
		{"451 of a full disk", answer("STOR", 451, "f: No space left on device"), no},
		{"552", answer("STOR", 552, "Quota exceeded"), no},
		{"553", answer("STOR", 553, "File name not allowed"), no},
		{"550", answer("RETR", 550, "Failed to open file"), no},
		{"550 not found", answer("RETR", 550, "No such file or directory"), no},
		{"550 denied", answer("RETR", 550, "Permission denied"), no},
		{"500", answer("MLSD", 500, "Unknown command"), no},
		{"551", answer("RETR", 551, "Page type unknown"), no},
		{"4xx otherwise", answer("RETR", 434, "Requested host unavailable"), yes},
		{"2xx where none was due", answer("RETR", 226, "Transfer complete"), no},
		{"malformed reply", fmt.Errorf("EPSV: %w", reply.ErrMalformed), yes},
		{"disk full", &fs.PathError{Op: "write", Path: "f", Err: syscall.ENOSPC}, no},
		{"disk full by its number alone", os.NewSyscallError("write", syscall.ENOSPC), no},
		{"disk error", os.NewSyscallError("fsync", syscall.EIO), no},
		{"quota", os.NewSyscallError("write", syscall.EDQUOT), no},
		{"local file not readable", &fs.PathError{Op: "open", Path: "f", Err: fs.ErrPermission}, no},
		{"rename failed", &os.LinkError{Op: "rename", Old: "a", New: "b", Err: syscall.EXDEV}, no},
		{"socket's failure reported as the file's", &fs.PathError{Op: "write", Path: "f", Err: os.NewSyscallError("splice", syscall.ECONNRESET)}, yes},
		{"connection lost and disk full", errors.Join(io.EOF, &fs.PathError{Op: "write", Path: "f", Err: syscall.ENOSPC}), no},
		{"ctx cancelled", fmt.Errorf("get: %w", context.Canceled), no},
		{"ctx past its deadline", fmt.Errorf("get: %w", context.DeadlineExceeded), no},
		{"unknown", errors.New("what is this"), no},
		{"closed client", fs.ErrClosed, no},

		{"marked permanent", retry.Permanent(io.EOF), no},
		{"marked transient", retry.Transient(errors.New("remote file changed")), yes},
		{"marked transient although final", fmt.Errorf("x: %w", retry.Transient(answer("RETR", 550, "no"))), yes},
		{"marked twice: permanent outside", retry.Permanent(fmt.Errorf("x: %w", retry.Transient(io.EOF))), no},
		{"marked twice: transient outside", retry.Transient(fmt.Errorf("x: %w", retry.Permanent(io.EOF))), yes},
	} {
		assert.Equal(t, c.want, retry.Retryable(c.err), "%s: %v", c.what, c.err)
	}
}

func TestMarksAreTransparent(t *testing.T) {
	cause := answer("RETR", 550, "no")
	for _, err := range []error{retry.Permanent(cause), retry.Transient(cause)} {
		require.ErrorIs(t, err, cause)
		var r *reply.Error
		require.ErrorAs(t, err, &r)
		assert.Equal(t, 550, r.Code)
		assert.Equal(t, cause.Error(), err.Error())
	}
	assert.NoError(t, retry.Permanent(nil))
	assert.NoError(t, retry.Transient(nil))
}

// What the table builds by hand, the runtime must really say.

func TestARefusedDialMayBeRepeated(t *testing.T) {
	_, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", "127.0.0.1:1") // nobody listens there
	require.Error(t, err)
	assert.True(t, retry.Retryable(err), "%v", err)
}

func TestADialThatTookTooLongMayBeRepeated(t *testing.T) {
	_, err := (&net.Dialer{Timeout: time.Nanosecond}).DialContext(t.Context(), "tcp", "127.0.0.1:1")
	require.ErrorIs(t, err, context.DeadlineExceeded, "though nobody's context ended")
	assert.True(t, retry.Retryable(err), "%v", err)
}

func TestAReadPastItsDeadlineMayBeRepeated(t *testing.T) {
	client, server := net.Pipe()
	defer func() { require.NoError(t, errors.Join(client.Close(), server.Close())) }()
	require.NoError(t, client.SetReadDeadline(time.Unix(1, 0)))
	_, err := client.Read(make([]byte, 1))
	assert.True(t, retry.Retryable(err), "%v", err)
}

func TestAFailedHandshakeIsNotRepeated(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"good"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	config := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS13}
	for what, client := range map[string]*tls.Config{
		"untrusted certificate": {ServerName: "good", MinVersion: tls.VersionTLS12},
		"refused by the server": {InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12},
	} {
		here, there := net.Pipe()
		done := make(chan error, 1)
		go func() {
			s := tls.Server(there, config)
			done <- s.HandshakeContext(t.Context())
			_ = there.Close()
		}()
		err := tls.Client(here, client).HandshakeContext(t.Context())
		_ = here.Close()
		require.Error(t, <-done, what)
		require.Error(t, err, what)
		assert.False(t, retry.Retryable(err), "%s: %v", what, err)
	}
}

func TestAFileThatCannotBeOpenedIsNotRepeated(t *testing.T) {
	_, err := os.Open(filepath.Join(t.TempDir(), "absent"))
	assert.False(t, retry.Retryable(err), "%v", err)
}
