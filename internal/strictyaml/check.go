package strictyaml

import (
	"iter"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// check looks at the keys, and at the values of those that are known, before they are decoded. The library reads "port: yes"
// well enough, but gives durations no line, and makes texts of numbers by way of their value: the password 0123 would become
// 83. What an alias stands for is looked at where it is written.
func check(root ast.Node, into any) error {
	return checkValue("", root, reflect.TypeOf(into).Elem())
}

// checkValue checks the value of key, and all below it.
func checkValue(key string, value ast.Node, typ reflect.Type) error {
	switch typ.Kind() {
	case reflect.Struct:
		return checkFields(value, typ)
	case reflect.Map:
		return checkMap(key, value, typ)
	}
	return checkScalar(key, value, typ)
}

func checkFields(node ast.Node, typ reflect.Type) error {
	types := map[string]reflect.Type{}
	for field := range typ.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		types[name] = field.Type
	}
	for key, value := range mapping(node) {
		name := key.GetToken().Value
		fieldType := types[name]
		switch {
		case key.IsMergeKey():
			fieldType = typ
		case name == "-" || fieldType == nil:
			return lineError(key, "unknown key"+shown(name, value))
		}
		if err := checkValue(name, value, fieldType); err != nil {
			return err
		}
	}
	return nil
}

// word is what may be shown of a key that nobody knows.
var word = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// shown is a key for an error that says that it is none, or "" where it may be a value: in {"password", "secret"} the last is a
// key without a value, and with a colon left out "password secret" is one.
func shown(key string, value ast.Node) string {
	if value.Type() == ast.NullType || !word.MatchString(key) {
		return ""
	}
	return " " + strconv.Quote(key)
}

func checkMap(name string, node ast.Node, typ reflect.Type) error {
	for key, value := range mapping(node) {
		below := typ.Elem()
		switch {
		case key.IsMergeKey():
			below = typ
		case key.Type() != ast.StringType:
			return lineError(key, name+": each key must be a text; put it in quotes")
		}
		if err := checkValue(key.GetToken().Value, value, below); err != nil {
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
	case value.Type() == ast.IntegerType && octal.MatchString(value.GetToken().Value):
		return lineError(value, key+": must be a whole number without a leading zero")
	}
	return nil
}

// octal is how old YAML writes 17: 021.
var octal = regexp.MustCompile(`^[+-]?0[0-9]`)

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
			key := it.Key()
			if explicit, ok := key.(*ast.MappingKeyNode); ok { // "? key", whose token is the question mark
				if inner, ok := explicit.Value.(ast.MapKeyNode); ok {
					key = inner
				}
			}
			if !yield(key, it.Value()) {
				return
			}
		}
	}
}
