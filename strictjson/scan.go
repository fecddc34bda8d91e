package strictjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// fewNames is how many names of an object are compared with each other without a map.
const fewNames = 16

// scanner goes through a text once. Its functions give false where the scan ends early.
type scanner struct {
	data  []byte
	at    int // the next byte
	saved int // bytes that escapes take beyond their characters
	err   *Error

	names [][]byte // of the objects that are open, decoded
	path  []step   // to where the scan is, where shapes are known
}

// step is a part of a path: a name, or a place in a list.
type step struct {
	name  []byte
	index int
}

func (s *scanner) space() {
	for s.at < len(s.data) {
		switch s.data[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

// value scans a value; depth is how many objects and arrays are around it.
func (s *scanner) value(of *shape, depth int) bool {
	if s.at == len(s.data) {
		return s.malformed()
	}
	switch s.data[s.at] {
	case '{':
		return s.object(of, nil, depth+1)
	case '[':
		return s.array(of, depth+1)
	case '"':
		start := s.at
		plain, ok := s.text()
		if ok && of != nil && of.uuid {
			s.uuid(s.data[start:s.at], plain)
		}
		if ok && of != nil && of.time {
			s.time(s.data[start:s.at])
		}
		return ok
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	default:
		return s.number()
	}
}

// deep refuses what nests too deep, and ends the scan: it calls itself for each level.
func (s *scanner) deep(depth int) bool {
	if depth <= maxDepth {
		return false
	}
	s.refuse("", fmt.Sprintf("nested deeper than %d", maxDepth))
	return true
}

// object scans an object. With members, the values of those are noted and others refused.
func (s *scanner) object(of *shape, members []Member, depth int) bool {
	if s.deep(depth) {
		return false
	}
	first := len(s.names)
	s.at++
	if s.space(); s.at < len(s.data) && s.data[s.at] == '}' {
		s.at++
		return true
	}
	for {
		if s.space(); s.at == len(s.data) || s.data[s.at] != '"' {
			return s.malformed()
		}
		name, ok := s.name()
		if !ok {
			return false
		}
		s.names = append(s.names, name)
		if s.space(); s.at == len(s.data) || s.data[s.at] != ':' {
			return s.malformed()
		}
		s.at++
		s.space()
		start := s.at
		if !s.member(of, name, members != nil, depth) {
			return false
		}
		note(members, name, s.data[start:s.at])
		if members != nil && find(members, name) < 0 {
			s.refuse(string(name), "unexpected property")
		}
		if s.space(); s.at == len(s.data) {
			return s.malformed()
		}
		s.at++
		switch s.data[s.at-1] {
		case ',':
		case '}':
			s.unique(s.names[first:], members, of != nil && of.ids)
			s.names = s.names[:first]
			return true
		default:
			s.at--
			return s.malformed()
		}
	}
}

// member scans the value of a member.
func (s *scanner) member(of *shape, name []byte, known bool, depth int) bool {
	if of == nil {
		return s.value(nil, depth)
	}
	s.path = append(s.path, step{name: name})
	inner, ok := of.member(name)
	switch {
	case !ok && !known:
		s.refuse(s.field(), "unexpected property")
	case of.elem != nil:
		s.null(inner)
	}
	ok = s.value(inner, depth)
	s.path = s.path[:len(s.path)-1]
	return ok
}

// array scans an array.
func (s *scanner) array(of *shape, depth int) bool {
	if s.deep(depth) {
		return false
	}
	s.at++
	if s.space(); s.at < len(s.data) && s.data[s.at] == ']' {
		s.at++
		return true
	}
	var inner *shape
	if of != nil {
		inner = of.elem
	}
	for i := 0; ; i++ {
		s.space()
		if of != nil {
			s.path = append(s.path, step{index: i})
			s.null(inner)
		}
		if !s.value(inner, depth) {
			return false
		}
		if of != nil {
			s.path = s.path[:len(s.path)-1]
		}
		if s.space(); s.at == len(s.data) {
			return s.malformed()
		}
		s.at++
		switch s.data[s.at-1] {
		case ',':
		case ']':
			return true
		default:
			s.at--
			return s.malformed()
		}
	}
}

// null refuses null as an element of a list or a map, where encoding/json makes it zero.
func (s *scanner) null(elem *shape) {
	if elem != nil && !elem.nullable && s.at < len(s.data) && s.data[s.at] == 'n' {
		s.refuse(s.field(), "must not be null")
	}
}

// field is the path as text.
func (s *scanner) field() string {
	var b []byte
	for i, p := range s.path {
		switch {
		case p.name == nil:
			b = fmt.Appendf(b, "[%d]", p.index)
		case i == 0:
			b = append(b, p.name...)
		default:
			b = append(append(b, '.'), p.name...)
		}
	}
	return string(b)
}

func find(members []Member, name []byte) int {
	for i := range members {
		if members[i].Name == string(name) {
			return i
		}
	}
	return -1
}

func note(members []Member, name, value []byte) {
	if i := find(members, name); i >= 0 {
		members[i].Value = value
	}
}

// unique refuses names given twice. The names of a map from ids are ids, of which two may
// differ in case and be the same.
func (s *scanner) unique(names [][]byte, members []Member, ids bool) {
	twice := func(name []byte) {
		if i := find(members, name); i >= 0 {
			members[i].Value = nil // which of the two was meant is not known
		}
		s.refuse("", "a name is given twice in one object")
	}
	if len(names) <= fewNames {
		for i, name := range names {
			for _, other := range names[:i] {
				if bytes.Equal(name, other) || ids && bytes.EqualFold(name, other) {
					twice(name)
				}
			}
		}
		return
	}
	seen := make(map[string]struct{}, len(names))
	for _, name := range names {
		if ids {
			name = bytes.ToLower(name)
		}
		if _, ok := seen[string(name)]; ok {
			twice(name)
		}
		seen[string(name)] = struct{}{}
	}
}

// name scans the name of a member, and decodes it.
func (s *scanner) name() ([]byte, bool) {
	start := s.at
	plain, ok := s.text()
	if !ok {
		return nil, false
	}
	if plain {
		return s.data[start+1 : s.at-1], true
	}
	var name string
	if err := json.Unmarshal(s.data[start:s.at], &name); err != nil {
		return nil, s.malformed() // not to be reached: text has looked at it
	}
	return []byte(name), true
}

// uuid refuses the other forms that package uuid takes: with braces, without hyphens, urn:uuid.
func (s *scanner) uuid(value []byte, plain bool) {
	if text, ok := String(value); plain && len(value) != 36+2 || !plain && (!ok || len(text) != 36) {
		s.refuse(s.field(), "is not a UUID")
	}
}

// text scans a string. Plain is one without escapes.
func (s *scanner) text() (plain, ok bool) {
	plain = true
	for s.at++; s.at < len(s.data); {
		switch c := s.data[s.at]; {
		case c == '"':
			s.at++
			return plain, true
		case c == '\\':
			plain = false
			if !s.escape() {
				return false, false
			}
		case c < ' ':
			return false, s.malformed()
		default:
			s.at++
		}
	}
	return false, s.malformed()
}

// escape scans what begins with a backslash.
func (s *scanner) escape() bool {
	if s.at+1 == len(s.data) {
		return s.malformed()
	}
	switch s.data[s.at+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.at, s.saved = s.at+2, s.saved+1
		return true
	case 'u':
	default:
		return s.malformed()
	}
	start := s.at
	r, ok := s.unit()
	if !ok {
		return s.malformed()
	}
	if utf16.IsSurrogate(r) {
		// Only a pair is a character. What follows half of one is looked at by itself.
		end := s.at
		low, ok := s.unit()
		if pair := utf16.DecodeRune(r, low); ok && pair != utf8.RuneError {
			r = pair
		} else {
			s.at, r = end, utf8.RuneError
			s.refuse("", "a text holds half of a surrogate pair")
		}
	}
	if r == 0 {
		s.refuse("", "a text holds the character NUL")
	}
	s.saved += s.at - start - utf8.RuneLen(r)
	return true
}

// unit scans \u and four digits.
func (s *scanner) unit() (r rune, ok bool) {
	if len(s.data)-s.at < 6 || s.data[s.at] != '\\' || s.data[s.at+1] != 'u' {
		return 0, false
	}
	for _, c := range s.data[s.at+2 : s.at+6] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	s.at += 6
	return r, true
}

func (s *scanner) literal(word string) bool {
	if !bytes.HasPrefix(s.data[s.at:], []byte(word)) {
		return s.malformed()
	}
	s.at += len(word)
	return true
}

// number scans a number (RFC 8259, 6).
func (s *scanner) number() bool {
	s.optional("-")
	if !s.optional("0") && !s.digits() {
		return s.malformed()
	}
	if s.optional(".") && !s.digits() {
		return s.malformed()
	}
	if s.optional("eE") {
		s.optional("+-")
		if !s.digits() {
			return s.malformed()
		}
	}
	return true
}

func (s *scanner) optional(chars string) bool {
	if s.at == len(s.data) || bytes.IndexByte([]byte(chars), s.data[s.at]) < 0 {
		return false
	}
	s.at++
	return true
}

func (s *scanner) digits() bool {
	start := s.at
	for s.at < len(s.data) && '0' <= s.data[s.at] && s.data[s.at] <= '9' {
		s.at++
	}
	return s.at > start
}
