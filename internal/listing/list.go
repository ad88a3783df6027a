package listing

import "bytes"

// dialects in the order in which they are tried: the unmistakable first.
var dialects = []dialect{
	(*Parser).unix,
}

func (p *Parser) list(row []byte) (Entry, verdict, error) {
	if len(bytes.TrimLeft(row, " \t")) == 0 {
		return Entry{}, noise, nil
	}
	if p.dialect != nil {
		return p.dialect(p, row)
	}
	for _, d := range dialects {
		if e, v, err := d(p, row); v != unread || err != nil {
			p.dialect = d
			return e, v, err
		}
	}
	return Entry{}, unread, nil
}

func (p *Parser) unix([]byte) (Entry, verdict, error) { return Entry{}, unread, nil }
