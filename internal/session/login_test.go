package session_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/ftptest"
	"github.com/corexalgo/ftpclient/internal/reply"
	"github.com/corexalgo/ftpclient/internal/retry"
	"github.com/corexalgo/ftpclient/internal/session"
)

func TestALoginIsOneWrite(t *testing.T) {
	login := []string{"USER user", "PASS ***", "TYPE I", "FEAT", "OPTS UTF8 ON"}
	secured := []string{"USER user", "PASS ***", "PBSZ 0", "PROT P", "TYPE I", "FEAT", "OPTS UTF8 ON"}
	for mode, want := range map[ftptest.TLSMode]struct {
		log        []string
		roundTrips int
	}{
		ftptest.Plain:    {login, 2},
		ftptest.Implicit: {secured, 2},
		ftptest.Explicit: {append([]string{"AUTH TLS"}, secured...), 3},
	} {
		srv, s := serve(t, ftptest.Options{TLS: mode})
		assert.Equal(t, want.log, srv.Stats().Log)
		assert.Equal(t, want.roundTrips, srv.Stats().RoundTrips, "that of the connection among them")
		inStep(t, s, "after it")
		assert.True(t, s.Features().Has("SIZE"))
	}
	for _, oneByOne := range []bool{false, true} {
		srv := ftptest.Start(t, ftptest.Options{})
		require.NoError(t, os.WriteFile(filepath.Join(srv.Dir(), "f"), []byte("content"), 0o600))
		cfg := config(srv.Host(), srv.Port())
		cfg.User, cfg.Password = srv.User(), srv.Password()
		cfg.Quirks.OneByOne.Store(oneByOne)
		s, err := session.Dial(session.WithFirst(t.Context(), session.Ahead{Looks: []string{"f"}, Data: true}), cfg)
		require.NoError(t, err)
		t.Cleanup(s.Close)
		if !oneByOne {
			assert.Equal(t, append(slices.Clone(login), "SIZE f", "MDTM f", "EPSV"), srv.Stats().Log)
			assert.Equal(t, 2, srv.Stats().RoundTrips)
		}
		look, err := s.LookAhead(t.Context(), "f", session.Ahead{Data: true})
		require.NoError(t, err)
		assert.EqualValues(t, 7, look.Size)
		got, err := fetch(t.Context(), s, "f", 0)
		require.NoError(t, err)
		assert.Equal(t, "content", got)
		assert.Equal(t, 1, srv.Stats().Commands["SIZE"])
		assert.Equal(t, 1, srv.Stats().Commands["EPSV"])
		inStep(t, s, "after what was asked with the login")
	}
	srv, s := serve(t, ftptest.Options{}, func(c *session.Config) { c.Encoding = gbk })
	assert.Equal(t, login[:4], srv.Stats().Log, "the names are not in UTF-8")
	inStep(t, s, "GBK")
	srv, s = serve(t, ftptest.Options{}, func(c *session.Config) { c.Quirks.OneByOne.Store(true) })
	assert.Equal(t, []string{"USER user", "PASS ***", "TYPE I", "FEAT", "OPTS UTF8 ON"}, srv.Stats().Log)
	assert.Equal(t, 6, srv.Stats().RoundTrips)
	inStep(t, s, "one by one")
}

func TestWhatIsAskedWithALoginSpoilsNoLogin(t *testing.T) {
	for what, fault := range map[string]ftptest.Fault{
		"no answer":   {Cmd: "SIZE", Do: ftptest.StallReply},
		"a lost line": {Cmd: "SIZE", Do: ftptest.CutControl},
		"421":         {Cmd: "SIZE", Do: ftptest.Refuse, Reply: "421 later"},
	} {
		srv := ftptest.Start(t, ftptest.Options{Faults: []ftptest.Fault{fault}})
		cfg := config(srv.Host(), srv.Port())
		cfg.User, cfg.Password, cfg.ReplyTimeout = srv.User(), srv.Password(), 300*time.Millisecond
		_, err := session.Dial(session.WithFirst(t.Context(), session.Ahead{Looks: []string{"f"}, Data: true}), cfg)
		require.Error(t, err, what)
		assert.True(t, retry.Retryable(err), what)
		require.NotErrorIs(t, err, reply.ErrTooMany, what)
		assert.False(t, cfg.Quirks.OneByOne.Load(), what)
		assert.Equal(t, 1, srv.Stats().Commands["PASS"], what)
	}
}

// odd is a server that does something to commands that come together. It notes what passwords it was told.
type odd struct {
	mu    sync.Mutex
	tried int // guarded by mu: passwords that were looked at, whatever came of it
	conns int

	// before sees each command, and whether others have come with it; true: it was answered, or lost.
	before  func(c *ftptest.Conn, verb string, together bool) bool
	replies map[string]string
}

func (o *odd) serve(t *testing.T) session.Config {
	t.Helper()
	return scripted(ftptest.Script(t, func(c *ftptest.Conn) {
		o.mu.Lock()
		o.conns++
		o.mu.Unlock()
		c.Send("220 ready\r\n")
		for together := false; ; {
			verb, _, _ := strings.Cut(c.ReadLine(), " ")
			together = together || c.Pending()
			if o.before != nil && o.before(c, verb, together) {
				continue
			}
			if verb == "PASS" {
				o.mu.Lock()
				o.tried++
				o.mu.Unlock()
			}
			answer := o.replies[verb]
			if answer == "" {
				answer = map[string]string{"USER": "331 password?", "PASS": "230 in", "PWD": `257 "/"`, "FEAT": "211-F\r\n UTF8\r\n211 End"}[verb]
			}
			if answer == "" {
				answer = "200 ok"
			}
			c.Send(answer + "\r\n")
		}
	}))
}

func (o *odd) counts() (tried, conns int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.tried, o.conns
}

// at is a fault that strikes at one verb of several that came together.
func at(where string, do func(c *ftptest.Conn)) func(*ftptest.Conn, string, bool) bool {
	return func(c *ftptest.Conn, verb string, together bool) bool {
		if verb != where || !together {
			return false
		}
		do(c)
		return true
	}
}

// says answers, and forgets what came behind.
func says(text string) func(c *ftptest.Conn) {
	return func(c *ftptest.Conn) {
		c.Flush()
		c.Send(text + "\r\n")
	}
}

func TestALoginThatWasMishandledInOneWriteIsRepeatedOneCommandAtATime(t *testing.T) {
	hangUp := func(c *ftptest.Conn) { _ = c.Close(); c.ReadLine() }
	for name, o := range map[string]*odd{
		"takes all for a user's name":      {before: at("USER", says("501 what a name"))},
		"wants no password and flushes":    {before: at("USER", says("230 in"))},
		"finds its form incorrect":         {before: at("USER", says("501 Incorrect number of arguments"))},
		"flushes with the password":        {before: at("PASS", says("230 in"))},
		"flushes later":                    {before: at("TYPE", says("200 ok"))},
		"flushes at the end":               {before: at("FEAT", says("211 none"))},
		"hangs up after the login":         {before: at("TYPE", hangUp)},
		"has not seen USER yet":            {before: at("PASS", func(c *ftptest.Conn) { c.Send("503 USER first\r\n") })},
		"is not logged in yet":             {before: at("TYPE", func(c *ftptest.Conn) { c.Send("530 log in first\r\n") })},
		"one answer too many":              {before: at("TYPE", func(c *ftptest.Conn) { c.Send("200 ok\r\n200 ok\r\n") })},
		"one answer too many, at the end":  {before: at("OPTS", func(c *ftptest.Conn) { c.Send("200 ok\r\n200 ok\r\n") })},
		"an answer that is none":           {before: at("FEAT", func(c *ftptest.Conn) { c.Send("hello\r\n") })},
		"wants no password and is puzzled": {replies: map[string]string{"USER": "230 in"}, before: at("TYPE", hangUp)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := o.serve(t)
			cfg.ReplyTimeout = time.Second
			s := dial(t, cfg)
			inStep(t, s, name)
			assert.True(t, s.Features().Has("UTF8"))
			assert.True(t, cfg.Quirks.OneByOne.Load())
			tried, conns := o.counts()
			assert.LessOrEqual(t, tried, 2, "once for each login that was granted")
			assert.Equal(t, 2, conns)
			inStep(t, dial(t, cfg), "the next one")
			_, conns = o.counts()
			assert.Equal(t, 3, conns, "it is remembered")
		})
	}
}

// A wrong password that is tried again may lock the account.
func TestASessionThatTheServerLoggedOutIsGoneAndWasNotLost(t *testing.T) {
	ping := func(s *session.Session) error { return s.Ping(t.Context()) }
	mkdir := func(s *session.Session) error { return s.Mkdir(t.Context(), "d") }
	retrieve := func(s *session.Session) error {
		_, err := fetch(t.Context(), s, "f", 0)
		return err
	}
	look := func(s *session.Session) error {
		_, err := s.Look(t.Context(), "f")
		return err
	}
	for refused, c := range map[string]struct {
		do   func(s *session.Session) error
		code int
	}{
		"NOOP": {ping, 530},
		"MKD":  {mkdir, 530},
		"RETR": {retrieve, 530},
		"EPSV": {retrieve, 530},
		"SIZE": {look, 0}, // a file may have none
	} {
		var out atomic.Bool
		cfg := scripted(ftptest.ScriptFTP(t, map[string]string{"f": "content"}, func(cmd, _ string) (string, bool) {
			if cmd == "MKD" && !out.Load() {
				return "257 made", true
			}
			return "530 Please login with USER and PASS.", out.Load()
		}))
		s := dial(t, cfg)
		require.NoError(t, c.do(s), refused)
		inStep(t, s, refused)
		out.Store(true)
		err := c.do(s)
		assert.Equal(t, c.code, reply.Code(err), "%s: %v", refused, err)
		gone(t, s, refused)
		assert.True(t, s.Spent(), refused)
		assert.False(t, cfg.Quirks.PASV.Load(), refused)
	}
}

// Some servers say 530 of what an anonymous user may not do.
func TestA530OfOneCommandIsNotTheEndOfTheLogin(t *testing.T) {
	for _, refused := range []string{"SIZE", "SIZE MDTM", "MKD", "RETR", "EPSV", "NOOP"} {
		cfg := scripted(ftptest.ScriptFTP(t, map[string]string{"f": "content"}, func(cmd, _ string) (string, bool) {
			return "530 Not for you", strings.Contains(refused, cmd)
		}))
		s := dial(t, cfg)
		_, err := s.LookAhead(t.Context(), "f", session.Ahead{Data: true})
		require.NoError(t, err, refused)
		_, err = fetch(t.Context(), s, "f", 0)
		assert.Equal(t, refused == "RETR" || refused == "EPSV", err != nil, "%s: %v", refused, err)
		err = s.Mkdir(t.Context(), "d")
		assert.Equal(t, refused == "MKD", reply.Code(err) == 530, refused)
		inStep(t, s, refused)
		assert.False(t, s.Spent(), refused)
	}
}

func TestAPasswordThatWasNotAcceptedIsNotTriedASecondTime(t *testing.T) {
	silent := func(c *ftptest.Conn) {
		for { // until the client goes
			c.ReadLine()
		}
	}
	hangUp := func(c *ftptest.Conn) { _ = c.Close(); c.ReadLine() }
	for name, tt := range map[string]struct {
		odd  *odd
		auth bool
		slow bool // the next login is one command at a time
	}{
		"refused":                 {&odd{replies: map[string]string{"PASS": "530 no"}}, true, false},
		"refused by 500":          {&odd{replies: map[string]string{"PASS": "500 Login incorrect."}}, true, false},
		"user refused":            {&odd{replies: map[string]string{"USER": "530 no", "PASS": "503 USER first"}}, true, false},
		"another is wanted":       {&odd{replies: map[string]string{"PASS": "331 again?"}}, true, false},
		"no answer":               {&odd{before: at("PASS", silent)}, false, true},
		"hung up on":              {&odd{before: at("PASS", hangUp)}, false, true},
		"flushed with the user":   {&odd{before: at("USER", says("331 password?"))}, false, true},
		"hung up on with USER":    {&odd{before: at("USER", hangUp)}, false, true},
		"no answer at all":        {&odd{before: at("USER", silent)}, false, false},
		"the server is full":      {&odd{replies: map[string]string{"PASS": "421 too many"}}, false, false},
		"the server leaves later": {&odd{replies: map[string]string{"TYPE": "421 bye"}}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := tt.odd.serve(t)
			cfg.ReplyTimeout = 500 * time.Millisecond
			_, err := session.Dial(t.Context(), cfg)
			require.Error(t, err)
			tried, conns := tt.odd.counts()
			assert.Equal(t, 1, conns)
			assert.LessOrEqual(t, tried, 1)
			if tt.auth {
				require.ErrorIs(t, err, reply.ErrAuth)
			} else {
				require.NotErrorIs(t, err, reply.ErrAuth)
			}
			assert.Equal(t, tt.slow, cfg.Quirks.Stepwise.Load())
			assert.False(t, cfg.Quirks.OneByOne.Load(), "the line may have been lost just then")
			assert.Equal(t, tt.slow, errors.Is(err, reply.ErrUnanswered), "it may have been tried")
			if tt.slow {
				inStep(t, dial(t, cfg), "the next one")
			}
		})
	}
}
