package web

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestStrictJSON(t *testing.T) {
	t.Parallel()
	s, _ := newTest(t, nil, builtUI)
	deep := func(n int) string { return strings.Repeat(`[`, n) + strings.Repeat(`]`, n) }
	for name, c := range map[string]struct {
		body string
		want string // in the answer; "" for success
	}{
		"good":               {`{"name":"alice","words":["a","b"],"inner":{"deep":"x"}}`, ""},
		"space around":       {" \n{\"name\" : \"alice\"}\t ", ""},
		"truncated":          {`{"name":"alice"`, "not valid JSON"},
		"only space":         {"  ", "no JSON value"},
		"bare word":          {`{name:"alice"}`, "not valid JSON"},
		"comma at the end":   {`{"name":"alice",}`, "not valid JSON"},
		"comma in a list":    {`{"name":"alice","words":["a",]}`, "not valid JSON"},
		"comment":            {`{"name":"alice"}//`, "more than one JSON value"},
		"trailing text":      {`{"name":"alice"}x`, "more than one JSON value"},
		"two values":         {`{"name":"alice"}{"name":"bob"}`, "more than one JSON value"},
		"closed twice":       {`{"name":"alice"}}`, "more than one JSON value"},
		"invalid UTF-8":      {"{\"name\":\"al\xffce\"}", "not valid UTF-8"},
		"UTF-16":             {"\xff\xfe{\x00}\x00", "not valid UTF-8"},
		"byte order mark":    {"\ufeff{\"name\":\"alice\"}", "not valid JSON"},
		"NUL":                {`{"name":"al\u0000ce"}`, "NUL"},
		"NUL in a name":      {`{"na\u0000me":"alice"}`, "NUL"},
		"name twice":         {`{"name":"alice","name":"bob"}`, "twice"},
		"name twice, hidden": {`{"name":"alice","n\u0061me":"bob"}`, "twice"},
		"name twice inside":  {`{"name":"alice","inner":{"deep":"long enough to be refused","deep":"x"}}`, "twice"},
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

// A body whose length is not announced is cut off while it is read.
func TestBodyLimitWithoutLength(t *testing.T) {
	t.Parallel()
	s, _ := newTest(t, nil, builtUI)
	for size, want := range map[int]int{MaxBody - 11: http.StatusBadRequest, MaxBody - 10: http.StatusRequestEntityTooLarge, 10 * MaxBody: http.StatusRequestEntityTooLarge} {
		body := `{"name":"` + strings.Repeat("x", size) + `"}`
		r := httptest.NewRequest(http.MethodPost, "/api/v1/echo", strings.NewReader(body))
		r.ContentLength = -1
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%d bytes: status %d, want %d: %s", len(body), w.Code, want, w.Body)
		}
	}
}

func FuzzCheckJSON(f *testing.F) {
	for _, seed := range []string{`{"a":[1,{"b":null}],"c":"d"}`, `[[]]`, `{"a":1,"a":2}`, `"\u0000"`, "\xff", `{}{}`, `1`, ``, `{"a":{}}`, `[{"a":1},{"a":1}]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var v any
		err := unmarshal(data, &v)
		if err == nil {
			if !json.Valid(data) || !utf8.Valid(data) {
				t.Errorf("passed: %q", data)
			}
			if !goodText(string(data)) && strings.Contains(string(data), "\x00") {
				t.Errorf("NUL passed: %q", data)
			}
			return
		}
		if len(err.Error()) > 200 {
			t.Errorf("a long error for %q", data)
		}
	})
}
