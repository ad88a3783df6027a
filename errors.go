package ftpclient

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/corexalgo/ftpclient/internal/partfile"
	"github.com/corexalgo/ftpclient/internal/reply"
	"github.com/corexalgo/ftpclient/internal/retry"
	"github.com/corexalgo/ftpclient/internal/safepath"
)

// What an error of this package may wrap, besides the errors of packages io/fs, errors and context: fs.ErrNotExist (only
// when the server's absence of the name was proved), fs.ErrExist, fs.ErrPermission, fs.ErrClosed (the Client was closed),
// errors.ErrUnsupported (the server lacks a command), and the context's own error.
var (
	// ErrUnknownServer is the error of a server name that is no key of Config.Servers.
	ErrUnknownServer = errors.New("unknown server")
	// ErrAuth is the error of a login that the server refused. It is never repeated by itself, and for a minute no call of the
	// same Client tries again but gets the same error: more tries may lock the account. It is also that of a command that is
	// refused by 530, as a server does that has logged us out; the next call has another connection.
	ErrAuth = reply.ErrAuth
	// ErrMismatch is the error of content that is not what it should be: its digest or size differs, or the source changed
	// again and again while it was read.
	ErrMismatch = errors.New("content differs")
	// ErrUnverifiable is the error of a verification that was insisted on and that the server does not offer.
	ErrUnverifiable = errors.New("cannot be verified")
	// ErrInUse is the error of a target that another transfer, in this process or another one, holds.
	ErrInUse = partfile.ErrInUse
	// ErrUnsafeName is the error of a name with control characters, of one that is to be made on a server and is not UTF-8, or of
	// one that a server listed and that would lead out of its directory or cannot be a local name.
	ErrUnsafeName = safepath.ErrUnsafe
	// ErrNameCollision is the error of two names that would land on one file.
	ErrNameCollision = errors.New("name collision")
	// ErrTooManyReconnects is the error of a batch that needed more new connections than BatchOptions.MaxReconnects.
	ErrTooManyReconnects = errors.New("too many reconnects")
)

// Error is the error of every operation on a server: what was tried, where, what the server said, and the cause.
type Error struct {
	Op      string // "download", "stat" …
	Server  string // key in Config.Servers
	Path    string // the remote path; "" where there is none
	Code    int    // the server's reply code; 0 when it did not answer
	Message string // the server's words as they came: quote them before printing
	Err     error  // the cause; never nil
}

// Error is one readable line without control characters.
func (e *Error) Error() string {
	text := e.Op
	if e.Server != "" {
		text += " " + reply.Visible(e.Server)
	}
	if e.Path != "" {
		text += ": " + reply.Printable(e.Path)
	}
	if e.Err == nil { // it is one to compare others with
		return text
	}
	return text + ": " + reply.Visible(strings.ReplaceAll(e.Err.Error(), "\n", "; "))
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is an *Error whose fields that are not zero equal e's.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && (t.Op == "" || t.Op == e.Op) && (t.Server == "" || t.Server == e.Server) &&
		(t.Path == "" || t.Path == e.Path) && (t.Code == 0 || t.Code == e.Code) && (t.Message == "" || t.Message == e.Message) &&
		(t.Err == nil || errors.Is(e.Err, t.Err))
}

// Retryable reports whether the same call may succeed when it is made again later: the line or the server failed in a
// way that may pass, and with each file that failed where there are several. It is false for refusals, local errors, a context's
// end and nil.
func Retryable(err error) bool { return retry.Retryable(err) }

// wrap makes err an *Error, once.
func wrap(op, server, path string, err error) error {
	var done *Error
	if err == nil || errors.As(err, &done) {
		return err
	}
	e := &Error{Op: op, Server: server, Path: path, Err: err}
	var refused *reply.Error
	if errors.As(err, &refused) {
		e.Code, e.Message = refused.Code, refused.Text
	}
	return e
}

// cause is what err says besides the operation and the place, for whoever tells these.
func cause(err error) string {
	var e *Error
	if errors.As(err, &e) {
		err = e.Err
	}
	return err.Error()
}

// A FileError is the failure of one file, or of a folder that could not be read or made.
type FileError struct {
	Job Job
	Err error
}

// Error is that of Err.
func (e FileError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e FileError) Unwrap() error { return e.Err }

// batchError is the error of a batch in which something failed.
type batchError struct {
	result *BatchResult
	stop   error // why it ended early; nil: it did not
}

func (e *batchError) Error() string {
	r := e.result
	var b strings.Builder
	if r.Failed > 0 {
		fmt.Fprintf(&b, "%d of %d files failed", r.Failed, r.Total)
	}
	if e.stop != nil {
		if b.Len() > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "ended early, %d not tried: %v", r.Total-r.Failed-r.Succeeded-r.Skipped, e.stop)
	}
	if r.Failed > 0 && (e.stop == nil || !errors.Is(e.stop, r.Failures[0].Err)) {
		fmt.Fprintf(&b, "; the first: %v", r.Failures[0].Err)
	}
	return b.String()
}

func (e *batchError) Unwrap() []error {
	errs := make([]error, 0, len(e.result.Failures)+1)
	if e.stop != nil {
		errs = append(errs, e.stop)
	}
	for _, f := range e.result.Failures {
		errs = append(errs, f)
	}
	return errs
}

// errBrokenOff is the error of a file that was under way when another one's failure ended the batch.
var errBrokenOff = retry.Transient(errors.New("broken off, as the batch ended early"))

func isContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// A fault is told what is wrong with the value of a key, in the words of fmt.Errorf.
type fault func(key, format string, args ...any)

// faults collects what is wrong with what a caller has set.
type faults []error

func (f *faults) add(key, format string, args ...any) {
	*f = append(*f, fmt.Errorf("%s: %w", key, fmt.Errorf(format, args...)))
}

// below tells of the keys below one.
func (f fault) below(prefix string) fault {
	return func(key, format string, args ...any) { f(prefix+"."+key, format, args...) }
}

// check reports every fault of a call's options at once. A call does it before all else.
func check(options interface{ validate(f fault) }) error {
	var f faults
	if options.validate(f.add); len(f) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", errors.Join(f...), fs.ErrInvalid)
}

func notNegative[T int | int64 | time.Duration](f fault, key string, v T) {
	if v < 0 {
		f(key, "%v is negative", v)
	}
}

// known finds a value that is none of those up to last.
func known[T ~int](f fault, key string, v, last T) {
	if v < 0 || v > last {
		f(key, "%d is no %T", v, v)
	}
}

func validPatterns(f fault, key string, patterns []string) {
	for _, p := range patterns {
		if !doublestar.ValidatePattern(p) {
			f(key, "%s: %w", reply.Quote(p), doublestar.ErrBadPattern)
		}
	}
}

func (o *TransferOptions) validate(f fault) {
	if o == nil {
		return
	}
	known(f, "Verify", o.Verify, VerifyNone)
	known(f, "Existing", o.Existing, FailExisting)
	notNegative(f, "Segments", o.Segments)
	notNegative(f, "BytesPerSecond", o.BytesPerSecond)
	if o.Retry != nil {
		o.Retry.validate(f.below("Retry"))
	}
	o.validateExpected(f)
}

func (o *BatchOptions) validate(f fault) {
	if o == nil {
		return
	}
	o.TransferOptions.validate(f)
	notNegative(f, "Workers", o.Workers)
	notNegative(f, "BatchSize", o.BatchSize)
	notNegative(f, "ReconnectEvery", o.ReconnectEvery)
	validPatterns(f, "Include", o.Include)
	validPatterns(f, "Exclude", o.Exclude)
}

func (o *WalkOptions) validate(f fault) {
	if o == nil {
		return
	}
	notNegative(f, "Workers", o.Workers)
	notNegative(f, "MaxDepth", o.MaxDepth)
	validPatterns(f, "Include", o.Include)
	validPatterns(f, "Exclude", o.Exclude)
}

func (o *MirrorOptions) validate(f fault) {
	if o == nil {
		return
	}
	known(f, "Direction", o.Direction, Up)
	known(f, "Compare", o.Compare, CompareHash)
	validPatterns(f, "Include", o.Include)
	validPatterns(f, "Exclude", o.Exclude)
}

func (p *Plan) validate(f fault) {
	known(f, "Direction", p.Direction, Up)
	if p.Incomplete && slices.ContainsFunc(p.Actions, func(a Action) bool { return a.Kind == ActionDelete }) {
		f("Actions", "not everything was read, and nothing may be deleted")
	}
}

// given is an error where a caller has left out what a call is about.
func given(what string, is bool) error {
	if is {
		return nil
	}
	return fmt.Errorf("there is no %s: %w", what, fs.ErrInvalid)
}

// nameOf is the name of a value that may have none.
func nameOf[T ~int](names []string, v T) string {
	if v < 0 || int(v) >= len(names) {
		return fmt.Sprintf("%s(%d)", reflect.TypeFor[T]().Name(), int(v))
	}
	return names[v]
}

func (j Job) validate(f fault) { known(f, "Direction", j.Direction, Up) }
