package store

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math"
	"strconv"
	"strings"
)

// A field of binary COPY is its length, or -1 for NULL, and then what the
// type's receive function reads. Whatever that function would refuse is found
// here, so that one value never stops the rows around it.

// appendNull appends a field that is NULL.
func appendNull(dst []byte) []byte { return append(dst, 0xff, 0xff, 0xff, 0xff) }

// appendField appends t as a field of the kind. It reports false, and appends
// nothing, where the value does not fit.
func appendField(dst []byte, kind huntKind, t token) ([]byte, bool) {
	if t.kind == isNull || kind != kindText && t.empty() {
		return appendNull(dst), true
	}
	begin := len(dst)
	dst, ok := appendValue(append(dst, 0, 0, 0, 0), kind, t)
	if !ok {
		return dst[:begin], false
	}
	binary.BigEndian.PutUint32(dst[begin:], uint32(len(dst)-begin-4))
	return dst, true
}

// appendValue appends what is in the field.
func appendValue(dst []byte, kind huntKind, t token) ([]byte, bool) {
	switch kind {
	case kindText:
		return appendText(dst, t)
	case kindTime:
		at, ok := parseInstant(t)
		return binary.BigEndian.AppendUint64(dst, uint64(at)), ok
	case kindJSON:
		return appendJSONB(dst, t)
	case kindBoolean:
		v, ok := parseBool(t)
		return append(dst, v), ok
	case kindInteger:
		v, ok := parseInteger(t)
		return binary.BigEndian.AppendUint32(dst, uint32(v)), ok && v == int64(int32(v))
	case kindBigint:
		v, ok := parseInteger(t)
		return binary.BigEndian.AppendUint64(dst, uint64(v)), ok
	case kindDouble:
		v, ok := parseDouble(t)
		return binary.BigEndian.AppendUint64(dst, math.Float64bits(v)), ok
	case kindNumeric:
		return appendNumeric(dst, t)
	case kindUUID:
		return appendUUID(dst, t)
	case kindInterval:
		span, ok := parseSpan(t)
		dst = binary.BigEndian.AppendUint64(dst, uint64(span.micros))
		dst = binary.BigEndian.AppendUint32(dst, uint32(span.days))
		return binary.BigEndian.AppendUint32(dst, 0), ok // months
	}
	return dst, false
}

// appendText takes every value: a number or a document in a column of texts is
// its text.
func appendText(dst []byte, t token) ([]byte, bool) {
	if t.kind == isString {
		return append(dst, t.text...), true
	}
	return appendClean(dst, t.text), true
}

// parseBool takes true and false, 1 and 0, quoted or not.
func parseBool(t token) (byte, bool) {
	switch strings.ToLower(string(t.text)) {
	case "true", "1":
		return 1, true
	case "false", "0":
		return 0, true
	}
	return 0, false
}

// parseInteger takes whole numbers in every notation, quoted or not.
func parseInteger(t token) (int64, bool) {
	if v, err := strconv.ParseInt(string(t.text), 10, 64); err == nil {
		return v, true
	}
	d, ok := parseDecimal(t.text)
	if !ok || d.special != 0 {
		return 0, false
	}
	return d.whole()
}

// parseDouble takes numbers, quoted or not, and the words for what is none.
func parseDouble(t token) (float64, bool) {
	switch strings.ToLower(string(t.text)) {
	case "nan":
		return math.NaN(), true
	case "infinity", "inf":
		return math.Inf(1), true
	case "-infinity", "-inf":
		return math.Inf(-1), true
	}
	if !isNumber(t.text) {
		return 0, false
	}
	v, err := strconv.ParseFloat(string(t.text), 64)
	return v, err == nil
}

// isNumber keeps out what Go reads as a number and JSON does not: hexadecimal
// digits and underscores.
func isNumber(text []byte) bool {
	return len(text) > 0 && len(bytes.Trim(text, "0123456789+-.eE")) == 0 && bytes.ContainsAny(text, "0123456789")
}

// appendUUID takes the common ways to write a GUID.
func appendUUID(dst []byte, t token) ([]byte, bool) {
	text := t.text
	if n := len(text); n == 38 && (text[0] == '{' && text[n-1] == '}' || text[0] == '(' && text[n-1] == ')') {
		text = text[1 : n-1]
	}
	if t.kind != isString {
		return dst, false
	}
	if len(text) == 36 && text[8] == '-' && text[13] == '-' && text[18] == '-' && text[23] == '-' {
		var plain [32]byte
		copy(plain[:8], text[:8])
		copy(plain[8:12], text[9:13])
		copy(plain[12:16], text[14:18])
		copy(plain[16:20], text[19:23])
		copy(plain[20:], text[24:])
		text = plain[:]
	}
	if len(text) != 32 {
		return dst, false
	}
	begin := len(dst)
	dst = append(dst, make([]byte, 16)...)
	if _, err := hex.Decode(dst[begin:], text); err != nil {
		return dst[:begin], false
	}
	return dst, true
}
