package defender

import (
	"bytes"
	"fmt"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Object is the top level of one JSON object: its members in the order they
// were served, matched by case (LogonId and LogonID are two columns). Of a
// name that occurs twice the last value holds, as in most decoders.
//
// The typed getters report false for a member that is absent or null, and a
// *TypeError for one whose kind does not fit, so that a caller can keep the
// record and set the one value aside.
type Object struct {
	names  []string
	fields map[string]jsontext.Value
}

// TypeError says that a member is not of the kind that its column needs. It
// names kinds only, never the value.
type TypeError struct {
	Name string // the member; "" for the document itself
	Want string
	Got  string
}

func (e *TypeError) Error() string {
	if e.Name == "" {
		return fmt.Sprintf("want %s, got %s", e.Want, e.Got)
	}
	return fmt.Sprintf("%s: want %s, got %s", e.Name, e.Want, e.Got)
}

// What ParseObject guesses the number of members from.
const (
	memberSize      = 40
	maxMembersGuess = 32
)

// ParseObject reads raw, one JSON object with nothing after it. The object's
// values share raw's memory. Invalid UTF-8 and duplicate names are accepted. A document of another
// kind is a *TypeError; anything else wrong is a syntax error.
func ParseObject(raw jsontext.Value) (Object, error) {
	d := jsontext.NewDecoder(bytes.NewBuffer(raw), lenient()...)
	if k := d.PeekKind(); k != jsontext.KindBeginObject && k != jsontext.KindInvalid {
		return Object{}, &TypeError{Want: "object", Got: kindName(k)}
	}
	if _, err := d.ReadToken(); err != nil {
		return Object{}, fmt.Errorf("parse object: %w", err)
	}
	// Most members of an incident, an alert or a piece of evidence take about
	// this many bytes; too small a guess costs a growth, no more.
	size := min(len(raw)/memberSize, maxMembersGuess)
	o := Object{names: make([]string, 0, size), fields: make(map[string]jsontext.Value, size)}
	for d.PeekKind() != jsontext.KindEndObject {
		if err := o.readMember(d, raw); err != nil {
			return Object{}, fmt.Errorf("parse object: %w", err)
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return Object{}, fmt.Errorf("parse object: %w", err)
	}
	if len(bytes.TrimSpace(raw[d.InputOffset():])) > 0 {
		return Object{}, fmt.Errorf("parse object: data after the object at byte %d", d.InputOffset())
	}
	return o, nil
}

func (o *Object) readMember(d *jsontext.Decoder, raw jsontext.Value) error {
	tok, err := d.ReadToken()
	if err != nil {
		return err
	}
	name := tok.String()
	v, err := d.ReadValue()
	if err != nil {
		return err
	}
	if _, seen := o.fields[name]; !seen {
		o.names = append(o.names, name)
	}
	end := d.InputOffset()
	o.fields[name] = raw[end-int64(len(v)) : end : end]
	return nil
}

// lenient is how everything that Microsoft serves is read: a stray byte or a
// doubled name must not cost a record.
func lenient() []jsontext.Options {
	return []jsontext.Options{jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true)}
}

// Names returns the members' names in the order they were first served. The
// caller must not change the slice.
func (o Object) Names() []string { return o.names }

// Has reports whether the member was served at all, null included.
func (o Object) Has(name string) bool {
	_, ok := o.fields[name]
	return ok
}

// Get returns a member as served, null included, and whether it is there.
func (o Object) Get(name string) (jsontext.Value, bool) {
	v, ok := o.fields[name]
	return v, ok
}

// present returns a member that is neither absent nor null.
func (o Object) present(name string) (jsontext.Value, bool) {
	v, ok := o.fields[name]
	return v, ok && v.Kind() != jsontext.KindNull
}

// Text returns a string member, invalid UTF-8 and lone surrogates as U+FFFD.
func (o Object) Text(name string) (string, bool, error) {
	v, ok := o.present(name)
	if !ok {
		return "", false, nil
	}
	if v.Kind() != jsontext.KindString {
		return "", false, wrongKind(name, "string", v)
	}
	return unquote(v), true, nil
}

// Int64 returns an integer member, also one served as a string of digits, as
// Graph does with ids. Fractions, exponents and overflow are a *TypeError.
func (o Object) Int64(name string) (int64, bool, error) {
	v, ok := o.present(name)
	if !ok {
		return 0, false, nil
	}
	digits := string(v)
	switch v.Kind() {
	case jsontext.KindNumber:
	case jsontext.KindString:
		digits = unquote(v)
	default:
		return 0, false, wrongKind(name, "integer", v)
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return 0, false, &TypeError{name, "integer", kindName(v.Kind()) + " that is no 64-bit integer"}
	}
	return n, true, nil
}

// Bool returns a boolean member.
func (o Object) Bool(name string) (bool, bool, error) {
	v, ok := o.present(name)
	if !ok {
		return false, false, nil
	}
	if k := v.Kind(); k != jsontext.KindTrue && k != jsontext.KindFalse {
		return false, false, wrongKind(name, "boolean", v)
	}
	return v.Kind() == jsontext.KindTrue, true, nil
}

// Time returns a time member in UTC with every digit served; see ParseTime.
func (o Object) Time(name string) (time.Time, bool, error) {
	v, ok := o.present(name)
	if !ok {
		return time.Time{}, false, nil
	}
	if v.Kind() != jsontext.KindString {
		return time.Time{}, false, wrongKind(name, "time", v)
	}
	t, err := ParseTime(unquote(v))
	if err != nil {
		return time.Time{}, false, &TypeError{name, "time", "string that is no RFC 3339 time"}
	}
	return t, true, nil
}

// Array returns the elements of an array member, each as served; an empty
// array is present and has none.
func (o Object) Array(name string) ([]jsontext.Value, bool, error) {
	v, ok := o.present(name)
	if !ok {
		return nil, false, nil
	}
	if v.Kind() != jsontext.KindBeginArray {
		return nil, false, wrongKind(name, "array", v)
	}
	d := jsontext.NewDecoder(bytes.NewBuffer(v), lenient()...)
	if _, err := d.ReadToken(); err != nil {
		return nil, false, fmt.Errorf("read %s: %w", name, err)
	}
	var elems []jsontext.Value
	for d.PeekKind() != jsontext.KindEndArray {
		e, err := d.ReadValue()
		if err != nil {
			return nil, false, fmt.Errorf("read %s: %w", name, err)
		}
		end := d.InputOffset()
		elems = append(elems, v[end-int64(len(e)):end:end])
	}
	return elems, true, nil
}

// Object returns an object member.
func (o Object) Object(name string) (Object, bool, error) {
	v, ok := o.present(name)
	if !ok {
		return Object{}, false, nil
	}
	if v.Kind() != jsontext.KindBeginObject {
		return Object{}, false, wrongKind(name, "object", v)
	}
	inner, err := ParseObject(v)
	if err != nil {
		return Object{}, false, fmt.Errorf("read %s: %w", name, err)
	}
	return inner, true, nil
}

// Strings returns the strings of an array. Its nulls are left out, and so are
// elements of another kind, which are a *TypeError beside the strings. Where all
// elements are of another kind there is nothing to return but the error.
func (o Object) Strings(name string) ([]string, bool, error) {
	elems, ok, err := o.Array(name)
	if !ok || err != nil {
		return nil, false, err
	}
	texts := make([]string, 0, len(elems))
	for _, e := range elems {
		switch e.Kind() {
		case jsontext.KindNull:
		case jsontext.KindString:
			texts = append(texts, unquote(e))
		default:
			err = &TypeError{name, "array of strings", "array with " + kindName(e.Kind())}
		}
	}
	if err != nil && len(texts) == 0 {
		return nil, false, err
	}
	return texts, true, err
}

// ParseTime reads an RFC 3339 time with any number of fraction digits (those
// after the ninth are dropped), with Z, with an offset, or with no zone,
// which the services mean as UTC. The result is in UTC.
func ParseTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		bare, bareErr := time.Parse("2006-01-02T15:04:05", s)
		if bareErr != nil {
			return time.Time{}, err
		}
		t = bare
	}
	return t.UTC(), nil
}

// TruncateMicro cuts t to the microseconds that PostgreSQL keeps. It cuts
// down, where PostgreSQL would round: a cursor that was rounded up skips
// records.
func TruncateMicro(t time.Time) time.Time { return t.Truncate(time.Microsecond) }

// unquote decodes a JSON string that has been read before, so that the only
// error left is invalid UTF-8, already replaced by U+FFFD in the result.
func unquote(v jsontext.Value) string {
	b, _ := jsontext.AppendUnquote(nil, v)
	return string(b)
}

func wrongKind(name, want string, v jsontext.Value) *TypeError {
	return &TypeError{Name: name, Want: want, Got: kindName(v.Kind())}
}

func kindName(k jsontext.Kind) string {
	switch k {
	case jsontext.KindNull:
		return "null"
	case jsontext.KindTrue, jsontext.KindFalse:
		return "boolean"
	case jsontext.KindString:
		return "string"
	case jsontext.KindNumber:
		return "number"
	case jsontext.KindBeginObject:
		return "object"
	case jsontext.KindBeginArray:
		return "array"
	default:
		return "invalid JSON"
	}
}
