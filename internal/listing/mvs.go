package listing

import (
	"bytes"
	"io/fs"
)

// mvs reads z/OS: data sets, or, below another header, the members of one.
//
// A data set's date is that of the last reference, which reading it changes, and its size counts tracks, or a member's
// its records: both stay unknown.
func (p *Parser) mvs(row []byte) (Entry, verdict, error) {
	var f fields
	f.split(row)
	if mvsHeader(row, &f) {
		p.header = true
		p.members = fold(f.text(row, 0), "name")
		return Entry{}, noise, nil
	}
	if !p.header {
		// Some servers leave the header out; then only a row that cannot be anything else will do.
		switch {
		case mvsMember(row, &f):
			p.members = true
		case !mvsDataSet(row, &f):
			return Entry{}, unread, nil
		}
		p.header = true
	}
	if p.members {
		return p.mvsMemberRow(row, &f)
	}
	return p.mvsDataSetRow(row, &f)
}

func mvsHeader(row []byte, f *fields) bool {
	first, second := f.text(row, 0), string(f.text(row, 1))
	return (fold(first, "volume") && second == "Unit") || (fold(first, "name") && (second == "VV.MM" || (second == "Size" && string(f.text(row, 2)) == "TTR")))
}

// mvsDataSet tells `VOLUME 3390 2003/05/21 …` and its like.
func mvsDataSet(row []byte, f *fields) bool {
	third := f.text(row, 2)
	switch {
	case f.n == 2:
		return string(f.text(row, 0)) == "Migrated"
	case f.n == 3:
		return bytes.HasPrefix(bytes.TrimLeft(row, " "), []byte("Pseudo Directory "))
	case f.n == 4:
		return string(third) == "VSAM"
	case f.n < 8 || f.n > 10:
		return false
	}
	_, ok := slashDate(third)
	return ok || string(third) == "**NONE**"
}

// mvsMember tells `NAME 01.01 2004/06/22 2004/06/22 16:32 …`.
func mvsMember(row []byte, f *fields) bool {
	version := f.text(row, 1)
	_, ok := slashDate(f.text(row, 2))
	return ok && len(version) == 5 && version[2] == '.'
}

func slashDate(b []byte) (civil, bool) {
	if len(b) != 10 || b[4] != '/' {
		return civil{}, false
	}
	c, parts, ok := splitDate(b, false)
	return c, ok && parts == 3
}

func (p *Parser) mvsDataSetRow(row []byte, f *fields) (Entry, verdict, error) {
	if f.n < 2 || f.n > 10 {
		return Entry{}, unread, nil
	}
	e := Entry{Size: -1}
	organization := string(f.text(row, f.n-2))
	switch {
	case organization == "PO" || organization == "PO-E":
		e.Mode = fs.ModeDir // a partitioned data set: CWD goes into it
	case string(f.text(row, 0)) == "Pseudo" && organization == "Directory":
		e.Mode = fs.ModeDir
	case f.n > 4 && !mvsDataSet(row, f), string(f.text(row, 0)) == "Error":
		e.Mode = fs.ModeIrregular
	}
	return p.named(e, f.text(row, f.n-1))
}

// mvsMemberRow reads a member. One without statistics is a name and nothing else, and a load module has other columns.
func (p *Parser) mvsMemberRow(row []byte, f *fields) (Entry, verdict, error) {
	name := f.text(row, 0)
	if len(name) > 8 && f.n == 1 {
		return Entry{}, unread, nil // a member's name has at most eight characters: this is some message
	}
	e := Entry{Size: -1}
	if mvsMember(row, f) {
		if c, ok := slashDate(f.text(row, 3)); ok {
			c.precise = day
			c.clock(f.text(row, 4))
			if d, ok := p.placed(c, 2, 0); ok {
				e.ModTime, e.Precise = d.time, d.precise
			}
		}
		return p.named(e, name)
	}
	if f.n > 1 && !hexadecimal(f.text(row, 1)) {
		return Entry{}, unread, nil
	}
	return p.named(e, name)
}

func hexadecimal(b []byte) bool {
	for _, c := range b {
		if (c < '0' || c > '9') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return len(b) == 6 || len(b) == 8
}
