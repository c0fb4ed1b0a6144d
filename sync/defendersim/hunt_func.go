package defendersim

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// memberOf is what a.b and a[b] are called with; no query can name it.
const memberOf = "member of"

type kqlFunction struct {
	min, max int // how many arguments
	typ      string
	do       func(args []any) any
}

var kqlFunctions = map[string]kqlFunction{
	"not":        {1, 1, "bool", func(a []any) any { return a[0] != true }},
	"isempty":    {1, 1, "bool", func(a []any) any { return textOf(a[0]) == "" }},
	"isnotempty": {1, 1, "bool", func(a []any) any { return textOf(a[0]) != "" }},
	"isnull":     {1, 1, "bool", func(a []any) any { return a[0] == nil }},
	"isnotnull":  {1, 1, "bool", func(a []any) any { return a[0] != nil }},
	"tostring":   {1, 1, "string", func(a []any) any { return textOf(a[0]) }},
	"tolower":    {1, 1, "string", func(a []any) any { return strings.ToLower(textOf(a[0])) }},
	"toupper":    {1, 1, "string", func(a []any) any { return strings.ToUpper(textOf(a[0])) }},
	"strlen":     {1, 1, "long", func(a []any) any { return int64(len([]rune(textOf(a[0])))) }},
	"strcat":     {1, 64, "string", func(a []any) any { return joined(a) }},
	"hash":       {1, 2, "long", hashModulo},
	"bin":        {2, 2, "", func(a []any) any { return binOf(a[0], a[1]) }},
	"floor":      {2, 2, "", func(a []any) any { return binOf(a[0], a[1]) }},
	"startofday": {1, 1, "datetime", func(a []any) any { return binOf(a[0], timespan(24*time.Hour/100)) }},
	"iff":        {3, 3, "", choose},
	"iif":        {3, 3, "", choose},
	"case":       {3, 65, "", chooseCase},
	"extract":    {3, 3, "string", extract},
	"parse_json": {1, 1, "dynamic", func(a []any) any { return converted("dynamic", textOf(a[0])) }},
	"todynamic":  {1, 1, "dynamic", func(a []any) any { return converted("dynamic", textOf(a[0])) }},
	memberOf:     {2, 2, "dynamic", func(a []any) any { return member(a[0], a[1]) }},
	"coalesce":   {1, 64, "", firstValue},
	"todatetime": {1, 1, "datetime", func(a []any) any { return converted("datetime", textOf(a[0])) }},
	"totimespan": {1, 1, "timespan", func(a []any) any { return converted("timespan", textOf(a[0])) }},
	"tolong":     {1, 1, "long", func(a []any) any { return converted("long", textOf(a[0])) }},
	"toint":      {1, 1, "int", func(a []any) any { return converted("int", textOf(a[0])) }},
	"todouble":   {1, 1, "real", func(a []any) any { return converted("real", textOf(a[0])) }},
}

func joined(a []any) string {
	var b strings.Builder
	for _, v := range a {
		b.WriteString(textOf(v))
	}
	return b.String()
}

func hashModulo(a []any) any {
	h := hashOf(a[0])
	if len(a) == 2 {
		n, _ := a[1].(int64)
		if n <= 0 {
			return nil
		}
		return h % n
	}
	return h
}

func choose(a []any) any {
	if a[0] == true {
		return a[1]
	}
	return a[2]
}

// chooseCase has a condition before each of its values but the last.
func chooseCase(a []any) any {
	for ; len(a) > 2; a = a[2:] {
		if a[0] == true {
			return a[1]
		}
	}
	return a[len(a)-1]
}

// matches tells whether a text has a piece that a regular expression
// describes; one that is none describes nothing.
func matches(text, expression string) bool {
	re, err := regexp.Compile(expression)
	return err == nil && re.MatchString(text)
}

// extract is a group of a regular expression's first match.
func extract(a []any) any {
	re, err := regexp.Compile(textOf(a[0]))
	n, ok := a[1].(int64)
	if err != nil || !ok {
		return ""
	}
	if m := re.FindStringSubmatch(textOf(a[2])); int(n) < len(m) && n >= 0 {
		return m[n]
	}
	return ""
}

// member is a property of a dynamic object or an element of a dynamic array.
func member(v, of any) any {
	raw, ok := v.(json.RawMessage)
	if !ok {
		return nil
	}
	switch of := of.(type) {
	case string:
		var properties map[string]json.RawMessage
		if json.Unmarshal(raw, &properties) == nil {
			return fromJSON(properties[of])
		}
	case int64:
		var elements []json.RawMessage
		if json.Unmarshal(raw, &elements) == nil && of >= 0 && of < int64(len(elements)) {
			return fromJSON(elements[of])
		}
	}
	return nil
}

// fromJSON is a dynamic value: an object or array stays one.
func fromJSON(raw json.RawMessage) any {
	if len(raw) == 0 || raw[0] == '{' || raw[0] == '[' {
		if len(raw) == 0 {
			return nil
		}
		return raw
	}
	if n, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
		return n
	}
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return nil
	}
	return v
}

func firstValue(a []any) any {
	for _, v := range a {
		if v != nil && v != "" {
			return v
		}
	}
	return nil
}

// converted reads a text as a type; null when it is none.
func converted(typ, text string) any {
	v, err := typedLiteral(typ, text)
	if err != nil {
		return nil
	}
	return v
}
