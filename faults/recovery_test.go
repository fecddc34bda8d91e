package faults

import (
	"testing"
	"time"

	"github.com/google/uuid"
)

// TestRecovery holds what is reported as recovery against lives that are written down.
func TestRecovery(t *testing.T) {
	t.Parallel()
	const s = time.Second
	for name, c := range map[string]struct {
		spans []span
		sends []*Send
		want  time.Duration
		hit   bool
	}{
		"untouched":                       {spans: []span{{up: 1 * s}}},
		"lost and back":                   {spans: []span{{up: 1 * s, down: 11 * s}, {up: 13 * s}}, want: 3 * s, hit: true},
		"lost twice":                      {spans: []span{{up: 1 * s, down: 11 * s}, {up: 13 * s, down: 14 * s}, {up: 16 * s}}, want: 6 * s, hit: true},
		"lost before, back after":         {spans: []span{{up: 1 * s, down: 9 * s}, {up: 12 * s}}, want: 2 * s, hit: true},
		"lost and not back":               {spans: []span{{up: 1 * s, down: 11 * s}}, want: 10 * s, hit: true},
		"lost later":                      {spans: []span{{up: 1 * s, down: 25 * s}, {up: 26 * s}}},
		"gone away":                       {spans: []span{{up: 1 * s, down: 11 * s, left: true}, {up: 13 * s}}},
		"away":                            {spans: []span{{up: 1 * s, down: 5 * s, left: true}, {up: 13 * s}}},
		"a send under way":                {spans: []span{{up: 1 * s}}, sends: []*Send{{At: 9 * s, Acks: []Ack{{1, 12 * s}}}}, want: 2 * s, hit: true},
		"a send begun later":              {spans: []span{{up: 1 * s}}, sends: []*Send{{At: 11 * s, Acks: []Ack{{1, 12 * s}}}}, want: 1 * s, hit: true},
		"a send that took no longer":      {spans: []span{{up: 1 * s}}, sends: []*Send{{At: 11 * s, Acks: []Ack{{1, 11*s + 1}}}}},
		"a send acknowledged before":      {spans: []span{{up: 1 * s}}, sends: []*Send{{At: 8 * s, Acks: []Ack{{1, 9 * s}}}}},
		"a send never acknowledged":       {spans: []span{{up: 1 * s}}, sends: []*Send{{At: 11 * s}}, want: 9 * s, hit: true},
		"a send of another database":      {spans: []span{{up: 1 * s}}, sends: []*Send{{At: 11 * s, Former: true}}},
		"a send slower than a connection": {spans: []span{{up: 1 * s, down: 11 * s}, {up: 12 * s}}, sends: []*Send{{At: 9 * s, Acks: []Ack{{1, 15 * s}}}}, want: 5 * s, hit: true},
	} {
		client := &Client{spans: c.spans, sends: c.sends, order: []*room{{id: uuid.New()}}}
		if got, hit := client.Recovery(10*s, 20*s); got != c.want || hit != c.hit {
			t.Errorf("%s: %v, %v, not %v, %v", name, got, hit, c.want, c.hit)
		}
	}
}
