// Package strictjson decodes the JSON of requests, those of HTTP and the frames of the
// socket, more strictly than encoding/json does: what two readers could understand
// differently is refused. These are names given twice, names in another case, unknown
// names, halves of a surrogate pair, NUL (which PostgreSQL cannot store), more than one
// value, deep nesting, and null in lists.
//
// It checks the bytes in one pass, in linear time and mostly without an allocation, and
// leaves the decoding to encoding/json.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"unicode/utf8"
)

// maxDepth is how deep objects and arrays may nest.
const maxDepth = 16

// MaxGrowth is how many bytes of JSON one byte of text takes at most: \u0001 has six.
const MaxGrowth = 6

// Error says what is wrong. It quotes nothing of the text but the name of a field.
type Error struct {
	Field     string // path of the field, as in inner.name; "" where it is about no field
	Message   string // begins in lower case, without a period
	Malformed bool   // not JSON at all: what follows the mistake was not looked at
}

func (e *Error) Error() string {
	if e.Field != "" {
		return e.Field + ": " + e.Message
	}
	return e.Message
}

// Check refuses what the package comment lists, but for what only the names of a Go type
// could tell. Size is that of the text with every escape counted as its character.
func Check(data []byte) (size int, err error) {
	return scan(data, nil, nil)
}

// Unmarshal is json.Unmarshal for text that passes Check and has no name that v has no
// field for. In a field, null is the same as leaving it out.
func Unmarshal(data []byte, v any) error {
	if _, err := scan(data, shapeOf(reflect.TypeOf(v)), nil); err != nil {
		return err
	}
	return decode(data, v)
}

// decode is json.Unmarshal with errors that quote nothing and name no Go type.
func decode(data []byte, v any) error {
	err := json.Unmarshal(data, v)
	var kind *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &kind):
		return &Error{Field: kind.Field, Message: "has to be " + typeName(kind.Type)}
	default: // the text passed: a type's own parser refused a value
		return &Error{Message: "a value has the wrong form"}
	}
}

// Member is a member of an object: its name, which is given, and its value, which is found.
type Member struct {
	Name  string
	Value []byte // as it is in the text; nil if it is absent or given twice
}

// Members finds the members of the object that data has to be, and refuses other ones.
// Also with an error there are the values that were found; only a Malformed text has none
// to rely on.
func Members(data []byte, members []Member) (size int, err error) {
	return scan(data, nil, members)
}

// String gives the text of a string that Members found, unless it is none or was refused.
func String(value []byte) (string, bool) {
	if len(value) < 2 || value[0] != '"' {
		return "", false
	}
	if bytes.IndexByte(value, '\\') < 0 {
		return string(value[1 : len(value)-1]), true
	}
	var text string
	err := Unmarshal(value, &text)
	return text, err == nil
}

// typeName names a Go type as a client knows it.
func typeName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "a number"
	default:
		return "a whole number"
	}
}

// scanners are used again, so that a scan allocates nothing.
var scanners = sync.Pool{New: func() any { return &scanner{} }}

// keptNames bounds the memory that a scanner keeps.
const keptNames = 64

// scan scans data, and gives the size that Check documents.
func scan(data []byte, of *shape, members []Member) (size int, err error) {
	s := scanners.Get().(*scanner)
	s.data = data
	s.document(of, members)
	size = len(data) - s.saved
	if s.err != nil { // which as an error would not be nil
		err = s.err
	}
	names, path := s.names[:0], s.path[:0]
	if cap(names) > keptNames {
		names = nil
	}
	clear(names[:cap(names)]) // they hold on to data
	clear(path[:cap(path)])
	*s = scanner{names: names, path: path}
	scanners.Put(s)
	return size, err
}

// document scans the one value that there has to be.
func (s *scanner) document(of *shape, members []Member) {
	if !utf8.Valid(s.data) {
		s.err = &Error{Message: "not valid UTF-8", Malformed: true}
		return
	}
	s.space()
	switch {
	case s.at == len(s.data):
		s.err = &Error{Message: "no JSON value", Malformed: true}
		return
	case members != nil && s.data[s.at] == '{':
		if !s.object(nil, members, 1) {
			return
		}
	case !s.value(of, 0):
		return
	case members != nil:
		s.refuse("", "has to be an object")
	}
	if s.space(); s.at < len(s.data) {
		s.err = &Error{Message: "more than one JSON value", Malformed: true}
	}
}

// refuse notes what is wrong, unless something before was. The scan goes on.
func (s *scanner) refuse(field, message string) {
	if s.err == nil {
		s.err = &Error{Field: clip(field), Message: message}
	}
}

// malformed ends the scan.
func (s *scanner) malformed() bool {
	s.err = &Error{Message: fmt.Sprintf("not valid JSON near byte %d", s.at), Malformed: true}
	return false
}

// clip shortens a path, which can hold a name of the client's making.
func clip(field string) string {
	const limit = 100
	if len(field) <= limit {
		return field
	}
	return strings.ToValidUTF8(field[:limit], "") + "…"
}
