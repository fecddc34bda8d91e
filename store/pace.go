package store

import "time"

// maxRest is how long a Pace waits at most: while a database is slow for long, looking takes a
// larger part of the time, and what was missed is still found soon.
const maxRest = 15 * time.Second

// Pace lets rounds of looking at the database take one part in Share of the time at most, but
// rests for 15 seconds at most.
type Pace struct {
	Share int
	last  time.Duration
}

// Rest is how long to wait at least after a round that took so long; 0 for one that failed. A
// round that was slow for once says nothing of what a round costs: the database stood still,
// and what was missed then is to be looked for at once.
func (p *Pace) Rest(took time.Duration) time.Duration {
	cost := min(took, p.last)
	p.last = took
	return min(time.Duration(p.Share)*cost, maxRest)
}
