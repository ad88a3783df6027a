package retry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"slices"
	"syscall"

	"github.com/corexalgo/ftpclient/internal/reply"
)

// Permanent marks err as one that no repetition mends. errors.Is and errors.As look through the mark; of two marks the
// outer one holds. Permanent(nil) is nil.
func Permanent(err error) error { return mark(err, false) }

// Transient marks err as one that may be repeated, whatever it is.
func Transient(err error) error { return mark(err, true) }

// Together marks err, the error of several that failed each by itself, as one that may be repeated if every one of them may.
func Together(err error, errs []error) error {
	return mark(err, !slices.ContainsFunc(errs, func(one error) bool { return !Retryable(one) }))
}

func mark(err error, retry bool) error {
	if err == nil {
		return nil
	}
	return &marked{err, retry}
}

type marked struct {
	err   error
	retry bool
}

func (m *marked) Error() string { return m.err.Error() }
func (m *marked) Unwrap() error { return m.err }

// Retryable reports whether the same attempt over a fresh connection may succeed. What it does not know it does not
// repeat. Of several causes in err one that is final decides.
func Retryable(err error) bool {
	var m *marked
	switch {
	case err == nil:
		return false
	case errors.As(err, &m):
		return m.retry
	case ended(err), untrusted(err):
		return false
	case local(err):
		// os.File.ReadFrom splices from a socket and reports the socket's failure as the file's.
		return isLost(err)
	}
	if again, known := answered(err); known {
		return again
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return !dns.IsNotFound
	}
	return lost(err)
}

// ended tells that the caller's context is over. Time-outs of dialling and of name look-up also claim to be
// context.DeadlineExceeded; they are failures of the network, and Do looks at the context itself.
func ended(err error) bool {
	if errors.Is(err, context.Canceled) {
		return true
	}
	var op *net.OpError
	var dns *net.DNSError
	return errors.Is(err, context.DeadlineExceeded) && !errors.As(err, &op) && !errors.As(err, &dns)
}

// untrusted tells a failed TLS handshake: the same certificate or the same refusal would come back.
func untrusted(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error") {
		return true // crypto/tls reports alerts as these; the type within is its own
	}
	return as[*tls.CertificateVerificationError](err) || as[tls.RecordHeaderError](err) || as[tls.AlertError](err) ||
		as[x509.UnknownAuthorityError](err) || as[x509.HostnameError](err) || as[x509.CertificateInvalidError](err) ||
		as[x509.SystemRootsError](err) || as[x509.ConstraintViolationError](err) ||
		as[x509.InsecureAlgorithmError](err) || as[x509.UnhandledCriticalExtension](err)
}

func as[E error](err error) bool {
	var target E
	return errors.As(err, &target)
}

// local tells a failure of this machine's files: a full or broken disk is not mended by moving the bytes again.
func local(err error) bool {
	for _, errno := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EIO, syscall.EROFS, syscall.EFBIG} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return as[*fs.PathError](err) || as[*os.LinkError](err)
}

// DiskFull tells that this machine has no room, or may not write, where the bytes should go: the next file would fare
// the same.
func DiskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EROFS)
}

// ServerFull tells the same of the server, to which the bytes should go.
func ServerFull(err error) bool { return errors.Is(err, reply.ErrFull) }

// answered decides by what the server said, if it said anything.
func answered(err error) (again, known bool) {
	var r *reply.Error
	switch {
	case errors.Is(err, reply.ErrTooMany):
		return true, true
	case errors.Is(err, reply.ErrAuth):
		return false, true // a second try may lock the account
	case errors.Is(err, reply.ErrInsecure), errors.Is(err, reply.ErrFull):
		return false, true
	case errors.Is(err, reply.ErrMalformed):
		return true, true
	case !errors.As(err, &r):
		return false, false
	}
	switch r.Code {
	case 430: // invalid user name or password, where servers use it
		return false, true
	default:
		return r.Code/100 == 4, true
	}
}

// lost tells a connection that could not be made or was broken.
func lost(err error) bool {
	var timeout net.Error
	return isLost(err) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		(errors.As(err, &timeout) && timeout.Timeout())
}

// isLost looks for the errors that only a socket has.
func isLost(err error) bool {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return true
	}
	for _, errno := range lostErrnos {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}
