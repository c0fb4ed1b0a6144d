package store

import (
	"strings"
	"unicode"
)

// SnakeCase returns name as a table, a column or a kind of evidence is called: a word begins at a
// capital after a lower-case letter or digit, and at the last capital of a run
// when a lower-case letter follows; digits stay with what precedes them. What
// is neither letter nor digit becomes an underscore.
func SnakeCase(name string) string {
	runes := []rune(name)
	var b strings.Builder
	for i, r := range runes {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			b.WriteByte('_')
			continue
		}
		if i > 0 && unicode.IsUpper(r) && beginsWord(runes[i-1], runes[i+1:]) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// beginsWord reports whether a capital between before and after begins a word.
func beginsWord(before rune, after []rune) bool {
	if unicode.IsLower(before) || unicode.IsDigit(before) {
		return true
	}
	return unicode.IsUpper(before) && len(after) > 0 && unicode.IsLower(after[0])
}
