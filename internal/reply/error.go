package reply

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// ErrAuth is the cause of a login that the server refused. It is never tried again by itself: a second try may lock the
// account.
var ErrAuth = errors.New("login refused")

// ErrUnanswered is the error of a password that was sent and may have been tried, but was neither accepted nor refused.
var ErrUnanswered = errors.New("no answer to the password")

// ErrFull is the cause of an upload that a server cannot store, though it says so by 4xx: the same bytes would come to the same end.
var ErrFull = errors.New("no room on the server")

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
	login := command == "" || command == "USER" || command == "PASS"
	switch {
	case login && command != "" && (r.Code/100 == 5 || r.Code == 421) && saysAny(r.Text(), mistaken):
		e.Cause = ErrAuth // "too many login failures" is no word on connections, and one more may lock the account
	case r.Code == 421, login && r.Code/100 == 5 && saysAny(r.Text(), tooMany):
		e.Cause = ErrTooMany // ProFTPD answers 530 to PASS
	case r.Code == 530 && command != "AUTH", login && command != "" && (r.Code/100 == 5 || r.Code == 332 || r.Code == 430):
		e.Cause = ErrAuth
	case r.Code == 452, (command == "STOR" || command == "APPE") && r.Code/10 == 45 && saysAny(r.Text(), full):
		e.Cause = ErrFull
	case saysAny(r.Text(), denied) && !saysAny(r.Text(), absent) && (r.Code == 550 || r.Code == 553 || r.Code == 450 || r.Code == 501):
		e.Cause = fs.ErrPermission
	case r.Code == 500 || r.Code == 502 || r.Code == 504:
		e.Cause = errors.ErrUnsupported
	}
	return e
}

// ErrInsecure is the error of a server that refused to do TLS, whatever it said. Nobody tries whether it does later: who
// gets in between says so until something is sent in plaintext.
var ErrInsecure = errors.New("server refuses TLS")

// ErrTooMany is the cause of a reply that refused one more connection, while those that exist may go on.
var ErrTooMany = errors.New("too many connections")

// What servers say. A path in the text may hold such words too, so those of a refused login count at login only, and
// those of absence and of denial together prove neither.
var (
	tooMany = []string{"too many", "maximum number", "maximum login", "maximum session", "max connections", "connection limit", "max clients", "already logged in", "user limit", "clients are allowed", "sessions from"}
	// mistaken are words of a login that was refused for what was sent.
	mistaken = []string{"incorrect", "login fail", "failed login", "login attempt", "failed attempt", "authentication fail", "wrong password", "invalid password"}
	denied   = []string{"permission", "denied", "not allowed", "forbidden", "not permitted", "access is", "unauthorized", "read-only", "拒绝访问", "没有权限"}
	// full are words of a disk that cannot be written: those of operating systems, of vsftpd and of Pure-FTPd.
	full   = []string{"no space left", "disk full", "disk is full", "not enough space", "insufficient storage", "out of space", "out of disk", "disk quota", "quota exceeded", "failure writing to local file", "error during write to file"}
	absent = []string{"no such file", "no such directory", "not found", "does not exist", "doesn't exist", "cannot find", "no such object", "file not exist", "找不到", "不存在"}
)

// SaysMistaken reports whether the server's words are those of a password that it refused, and not of a command that it did not
// understand, as "incorrect" alone can be.
func SaysMistaken(text string) bool {
	return saysAny(text, mistaken[1:]) || saysAny(text, []string{"login incorrect", "password incorrect", "incorrect password", "incorrect login"})
}

func saysAny(text string, phrases []string) bool {
	text = strings.ToLower(text)
	return slices.ContainsFunc(phrases, func(p string) bool { return strings.Contains(text, p) })
}

// SaysAbsent reports whether the server's words say, as an operating system does, that a name does not exist, and do not
// hint at a denial as well. They are evidence only of a command that takes any kind of name, such as MLST.
func SaysAbsent(text string) bool { return saysAny(text, absent) && !saysAny(text, denied) }

// Code is the reply code in err's chain, or 0.
func Code(err error) int {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}
