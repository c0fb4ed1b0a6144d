package sync

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// snakeCase is the one rule that names columns and evidence types after the
// source's names: a word begins at a capital after a lower-case letter or
// digit, and at the last capital of a run when a lower-case letter follows;
// digits stay with what precedes them. So InitiatingProcessSHA1 becomes
// initiating_process_sha1 and IsAzureADJoined is_azure_ad_joined. Characters
// that are neither letters nor digits are kept.
func snakeCase(name string) string {
	var b strings.Builder
	b.Grow(len(name) + 8)
	var prev rune
	for i, r := range name {
		if unicode.IsUpper(r) && beginsWord(prev, name[i+utf8.RuneLen(r):]) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
		prev = r
	}
	return b.String()
}

// beginsWord says whether a capital between prev and rest begins a word. The
// first of a name, and one after an underscore, begin one without saying so.
func beginsWord(prev rune, rest string) bool {
	if unicode.IsUpper(prev) {
		next, _ := utf8.DecodeRuneInString(rest)
		return unicode.IsLower(next)
	}
	return unicode.IsLower(prev) || unicode.IsDigit(prev)
}
