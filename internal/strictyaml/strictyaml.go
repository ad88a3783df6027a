// Package strictyaml reads YAML and JSON, of which it is a superset, for programs that would rather refuse a file than
// guess what it means: unknown keys, keys given twice and values of the wrong type are errors that name the line. None of
// them shows the contents of the file, which may be passwords.
package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Decode reads text, one document, into the struct that into points to. Its fields have yaml tags. Durations are written as
// "30s" or "1m30s", texts that look like something else in quotes. Errors begin with name, that of the file.
func Decode(name string, text []byte, into any) error {
	if err := decode(text, into); err != nil {
		return fmt.Errorf("%s%w", name, err) // err begins with ":line:"
	}
	return nil
}

func decode(text []byte, into any) error {
	text = bytes.TrimPrefix(text, []byte("\ufeff")) // editors on Windows write it
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return withoutSource(err)
	}
	docs := slices.DeleteFunc(file.Docs, func(d *ast.DocumentNode) bool { return d.Body == nil })
	if len(docs) == 0 {
		return errors.New(": is empty")
	}
	if len(docs) > 1 {
		return lineError(docs[1].Body, "a second document; there must be one")
	}
	if err := check(docs[0].Body, into); err != nil {
		return err
	}
	if err := yaml.NodeToValue(docs[0].Body, into, yaml.Strict()); err != nil {
		return withoutSource(err)
	}
	return nil
}

// withoutSource keeps of an error of the YAML library the line and what it says about keys and types. Its own text goes
// on with an excerpt of the file, and a syntax error quotes what it could not read.
func withoutSource(err error) error {
	var (
		withToken yaml.Error
		syntax    *yaml.SyntaxError
	)
	if !errors.As(err, &withToken) || withToken.GetToken() == nil {
		return errors.New(": cannot be read")
	}
	line, message := withToken.GetToken().Position.Line, withToken.GetMessage()
	key := strconv.Quote(withToken.GetToken().Value)
	switch {
	case strings.HasPrefix(message, "mapping key "+key): // the parser's, a syntax error, or the decoder's
		if message = "a key is given twice"; word.MatchString(withToken.GetToken().Value) {
			message = "the key " + key + " is given twice"
		}
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
