package listing

import (
	"bytes"
	"io/fs"
)

// vms reads OpenVMS: `NAME.EXT;version`, then in any order blocks, date, time, owner and protection, all on one row, or
// the name alone and the rest on the next one. A file keeps its version, which tells it from its older versions, and a
// directory loses ".DIR;1", as CWD takes it without.
//
// VMS counts blocks of 512 bytes, not bytes, so the size is unknown.
func (p *Parser) vms(row []byte) (Entry, verdict, error) {
	var f fields
	f.split(row)
	first := f.text(row, 0)
	named := vmsName(first)
	if p.pending != nil {
		return p.vmsContinued(row, &f, named)
	}
	if !named {
		return Entry{}, vmsNoise(row), nil
	}
	if f.n == 1 {
		p.pending = append([]byte(nil), first...)
		return Entry{}, noise, nil
	}
	return p.vmsDetails(row, &f, 1, first)
}

func (p *Parser) vmsContinued(row []byte, f *fields, named bool) (Entry, verdict, error) {
	name := p.pending
	p.pending = nil
	lone := &RowError{Row: string(name), Err: errPending}
	switch {
	case named && f.n == 1:
		p.pending = append([]byte(nil), f.text(row, 0)...)
		return Entry{}, unread, lone
	case !named:
		if e, v, err := p.vmsDetails(row, f, 0, name); v == entry || err != nil {
			return e, v, err
		}
	}
	lone.Row += "\n" + string(row)
	return Entry{}, unread, lone
}

// vmsDetails reads the fields from i on. Where the server may not read them it writes a message in their place, and the
// name is all that is known.
func (p *Parser) vmsDetails(row []byte, f *fields, i int, name []byte) (Entry, verdict, error) {
	e := Entry{Size: -1}
	if n := bytes.LastIndexByte(name, ';'); n > 4 && fold(name[n-4:n], ".dir") {
		e.Mode, name = fs.ModeDir, name[:n-4]
	}
	rest := f.rest(row, i)
	if rest[0] == '%' || bytes.Contains(rest, []byte("privilege")) {
		return p.named(e, name)
	}
	for ; i < f.n; i++ {
		c, parts, ok := splitDate(f.text(row, i), true)
		if !ok || parts != 3 {
			continue
		}
		c.precise = day
		c.clock(f.text(row, i+1))
		d, ok := p.placed(c, 1, 0)
		if !ok {
			return Entry{}, unread, nil
		}
		e.ModTime, e.Precise = d.time, d.precise
		return p.named(e, name)
	}
	return Entry{}, unread, nil
}

// vmsName tells NAME.EXT;12.
func vmsName(b []byte) bool {
	i := bytes.LastIndexByte(b, ';')
	if i < 1 {
		return false
	}
	_, ok := decimal(b[i+1:])
	return ok
}

// vmsNoise tells "Directory DISK:[USER]", "Total of 3 files, 13/18 blocks." and the message of an empty directory.
func vmsNoise(row []byte) verdict {
	row = bytes.TrimLeft(row, " ")
	for _, start := range []string{"Total of ", "Grand total of ", "%DIRECT-W-NOFILES"} {
		if bytes.HasPrefix(row, []byte(start)) {
			return noise
		}
	}
	if where, ok := bytes.CutPrefix(row, []byte("Directory ")); ok && bytes.ContainsAny(where, "[:") {
		return noise
	}
	return unread
}
