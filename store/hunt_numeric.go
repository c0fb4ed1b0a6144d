package store

import (
	"bytes"
	"encoding/binary"
	"strconv"
)

// decimal is a number in digits: 0.d1d2d3… times ten to the point.
type decimal struct {
	negative bool
	digits   []byte // '0' to '9', no zeros around
	point    int
	scale    int // digits behind the point as written: 2.50 has two
	special  byte
}

// The numbers that are none, as decimal.special.
const (
	notANumber  = 'n'
	positiveInf = 'p'
	negativeInf = 'm'
)

// parseDecimal reads a number in every notation that JSON has, and the words
// for what is none.
func parseDecimal(text []byte) (d decimal, ok bool) {
	switch string(bytes.ToLower(text)) {
	case "nan":
		return decimal{special: notANumber}, true
	case "infinity":
		return decimal{special: positiveInf}, true
	case "-infinity":
		return decimal{special: negativeInf}, true
	}
	if !isNumber(text) || !numericHolds(text) {
		return d, false
	}
	mantissa, exponent := text, 0
	if i := bytes.IndexAny(text, "eE"); i >= 0 {
		mantissa = text[:i]
		var err error
		if exponent, err = strconv.Atoi(string(text[i+1:])); err != nil {
			return d, false
		}
	}
	if len(mantissa) > 0 && (mantissa[0] == '-' || mantissa[0] == '+') {
		d.negative = mantissa[0] == '-'
		mantissa = mantissa[1:]
	}
	whole, behind, _ := bytes.Cut(mantissa, []byte("."))
	all := append(append(make([]byte, 0, len(mantissa)), whole...), behind...)
	if len(all) == 0 || len(bytes.Trim(all, "0123456789")) > 0 {
		return d, false
	}
	d.scale = max(0, len(behind)-exponent)
	significant := bytes.TrimLeft(all, "0")
	d.point = len(whole) - (len(all) - len(significant)) + exponent
	d.digits = bytes.TrimRight(significant, "0")
	if len(d.digits) == 0 {
		d.point, d.negative = 0, false
	}
	return d, true
}

// whole returns the number where it is a whole one that 64 bits hold.
func (d decimal) whole() (int64, bool) {
	if len(d.digits) == 0 {
		return 0, true
	}
	if len(d.digits) > d.point || d.point > 19 {
		return 0, false
	}
	text := make([]byte, 0, 20)
	if d.negative {
		text = append(text, '-')
	}
	text = append(text, d.digits...)
	text = append(text, bytes.Repeat([]byte("0"), d.point-len(d.digits))...)
	v, err := strconv.ParseInt(string(text), 10, 64)
	return v, err == nil
}

// appendNumeric appends a numeric: its digits in groups of four, see
// numeric_recv.
func appendNumeric(dst []byte, t token) ([]byte, bool) {
	d, ok := parseDecimal(t.text)
	if !ok {
		return dst, false
	}
	head := func(groups, weight int, sign uint16, scale int) {
		for _, v := range []uint16{uint16(groups), uint16(int16(weight)), sign, uint16(scale)} {
			dst = binary.BigEndian.AppendUint16(dst, v)
		}
	}
	switch d.special {
	case notANumber:
		head(0, 0, 0xc000, 0)
		return dst, true
	case positiveInf:
		head(0, 0, 0xd000, 0)
		return dst, true
	case negativeInf:
		head(0, 0, 0xf000, 0)
		return dst, true
	}
	groups, weight := d.groups()
	sign := uint16(0)
	if d.negative {
		sign = 0x4000
	}
	head(len(groups), weight, sign, d.scale)
	for _, g := range groups {
		dst = binary.BigEndian.AppendUint16(dst, g)
	}
	return dst, true
}

// groups returns the digits four by four, aligned at the point, and the weight
// of the first: how many groups of four stand between it and the point.
func (d decimal) groups() (groups []uint16, weight int) {
	if len(d.digits) == 0 {
		return nil, 0
	}
	lead := ((-d.point)%4 + 4) % 4 // zeros before the first digit
	weight = (d.point+lead)/4 - 1
	padded := append(bytes.Repeat([]byte("0"), lead), d.digits...)
	for len(padded)%4 != 0 {
		padded = append(padded, '0')
	}
	for i := 0; i < len(padded); i += 4 {
		v, _ := digits(padded[i : i+4])
		groups = append(groups, uint16(v))
	}
	return groups, weight
}
