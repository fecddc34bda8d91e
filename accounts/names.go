package accounts

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"parley/problem"
	"parley/text"
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

// CleanLine gives the stored form of a line that people see, up to a number of characters: see
// text.Line. An error names the field and has the code invalid.
func CleanLine(field, s string, limit int) (string, error) {
	line, err := text.Line(s)
	switch {
	case errors.Is(err, text.ErrHidden):
		return "", fieldError(problem.Invalid, field, "Remove control characters and invisible characters.")
	case errors.Is(err, text.ErrLoneMark):
		return "", fieldError(problem.Invalid, field, "Put a letter before every accent.")
	case err != nil, utf8.RuneCountInString(line) > limit:
		return "", fieldError(problem.Invalid, field, fmt.Sprintf("Use 1 to %d visible characters.", limit))
	}
	return line, nil
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

// searchTerms gives what a display name is found by, as it is stored.
func searchTerms(name string) string { return strings.Join(text.Terms(name), " ") }

// searchQuery turns what a user types into a tsquery that matches names in which every word
// begins some term. Words are letters, digits and their marks alone, so that nothing typed is
// ever an operator. Empty if there is no word.
func searchQuery(typed string) string {
	var b strings.Builder
	for i, w := range text.QueryWords(typed) {
		if i > 0 {
			b.WriteString(" & ")
		}
		b.WriteString("'" + w + "':*")
	}
	return b.String()
}
