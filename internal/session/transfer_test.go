package session_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/ftptest"
	"github.com/corexalgo/ftpclient/internal/listing"
	"github.com/corexalgo/ftpclient/internal/reply"
	"github.com/corexalgo/ftpclient/internal/session"
)

var noOptions session.TransferOptions

// fetch downloads a whole file.
func fetch(ctx context.Context, s *session.Session, name string, offset int64) (string, error) {
	r, err := s.Retrieve(ctx, name, offset, noOptions)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(r)
	if cerr := r.Close(); cerr != nil { // says more than Read could
		err = cerr
	}
	return string(b), err
}

func store(ctx context.Context, s *session.Session, name, content string) error {
	_, err := s.Store(ctx, name, 0, strings.NewReader(content), noOptions)
	return err
}

func TestWhatAnswersATransferIsWhatHappened(t *testing.T) {
	for _, code := range []string{"226 done", "250 done", "225 done", "226-a\r\n226 b", "250-a\r\n226 not yet\r\n250 b"} {
		_, s := serve(t, ftptest.Options{Faults: []ftptest.Fault{
			{Cmd: "RETR", Do: ftptest.FinalReply, Reply: code}, {Cmd: "STOR", Do: ftptest.FinalReply, Reply: code}, {Cmd: "MLSD", Do: ftptest.FinalReply, Reply: code},
		}})
		require.NoError(t, store(t.Context(), s, "f", "content"), code)
		got, err := fetch(t.Context(), s, "f", 0)
		require.NoError(t, err, code)
		assert.Equal(t, "content", got)
		names, _, err := list(t.Context(), s, "")
		require.NoError(t, err, code)
		assert.Equal(t, []string{"f"}, names)
		inStep(t, s, code)
	}
	for _, code := range []string{"426 cut", "451 local error", "550 no", "552 full", "421 bye", "350 more?"} {
		_, s := serve(t, ftptest.Options{Faults: []ftptest.Fault{{Cmd: "STOR", Do: ftptest.FinalReply, Reply: code}}})
		err := store(t.Context(), s, "f", "content")
		require.Error(t, err, code)
		if code[0] == '3' {
			require.ErrorIs(t, err, reply.ErrMalformed)
		} else {
			assert.Equal(t, code[:3], fmt.Sprint(reply.Code(err)))
		}
		if code[:3] == "421" || code[0] == '3' {
			gone(t, s, code)
		} else {
			inStep(t, s, code)
		}
	}
}

func TestARefusedTransferLeavesTheSessionInStep(t *testing.T) {
	for _, cmd := range []string{"EPSV", "RETR"} {
		for _, refusal := range []string{"550 no", "425 no", "450 later", "226 done already"} {
			_, s := serve(t, ftptest.Options{Faults: []ftptest.Fault{{Cmd: cmd, Do: ftptest.Refuse, Reply: refusal}, {Cmd: "PASV", Do: ftptest.Refuse, Reply: refusal}}})
			_, err := fetch(t.Context(), s, "f", 0)
			require.Error(t, err)
			if refusal[0] == '2' {
				require.ErrorIs(t, err, reply.ErrMalformed)
				gone(t, s, cmd+refusal)
				continue
			}
			assert.Equal(t, refusal[:3], fmt.Sprint(reply.Code(err)), cmd)
			inStep(t, s, cmd+refusal)
		}
	}
}

func TestARefusedTransferLeavesNoRestartMarkerBehind(t *testing.T) {
	rec := newRecorder()
	srv := ftptest.ScriptFTP(t, map[string]string{"f": "0123456789"}, rec.answer(nil))
	s := dial(t, scripted(srv))
	_, err := fetch(t.Context(), s, "absent", 5)
	require.Equal(t, 550, reply.Code(err))
	got, err := fetch(t.Context(), s, "f", 0)
	require.NoError(t, err)
	assert.Equal(t, "0123456789", got, "all of it")
	got, err = fetch(t.Context(), s, "f", 4)
	require.NoError(t, err)
	assert.Equal(t, "456789", got)
	assert.Contains(t, rec.all(), "REST 0")

	srv = ftptest.ScriptFTP(t, nil, ftptest.Replies(map[string]string{"REST 0": "501 no"}))
	s = dial(t, scripted(srv))
	_, err = fetch(t.Context(), s, "absent", 5)
	require.Equal(t, 550, reply.Code(err))
	gone(t, s, "nobody knows what the marker does next")

	_, err = s.Retrieve(t.Context(), "f", -1, noOptions)
	require.Error(t, err)
	_, err = s.Store(t.Context(), "f", -1, nil, noOptions)
	require.Error(t, err)
}

func TestADownloadGivenUpHalfWayLeavesTheSessionInStepOrGone(t *testing.T) {
	for name, faults := range map[string][]ftptest.Fault{
		"in step":         nil,
		"a surplus reply": {{Cmd: "RETR", Do: ftptest.ExtraReply, Reply: "226 and done"}},
		"one that waited": {{Cmd: "NOOP", Do: ftptest.Refuse, Reply: "226 and done"}},
		"no final reply":  {{Cmd: "RETR", Do: ftptest.StallReply}},
		"NOOP refused":    {{Cmd: "NOOP", Do: ftptest.Refuse, Reply: "500 no"}},
		"control closed":  {{Cmd: "RETR", Do: ftptest.CutControl, After: 100_000}},
	} {
		srv, s := serve(t, ftptest.Options{Faults: faults}, func(c *session.Config) { c.ReplyTimeout = 300 * time.Millisecond })
		require.NoError(t, os.WriteFile(filepath.Join(srv.Dir(), "f"), make([]byte, 32<<20), 0o600))
		r, err := s.Retrieve(t.Context(), "f", 0, noOptions)
		require.NoError(t, err)
		_, err = io.ReadFull(r, make([]byte, 200_000))
		require.NoError(t, err)
		require.NoError(t, r.Close(), name)
		require.NoError(t, r.Close(), "twice is nothing")
		_, err = r.Read(make([]byte, 1))
		require.ErrorIs(t, err, net.ErrClosed)
		if name == "in step" {
			inStep(t, s, name)
			assert.Equal(t, 2, srv.Stats().Commands["NOOP"])
		} else {
			assert.True(t, s.Spent(), name)
			gone(t, s, name)
		}
	}
}

func TestWhatIsGivenUpIsNotWaitedForLong(t *testing.T) {
	srv, s := serve(t, ftptest.Options{Faults: []ftptest.Fault{{Cmd: "RETR", Do: ftptest.StallReply}}}, func(c *session.Config) { c.ReplyTimeout = time.Minute })
	require.NoError(t, os.WriteFile(filepath.Join(srv.Dir(), "f"), make([]byte, 1<<20), 0o600))
	r, err := s.Retrieve(t.Context(), "f", 0, noOptions)
	require.NoError(t, err)
	begin := time.Now()
	require.NoError(t, r.Close())
	assert.Less(t, time.Since(begin), 5*time.Second)
	gone(t, s, "the final reply may still come")
}

func TestAnUploadWhoseSourceFailsIsABrokenOneForTheServer(t *testing.T) {
	failure := errors.New("disk gone")
	for _, mode := range []ftptest.TLSMode{ftptest.Plain, ftptest.Explicit} {
		for _, cause := range []error{failure, fmt.Errorf("peer: %w", io.EOF)} {
			got := make(chan error, 1)
			_, s := serve(t, ftptest.Options{TLS: mode, Reply: func(cmd, _ string, r []byte) []byte {
				if cmd == "STOR" && r[0] != '1' {
					got <- errors.New(string(r))
				}
				return r
			}})
			_, err := s.Store(t.Context(), "f", 0, io.MultiReader(strings.NewReader(strings.Repeat("x", 300_000)), iotest.ErrReader(cause)), noOptions)
			var failed *session.SourceError
			require.ErrorAs(t, err, &failed)
			require.ErrorIs(t, err, cause)
			assert.NotContains(t, (<-got).Error(), "226")
			if s.Usable() {
				inStep(t, s, "after a broken upload")
			}
		}
	}
}

func TestASecondReplyToABrokenUploadIsNotTakenForOneToTheNextCommand(t *testing.T) {
	_, s := serve(t, ftptest.Options{Faults: []ftptest.Fault{{Cmd: "NOOP", Do: ftptest.Refuse, Reply: "226 and done"}}})
	_, err := s.Store(t.Context(), "f", 0, iotest.ErrReader(errors.New("disk gone")), noOptions)
	require.ErrorContains(t, err, "disk gone")
	gone(t, s, "226 came where 200 should have")
}

func TestBothSidesOfABrokenUploadAreTold(t *testing.T) {
	_, s := serve(t, ftptest.Options{Faults: []ftptest.Fault{{Cmd: "STOR", Do: ftptest.LateRefuse, After: 1 << 20, Reply: "552 quota"}}})
	err := store(t.Context(), s, "f", strings.Repeat("x", 32<<20))
	assert.Equal(t, 552, reply.Code(err))
	assert.NotContains(t, err.Error(), "\n")
	inStep(t, s, "the server refused")

	_, s = serve(t, ftptest.Options{Faults: []ftptest.Fault{{Cmd: "RETR", Do: ftptest.ResetData, After: 1000}}})
	require.NoError(t, store(t.Context(), s, "f", strings.Repeat("x", 1<<20)))
	_, err = fetch(t.Context(), s, "f", 0)
	assert.Equal(t, 426, reply.Code(err))
	inStep(t, s, "426 came")
}

func TestAppendAddsToTheEnd(t *testing.T) {
	srv, s := serve(t, ftptest.Options{TLS: ftptest.Explicit})
	require.NoError(t, store(t.Context(), s, "f", "one"))
	n, err := s.Append(t.Context(), "f", strings.NewReader(" two"), noOptions)
	require.NoError(t, err)
	assert.Equal(t, int64(4), n)
	_, err = s.Append(t.Context(), "f", strings.NewReader(""), noOptions)
	require.NoError(t, err, "an empty one shakes hands too")
	b, err := os.ReadFile(filepath.Join(srv.Dir(), "f"))
	require.NoError(t, err)
	assert.Equal(t, "one two", string(b))
}

func TestEveryDataConnectionResumesItsControlConnectionsTLS(t *testing.T) {
	for _, mode := range []ftptest.TLSMode{ftptest.Explicit, ftptest.Implicit} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			srv, s := serve(t, ftptest.Options{TLS: mode, TLSMax: version, RequireReuse: true})
			for i := range 34 {
				content := strings.Repeat(fmt.Sprint(i), i)
				require.NoError(t, store(t.Context(), s, "f", content))
				got, err := fetch(t.Context(), s, "f", 0)
				require.NoError(t, err)
				require.Equal(t, content, got)
				_, _, err = list(t.Context(), s, "")
				require.NoError(t, err)
			}
			stats := srv.Stats()
			assert.Equal(t, 102, stats.DataConns)
			assert.Equal(t, 102, stats.Resumed)
			inStep(t, s, "TLS")
		}
	}
}

func TestAnEndWithoutCloseNotifyIsTold(t *testing.T) {
	srv, s := serve(t, ftptest.Options{TLS: ftptest.Explicit, Faults: []ftptest.Fault{
		{Cmd: "RETR", Do: ftptest.NoCloseNotify}, {Cmd: "MLSD", Do: ftptest.NoCloseNotify},
	}})
	require.NoError(t, os.WriteFile(filepath.Join(srv.Dir(), "f"), []byte("whole"), 0o600))
	r, err := s.Retrieve(t.Context(), "f", 0, noOptions)
	require.NoError(t, err)
	b, err := io.ReadAll(r)
	require.NoError(t, err)
	assert.Equal(t, "whole", string(b))
	assert.True(t, r.Unauthenticated())
	require.NoError(t, r.Close())
	_, _, err = list(t.Context(), s, "")
	require.ErrorIs(t, err, io.ErrUnexpectedEOF, "a listing has no size to prove its end")
	inStep(t, s, "the server said 226")
}

func TestAWrongCertificateOnTheDataConnectionIsNamed(t *testing.T) {
	good, err := ftptest.ServerTLS()
	require.NoError(t, err)
	other := otherCertificate(t)
	s := dial(t, tlsScript(t, good, func(c *ftptest.Conn, data net.Conn) {
		_ = tls.Server(data, other).HandshakeContext(t.Context())
		_ = data.Close()
		c.Send("426 TLS failed\r\n")
	}))
	var untrusted *tls.CertificateVerificationError
	require.ErrorAs(t, store(t.Context(), s, "f", "secret"), &untrusted)
	_, err = fetch(t.Context(), s, "f", 0)
	require.ErrorAs(t, err, &untrusted)
}

func TestTheFinalReplyOfALargeUploadIsGivenItsTime(t *testing.T) {
	slow := []ftptest.Fault{{Cmd: "STOR", Do: ftptest.SlowFinal, Delay: 800 * time.Millisecond}, {Cmd: "RETR", Do: ftptest.SlowFinal, Delay: 1500 * time.Millisecond}}
	patient := func(c *session.Config) { c.ReplyTimeout = 400 * time.Millisecond }
	_, s := serve(t, ftptest.Options{Faults: slow}, patient)
	n, err := s.Store(t.Context(), "f", 0, bytes.NewReader(make([]byte, 33<<20)), noOptions)
	require.NoError(t, err, "a second more for each 16 MiB")
	assert.Equal(t, int64(33<<20), n)
	r, err := s.Retrieve(t.Context(), "f", 0, noOptions)
	require.NoError(t, err)
	_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, make([]byte, 1<<20)) // no slower than the server, or its delay is over by then
	require.NoError(t, err)
	require.ErrorIs(t, r.Close(), os.ErrDeadlineExceeded, "a download's server has nothing to write")
	_, s = serve(t, ftptest.Options{Faults: slow}, patient)
	require.ErrorIs(t, store(t.Context(), s, "f", "small"), os.ErrDeadlineExceeded)
}

func TestASurplusReplyDiscardsTheSession(t *testing.T) {
	for _, cmd := range []string{"NOOP", "STOR", "SIZE"} {
		_, s := serve(t, ftptest.Options{Faults: []ftptest.Fault{{Cmd: cmd, Do: ftptest.ExtraReply, Reply: "226 surplus", Times: 1}}})
		_ = s.Ping(t.Context())
		_ = store(t.Context(), s, "f", "x")
		_, err := s.Look(t.Context(), "f")
		if err == nil {
			require.Eventually(t, func() bool { return !s.Alive() }, 5*time.Second, time.Millisecond, cmd)
		}
		require.Error(t, s.Ping(t.Context()), cmd)
		gone(t, s, cmd)
	}
}

func TestNamesOfTheServersCharsetGoBothWays(t *testing.T) {
	srv, s := serve(t, ftptest.Options{NoMLSD: true}, func(c *session.Config) { c.Encoding = gbk })
	const name = "中文 文件.txt"
	raw, err := gbk.NewEncoder().String(name)
	require.NoError(t, err)
	require.NotEqual(t, name, raw)
	require.NoError(t, store(t.Context(), s, name, "你好"))
	b, err := os.ReadFile(filepath.Join(srv.Dir(), raw))
	require.NoError(t, err, "the server has the name's bytes")
	assert.Equal(t, "你好", string(b), "content is not touched")
	got, err := fetch(t.Context(), s, name, 0)
	require.NoError(t, err)
	assert.Equal(t, "你好", got)
	names, rowErrs, err := list(t.Context(), s, "")
	require.NoError(t, err)
	assert.Empty(t, rowErrs)
	assert.Equal(t, []string{name}, names)
	require.NoError(t, s.Rename(t.Context(), name, "目录外"))
	require.NoError(t, s.Mkdir(t.Context(), "目录"))
	require.NoError(t, store(t.Context(), s, "目录/里", "x"))
	names, _, err = list(t.Context(), s, "目录")
	require.NoError(t, err)
	assert.Equal(t, []string{"里"}, names)

	err = store(t.Context(), s, "emoji 🙂", "x")
	require.Error(t, err, "GBK has no such character")
	inStep(t, s, "nothing was sent")
	require.NoError(t, os.WriteFile(filepath.Join(srv.Dir(), "\xff\xff"), nil, 0o600))
	_, rowErrs, err = list(t.Context(), s, "")
	require.NoError(t, err)
	assert.Len(t, rowErrs, 1, "bytes that are none of the charset's")
	var row *listing.RowError
	require.ErrorAs(t, rowErrs[0], &row)
}
