package push

import (
	"strings"
	"testing"
)

// A phone shows no half of an emoji, whichever limit of a notification cuts it off.
func TestNotificationIsCutBetweenCharacters(t *testing.T) {
	t.Parallel()
	const family = "👨‍👩‍👧‍👦" // 7 characters, 25 bytes
	for name, c := range map[string]struct{ text, sender, title, body string }{
		"after_1000_characters":      {strings.Repeat("x", 996) + family, "Ann", "Ann", strings.Repeat("x", 996)},
		"after_1200_bytes":           {strings.Repeat("字", 395) + family, "Ann", "Ann", strings.Repeat("字", 395) + "…"},
		"in_a_long_name":             {"x", strings.Repeat("a", 190) + family, strings.Repeat("a", 190) + "…", "x"},
		"in_a_stack_of_marks":        {"x" + strings.Repeat("\u0301", 2000), "Ann", "Ann", "x" + strings.Repeat("\u0301", 599) + "…"},
		"not_what_is_short_enough":   {family, family, family, family},
		"not_where_a_character_ends": {strings.Repeat("x", 993) + family, "Ann", "Ann", strings.Repeat("x", 993) + family},
	} {
		t.Run(name, func(t *testing.T) {
			n := (&turn{}).message(job{count: 1, seq: 1, sender: c.sender, text: c.text}, false)
			if n.Title != c.title || n.Body != c.body {
				t.Errorf("%+q: %+q", n.Title, n.Body)
			}
		})
	}
}
