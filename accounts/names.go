package accounts

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"parley/problem"
)

const maxDisplayName = 64

// Matched before lowering, because some letters outside of ASCII have lower case in it.
var usernameForm = regexp.MustCompile(`^[A-Za-z0-9._-]{2,32}$`)

// cleanUsername gives the stored form of a new username.
func cleanUsername(s string) (string, error) {
	if !usernameForm.MatchString(s) {
		return "", fieldError(problem.Invalid, "username", "A username has 2 to 32 of the letters a to z, digits, and . _ -")
	}
	return strings.ToLower(s), nil
}

// cleanDisplayName gives the stored form of a name people see.
func cleanDisplayName(s string) (string, error) { return CleanLine("display_name", s, maxDisplayName) }

// CleanLine gives the stored form of a line that people see, up to a number of characters:
// trimmed, composed (NFC), without what could break the line, turn the text around it or
// leave nothing to see. An error names the field and has the code invalid.
func CleanLine(field, s string, limit int) (string, error) {
	s = norm.NFC.String(strings.TrimSpace(s))
	visible := false
	for _, r := range s {
		if unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control, unicode.Zl, unicode.Zp) {
			return "", fieldError(problem.Invalid, field, "It holds no control characters.")
		}
		visible = visible || unicode.IsGraphic(r) && !unicode.IsSpace(r)
	}
	if n := utf8.RuneCountInString(s); !visible || n > limit || !utf8.ValidString(s) {
		return "", fieldError(problem.Invalid, field, fmt.Sprintf("It has 1 to %d characters that can be seen.", limit))
	}
	return s, nil
}

// maxUserAgent is how many bytes of a client's description of itself are kept.
const maxUserAgent = 200

// cleanUserAgent makes a header fit to store and to show.
func cleanUserAgent(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	if len(s) > maxUserAgent {
		s = strings.ToValidUTF8(s[:maxUserAgent], "")
	}
	return s
}

// maxSearchWords bounds the work of a search.
const maxSearchWords = 8

// searchQuery turns what somebody types into a tsquery that matches names in which every
// word begins some word. The words are letters, digits and their marks alone, so that
// nothing typed is ever an operator. Empty if there is no word.
func searchQuery(typed string) string {
	words := strings.FieldsFunc(norm.NFC.String(typed), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) || r == utf8.RuneError
	})
	var b strings.Builder
	for i, w := range words[:min(len(words), maxSearchWords)] {
		if i > 0 {
			b.WriteString(" & ")
		}
		b.WriteString("'" + w + "':*")
	}
	return b.String()
}
