package main

import (
	"bytes"
	"context"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTheDemonstrationSucceedsAndLeavesNothingBehind(t *testing.T) {
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, 4<<20, 8<<20), out.String())
	for _, words := range []string{
		"upload disk.img: done", "retry 1", "download disk.img: failed", "resumed at",
		"SHA-256 expected", "all equal", "texts/报告 2026.txt", "200/200 files: done", "200 files in", "All of it worked",
	} {
		assert.Contains(t, out.String(), words)
	}
	assert.NotContains(t, out.String(), "\r", "a file or a pipe is no terminal")
	noFilesIn(t, temporary)
}

func TestACancelledDemonstrationFailsAndLeavesNothingBehind(t *testing.T) {
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, run(ctx, new(bytes.Buffer), 1<<20, 8<<20), context.Canceled)
	noFilesIn(t, temporary)
}

// noFilesIn allows the folder that holds the locks of uploads, which processes share.
func noFilesIn(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		below, err := os.ReadDir(dir + "/" + e.Name())
		require.NoError(t, err)
		assert.Empty(t, below, e.Name())
		assert.Regexp(t, `^ftpclient-\d+$`, e.Name())
	}
}
