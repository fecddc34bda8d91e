package store

import (
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	t.Parallel()
	p := Pace{Share: 20}
	for i, c := range []struct{ took, want time.Duration }{
		{time.Second / 2, 0}, // the first
		{time.Second / 2, 10 * time.Second},
		{8 * time.Second, 10 * time.Second}, // slow for once
		{time.Second / 2, 10 * time.Second},
		{2 * time.Second, 10 * time.Second},
		{2 * time.Second, maxRest}, // it is slower now
		{0, 0},                     // failed
		{8 * time.Second, 0},
	} {
		if got := p.Rest(c.took); got != c.want {
			t.Errorf("%d: after %v it rests for %v, not %v", i, c.took, got, c.want)
		}
	}
}
