package web

import (
	"net/http"
	"strings"
	"testing"
)

func TestStrictJSON(t *testing.T) {
	t.Parallel()
	s, _ := newTest(t, nil, builtUI)
	const maxDepth = 16 // of strictjson
	deep := func(n int) string { return strings.Repeat(`[`, n) + strings.Repeat(`]`, n) }
	for name, c := range map[string]struct {
		body string
		want string // in the answer; "" for success
	}{
		"good":                  {`{"name":"alice","words":["a","b"],"inner":{"deep":"x"}}`, ""},
		"space around":          {" \n{\"name\" : \"alice\"}\t ", ""},
		"truncated":             {`{"name":"alice"`, "not valid JSON"},
		"only space":            {"  ", "no JSON value"},
		"bare word":             {`{name:"alice"}`, "not valid JSON"},
		"comma at the end":      {`{"name":"alice",}`, "not valid JSON"},
		"comma in a list":       {`{"name":"alice","words":["a",]}`, "not valid JSON"},
		"comment":               {`{"name":"alice"}//`, "more than one JSON value"},
		"trailing text":         {`{"name":"alice"}x`, "more than one JSON value"},
		"two values":            {`{"name":"alice"}{"name":"bob"}`, "more than one JSON value"},
		"closed twice":          {`{"name":"alice"}}`, "more than one JSON value"},
		"invalid UTF-8":         {"{\"name\":\"al\xffce\"}", "not valid UTF-8"},
		"UTF-16":                {"\xff\xfe{\x00}\x00", "not valid UTF-8"},
		"byte order mark":       {"\ufeff{\"name\":\"alice\"}", "not valid JSON"},
		"NUL":                   {`{"name":"al\u0000ce"}`, "NUL"},
		"NUL in a name":         {`{"na\u0000me":"alice"}`, "NUL"},
		"half a surrogate pair": {`{"name":"al\ud83dce"}`, "surrogate"},
		"half of one in a name": {`{"na\udc4dme":"alice"}`, "surrogate"},
		"another case":          {`{"Name":"alice"}`, "body.Name"},
		"name twice":            {`{"name":"alice","name":"bob"}`, "twice"},
		"name twice, hidden":    {`{"name":"alice","n\u0061me":"bob"}`, "twice"},
		"name twice inside":     {`{"name":"alice","inner":{"deep":"long enough to be refused","deep":"x"}}`, "twice"},
		"same name, other object": {`{"name":"alice","inner":{"name":"x"}}`,
			"unexpected property"}, // and not "twice"
		"unknown field":          {`{"name":"alice","admin":true}`, "body.admin"},
		"unknown field inside":   {`{"name":"alice","inner":{"deep":"x","y":1}}`, "body.inner.y"},
		"as deep as may be":      {`{"name":"alice","words":` + deep(maxDepth-1) + `}`, "expected string"},
		"too deep":               {`{"name":"alice","words":` + deep(maxDepth) + `}`, "nested deeper"},
		"much too deep":          {deep(MaxBody / 4), "nested deeper"},
		"much too deep, objects": {strings.Repeat(`{"a":`, MaxBody/8), "nested deeper"},
		"no object":              {`["alice"]`, "expected object"},
		"null":                   {`null`, "expected object"},
		"number too big":         {`{"name":"alice","age":1e999}`, "wrong form"},
		"fraction":               {`{"name":"alice","age":1.5}`, "expected integer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			res := do(s, "POST", "/api/v1/echo", c.body)
			body := text(t, res)
			switch {
			case c.want == "" && res.StatusCode != http.StatusOK:
				t.Errorf("status %d: %s", res.StatusCode, body)
			case c.want != "" && (res.StatusCode != http.StatusBadRequest || !strings.Contains(body, c.want)):
				t.Errorf("status %d, want %q: %s", res.StatusCode, c.want, body)
			}
		})
	}
}
