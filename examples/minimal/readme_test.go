package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
)

// block is the README's first block of code in a language.
func block(t *testing.T, language string) string {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(readme), "\n```"+language+"\n")
	require.True(t, found, language)
	code, _, found := strings.Cut(rest, "```\n")
	require.True(t, found, language)
	return code
}

func TestTheREADMEBeginsWithThisProgram(t *testing.T) {
	source, err := os.ReadFile("main.go")
	require.NoError(t, err)
	_, program, _ := strings.Cut(string(source), "\n") // without its doc comment
	program = regexp.MustCompile(` *//nolint.*`).ReplaceAllString(program, "")
	assert.Equal(t, program, block(t, "go"))
}

func TestTheREADMEsConfigurationIsValid(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "servers.yaml")
	require.NoError(t, os.WriteFile(file, []byte(block(t, "yaml")), 0o600))
	t.Setenv("BACKUP_PASSWORD", "x")

	cfg, err := ftpclient.LoadConfig(file)
	require.NoError(t, err)
	client, err := ftpclient.New(cfg)
	require.NoError(t, err)
	assert.NoError(t, client.Close())
	assert.Equal(t, []string{"backup", "legacy"}, client.Servers())
}
