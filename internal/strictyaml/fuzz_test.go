package strictyaml_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		"hosts:\n  a: &a\n    name: it's\n    port: 21\n  b:\n    <<: *a\n    key: \"a\\\"b\"\ndelay: 1m30s\n",
		`{"hosts": {"a": {"name": "x", "on": true}}}`, "? a\n: b\n", "- |9\n  x\n", "%YAML 1.2\n---\n!!str a\n...\n", "a: [1, {b: *c}]\n", "\ufeff#",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := read(text); err != nil {
			assert.True(t, strings.HasPrefix(err.Error(), "f.yaml:"), "%v", err)
		}
	})
}
