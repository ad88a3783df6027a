package session_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/ftptest"
	"github.com/corexalgo/ftpclient/internal/listing"
	"github.com/corexalgo/ftpclient/internal/reply"
	"github.com/corexalgo/ftpclient/internal/safepath"
	"github.com/corexalgo/ftpclient/internal/session"
)

const (
	withMLST = "211-F\r\n MLST type*;size*;modify*;\r\n SIZE\r\n211 End"
	rowOfA   = "-rw-r--r-- 1 u g 3 Jan 02 2024 a\r\n"
)

func TestALISTAsksForTheDirectoryInTheSafeWay(t *testing.T) {
	// The file system of a server like vsftpd: an absent directory lists as empty, a file as its own only row.
	rec := newRecorder()
	srv := ftptest.ScriptFTP(t, map[string]string{"LIST": ""}, rec.answer(func(cmd, arg string) (string, bool) {
		if cmd == "CWD" && strings.Contains(arg, "absent") {
			return "550 Failed to change directory.", true
		}
		return "", false
	}))
	s := dial(t, scripted(srv))
	rec.all()
	for dir, want := range map[string][]string{
		"":          {"EPSV", "LIST"},
		"plain":     {"EPSV", "LIST plain", "PWD", "CWD plain", "CWD /"},
		"-R":        {"CWD ./-R", "EPSV", "LIST", "CWD /"},
		"*":         {"CWD *", "EPSV", "LIST", "CWD /"},
		"a b":       {"CWD a b", "EPSV", "LIST", "CWD /"},
		"~root":     {"CWD ./~root", "EPSV", "LIST", "CWD /"},
		"[x]":       {"CWD [x]", "EPSV", "LIST", "CWD /"},
		" leading":  {"CWD ./ leading", "EPSV", "LIST", "CWD /"},
		"dir/-x":    {"EPSV", "LIST dir/-x", "CWD dir/-x", "CWD /"},
		"dir/{a,b}": {"CWD dir/{a,b}", "EPSV", "LIST", "CWD /"},
	} {
		names, rowErrs, err := list(t.Context(), s, dir)
		require.NoError(t, err, dir)
		assert.Empty(t, names)
		assert.Empty(t, rowErrs)
		got := rec.all()
		if dir != "" && dir != "plain" { // PWD is asked once, by whichever needs it first
			got = without(got, "PWD")
		}
		assert.Subset(t, got, without(want, "PWD"), dir)
		assert.Len(t, without(got, "PWD"), len(without(want, "PWD")), dir)
	}
	_, _, err := list(t.Context(), s, "absent")
	require.ErrorIs(t, err, session.ErrNotDir)
	assert.Equal(t, 550, reply.Code(err))
	_, _, err = list(t.Context(), s, "*absent")
	assert.Equal(t, 550, reply.Code(err))
	inStep(t, s, "refusals only")
}

func without(lines []string, line string) []string {
	kept := []string{}
	for _, l := range lines {
		if l != line {
			kept = append(kept, l)
		}
	}
	return kept
}

func TestListingAFileIsNoListing(t *testing.T) {
	srv := ftptest.ScriptFTP(t, map[string]string{"LIST": rowOfA}, func(cmd, arg string) (string, bool) {
		return "550 not a directory", cmd == "CWD" && arg == "dir/a"
	})
	s := dial(t, scripted(srv))
	names, _, err := list(t.Context(), s, "dir/a")
	require.ErrorIs(t, err, session.ErrNotDir)
	assert.Empty(t, names)
	names, _, err = list(t.Context(), s, "other/a") // may be entered: a directory that holds one file of its own name
	require.NoError(t, err)
	assert.Equal(t, []string{"a"}, names)
	names, _, err = list(t.Context(), s, "dir")
	require.NoError(t, err)
	assert.Equal(t, []string{"a"}, names)
	inStep(t, s, "refusals only")
}

func TestMLSDThatIsOfferedAndDoesNotWorkBecomesLIST(t *testing.T) {
	for _, refusal := range []string{"500 what?", "502 no", "504 no"} {
		rec := newRecorder()
		srv := ftptest.ScriptFTP(t, map[string]string{"LIST": rowOfA}, rec.answer(ftptest.Replies(map[string]string{"FEAT": withMLST, "MLSD": refusal})))
		s := dial(t, scripted(srv))
		for range 2 {
			names, _, err := list(t.Context(), s, "")
			require.NoError(t, err)
			assert.Equal(t, []string{"a"}, names)
		}
		commands := strings.Join(rec.all(), ",")
		assert.Equal(t, 1, strings.Count(commands, "MLSD"), "it is remembered")
		inStep(t, s, refusal)
	}
	srv := ftptest.ScriptFTP(t, nil, ftptest.Replies(map[string]string{"FEAT": withMLST, "MLSD": "550 no such directory"}))
	_, _, err := list(t.Context(), dial(t, scripted(srv)), "x")
	assert.Equal(t, 550, reply.Code(err), "that is about the directory")
}

func TestTheListingCommandIsTheConfiguredOne(t *testing.T) {
	for want, change := range map[string]func(*session.Config){
		"MLSD d":    func(*session.Config) {},
		"LIST d":    func(c *session.Config) { c.DisableMLSD = true },
		"LIST -a d": func(c *session.Config) { c.ListHidden = true },
	} {
		rec := newRecorder()
		srv := ftptest.ScriptFTP(t, map[string]string{"LIST": rowOfA, "MLSD": "type=file;size=3; a\r\n"}, rec.answer(ftptest.Replies(map[string]string{"FEAT": withMLST})))
		cfg := scripted(srv)
		change(&cfg)
		names, _, err := list(t.Context(), dial(t, cfg), "d")
		require.NoError(t, err)
		assert.Equal(t, []string{"a"}, names)
		assert.Contains(t, rec.all(), want)
	}
}

func TestHostileRowsAreErrorsOfTheirOwn(t *testing.T) {
	rows := "type=file;size=1; good\r\ntype=file;size=1; ../up\r\ntype=file;size=1; /etc/passwd\r\ntype=file;size=1; ..\r\n" +
		"type=file;size=1; a\x00b\r\ntype=file;size=1; \x1b[2J\r\ntype=file;size=1; \xff\r\nno facts\r\ntype=file;size=010x; bad\r\ntype=dir; also good\r\n"
	srv := ftptest.ScriptFTP(t, map[string]string{"MLSD": rows}, ftptest.Replies(map[string]string{"FEAT": withMLST}))
	s := dial(t, scripted(srv))
	names, rowErrs, err := list(t.Context(), s, "")
	require.NoError(t, err)
	assert.Equal(t, []string{"good", "also good"}, names)
	assert.Len(t, rowErrs, 7, "a row of type file that is named .. is dropped")
	for _, err := range rowErrs {
		assert.NotContains(t, err.Error(), "\x1b")
		assert.NotContains(t, err.Error(), "\x00")
	}
	require.ErrorIs(t, rowErrs[0], safepath.ErrUnsafe)
	inStep(t, s, "rows are no dialogue")

	srv = ftptest.ScriptFTP(t, map[string]string{"LIST": "-rw-r--r-- 1 u g 3 Jan 02 2024 x/..\r\n"}, nil)
	names, rowErrs, err = list(t.Context(), dial(t, scripted(srv)), "x/..")
	require.NoError(t, err)
	assert.Empty(t, names)
	assert.Len(t, rowErrs, 1, "not even as the directory's own row")
}

func TestAnEndlessListingIsCappedAndTheSessionIsInStepOrGone(t *testing.T) {
	for name, tt := range map[string]struct {
		rows  string
		final bool
		want  error
	}{
		"endless rows":           {strings.Repeat("type=file;size=1; f\r\n", 100), true, session.ErrTooManyEntries},
		"endless row":            {strings.Repeat("x", 100_000), true, nil},
		"endless rows, no reply": {strings.Repeat("type=file;size=1; f\r\n", 100), false, session.ErrTooManyEntries},
	} {
		srv := ftptest.Script(t, func(c *ftptest.Conn) {
			var l *ftptest.DataListener
			c.Send("220 ready\r\n")
			for {
				verb, _, _ := strings.Cut(c.ReadLine(), " ")
				switch verb {
				case "USER":
					c.Send("230 in\r\n")
				case "FEAT":
					c.Send(withMLST + "\r\n")
				case "EPSV":
					l = c.Listen()
					c.Send(l.EPSV())
				case "MLSD":
					d := l.Accept()
					c.Send("150 here\r\n")
					for {
						if _, err := d.Write([]byte(tt.rows)); err != nil {
							break
						}
					}
					if tt.final {
						c.Send("426 you have gone\r\n")
					}
				default:
					c.Send("200 ok\r\n")
				}
			}
		})
		cfg := scripted(srv)
		cfg.MaxEntries, cfg.ReplyTimeout = 1000, 500*time.Millisecond
		s := dial(t, cfg)
		names, _, err := list(t.Context(), s, "")
		require.Error(t, err, name)
		if tt.want != nil {
			require.ErrorIs(t, err, tt.want)
			assert.Len(t, names, 1000)
		}
		assert.Zero(t, reply.Code(err), "%s: what was cut off is not tried again as a server's failure", name)
		if tt.final {
			inStep(t, s, name)
		} else {
			gone(t, s, name)
		}
	}
}

func TestAListingStoppedEarlyLeavesTheSessionInStepOrGone(t *testing.T) {
	for name, faults := range map[string][]ftptest.Fault{
		"in step": nil, "surplus": {{Cmd: "MLSD", Do: ftptest.ExtraReply, Reply: "226 too"}}, "silent": {{Cmd: "MLSD", Do: ftptest.StallReply}},
	} {
		srv, s := serve(t, ftptest.Options{Faults: faults}, func(c *session.Config) { c.ReplyTimeout = 500 * time.Millisecond })
		for i := range 50 {
			require.NoError(t, os.WriteFile(filepath.Join(srv.Dir(), fmt.Sprint(i)), nil, 0o600))
		}
		seen := 0
		err := s.List(t.Context(), "", func(listing.Entry, error) bool { seen++; return seen < 3 })
		require.NoError(t, err, name)
		assert.Equal(t, 3, seen)
		if name == "in step" {
			inStep(t, s, name)
		} else {
			gone(t, s, name)
		}
	}
}

func TestAListingWhoseDataIsCutIsNotWhole(t *testing.T) {
	for _, do := range []ftptest.Action{ftptest.CutData, ftptest.ResetData, ftptest.CutBoth, ftptest.DropFinalReply} {
		srv, s := serve(t, ftptest.Options{Faults: []ftptest.Fault{{Cmd: "MLSD", Do: do, After: 10}}})
		require.NoError(t, os.WriteFile(filepath.Join(srv.Dir(), "f"), nil, 0o600))
		_, _, err := list(t.Context(), s, "")
		require.Error(t, err, do)
	}
}

func TestFilesAreLookedAtRenamedAndRemoved(t *testing.T) {
	srv, s := serve(t, ftptest.Options{})
	require.NoError(t, store(t.Context(), s, "f", "12345"))
	when := time.Date(2024, 2, 3, 4, 5, 6, 0, time.UTC)
	require.NoError(t, s.SetModTime(t.Context(), "f", when))
	look, err := s.Look(t.Context(), "f")
	require.NoError(t, err)
	assert.Equal(t, session.Look{Size: 5, ModTime: when}, look)
	e, err := s.Fact(t.Context(), "f")
	require.NoError(t, err)
	assert.Equal(t, int64(5), e.Size)
	require.NoError(t, s.Mkdir(t.Context(), "d"))
	require.NoError(t, s.IsDir(t.Context(), "d"))
	require.Error(t, s.IsDir(t.Context(), "f"))
	require.NoError(t, s.Rename(t.Context(), "f", "d/g"))
	require.FileExists(t, filepath.Join(srv.Dir(), "d/g"))
	err = s.Rename(t.Context(), "absent", "x")
	require.Equal(t, 550, reply.Code(err))
	assert.Contains(t, err.Error(), "RNFR")
	look, err = s.Look(t.Context(), "absent")
	require.NoError(t, err)
	require.Error(t, look.SizeErr)
	assert.Equal(t, int64(-1), look.Size)
	require.NoError(t, s.Delete(t.Context(), "d/g"))
	require.NoError(t, s.Rmdir(t.Context(), "d"))
	for _, bad := range []string{"a\r\nDELE b", "\x00", "\x7f"} {
		require.ErrorIs(t, s.Delete(t.Context(), bad), safepath.ErrUnsafe)
	}
	inStep(t, s, "all of it")
}

func TestRepliesThatAreNoSuccessAreNone(t *testing.T) {
	for _, refusal := range []string{"350 more?", "550 no", "150 what?\r\n550 no"} {
		srv := ftptest.ScriptFTP(t, nil, ftptest.Replies(map[string]string{"DELE": refusal, "RNTO": refusal, "SIZE": refusal, "CWD": refusal}))
		s := dial(t, scripted(srv))
		require.Error(t, s.Delete(t.Context(), "f"), refusal)
		require.Error(t, s.IsDir(t.Context(), "d"))
		look, err := s.Look(t.Context(), "f")
		require.NoError(t, err)
		require.Error(t, look.SizeErr)
		require.NoError(t, look.TimeErr)
		inStep(t, s, refusal)
		require.ErrorContains(t, s.Rename(t.Context(), "a", "b"), "RNTO")
		if strings.HasPrefix(refusal, "350") { // it may be the answer to RNFR, which comes after something unasked
			gone(t, s, refusal)
			continue
		}
		inStep(t, s, refusal)
	}
}

func TestATimeThatNobodyCanReadIsUnknown(t *testing.T) {
	srv := ftptest.ScriptFTP(t, map[string]string{"f": "abc"}, ftptest.Replies(map[string]string{"MDTM": "213 yesterday"}))
	s := dial(t, scripted(srv))
	look, err := s.Look(t.Context(), "f")
	require.NoError(t, err)
	assert.Equal(t, int64(3), look.Size)
	assert.True(t, look.ModTime.IsZero())
	require.ErrorIs(t, look.TimeErr, reply.ErrMalformed)
	inStep(t, s, "the reply was whole")
}

func TestAServerThatAnswersOnlyTheFirstOfAGroupIsRemembered(t *testing.T) {
	for name, do := range map[string]func(s *session.Session) error{
		"Look": func(s *session.Session) error { _, err := s.Look(t.Context(), "f"); return err },
		"RemoveEach": func(s *session.Session) error {
			_, err := s.RemoveEach(t.Context(), []session.Removal{{Name: "d/f"}, {Name: "d", Dir: true}})
			return err
		},
	} {
		var grouped atomic.Bool
		srv := ftptest.Script(t, func(c *ftptest.Conn) {
			// It takes what arrived at once for one command.
			c.Send("220 ready\r\n")
			replies := map[string]string{"USER": "230 in", "FEAT": "500 no", "SIZE": "213 3", "MDTM": "213 20240102030405"}
			for {
				verb, _, _ := strings.Cut(c.ReadLine(), " ")
				if (verb == "MDTM" || verb == "RMD") && grouped.Load() {
					continue
				}
				answer, ok := replies[verb]
				if !ok {
					answer = "200 ok"
				}
				c.Send(answer + "\r\n")
			}
		})
		cfg := scripted(srv)
		cfg.ReplyTimeout = 100 * time.Millisecond
		s := dial(t, cfg)
		grouped.Store(true)
		require.ErrorIs(t, do(s), os.ErrDeadlineExceeded, name)
		gone(t, s, name)
		assert.True(t, cfg.Quirks.OneByOne.Load(), name)
		grouped.Store(false)
		s = dial(t, cfg)
		require.NoError(t, do(s), name)
		inStep(t, s, name)
	}
}

func TestNOOPRefusedIsASignOfLife(t *testing.T) {
	srv := ftptest.ScriptFTP(t, nil, ftptest.Replies(map[string]string{"NOOP": "502 no such thing"}))
	s := dial(t, scripted(srv))
	inStep(t, s, "it answered")
}

func TestTimesAreSetAsTheServerWants(t *testing.T) {
	when := time.Date(2024, 2, 3, 4, 5, 6, 7, time.FixedZone("", 3600))
	for name, tt := range map[string]struct {
		feat, mfmt, mdtm string
		want             string
		err              error
	}{
		"MFMT":            {"211-F\r\n MFMT\r\n MDTM\r\n211 End", "213 ok", "500 no", "MFMT 20240203030506 f", nil},
		"MDTM on vsftpd":  {"211-F\r\n MDTM\r\n211 End", "500 no", "213 File modification time set.", "MDTM 20240203030506 f", nil},
		"neither":         {"211-F\r\n SIZE\r\n211 End", "", "", "", errors.ErrUnsupported},
		"MFMT refused":    {"211-F\r\n MFMT\r\n211 End", "550 Permission denied", "", "", fs.ErrPermission},
		"FEAT lies":       {"211-F\r\n MFMT\r\n MDTM\r\n211 End", "500 no", "213 ok", "MDTM 20240203030506 f", nil},
		"MDTM reads only": {"211-F\r\n MDTM\r\n211 End", "", "550 no such file", "", errors.ErrUnsupported},
	} {
		rec := newRecorder()
		srv := ftptest.ScriptFTP(t, nil, rec.answer(ftptest.Replies(map[string]string{"FEAT": tt.feat, "MFMT": tt.mfmt, "MDTM": tt.mdtm})))
		s := dial(t, scripted(srv))
		err := s.SetModTime(t.Context(), "f", when)
		require.ErrorIs(t, err, tt.err, name)
		if tt.err == nil {
			assert.Contains(t, rec.all(), tt.want)
		}
		inStep(t, s, name)
	}
}

func TestMLSTThatSaysNothingIsNotThere(t *testing.T) {
	for _, answer := range []string{"250 ok", "250-a\r\n250 b", "500 what?", "502 no"} {
		rec := newRecorder()
		srv := ftptest.ScriptFTP(t, nil, rec.answer(ftptest.Replies(map[string]string{"FEAT": withMLST, "MLST": answer})))
		s := dial(t, scripted(srv))
		for range 2 {
			_, err := s.Fact(t.Context(), "f")
			require.ErrorIs(t, err, errors.ErrUnsupported, answer)
		}
		assert.Equal(t, 1, strings.Count(strings.Join(rec.all(), ","), "MLST"), "it is remembered")
		inStep(t, s, answer)
	}
}

func TestAListingThatAdmitsToBeCutIsNotWhole(t *testing.T) {
	for _, mlsd := range []bool{true, false} {
		srv, s := serve(t, ftptest.Options{NoMLSD: !mlsd})
		require.NoError(t, os.WriteFile(filepath.Join(srv.Dir(), "a"), nil, 0o600))
		for _, cmd := range []string{"LIST", "MLSD"} {
			srv.SetFaults(ftptest.Fault{Cmd: cmd, Do: ftptest.FinalReply, Reply: "226 Output truncated to 10000 matches"})
			names, rowErrs, err := list(t.Context(), s, "")
			require.NoError(t, err)
			assert.Equal(t, []string{"a"}, names)
			assert.Len(t, rowErrs, b2i(mlsd == (cmd == "MLSD")))
		}
		inStep(t, s, "the next one")
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestADirectoryThatCannotBeOpenedIsNotEmpty(t *testing.T) {
	for _, admits := range []string{"226 Transfer done (but failed to open directory).", "226-Sorry, we were unable to read [d]\r\n226 0 matches total"} {
		for _, dir := range []string{"", "/", "d", "with blanks"} {
			srv, s := serve(t, ftptest.Options{NoMLSD: true, Faults: []ftptest.Fault{{Cmd: "LIST", Do: ftptest.FinalReply, Reply: admits}}})
			require.NoError(t, os.MkdirAll(filepath.Join(srv.Dir(), dir), 0o755))
			names, _, err := list(t.Context(), s, dir)
			require.ErrorIs(t, err, fs.ErrPermission, dir)
			require.NotErrorIs(t, err, session.ErrNotDir)
			assert.Empty(t, names)
			inStep(t, s, dir)
		}
	}
	srv, s := serve(t, ftptest.Options{NoMLSD: true, Faults: []ftptest.Fault{
		{Cmd: "LIST", Do: ftptest.FinalReply, Reply: "226 Transfer done (but failed to open directory)."},
	}})
	require.NoError(t, os.WriteFile(filepath.Join(srv.Dir(), "f"), nil, 0o600))
	_, _, err := list(t.Context(), s, "f")
	require.ErrorIs(t, err, session.ErrNotDir, "it cannot be entered")
}
