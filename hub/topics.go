package hub

import (
	"hash/maphash"
	"slices"
	"sync"
)

const topicShards = 64

// Topics maps a key to the connections interested in it. It is safe for concurrent
// use; a closed connection leaves it by itself.
//
// A shard's lock is held while frames are put into outboxes, never while calling out.
type Topics[K comparable] struct {
	seed   maphash.Seed
	shards [topicShards]topicShard[K]

	mu   sync.Mutex // guards keys
	keys map[*Conn][]K
}

type topicShard[K comparable] struct {
	mu    sync.RWMutex // guards conns
	conns map[K][]*Conn
}

// NewTopics makes a Topics that the hub's connections leave when they close. Call it
// before the hub serves.
func NewTopics[K comparable](h *Hub) *Topics[K] {
	t := &Topics[K]{seed: maphash.MakeSeed(), keys: make(map[*Conn][]K)}
	for i := range t.shards {
		t.shards[i].conns = make(map[K][]*Conn)
	}
	h.topics = append(h.topics, t)
	return t
}

func (t *Topics[K]) shard(k K) *topicShard[K] {
	return &t.shards[maphash.Comparable(t.seed, k)%topicShards]
}

// Join adds a connection to keys. Joining twice is joining once; a closed connection
// joins nothing.
func (t *Topics[K]) Join(c *Conn, keys ...K) {
	t.mu.Lock()
	defer t.mu.Unlock()
	// remove marks the connection closed before it leaves, and leaving takes t.mu: so
	// whoever gets in here with an open connection is seen by that leave.
	if c.Closed() {
		return
	}
	for _, k := range keys {
		s := t.shard(k)
		s.mu.Lock()
		if !slices.Contains(s.conns[k], c) {
			s.conns[k] = append(s.conns[k], c)
			t.keys[c] = append(t.keys[c], k)
		}
		s.mu.Unlock()
	}
}

// Leave takes a connection off one key.
func (t *Topics[K]) Leave(c *Conn, k K) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.drop(c, k)
	if ks := slices.DeleteFunc(t.keys[c], func(have K) bool { return have == k }); len(ks) > 0 {
		t.keys[c] = ks
	} else {
		delete(t.keys, c)
	}
}

func (t *Topics[K]) leave(c *Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range t.keys[c] {
		t.drop(c, k)
	}
	delete(t.keys, c)
}

func (t *Topics[K]) drop(c *Conn, k K) {
	s := t.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	conns := s.conns[k]
	i := slices.Index(conns, c)
	if i < 0 {
		return
	}
	if len(conns) == 1 {
		delete(s.conns, k)
		return
	}
	last := len(conns) - 1
	conns[i] = conns[last]
	conns[last] = nil
	s.conns[k] = conns[:last]
}

// Any says whether somebody is interested in k.
func (t *Topics[K]) Any(k K) bool {
	s := t.shard(k)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.conns[k]) > 0
}

// Has says whether a connection is interested in k.
func (t *Topics[K]) Has(k K, c *Conn) bool {
	s := t.shard(k)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Contains(s.conns[k], c)
}

// Keys gives what a connection is interested in, as a copy.
func (t *Topics[K]) Keys(c *Conn) []K {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.keys[c])
}

// AllKeys gives every key that somebody is interested in.
func (t *Topics[K]) AllKeys() (keys []K) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.RLock()
		for k := range s.conns {
			keys = append(keys, k)
		}
		s.mu.RUnlock()
	}
	return keys
}

// Conns gives the connections interested in k, as a copy.
func (t *Topics[K]) Conns(k K) []*Conn {
	s := t.shard(k)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Clone(s.conns[k])
}

// Publish puts one encoded frame into the outbox of every connection interested in k.
// The bytes are shared and must not change afterwards.
func (t *Topics[K]) Publish(k K, frame []byte) {
	s := t.shard(k)
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, c := range s.conns[k] {
		c.Send(frame)
	}
}

// PublishEntry is Publish for an entry of a log: a connection that is behind gets a marker
// instead, as from SendEntry.
func (t *Topics[K]) PublishEntry(k K, frame []byte, at *Position) {
	s := t.shard(k)
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, c := range s.conns[k] {
		c.SendEntry(frame, at)
	}
}
