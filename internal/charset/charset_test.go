package charset_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/charset"
)

// encode is text in the charset; plain says that there is none.
func encode(name, text string) (out string, plain bool, err error) {
	enc, err := charset.Lookup(name)
	if enc == nil || err != nil {
		return text, true, err
	}
	out, err = enc.NewEncoder().String(text)
	return out, false, err
}

func TestCharsetsAreFoundByTheirNames(t *testing.T) {
	for name, want := range map[string]string{
		"gbk": "\xd6\xd0", "GB18030": "\xd6\xd0", "gb2312": "\xd6\xd0", "big5": "\xa4\xa4", "Shift_JIS": "\x92\x86", "euc-jp": "\xc3\xe6",
		"EUC-KR": "\xf1\xe9",
	} {
		got, plain, err := encode(name, "中")
		require.NoError(t, err, name)
		assert.False(t, plain, name)
		assert.Equal(t, want, got, name)
	}
	for _, name := range []string{"windows-1251", "koi8-r", "ISO-8859-5", "cp866"} {
		got, _, err := encode(name, "Ж")
		require.NoError(t, err, name)
		assert.Len(t, got, 1, name)
	}
	for _, name := range []string{"", "utf-8", "UTF8"} {
		_, plain, err := encode(name, "中")
		require.NoError(t, err, name)
		assert.True(t, plain, name)
	}
	for _, name := range []string{"utf-16", "utf-7", "iso-2022-jp", "iso-2022-kr", "replacement", "hz-gb-2312", "ibm037", "klingon"} {
		_, _, err := encode(name, "x")
		assert.Error(t, err, name)
	}
}
