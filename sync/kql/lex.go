package kql

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

type kind uint8

const (
	word    kind = iota // an identifier or keyword, a leading $ included
	quoted              // a name in brackets, ['…']; its text is the name
	literal             // a string, a number or a timespan
	mark                // an operator, a bracket or anything else
)

// A token is a piece of a query that is neither space nor comment.
type token struct {
	kind    kind
	text    string
	at, end int // where it is written, in bytes
	line    int // from 1
	mate    int // of a bracket: the index of its partner; -1 for others
}

// lexer cuts a query into tokens. Whatever the text is, it gets to its end:
// what makes no sense becomes a mark of one character.
type lexer struct {
	text   string
	at     int
	line   int
	tokens []token
	open   []int // brackets that wait for their partners
	frozen int   // how many brackets were open around the outermost dynamic(, plus one; 0: none
}

func lex(text string) []token {
	l := &lexer{text: text, line: 1}
	for l.space(); l.at < len(l.text); l.space() {
		l.next()
	}
	return l.tokens
}

// space steps over what separates tokens.
func (l *lexer) space() {
	for l.at < len(l.text) {
		if strings.HasPrefix(l.text[l.at:], "//") {
			l.advance(lineEnd(l.text[l.at:]))
			continue
		}
		r, n := utf8.DecodeRuneInString(l.text[l.at:])
		if !isSpace(r) {
			return
		}
		l.advance(n)
	}
}

func (l *lexer) advance(n int) {
	l.line += strings.Count(l.text[l.at:l.at+n], "\n")
	l.at += n
}

func (l *lexer) next() {
	rest := l.text[l.at:]
	r, size := utf8.DecodeRuneInString(rest)
	switch {
	case stringLen(rest) > 0:
		l.add(literal, stringLen(rest))
	case r == '$' || isLetter(r):
		l.add(word, size+wordLen(rest[size:]))
	case '0' <= r && r <= '9':
		l.digits(rest)
	case strings.ContainsRune("([{", r):
		l.opening(rest)
	case strings.ContainsRune(")]}", r):
		l.closing(r)
	default:
		l.add(mark, markLen(rest, size))
	}
}

func (l *lexer) add(k kind, n int) {
	l.tokens = append(l.tokens, token{kind: k, text: l.text[l.at : l.at+n], at: l.at, end: l.at + n, line: l.line, mate: -1})
	l.advance(n)
}

// opening takes a bracket, or a whole quoted name.
func (l *lexer) opening(rest string) {
	if name, n := quotedName(rest); n > 0 && l.named() {
		l.add(quoted, n)
		l.tokens[len(l.tokens)-1].text = name
		return
	}
	if last := len(l.tokens) - 1; l.frozen == 0 && rest[0] == '(' && last >= 0 && l.tokens[last].text == "dynamic" {
		l.frozen = len(l.open) + 1
	}
	l.open = append(l.open, len(l.tokens))
	l.add(mark, 1)
}

// named says whether a bracketed string here is a name: not an element of what
// is before it, nor an array inside a dynamic literal.
func (l *lexer) named() bool {
	if l.frozen > 0 {
		return false
	}
	if len(l.tokens) == 0 {
		return true
	}
	last := l.tokens[len(l.tokens)-1]
	switch last.text {
	case ")", "]":
		return false
	}
	return last.kind != quoted && (last.kind != word || last.end < l.at)
}

// closing pairs a bracket with the innermost open one when that is of its
// sort. Otherwise neither gets a partner from here: the text is broken.
func (l *lexer) closing(r rune) {
	last := len(l.open) - 1
	if last >= 0 && strings.IndexRune(")]}", r) == strings.Index("([{", l.tokens[l.open[last]].text) {
		open := l.open[last]
		l.tokens[open].mate = len(l.tokens)
		l.add(mark, 1)
		l.tokens[len(l.tokens)-1].mate = open
		l.open = l.open[:last]
		if len(l.open) < l.frozen {
			l.frozen = 0
		}
		return
	}
	l.add(mark, 1)
}

// quotedName reads ['…'] or ["…"].
func quotedName(s string) (name string, n int) {
	if s[0] != '[' {
		return "", 0
	}
	rest := strings.TrimLeftFunc(s[1:], isSpace)
	length := stringLen(rest)
	if length == 0 {
		return "", 0
	}
	tail := strings.TrimLeftFunc(rest[length:], isSpace)
	if !strings.HasPrefix(tail, "]") {
		return "", 0
	}
	return unquote(rest[:length]), len(s) - len(tail) + 1
}

// unquote is what a string says. Of the escapes it knows those that a name
// would hold.
func unquote(s string) string {
	s = strings.TrimLeft(s, "hH")
	verbatim := strings.HasPrefix(s, "@")
	s = strings.TrimPrefix(s, "@")
	for _, q := range multiline {
		if strings.HasPrefix(s, q) {
			return strings.TrimSuffix(s[len(q):], q)
		}
	}
	quote := s[:1]
	s = strings.TrimSuffix(s[1:], quote)
	if verbatim {
		return strings.ReplaceAll(s, quote+quote, quote)
	}
	return strings.NewReplacer(`\\`, `\`, `\'`, `'`, `\"`, `"`).Replace(s)
}

// multiline are the quotes of strings that may span lines.
var multiline = []string{"```", "~~~"}

// stringLen is the length of the string literal that s begins with, 0 if it
// begins with none. An h before it hides the string from the service's logs;
// an @ makes its backslashes ordinary. One that isn't closed ends with its line,
// or with the text.
func stringLen(s string) int {
	n := 0
	if n < len(s) && (s[n] == 'h' || s[n] == 'H') {
		n++
	}
	verbatim := n < len(s) && s[n] == '@'
	if verbatim {
		n++
	}
	for _, q := range multiline {
		if strings.HasPrefix(s[n:], q) {
			end := strings.Index(s[n+len(q):], q)
			if end < 0 {
				return len(s)
			}
			return n + len(q) + end + len(q)
		}
	}
	if n == len(s) || s[n] != '"' && s[n] != '\'' {
		return 0
	}
	return n + 1 + contentLen(s[n+1:], s[n], verbatim)
}

// contentLen is the length of a string of one line after its opening quote, the
// closing one included.
func contentLen(s string, quote byte, verbatim bool) int {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\r' || c == '\n':
			return i
		case c == '\\' && !verbatim && i+1 < len(s) && s[i+1] != '\r' && s[i+1] != '\n':
			i++
		case c == quote && verbatim && i+1 < len(s) && s[i+1] == quote:
			i++
		case c == quote:
			return i + 1
		}
	}
	return len(s)
}

// wordLen is how much of s goes on with a word.
func wordLen(s string) int {
	for i, r := range s {
		if !isLetter(r) && !unicode.IsDigit(r) {
			return i
		}
	}
	return len(s)
}

// digits takes a number or timespan, 12, 1.5h or 0x1F, or a name that begins
// with digits. The dots of a range, 1..5, are none of it.
func (l *lexer) digits(s string) {
	n := wordLen(s)
	if !isNumber(s[:n]) {
		l.add(word, n)
		return
	}
	if n+1 < len(s) && s[n] == '.' && isDigit(s[n+1]) {
		n += 1 + wordLen(s[n+1:])
	}
	l.add(literal, n)
}

// units are what may follow the digits of a number, if anything does: of
// timespans, and of a power of ten.
var units = words(`d day days h hr hrs hour hours m min mins minute minutes s sec secs second seconds ms milli millis
millisecond milliseconds micro micros microsecond microseconds nano nanos nanosecond nanoseconds tick ticks e l`)

func isNumber(s string) bool {
	suffix := strings.ToLower(strings.TrimLeft(s, "0123456789"))
	if suffix == "" || units[suffix] || strings.HasPrefix(s, "0x") || strings.HasPrefix(s, "0X") {
		return true
	}
	return suffix[0] == 'e' && strings.Trim(suffix[1:], "0123456789") == ""
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// pairs are the operators of two characters. A single = means something else
// than the one in them.
var pairs = []string{"==", "=~", "=>", "!=", "!~", "<=", ">=", "<>", ".."}

func markLen(s string, size int) int {
	if len(s) >= 2 && slices.Contains(pairs, s[:2]) {
		return 2
	}
	return size
}

// lineEnd is the length of a comment's line without what ends it.
func lineEnd(s string) int {
	if i := strings.IndexAny(s, "\r\n\u2028\u2029"); i >= 0 {
		return i
	}
	return len(s)
}

// isSpace is wider than the usual, by what copied text brings along: the
// zero-width space and the byte order mark.
func isSpace(r rune) bool {
	return unicode.IsSpace(r) || r == '\u200b' || r == '\u180e' || r == '\ufeff'
}

func isLetter(r rune) bool { return r == '_' || unicode.IsLetter(r) }
