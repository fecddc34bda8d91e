package parleytest

import (
	"bytes"
	"encoding/json"
	"testing"
)

func TestMembers(t *testing.T) {
	t.Parallel()
	const frame = ` { "type" : "entry" , "data":{"seq":12,"body":"a \"quoted\" } \\","tags":[1,{"x":"]"}]},"last":null}`
	got := map[string]string{}
	for k, v := range Members([]byte(frame)) {
		got[string(k)] = string(v)
	}
	if len(got) != 3 || got["type"] != `"entry"` || got["last"] != "null" {
		t.Fatalf("the frame's members: %v", got)
	}
	inner := map[string]string{}
	for k, v := range Members([]byte(got["data"])) {
		inner[string(k)] = string(v)
	}
	if inner["seq"] != "12" || inner["body"] != `"a \"quoted\" } \\"` || inner["tags"] != `[1,{"x":"]"}]` {
		t.Fatalf("the data's members: %v", inner)
	}
	if string(Text([]byte(got["type"]))) != "entry" || Text([]byte("12")) != nil || Number([]byte("12")) != 12 || Number(nil) != 0 {
		t.Error("Text or Number is wrong")
	}
}

// FuzzMembers holds it against encoding/json for every valid object, and to its word that
// nothing makes it panic for the others.
func FuzzMembers(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":1}`, `{"a":"\\","b":[{"c":"}"}],"d":{"e":null}}`, `{"a"`, `{"a":"\"`, `{"a":}`, `[]`, ``} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		type member struct{ key, value []byte }
		var got []member
		for k, v := range Members(b) {
			got = append(got, member{k, v})
		}
		var want map[string]json.RawMessage
		if json.Unmarshal(b, &want) != nil || want == nil || bytes.Contains(b, []byte(`\u`)) {
			return
		}
		last := map[string][]byte{} // of two equal keys, the last counts
		for _, m := range got {
			var key string
			if err := json.Unmarshal(append(append([]byte{'"'}, m.key...), '"'), &key); err != nil {
				t.Fatalf("the key %q: %v", m.key, err)
			}
			last[key] = m.value
		}
		if len(last) != len(want) {
			t.Fatalf("%d members of %q, not %d", len(last), b, len(want))
		}
		for k, v := range want {
			if !bytes.Equal(last[k], v) {
				t.Fatalf("%q is %q, not %q", k, last[k], v)
			}
		}
	})
}
