package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"parley/accounts"
)

// A mute begins and ends by PostgreSQL's clock, and what is stored can be encoded.
func TestMute(t *testing.T) {
	t.Parallel()
	s := startTest(t, nil)
	ann, ben := s.person("ann", accounts.RoleMember), s.person("ben", accounts.RoleMember)
	id := s.conversation(ann, ben)
	path := "/conversations/" + id + "/settings"
	now := func() (at time.Time) {
		t.Helper()
		if err := s.db.QueryRow(t.Context(), `SELECT now()`).Scan(&at); err != nil {
			t.Fatal(err)
		}
		return at
	}
	until := func(answer string) *time.Time {
		t.Helper()
		var c struct {
			MutedUntil *time.Time `json:"muted_until"`
		}
		if err := json.Unmarshal([]byte(answer), &c); err != nil {
			t.Fatalf("%v in %s", err, answer)
		}
		return c.MutedUntil
	}

	t.Run("lasts as long as asked for, from the server's now", func(t *testing.T) {
		for _, seconds := range []int{60, 3600, 31_622_400} {
			before := now()
			outcome, answer := s.call(ann, "PATCH", path, fmt.Sprintf(`{"mute_for_s":%d}`, seconds))
			if outcome != "ok" {
				t.Fatal(answer)
			}
			length := time.Duration(seconds) * time.Second
			if at := until(answer); at == nil || at.Before(before.Add(length)) || at.After(now().Add(length)) {
				t.Errorf("for %d s: until %v, asked at %v", seconds, at, before)
			}
		}
		if _, answer := s.call(ann, "PATCH", path, `{"notify":"mentions"}`); until(answer) == nil {
			t.Error("another setting ended the mute")
		}
		if outcome, answer := s.call(ann, "PATCH", path, `{"muted_until":null}`); outcome != "ok" || until(answer) != nil {
			t.Errorf("ending it: %s", answer)
		}
	})

	t.Run("is refused out of its bounds, and twice at once", func(t *testing.T) {
		if outcome, answer := s.call(ann, "PATCH", path, `{"mute_for_s":3600}`); outcome != "ok" {
			t.Fatal(answer)
		}
		for _, body := range []string{
			`{"mute_for_s":0}`, `{"mute_for_s":59}`, `{"mute_for_s":-3600}`, `{"mute_for_s":31622401}`, `{"mute_for_s":1e300}`, `{"mute_for_s":"3600"}`,
			`{"mute_for_s":3600,"muted_until":"2999-01-01T00:00:00Z"}`, `{"mute_for_s":3600,"muted_until":null}`, `{}`,
			`{"muted_until":"9999-12-31T23:59:59-23:59"}`, `{"muted_until":"9999-12-31T23:59:59.999999999-00:01"}`,
			`{"muted_until":"2999-01-01T00:00:00+24:00"}`, `{"muted_until":"2999-01-01T00:00:00,5Z"}`, `{"muted_until":7}`,
			`{"muted_until":"0000-12-31T23:59:59Z"}`, `{"muted_until":"0001-01-01T00:00:00+00:01"}`,
		} {
			if outcome, answer := s.call(ann, "PATCH", path, body); outcome != "invalid" {
				t.Errorf("%s: %s", body, answer)
			}
		}
		if _, answer := s.call(ann, "GET", "/conversations/"+id, ""); until(answer) == nil {
			t.Error("a refused change ended the mute")
		}
	})

	t.Run("can be shown up to the last moment that can be written", func(t *testing.T) {
		const last = "9999-12-31T23:59:59Z"
		outcome, answer := s.call(ann, "PATCH", path, `{"muted_until":"`+last+`"}`)
		if outcome != "ok" || !strings.Contains(answer, last) {
			t.Errorf("stored: %s", answer)
		}
		// Versions before this one stored what a year of four digits cannot express.
		if _, err := s.db.Exec(t.Context(), `UPDATE members SET muted_until = '10000-01-01 23:58:59+00' WHERE user_id = $1`, ann.id); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"/conversations", "/conversations/" + id} {
			if outcome, answer := s.call(ann, "GET", path, ""); outcome != "ok" || !strings.Contains(answer, last) {
				t.Errorf("%s: %s: %s", path, outcome, answer)
			}
		}
	})
}
