package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// PostgreSQL's numeric, and so its jsonb, holds 131,072 digits before the point
// and 16,383 after it. Numbers near that are nobody's data.
const (
	maxNumberLen      = 1000
	maxNumberExponent = 10000
)

// CleanText returns s as PostgreSQL can hold it: U+0000 and every byte that is
// not UTF-8 become U+FFFD. A text that is clean already is returned as it is.
func CleanText(s string) string {
	return strings.Map(func(r rune) rune {
		if r == 0 {
			return utf8.RuneError
		}
		return r // an invalid byte arrives here as U+FFFD already
	}, s)
}

// CleanJSON returns the JSON value in b as PostgreSQL's jsonb can hold it:
// U+0000, lone surrogates and invalid UTF-8 inside strings become U+FFFD, and
// a number that numeric cannot hold becomes a string of its digits. Every other
// number keeps its digits. Duplicate names are let through: jsonb keeps the
// last. The error says where b stops being one JSON value. A value that is
// clean already is returned as it is, white space and all.
func CleanJSON(b []byte) ([]byte, error) {
	if isClean(b) {
		return b, nil
	}
	b = bytes.ReplaceAll(b, []byte{0}, []byte("\uFFFD"))
	lenient := []jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true), jsontext.PreserveRawStrings(true)}
	dec := jsontext.NewDecoder(bytes.NewReader(b), lenient...)
	out := bytes.NewBuffer(make([]byte, 0, len(b)))
	enc := jsontext.NewEncoder(out, lenient...)
	for {
		if err := cleanNext(dec, enc); err != nil {
			return nil, fmt.Errorf("store: clean JSON: %w", err)
		}
		if dec.StackDepth() > 0 {
			continue
		}
		switch _, err := dec.ReadToken(); {
		case errors.Is(err, io.EOF):
			return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
		case err != nil:
			return nil, fmt.Errorf("store: clean JSON: after the value: %w", err)
		default:
			return nil, errors.New("store: clean JSON: more than one value")
		}
	}
}

// isClean reports whether b is one JSON value with nothing in it to clean. It
// may say no to one that is.
func isClean(b []byte) bool {
	if !stringIsClean(b) {
		return false
	}
	dec := jsontext.NewDecoder(bytes.NewBuffer(b), jsontext.AllowDuplicateNames(true))
	for {
		var err error
		if dec.PeekKind() == jsontext.KindNumber {
			var number jsontext.Value
			if number, err = dec.ReadValue(); err == nil && !numericHolds(number) {
				return false
			}
		} else {
			_, err = dec.ReadToken()
		}
		if err != nil {
			return false
		}
		if dec.StackDepth() == 0 {
			_, err = dec.ReadToken()
			return errors.Is(err, io.EOF)
		}
	}
}

// cleanNext copies one token. Input that ends early is [io.ErrUnexpectedEOF].
func cleanNext(dec *jsontext.Decoder, enc *jsontext.Encoder) error {
	kind := dec.PeekKind()
	if kind != jsontext.KindString && kind != jsontext.KindNumber {
		tok, err := dec.ReadToken()
		if errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		return enc.WriteToken(tok)
	}
	raw, err := dec.ReadValue()
	switch {
	case err != nil:
		return err
	case kind == jsontext.KindNumber && numericHolds(raw):
		return enc.WriteValue(raw)
	case kind == jsontext.KindNumber:
		return enc.WriteToken(jsontext.String(string(raw)))
	case stringIsClean(raw):
		return enc.WriteValue(raw)
	}
	// The decoder took raw, so all that AppendUnquote can find wrong with it is
	// what it has replaced by U+FFFD.
	text, _ := jsontext.AppendUnquote(nil, raw)
	return enc.WriteToken(jsontext.String(CleanText(string(text))))
}

// stringIsClean reports whether a quoted string needs no second look: it is
// UTF-8 and escapes neither U+0000 nor a surrogate (which may be lone).
func stringIsClean(raw []byte) bool {
	return utf8.Valid(raw) && !bytes.Contains(raw, []byte(`\u0000`)) &&
		!bytes.Contains(raw, []byte(`\ud`)) && !bytes.Contains(raw, []byte(`\uD`))
}

// numericHolds reports whether a JSON number is within PostgreSQL's numeric.
func numericHolds(raw []byte) bool {
	if len(raw) > maxNumberLen {
		return false
	}
	i := bytes.IndexAny(raw, "eE")
	if i < 0 {
		return true
	}
	exponent, err := strconv.Atoi(string(raw[i+1:]))
	return err == nil && -maxNumberExponent < exponent && exponent < maxNumberExponent
}
