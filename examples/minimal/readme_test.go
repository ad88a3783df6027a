package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
)

// blocks are the README's blocks of code in a language.
func blocks(t *testing.T, language string) []string {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	var all []string
	for _, m := range regexp.MustCompile("(?s)\n```"+language+"\n(.*?)```\n").FindAllStringSubmatch(string(readme), -1) {
		all = append(all, m[1])
	}
	require.NotEmpty(t, all, language)
	return all
}

func TestTheREADMEBeginsWithThisProgram(t *testing.T) {
	source, err := os.ReadFile("main.go")
	require.NoError(t, err)
	_, program, _ := strings.Cut(string(source), "\n") // without its doc comment
	program = regexp.MustCompile(` *//nolint.*`).ReplaceAllString(program, "")
	assert.Equal(t, program, blocks(t, "go")[0])
}

func TestTheREADMEsFragmentsCompileInAFunction(t *testing.T) {
	var code strings.Builder
	code.WriteString(`package fragments

import (
	"context"
	"fmt"
	"log"
	"os"
	"slices"

	"github.com/corexalgo/ftpclient"
)

var _ = []any{fmt.Print, log.Print, os.Stderr, slices.Sort[[]int]}
`)
	for _, fragment := range blocks(t, "go")[1:] {
		code.WriteString("\nfunc _(ctx context.Context, client *ftpclient.Client) error {\n" + fragment + "return nil\n}\n")
	}
	file := filepath.Join(t.TempDir(), "fragments.go")
	require.NoError(t, os.WriteFile(file, []byte(code.String()), 0o600))
	out, err := exec.CommandContext(t.Context(), "go", "build", file).CombinedOutput()
	require.NoError(t, err, "%s", out)
}

func TestTheREADMEsConfigurationIsValid(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "servers.yaml")
	require.NoError(t, os.WriteFile(file, []byte(blocks(t, "yaml")[0]), 0o600))
	t.Setenv("BACKUP_PASSWORD", "x")

	cfg, err := ftpclient.LoadConfig(file)
	require.NoError(t, err)
	client, err := ftpclient.New(cfg)
	require.NoError(t, err)
	assert.NoError(t, client.Close())
	assert.Equal(t, []string{"backup", "legacy"}, client.Servers())
}
