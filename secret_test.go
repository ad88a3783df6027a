package ftpclient_test

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/corexalgo/ftpclient"
)

// leakProof fails when text holds the password, in plain or spelled as %x, %X, %d and the like spell it.
func leakProof(t *testing.T, text, how string) {
	t.Helper()
	const password = "hunter2"
	spaceless := strings.NewReplacer(" ", "", "0x", "", "0X", "").Replace(strings.ToLower(text))
	for _, form := range []string{
		password, hex.EncodeToString([]byte(password)), "104 117 110 116 101 114 50", "aHVudGVyMg", "U+0068",
	} {
		assert.NotContains(t, text, form, how)
		assert.NotContains(t, spaceless, form, how)
	}
}

// secretHolders are values that hold the password "hunter2" in every way that the API has room for.
func secretHolders() map[string]any {
	secret := ftpclient.Secret("hunter2")
	server := ftpclient.ServerConfig{Host: "h", Password: secret, Proxy: "socks5://u:hunter2@proxy:1080"}
	odd := ftpclient.ServerConfig{Host: "h", Proxy: "u:hunter2://x@proxy"}
	server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"hunter2"}} // in the place of a key
	cfg := ftpclient.Config{Servers: map[string]ftpclient.ServerConfig{"a": server, "b": odd}}
	return map[string]any{
		"secret": secret, "*secret": &secret, "server": server, "*server": &server, "odd proxy": odd, "config": cfg, "*config": &cfg,
		"map": map[string]any{"k": secret, "s": server}, "slice": []ftpclient.Secret{secret}, "servers": []ftpclient.ServerConfig{server},
		"key": map[ftpclient.Secret]int{secret: 1}, "struct": struct{ S any }{cfg},
		"wrapped": struct{ Err error }{fmt.Errorf("login of %v: %w", server, errors.New("refused"))},
	}
}

func TestNoVerbPrintsASecret(t *testing.T) {
	for name, v := range secretHolders() {
		for _, verb := range "vsqxXdtbcoOUeEfFgGz" {
			for _, flags := range []string{"", "+", "#", " ", "0", "-20", "40", "+#", "# ", ".3", "[1]"} {
				format := "%" + flags + string(verb)
				leakProof(t, fmt.Sprintf(format, v), name+" "+format)
			}
		}
		leakProof(t, fmt.Sprint(v)+fmt.Sprintln(v), name)
		leakProof(t, fmt.Sprintf("%s", []any{v}), name)
		for _, format := range []string{"one too many", "%*d", "%[3]v"} {
			leakProof(t, fmt.Sprintf(format, v), name+" "+format)
		}
	}
}

func TestNoLogAndNoEncodingHoldsASecret(t *testing.T) {
	holders := secretHolders()
	delete(holders, "key") // encoding/json asks no string that is a key
	for name, v := range holders {
		var out bytes.Buffer
		for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
			slog.New(h).Info("m", "v", v, "err", fmt.Errorf("config %v", v))
			slog.New(h).With("v", v).WithGroup("g").Info("m", slog.Group("h", "v", v))
		}
		leakProof(t, out.String(), name+" slog")

		text, err := json.Marshal(v)
		require.NoError(t, err, name)
		leakProof(t, string(text), name+" json")
		text, err = yaml.Marshal(v)
		require.NoError(t, err, name)
		leakProof(t, string(text), name+" yaml")
		text, err = yaml.MarshalWithOptions(v, yaml.JSON())
		require.NoError(t, err, name)
		leakProof(t, string(text), name+" yaml as json")
	}
}

func TestASecretSaysWhetherThereIsOne(t *testing.T) {
	assert.Equal(t, "[redacted]", ftpclient.Secret("x").String())
	assert.Empty(t, ftpclient.Secret("").String())
	assert.Equal(t, `"[redacted]" "" [redacted]`, fmt.Sprintf("%#v %q %x", ftpclient.Secret("x"), ftpclient.Secret(""), ftpclient.Secret("x")))
	assert.Equal(t, "hunter2", ftpclient.Reveal("hunter2"))

	var s ftpclient.Secret
	require.NoError(t, json.Unmarshal([]byte(`"hunter2"`), &s))
	assert.Equal(t, "hunter2", ftpclient.Reveal(s))
}

func TestAMarshalledConfigIsReadAgain(t *testing.T) {
	cfg := ftpclient.Config{Servers: map[string]ftpclient.ServerConfig{"a": {Host: "h", Port: 21, KeepAlive: -1, TLS: ftpclient.TLSExplicit}}}
	for _, marshal := range []func(any) ([]byte, error){json.Marshal, yaml.Marshal} {
		text, err := marshal(cfg)
		require.NoError(t, err)
		got, err := ftpclient.ParseConfig(text)
		require.NoError(t, err, "%s", text)
		assert.Equal(t, cfg, got)
	}
}
