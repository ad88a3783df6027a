package listing

import "bytes"

// dialects in the order in which they are tried: the unmistakable first.
var dialects = []dialect{
	(*Parser).eplf,
	(*Parser).unix,
	(*Parser).netware,
	(*Parser).unixNumbers,
	(*Parser).dos,
	(*Parser).os400,
	(*Parser).vms,
	(*Parser).mvs,
	(*Parser).zvm,
	(*Parser).nonstop,
	(*Parser).sizeFirst,
}

func (p *Parser) list(row []byte) (Entry, verdict, error) {
	if len(bytes.TrimLeft(row, " \t")) == 0 {
		return Entry{}, noise, nil
	}
	if p.dialect != nil {
		e, v, err := p.dialect(p, row)
		if v == unread && err == nil && p.isTotal(row) {
			v = noise
		}
		return e, v, err
	}
	if p.isTotal(row) {
		return Entry{}, noise, nil
	}
	for _, d := range dialects {
		if e, v, err := d(p, row); v != unread || err != nil {
			p.dialect = d
			return e, v, err
		}
	}
	return Entry{}, unread, nil
}

// isTotal tells the line that ls writes first, in the languages of its translations: "total 12".
func (p *Parser) isTotal(row []byte) bool {
	var f fields
	if n := f.split(row); n < 2 || n > 3 {
		return false
	}
	number := f.text(row, f.n-1)
	if number[0] < '0' || number[0] > '9' {
		return false
	}
	words := row[f.at[0].start:f.at[f.n-2].end]
	return total[string(bytes.ToLower(words))] || total[string(bytes.ToLower(p.word(words)))]
}

var total = map[string]bool{
	"total": true, "totaal": true, "totale": true, "totalt": true, "i alt": true, "insgesamt": true, "razem": true, "celkem": true,
	"итого": true, "всего": true, "toplam": true, "samtals": true, "yhteensä": true, "összesen": true, "合計": true, "总用量": true,
	"總計": true, "总计": true, "합계": true,
}

// A span is where a field lies in its row.
type span struct{ start, end int }

// maxFields bounds the fields that are looked at: what follows belongs to a name.
const maxFields = 20

// fields are the first words of a row, without an allocation.
type fields struct {
	n  int
	at [maxFields]span
}

// split finds the fields of row, and returns their number.
func (f *fields) split(row []byte) int { return f.splitFrom(row, 0) }

func (f *fields) splitFrom(row []byte, i int) int {
	f.n = 0
	for f.n < maxFields {
		for i < len(row) && (row[i] == ' ' || row[i] == '\t') {
			i++
		}
		if i == len(row) {
			break
		}
		start := i
		for i < len(row) && row[i] != ' ' && row[i] != '\t' {
			i++
		}
		f.at[f.n] = span{start, i}
		f.n++
	}
	return f.n
}

// text is field i, empty when there are not so many.
func (f *fields) text(row []byte, i int) []byte {
	if i < 0 || i >= f.n {
		return nil
	}
	return row[f.at[i].start:f.at[i].end]
}

// rest is the row from field i on, empty when there are not so many.
func (f *fields) rest(row []byte, i int) []byte {
	if i < 0 || i >= f.n {
		return nil
	}
	return row[f.at[i].start:]
}

// after is what follows field i and one blank; nil when the row ends there.
func (f *fields) after(row []byte, i int) []byte {
	if end := f.at[i].end; end+1 < len(row) {
		return row[end+1:]
	}
	return nil
}

// grouped reads a number with separators between groups of three digits: "9,730".
func grouped(b []byte) (n int64, ok bool) {
	if n, ok = decimal(b); ok {
		return n, true
	}
	var digits [32]byte
	k := 0
	for i, c := range b {
		switch {
		case c >= '0' && c <= '9' && k < len(digits):
			digits[k] = c
			k++
		case (c == ',' || c == '.' || c == '\'') && i > 0 && i < len(b)-1 && (len(b)-i)%4 == 0:
		default:
			return 0, false
		}
	}
	if k != len(b)-(len(b)-1)/4 {
		return 0, false
	}
	return decimal(digits[:k])
}
