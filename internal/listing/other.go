package listing

import (
	"bytes"
	"io/fs"
	"time"
)

// eplf reads the Easily Parsed LIST Format of cr.yp.to: "+", facts with commas between them, a tab, the name.
func (p *Parser) eplf(row []byte) (Entry, verdict, error) {
	facts, name, ok := bytes.Cut(row, []byte("\t"))
	if !ok || len(facts) == 0 || facts[0] != '+' {
		return Entry{}, unread, nil
	}
	e := Entry{Size: -1, Mode: fs.ModeIrregular}
	var perm fs.FileMode
	for _, fact := range bytes.Split(facts[1:], []byte(",")) {
		if len(fact) == 0 {
			continue
		}
		value := fact[1:]
		switch fact[0] {
		case '/':
			e.Mode = fs.ModeDir
		case 'r':
			if e.Mode != fs.ModeDir {
				e.Mode = 0
			}
		case 's':
			if err := sizeFact(&e, value); err != nil {
				return e, entry, err
			}
		case 'm':
			if n, ok := decimal(value); ok && n <= maxUnix {
				e.ModTime, e.Precise = time.Unix(n, 0).UTC(), time.Second
			}
		case 'i':
			e.Unique = string(value)
		case 'u':
			if len(value) > 0 && value[0] == 'p' {
				perm = octal(value[1:])
			}
		}
	}
	e.Mode |= perm
	return p.named(e, name)
}

// os400 reads IBM i: owner, size, date, time, *TYPE, name. Members have neither size nor date.
func (p *Parser) os400(row []byte) (Entry, verdict, error) {
	var f fields
	if f.split(row) < 3 {
		return Entry{}, unread, nil
	}
	i := 4
	if f.text(row, 1)[0] == '*' {
		i = 1
	}
	kind := f.text(row, i)
	if len(kind) < 3 || kind[0] != '*' || kind[1] < 'A' || kind[1] > 'Z' {
		return Entry{}, unread, nil
	}
	e := Entry{Size: -1}
	if i == 4 {
		size, ok := decimal(f.text(row, 1))
		if !ok {
			return Entry{}, unread, nil
		}
		e.Size = size
		c, parts, ok := splitDate(f.text(row, 2), false)
		if ok && parts == 3 && c.clock(f.text(row, 3)) {
			if d, ok := p.placed(c, 2, 0); ok {
				e.ModTime, e.Precise = d.time, d.precise
			}
		} else if zeros := f.text(row, 2); len(bytes.Trim(zeros, "0/.-")) > 0 { // 00/00/00 is no date
			return Entry{}, unread, nil
		}
	}
	name, slash := bytes.CutSuffix(bytes.TrimRight(f.rest(row, i+1), " "), []byte("/"))
	switch string(kind) {
	case "*DIR", "*DDIR", "*LIB", "*FLR":
		e.Mode = fs.ModeDir
	case "*SYMLNK":
		e.Mode = fs.ModeSymlink
	case "*STMF", "*DSTMF", "*DOC":
	default:
		e.Size = -1 // what a database object occupies, not what it transfers as
	}
	if slash {
		e.Mode = fs.ModeDir
	}
	return p.named(e, name)
}

// zvm reads z/VM: name, type, F or V, record length, records, blocks, date, time, disk. The file is "name.type".
func (p *Parser) zvm(row []byte) (Entry, verdict, error) {
	var f fields
	if f.split(row) < 8 || f.n > 9 {
		return Entry{}, unread, nil
	}
	if form := string(f.text(row, 2)); form != "F" && form != "V" {
		return Entry{}, unread, nil
	}
	c, parts, ok := splitDate(f.text(row, 6), false)
	if !ok || parts != 3 || !c.clock(f.text(row, 7)) {
		return Entry{}, unread, nil
	}
	d, ok := p.placed(c, 2, 0)
	if !ok {
		return Entry{}, unread, nil
	}
	e := Entry{Size: -1, ModTime: d.time, Precise: d.precise} // records, not bytes
	return p.named(e, bytes.Join([][]byte{f.text(row, 0), f.text(row, 1)}, []byte(".")))
}

// nonstop reads HP NonStop: name, code, end of file, 6-Apr-07, time, owner, "rwep".
func (p *Parser) nonstop(row []byte) (Entry, verdict, error) {
	var f fields
	if f.split(row) < 5 {
		return Entry{}, unread, nil
	}
	if string(f.text(row, 0)) == "File" && string(f.text(row, 1)) == "Code" {
		return Entry{}, noise, nil
	}
	last := f.text(row, f.n-1)
	if f.n < 7 || len(last) != 6 || last[0] != '"' || last[5] != '"' {
		return Entry{}, unread, nil
	}
	size, ok := decimal(f.text(row, 2))
	c, parts, ok2 := splitDate(f.text(row, 3), true)
	if !ok || !ok2 || parts != 3 || !c.clock(f.text(row, 4)) {
		return Entry{}, unread, nil
	}
	d, ok := p.placed(c, 2, 0)
	if !ok {
		return Entry{}, unread, nil
	}
	return p.named(Entry{Size: size, ModTime: d.time, Precise: d.precise}, f.text(row, 0))
}
