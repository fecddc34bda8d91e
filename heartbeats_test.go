//go:build unix

package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"parley/parleytest"
)

// However many people are connected, their heartbeats ask nothing of the database, and that
// they are here is written in batches: the statements of a while are the same for many as
// for few.
func TestHeartbeatsAskNothingOfTheDatabase(t *testing.T) {
	// Not parallel: both ends of every connection are this process's files.
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	many := int(min(10_000, (files.Cur-1000)/2))
	s := startTest(t, nil)
	tokens := s.crowd(many)
	few := s.beats(s.crowdConnects(tokens[:10]))
	all := s.beats(s.crowdConnects(tokens[10:]))
	t.Logf("a round of heartbeats, and what went on meanwhile: %d statements with 10 people, %d with %d", few, all, many)
	// What the server does every second, and one batch of who is here.
	if all > few+100 {
		t.Errorf("%d statements with 10 people, %d with %d", few, all, many)
	}
}

// crowd makes people with a session each, without the price of their passwords.
func (s *testServer) crowd(n int) (tokens []string) {
	s.t.Helper()
	ids, hashes := make([]uuid.UUID, n), make([][]byte, n)
	for i := range n {
		secret := make([]byte, 32)
		_, _ = rand.Read(secret) // never fails
		hash := sha256.Sum256(secret)
		ids[i], hashes[i] = uuid.Must(uuid.NewV7()), hash[:]
		tokens = append(tokens, base64.RawURLEncoding.EncodeToString(secret))
	}
	for _, sql := range []string{
		`INSERT INTO users (id, username, display_name, password_hash, role)
			SELECT i.id, 'crowd' || i.n, 'Crowd', '', 'member' FROM unnest($1::uuid[], $2::bytea[]) WITH ORDINALITY AS i(id, hash, n)`,
		`INSERT INTO sessions (id, user_id, token_hash, expires_at)
			SELECT gen_random_uuid(), i.id, i.hash, now() + interval '1 day' FROM unnest($1::uuid[], $2::bytea[]) AS i(id, hash)`,
	} {
		if _, err := s.db.Exec(s.t.Context(), sql, ids, hashes); err != nil {
			s.t.Fatal(err)
		}
	}
	return tokens
}

func (s *testServer) crowdConnects(tokens []string) []*parleytest.Wire {
	s.t.Helper()
	wires := make([]*parleytest.Wire, len(tokens))
	var dialling errgroup.Group
	dialling.SetLimit(16)
	for i, token := range tokens {
		dialling.Go(func() (err error) {
			if wires[i], err = parleytest.DialWire(s.t.Context(), &net.Dialer{}, strings.TrimPrefix(s.url, "http://"), token); err != nil {
				return err
			}
			s.t.Cleanup(func() { _ = wires[i].Close() })
			return wires[i].AwaitHello()
		})
	}
	if err := dialling.Wait(); err != nil {
		s.t.Fatal(err)
	}
	return wires
}

// beats lets everybody say that they are alive, and gives how often the database was asked
// from then until they are all marked as being here.
func (s *testServer) beats(wires []*parleytest.Wire) int64 {
	s.t.Helper()
	s.settled()
	before := s.db.Pool().Stat().AcquireCount()
	var beating sync.WaitGroup
	for i, w := range wires {
		beating.Go(func() {
			w.Append(fmt.Appendf(nil, `{"type":"presence.heartbeat","id":"%d","data":{}}`, i))
			if err := w.Flush(); err != nil {
				s.t.Error(err)
				return
			}
			if _, err := w.Read(); err != nil {
				s.t.Error(err)
			}
		})
	}
	beating.Wait()
	return s.db.Pool().Stat().AcquireCount() - before
}

// settled waits until everybody who is connected is marked as being here.
func (s *testServer) settled() {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		var marked int
		if err := s.db.QueryRow(s.t.Context(), `SELECT count(*) FROM online WHERE until > now()`).Scan(&marked); err != nil {
			s.t.Fatal(err)
		}
		if marked == s.hub.Connections() {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%d of %d are marked as here", marked, s.hub.Connections())
		}
	}
}
