package listing

import (
	"bytes"
	"unicode/utf8"
)

// month is the number of a month's name, 0 if it is none: English, in other languages as their locales abbreviate it,
// and in East Asia a number with 月 behind it.
func month(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	if b[0] >= '0' && b[0] <= '9' {
		if n, suffix := leading(b, 2); n <= 12 && sign(suffix) {
			return n
		}
		return 0
	}
	if len(b) == 3 {
		if n := english(b[0]|0x20, b[1]|0x20, b[2]|0x20); n > 0 {
			return n
		}
	}
	if len(b) > 16 {
		return 0
	}
	name := bytes.TrimRight(b, ".,")
	if n, ok := months[string(bytes.ToLower(name))]; ok {
		return n
	}
	// Lowering what is not UTF-8 destroys it: of Latin-1 only the first, plain letter may be a capital.
	latin := append([]byte(nil), name...)
	if len(latin) > 0 && latin[0] < 0x80 {
		latin[0] |= 0x20
	}
	return months[string(latin)]
}

// month is month of b, or of what it is in the server's charset.
func (p *Parser) month(b []byte) int {
	n := month(b)
	if n == 0 && bytes.IndexFunc(b, func(r rune) bool { return r >= utf8.RuneSelf }) >= 0 {
		n = month(p.word(b))
	}
	return n
}

func english(a, b, c byte) int {
	switch string([]byte{a, b, c}) {
	case "jan":
		return 1
	case "feb":
		return 2
	case "mar":
		return 3
	case "apr":
		return 4
	case "may":
		return 5
	case "jun":
		return 6
	case "jul":
		return 7
	case "aug":
		return 8
	case "sep":
		return 9
	case "oct":
		return 10
	case "nov":
		return 11
	case "dec":
		return 12
	}
	return 0
}

// months of the languages whose names do not contradict each other, in UTF-8 and, where a server may write that, Latin-1.
// "jui" alone, which may be June or July, is the French VMS's July, as published parsers have it.
var months = byName([12]string{
	"january janv janvier janeiro jän jänner jaenner jan\xe4 j\xe4n januar ene enero gen gennaio ocak oca sty led янв января tammi jan",
	"february févr fév fevr fev f\xe9vr f\xe9v février februar febrero febbraio fevereiro febr feb lut úno фев февр февраля helmi şub",
	"march mars mär märz mrz maerz m\xe4r m\xe4rz marzo março mrt maart márc bře мар мрт марта maalis mar",
	"april avr avril avr abr abril aprile ápr kwi dub апр апреля huhti nis apr",
	"may mai maj mayo mag maggio maio mei máj kvě май мая touko",
	"june juin juni junio giu giugno junho jún cze čen июн июня kesä haz jun",
	"july juil juillet jui juli julio lug luglio julho júl lip čec июл июля heinä tem jul",
	"august aoû août aout ao\xfb ago agosto sie srp авг августа elo ağu aug",
	"september sept septembre septiembre set settembre setembro szept wrz zář сен сент сентября syys eyl sep",
	"october octobre okt oktober octubre ott ottobre out outubro paź říj окт октября loka eki oct",
	"november novembre noviembre novembro lis ноя нояб ноября marras kas nov",
	"december déc dec d\xe9c décembre dez dezember dic diciembre dicembre dezembro des gru pro дек декабря joulu ara",
})

func byName(names [12]string) map[string]int {
	m := make(map[string]int)
	for i, list := range names {
		for _, name := range bytes.Fields([]byte(list)) {
			m[string(name)] = i + 1
		}
	}
	return m
}
