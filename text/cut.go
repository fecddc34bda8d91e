package text

import (
	"unicode/utf8"

	"github.com/rivo/uniseg"
)

// Cut gives the beginning of s, at most limit characters (code points) of it, and never part of
// a grapheme cluster: an emoji or an accented letter is there as a whole or not at all. A first
// cluster longer than the limit is the exception; it is cut.
func Cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	// The boundary after the limit depends on one character more. Reading no further bounds the
	// work for clusters of thousands of marks.
	return cutAt(head(s, limit+1), len(head(s, limit)))
}

// CutBytes is Cut by bytes of UTF-8.
func CutBytes(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	end := limit
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	_, size := utf8.DecodeRuneInString(s[end:])
	return cutAt(s[:end+size], end)
}

// cutAt gives the clusters of s that end at or before end, which is between two characters.
func cutAt(s string, end int) string {
	if end == len(s) {
		return s
	}
	whole := 0
	for rest, state := s, -1; rest != ""; {
		var cluster string
		cluster, rest, _, state = uniseg.FirstGraphemeClusterInString(rest, state)
		if whole+len(cluster) > end {
			break
		}
		whole += len(cluster)
	}
	if whole == 0 {
		return s[:end]
	}
	return s[:whole]
}

// head gives the first n characters of s.
func head(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}
