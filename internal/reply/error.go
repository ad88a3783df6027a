package reply

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// ErrAuth is the cause of a login that the server refused. It is never tried again by itself: a second try may lock the
// account.
var ErrAuth = errors.New("login refused")

// An Error is a reply that refused a command.
type Error struct {
	Command string // the verb: "RETR", never its argument; "" for the greeting
	Code    int
	Text    string // the server's words; quote before printing
	Cause   error  // what the reply is known to mean: fs.ErrPermission, fs.ErrNotExist, ErrAuth …; nil: unclassified
}

func (e *Error) Error() string {
	what := e.Command
	if what == "" {
		what = "greeting"
	}
	return fmt.Sprintf("%s: %d %s", what, e.Code, Printable(e.Text))
}

// Unwrap returns the Cause.
func (e *Error) Unwrap() error { return e.Cause }

// Err is the error of a reply to command, with the cause that code and text prove by themselves. It never says "not
// found": a 550 alone is no proof of that.
func Err(command string, r Reply) *Error {
	e := &Error{Command: command, Code: r.Code, Text: r.Text()}
	switch {
	case tooMany(r):
		e.Cause = ErrTooMany
	case r.Code == 530 || r.Code == 532 || (r.Code/100 == 5 && (command == "USER" || command == "PASS")):
		e.Cause = ErrAuth
	case saysDenied(r.Text()) && (r.Code == 550 || r.Code == 553 || r.Code == 450 || r.Code == 501):
		e.Cause = fs.ErrPermission
	case r.Code == 500 || r.Code == 502 || r.Code == 504:
		e.Cause = errors.ErrUnsupported
	}
	return e
}

// ErrTooMany is the cause of a reply that refused one more connection, while those that exist may go on.
var ErrTooMany = errors.New("too many connections")

// tooMany recognises a refusal of one more connection or login: 421, and 530, 500 or 550 with such words.
func tooMany(r Reply) bool {
	text := strings.ToLower(r.Text())
	for _, words := range []string{"too many", "maximum number", "maximum login", "max connections", "connection limit", "max clients", "already logged in", "user limit", "clients are allowed", "sessions from"} {
		if strings.Contains(text, words) {
			return r.Code == 421 || r.Code/100 == 5
		}
	}
	return r.Code == 421
}

func saysDenied(text string) bool {
	text = strings.ToLower(text)
	for _, words := range []string{"permission", "denied", "not allowed", "forbidden", "not permitted", "access is", "unauthorized", "read-only", "拒绝访问", "没有权限"} {
		if strings.Contains(text, words) {
			return true
		}
	}
	return false
}

// SaysAbsent reports whether the server's words say, as an operating system does, that a name does not exist. They are
// evidence only of a command that takes any kind of name, such as MLST.
func SaysAbsent(text string) bool {
	text = strings.ToLower(text)
	for _, words := range []string{"no such file", "no such directory", "not found", "does not exist", "doesn't exist", "cannot find", "no such object", "file not exist", "找不到", "不存在"} {
		if strings.Contains(text, words) {
			return true
		}
	}
	return false
}

// Code is the reply code in err's chain, or 0.
func Code(err error) int {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}
