package listing

import (
	"bytes"
	"io/fs"
)

// dos reads IIS and the dir of Windows: date, time, size or a tag such as <DIR>, name.
func (p *Parser) dos(row []byte) (Entry, verdict, error) {
	var f fields
	if f.split(row) < 3 {
		return Entry{}, unread, nil
	}
	a := f.text(row, 0)
	if len(a) < 6 || a[0] < '0' || a[0] > '9' {
		return Entry{}, unread, nil
	}
	c, parts, ok := splitDate(a, false)
	if !ok || parts != 3 {
		return Entry{}, unread, nil
	}
	i := 2
	b := f.text(row, 1)
	if half := f.text(row, 2); fold(half, "am") || fold(half, "pm") { // dir writes "05:36 PM"
		var joined [16]byte
		b = append(append(joined[:0], b...), half...)
		i = 3
	}
	if !c.clock(b) {
		return Entry{}, unread, nil
	}
	d, ok := p.placed(c, i, 0)
	if !ok || f.n <= i {
		return Entry{}, unread, nil
	}
	e := Entry{Size: -1, ModTime: d.time, Precise: d.precise}
	field := f.text(row, i)
	if field[0] == '<' {
		return p.dosTag(e, field, row[f.at[i].end:])
	}
	size, ok := grouped(field)
	if !ok {
		return Entry{}, unread, nil
	}
	e.Size = size
	return p.named(e, f.after(row, i))
}

// tagWidth is the column of the name, counted from the tag: behind <DIR> stand ten blanks.
const tagWidth = 15

func (p *Parser) dosTag(e Entry, tag, rest []byte) (Entry, verdict, error) {
	link := false
	switch {
	case fold(tag, "<dir>"):
		e.Mode = fs.ModeDir
	case fold(tag, "<junction>"), fold(tag, "<symlink>"), fold(tag, "<symlinkd>"):
		link = true
	default:
		e.Mode = fs.ModeIrregular
	}
	name := bytes.TrimLeft(rest, " ")
	if n := tagWidth - len(tag); n > 0 && len(rest)-len(name) > n {
		name = rest[n:] // the blanks beyond are the name's own
	}
	if !link {
		return p.named(e, name)
	}
	var err error
	if i := bytes.LastIndex(name, []byte(" [")); i > 0 && name[len(name)-1] == ']' {
		if target := name[i+2 : len(name)-1]; len(target) > 0 {
			if e.Target, err = p.name(target); err != nil {
				return e, entry, err
			}
		}
		name = name[:i]
	}
	e.Mode = fs.ModeSymlink
	e.Name, err = p.name(name)
	return e, entry, err
}

// sizeFirst reads three servers that begin with the size: OS/2 (`36611  A  04-23-103  10:57  name`, with DIR before
// the attributes), VShell (`206876  Apr 04, 2000 21:06 name`, directories with a slash behind them) and VxWorks
// (`2048  Feb-28-1998  05:23:30  name  <DIR>`).
func (p *Parser) sizeFirst(row []byte) (Entry, verdict, error) {
	var f fields
	if f.split(row) < 4 {
		return Entry{}, unread, nil
	}
	if fold(f.text(row, 0), "size") && fold(f.text(row, 1), "date") || len(bytes.Trim(row, "- ")) == 0 {
		return Entry{}, noise, nil
	}
	size, ok := decimal(f.text(row, 0))
	if !ok {
		return Entry{}, unread, nil
	}
	e := Entry{Size: size}
	if c, ok := vxworksDate(f.text(row, 1)); ok && c.clock(f.text(row, 2)) {
		d, ok := p.placed(c, 3, 0)
		if !ok {
			return Entry{}, unread, nil
		}
		name, isDir := bytes.CutSuffix(bytes.TrimRight(f.rest(row, 3), " "), []byte("<DIR>"))
		if isDir {
			e.Mode, name = fs.ModeDir, bytes.TrimRight(name, " ")
		}
		e.ModTime, e.Precise = d.time, d.precise
		return p.named(e, name)
	}
	i := 1
	for i < f.n && i < 3 && len(bytes.Trim(f.text(row, i), "DIRAHS")) == 0 {
		if fold(f.text(row, i), "dir") {
			e.Mode = fs.ModeDir
		}
		i++
	}
	if c, parts, ok := splitDate(f.text(row, i), false); ok && parts == 3 && c.clock(f.text(row, i+1)) {
		d, ok := p.placed(c, 2, 0)
		if !ok {
			return Entry{}, unread, nil
		}
		e.ModTime, e.Precise = d.time, d.precise
		return p.named(e, f.rest(row, i+2))
	}
	d, ok := p.date(row, &f, 1)
	if !ok || d.fields != 4 {
		return Entry{}, unread, nil
	}
	e.ModTime, e.Precise = d.time, d.precise
	name, isDir := bytes.CutSuffix(f.after(row, 4), []byte("/"))
	if isDir {
		e.Mode = fs.ModeDir
	}
	return p.named(e, name)
}

// vxworksDate reads Feb-28-1998.
func vxworksDate(b []byte) (c civil, ok bool) {
	name, rest, _ := bytes.Cut(b, []byte("-"))
	d, y, _ := bytes.Cut(rest, []byte("-"))
	if len(name) == 0 || (name[0] >= '0' && name[0] <= '9') {
		return c, false
	}
	c = civil{year: yearOf(y), month: month(name), day: dayOf(d)}
	return c, c.year > 0 && c.month > 0 && c.day > 0
}
