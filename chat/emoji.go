package chat

import (
	"unicode"
	"unicode/utf8"
)

// maxEmoji is the size limit of an emoji in bytes: families of four with skin tones fit.
const maxEmoji = 64

// The parts of emoji sequences (UTS #51) that show nothing by themselves.
const (
	zeroWidthJoiner   = '\u200d'
	emojiPresentation = '\ufe0f'
	keycap            = '\u20e3'
)

// isEmoji says whether s can be a reaction: pictures and what joins them, no text. It does
// not know which of them exist, so that those of next year's Unicode are taken too.
func isEmoji(s string) bool {
	if len(s) > maxEmoji || !utf8.ValidString(s) {
		return false
	}
	pictures, capless := 0, false // capless: what came before is text without a keycap
	for _, r := range s {
		if capless && r != keycap && r != emojiPresentation {
			return false
		}
		switch {
		case r >= 0x1F000 && r <= 0x1FFFF, r == '©', r == '®', r >= 0x2000 && unicode.In(r, unicode.So, unicode.Sm):
			pictures++
		case r >= 0xE0020 && r <= 0xE007F: // tags spell out the flag that they follow
		case r == '‼' || r == '⁉' || r == 'ℹ' || r == '〰' || r == '〽':
			pictures++
		case r == '#' || r == '*' || r >= '0' && r <= '9':
			capless = true
		case r == keycap && capless:
			pictures++
			capless = false
		case r == zeroWidthJoiner || r == emojiPresentation:
		default:
			return false
		}
	}
	return pictures > 0 && !capless
}
