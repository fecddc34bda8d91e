// Package text decides when two texts are the same, and what of a text can be seen: the stored
// form of reactions, names and titles, the folded form that searches compare, and where a text
// may be cut. It knows nothing of users or messages.
//
// testdata/text-identity holds what it promises as JSON. The interface runs the same files.
package text

//go:generate node tables.mjs

// Characters with a meaning here that cannot be read in the source.
const (
	zeroWidthNonJoiner = '\u200c'
	zeroWidthJoiner    = '\u200d'
	textStyle          = '\ufe0e' // asks for the emoji before it as text
	emojiStyle         = '\ufe0f' // asks for the character before it as a picture
	enclosingKeycap    = '\u20e3'
	blackFlag          = '\U0001f3f4'
	firstTag           = '\U000e0020'
	cancelTag          = '\U000e007f'
	firstIndicator     = '\U0001f1e6' // regional indicator A
	lastIndicator      = '\U0001f1ff'
	lightestSkin       = '\U0001f3fb'
	darkestSkin        = '\U0001f3ff'
	brailleBlank       = '\u2800'
	objectReplacement  = '\ufffc'
	nullNotehead       = '\U0001d159'
	fullBlank          = '\U00013441' // Egyptian, as is the half blank after it
	halfBlank          = '\U00013442'
)
