package chat

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestIsEmoji(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"👍", "😀", "🥹", "❤", "❤️", "☺️", "⭐", "©", "®️", "™", "‼️", "⁉", "ℹ️", "Ⓜ️", "〰️", "〽️", "㊗️", "㊙", "↔️", "▶️", "◾", "➕", "🅰️", "🀄",
		"👍🏽", "☝🏿", "✌🏻", "1️⃣", "#️⃣", "*️⃣", "0⃣", "🇩🇪", "🏴‍☠️", "🏳️‍🌈", "👩‍🚀", "👩🏽‍🚀", "👨‍👩‍👧‍👦", "🧑🏻‍🤝‍🧑🏿", "👩🏽‍❤️‍💋‍👨🏿",
		"🏴\U000E0067\U000E0062\U000E0065\U000E006E\U000E0067\U000E007F", // England
		"🫪", // of 2025: newer than this program's Unicode tables may be
	} {
		if !isEmoji(s) {
			t.Errorf("%q (%s) is none", s, s)
		}
	}
	for _, s := range []string{
		"", " ", "a", "lol", "Ω", "字", "ا", "é", "𝐀", "<b>", "<", "&", "😀<b>", "😀lol", "lol😀", "😀 😀", "👍\n",
		"1", "123", "#", "*", "1️", "12⃣", "⃣", "⃣1", "1😀⃣", "1234😀⃣⃣⃣⃣", "1️⃣2", // digits are text but under their own keycap
		"\x00", "\x1b", "\u0085", "😀\x00", "\u200d", "\ufe0f", "\ufe0f\u200d", "\U000E0067\U000E007F", // nothing that can be seen
		"\u200e", "\u200f", "\u202e", "\u2066", "😀\u202e", "\ufeff", "\u00ad", "\u200b", "\u2028", "😀\u0301", // what turns the text around it
		"\xff", "😀\xf0\x9f", "\xed\xa0\xbd", "\ufffe", string(utf8.RuneError) + "a",
		strings.Repeat("👍", maxEmoji/4+1), "👍" + strings.Repeat("\u200d", maxEmoji),
	} {
		if isEmoji(s) {
			t.Errorf("%q is one", s)
		}
	}
	if longest := strings.Repeat("👍", maxEmoji/4); len(longest) != maxEmoji || !isEmoji(longest) {
		t.Error("one of the greatest length is none")
	}
}

// Whatever passes can be stored, and shown beside names without changing them.
func FuzzIsEmoji(f *testing.F) {
	for _, s := range []string{"👍", "1️⃣", "⃣1", "👩🏽‍🚀", "lol", "<b>", "\u202e", "\xff", "", "😀\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !isEmoji(s) {
			return
		}
		if s == "" || len(s) > maxEmoji || !utf8.ValidString(s) {
			t.Errorf("%q passes", s)
		}
		visible := false
		var before rune
		for _, r := range s {
			switch {
			case unicode.IsControl(r), unicode.IsSpace(r), unicode.Is(unicode.Bidi_Control, r), strings.ContainsRune(`<>&"'`, r), unicode.IsLetter(r) && r != 'ℹ':
				t.Errorf("%q passes with %q", s, r)
			case r == keycap && !strings.ContainsRune("#*0123456789", before):
				t.Errorf("%q passes with the keycap of nothing", s)
			}
			if r != emojiPresentation {
				before = r
			}
			visible = visible || unicode.IsGraphic(r) && !unicode.IsMark(r) || r >= 0x1F000 && r <= 0x1FFFF
		}
		if !visible || strings.ContainsRune("#*0123456789", before) {
			t.Errorf("%q passes", s)
		}
	})
}
