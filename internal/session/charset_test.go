package session_test

import (
	"bytes"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/simplifiedchinese"

	"github.com/corexalgo/ftpclient/internal/ftptest"
	"github.com/corexalgo/ftpclient/internal/reply"
	"github.com/corexalgo/ftpclient/internal/safepath"
	"github.com/corexalgo/ftpclient/internal/session"
)

func TestUserAndPasswordAreSentInTheServersCharset(t *testing.T) {
	spell := func(s string) string {
		raw, err := gbk.NewEncoder().String(s)
		require.NoError(t, err)
		return raw
	}
	for _, tt := range []struct{ user, password, wantUser, wantPassword string }{
		{"用户", "密码一二", spell("用户"), spell("密码一二")},
		{"joe", "s3cret-word", "joe", "s3cret-word"},
		{"joe", "\xff\xfe\xfd\xfc", "joe", "\xff\xfe\xfd\xfc"}, // no text: bytes
		{"joe", "emoji 🙂", "joe", "emoji 🙂"},                   // not in GBK
	} {
		rec := newRecorder()
		cfg := scripted(ftptest.ScriptFTP(t, nil, rec.answer(nil)))
		cfg.User, cfg.Password, cfg.Encoding = tt.user, tt.password, gbk
		dial(t, cfg)
		assert.Equal(t, []string{"CONNECT", "USER " + tt.wantUser, "PASS " + tt.wantPassword}, rec.all()[:3])

		cfg = scripted(ftptest.ScriptFTP(t, nil, rec.answer(nil)))
		cfg.User, cfg.Password = tt.user, tt.password
		dial(t, cfg)
		assert.Equal(t, "USER "+tt.user, rec.all()[1], "without an Encoding it is UTF-8")
	}

	var log bytes.Buffer
	cfg := scripted(ftptest.ScriptFTP(t, nil, ftptest.Replies(map[string]string{"PASS": "530 not " + spell("密码一二")})))
	cfg.User, cfg.Password, cfg.Encoding = "用户", "密码一二", gbk
	cfg.Logger = slog.New(slog.NewTextHandler(lockedWriter{new(sync.Mutex), &log}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	_, err := session.Dial(t.Context(), cfg)
	require.ErrorIs(t, err, reply.ErrAuth)
	for _, shown := range []string{err.Error(), log.String()} {
		assert.NotContains(t, shown, "密码")
		assert.NotContains(t, shown, strings.Trim(reply.Printable(spell("密码一二")), `"`))
		assert.Contains(t, shown, "***")
	}

	cfg.User = "🙂"
	_, err = session.Dial(t.Context(), cfg)
	require.ErrorIs(t, err, safepath.ErrUnsafe)
	assert.NotErrorIs(t, err, io.EOF)
}

func TestANameThatTheCharsetTurnsIntoAnotherIsRefused(t *testing.T) {
	rec := newRecorder()
	cfg := scripted(ftptest.ScriptFTP(t, nil, rec.answer(nil)))
	cfg.Encoding = simplifiedchinese.GB18030
	s := dial(t, cfg)
	rec.all()                // of the login
	const private = "\ue000" // is written as U+F014 is
	require.ErrorIs(t, s.Mkdir(t.Context(), private), safepath.ErrUnsafe)
	require.ErrorIs(t, s.Delete(t.Context(), "d/"+private), safepath.ErrUnsafe)
	assert.Empty(t, rec.all(), "nothing was asked")
	require.Equal(t, 500, reply.Code(s.Mkdir(t.Context(), "中文 😀")))
	assert.Len(t, rec.all(), 1)
}

// ProFTPD takes the bytes of "пять" in windows-1251 for "п", the end of a Telnet interrupt, and "ь".
func TestAServerThatSpeaksTelnetIsGivenWholeNames(t *testing.T) {
	const word = "\xef\xff\xf2\xfc" // пять
	plain := func(_, arg string) string { return arg }
	for what, tt := range map[string]struct {
		charset encoding.Encoding
		repeats func(cmd, arg string) string
		probed  bool
		want    string
	}{
		"it undoes what is written":    {charmap.Windows1251, func(_, arg string) string { return strings.ReplaceAll(arg, "\xff\xff", "\xff") }, true, "\xef\xff\xff\xf2\xfc"},
		"it takes bytes as they are":   {charmap.Windows1251, plain, true, word},
		"it doubles what it repeats":   {charmap.Windows1251, func(_, arg string) string { return strings.ReplaceAll(arg, "\xff", "\xff\xff") }, true, word},
		"it repeats nothing":           {charmap.Windows1251, func(string, string) string { return "" }, true, word},
		"the charset has no such byte": {gbk, plain, false, "\xa7\xe1\xa7\xf1\xa7\xe4\xa7\xee"},
	} {
		for _, together := range []bool{true, false} {
			rec := newRecorder()
			cfg := scripted(ftptest.ScriptFTP(t, nil, rec.answer(func(cmd, arg string) (string, bool) {
				return "550 " + tt.repeats(cmd, arg) + ": No such file", cmd == "SIZE" || cmd == "DELE"
			})))
			cfg.Encoding = tt.charset
			cfg.Quirks.OneByOne.Store(!together)
			for i := range 2 {
				s := dial(t, cfg)
				assert.Equal(t, tt.probed && i == 0, strings.Contains(strings.Join(rec.all(), " "), "SIZE"), "%s: it is asked once", what)
				require.Equal(t, 550, reply.Code(s.Delete(t.Context(), "пять")), what)
				assert.Equal(t, []string{"DELE " + tt.want}, rec.all(), what)
			}
		}
	}
}

// What is asked with the login goes out before anybody knows how such a byte is written, or must be written so.
func TestANameThatIsAskedForWithTheLoginIsWrittenAsTheServerReadsIt(t *testing.T) {
	rec := newRecorder()
	cfg := scripted(ftptest.ScriptFTP(t, nil, rec.answer(func(cmd, arg string) (string, bool) {
		return "550 " + strings.ReplaceAll(arg, "\xff\xff", "\xff") + ": No such file", cmd == "SIZE" || cmd == "MDTM"
	})))
	cfg.Encoding = charmap.Windows1251
	first := session.WithFirst(t.Context(), session.Ahead{Looks: []string{"пять", "шесть"}})
	const five, six = "SIZE \xef\xff\xff\xf2\xfc", "SIZE \xf8\xe5\xf1\xf2\xfc"
	for i := range 2 {
		s, err := session.Dial(first, cfg)
		require.NoError(t, err)
		sizes := slices.DeleteFunc(rec.all(), func(line string) bool { return !strings.HasPrefix(line, "SIZE ") })
		assert.Equal(t, [][]string{{"SIZE ftpclient\xff\xfftelnet", six}, {five, six}}[i], sizes)
		_, err = s.Look(t.Context(), "пять")
		require.NoError(t, err)
		s.Close()
		assert.Contains(t, append(rec.all(), sizes...), five)
	}
}
