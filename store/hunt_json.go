package store

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// maxDepth is how deep a document may be nested to be stored as one. PostgreSQL
// reads documents by recursion, and how deep it can is a matter of its stack.
const maxDepth = 500

// jsonbVersion begins every jsonb on the wire.
const jsonbVersion = 1

// appendJSONB takes every value that is JSON. A string that is a document itself
// is that document: some columns are served the one way here and the other there.
func appendJSONB(dst []byte, t token) ([]byte, bool) {
	dst = append(dst, jsonbVersion)
	if t.kind == isString {
		if c := t.text[0]; c == '{' || c == '[' {
			if doc, ok := document(t.text); ok {
				return append(dst, doc...), true
			}
		}
		return appendQuoted(dst, t.text), true
	}
	doc, ok := document(t.text)
	return append(dst, doc...), ok
}

// document returns text as jsonb takes it, or false where it is no JSON or too deep.
func document(text []byte) ([]byte, bool) {
	depth, plain := inspect(text)
	switch {
	case depth > maxDepth:
		return nil, false
	case plain && stringIsClean(text) && jsontext.Value(text).IsValid(jsontext.AllowDuplicateNames(true)):
		return text, true
	}
	doc, err := CleanJSON(text)
	return doc, err == nil
}

// inspect returns how deep the brackets in text are nested, and whether every
// number in it is one that jsonb surely holds. What is inside strings does not
// count.
func inspect(text []byte) (depth int, plain bool) {
	now, run, quoted := 0, 0, false
	plain = true
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted, run = !quoted, 0
		case quoted:
		case c >= '0' && c <= '9' || c == '.':
			run++
			plain = plain && run < maxNumberLen/2
		case c == 'e' || c == 'E':
			plain = plain && run == 0
		case c == '{' || c == '[':
			now++
			depth, run = max(depth, now), 0
		case c == '}' || c == ']':
			now--
			run = 0
		default:
			run = 0
		}
	}
	return depth, plain
}

// appendQuoted appends a clean text as a JSON string.
func appendQuoted(dst, text []byte) []byte {
	dst, _ = jsontext.AppendQuote(dst, text) // fails for invalid UTF-8 only, and has replaced it then
	return dst
}

// appendMember appends "name":value to an object under way. A value that is no
// JSON, or none that jsonb takes, becomes a string of its text.
func appendMember(dst []byte, name string, value []byte) []byte {
	if len(dst) > 0 && dst[len(dst)-1] != '{' {
		dst = append(dst, ',')
	}
	dst = append(appendQuoted(dst, []byte(CleanText(name))), ':')
	if doc, ok := document(bytes.TrimSpace(value)); ok {
		return append(dst, doc...)
	}
	return appendQuoted(dst, appendClean(nil, value))
}
