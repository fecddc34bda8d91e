package text

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Visible says whether there is anything to see in s. White space, controls, characters that
// fonts leave out, and marks without a base are not.
func Visible(s string) bool { return strings.IndexFunc(s, isVisible) >= 0 }

func isVisible(r rune) bool {
	switch {
	case r > ' ' && r < 0x7f: // most texts end here
		return true
	case unicode.IsSpace(r), unicode.In(r, unicode.Z, unicode.M, unicode.Cc, unicode.Cs, unicode.Noncharacter_Code_Point):
		return false
	case r == brailleBlank, r == objectReplacement, r == nullNotehead, r == fullBlank, r == halfBlank:
		return false
	}
	return !isHidden(r)
}

// isHidden says whether a text engine shows nothing for r, or only what it does to others: the
// default-ignorable code points and the other format characters.
func isHidden(r rune) bool {
	if unicode.Is(unicode.Prepended_Concatenation_Mark, r) {
		return false // format characters by name, and shown
	}
	return unicode.In(r, unicode.Cf, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point)
}

// What Line refuses.
var (
	ErrNotUTF8   = errors.New("not UTF-8")
	ErrInvisible = errors.New("nothing visible")
	ErrHidden    = errors.New("control or invisible characters")
	ErrLoneMark  = errors.New("a mark without a base")
)

// Line gives the stored form of a name or a title: trimmed and composed (NFC). It refuses what
// shows nothing, and what cannot be seen inside: lines that look the same have to be the same.
func Line(s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", ErrNotUTF8
	}
	s = norm.NFC.String(strings.TrimSpace(s))
	if !Visible(s) {
		return "", ErrInvisible
	}
	runes := []rune(s)
	base := false // there is something that a mark can stand on
	for i, r := range runes {
		switch {
		case unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp, unicode.Noncharacter_Code_Point):
			return "", ErrHidden
		case isHidden(r):
			if !isMeant(runes, i) {
				return "", ErrHidden
			}
		case unicode.IsMark(r):
			if !base {
				return "", ErrLoneMark
			}
		case unicode.IsSpace(r):
			base = false
		case !isVisible(r):
			return "", ErrHidden // a blank that is no white space
		default:
			base = true
		}
	}
	return s, nil
}

// isMeant says whether the hidden character at i changes how its neighbours are shown.
func isMeant(runes []rune, i int) bool {
	before, after := rune(0), rune(0)
	if i > 0 {
		before = runes[i-1]
	}
	if i+1 < len(runes) {
		after = runes[i+1]
	}
	switch r := runes[i]; {
	case r == textStyle, r == emojiStyle:
		return isPicture(before) || isKey(before) && after == enclosingKeycap
	case r == zeroWidthJoiner && isPicture(after):
		return isPicture(before) || before == emojiStyle
	case r == zeroWidthJoiner, r == zeroWidthNonJoiner:
		return isJoining(before) && isJoining(after)
	case r >= firstTag && r <= cancelTag:
		return inTaggedFlag(runes, i)
	case unicode.Is(unicode.Mongolian, r), r == '\u180e': // variants of Mongolian letters
		return unicode.Is(unicode.Mongolian, before)
	case unicode.Is(unicode.Variation_Selector, r): // variants of ideographs
		return unicode.Is(unicode.Han, before)
	}
	return false
}

// inTaggedFlag says whether the tag at i belongs to a flag.
func inTaggedFlag(runes []rune, i int) bool {
	from := i
	for from > 0 && runes[from] != blackFlag {
		from--
	}
	to := i + 1
	for to < len(runes) && runes[to-1] != cancelTag {
		to++
	}
	return isFlag(string(runes[from:to]))
}

// joining are the scripts in which a joiner or non-joiner between letters changes their shape.
var joining = []*unicode.RangeTable{
	unicode.Arabic, unicode.Syriac, unicode.Mandaic, unicode.Manichaean, unicode.Mongolian, unicode.Nko, unicode.Phags_Pa,
	unicode.Adlam, unicode.Hanifi_Rohingya, unicode.Sogdian, unicode.Psalter_Pahlavi,
	unicode.Devanagari, unicode.Bengali, unicode.Gurmukhi, unicode.Gujarati, unicode.Oriya, unicode.Tamil, unicode.Telugu,
	unicode.Kannada, unicode.Malayalam, unicode.Sinhala, unicode.Khmer, unicode.Myanmar, unicode.Tibetan, unicode.Javanese, unicode.Balinese,
}

func isJoining(r rune) bool {
	return (unicode.IsLetter(r) || unicode.IsMark(r)) && unicode.In(r, joining...)
}
