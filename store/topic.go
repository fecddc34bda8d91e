package store

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Topic is one kind of news on a Bus: about a key K, what became of it, V. What is told about
// a key while an earlier telling of it waits is merged with it.
type Topic[K comparable, V any] struct {
	bus      *Bus
	name     string
	merge    func(V, V) V
	receive  func(K, V)
	fleeting bool

	waiting map[K]V // guarded by bus.mu
	sending map[K]V // who sends alone touches it
}

// maxWaiting is how many keys of a topic wait while nothing can be sent. What comes beyond is
// lost, as all news may be.
const maxWaiting = 100_000

// NewTopic makes a topic. merge combines two values for one key; it has to be idempotent,
// because the same may be told twice. receive gets what other replicas tell, in any order; it
// must not block. On a nil Bus nobody hears anything.
// Call it before the Bus runs; the name is what goes over the wire.
func NewTopic[K comparable, V any](b *Bus, name string, merge func(V, V) V, receive func(K, V)) *Topic[K, V] {
	t := &Topic[K, V]{bus: b, name: name, merge: merge, receive: receive, waiting: make(map[K]V)}
	if b != nil {
		b.topics[name] = t
	}
	return t
}

// Fleeting says that news of this topic is worth nothing a moment later: what cannot be sent
// at once is not kept.
func (t *Topic[K, V]) Fleeting() *Topic[K, V] {
	t.fleeting = true
	return t
}

// Tell tells the other replicas, if there are any. It does not block. Call it after the commit
// of what it tells of.
func (t *Topic[K, V]) Tell(k K, v V) {
	if t.bus.Alone() {
		return
	}
	t.enqueue(k, v)
	t.bus.rouse()
}

func (t *Topic[K, V]) enqueue(k K, v V) {
	t.bus.mu.Lock()
	defer t.bus.mu.Unlock()
	t.add(k, v)
}

func (t *Topic[K, V]) add(k K, v V) {
	if old, ok := t.waiting[k]; ok {
		v = t.merge(old, v)
	} else if len(t.waiting) >= maxWaiting {
		return
	}
	t.waiting[k] = v
}

// Same is the merge of a topic whose keys say everything.
func Same(a, _ struct{}) struct{} { return a }

// line is one piece of news on the wire: the topic's name, and key and value as JSON.
type line[K comparable, V any] struct {
	Key   K `json:"k"`
	Value V `json:"v"`
}

// take takes what waits. Until settle it counts as being sent. The bus's lock is held.
func (t *Topic[K, V]) take() {
	if len(t.waiting) > 0 {
		t.sending, t.waiting = t.waiting, make(map[K]V)
	}
}

// encode makes lines of what was taken.
func (t *Topic[K, V]) encode(lines [][]byte) [][]byte {
	for k, v := range t.sending {
		data, err := json.Marshal(line[K, V]{k, v})
		if err != nil { // it is left out: what it tells of is found in the database
			t.bus.db.failures.Report("encode news of "+t.name, err)
			continue
		}
		lines = append(lines, append(append([]byte(t.name), ' '), data...))
	}
	return lines
}

// settle says whether what was taken was sent. If that is not sure it waits again, but for
// what is fleeting: of that nothing waits for better times.
func (t *Topic[K, V]) settle(sent bool) {
	switch {
	case sent:
	case t.fleeting:
		clear(t.waiting)
	default:
		for k, v := range t.sending {
			t.add(k, v)
		}
	}
	t.sending = nil
}

// hear gives a line's news to who wants it.
func (t *Topic[K, V]) hear(data []byte) error {
	var l line[K, V]
	if err := json.NewDecoder(bytes.NewReader(data)).Decode(&l); err != nil {
		return fmt.Errorf("read news of %s: %w", t.name, err)
	}
	t.receive(l.Key, l.Value)
	return nil
}
