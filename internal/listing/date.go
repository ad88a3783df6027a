package listing

import (
	"bytes"
	"time"
)

const day = 24 * time.Hour

// A date is what a row says of a time.
type date struct {
	time    time.Time
	precise time.Duration
	fields  int // how many it takes
	pad     int // blanks behind it besides the one before the name
}

// A civil is a date before it is placed in a zone. Year 0 is to be guessed.
type civil struct {
	year, month, day int
	hour, min, sec   int
	nano             int
	precise          time.Duration
	zone             *time.Location // nil: the listing's
}

// date reads the date that begins with field i, in any of the forms that ls and its like write.
func (p *Parser) date(row []byte, f *fields, i int) (date, bool) {
	a, b := f.text(row, i), f.text(row, i+1)
	if len(a) < 1 {
		return date{}, false
	}
	var c civil
	used := 0
	if a[0] < '0' || a[0] > '9' {
		if c.month = p.month(a); c.month == 0 {
			return date{}, false
		}
		c.day, used = dayOf(b), 2
	} else if bytes.ContainsAny(a, "-/.") && len(a) > 3 {
		return p.numericDate(row, f, i)
	} else if y := yearOf(a); y > 0 { // 2005年 1月 6日
		if len(b) == 0 || b[0] < '0' || b[0] > '9' {
			return date{}, false
		}
		c = civil{year: y, month: p.month(b), day: dayOf(f.text(row, i+2)), precise: day}
		if next := f.text(row, i+3); len(a) == 4 && (c.clock(next) || yearOf(next) > 0) {
			return date{}, false // a size that looks like a year, and then the date
		}
		return p.placed(c, 3, 0)
	} else if c.month = p.month(a); c.month > 0 { // 1月 6
		c.day, used = dayOf(b), 2
	} else if c.month = p.month(b); c.month > 0 { // 26. Juli
		c.day, used = dayOf(a), 2
	} else if n, ok := decimal(a); ok && n <= 12 { // 3 29 03:26
		c.month, c.day, used = int(n), dayOf(b), 2
	}
	if c.month == 0 || c.day == 0 {
		return date{}, false
	}
	// Then a time, or a year; BSD's ls -lT writes a time and a year, VShell "Oct 08, 2002 09:47".
	last := f.text(row, i+used)
	used++
	switch {
	case c.clock(last):
		if y := yearOf(f.text(row, i+used)); y > 0 && c.precise < time.Minute {
			c.year = y
			used++
		}
	case yearOf(last) > 0:
		c.year, c.precise = yearOf(last), day
		if b[len(b)-1] == ',' && c.clock(f.text(row, i+used)) {
			used++
		}
	default:
		return date{}, false
	}
	return p.placed(c, used, 0)
}

// numericDate reads 2005-06-07, 1999/10/12, 24-04-2003, 24.04.2003, 01-jun-99 and 09-26, with what follows them.
func (p *Parser) numericDate(row []byte, f *fields, i int) (date, bool) {
	next := f.text(row, i+1)
	c, parts, ok := splitDate(f.text(row, i), true)
	if !ok {
		return date{}, false
	}
	if parts == 2 {
		switch {
		case c.clock(next):
		case yearOf(next) > 0:
			c.year, c.precise = yearOf(next), day
		default:
			return date{}, false
		}
		return p.placed(c, 2, 0)
	}
	c.precise = day
	if !c.clock(next) {
		// GNU's --time-style=iso pads a date without a time by one blank, others to the width of a time.
		pad := 1
		if f.text(row, i)[4] == '.' {
			pad = 5
		}
		return p.placed(c, 1, pad)
	}
	if zone, ok := offset(f.text(row, i+2)); ok && c.precise < time.Minute {
		c.zone = zone
		return p.placed(c, 3, 0)
	}
	return p.placed(c, 2, 0)
}

// splitDate reads a date of two or three parts. dayFirst settles 04-05-2003; dots always
// have the day first and slashes the month, if the numbers allow it.
func splitDate(b []byte, dayFirst bool) (c civil, parts int, ok bool) {
	i := bytes.IndexAny(b, "-/.")
	if i < 1 {
		return c, 0, false
	}
	sep := b[i]
	first, rest := b[:i], b[i+1:]
	second, third, three := bytes.Cut(rest, []byte{sep})
	n1, ok1 := decimal(first)
	if !ok1 {
		return c, 0, false
	}
	n2, ok2 := decimal(second)
	if !three {
		if sep != '-' || !ok2 || len(first) != 2 || len(second) != 2 {
			return c, 0, false
		}
		return civil{month: int(n1), day: int(n2)}, 2, true
	}
	n3, ok3 := decimal(bytes.TrimSuffix(third, []byte(".")))
	switch {
	case !ok3 || len(third) < 2 || len(third) > 5 || n3 > 9999:
		return c, 0, false
	case !ok2: // 01-jun-99
		c = civil{year: century(n3, len(third)), month: month(second), day: int(n1)}
	case len(first) == 4:
		c = civil{year: int(n1), month: int(n2), day: int(n3)}
	case len(first) > 2 || len(second) > 2:
		return c, 0, false
	case (dayFirst && sep == '-' && n2 <= 12) || n1 > 12 || sep == '.':
		c = civil{year: century(n3, len(third)), month: int(n2), day: int(n1)}
	default:
		c = civil{year: century(n3, len(third)), month: int(n1), day: int(n2)}
	}
	return c, 3, c.month > 0 && c.year > 0
}

// century completes a year of two digits, and OS/2's years since 1900.
func century(n int64, digits int) int {
	switch {
	case digits >= 4:
		return int(n)
	case n >= 70:
		return 1900 + int(n)
	}
	return 2000 + int(n)
}

// clock reads 03:26, 24:00, 10:20:03, 10:30:13.64, and with AM or PM behind it 12:09PM.
func (c *civil) clock(b []byte) bool {
	if len(b) < 4 || len(b) > 18 {
		return false
	}
	var half byte
	if n := len(b); (b[n-1] == 'M' || b[n-1] == 'm') && n > 6 {
		half = b[n-2] &^ 0x20
		b = b[:n-2]
		if half != 'A' && half != 'P' {
			return false
		}
	}
	hour, rest, ok := bytes.Cut(b, []byte(":"))
	if !ok || len(hour) > 2 {
		return false
	}
	minute, second, seconds := bytes.Cut(rest, []byte(":"))
	h, ok1 := decimal(hour)
	m, ok2 := decimal(minute)
	if !ok1 || !ok2 || len(minute) != 2 || m > 59 || h > 24 || (h == 24 && m > 0) {
		return false
	}
	if half != 0 {
		if h < 1 || h > 12 {
			return false
		}
		h %= 12
		if half == 'P' {
			h += 12
		}
	}
	precise := time.Minute
	var s, nano int64
	if seconds {
		whole, fraction, _ := bytes.Cut(second, []byte("."))
		if s, ok = decimal(whole); !ok || s > 60 || len(whole) != 2 || len(fraction) > 9 {
			return false
		}
		precise = time.Second
		if len(fraction) > 0 {
			if nano, ok = decimal(fraction); !ok {
				return false
			}
			for range len(fraction) {
				precise /= 10
			}
			nano *= int64(precise)
		}
	}
	c.hour, c.min, c.sec, c.nano, c.precise = int(h), int(m), int(s), int(nano), precise
	return true
}

// offset reads +0200.
func offset(b []byte) (*time.Location, bool) {
	if len(b) != 5 || (b[0] != '+' && b[0] != '-') {
		return nil, false
	}
	n, ok := decimal(b[1:])
	if !ok {
		return nil, false
	}
	seconds := int(n/100*60+n%100) * 60
	if b[0] == '-' {
		seconds = -seconds
	}
	return time.FixedZone("", seconds), true
}

// dayOf reads 6, "08,", "26." and 18日; 0: it is no day.
func dayOf(b []byte) int {
	n, suffix := leading(b, 2)
	mark := len(suffix) == 1 && (suffix[0] == ',' || suffix[0] == '.')
	plain := len(suffix) == 0 || mark || sign(suffix)
	if n < 1 || n > 31 || !plain {
		return 0
	}
	return n
}

// yearOf reads 2003 and 2003年; 0: it is no year.
func yearOf(b []byte) int {
	n, suffix := leading(b, 4)
	if n < 1000 || (len(suffix) > 0 && !sign(suffix)) {
		return 0
	}
	return n
}

// leading reads up to most digits at the start of b.
func leading(b []byte, most int) (n int, suffix []byte) {
	i := 0
	for i < len(b) && i < most && b[i] >= '0' && b[i] <= '9' {
		n = n*10 + int(b[i]-'0')
		i++
	}
	if i == 0 {
		return -1, b
	}
	return n, b[i:]
}

// sign tells one character outside ASCII, in whatever charset: the 年, 月 and 日 of an East Asian date.
func sign(b []byte) bool { return len(b) > 0 && len(b) <= 3 && b[0] >= 0x80 }

// placed puts c into its zone. A date without a year is the latest that is not more than a day in the future: the
// clocks and zones of two machines differ, and ls writes no year for what is newer than six months.
func (p *Parser) placed(c civil, used, pad int) (date, bool) {
	zone := c.zone
	if zone == nil {
		zone = p.zone
	}
	if c.month < 1 || c.month > 12 || c.day < 1 || c.day > 31 {
		return date{}, false
	}
	at := func(year int) (time.Time, bool) {
		if first := time.Date(year, time.Month(c.month), c.day, 0, 0, 0, 0, time.UTC); first.Day() != c.day {
			return time.Time{}, false // 29 February of another year, or no date at all
		}
		return time.Date(year, time.Month(c.month), c.day, c.hour, c.min, c.sec, c.nano, zone), true
	}
	if c.year > 0 {
		t, ok := at(c.year)
		return date{time: t.UTC(), precise: c.precise, fields: used, pad: pad}, ok
	}
	if p.now.IsZero() {
		p.now = p.clock()
	}
	for year := p.now.Year() + 1; year > p.now.Year()-8; year-- {
		if t, ok := at(year); ok && !t.After(p.now.Add(day)) {
			return date{time: t.UTC(), precise: c.precise, fields: used, pad: pad}, true
		}
	}
	return date{}, false
}
