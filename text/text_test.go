package text

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// vectors reads one of the files that the interface's tests read as well.
func vectors[T any](t testing.TB, name string) (v T) {
	t.Helper()
	b, err := os.ReadFile("../testdata/text-identity/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestEmoji(t *testing.T) {
	t.Parallel()
	v := vectors[struct {
		Same, Other [][]string
		Refused     []string
	}](t, "emoji")
	t.Run("every_form_of_an_emoji_becomes_the_same", func(t *testing.T) {
		for _, forms := range v.Same {
			for _, form := range forms {
				if got := CanonicalEmoji(form); got != forms[0] {
					t.Errorf("%+q becomes %+q, want %+q", form, got, forms[0])
				}
			}
			if !IsEmoji(forms[0]) {
				t.Errorf("%+q is none", forms[0])
			}
		}
	})
	t.Run("every_recommended_sequence_is_one", func(t *testing.T) {
		all := strings.Fields(joinedEmoji)
		if len(all) < 1600 {
			t.Errorf("%d sequences", len(all))
		}
		for _, s := range all {
			if c := CanonicalEmoji(s); c != s || !IsEmoji(c) {
				t.Errorf("%+q is none", s)
			}
		}
	})
	t.Run("different_emoji_stay_different", func(t *testing.T) {
		for _, pair := range v.Other {
			if CanonicalEmoji(pair[0]) == CanonicalEmoji(pair[1]) {
				t.Errorf("%+q is %+q", pair[0], pair[1])
			}
		}
	})
	t.Run("what_earlier_versions_stored_can_be_taken_back", func(t *testing.T) {
		for _, s := range []string{"👍", "❤️", "👍👍", "❤️👍", "∑", "→", "🀀", "1️⃣2️⃣", "👍\u200d", "🇩", "🏴\U000e0067\U000e007f", "\U0001fc80", "👍\u200d👍"} {
			if !WasEmoji(CanonicalEmoji(s)) {
				t.Errorf("%+q cannot be", s)
			}
		}
		for _, s := range []string{"", " ", "lol", "1", "12⃣", "<b>", "👍 ", "👍\x00", "\u200d", "\u202e👍", "字", strings.Repeat("👍", 33)} {
			if WasEmoji(CanonicalEmoji(s)) {
				t.Errorf("%+q can be", s)
			}
		}
	})
	t.Run("what_is_no_emoji_is_refused", func(t *testing.T) {
		for _, s := range v.Refused {
			if IsEmoji(CanonicalEmoji(s)) {
				t.Errorf("%+q is one", s)
			}
		}
	})
}

func TestVisible(t *testing.T) {
	t.Parallel()
	v := vectors[struct{ Visible, Invisible []string }](t, "visible")
	for _, s := range v.Visible {
		if !Visible(s) {
			t.Errorf("%+q is not visible", s)
		}
	}
	for _, s := range v.Invisible {
		if Visible(s) {
			t.Errorf("%+q is visible", s)
		}
		if line, err := Line("a" + s + "b"); s != "" && err == nil && !strings.ContainsFunc(s, unicode.IsSpace) && !strings.ContainsFunc(s, unicode.IsMark) {
			t.Errorf("%+q is a name with something invisible", line)
		}
	}
}

func TestLine(t *testing.T) {
	t.Parallel()
	v := vectors[struct {
		Kept    [][2]string
		Refused []string
	}](t, "names")
	for _, n := range v.Kept {
		if got, err := Line(n[0]); got != n[1] || err != nil {
			t.Errorf("%+q becomes %+q, %v, want %+q", n[0], got, err, n[1])
		}
	}
	for _, s := range append(v.Refused, "\xff", "a\xffb") {
		if got, err := Line(s); err == nil {
			t.Errorf("%+q becomes %+q", s, got)
		}
	}
}

// found says whether a search for typed finds a name.
func found(name, typed string) bool {
	query, terms := QueryWords(typed), Terms(name)
	return len(query) > 0 && !slices.ContainsFunc(query, func(word string) bool {
		return !slices.ContainsFunc(terms, func(term string) bool { return strings.HasPrefix(term, word) })
	})
}

func TestFold(t *testing.T) {
	t.Parallel()
	v := vectors[struct {
		Fold          [][2]string
		Found, Missed [][]string
	}](t, "fold")
	for _, f := range v.Fold {
		if got := Fold(f[0]); got != f[1] {
			t.Errorf("%q is folded to %q, want %q", f[0], got, f[1])
		}
	}
	for r := rune(1); r <= unicode.MaxRune; r++ {
		if once := Fold(string(r)); Fold(once) != once {
			t.Errorf("%U is folded to %+q, then %+q", r, once, Fold(once))
		}
	}
	for _, f := range v.Found {
		for _, query := range f[1:] {
			if !found(f[0], query) {
				t.Errorf("%q does not find %q: %q", query, f[0], Terms(f[0]))
			}
		}
	}
	for _, f := range v.Missed {
		for _, query := range f[1:] {
			if found(f[0], query) {
				t.Errorf("%q finds %q", query, f[0])
			}
		}
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	v := vectors[struct {
		Cut []struct {
			Text, Cut string
			Limit     int
		}
	}](t, "cut")
	for _, c := range v.Cut {
		if got := Cut(c.Text, c.Limit); got != c.Cut {
			t.Errorf("%+q cut to %d is %+q, want %+q", c.Text, c.Limit, got, c.Cut)
		}
	}
	for _, c := range []struct {
		s     string
		limit int
		want  string
	}{
		{"abc", 3, "abc"}, {"äöü", 3, "ä"}, {"äöü", 4, "äö"}, {"👍🏽x", 8, "👍🏽"}, {"👍🏽x", 7, "👍"}, {"a👍🏽", 7, "a"}, {"ae\u0301", 2, "a"}, {"字", 2, ""},
	} {
		if got := CutBytes(c.s, c.limit); got != c.want {
			t.Errorf("%q cut to %d bytes is %q, want %q", c.s, c.limit, got, c.want)
		}
	}
}

func FuzzEmoji(f *testing.F) {
	for _, s := range []string{"👍", "1️⃣", "⃣1", "👩🏽‍🚀", "lol", "<b>", "\u202e", "\xff", "", "😀\x00", "🇩🇪"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c := CanonicalEmoji(s)
		if CanonicalEmoji(c) != c {
			t.Errorf("%+q becomes %+q, which is not canonical", s, c)
		}
		if !IsEmoji(c) {
			return
		}
		if len(c) > maxEmoji || !utf8.ValidString(c) || !Visible(c) || norm.NFC.String(c) != c {
			t.Errorf("%+q passes", c)
		}
		if strings.ContainsFunc(c, func(r rune) bool {
			return unicode.IsControl(r) || unicode.IsSpace(r) || unicode.Is(unicode.Bidi_Control, r) || unicode.IsLetter(r) && r != 'ℹ'
		}) {
			t.Errorf("%+q passes", c)
		}
		if whole := Cut(c+"x", utf8.RuneCountInString(c)); whole != c {
			t.Errorf("%+q is more than one character: it begins with %+q", c, whole)
		}
	})
}

// What Line gives is stored: it can be given again, and shows something.
func FuzzLine(f *testing.F) {
	for _, s := range []string{"Anna", " Ann ", "\u212a", "a\u202eb", "\xff", "\u200d", "e\u0301", "👩‍🚀", "علی\u200cرضا", strings.Repeat("é", 65)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		line, err := Line(s)
		if err != nil {
			return
		}
		if again, err := Line(line); err != nil || again != line {
			t.Errorf("%+q becomes %+q, then %+q, %v", s, line, again, err)
		}
		if !Visible(line) || !utf8.ValidString(line) || strings.ContainsFunc(line, func(r rune) bool {
			return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)
		}) {
			t.Errorf("%+q passes", line)
		}
	})
}

// Words and terms are such that nothing typed is an operator of the search, and are bounded.
func FuzzFold(f *testing.F) {
	for _, s := range []string{"", "ann", "a b", "'", `\`, "a'b", "!a & (b | c):*", "\xff", "\ufffd", "e\u0301", "\u0301", "a\x00b", "𝄞", "ﷺ", "山田中", strings.Repeat("㌀", 100)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if once := Fold(s); utf8.ValidString(s) && Fold(once) != once {
			t.Errorf("%+q is folded to %+q, then %+q", s, once, Fold(once))
		}
		query := QueryWords(s)
		if len(query) > MaxQueryWords {
			t.Errorf("%d words", len(query))
		}
		for _, word := range append(Terms(s), query...) {
			if word == "" || !utf8.ValidString(word) || utf8.RuneCountInString(word) > maxTerm || strings.ContainsFunc(word, func(r rune) bool {
				return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r)
			}) {
				t.Errorf("%+q gives %+q", s, word)
			}
		}
		if words := QueryWords(s); len(words) > 0 && len(words) < MaxQueryWords && !found(s, s) {
			t.Errorf("%+q does not find itself: %+q in %+q", s, words, Terms(s))
		}
	})
}

func FuzzCut(f *testing.F) {
	for _, s := range []string{"", "abc", "👍🏽👍🏽", "🇩🇪🇫🇷🇮🇹", "e\u0301e\u0301", "a" + strings.Repeat("\u0301", 99), "\xff\xfe", "a\r\nb"} {
		f.Add(s, 3)
	}
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit = max(1, limit%1000)
		for _, c := range []struct {
			cut    string
			length int
		}{{Cut(s, limit), utf8.RuneCountInString(Cut(s, limit))}, {CutBytes(s, limit), len(CutBytes(s, limit))}} {
			if !strings.HasPrefix(s, c.cut) || c.length > limit || utf8.ValidString(s) && !utf8.ValidString(c.cut) {
				t.Errorf("%+q cut to %d is %+q", s, limit, c.cut)
			}
		}
		if s != "" && Cut(s, limit) == "" {
			t.Errorf("nothing is left of %+q", s)
		}
	})
}
