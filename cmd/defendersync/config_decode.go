package main

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// problem is one mistake in the file, at its place.
type problem struct {
	file      string
	line, col int
	path      string // such as streams.defaults.schedule; "" for the file as a whole
	message   string
}

func (p problem) String() string {
	s := fmt.Sprintf("%s:%d:%d: ", p.file, p.line, p.col)
	if p.path != "" {
		s += p.path + ": "
	}
	return s + p.message
}

// problems is every mistake of a file in its order, one line each.
type problems []problem

func (ps problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Interfaces of what a field may be, besides a struct, a slice, an int, a bool
// or a string.
type (
	// textSetter is a scalar with a meaning of its own. Its error says what is
	// wrong without repeating the text, which may have come from the environment.
	textSetter interface{ setText(text string) error }
	// sourceSetter is given the text before expansion, to expand it whenever it is needed.
	sourceSetter interface {
		setSource(source string, env environment) error
	}
	// confidential text is not repeated in errors, not even as it stands in the file.
	confidential interface{ confidential() }
	// defaulter is a struct that does not begin as its zero value.
	defaulter interface{ setDefaults() }
)

// decoder fills a Go value from a file: strictly, with the expansion of
// ${...} in each scalar after YAML has been parsed, and with the place of
// everything. It goes on after a mistake so that one run shows them all.
type decoder struct {
	file   string
	env    environment
	places map[string]*token.Token // where each value begins, by path
	found  problems
}

func newDecoder(file string, env environment) *decoder {
	return &decoder{file: file, env: env, places: make(map[string]*token.Token)}
}

// problems are the mistakes found so far, or nil.
func (d *decoder) problems() error {
	if len(d.found) == 0 {
		return nil
	}
	slices.SortStableFunc(d.found, func(a, b problem) int {
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.col, b.col))
	})
	return d.found
}

func (d *decoder) fail(at *token.Token, path, format string, args ...any) {
	p := problem{file: d.file, line: 1, col: 1, path: path, message: fmt.Sprintf(format, args...)}
	if at != nil && at.Position != nil {
		p.line, p.col = at.Position.Line, at.Position.Column
	}
	p.message = strings.Join(strings.Fields(p.message), " ")
	d.found = append(d.found, p)
}

// failAt reports a mistake at a path of the file: at its value, or at the
// nearest place above it that is there.
func (d *decoder) failAt(path, format string, args ...any) {
	for above := path; ; {
		if at, ok := d.places[above]; ok {
			d.fail(at, path, format, args...)
			return
		}
		cut := strings.LastIndexAny(above, ".[")
		if cut < 0 {
			d.fail(nil, path, format, args...)
			return
		}
		above = above[:cut]
	}
}

// has says whether the file gives path a value, were it an empty one.
func (d *decoder) has(path string) bool {
	_, ok := d.places[path]
	return ok
}

// document decodes a file's content into v, a pointer to a struct.
func (d *decoder) document(content []byte, v any) {
	if !utf8.Valid(content) {
		d.fail(nil, "", "is not UTF-8 text")
		return
	}
	f, err := parser.ParseBytes(content, 0)
	var syntax yaml.Error
	switch {
	case errors.As(err, &syntax):
		d.fail(syntax.GetToken(), "", "not valid YAML: %s%s", tabNamed(syntax.GetMessage()), bracesHint(content, syntax.GetToken()))
	case err != nil:
		d.fail(nil, "", "not valid YAML")
	case len(f.Docs) > 1:
		d.fail(f.Docs[1].Start, "", "a second document begins here; keep one")
	case len(f.Docs) == 1 && f.Docs[0].Body != nil:
		d.node(f.Docs[0].Body, "", reflect.ValueOf(v).Elem())
	}
}

// tabNamed is a YAML error in which a tab can be seen.
func tabNamed(message string) string {
	if strings.Contains(message, "\t") || strings.Contains(message, "tab character") {
		return "a tab stands here; indent with spaces"
	}
	return message
}

// bracesHint explains the error that ${VAR} without quotes causes inside { }.
func bracesHint(content []byte, at *token.Token) string {
	lines := strings.Split(string(content), "\n")
	if at == nil || at.Position.Line > len(lines) || !strings.Contains(lines[at.Position.Line-1], "${") {
		return ""
	}
	return `; inside { } put "${...}" in quotes`
}

func (d *decoder) node(n ast.Node, path string, v reflect.Value) {
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		d.fail(n.GetToken(), path, "anchors, aliases and tags are not understood; write the value out")
		return
	}
	switch set := v.Addr().Interface().(type) {
	case sourceSetter:
		if source, ok := d.scalar(n, path); ok {
			d.check(n, path, source, set, set.setSource(source, d.env))
		}
		return
	case textSetter:
		if source, ok := d.scalar(n, path); ok {
			if text, ok := d.expand(n, path, source); ok {
				d.check(n, path, source, set, set.setText(text))
			}
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.mapping(n, path, v)
	case reflect.Slice:
		d.sequence(n, path, v)
	default:
		d.plain(n, path, v)
	}
}

// check reports a setter's refusal, with the text as it stands in the file or
// with the variable that it came from.
func (d *decoder) check(n ast.Node, path, source string, set any, err error) {
	if err == nil {
		return
	}
	if _, quiet := set.(confidential); quiet {
		d.fail(n.GetToken(), path, "%v", err)
		return
	}
	d.fail(n.GetToken(), path, "%s %v", d.env.named(source), err)
}

func (d *decoder) mapping(n ast.Node, path string, v reflect.Value) {
	var pairs []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		pairs = n.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{n}
	case *ast.NullNode:
	default:
		d.fail(n.GetToken(), path, "want a mapping (lines of key: value), found %s", describe(n))
		return
	}
	fields := fieldsOf(v)
	for _, pair := range pairs {
		key := pair.Key.GetToken()
		field, ok := fields[key.Value]
		sub := strings.TrimPrefix(path+"."+key.Value, ".")
		if !ok {
			d.fail(key, sub, "unknown key; %s", suggest(key.Value, fields))
			continue
		}
		d.places[sub] = firstToken(pair.Value)
		d.node(pair.Value, sub, field)
	}
}

func (d *decoder) sequence(n ast.Node, path string, v reflect.Value) {
	var items []ast.Node
	switch n := n.(type) {
	case *ast.SequenceNode:
		items = n.Values
	case *ast.NullNode:
		return // as if it were left out
	default:
		d.fail(n.GetToken(), path, "want a list (lines of - item), found %s", describe(n))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
	for i, item := range items {
		sub := fmt.Sprintf("%s[%d]", path, i)
		d.places[sub] = firstToken(item)
		if with, ok := v.Index(i).Addr().Interface().(defaulter); ok {
			with.setDefaults()
		}
		d.node(item, sub, v.Index(i))
	}
}

// plain decodes text, numbers and truth values. Text that was expanded may
// become any of them; text that was not stays text.
func (d *decoder) plain(n ast.Node, path string, v reflect.Value) {
	source, ok := d.scalar(n, path)
	if !ok {
		return
	}
	text, ok := d.expand(n, path, source)
	if !ok {
		return
	}
	expanded := text != source
	switch v.Kind() {
	case reflect.Int:
		number, err := strconv.Atoi(text)
		if _, typed := n.(*ast.IntegerNode); err != nil || !typed && !expanded {
			d.fail(n.GetToken(), path, "%s is not a whole number", d.env.named(source))
			return
		}
		v.SetInt(int64(number))
	case reflect.Bool:
		if _, typed := n.(*ast.BoolNode); text != "true" && text != "false" || !typed && !expanded {
			d.fail(n.GetToken(), path, "%s is neither true nor false", d.env.named(source))
			return
		}
		v.SetBool(text == "true")
	default:
		switch n.(type) {
		case *ast.StringNode, *ast.LiteralNode:
			v.SetString(text)
		default:
			d.fail(n.GetToken(), path, "want text, found %s; put it in quotes", describe(n))
		}
	}
}

func (d *decoder) scalar(n ast.Node, path string) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	case *ast.NullNode:
		d.fail(n.GetToken(), path, "has no value; write one or leave the key out")
	default:
		d.fail(firstToken(n), path, "want one value, found %s", describe(n))
	}
	return "", false
}

func (d *decoder) expand(n ast.Node, path, source string) (string, bool) {
	text, err := d.env.expand(source)
	if err != nil {
		d.fail(n.GetToken(), path, "%v", err)
		return "", false
	}
	return text, true
}

// fieldsOf are the fields of a struct that have a key, those of embedded
// structs among them.
func fieldsOf(v reflect.Value) map[string]reflect.Value {
	fields := make(map[string]reflect.Value)
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Anonymous {
			for key, value := range fieldsOf(v.Field(i)) {
				fields[key] = value
			}
			continue
		}
		if key := f.Tag.Get("yaml"); key != "" {
			fields[key] = v.Field(i)
		}
	}
	return fields
}

func describe(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	case *ast.BoolNode:
		return "true or false"
	case *ast.NullNode:
		return "nothing"
	}
	return "text"
}

// firstToken is where a node begins: for a block mapping its first key, which
// the node itself does not name.
func firstToken(n ast.Node) *token.Token {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		return m.Values[0].Key.GetToken()
	}
	return n.GetToken()
}

// userinfo is the part of a URL, or of what was meant as one, that may hold a password.
var userinfo = regexp.MustCompile(`(?s):.*@`)

// quotable is a value as an error may repeat it: short, and without a password
// that somebody has put into a URL.
func quotable(source string) string {
	return clip(userinfo.ReplaceAllLiteralString(source, ":"+redacted+"@"))
}

// clip keeps a quoted value on one readable line.
func clip(s string) string {
	const limit = 60
	if r := []rune(s); len(r) > limit {
		return string(r[:limit]) + "…"
	}
	return s
}
