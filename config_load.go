package ftpclient

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// LoadConfig reads a Config from a YAML or JSON file. Durations are written as "30s" or "1m30s". A key that does not
// exist, a key given twice and a value of the wrong type are errors that name the file and the line. It only reads:
// whether the values make sense is for New to say.
//
// No error shows the contents of the file, passwords least of all.
func LoadConfig(path string) (Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("config: %w", err)
	}
	cfg, err := parseConfig(text)
	if err != nil {
		return Config{}, fmt.Errorf("config: %s%w", path, err) // err begins with ":line:"
	}
	for name, s := range cfg.Servers {
		if s.CAFile != "" && !filepath.IsAbs(s.CAFile) {
			s.CAFile = filepath.Join(filepath.Dir(path), s.CAFile)
			cfg.Servers[name] = s
		}
	}
	return cfg, nil
}

func parseConfig(text []byte) (Config, error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff")) // editors on Windows write it
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return Config{}, withoutSource(err)
	}
	docs := slices.DeleteFunc(file.Docs, func(d *ast.DocumentNode) bool { return d.Body == nil })
	if len(docs) == 0 {
		return Config{}, errors.New(": is empty")
	}
	if len(docs) > 1 {
		return Config{}, lineError(docs[1].Body, "a second document; there must be one")
	}
	if err := checkScalars(docs[0].Body); err != nil {
		return Config{}, err
	}
	var cfg Config
	if err := yaml.NodeToValue(docs[0].Body, &cfg, yaml.Strict()); err != nil {
		return Config{}, withoutSource(err)
	}
	return cfg, nil
}

// withoutSource keeps of an error of the YAML library the line and what it says about keys and types. Its own text goes
// on with an excerpt of the file, and a syntax error quotes what it could not read.
func withoutSource(err error) error {
	var (
		withToken yaml.Error
		syntax    *yaml.SyntaxError
		unknown   *yaml.UnknownFieldError
	)
	if !errors.As(err, &withToken) || withToken.GetToken() == nil {
		return errors.New(": cannot be read")
	}
	line, message := withToken.GetToken().Position.Line, withToken.GetMessage()
	key := strconv.Quote(withToken.GetToken().Value)
	switch {
	case errors.As(err, &unknown):
		message = "unknown key " + key
	case strings.HasPrefix(message, "mapping key "+key): // the parser's, a syntax error, or the decoder's
		message = "the key " + key + " is given twice"
	case errors.As(err, &syntax):
		message = quotedText.ReplaceAllString(message, "…")
	default:
		message = "the value has the wrong type"
	}
	return fmt.Errorf(":%d: %s", line, message)
}

// quotedText is everything from the first quotation mark to the last.
var quotedText = regexp.MustCompile("(?s)[\"'`].*[\"'`]")

func lineError(node ast.Node, text string) error {
	return fmt.Errorf(":%d: %s", node.GetToken().Position.Line, text)
}

// checkScalars looks at the values of known keys before they are decoded. The library reads "port: yes" well enough, but
// gives durations no line, and makes texts of numbers by way of their value: the password 0123 would become 83.
func checkScalars(root ast.Node) error {
	for key, value := range mapping(root) {
		switch keyText(key) {
		case "servers":
			for name, server := range mapping(value) {
				if name.Type() != ast.StringType && name.Type() != ast.MergeKeyType {
					return lineError(name, "the name of a server must be a text; put it in quotes")
				}
				if err := checkFields(server, reflect.TypeFor[ServerConfig]()); err != nil {
					return err
				}
			}
		case "retry":
			if err := checkFields(value, reflect.TypeFor[RetryPolicy]()); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkFields(node ast.Node, typ reflect.Type) error {
	kinds := map[string]reflect.Type{}
	for field := range typ.Fields() {
		kinds[field.Tag.Get("yaml")] = field.Type
	}
	for key, value := range mapping(node) {
		name := keyText(key)
		if kinds[name] == nil {
			continue // unknown: the strict decoder says so
		}
		if err := checkScalar(name, value, kinds[name]); err != nil {
			return err
		}
	}
	return nil
}

func checkScalar(key string, value ast.Node, typ reflect.Type) error {
	if anchor, ok := value.(*ast.AnchorNode); ok {
		value = anchor.Value
	}
	text, isText := value.(*ast.StringNode)
	switch value.Type() {
	case ast.NullType, ast.AliasType, ast.LiteralType:
		return nil
	}
	switch {
	case typ == reflect.TypeFor[time.Duration]():
		if isText {
			if _, err := time.ParseDuration(text.Value); err == nil {
				return nil
			}
		}
		return lineError(value, key+": must be a duration such as 30s or 1m30s")
	case typ.Kind() == reflect.String && !isText:
		return lineError(value, key+": must be a text; put it in quotes")
	case typ.Kind() == reflect.Bool && value.Type() != ast.BoolType:
		return lineError(value, key+": must be true or false")
	case (typ.Kind() == reflect.Int || typ.Kind() == reflect.Int64) && value.Type() != ast.IntegerType:
		return lineError(value, key+": must be a whole number")
	}
	return nil
}

// mapping yields the pairs of a mapping, and nothing for any other node.
func mapping(node ast.Node) iter.Seq2[ast.MapKeyNode, ast.Node] {
	return func(yield func(ast.MapKeyNode, ast.Node) bool) {
		if anchor, ok := node.(*ast.AnchorNode); ok {
			node = anchor.Value
		}
		m, ok := node.(ast.MapNode)
		if !ok {
			return
		}
		for it := m.MapRange(); it.Next(); {
			if !yield(it.Key(), it.Value()) {
				return
			}
		}
	}
}

func keyText(key ast.MapKeyNode) string { return key.GetToken().Value }
