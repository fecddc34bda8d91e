package strictjson

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/uuid"
)

func nested(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

func objects(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }

// refused are texts with what their errors say.
var refused = map[string]struct{ text, want string }{
	"nothing":                     {"", "no JSON value"},
	"white space":                 {" \t\r\n", "no JSON value"},
	"a bare word":                 {"yes", "not valid JSON near byte 0"},
	"half a word":                 {"tru", "not valid JSON"},
	"a word with more":            {"truex", "more than one"},
	"no quotes around a name":     {`{a:1}`, "not valid JSON near byte 1"},
	"single quotes":               {`{'a':1}`, "not valid JSON"},
	"a comma at the end":          {`{"a":1,}`, "not valid JSON"},
	"a comma in a list":           {`[1,]`, "not valid JSON"},
	"a comma alone":               {`[,]`, "not valid JSON"},
	"no comma":                    {`[1 2]`, "not valid JSON"},
	"no colon":                    {`{"a" 1}`, "not valid JSON"},
	"no value":                    {`{"a":}`, "not valid JSON"},
	"an open object":              {`{"a":1`, "not valid JSON"},
	"an open name":                {`{"a`, "not valid JSON"},
	"an open list":                {`[1`, "not valid JSON"},
	"an open string":              {`"a`, "not valid JSON"},
	"a wrong bracket":             {`[1}`, "not valid JSON"},
	"closed twice":                {`{}}`, "more than one"},
	"two values":                  {`{}{}`, "more than one"},
	"a comment":                   {`{}//`, "more than one"},
	"a zero in front":             {`01`, "more than one"},
	"a plus":                      {`+1`, "not valid JSON"},
	"a minus alone":               {`-`, "not valid JSON"},
	"a point at the end":          {`1.`, "not valid JSON"},
	"a point in front":            {`.1`, "not valid JSON"},
	"no exponent":                 {`1e`, "not valid JSON"},
	"not a number":                {`NaN`, "not valid JSON"},
	"infinity":                    {`-Infinity`, "not valid JSON"},
	"a hexadecimal number":        {`0x1`, "more than one"},
	"a raw control character":     {"\"a\nb\"", "not valid JSON near byte 2"},
	"a raw NUL":                   {"\"a\x00b\"", "not valid JSON"},
	"an unknown escape":           {`"\x"`, "not valid JSON"},
	"a short escape":              {`"\u12"`, "not valid JSON"},
	"an escape of no digits":      {`"\u12g4"`, "not valid JSON"},
	"a backslash at the end":      {`"\`, "not valid JSON"},
	"invalid UTF-8":               {"\"\xff\"", "not valid UTF-8"},
	"a surrogate in UTF-8":        {"\"\xed\xa0\x80\"", "not valid UTF-8"},
	"a long form in UTF-8":        {"\"\xc0\x80\"", "not valid UTF-8"},
	"UTF-16":                      {"\xff\xfe\"\x00", "not valid UTF-8"},
	"a byte order mark":           {"\ufeff{}", "not valid JSON"},
	"NUL":                         {`"\u0000"`, "NUL"},
	"NUL in a name":               {`{"\u0000":1}`, "NUL"},
	"half a pair":                 {`"\ud83d"`, "surrogate"},
	"half a pair in capitals":     {`"\uD83D"`, "surrogate"},
	"the other half":              {`"\udc4d"`, "surrogate"},
	"halves the wrong way round":  {`"\udc4d\ud83d"`, "surrogate"},
	"two first halves":            {`"\ud83d\ud83d\udc4d"`, "surrogate"},
	"half a pair, then text":      {`"\ud83dudc4d"`, "surrogate"},
	"half a pair, then an escape": {`"\ud83d\n"`, "surrogate"},
	"half a pair in a name":       {`{"\ud83d":1}`, "surrogate"},
	"half a pair, deep inside":    {`{"a":[{"b":"\udfff"}]}`, "surrogate"},
	"a name twice":                {`{"a":1,"a":1}`, "twice"},
	"a name twice, once escaped":  {`{"a":1,"\u0061":2}`, "twice"},
	"a name twice, deep inside":   {`[{"a":{"b":1,"c":2,"b":3}}]`, "twice"},
	"a name twice, of many":       {`{` + numbered(100) + `,"n7":0}`, "twice"},
	"an empty name twice":         {`{"":1,"":2}`, "twice"},
	"too deep":                    {nested(maxDepth + 1), "nested deeper than 16"},
	"too deep, objects":           {objects(maxDepth + 1), "nested deeper"},
	"much too deep":               {nested(1_000_000), "nested deeper"},
	"much too deep, open":         {strings.Repeat("[", 1_000_000), "nested deeper"},
}

func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"n%d":%d`, i, i)
	}
	return b.String()
}

func TestCheckRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range refused {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := Check([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("want an error about %s, got %v", c.want, err)
			}
		})
	}
}

func TestCheckGivesTheSizeOfTheText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		`{"a":1}`:                     7,
		"\t{ }\n":                     5,
		`"a"`:                         3,
		`"\n\"\\\/\b\f\r\t"`:          2 + 8,
		`"\u0001\u00e9\u20ac"`:        2 + 1 + 2 + 3,
		`"\ud83d\udc4d\uD83D\uDC4D"`:  2 + 8,
		`"\ufffd"`:                    2 + 3,
		`{"\u0061":"é"}`:              len(`{"a":"é"}`),
		nested(maxDepth):              2 * maxDepth,
		objects(maxDepth):             len(objects(maxDepth)),
		`{` + numbered(100) + `}`:     len(numbered(100)) + 2,
		`[-0.5e+10,0,10,1E2,-1e-2]`:   25,
		`[true,false,null,{},[],""]`:  26,
		`{"a":{"b":1},"c":{"b":1}}`:   25, // the same name in another object
		`[{"a":1},{"a":1},[{"a":1}]]`: 27,
		`{"a":1,"A":2}`:               13, // only a Go type says that names are one
	} {
		if size, err := Check([]byte(text)); err != nil || size != want {
			t.Errorf("%s: size %d instead of %d, %v", text, size, want, err)
		}
	}
}

// form has a field of each kind.
type form struct {
	embedded
	Text    string              `json:"text"`
	Number  int                 `json:"number,omitempty"`
	Flag    *bool               `json:"flag"`
	ID      uuid.UUID           `json:"id"`
	IDs     []uuid.UUID         `json:"ids"`
	Inner   *inner              `json:"inner"`
	List    []inner             `json:"list"`
	ByName  map[string]inner    `json:"by_name"`
	ByID    map[uuid.UUID]int   `json:"by_id"`
	Maybe   []*int              `json:"maybe"`
	Raw     json.RawMessage     `json:"raw"`
	Any     any                 `json:"any"`
	Secret  string              `json:"-"`
	NoTag   string              //nolint:tagliatelle // its name is the field's
	private map[string]struct{} //nolint:unused // as such fields are passed over
}

type embedded struct {
	Outer string `json:"outer"`
}

type inner struct {
	Name string `json:"name"`
}

const someID = "019a0000-0000-7000-8000-00000000000a"

func TestUnmarshal(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"everything": {`{"outer":"o","text":"t","number":1,"flag":true,"id":"` + someID + `","ids":["` + someID + `"],"inner":{"name":"n"},` +
			`"list":[{"name":"n"}],"by_name":{"x":{"name":"n"},"X":{}},"by_id":{"` + someID + `":1},"maybe":[1,null],"raw":{"x":[1]},"any":{"x":1},"NoTag":"n"}`, ""},
		"nothing":                         {`{}`, ""},
		"null in fields":                  {`{"text":null,"number":null,"flag":null,"id":null,"ids":null,"inner":null,"by_id":null,"raw":null,"any":null}`, ""},
		"an id in capitals":               {`{"id":"` + strings.ToUpper(someID) + `"}`, ""},
		"an escaped id":                   {`{"id":"\u0030` + someID[1:] + `"}`, ""},
		"an unknown name":                 {`{"more":1}`, "more: unexpected property"},
		"another case":                    {`{"Text":"t"}`, "Text: unexpected property"},
		"another case, escaped":           {`{"\u0054ext":"t"}`, "Text: unexpected property"},
		"a case folding to another":       {`{"li\u017ft":[]}`, "liſt: unexpected property"},
		"the Go name of a field":          {`{"ByID":{}}`, "ByID: unexpected property"},
		"a field without JSON":            {`{"Secret":"s"}`, "Secret: unexpected property"},
		"a field of the package":          {`{"private":{}}`, "private: unexpected property"},
		"an unknown name inside":          {`{"inner":{"x":1}}`, "inner.x: unexpected property"},
		"another case in a list":          {`{"list":[{},{"Name":"n"}]}`, "list[1].Name: unexpected property"},
		"another case in a map":           {`{"by_name":{"y":{"NAME":"n"}}}`, "by_name.y.NAME: unexpected property"},
		"an unknown name after a refusal": {`{"raw":{"x":1,"x":2},"more":1}`, "twice"},
		"a name twice in raw JSON":        {`{"raw":[{"x":1,"x":2}]}`, "twice"},
		"two cases of an id":              {`{"by_id":{"` + someID + `":1,"` + strings.ToUpper(someID) + `":2}}`, "twice"},
		"null in a list":                  {`{"ids":["` + someID + `",null]}`, "ids[1]: must not be null"},
		"null in a list of objects":       {`{"list":[null]}`, "list[0]: must not be null"},
		"null in a map":                   {`{"by_id":{"` + someID + `":null}}`, "by_id." + someID + ": must not be null"},
		"an id in braces":                 {`{"id":"{` + someID + `}"}`, "id: is not a UUID"},
		"an id without hyphens":           {`{"id":"` + strings.ReplaceAll(someID, "-", "") + `"}`, "id: is not a UUID"},
		"an id as a URN":                  {`{"ids":["urn:uuid:` + someID + `"]}`, "ids[0]: is not a UUID"},
		"an id of other letters":          {`{"id":"` + strings.ReplaceAll(someID, "a", "g") + `"}`, "wrong form"},
		"an id that is a number":          {`{"id":1}`, "id: has to be"},
		"a text for a number":             {`{"number":"1"}`, "number: has to be a whole number"},
		"a fraction":                      {`{"number":1.5}`, "number: has to be a whole number"},
		"an exponent":                     {`{"number":1e2}`, "number: has to be a whole number"},
		"a number beyond 64 bits":         {`{"number":9223372036854775808}`, "number: has to be a whole number"},
		"a number for a text":             {`{"text":1}`, "text: has to be a string"},
		"a text for a flag":               {`{"flag":"true"}`, "flag: has to be true or false"},
		"a list for an object":            {`{"inner":[]}`, "inner: has to be an object"},
		"an object for a list":            {`{"ids":{"a":1}}`, "ids: has to be an array"},
		"a list":                          {`[]`, "has to be an object"},
		"a text":                          {`"text"`, "has to be an object"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var v form
			err := Unmarshal([]byte(c.text), &v)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("want %q, got %v", c.want, err)
			}
		})
	}
	for name, c := range refused {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var v form
			if err := Unmarshal([]byte(c.text), &v); err == nil || !reflect.DeepEqual(v, form{}) {
				t.Errorf("%v, %+v", err, v)
			}
		})
	}
}

func TestAnUnknownNameIsQuotedShort(t *testing.T) {
	t.Parallel()
	var v form
	err := Unmarshal([]byte(`{"`+strings.Repeat("€", 10_000)+`":1}`), &v)
	if e, ok := errors.AsType[*Error](err); !ok || len(e.Field) > 110 || !utf8.ValidString(e.Field) {
		t.Errorf("%v", err)
	}
}

func TestMembers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text, a, b, want string // the values of a and b
	}{
		"both":                   {` {"b" : [1, 2] ,"a":"x"} `, `"x"`, `[1, 2]`, ""},
		"one":                    {`{"a":{}}`, `{}`, "", ""},
		"none":                   {`{}`, "", "", ""},
		"an escaped name":        {`{"\u0061":1}`, `1`, "", ""},
		"another":                {`{"a":1,"c":2,"b":3}`, "1", "3", "c: unexpected property"},
		"another case":           {`{"A":1}`, "", "", "A: unexpected property"},
		"one twice":              {`{"a":1,"b":2,"a":3}`, "", "2", "twice"},
		"a refused value":        {`{"a":"\u0000","b":2}`, `"\u0000"`, "2", "NUL"},
		"what comes before":      {`{"a":1,"b":` + nested(100) + `}`, "1", "", "deeper"},
		"the name of one inside": {`{"a":{"b":1,"c":2}}`, `{"b":1,"c":2}`, "", ""},
		"a list":                 {`[]`, "", "", "has to be an object"},
		"a text":                 {`"a"`, "", "", "has to be an object"},
		"half an object":         {`{"a":1`, "1", "", "not valid JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			members := []Member{{Name: "a"}, {Name: "b"}}
			_, err := Members([]byte(c.text), members)
			if string(members[0].Value) != c.a || string(members[1].Value) != c.b {
				t.Errorf("found %s and %s", members[0].Value, members[1].Value)
			}
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("want %q, got %v", c.want, err)
			}
		})
	}
}

func TestString(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{`"a"`: "a", `""`: "", `"\u0061\n"`: "a\n", `"\ud83d\udc4d"`: "👍"} {
		if text, ok := String([]byte(value)); !ok || text != want {
			t.Errorf("%s: %q %v", value, text, ok)
		}
	}
	for _, value := range []string{"", "1", "null", `"\ud83d"`, `"\u0000"`, "{}"} {
		if text, ok := String([]byte(value)); ok {
			t.Errorf("%s is the text %q", value, text)
		}
	}
}

// FuzzCheck compares with encoding/json: what passes is JSON, its decoded size is right, and
// what encoding/json takes passes, unless it is one of the things that are refused.
func FuzzCheck(f *testing.F) {
	for _, c := range refused {
		if len(c.text) < 10_000 {
			f.Add([]byte(c.text))
		}
	}
	for _, seed := range []string{`{"a":[1,{"b":null}],"c":"d"}`, `"\ud83d\udc4d"`, `-0.5e+10`, nested(maxDepth), ` [ true , false ] `, `{"a":1,"A":2}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		size, err := Check(data)
		e, _ := errors.AsType[*Error](err)
		if size > len(data) || size*MaxGrowth < len(data) {
			t.Fatalf("size %d of %d bytes", size, len(data))
		}
		valid := json.Valid(data) && utf8.Valid(data)
		if err == nil && !valid || valid && e != nil && e.Malformed {
			t.Fatalf("valid: %v, and yet %v", valid, err)
		}
		if err != nil && (len(err.Error()) > 200 || !utf8.ValidString(err.Error())) {
			t.Fatalf("the error %q", err)
		}
		var v form
		if Unmarshal(data, &v) == nil {
			if err != nil {
				t.Fatalf("Unmarshal takes what Check refuses: %v", err)
			}
			var std form
			if err := json.Unmarshal(data, &std); err != nil || !reflect.DeepEqual(v, std) {
				t.Fatalf("read %+v, encoding/json %+v %v", v, std, err)
			}
		}
	})
}
