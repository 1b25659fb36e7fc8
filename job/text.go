package job

import (
	"strings"
	"unicode/utf8"
)

// ErrorText makes what a handler or a program said storable: valid UTF-8, no NUL,
// at most [MaxErrorText] bytes, cut at a character's edge. One NUL would otherwise
// make Postgres refuse the outcomes of 499 other jobs with it.
func ErrorText(s string) string {
	if !storable(s) {
		s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
	}
	if len(s) <= MaxErrorText {
		return s
	}
	cut := MaxErrorText
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut]
}

func storable(s string) bool {
	return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0
}
