package store

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"unicode/utf16"
	"unicode/utf8"
)

// token is one served value: null, a string without its quotes, or anything
// else as it came.
type token struct {
	kind byte // isNull, isString, isOther
	text []byte
}

const (
	isNull   = 0
	isString = 's'
	isOther  = 'o'
)

// empty reports whether there is nothing in the value.
func (t token) empty() bool { return t.kind == isNull || t.kind == isString && len(t.text) == 0 }

// tokenOf reads raw. A string is as PostgreSQL can hold it, see [CleanText]; it
// lies in raw, or where something had to be replaced at the end of *room.
func tokenOf(raw []byte, room *[]byte) token {
	if len(raw) > 0 && (raw[0] <= ' ' || raw[len(raw)-1] <= ' ') {
		raw = bytes.TrimSpace(raw)
	}
	switch {
	case len(raw) == 0 || string(raw) == "null":
		return token{}
	case raw[0] != '"':
		return token{kind: isOther, text: raw}
	}
	raw = bytes.TrimSuffix(raw[1:], []byte{'"'})
	if bytes.IndexByte(raw, '\\') < 0 && bytes.IndexByte(raw, 0) < 0 && utf8.Valid(raw) {
		return token{kind: isString, text: raw}
	}
	begin := len(*room)
	*room = appendUnescaped(*room, raw)
	return token{kind: isString, text: (*room)[begin:]}
}

// appendUnescaped appends the text that JSON writes as raw between quotes. It
// knows no error: an escape that is none stands for itself.
func appendUnescaped(dst, raw []byte) []byte {
	for len(raw) > 0 {
		n := bytes.IndexByte(raw, '\\')
		if n < 0 {
			n = len(raw)
		}
		dst = appendClean(dst, raw[:n])
		raw = raw[n:]
		if len(raw) < 2 {
			return append(dst, raw...)
		}
		switch c := raw[1]; c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r, size := escapedRune(raw)
			dst = utf8.AppendRune(dst, r)
			raw = raw[size:]
			continue
		case 0:
			dst = utf8.AppendRune(dst, utf8.RuneError)
		default:
			// A quote, a slash or a backslash. Of what begins a rune that is no escape, the rune follows.
			if c >= utf8.RuneSelf {
				raw = raw[1:]
				continue
			}
			dst = append(dst, c)
		}
		raw = raw[2:]
	}
	return dst
}

// appendClean appends text without escapes, see [CleanText].
func appendClean(dst, text []byte) []byte {
	if utf8.Valid(text) && bytes.IndexByte(text, 0) < 0 {
		return append(dst, text...)
	}
	for _, r := range string(text) {
		if r == 0 {
			r = utf8.RuneError
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst
}

// escapedRune reads the \uXXXX, or two of them, that raw begins with.
func escapedRune(raw []byte) (r rune, size int) {
	r, ok := hexRune(raw)
	switch {
	case !ok:
		return utf8.RuneError, min(2, len(raw))
	case r == 0:
		return utf8.RuneError, 6
	case !utf16.IsSurrogate(r):
		return r, 6
	}
	second, ok := hexRune(raw[6:])
	if pair := utf16.DecodeRune(r, second); ok && pair != utf8.RuneError {
		return pair, 12
	}
	return utf8.RuneError, 6
}

// hexRune reads one \uXXXX.
func hexRune(raw []byte) (rune, bool) {
	if len(raw) < 6 || raw[0] != '\\' || raw[1] != 'u' {
		return 0, false
	}
	var b [2]byte
	if _, err := hex.Decode(b[:], raw[2:6]); err != nil {
		return 0, false
	}
	return rune(b[0])<<8 | rune(b[1]), true
}

// pseudonym replaces a value by a digest that joins the tables of a tenant, and not
// those of two. The key is the tenant's id, which is in every row: whoever knows
// the names can work out whose it is. Another key would part what is stored from
// what comes. An empty value stays: that something is missing is nobody's secret.
func pseudonym(tenantID string, t token) token {
	if t.empty() {
		return t
	}
	return token{kind: isString, text: appendPseudonym(nil, tenantID, t.text)}
}

// appendPseudonym appends the keyed digest of a text in hexadecimal digits.
func appendPseudonym(dst []byte, tenantID string, text []byte) []byte {
	mac := hmac.New(sha256.New, []byte(tenantID))
	mac.Write(text)
	return hex.AppendEncode(dst, mac.Sum(nil))
}
