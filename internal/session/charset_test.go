package session_test

import (
	"bytes"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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
