package text

import (
	"strings"
	"unicode"
)

// maxEmoji is the size limit of an emoji in bytes: couples with skin tones fit.
const maxEmoji = 64

// CanonicalEmoji gives the one form of everything that is shown like s: that which Unicode calls
// fully qualified. The style characters U+FE0E and U+FE0F are dropped, and U+FE0F is put after
// each emoji that is shown as text without it. The result says nothing about what s is.
func CanonicalEmoji(s string) string {
	runes := []rune(s)
	bare := runes[:0]
	for _, r := range runes {
		if r != textStyle && r != emojiStyle {
			bare = append(bare, r)
		}
	}
	var b strings.Builder
	for i, r := range bare {
		b.WriteRune(r)
		modified := i+1 < len(bare) && isSkinTone(bare[i+1])
		if (unicode.Is(textEmoji, r) || isKey(r)) && !modified {
			b.WriteRune(emojiStyle)
		}
	}
	return b.String()
}

// IsEmoji says whether s is one emoji in its canonical form: one that Unicode recommends (RGI), as
// of the version in tables.go. Other sequences show as several pictures, or as a box.
func IsEmoji(s string) bool {
	if len(s) > maxEmoji || s != CanonicalEmoji(s) {
		return false
	}
	if key, ok := strings.CutSuffix(s, string(emojiStyle)+string(enclosingKeycap)); ok {
		return len(key) == 1 && isKey(rune(key[0]))
	}
	if isFlag(s) {
		return true
	}
	if strings.ContainsRune(s, zeroWidthJoiner) {
		return strings.Contains(joinedEmoji, " "+s+" ")
	}
	return isElement([]rune(s))
}

// WasEmoji says whether s, in its canonical form, can be among the reactions that earlier
// versions stored: they took any symbols, and several as one.
func WasEmoji(s string) bool {
	keys := 0
	for _, r := range s {
		switch {
		case isKey(r):
			keys++
		case r == enclosingKeycap:
			keys--
		case r == zeroWidthJoiner, r == emojiStyle, r >= firstTag && r <= cancelTag:
		case !isPicture(r) && !unicode.In(r, reservedEmoji, unicode.So, unicode.Sm):
			return false
		}
	}
	return keys == 0 && Visible(s) && len(s) <= 2*maxEmoji
}

// isElement says whether runes are one picture: an emoji, perhaps with a skin tone that it takes or
// with a style.
func isElement(runes []rune) bool {
	switch {
	case len(runes) == 2 && isSkinTone(runes[1]):
		return unicode.Is(tonedEmoji, runes[0])
	case len(runes) == 2 && runes[1] == emojiStyle:
		return unicode.Is(textEmoji, runes[0])
	}
	return len(runes) == 1 && unicode.Is(pictureEmoji, runes[0])
}

// isFlag says whether s is a flag that is spelled out: that of a region, or of one of the parts
// of the United Kingdom, the only ones by tags.
func isFlag(s string) bool {
	runes := []rune(s)
	if len(runes) == 2 && isIndicator(runes[0]) && isIndicator(runes[1]) {
		code := string([]rune{'A' + runes[0] - firstIndicator, 'A' + runes[1] - firstIndicator})
		return strings.Contains(flags, code)
	}
	if len(runes) < 2 || runes[0] != blackFlag || runes[len(runes)-1] != cancelTag {
		return false
	}
	var code strings.Builder
	for _, r := range runes[1 : len(runes)-1] {
		code.WriteRune(r - firstTag + ' ')
	}
	return code.String() == "gbeng" || code.String() == "gbsct" || code.String() == "gbwls"
}

func isPicture(r rune) bool   { return unicode.In(r, textEmoji, pictureEmoji) }
func isSkinTone(r rune) bool  { return r >= lightestSkin && r <= darkestSkin }
func isIndicator(r rune) bool { return r >= firstIndicator && r <= lastIndicator }

// isKey says whether r is shown on a keycap.
func isKey(r rune) bool { return r == '#' || r == '*' || r >= '0' && r <= '9' }
