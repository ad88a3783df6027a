package session_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/digest"
	"github.com/corexalgo/ftpclient/internal/ftptest"
	"github.com/corexalgo/ftpclient/internal/reply"
	"github.com/corexalgo/ftpclient/internal/session"
)

func hexOf(a digest.Algorithm, content string) string {
	h := a.New()
	_, _ = io.WriteString(h, content)
	return hex.EncodeToString(h.Sum(nil))
}

const hashLine = " HASH SHA-512;SHA-256;SHA-1;MD5;CRC32"

// hashing is a scripted server with those lines in FEAT.
func hashing(t *testing.T, features string, answer ftptest.Answer) session.Config {
	t.Helper()
	return scripted(ftptest.ScriptFTP(t, map[string]string{"f": "content"}, func(cmd, arg string) (string, bool) {
		if cmd == "FEAT" {
			return "211-Features:\r\n" + features + "\r\n211 End", true
		}
		return answer(cmd, arg)
	}))
}

func TestEveryCommandGivesItsDigest(t *testing.T) {
	// Some begin with the name of another file, which is not what was asked for.
	names := []string{"f", "with", "plain", "with blank", `qu"ote`, `both " of`, "中文 文件", "sub dir/deep file", "f 0 5", "empty"}
	for verb, a := range map[string]digest.Algorithm{
		"HASH": digest.SHA256, "XSHA256": digest.SHA256, "XSHA512": digest.SHA512, "XSHA1": digest.SHA1, "XSHA": digest.SHA1,
		"XMD5": digest.MD5, "MD5": digest.MD5, "XCRC": digest.CRC32,
	} {
		var others []string
		for _, other := range []string{"HASH", "XSHA256", "XSHA512", "XSHA1", "XSHA", "XMD5", "MD5", "XCRC"} {
			if other != verb {
				others = append(others, other)
			}
		}
		srv, s := serve(t, ftptest.Options{Hash: true, HideFeatures: others})
		require.NoError(t, os.Mkdir(filepath.Join(srv.Dir(), "sub dir"), 0o755))
		for _, name := range names {
			content := "content of " + name
			if name == "empty" {
				content = ""
			}
			require.NoError(t, os.WriteFile(filepath.Join(srv.Dir(), name), []byte(content), 0o600))
			got, err := s.Hash(t.Context(), a, name, int64(len(content)))
			require.NoError(t, err, "%s %s", verb, name)
			assert.Equal(t, hexOf(a, content), got, "%s %s", verb, name)
		}
		assert.Positive(t, srv.Stats().Commands[verb])
		inStep(t, s, verb)
	}
}

func TestHASHGivesEachAlgorithmAndTheSelectionIsTheSessionsOwn(t *testing.T) {
	srv, s := serve(t, ftptest.Options{Hash: true, HideFeatures: []string{"XSHA512", "XSHA256", "XSHA1", "XSHA", "XMD5", "MD5", "XCRC"}})
	require.NoError(t, os.WriteFile(filepath.Join(srv.Dir(), "f"), []byte("content"), 0o600))
	offered := s.Algorithms()
	require.Len(t, offered, 5)
	assert.Equal(t, "SHA-256", offered[0].Name)
	other := dial(t, config(srv.Host(), srv.Port())) // as the pool would have it beside s
	for range 2 {
		for i, a := range offered { // each user of a session finds the last one's selection
			for _, s := range []*session.Session{s, other} {
				got, err := s.Hash(t.Context(), a, "f", 7)
				require.NoError(t, err)
				assert.Equal(t, hexOf(a, "content"), got)
			}
			got, err := other.Hash(t.Context(), offered[(i+1)%len(offered)], "f", 7)
			require.NoError(t, err)
			assert.Equal(t, hexOf(offered[(i+1)%len(offered)], "content"), got)
		}
	}
	before := srv.Stats().Commands["OPTS"]
	for range 3 {
		_, err := s.Hash(t.Context(), offered[4], "f", 7)
		require.NoError(t, err)
	}
	assert.Equal(t, before, srv.Stats().Commands["OPTS"], "what is set is not set again")
}

func TestEveryFormOfAReplyIsRead(t *testing.T) {
	sha, crc := hexOf(digest.SHA256, "content"), hexOf(digest.CRC32, "content")
	md5 := hexOf(digest.MD5, "content")
	decoy := strings.Repeat("ab", 32)
	for _, tt := range []struct {
		feat, name, reply string
		a                 digest.Algorithm
		want              string // "": no digest
	}{
		{"HASH SHA-256", "f", "213 SHA-256 0-7 " + sha + " f", digest.SHA256, sha},
		{"HASH SHA-256", "f", "213 SHA-256 0-6 " + sha + " /f", digest.SHA256, sha},
		{"HASH SHA-256", "f", "213 sha256 0-7 " + strings.ToUpper(sha) + ` "/f"`, digest.SHA256, sha},
		{"HASH SHA-256", "f", "213 SHA-256 0-7 " + sha, digest.SHA256, sha},
		{"HASH SHA-256", "f", "213-Computing SHA-256 digest\r\n213-Computing...\r\n213 SHA-256 0-7 " + sha + " f", digest.SHA256, sha},
		{"HASH SHA-256", "f", "213-Computing\r\n SHA-256 0-7 " + sha + " f\r\n213 Done", digest.SHA256, sha},
		{"HASH SHA-256", "f", "150 wait\r\n213 SHA-256 0-7 " + sha + " f", digest.SHA256, sha},
		{"HASH SHA-256", decoy, "213 SHA-256 0-7 " + sha + " " + decoy, digest.SHA256, sha},
		{"HASH SHA-256", "d/a b", "213 SHA-256 0-7 " + sha + " a b", digest.SHA256, sha},
		{"HASH SHA-256", "f", "213 SHA-1 0-7 " + hexOf(digest.SHA1, "content") + " f", digest.SHA256, ""},
		{"HASH SHA-256", "f", "213 SHA-512 0-7 " + sha + " f", digest.SHA256, ""},
		{"HASH SHA-256", "f", "213 SHA-256 0-3 " + sha + " f", digest.SHA256, ""},
		{"HASH SHA-256", "f", "213 SHA-256 1-7 " + sha + " f", digest.SHA256, ""},
		{"HASH SHA-256", "a b", "213 SHA-256 0-7 " + sha + " a", digest.SHA256, ""},
		{"HASH SHA-256", "a b", "213 SHA-256 0-7 " + sha, digest.SHA256, ""},
		{"HASH SHA-256", "f", "213 SHA-256 0-7 " + sha + " other", digest.SHA256, ""},
		{"HASH SHA-256", "f", "213 SHA-256 0-7 " + sha[1:] + " f", digest.SHA256, ""},
		{"HASH SHA-256", "f", "213 " + sha, digest.SHA256, ""},
		{"HASH SHA-256", "f", "200 ok", digest.SHA256, ""},
		{"XSHA256", "f", "250 " + strings.ToUpper(sha), digest.SHA256, sha},
		{"XSHA256", "f", "250-Computing SHA256 digest\r\n250 " + sha, digest.SHA256, sha},
		{"XSHA256", "f", `213 "` + sha + `"`, digest.SHA256, sha},
		{"XSHA256", "f", "250 " + sha + " /f", digest.SHA256, sha},
		{"XSHA256", "a b", `250 "/a b" ` + sha, digest.SHA256, sha},
		{"XSHA256", decoy, "250 /" + decoy + " " + sha, digest.SHA256, sha},
		{"XSHA256", decoy, "250 " + sha + " " + decoy, digest.SHA256, sha},
		{"XSHA256", sha, "250 " + sha, digest.SHA256, sha},
		{"XSHA256", "f", "250 " + sha + " " + decoy, digest.SHA256, ""},
		{"XSHA256", "f", "250 " + sha[2:], digest.SHA256, ""},
		{"XSHA256", "f", "250 done", digest.SHA256, ""},
		{"MD5", "f", "251 /f " + strings.ToUpper(md5), digest.MD5, md5},
		{"MD5", decoy[:32], "251 /" + decoy[:32] + " " + md5, digest.MD5, md5},
		{"XCRC", "f", "250 " + strings.ToUpper(crc), digest.CRC32, crc},
		{"XCRC", "f", "250 0x" + crc, digest.CRC32, crc},
		{"XCRC", "f", "250 12AB", digest.CRC32, "000012ab"},
		{"XCRC", "f", "250 1" + crc, digest.CRC32, ""},
	} {
		verb, _, _ := strings.Cut(tt.feat, " ")
		s := dial(t, hashing(t, " "+tt.feat, ftptest.Replies(map[string]string{verb: tt.reply})))
		got, err := s.Hash(t.Context(), tt.a, tt.name, 7)
		if tt.want == "" {
			require.ErrorIs(t, err, session.ErrNoDigest, "%s: %s", tt.name, tt.reply)
			assert.Empty(t, got)
		} else {
			require.NoError(t, err, tt.reply)
			assert.Equal(t, tt.want, got, tt.reply)
		}
		inStep(t, s, tt.reply)
	}
}

func TestASelectionThatIsNotEchoedIsNone(t *testing.T) {
	sha := hexOf(digest.SHA256, "content")
	s := dial(t, hashing(t, hashLine, ftptest.Replies(map[string]string{
		"OPTS": "200 SHA-1", "HASH": "213 SHA-256 0-7 " + sha + " f",
	})))
	_, err := s.Hash(t.Context(), digest.SHA256, "f", 7)
	require.ErrorIs(t, err, session.ErrNoDigest)
	inStep(t, s, "OPTS")
}

func TestRefusedCommandsAreRememberedForTheServerAndRefusedFilesAreNot(t *testing.T) {
	sha := hexOf(digest.SHA256, "content")
	for refusal, remembered := range map[string]bool{
		"500 what?": true, "502 not implemented": true, "501 no": false, "550 no such file": false, "504 not that file": false,
		"552 no": false, "450 busy": false,
	} {
		rec := newRecorder()
		cfg := hashing(t, hashLine+"\r\n XSHA256", rec.answer(ftptest.Replies(map[string]string{
			"HASH": refusal, "XSHA256": "250 " + sha,
		})))
		for range 2 {
			s := dial(t, cfg)
			got, err := s.Hash(t.Context(), digest.SHA256, "f", 7)
			if refusal[0] == '4' {
				assert.Equal(t, 450, reply.Code(err), "it may be had later")
			} else {
				require.NoError(t, err, refusal)
				assert.Equal(t, sha, got)
			}
			inStep(t, s, refusal)
		}
		asked := strings.Count(strings.Join(rec.all(), "\n"), "HASH /f")
		assert.Equal(t, map[bool]int{true: 1, false: 2}[remembered], asked, refusal)
	}

	rec := newRecorder()
	cfg := hashing(t, hashLine, rec.answer(ftptest.Replies(map[string]string{
		"OPTS HASH SHA-256": "501 unknown", "HASH": "213 SHA-512 0-7 " + hexOf(digest.SHA512, "content") + " f",
	})))
	for range 2 {
		_, err := dial(t, cfg).Hash(t.Context(), digest.SHA256, "f", 7)
		require.Error(t, err)
	}
	s := dial(t, cfg)
	assert.Equal(t, "SHA-512", s.Algorithms()[0].Name, "the next best is left")
	_, err := s.Hash(t.Context(), digest.SHA512, "f", 7)
	require.NoError(t, err)
	assert.Equal(t, 1, strings.Count(strings.Join(rec.all(), "\n"), "OPTS HASH SHA-256"))

	rec = newRecorder()
	cfg = hashing(t, " XMD5", rec.answer(ftptest.Replies(map[string]string{"XMD5": "500 what?"})))
	for range 2 {
		_, err := dial(t, cfg).Hash(t.Context(), digest.MD5, "a b", 7)
		assert.Equal(t, 500, reply.Code(err))
	}
	assert.Equal(t, 2, strings.Count(strings.Join(rec.all(), "\n"), `XMD5 "/a b"`), "it may be the name that it did not like")
}

func TestADigestIsGivenTheTimeThatTheFileTakes(t *testing.T) {
	slow := []ftptest.Fault{{Cmd: "HASH", Do: ftptest.SlowFinal, Delay: 1200 * time.Millisecond}}
	srv, s := serve(t, ftptest.Options{Hash: true, Faults: slow}, func(c *session.Config) { c.ReplyTimeout = 500 * time.Millisecond })
	f, err := os.Create(filepath.Join(srv.Dir(), "big"))
	require.NoError(t, err)
	require.NoError(t, errors.Join(f.Truncate(48<<20), f.Close()))
	got, err := s.Hash(t.Context(), digest.CRC32, "big", 48<<20)
	require.NoError(t, err, "three seconds more for 48 MiB")
	assert.Len(t, got, 8)
	require.NoError(t, os.WriteFile(filepath.Join(srv.Dir(), "small"), []byte("x"), 0o600))
	_, err = s.Hash(t.Context(), digest.CRC32, "small", 1)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	gone(t, s, "the reply may still come")
}

func TestWaitingForADigestEndsWithItsContext(t *testing.T) {
	cancelled(t, "HASH", func() func(context.Context) error {
		srv, s := serve(t, ftptest.Options{Hash: true, Faults: []ftptest.Fault{{Cmd: "HASH", Do: ftptest.StallReply}}})
		require.NoError(t, os.WriteFile(filepath.Join(srv.Dir(), "f"), []byte("x"), 0o600))
		return func(ctx context.Context) error {
			_, err := s.Hash(ctx, digest.SHA256, "f", 1)
			gone(t, s, "HASH")
			return err
		}
	})
}

// partly answers XSHA256 for parts of "content", whose end is what last makes of the number.
func partly(last func(end int) int) ftptest.Answer {
	return func(cmd, arg string) (string, bool) {
		if cmd != "XSHA256" {
			return "", false
		}
		var begin, end int
		if n, _ := fmt.Sscanf(arg, "/f %d %d", &begin, &end); n < 2 {
			return "250 " + hexOf(digest.SHA256, "content"), true
		}
		return "250 " + hexOf(digest.SHA256, "content"[begin:last(end)]), true
	}
}

func TestAPrefixIsProvedWhateverTheServerMeansByItsEnd(t *testing.T) {
	for name, last := range map[string]func(end int) int{
		"the byte after": func(end int) int { return end }, "the last byte": func(end int) int { return end + 1 },
	} {
		s := dial(t, hashing(t, " XSHA256", partly(last)))
		for n := 1; n < 7; n++ {
			same, err := s.HasPrefix(t.Context(), digest.SHA256, "f", int64(n), hexOf(digest.SHA256, "content"[:n]))
			require.NoError(t, err)
			if n > 1 || name == "the byte after" {
				assert.True(t, same, "%s: %d", name, n)
			}
			same, err = s.HasPrefix(t.Context(), digest.SHA256, "f", int64(n), hexOf(digest.SHA256, "Content"[:n]))
			require.NoError(t, err)
			assert.False(t, same, "%s: %d", name, n)
		}
		inStep(t, s, name)
	}
	rec := newRecorder()
	cfg := hashing(t, " XSHA256", rec.answer(partly(func(int) int { return 7 })))
	for range 3 {
		_, err := dial(t, cfg).HasPrefix(t.Context(), digest.SHA256, "f", 3, hexOf(digest.SHA256, "con"))
		require.Error(t, err, "a server that digests the whole file whatever was asked proves nothing")
	}
	assert.Equal(t, 2, strings.Count(strings.Join(rec.all(), "\n"), "XSHA256"), "nor is it asked again")
}

func TestARangeOfHASHIsTakenBackWhateverHappens(t *testing.T) {
	con := hexOf(digest.SHA256, "con")
	feat := " HASH SHA-256*\r\n RANG STREAM"
	for name, tt := range map[string]struct {
		hash string
		same bool
		fail bool
	}{
		"as in the draft": {hash: "213 SHA-256 0-2 " + con + " f", same: true},
		"end after":       {hash: "213 SHA-256 0-3 " + con + " f", same: true},
		"differs":         {hash: "213 SHA-256 0-2 " + hexOf(digest.SHA256, "Con") + " f"},
		"whole file":      {hash: "213 SHA-256 0-7 " + hexOf(digest.SHA256, "content") + " f", fail: true},
		"refused":         {hash: "550 no", fail: true},
		"busy":            {hash: "450 later", fail: true},
	} {
		rec := newRecorder()
		s := dial(t, hashing(t, feat, rec.answer(ftptest.Replies(map[string]string{"RANG": "350 range", "HASH": tt.hash}))))
		same, err := s.HasPrefix(t.Context(), digest.SHA256, "f", 3, con)
		assert.Equal(t, tt.fail, err != nil, name)
		assert.Equal(t, tt.same, same, name)
		lines := strings.Join(rec.all(), ",")
		assert.Contains(t, lines, "RANG 0 2,HASH /f,RANG 1 0", name)
		inStep(t, s, name)
	}
	s := dial(t, hashing(t, feat, ftptest.Replies(map[string]string{"RANG 0 2": "350 range", "RANG 1 0": "500 no", "HASH": "213 SHA-256 0-2 " + con + " f"})))
	_, err := s.HasPrefix(t.Context(), digest.SHA256, "f", 3, con)
	require.Error(t, err)
	gone(t, s, "the range would apply to the next transfer")
}

func TestAPrefixIsProvedByTheTestServer(t *testing.T) {
	srv, s := serve(t, ftptest.Options{Hash: true})
	content := []byte(strings.Repeat("0123456789", 1000))
	require.NoError(t, os.WriteFile(filepath.Join(srv.Dir(), "a b"), content, 0o600))
	sum := sha256.Sum256(content[:1234])
	same, err := s.HasPrefix(t.Context(), digest.SHA256, "a b", 1234, hex.EncodeToString(sum[:]))
	require.NoError(t, err)
	assert.True(t, same)
	same, err = s.HasPrefix(t.Context(), digest.SHA256, "a b", 2345, hex.EncodeToString(sum[:]))
	require.NoError(t, err)
	assert.False(t, same)
}

func FuzzHashReply(f *testing.F) {
	sha := hexOf(digest.SHA256, "content")
	for _, seed := range []string{"SHA-256 0-7 " + sha + " f", "Computing\n" + sha, "/f " + sha, "0x1", "SHA-1 0-7 x", " ", "SHA-256 - ", sha + " " + sha} {
		for _, verb := range []string{"HASH", "XSHA256", "XCRC", "MD5"} {
			f.Add(verb, "/f", seed)
		}
	}
	f.Fuzz(func(t *testing.T, verb, arg, text string) {
		a := map[string]digest.Algorithm{"XCRC": digest.CRC32, "MD5": digest.MD5}[verb]
		if a.New == nil {
			a = digest.SHA256
		}
		got, err := session.ReadHash(verb, a, arg, 7, reply.Reply{Code: 213, Lines: strings.Split(text, "\n")})
		if err != nil {
			require.Empty(t, got)
			return
		}
		require.Len(t, got, a.HexLen())
		require.Equal(t, strings.ToLower(got), got)
		_, err = hex.DecodeString(got)
		require.NoError(t, err)
		if verb == "HASH" {
			require.Contains(t, strings.ToLower(text), got)
			require.Contains(t, text, "0-")
		}
	})
}
