package reply_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/reply"
)

func TestARefusalsCauseIsWhatCodeAndTextProve(t *testing.T) {
	for _, tt := range []struct {
		command string
		code    int
		text    string
		want    error
	}{
		{"", 421, "Too many connections", reply.ErrTooMany},
		{"", 421, "Service not available", reply.ErrTooMany},
		{"PASS", 421, "bye", reply.ErrTooMany},
		{"PASS", 530, "Sorry, the maximum number of clients (3) from your host are already connected.", reply.ErrTooMany}, // ProFTPD
		{"USER", 530, "Too many users logged in", reply.ErrTooMany},
		{"", 500, "Too many connections", reply.ErrTooMany}, // ftpserverlib
		{"PASS", 530, "Login incorrect.", reply.ErrAuth},
		{"PASS", 530, "Too many login failures, try again later", reply.ErrAuth},
		{"PASS", 530, "Maximum login attempts (3) exceeded", reply.ErrAuth},
		{"PASS", 421, "Too many failed logins", reply.ErrAuth},
		{"USER", 530, "Anonymous access denied", reply.ErrAuth},
		{"USER", 500, "Illegal user", reply.ErrAuth},
		{"USER", 332, "Need account", reply.ErrAuth},
		{"PASS", 430, "Invalid user name or password", reply.ErrAuth},
		{"RETR", 530, "Please login with USER and PASS", reply.ErrAuth},
		{"AUTH", 530, "Please login with USER and PASS", nil}, // vsftpd without TLS: the password was not asked for
		{"", 554, "no transfer for you", nil},
		{"RETR", 550, "Permission denied", fs.ErrPermission},
		{"STOR", 553, "Could not create file: not permitted", fs.ErrPermission},
		{"DELE", 450, "Access is denied.", fs.ErrPermission},
		{"RETR", 550, "拒绝访问", fs.ErrPermission},
		{"RETR", 550, "Failed to open file.", nil},
		{"RETR", 550, "No such file or directory", nil}, // a 550 is no proof of absence
		{"RETR", 550, "permission.txt: No such file", nil},
		{"RETR", 550, "No such file, or access denied", nil},
		{"RETR", 550, "too many.txt: unavailable", nil},
		{"STOR", 552, "Permission to exceed your quota", nil},
		{"FEAT", 500, "Unknown command", errors.ErrUnsupported},
		{"MLSD", 502, "Not implemented", errors.ErrUnsupported},
		{"OPTS", 504, "Not implemented for that parameter", errors.ErrUnsupported},
		{"SIZE", 501, "Bad path", nil},
		{"RETR", 425, "Cannot open data connection", nil},
		{"STOR", 451, "Local error", nil},
		{"STOR", 452, "Insufficient storage", reply.ErrFull},
		{"STOR", 451, "f: No space left on device", reply.ErrFull},
		{"APPE", 451, "Failure writing to local file.", reply.ErrFull}, // vsftpd
		{"STOR", 450, "f: Disk quota exceeded", reply.ErrFull},
		{"RETR", 451, "disk full of music.mp3: Restart not permitted, try again", nil},
		{"STOR", 426, "Failure reading network stream.", nil}, // vsftpd: it is the line
		{"STOR", 552, "Quota exceeded", nil},                  // a smaller file may have room
		{"STOR", 532, "Need account for storing files", nil},
	} {
		err := reply.Err(tt.command, say(tt.code, tt.text))
		assert.Equal(t, tt.want, err.Unwrap(), "%s: %d %s", tt.command, tt.code, tt.text)
	}
}

func TestAnErrorShowsCommandCodeAndWordsOnOneLine(t *testing.T) {
	require.EqualError(t, reply.Err("RETR", say(550, "a\x1b[2J\nb")), `RETR: 550 a\x1b[2J\nb`)
	require.EqualError(t, reply.Err("", say(421, "busy")), "greeting: 421 busy")
	assert.Less(t, len(reply.Err("RETR", say(550, strings.Repeat("x", 60000))).Error()), 600)
}

func TestTheCodeIsFoundInAChain(t *testing.T) {
	err := fmt.Errorf("download: %w", reply.Err("RETR", say(550, "x")))
	assert.Equal(t, 550, reply.Code(err))
	assert.Zero(t, reply.Code(io.EOF))
	assert.Zero(t, reply.Code(nil))
	var e *reply.Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, "RETR", e.Command)
}

func TestWordsOfAbsenceAreEvidenceOnlyWithoutThoseOfDenial(t *testing.T) {
	for _, text := range []string{"No such file or directory", "x: The system cannot find the file specified.", "'x': file not found", "does not exist", "找不到文件"} {
		assert.True(t, reply.SaysAbsent(text), text)
	}
	for _, text := range []string{"", "Failed to open file.", "Permission denied", "No such file, or access denied", "没有权限，或文件不存在"} {
		assert.False(t, reply.SaysAbsent(text), text)
	}
}
