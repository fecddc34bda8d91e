package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"parley/parleytest"
)

const pageLimit = 50

// pagesScenario fills a conversation, then reads pages of it, one after the other, at
// its end, in the middle, and at the start.
func (w *world) pagesScenario(ctx context.Context) (r result, err error) {
	pairs, err := w.newPairs(ctx, 1)
	if err != nil {
		return r, err
	}
	pair := pairs[0]
	r.Errors = map[string]int{}
	if err := w.fill(ctx, pair, &r); err != nil {
		return r, err
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := &parleytest.Client{Base: w.server.URL(), Token: pair.A.Token, HTTP: &http.Client{Transport: transport, Timeout: 10 * time.Second}}
	path := "/conversations/" + pair.Conversation.String() + "/messages?limit=50"
	for _, place := range []struct {
		name, query string
		first       int64 // seq that the page has to begin with
	}{
		{"end", "", int64(w.o.depth) - pageLimit + 1},
		{"middle", fmt.Sprintf("&before=%d", w.o.depth/2), int64(w.o.depth)/2 - pageLimit},
		{"start", "&after=0", 1},
	} {
		read := func(n int) ([]time.Duration, error) {
			var all []time.Duration
			for range n {
				took, err := page(ctx, client, path+place.query, place.first)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", place.name, err)
				}
				all = append(all, took)
			}
			return all, nil
		}
		if _, err := read(w.o.requests/10 + 1); err != nil { // warm up
			return r, err
		}
		before, err := w.cost()
		if err != nil {
			return r, err
		}
		took, err := read(w.o.requests)
		if err != nil {
			return r, err
		}
		after, err := w.cost()
		if err != nil {
			return r, err
		}
		r.latencies(place.name, took)
		r.perUnit("page at the "+place.name, after.since(before), w.o.requests)
	}
	return r, nil
}

// page reads one page, checks that it is the right one, and gives the time to its last
// byte.
func page(ctx context.Context, c *parleytest.Client, path string, first int64) (time.Duration, error) {
	began := time.Now()
	res, err := c.Raw(ctx, http.MethodGet, path, nil)
	if err != nil {
		return 0, err
	}
	b, err := io.ReadAll(res.Body)
	took := time.Since(began)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		return 0, err
	}
	if res.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("answered %s: %s", res.Status, b)
	}
	var answer struct{ Messages []parleytest.Entry }
	if err := json.Unmarshal(b, &answer); err != nil {
		return 0, fmt.Errorf("decode a page: %w", err)
	}
	if n := len(answer.Messages); n != pageLimit || answer.Messages[0].Seq != first || answer.Messages[n-1].Seq != first+pageLimit-1 {
		return 0, fmt.Errorf("a page of %d messages that does not begin with %d", n, first)
	}
	return took, nil
}

// fill sends until the conversation is as long as asked for. Its first entry is there
// from the beginning.
func (w *world) fill(ctx context.Context, pair parleytest.Pair, r *result) error {
	l := w.newLoad()
	defer l.close()
	p, err := l.connect(ctx, pair.Conversation, pair.A)
	if err != nil {
		return err
	}
	l.senders, p.most = l.peers, w.o.depth-1
	const inFlight = 100
	l.start(p, inFlight)
	for p.seen.Load() < int64(w.o.depth) && pause(ctx, 10*time.Millisecond) == nil {
		l.mu.Lock()
		broken := len(l.errors) > 0
		l.mu.Unlock()
		if broken {
			break
		}
	}
	l.close()
	for _, all := range []map[string]int{l.errors, p.errors} {
		for what, n := range all {
			r.Errors[what] += n
		}
	}
	if p.seen.Load() != int64(w.o.depth) {
		return fmt.Errorf("the conversation has %d entries, not %d: %v", p.seen.Load(), w.o.depth, r.Errors)
	}
	return ctx.Err()
}
