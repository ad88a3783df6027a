package reply_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/reply"
)

func say(code int, text string) reply.Reply {
	return reply.Reply{Code: code, Lines: strings.Split(text, "\n")}
}

func TestEPSVGivesThePort(t *testing.T) {
	for text, want := range map[string]uint16{
		"Entering Extended Passive Mode (|||6446|)": 6446,
		"Entering Extended Passive Mode (|||1|).":   1,
		"(|||65535|)":                                65535,
		"ok (!!!2121!)":                              2121,
		"ok (|1|10.0.0.1|2121|)":                     2121,
		"Entering Passive Mode\n(|||6446|)":          6446,
		"Entering Extended Passive Mode (~~~0021~) ": 21,
	} {
		port, err := reply.EPSV(say(229, text))
		require.NoError(t, err, text)
		assert.Equal(t, want, port, text)
	}
	for _, text := range []string{
		"", "(", ")", ")(", "()", "(|||)", "(||||)", "(|||0|)", "(|||65536|)", "(|||99999999999999999999|)", "(|||-1|)", "(|||+21|)",
		"(||| 21|)", "(|||21)", "|||21|", "(|||21||)", "(||21|)", "(||||21|)", "(00021210)", "(   21 )", "(|||2 1|)", "(|||0x15|)", "(\xff\xff\xff21\xff)",
	} {
		_, err := reply.EPSV(say(229, text))
		require.ErrorIs(t, err, reply.ErrMalformed, text)
	}
	_, err := reply.EPSV(say(227, "(|||6446|)"))
	require.ErrorIs(t, err, reply.ErrMalformed, "another code")
}

func TestPASVGivesHostAndPort(t *testing.T) {
	for text, want := range map[string]string{
		"Entering Passive Mode (127,0,0,1,4,1).":       "127.0.0.1:1025",
		"Entering Passive Mode (192,168,1,2,255,255)":  "192.168.1.2:65535",
		"Entering Passive Mode 10,0,0,1,0,21":          "10.0.0.1:21",
		"=10,0,0,1,0,21":                               "10.0.0.1:21",
		"Entering Passive Mode (0,0,0,0,117,48)":       "0.0.0.0:30000",
		"Entering Passive Mode (127,000,000,001,04,1)": "127.0.0.1:1025",
	} {
		at, err := reply.PASV(say(227, text))
		require.NoError(t, err, text)
		assert.Equal(t, netip.MustParseAddrPort(want), at, text)
	}
	for _, text := range []string{
		"", ")(", "()", "(1,2,3,4,5)", "(1,2,3,4,5,6,7)", "(256,0,0,1,4,1)", "(127,0,0,1,256,1)", "(127,0,0,1,0,0)", "(127,0,0,1,4,-1)",
		"(127,0,0,1,,1)", "(127,0,0,1,4,)", "(,,,,,)", "(127.0.0.1,4,1)", "(a,b,c,d,e,f)", "no numbers", "(99999999999999999999,0,0,1,4,1)", "(",
	} {
		_, err := reply.PASV(say(227, text))
		require.ErrorIs(t, err, reply.ErrMalformed, text)
	}
	_, err := reply.PASV(say(229, "(127,0,0,1,4,1)"))
	require.ErrorIs(t, err, reply.ErrMalformed, "another code")
}

func TestPathIsBetweenQuotationMarks(t *testing.T) {
	for text, want := range map[string]string{
		`"/" is the current directory`:       `/`,
		`"/a b/中"`:                           `/a b/中`,
		`"/say ""hi""" created`:              `/say "hi"`,
		`""""`:                               `"`,
		`is "/x" and not "/y"`:               `/x`,
		"\"/\xd6\xd0\"":                      "/\xd6\xd0",
		"first\n\"/second\" line counts too": "/second",
	} {
		path, err := reply.Path(say(257, text))
		require.NoError(t, err, text)
		assert.Equal(t, want, path, text)
	}
	for _, text := range []string{``, `"`, `""`, `"/x`, `/x`, `"/x""`, "\"/a\nb\"", "\"/a\x00b\"", "\"/a\x7fb\""} {
		_, err := reply.Path(say(257, text))
		require.ErrorIs(t, err, reply.ErrMalformed, text)
	}
	_, err := reply.Path(say(250, `"/x"`))
	require.ErrorIs(t, err, reply.ErrMalformed, "another code")
}

func TestSizeIsADecimalNumber(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "007": 7, "9223372036854775807": 1<<63 - 1} {
		n, err := reply.Size(say(213, text))
		require.NoError(t, err, text)
		assert.Equal(t, want, n, text)
	}
	n, err := reply.Size(say(213, " 12 "))
	require.NoError(t, err)
	assert.Equal(t, int64(12), n)
	for _, text := range []string{"", "-1", "+1", "1.5", "1 2", "0x10", "1e3", "9223372036854775808", "99999999999999999999", "12 bytes", "1\n2"} {
		_, err := reply.Size(say(213, text))
		require.ErrorIs(t, err, reply.ErrMalformed, text)
	}
	_, err = reply.Size(say(200, "12"))
	require.ErrorIs(t, err, reply.ErrMalformed, "another code")
}

func TestTimeIsInUTC(t *testing.T) {
	at := time.Date(2024, 2, 29, 23, 59, 58, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"20240229235958":            at,
		" 20240229235958 ":          at,
		"20240229235958.":           at,
		"20240229235958.5":          at.Add(500 * time.Millisecond),
		"20240229235958.000000001":  at.Add(time.Nanosecond),
		"191240229235958":           at,
		"191000229235958":           time.Date(2000, 2, 29, 23, 59, 58, 0, time.UTC),
		"19991231235959":            time.Date(1999, 12, 31, 23, 59, 59, 0, time.UTC),
		"20240229235958.123456789 ": at.Add(123456789),
	} {
		got, err := reply.Time(say(213, text))
		require.NoError(t, err, text)
		assert.Equal(t, want, got, text)
	}
	for _, text := range []string{
		"", "0", "2024022923595", "202402292359580", "20240230000000", "20241301000000", "20240101240000", "20240101006000", "2024-02-29 23:5",
		"20240229235958.x", "20240229235958.-1", "20240229235958.1234567890", "-2024022923595", "202402292359,5", "20240229235958Z",
	} {
		_, err := reply.Time(say(213, text))
		require.ErrorIs(t, err, reply.ErrMalformed, text)
	}
	_, err := reply.Time(say(200, "20240229235958"))
	require.ErrorIs(t, err, reply.ErrMalformed, "another code")
}
