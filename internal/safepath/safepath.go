// Package safepath holds the rules for names that cross between a server and the local system: what may go out as an
// argument of a command, and what of a listing may become the name of a local file. A name that breaks a rule is an
// error for that entry, never rewritten.
package safepath

import (
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ErrUnsafe is the cause of every name that a rule here rejects.
var ErrUnsafe = errors.New("unsafe name")

// maxQuoted bounds what of a name reaches an error.
const maxQuoted = 512

func unsafeName(s, why string) error {
	cut := ""
	if len(s) > maxQuoted {
		s, cut = s[:maxQuoted], "…"
	}
	q := strconv.Quote(s)
	return fmt.Errorf("%w: %s%s\": %s", ErrUnsafe, q[:len(q)-1], cut, why)
}

// CheckArgument checks a path that goes out as the argument of a command: a byte below 0x20 or 0x7f could end the
// command and begin another (RFC 959 section 5.3.2). The empty string is an argument like any other.
func CheckArgument(s string) error {
	if hasControl(s) {
		return unsafeName(s, "control character")
	}
	return nil
}

// CheckCreated is CheckArgument for a path whose last element is to be made on a server. What CheckListed refuses in a listing
// is not made: nobody could see, compare or remove it with what is around it.
func CheckCreated(path string) error {
	if err := CheckArgument(path); err != nil {
		return err
	}
	path = strings.TrimRight(path, "/")
	return checkText(path[strings.LastIndexByte(path, '/')+1:])
}

// CheckSecret is CheckArgument for a password: its error does not show it.
func CheckSecret(s string) error {
	if hasControl(s) {
		return fmt.Errorf("%w: control character in a password", ErrUnsafe)
	}
	return nil
}

func hasControl(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] == 0x7f {
			return true
		}
	}
	return false
}

// CheckListed checks that a listed name is one component of a path: not empty, not "." or "..", without a slash, valid
// UTF-8, and without control characters. The C1 controls U+0080 to U+009F count among them: terminals obey them as they
// obey an escape sequence, and no known file system needs them.
func CheckListed(name string) error {
	switch name {
	case "":
		return unsafeName(name, "empty")
	case ".", "..":
		return unsafeName(name, "names a directory above")
	}
	if strings.Contains(name, "/") {
		return unsafeName(name, "more than one component")
	}
	return checkText(name)
}

func checkText(name string) error {
	if !utf8.ValidString(name) {
		return unsafeName(name, "not UTF-8")
	}
	for _, r := range name {
		if r < 0x20 || (r >= 0x7f && r <= 0x9f) {
			return unsafeName(name, "control character")
		}
	}
	return nil
}

// CheckLocal checks that a listed name may become a local one. Besides CheckListed's rules there is no `\` and no ':',
// which are a separator, a drive or a stream on some system, and no name that IsOurs. On Windows there are no reserved
// device names, no trailing dot or blank, which Windows drops, and none of <>"|?*.
func CheckLocal(name string) error { return checkLocal(name, runtime.GOOS == "windows") }

func checkLocal(name string, windows bool) error {
	if err := CheckListed(name); err != nil {
		return err
	}
	if strings.ContainsAny(name, `\:`) {
		return unsafeName(name, `\ or : in a local name`)
	}
	if IsOurs(name) {
		return unsafeName(name, "the name of an unfinished transfer")
	}
	if !windows {
		return nil
	}
	switch {
	case strings.ContainsAny(name, `<>"|?*`):
		return unsafeName(name, "not allowed on Windows")
	case strings.HasSuffix(name, ".") || strings.HasSuffix(name, " "):
		return unsafeName(name, "Windows drops a trailing dot or blank")
	case reserved(name):
		return unsafeName(name, "reserved on Windows")
	}
	return nil
}

// reserved tells the names of Windows devices, which an extension or blanks before it do not make safe.
func reserved(name string) bool {
	base, _, _ := strings.Cut(name, ".")
	base = strings.ToUpper(strings.TrimRight(base, " "))
	switch base {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$":
		return true
	}
	if n, ok := strings.CutPrefix(base, "COM"); ok {
		return portDigit(n)
	}
	n, ok := strings.CutPrefix(base, "LPT")
	return ok && portDigit(n)
}

// portDigit tells what Windows takes for a port's number: the digits, and the three superscripts of Latin-1.
func portDigit(s string) bool {
	return (len(s) == 1 && s[0] >= '0' && s[0] <= '9') || s == "¹" || s == "²" || s == "³"
}
