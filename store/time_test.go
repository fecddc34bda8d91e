package store_test

import (
	"encoding/json"
	"testing"
	"time"

	"parley/store"
	"parley/store/storetest"
)

// Whatever time a row holds, it is read, and JSON can express it.
func TestTimesAreBounded(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	for stored, want := range map[string]string{
		"infinity":                         "9999-12-31T23:59:59.999999Z",
		"-infinity":                        "0001-01-01T00:00:00Z",
		"294276-12-31 23:59:59.999999+00":  "9999-12-31T23:59:59.999999Z",
		"10000-01-01 00:00:00+00":          "9999-12-31T23:59:59.999999Z",
		"9999-12-31 23:59:59.999999-15:59": "9999-12-31T23:59:59.999999Z",
		"4714-11-24 00:00:00+00 BC":        "0001-01-01T00:00:00Z",
		"0001-01-01 00:00:00+15:59":        "0001-01-01T00:00:00Z",
		"2026-11-23 12:00:00.123456+02":    "2026-11-23T10:00:00.123456Z",
	} {
		t.Run(stored, func(t *testing.T) {
			var (
				at    time.Time
				maybe *time.Time
				none  *time.Time
				list  []struct{ At store.JSONTime }
			)
			if err := db.QueryRow(t.Context(), `SELECT $1::text::timestamptz, $1::text::timestamptz, NULL::timestamptz, json_agg(json_build_object('at', $1::text::timestamptz))`, stored).Scan(&at, &maybe, &none, &list); err != nil {
				t.Fatal(err)
			}
			inJSON := time.Time(list[0].At)
			for _, read := range []*time.Time{&at, maybe, &inJSON} {
				if b, err := json.Marshal(read); err != nil || string(b) != `"`+want+`"` {
					t.Errorf("got %s %v", b, err)
				}
			}
			if none != nil {
				t.Errorf("NULL became %v", none)
			}
		})
	}
	t.Run("NULL is refused where a time is needed", func(t *testing.T) {
		var at time.Time
		if err := db.QueryRow(t.Context(), `SELECT NULL::timestamptz`).Scan(&at); err == nil {
			t.Errorf("got %v", at)
		}
	})
}
