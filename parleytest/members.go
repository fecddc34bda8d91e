package parleytest

import (
	"bytes"
	"iter"
	"strconv"
)

// Members walks the members of a JSON object without decoding what it walks over: keys
// without their quotes and escapes as they are, values raw. It ends at the first thing
// that is not the form of an object. It checks no more than it needs to find its way;
// decoding every frame properly would cost the load generator more than the server.
func Members(object []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		b := trim(object)
		if len(b) == 0 || b[0] != '{' {
			return
		}
		for b = trim(b[1:]); len(b) > 0 && b[0] == '"'; b = trim(b[1:]) {
			end := stringEnd(b)
			if end < 0 {
				return
			}
			key := b[1 : end-1]
			b = trim(b[end:])
			if len(b) == 0 || b[0] != ':' {
				return
			}
			b = trim(b[1:])
			end = valueEnd(b)
			if end <= 0 || !yield(key, b[:end]) {
				return
			}
			b = trim(b[end:])
			if len(b) == 0 || b[0] != ',' {
				return
			}
		}
	}
}

// Text is a raw JSON string without its quotes, escapes left as they are; nil if it is
// no string.
func Text(raw []byte) []byte {
	if len(raw) < 2 || raw[0] != '"' {
		return nil
	}
	return raw[1 : len(raw)-1]
}

// Number is a raw JSON integer; 0 if it is none.
func Number(raw []byte) int64 {
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t' || b[0] == '\n' || b[0] == '\r') {
		b = b[1:]
	}
	return b
}

// stringEnd is where the string at the start of b ends; -1 if it does not.
func stringEnd(b []byte) int {
	for i := 1; i < len(b); {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return -1
		}
		i += n + 1
		escapes := 0
		for j := i - 2; j > 0 && b[j] == '\\'; j-- {
			escapes++
		}
		if escapes%2 == 0 {
			return i
		}
	}
	return -1
}

// valueEnd is where the value at the start of b ends; -1 if it does not.
func valueEnd(b []byte) int {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			n := stringEnd(b[i:])
			if n < 0 {
				return -1
			}
			i += n - 1
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return i
			}
		}
	}
	return -1
}
