package listing

import (
	"bytes"
	"io/fs"
	"time"
)

// unix reads `ls -l` and what servers make of it: mode, links, owner, group, size, date, name. Links, group or owner
// may be missing and owners may have blanks in them, so the date is looked for, and the number before it is the size.
// Inode and blocks may stand in front.
func (p *Parser) unix(row []byte) (Entry, verdict, error) {
	for range 3 {
		row = bytes.TrimLeft(row, " ")
		mode, n, ok := unixMode(row)
		if !ok {
			mode, n, ok = goMode(row)
		}
		if ok {
			return p.unixTail(row, n, mode)
		}
		digits := 0
		for digits < len(row) && row[digits] >= '0' && row[digits] <= '9' {
			digits++
		}
		if digits == 0 || digits == len(row) || row[digits] != ' ' {
			break
		}
		row = row[digits:]
	}
	return Entry{}, unread, nil
}

// unixTail reads what stands behind a mode that ends at from.
func (p *Parser) unixTail(row []byte, from int, mode fs.FileMode) (Entry, verdict, error) {
	var f fields
	f.splitFrom(row, from)
	device := mode&fs.ModeDevice != 0
	d, at, ok := p.findDate(row, &f, device)
	if !ok {
		return Entry{}, unread, nil
	}
	e := Entry{Size: -1, Mode: mode, ModTime: d.time, Precise: d.precise}
	if n, ok := decimal(f.text(row, at-1)); ok && !device {
		e.Size = n
	}
	name := f.after(row, at+d.fields-1)
	for range d.pad {
		if len(name) > 1 && name[0] == ' ' {
			name = name[1:]
		}
	}
	if mode&fs.ModeDir != 0 && len(name) > 1 {
		name = bytes.TrimSuffix(name, []byte("/")) // as ls -p and ls -F mark it
	}
	return p.named(e, name)
}

// named gives e its name, and its target if it is a link.
func (p *Parser) named(e Entry, name []byte) (Entry, verdict, error) {
	var err error
	if e.Mode&fs.ModeSymlink != 0 {
		i := arrow(name, e.Size)
		if i > 0 {
			if target := name[i+len(" -> "):]; len(target) > 0 {
				if e.Target, err = p.name(target); err != nil {
					return e, entry, err
				}
			}
			name = name[:i]
		}
	}
	e.Name, err = p.name(name)
	return e, entry, err
}

// arrow finds the " -> " that parts a link's name from its target. There may be more than one: Unix gives the length
// of the target as the size of the link, which settles it, and else it is the first.
func arrow(name []byte, size int64) int {
	sep := []byte(" -> ")
	first := bytes.Index(name, sep)
	for i := first; i >= 0; {
		if int64(len(name)-i-len(sep)) == size {
			return i
		}
		n := bytes.Index(name[i+1:], sep)
		if n < 0 {
			break
		}
		i += 1 + n
	}
	return first
}

// findDate looks for the leftmost date that has a size before it, then, as a size may be glued to a group, or written
// "33.5k", for the leftmost date. The first field is a size only if nothing else is: a user may be called "jan".
func (p *Parser) findDate(row []byte, f *fields, device bool) (d date, at int, ok bool) {
	for i := 2; i < f.n; i++ {
		if isSize(f.text(row, i-1), device) {
			if d, ok = p.date(row, f, i); ok {
				return d, i, true
			}
		}
	}
	for i := 1; i < f.n; i++ {
		if d, ok = p.date(row, f, i); ok {
			return d, i, true
		}
	}
	return date{}, 0, false
}

// isSize tells the field before a date: digits, and for a device its minor number, or "1,3" or "0x1f".
func isSize(b []byte, device bool) bool {
	for i, c := range b {
		switch {
		case c >= '0' && c <= '9':
		case device && i > 0 && (c == ',' || c == 'x' || (c >= 'a' && c <= 'f')):
		default:
			return false
		}
	}
	return len(b) > 0
}

// unixMode reads "drwxr-sr-t" with the mark of an ACL (+), of SELinux (.) or of extended attributes (@) behind it. The
// number of links may be glued to it.
func unixMode(b []byte) (mode fs.FileMode, n int, ok bool) {
	if len(b) < 11 {
		return 0, 0, false
	}
	switch b[0] {
	case '-':
	case 'd':
		mode = fs.ModeDir
	case 'l':
		mode = fs.ModeSymlink
	case 'b':
		mode = fs.ModeDevice
	case 'c':
		mode = fs.ModeDevice | fs.ModeCharDevice
	case 'p':
		mode = fs.ModeNamedPipe
	case 's':
		mode = fs.ModeSocket
	case 'D', 'P', 'n', 'w', 'C', 'M': // doors, ports, network files, whiteouts, contiguous and migrated files
		mode = fs.ModeIrregular
	default:
		return 0, 0, false
	}
	n = 10
	perm, ok := unixPerm(b[1:10])
	if !ok {
		if n = sterlingFlags(b); n == 0 {
			return 0, 0, false
		}
	} else if c := b[n]; c == '+' || c == '.' || c == '@' || c == '*' {
		n++
	}
	if n == len(b) || (b[n] != ' ' && b[n] != '\t' && (b[n] < '0' || b[n] > '9')) {
		return 0, 0, false
	}
	return mode | perm, n, true
}

// goMode reads the form that Go's fs.FileMode prints and servers in Go, such as ftpserverlib, pass on: letters for the
// type and the special bits, then the permissions: "Lrwxrwxrwx", "dtrwxrwxrwx", "Dcrw-rw-rw-", "urwxr-xr-x".
func goMode(b []byte) (mode fs.FileMode, n int, ok bool) {
	for n < len(b) && b[n] != ' ' {
		n++
	}
	if n < 10 || n > 14 {
		return 0, 0, false
	}
	for _, c := range b[:n-9] {
		i := bytes.IndexByte([]byte("dalTLDpSugct?"), c)
		if i < 0 {
			return 0, 0, false
		}
		mode |= 1 << (31 - i)
	}
	for i, c := range b[n-9 : n] {
		switch c {
		case '-':
		case "rwx"[i%3]:
			mode |= 1 << (8 - i)
		default:
			return 0, 0, false
		}
	}
	return mode, n, true
}

func unixPerm(b []byte) (perm fs.FileMode, ok bool) {
	special := [3]fs.FileMode{fs.ModeSetuid, fs.ModeSetgid, fs.ModeSticky}
	for i, c := range b {
		bit := fs.FileMode(1) << (8 - i)
		switch {
		case c == '-':
		case c == "rwx"[i%3]:
			perm |= bit
		case i%3 == 2 && (c == 's' || (c == 't' && i == 8)):
			perm |= bit | special[i/3]
		case i%3 == 2 && (c == 'S' || (c == 'T' && i == 8)):
			perm |= special[i/3]
		case i == 5 && (c == 'l' || c == 'L'): // mandatory locking, which System V writes as setgid without x
			perm |= fs.ModeSetgid
		default:
			return 0, false
		}
	}
	return perm, true
}

// sterlingFlags is the length of what Connect:Enterprise writes for a mode, "-C--E-----FTP"; 0: it is not that.
func sterlingFlags(b []byte) int {
	n := 0
	for n < len(b) && b[n] != ' ' {
		if c := b[n]; c != '-' && (c < 'A' || c > 'Z') {
			return 0
		}
		n++
	}
	if n != 13 {
		return 0
	}
	return n
}

// netware reads `d [RWCEAFMS] owner size date name`, where the rights are no permission bits.
func (p *Parser) netware(row []byte) (Entry, verdict, error) {
	row = bytes.TrimLeft(row, " ")
	if len(row) == 0 || (row[0] != 'd' && row[0] != '-') {
		return Entry{}, unread, nil
	}
	start := 1
	for start < len(row) && row[start] == ' ' {
		start++
	}
	end := bytes.IndexByte(row, ']')
	if start >= len(row) || row[start] != '[' || end < start || len(bytes.Trim(row[start+1:end], "RWCEAFMSN-")) > 0 {
		return Entry{}, unread, nil
	}
	var mode fs.FileMode
	if row[0] == 'd' {
		mode = fs.ModeDir
	}
	var f fields
	f.splitFrom(row, end+1)
	d, at, ok := p.findDate(row, &f, false)
	if !ok {
		return Entry{}, unread, nil
	}
	e := Entry{Size: -1, Mode: mode, ModTime: d.time, Precise: d.precise}
	if n, ok := decimal(f.text(row, at-1)); ok {
		e.Size = n
	}
	// Hellsoft's server pads the name with blanks, and NetWare has no names that begin with one.
	return p.named(e, f.rest(row, at+d.fields))
}

// unixNumbers reads stat's fields as numbers: mode, owner, group, size, seconds since 1970, name.
func (p *Parser) unixNumbers(row []byte) (Entry, verdict, error) {
	var f fields
	if f.split(row) < 6 || len(f.text(row, 0)) < 6 || row[f.at[0].start] != '0' {
		return Entry{}, unread, nil
	}
	var n [5]int64
	for i := range n {
		var ok bool
		if n[i], ok = decimal(f.text(row, i)); !ok {
			return Entry{}, unread, nil
		}
	}
	mode := octal(f.text(row, 0))
	switch string(f.text(row, 0)[:len(f.text(row, 0))-4]) {
	case "010", "10":
	case "04", "004":
		mode |= fs.ModeDir
	case "012", "12":
		mode |= fs.ModeSymlink
	default:
		mode |= fs.ModeIrregular
	}
	if n[4] > maxUnix {
		return Entry{}, unread, nil
	}
	e := Entry{Size: n[3], Mode: mode, ModTime: time.Unix(n[4], 0).UTC(), Precise: time.Second}
	return p.named(e, f.rest(row, 5))
}

// maxUnix is the end of the year 9999 in seconds since 1970: beyond it a time has no RFC 3339 form.
const maxUnix = 253402300799
