package text

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// foldCase maps letters that differ only in case to one of them, ß to ss among them. It is safe
// for concurrent use.
var foldCase = cases.Fold()

// letters are Latin letters that no decomposition leads to their plain form.
var letters = strings.NewReplacer(
	"ı", "i", "ł", "l", "ø", "o", "đ", "d", "ð", "d", "þ", "th", "æ", "ae", "œ", "oe", "ħ", "h", "ŧ", "t", "ŋ", "n", "ĸ", "k",
)

// Fold gives the form in which searches compare texts: without case, accents and the width or
// style of letters (NFKC). Marks that make another letter, as in Japanese or Hindi, stay.
func Fold(s string) string {
	if isLowerASCII(s) {
		return s
	}
	s = strings.Map(func(r rune) rune {
		if isAccent(r) || isHidden(r) {
			return -1
		}
		return r
	}, norm.NFKD.String(s))
	// Case folding prefers the capitals of Cherokee; lower case ends it.
	return norm.NFC.String(letters.Replace(strings.ToLower(foldCase.String(s))))
}

func isLowerASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf || s[i] >= 'A' && s[i] <= 'Z' {
			return false
		}
	}
	return true
}

// isAccent says whether r is a mark that readers leave out when they type: an accent of any
// script, or a vowel point of a Semitic one. The sound marks of Japanese are none.
func isAccent(r rune) bool {
	return unicode.Is(unicode.Mn, r) && unicode.In(r, unicode.Inherited, unicode.Hebrew, unicode.Arabic, unicode.Syriac) &&
		r != '\u3099' && r != '\u309a'
}

const (
	// MaxQueryWords bounds the work of a search.
	MaxQueryWords = 8
	// maxTerm is how many characters of a word count.
	maxTerm = 64
)

// words gives the words of a folded text: letters, digits and their marks.
func words(folded string) []string {
	list := strings.FieldsFunc(folded, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) || r == utf8.RuneError
	})
	for i, w := range list {
		list[i] = head(w, maxTerm)
	}
	return slices.DeleteFunc(list, func(w string) bool { return !Visible(w) })
}

// QueryWords gives the folded words of what a user types into a search, the first few of them.
func QueryWords(typed string) []string {
	list := words(Fold(typed))
	return list[:min(len(list), MaxQueryWords)]
}

// Terms gives what a name is found by: a search finds it if each of its words begins a term.
// In scripts that put no spaces between words a term begins at every letter.
func Terms(name string) []string {
	var list []string
	for _, word := range words(Fold(name)) {
		before := false // the letter before is of a script without spaces
		for i, r := range word {
			if unicode.IsMark(r) {
				continue
			}
			within := unicode.In(r, unspaced...)
			if i == 0 || within || before {
				list = append(list, word[i:])
			}
			before = within
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// unspaced are the scripts in which a word, or in Korean a given name, follows another without a
// space.
var unspaced = []*unicode.RangeTable{
	unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Bopomofo, unicode.Yi, unicode.Thai, unicode.Lao,
	unicode.Khmer, unicode.Myanmar, unicode.Tibetan, unicode.Javanese, unicode.Balinese, unicode.Tai_Le, unicode.New_Tai_Lue, unicode.Tai_Tham, unicode.Tai_Viet,
}
