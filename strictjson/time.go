package strictjson

import (
	"errors"
	"regexp"
	"time"
)

// rfc3339 is the form of RFC 3339, of which package time takes more: a comma for the point,
// an hour of one digit, and zones of a day and more.
var rfc3339 = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

var errTime = errors.New("not a time as in RFC 3339")

// Time reads a time as RFC 3339 has it.
func Time(text string) (time.Time, error) {
	if !rfc3339.MatchString(text) {
		return time.Time{}, errTime
	}
	return time.Parse(time.RFC3339, text)
}

// time refuses the other forms of a time that package time takes.
func (s *scanner) time(value []byte) {
	text, _ := String(value)
	if _, err := Time(text); err != nil {
		s.refuse(s.field(), "is not a time as in RFC 3339")
	}
}
