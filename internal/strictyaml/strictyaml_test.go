package strictyaml_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient/internal/strictyaml"
)

type file struct {
	Hosts map[string]host `yaml:"hosts"`
	Delay time.Duration   `yaml:"delay"`
	Log   func()          `yaml:"-"`
}

type host struct {
	Name  string        `yaml:"name"`
	Key   secret        `yaml:"key,omitempty"`
	Port  int           `yaml:"port"`
	Limit int64         `yaml:"limit"`
	On    bool          `yaml:"on"`
	Wait  time.Duration `yaml:"wait"`
}

// secret is read as those types are that redact what they print.
type secret string

func (s *secret) UnmarshalYAML(decode func(any) error) error { return decode((*string)(s)) }

func read(text string) (file, error) {
	var f file
	err := strictyaml.Decode("f.yaml", []byte(text), &f)
	return f, err
}

func TestTheSameIsReadFromYAMLAndJSON(t *testing.T) {
	want := file{
		Hosts: map[string]host{
			"a": {Name: "it's", Key: `p"a\s%s'#1`, Port: 21, Limit: 1_000_000_000_000, On: true, Wait: 90 * time.Second},
			"b": {},
		},
		Delay: time.Second,
	}
	for _, text := range []string{
		`
hosts:
  a:
    name: it's
    key: p"a\s%s'#1
    port: 21
    limit: 1000000000000
    on: true
    wait: 1m30s
  b: {}
delay: "1s"
`,
		`{"hosts": {"a": {"name": "it's", "key": "p\"a\\s%s'#1", "port": 21, "limit": 1000000000000, "on": true, "wait": "1m30s"}, "b": {}},
			"delay": "1s"}`,
	} {
		got, err := read(text)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
}

func TestAnErrorNamesTheFileTheLineAndTheMistake(t *testing.T) {
	for text, want := range map[string]string{
		"hosts:\n  a:\n    nam: h\n":                     `:3: unknown key "nam"`,
		"hosts:\n  a:\n    name: h\n    name: x\n":       `:4: the key "name" is given twice`,
		"hosts:\n  a:\n    name: h\n  a:\n    name: x\n": `:4: the key "a" is given twice`,
		"host: 1\n":                           `:1: unknown key "host"`,
		"log: 1\n":                            `:1: unknown key "log"`,
		"Log: 1\n":                            `:1: unknown key "Log"`,
		"\"-\": 1\n":                          `:1: unknown key "-"`,
		"delay: 2\n":                          ":1: delay: must be a duration such as 30s or 1m30s",
		"hosts:\n  a:\n    wait: &k often\n":  ":3: wait: must be a duration such as 30s or 1m30s",
		"hosts:\n  a:\n    port: ftp\n":       ":3: port: must be a whole number",
		"hosts:\n  a:\n    port: 1.5\n":       ":3: port: must be a whole number",
		"hosts:\n  a:\n    limit: \"1\"\n":    ":3: limit: must be a whole number",
		"hosts:\n  a:\n    port: 021\n":       ":3: port: must be a whole number without a leading zero",
		"hosts:\n  a:\n    limit: -010\n":     ":3: limit: must be a whole number without a leading zero",
		"hosts:\n  a:\n    on: yes\n":         ":3: on: must be true or false",
		"hosts:\n  a:\n    key: 0123\n":       ":3: key: must be a text; put it in quotes",
		"hosts:\n  a:\n    name: 1.10\n":      ":3: name: must be a text; put it in quotes",
		"hosts:\n  a:\n    <<: {key: 0123}\n": ":3: key: must be a text; put it in quotes",
		"hosts:\n  <<: {a: {key: 0123}}\n":    ":2: key: must be a text; put it in quotes",
		"hosts:\n  0123:\n    name: x\n":      ":2: hosts: each key must be a text; put it in quotes",
		"hosts:\n  a: h\n":                    ":2: the value has the wrong type",
		"hosts: &h\n  a: &a\n    port: x\n":   ":3: port: must be a whole number",
		"- a\n":                               ":1: the value has the wrong type",
		"delay: 1s\n---\ndelay: 1s\n":         ":3: a second document; there must be one",
		"":                                    ": is empty",
		"# nothing\n---\n":                    ": is empty",
		"{\"hosts\": {\"a\": {\n\"name\": \"h\", \"prt\": 1}}}": `:2: unknown key "prt"`,
	} {
		_, err := read(text)
		require.EqualError(t, err, "f.yaml"+want, "%s", text)
	}
}

func TestNoErrorShowsWhatIsInTheFile(t *testing.T) {
	for _, value := range []string{
		`"hunter2`, `'hunter2' x`, "@hunter2", "*hunter2", "!hunter2 x", "!!binary hunter2", "hunter2: x",
		"{hunter2: 1}", "[hunter2]", "hunter2\n  name: h", "hunter2\n\tname: h", "hunter2\n    port: x", "hunter2\n    name: &a *a",
		"hunter2\n    wait: hunter2", "hunter2\n    key: hunter2", "\"hunter2\\q\"", "hunter2\n    nokey: hunter2",
		"&hunter2 *hunter2", "hunter2\n    <<: *hunter2", "hunter2\n    <<: hunter2", "? hunter2", "|9 hunter2", "> hunter2\n hunter2",
	} {
		_, err := read("hosts:\n  a:\n    key: " + value + "\n")
		require.Error(t, err, "%s", value)
		assert.NotContains(t, err.Error(), "hunter2", "%s", value)
	}
}

func TestAValueThatStandsWhereAKeyDoesIsNotShown(t *testing.T) {
	for _, text := range []string{
		`{"hosts": {"a": {"key", "hunter2"}}}`, `{"hosts": {"a": {"key", "hunter2", "hunter2"}}}`, "hosts: {a: {key=hunter2}}\n",
		"hosts: {a: {key hunter2}}\n", "hosts:\n  a:\n    hunter2:\n", "hosts:\n  a:\n    key=hunter2: x\n",
		"hosts:\n  a:\n    key:socks5://u:hunter2@h:1delay: 1s\n", `{"hosts": {"a": {"key": "x", "ksocks5://u:hunter2@h:1"}}}`,
		`{"hosts": {"a": {"k://hunter2": 1, "k://hunter2": 1}}}`,
	} {
		_, err := read(text)
		require.Error(t, err, "%s", text)
		assert.NotContains(t, err.Error(), "hunter2", "%s", text)
	}
}

func TestTextsAreReadAsWritten(t *testing.T) {
	for written, want := range map[string]string{
		`'it''s'`: "it's", `"a\"b\\c"`: `a"b\c`, `a"b'c`: `a"b'c`, `"0123"`: "0123", "yes": "yes", `"null"`: "null", "": "",
		`"\u4e2d"`: "中", "中文": "中文", `" x "`: " x ", `"#x"`: "#x", `'%a'`: "%a", "%a": "%a", "|\n      a\n      b": "a\nb\n",
	} {
		f, err := read("hosts:\n  a:\n    key: " + written + "\n    name: " + written + "\n")
		require.NoError(t, err, "%s", written)
		assert.Equal(t, host{Name: want, Key: secret(want)}, f.Hosts["a"], "%s", written)
	}
}

func TestAnchorsAndMergesAreRead(t *testing.T) {
	f, err := read("hosts:\n  a: &a\n    name: &n x\n    wait: 1s\n  b:\n    <<: *a\n    port: 1\n  c: *a\n  d:\n    name: *n\n")
	require.NoError(t, err)
	assert.Equal(t, map[string]host{
		"a": {Name: "x", Wait: time.Second}, "b": {Name: "x", Wait: time.Second, Port: 1}, "c": {Name: "x", Wait: time.Second}, "d": {Name: "x"},
	}, f.Hosts)
}

func TestAKeyMayFollowAQuestionMark(t *testing.T) {
	f, err := read("hosts:\n  ? a\n  : ? name\n    : x\n? delay\n: 1s\n")
	require.NoError(t, err)
	assert.Equal(t, file{Hosts: map[string]host{"a": {Name: "x"}}, Delay: time.Second}, f)
	for text, want := range map[string]string{
		"hosts:\n  ? a\n  : ? nam\n    : x\n":            `f.yaml:3: unknown key "nam"`,
		"hosts:\n  ? 5\n  : {}\n":                        "f.yaml:2: hosts: each key must be a text; put it in quotes",
		"hosts:\n  a: {}\n  ? a\n  : {}\n":               "given twice",
		"hosts:\n  a:\n    ? port\n    : ? x\n      : y": "port: must be a whole number",
	} {
		_, err := read(text)
		require.ErrorContains(t, err, want, text)
	}
}

func TestAByteOrderMarkIsNoPartOfAFile(t *testing.T) {
	f, err := read("\ufeffdelay: 2s\n")
	require.NoError(t, err)
	assert.Equal(t, 2*time.Second, f.Delay)
}
