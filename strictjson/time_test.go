package strictjson

import (
	"testing"
	"time"
)

func TestTimes(t *testing.T) {
	t.Parallel()
	type body struct {
		At   time.Time                `json:"at"`
		List []struct{ At time.Time } `json:"list"`
		Keep *time.Time               `json:"keep"`
	}
	t.Run("of RFC 3339 are read", func(t *testing.T) {
		for _, good := range []string{
			"2026-11-29T12:00:00Z", "2026-11-29T12:00:00.123456789Z", "2026-11-29T12:00:00+23:59", "2026-11-29T12:00:00-00:00",
			"2024-02-29T00:00:00Z", "0000-01-01T00:00:00Z",
		} {
			var v body
			if err := Unmarshal([]byte(`{"at":"`+good+`"}`), &v); err != nil || v.At.IsZero() {
				t.Errorf("%s: %v, %v", good, v.At, err)
			}
		}
		var v body
		if err := Unmarshal([]byte(`{"at":null,"keep":null}`), &v); err != nil || v.Keep != nil || !v.At.IsZero() {
			t.Errorf("null: %+v, %v", v, err)
		}
	})
	t.Run("of other forms are refused", func(t *testing.T) {
		for _, bad := range []string{
			"2026-11-29T12:00:00+24:00", "2026-11-29T12:00:00-99:00", "2026-11-29T12:00:00+12:60", "2026-11-29T12:00:00,5Z",
			"2026-11-29T1:00:00Z", "2026-11-29 12:00:00Z", "2026-11-29T12:00:00", "2026-11-29T24:00:00Z", "2026-11-29T12:00:60Z",
			"2026-02-29T12:00:00Z", "2026-13-01T12:00:00Z", "10000-01-01T00:00:00Z", "-001-01-01T00:00:00Z", "2026-11-29T12:00:00.Z",
			"2026-11-29T12:00:00+0100", "2026-11-29T12:00:00+01:00:00", "", "now", "２026-11-29T12:00:00Z",
		} {
			for _, text := range []string{`{"at":"` + bad + `"}`, `{"keep":"` + bad + `"}`, `{"list":[{"At":"` + bad + `"}]}`} {
				if err := Unmarshal([]byte(text), &body{}); err == nil {
					t.Errorf("%s is read", text)
				}
			}
		}
	})
}
