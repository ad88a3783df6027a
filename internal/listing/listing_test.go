package listing_test

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"

	"github.com/corexalgo/ftpclient/internal/listing"
)

func one(t *testing.T, f listing.Format, o listing.Options, row string) listing.Entry {
	t.Helper()
	e, ok, err := listing.NewParser(f, o).Row([]byte(row))
	require.NoError(t, err)
	require.True(t, ok, "noise: %s", row)
	return e
}

func TestTheYearIsTheLatestThatIsNotMoreThanADayAhead(t *testing.T) {
	tokyo, err := time.LoadLocation("Asia/Tokyo")
	require.NoError(t, err)
	for _, c := range []struct {
		now, row, want string
		zone           *time.Location
	}{
		{"2024-12-31T23:30:00Z", "Jan  1 00:10", "2025-01-01T00:10:00Z", nil}, // the server's clock is ahead
		{"2025-01-01T00:10:00Z", "Dec 31 23:59", "2024-12-31T23:59:00Z", nil},
		{"2025-01-01T00:10:00Z", "Jan  2 00:10", "2025-01-02T00:10:00Z", nil},
		{"2025-01-01T00:10:00Z", "Jan  2 00:11", "2024-01-02T00:11:00Z", nil},
		{"2025-06-15T00:00:00Z", "Feb 29 10:00", "2024-02-29T10:00:00Z", nil},
		{"2023-02-28T12:00:00Z", "Feb 29 10:00", "2020-02-29T10:00:00Z", nil},
		{"1903-06-15T00:00:00Z", "Feb 29 10:00", "1896-02-29T10:00:00Z", nil}, // 1900 had none
		{"2024-12-31T20:00:00Z", "Jan  1 04:00", "2024-12-31T19:00:00Z", tokyo},
		{"2024-12-31T14:00:00Z", "Dec 31 23:00", "2024-12-31T14:00:00Z", tokyo},
	} {
		now, err := time.Parse(time.RFC3339, c.now)
		require.NoError(t, err)
		o := listing.Options{Zone: c.zone, Now: func() time.Time { return now }}
		e := one(t, listing.LIST, o, "-rw-r--r-- 1 u g 1 "+c.row+" name")
		assert.Equal(t, c.want, e.ModTime.Format(time.RFC3339), "%s, now %s", c.row, c.now)
		assert.Equal(t, time.Minute, e.Precise)
		assert.Equal(t, time.UTC, e.ModTime.Location())
	}
}

func TestTheZoneIsForListAndNeverForFacts(t *testing.T) {
	zone := time.FixedZone("", 8*3600)
	e := one(t, listing.LIST, listing.Options{Zone: zone, Now: now}, "04-06-00  03:47PM                  589 a")
	assert.Equal(t, "2000-04-06T07:47:00Z", e.ModTime.Format(time.RFC3339))
	e = one(t, listing.MLSD, listing.Options{Zone: zone}, "type=file;modify=20000406154700; a")
	assert.Equal(t, "2000-04-06T15:47:00Z", e.ModTime.Format(time.RFC3339))
	e = one(t, listing.LIST, listing.Options{Zone: zone}, "+m824255902,/,\tdev")
	assert.Equal(t, int64(824255902), e.ModTime.Unix())
}

func TestNamesAreDecodedFromTheCharset(t *testing.T) {
	decode := func(raw []byte) (string, error) {
		s, err := simplifiedchinese.GBK.NewDecoder().Bytes(raw)
		if err == nil && strings.ContainsRune(string(s), '\uFFFD') {
			err = errors.New("not GBK")
		}
		return string(s), err
	}
	o := listing.Options{Decode: decode, Now: now}
	assert.Equal(t, "中文.txt", one(t, listing.MLSD, o, "type=file; \xd6\xd0\xce\xc4.txt").Name)
	e := one(t, listing.LIST, o, "lrwxrwxrwx 1 u g 4 Jan  1 00:00 \xd6\xd0 -> \xce\xc4")
	assert.Equal(t, "中", e.Name)
	assert.Equal(t, "文", e.Target)

	for _, row := range []string{"-rw-r--r-- 1 u g 4 Jan  1 00:00 \xff", "lrwxrwxrwx 1 u g 4 Jan  1 00:00 a -> \xff"} {
		_, ok, err := listing.NewParser(listing.LIST, o).Row([]byte(row))
		var bad *listing.RowError
		require.ErrorAs(t, err, &bad)
		assert.False(t, ok)
		assert.Equal(t, row, bad.Row)
	}
}

func TestTheWordsOfARowAreInTheCharsetToo(t *testing.T) {
	const row = "-rw-r--r-- 1 u g 4 "
	for _, c := range []struct {
		charset     encoding.Encoding
		total, date string
	}{
		{simplifiedchinese.GBK, "总用量 12", "1月 18  2020"},
		{simplifiedchinese.GB18030, "总计 12", "2020年 1月 18日"},
		{traditionalchinese.Big5, "總計 12", "1月 18  2020"},
		{japanese.ShiftJIS, "合計 12", "1月 18  2020"},
		{japanese.EUCJP, "合計 12", "1月 18  2020"},
		{korean.EUCKR, "합계 12", "1월 18  2020"},
		{charmap.Windows1251, "итого 12", "янв 18  2020"},
		{charmap.KOI8R, "Итого 12", "Янв 18  2020"},
		{charmap.ISO8859_1, "insgesamt 12", "JÄN 18  2020"},
		{charmap.ISO8859_9, "toplam 12", "Ocak 18  2020"},
		{encoding.Nop, "总用量 12", "янв 18  2020"},
	} {
		o := listing.Options{Now: now}
		if c.charset != encoding.Nop {
			o.Decode = func(raw []byte) (string, error) { return c.charset.NewDecoder().String(string(raw)) }
		}
		p := listing.NewParser(listing.LIST, o)
		for i, text := range []string{c.total, row + c.date + " a", c.total, row + c.date + " b"} {
			raw, err := c.charset.NewEncoder().Bytes([]byte(text))
			require.NoError(t, err)
			e, ok, err := p.Row(raw)
			require.NoError(t, err, text)
			if assert.Equal(t, i%2 == 1, ok, text); ok {
				assert.Equal(t, "2020-01-18", e.ModTime.Format(time.DateOnly), text)
			}
		}
	}
}

func TestADecoderCannotMakeAnEmptyNameOrANUL(t *testing.T) {
	for _, s := range []string{"", "a\x00b"} {
		o := listing.Options{Decode: func([]byte) (string, error) { return s, nil }}
		_, _, err := listing.NewParser(listing.MLSD, o).Row([]byte("type=file; a"))
		require.Error(t, err)
	}
}

func TestAParserKeepsToTheDialectThatMatchedFirst(t *testing.T) {
	p := listing.NewParser(listing.LIST, listing.Options{Now: now})
	_, ok, err := p.Row([]byte("-rw-r--r-- 1 u g 4 Jan  1 00:00 a"))
	require.NoError(t, err)
	require.True(t, ok)
	_, ok, err = p.Row([]byte("04-06-00  03:47PM                  589 b"))
	require.Error(t, err, "the second half of a name with a line feed must not become an entry")
	require.False(t, ok)
	e, ok, err := p.Row([]byte("-rw-r--r-- 1 u g 4 Jan  1 00:00 c"))
	require.NoError(t, err)
	require.True(t, ok)
	assert.Equal(t, "c", e.Name, "the rest of the listing still arrives")
}

func TestARowThatIsCutOffAtTheEndIsAnError(t *testing.T) {
	p := listing.NewParser(listing.LIST, listing.Options{Now: now})
	_, ok, err := p.Row([]byte("LONG_NAME.TXT;1"))
	require.NoError(t, err)
	require.False(t, ok)
	var bad *listing.RowError
	require.ErrorAs(t, p.End(), &bad)
	assert.Equal(t, "LONG_NAME.TXT;1", bad.Row)
	require.NoError(t, p.End(), "it is told once")
}

func TestAnErrorShowsAHostileRowQuotedAndCapped(t *testing.T) {
	row := "\x1b[2J" + strings.Repeat("x", 10_000)
	_, _, err := listing.NewParser(listing.LIST, listing.Options{}).Row([]byte(row))
	require.Error(t, err)
	assert.Less(t, len(err.Error()), 1000)
	assert.NotContains(t, err.Error(), "\x1b")
	var bad *listing.RowError
	require.ErrorAs(t, err, &bad)
	assert.Equal(t, row, bad.Row, "the row itself is whole")
}

func TestNoRowIsKept(t *testing.T) {
	for f, row := range map[listing.Format]string{
		listing.MLSD: "type=OS.unix=slink:/t;unique=u;perm=r; name",
		listing.LIST: "lrwxrwxrwx 1 u g 4 Jan  1 00:00 name -> /t",
	} {
		buf := []byte(row)
		e, ok, err := listing.NewParser(f, listing.Options{Now: now}).Row(buf)
		require.NoError(t, err)
		require.True(t, ok)
		clear(buf)
		assert.Equal(t, "name", e.Name)
		assert.Equal(t, "/t", e.Target)
	}
}

func TestFactReadsOneLineOfMLST(t *testing.T) {
	e, err := listing.Fact([]byte(" type=dir;modify=20240301090000;unique=u1;unix.mode=0750; /pub/a;b"), listing.Options{})
	require.NoError(t, err)
	assert.Equal(t, listing.Entry{
		Name: "/pub/a;b", Size: -1, Unique: "u1", Mode: fs.ModeDir | 0o750,
		ModTime: time.Date(2024, 3, 1, 9, 0, 0, 0, time.UTC), Precise: time.Second,
	}, e)

	e, err = listing.Fact([]byte("Type=cdir; /"), listing.Options{})
	require.NoError(t, err, "asked for by name, the directory itself is no noise")
	assert.True(t, e.Mode.IsDir())

	for _, line := range []string{"", " ", "/pub", "type=file;", "type=file; ", "type=file; a\x00", "type=file; \xff"} {
		_, err = listing.Fact([]byte(line), listing.Options{})
		var bad *listing.RowError
		require.ErrorAs(t, err, &bad, "%q", line)
	}
}

func TestASizeIsUnknownOnlyWhereItIsNotTold(t *testing.T) {
	for size, want := range map[string]int64{"0": 0, "010": 10, "9223372036854775807": 1<<63 - 1, "": -1, "-1": -1} {
		assert.Equal(t, want, one(t, listing.MLSD, listing.Options{}, "type=file;size="+size+"; a").Size, "%q", size)
	}
	for _, size := range []string{"0x1", "+1", "1e3", "1.5", "9223372036854775808", "-2", "one"} {
		_, _, err := listing.NewParser(listing.MLSD, listing.Options{}).Row([]byte("type=file;size=" + size + "; a"))
		require.Error(t, err, size)
	}
}

// check is what must hold of every row, whatever it is.
func check(t *testing.T, e listing.Entry, ok bool, err error) {
	t.Helper()
	var bad *listing.RowError
	switch {
	case err != nil:
		require.ErrorAs(t, err, &bad)
		require.False(t, ok)
		require.NotEmpty(t, bad.Error())
	case ok:
		require.NotEmpty(t, e.Name)
		require.NotContains(t, e.Name, "\x00")
		require.NotContains(t, e.Target, "\x00")
		require.GreaterOrEqual(t, e.Size, int64(-1))
		require.Equal(t, e.ModTime.IsZero(), e.Precise == 0)
		require.True(t, e.Mode&fs.ModeSymlink != 0 || e.Target == "")
	default:
		require.Empty(t, e)
	}
}

func FuzzRow(f *testing.F) {
	for _, file := range sampleFiles(f) {
		rows := rowsOf(f, file)
		for i, row := range rows {
			f.Add(rows[0], row, formatOf(file) == listing.MLSD)
			f.Add(row, rows[min(i+1, len(rows)-1)], formatOf(file) == listing.MLSD)
		}
	}
	f.Fuzz(func(t *testing.T, first, second []byte, facts bool) {
		format := listing.LIST
		if facts {
			format = listing.MLSD
			e, err := listing.Fact(first, listing.Options{})
			check(t, e, err == nil, err)
		}
		p := listing.NewParser(format, listing.Options{Now: now})
		for _, row := range [][]byte{first, second} {
			e, ok, err := p.Row(row)
			check(t, e, ok, err)
		}
		if err := p.End(); err != nil {
			check(t, listing.Entry{}, false, err)
		}
	})
}

func BenchmarkRow(b *testing.B) {
	for name, c := range map[string]struct {
		format listing.Format
		row    string
	}{
		"MLSD": {listing.MLSD, "modify=20240101000000;perm=adfrw;size=5368709120;type=file;unique=FD00U2AAB2;UNIX.group=1000;UNIX.mode=0644;UNIX.owner=1000; some file.iso"},
		"Unix": {listing.LIST, "-rw-r--r--   1 ftpuser  ftpgroup     4096 Feb 29 10:00 some file.iso"},
		"DOS":  {listing.LIST, "04-06-00  03:47PM                  589 some file.iso"},
	} {
		b.Run(name, func(b *testing.B) {
			p := listing.NewParser(c.format, listing.Options{})
			row := []byte(c.row)
			b.ReportAllocs()
			for b.Loop() {
				if _, ok, err := p.Row(row); !ok || err != nil {
					b.Fatal(ok, err)
				}
			}
		})
	}
}

func TestARowCostsAtMostThreeAllocations(t *testing.T) {
	for f, row := range map[listing.Format]string{
		listing.MLSD: "modify=20240101000000;perm=adfrw;size=1;type=file;unique=FD00U2AAB2;UNIX.mode=0644; some file.iso",
		listing.LIST: "-rw-r--r--   1 ftpuser  ftpgroup     4096 Feb 29 10:00 some file.iso",
	} {
		p := listing.NewParser(f, listing.Options{Now: now})
		raw := []byte(row)
		n := testing.AllocsPerRun(100, func() { _, _, _ = p.Row(raw) })
		assert.LessOrEqual(t, n, 3.0, fmt.Sprint(f))
	}
}
