package kql

import (
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

// shown writes tokens so that a test can be read: w: word, q: quoted name, l:
// literal, and marks as they are.
func shown(tokens []token) string {
	var parts []string
	for _, t := range tokens {
		parts = append(parts, map[kind]string{word: "w:", quoted: "q:", literal: "l:"}[t.kind]+t.text)
	}
	return strings.Join(parts, " ")
}

func TestLex(t *testing.T) {
	for in, want := range map[string]string{
		"":                     "",
		" \t\r\n\u00a0\ufeff ": "",
		"DeviceEvents|take 10": "w:DeviceEvents | w:take l:10",
		"a // b | c\nd":        "w:a w:d",
		"a // b | c\rd":        "w:a w:d",
		"a // b\u2028d":        "w:a w:d",
		"a // b":               "w:a",
		"//":                   "",
		"a / b":                "w:a / w:b",

		`"a"`:                `l:"a"`,
		`"a\"b" c`:           `l:"a\"b" w:c`,
		`"a\\" c`:            `l:"a\\" w:c`,
		`'a\'b' c`:           `l:'a\'b' w:c`,
		`'a"b' "c'd" e`:      `l:'a"b' l:"c'd" w:e`,
		`@"a""b" c`:          `l:@"a""b" w:c`,
		`@'a''b' c`:          `l:@'a''b' w:c`,
		`@"a\" c`:            `l:@"a\" w:c`,
		`h"a" H'b' h@"c\" d`: `l:h"a" l:H'b' l:h@"c\" w:d`,
		`has"a"`:             `w:has l:"a"`,
		`hash`:               `w:hash`,
		`"a // b" c`:         `l:"a // b" w:c`,
		"```a\nb \" '``` c":  "l:```a\nb \" '``` w:c",
		"~~~a\n```~~~ c":     "l:~~~a\n```~~~ w:c",
		"h```a``` c":         "l:h```a``` w:c",
		"~~ ``":              "~ ~ ` `",
		`""`:                 `l:""`,
		`@""`:                `l:@""`,
		`@ a`:                `@ w:a`,
		// One that isn't closed ends with its line, or with the text.
		"\"a\nb":       "l:\"a w:b",
		"'a\r\nb":      "l:'a w:b",
		"\"a\\\nb":     "l:\"a\\ w:b",
		"@\"a\nb":      "l:@\"a w:b",
		"```a\nb":      "l:```a\nb",
		`"a\`:          `l:"a\`,
		`"`:            `l:"`,
		"\"a\\x41\" b": "l:\"a\\x41\" w:b",

		"1 1.5 1d 1.5h 30m 0x1F 1e10 100ms 5ticks": "l:1 l:1.5 l:1d l:1.5h l:30m l:0x1F l:1e10 l:100ms l:5ticks",
		"1..5":           "l:1 .. l:5",
		"1.. 5":          "l:1 .. l:5",
		"ago(7d)..now()": "w:ago ( l:7d ) .. w:now ( )",
		"2022list":       "w:2022list",
		"7z":             "w:7z",
		"$left.DeviceId": "w:$left . w:DeviceId",
		"$":              "w:$",
		"größe_1":        "w:größe_1",
		"a==b":           "w:a == w:b",
		"a=~b":           "w:a =~ w:b",
		"a!~b":           "w:a !~ w:b",
		"a!=b":           "w:a != w:b",
		"a<=b>=c<>d":     "w:a <= w:b >= w:c <> w:d",
		"a!in~(b)":       "w:a ! w:in ~ ( w:b )",
		"project-away a": "w:project - w:away w:a",
		"a;b":            "w:a ; w:b",
		"{\"\":[1]}":     "{ l:\"\" : [ l:1 ] }",
		"“a”":            "“ w:a ”",
		"a\x00b\xffc":    "w:a \x00 w:b \xff w:c",

		`['a b'], ["c"], [ @'d' ]`:       `q:a b , q:c , q:d`,
		`['it\'s'], ["a\\b"], [@"a""b"]`: `q:it's , q:a\b , q:a"b`,
		"[```a```]":                      "q:a",
		`a['b'] a ['c']`:                 `w:a [ l:'b' ] w:a q:c`,
		`f(x)['b']['c'] `:                `w:f ( w:x ) [ l:'b' ] [ l:'c' ]`,
		`f(x) ['b']`:                     `w:f ( w:x ) [ l:'b' ]`,
		`['a']['b']`:                     `q:a [ l:'b' ]`,
		`['a', 'b']`:                     `[ l:'a' , l:'b' ]`,
		`dynamic(['a'])['b'] (['c'])`:    `w:dynamic ( [ l:'a' ] ) [ l:'b' ] ( q:c )`,
		`dynamic({"a":["b"]}) | ['c']`:   `w:dynamic ( { l:"a" : [ l:"b" ] } ) | q:c`,
		`dynamic([["a"],["b"]]) , ['c']`: `w:dynamic ( [ [ l:"a" ] , [ l:"b" ] ] ) , q:c`,
		`(dynamic(['a']), ['b'])`:        `( w:dynamic ( [ l:'a' ] ) , q:b )`,
		`['a`:                            `[ l:'a`,
	} {
		if diff := cmp.Diff(want, shown(lex(in))); diff != "" {
			t.Errorf("%q (-want +got):\n%s", in, diff)
		}
	}
}

func TestLexPairsBrackets(t *testing.T) {
	for in, want := range map[string][]int{
		"([{}])": {5, 4, 3, 2, 1, 0},
		"()()":   {1, 0, 3, 2},
		"(]":     {-1, -1},
		"(]) ()": {2, -1, 0, 4, 3},
		")(":     {-1, -1},
		"((":     {-1, -1},
	} {
		var got []int
		for _, tok := range lex(in) {
			got = append(got, tok.mate)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", in, diff)
		}
	}
}

func TestLexCountsLines(t *testing.T) {
	lines := map[string]int{}
	for _, tok := range lex("a // x\n\n\"b\" ```\n\n``` c\r\nd") {
		lines[tok.text] = tok.line
	}
	want := map[string]int{"a": 1, `"b"`: 3, "```\n\n```": 3, "c": 5, "d": 6}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

// wellLexed checks what holds of the tokens of any text.
func wellLexed(t testing.TB, text string, tokens []token) {
	t.Helper()
	end, line := 0, 1
	for i, tok := range tokens {
		if tok.at < end || tok.end <= tok.at || tok.end > len(text) {
			t.Fatalf("token %d of %q is at %d to %d, after %d", i, text, tok.at, tok.end, end)
		}
		gap := text[end:tok.at]
		if between := strings.TrimFunc(gap, isSpace); between != "" && !strings.HasPrefix(between, "//") {
			t.Fatalf("%q: %q is in no token", text, between)
		}
		if line += strings.Count(text[end:tok.at], "\n"); line != tok.line {
			t.Fatalf("%q: token %d is in line %d, not %d", text, i, line, tok.line)
		}
		line += strings.Count(text[tok.at:tok.end], "\n")
		if tok.mate >= 0 && (tok.mate >= len(tokens) || tokens[tok.mate].mate != i) {
			t.Fatalf("%q: token %d is not its partner's partner", text, i)
		}
		if tok.kind == word && strings.ContainsFunc(tok.text, unicode.IsSpace) {
			t.Fatalf("%q: the word %q has spaces", text, tok.text)
		}
		end = tok.end
	}
}
