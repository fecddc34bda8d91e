// Package presence knows who is here, when somebody was last here, and who is typing. It
// tells only those who share a conversation, and only who asks: a connection watches the
// people it shows, and nothing is ever broadcast to a group.
//
// It promises that somebody is online while one of their connections, on any replica, was
// heard within a minute; that last seen survives restarts; and that its statements do not
// grow in number with the connections: all of a replica's people are written in batches.
// What a crash of the database empties of it fills again by itself. All times are by the
// database's clock: a replica says how long ago somebody was heard.
package presence

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"parley/accounts"
	"parley/budget"
	"parley/chat"
	"parley/failures"
	"parley/hub"
	"parley/store"
)

// Config is what the Service needs.
type Config struct {
	DB             *store.DB
	Bus            *store.Bus // nil: no other replica serves the database
	Hub            *hub.Hub
	Logger         *slog.Logger
	ByConversation *hub.Topics[chat.ConversationID]
	ByUser         *hub.Topics[accounts.UserID]
	// Acceptance shows the presence of a member of a direct conversation only once that member
	// accepted it.
	Acceptance bool
	// Reads bounds what each user reads at a time; nil: nothing does.
	Reads *budget.Turns[accounts.UserID]
	// Failures counts panics and events that cannot be encoded.
	Failures *failures.Log
}

// Service knows the people of this replica's connections.
type Service struct {
	cfg      Config
	q        queries
	changes  *store.Topic[accounts.UserID, struct{}] // to and from the other replicas: who came or left
	typists  *store.Topic[Typing, unseen]            // who is typing
	pairs    *store.Topic[pair, struct{}]            // users who may see each other no more, or from now on
	watchers *hub.Topics[accounts.UserID]            // the connections that watch somebody
	showing  *hub.Topics[shown]
	wake     chan struct{} // holds one when there is something to write or to tell

	telling   sync.Mutex         // held while events, or an answer, are put into outboxes; guards overtaken
	overtaken map[*hub.Conn]bool // of connections that wait for an answer: whether an event came first

	mu      sync.Mutex // guards what follows
	here    map[accounts.UserID]*person
	untold  map[accounts.UserID]struct{} // whose watchers are to be told how they are now
	doubted map[watch]struct{}           // watches that may have ended, or begun
	typing  map[Typing]time.Time         // when typing was last published
}

// person is somebody with a connection here, or with one until just now.
type person struct {
	heard   time.Time // when one of their connections last was
	missing time.Time // when a look first found no connection; zero: the last one found some
	gone    bool      // they have left
	mark    mark
	marked  time.Time // heard, as the mark has it
}

// mark is what the database says of somebody on this replica.
type mark int

const (
	unknown mark = iota // or nothing
	online
	offline
)

func (p *person) present(now time.Time) bool { return !p.gone && now.Sub(p.heard) < silence }

const (
	// silence is how long somebody counts as here after they were last heard.
	silence = 60 * time.Second
	// lookEvery is how often departures are looked for, so that one shows after twice that
	// at most: long enough for a page to be loaded anew, or a network to be changed.
	lookEvery = 5 * time.Second
	// away is how long nobody may have a connection before a look says that they have left: a
	// little less than from one look to the next. Looks may follow each other at once if what
	// was written between them took long.
	away = lookEvery - time.Second
	// restart is how long people stay online without their replica: long enough to come back.
	restart = 3 * lookEvery
	// gather is how long arrivals wait for others.
	gather = 100 * time.Millisecond
	// lease is how long a mark of being online lasts after somebody was heard. So one that ran
	// out says when that was. It is renewed when less than half is left.
	lease = silence + 2*lookEvery
	// sweepEvery is how often what crashed replicas left behind is cleared.
	sweepEvery = 15 * time.Second
	// batchRows is how many people one statement writes or tells of at most.
	batchRows = 5000
)

// New makes a Service. It must be made before the hub serves, and after the maps of its
// Config, so that a connection that arrives is in them.
func New(cfg Config) *Service {
	s := &Service{
		cfg: cfg, q: queries{cfg.DB, uuid.New(), cfg.Acceptance}, wake: make(chan struct{}, 1),
		watchers: hub.NewTopics[accounts.UserID](cfg.Hub), showing: hub.NewTopics[shown](cfg.Hub), overtaken: make(map[*hub.Conn]bool),
		here: make(map[accounts.UserID]*person), untold: make(map[accounts.UserID]struct{}), typing: make(map[Typing]time.Time),
		doubted: make(map[watch]struct{}),
	}
	s.changes = store.NewTopic(cfg.Bus, "presence", store.Same, func(user accounts.UserID, _ struct{}) {
		if s.watchers.Any(user) {
			s.noteChanged(user)
			s.rouse()
		}
	})
	s.typists = store.NewTopic(cfg.Bus, "typing", func(_, u unseen) unseen { return u }, s.tellTyping).Fleeting()
	s.pairs = store.NewTopic(cfg.Bus, "acquaintance", store.Same, func(p pair, _ struct{}) { s.recheck(p) })
	cfg.Bus.OnMissed(func(time.Time) {
		s.noteChanged(s.watchers.AllKeys()...)
		s.rouse()
	})
	cfg.Hub.OnOpen(s.arrive)
	return s
}

// arrive notes that somebody has a new connection.
func (s *Service) arrive(_ context.Context, c *hub.Conn) error {
	user := accounts.UserID(c.UserID)
	s.mu.Lock()
	p := s.here[user]
	if p == nil {
		p = &person{}
		s.here[user] = p
	}
	p.heard, p.missing, p.gone = time.Now(), time.Time{}, false
	isNew := p.mark != online
	s.mu.Unlock()
	if isNew {
		s.rouse()
	}
	return nil
}

// rouse makes Run write soon.
func (s *Service) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run writes who is here and tells the watchers, until ctx ends; then it writes when
// everybody was last seen. It does not call them offline: most come back at once, here or on
// another replica, and the mark of who does not runs out soon.
func (s *Service) Run(ctx context.Context) error {
	look := time.NewTicker(lookEvery)
	sweep := time.NewTicker(sweepEvery)
	defer look.Stop()
	defer sweep.Stop()
	failing := false
	for {
		var do func() error
		select {
		case <-ctx.Done():
			return s.cfg.Failures.Do("presence", func() error { return s.leave(context.WithoutCancel(ctx), time.Now()) })
		case <-s.wake:
			do = func() error {
				select {
				case <-ctx.Done():
					return nil
				case <-time.After(gather):
					return s.write(ctx, time.Now())
				}
			}
		case <-look.C:
			do = func() error {
				now := time.Now()
				s.look(now)
				return s.write(ctx, now)
			}
		case <-sweep.C:
			do = func() error { return s.sweep(ctx) }
		}
		err := s.cfg.Failures.Do("presence", do)
		if failing != (err != nil) && ctx.Err() == nil { // an outage is two lines
			if failing = err != nil; failing {
				s.cfg.Logger.Warn("writing presence fails; trying again", "err", err)
			} else {
				s.cfg.Logger.Info("writing presence works again")
			}
		}
	}
}

// look notes when everybody was heard, and who is gone. Whoever is, and known to be, is
// forgotten.
func (s *Service) look(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for user, p := range s.here {
		conns := s.cfg.ByUser.Conns(user)
		for _, c := range conns {
			if at := c.Heard(); at.After(p.heard) {
				p.heard = at
			}
		}
		switch {
		case len(conns) > 0:
			p.missing, p.gone = time.Time{}, false
		case p.missing.IsZero():
			p.missing = now // perhaps the page is loaded anew
		case now.Sub(p.missing) >= away:
			if p.gone = true; p.mark == offline {
				delete(s.here, user)
			}
		}
	}
	for t, at := range s.typing {
		if now.Sub(at) > typingEvery {
			delete(s.typing, t)
		}
	}
}

// sightings are people and when each was last heard.
type sightings struct {
	users []accounts.UserID
	heard []time.Time
}

func (l *sightings) add(user accounts.UserID, p *person) {
	l.users, l.heard = append(l.users, user), append(l.heard, p.heard)
}

// batches cuts them into what one statement writes.
func (l sightings) batches() (batches []sightings) {
	for from := 0; from < len(l.users); from += batchRows {
		to := min(from+batchRows, len(l.users))
		batches = append(batches, sightings{l.users[from:to], l.heard[from:to]})
	}
	return batches
}

// due collects what the database does not know: who came or is there still and whose mark
// runs out, and who is gone or has fallen silent.
func (s *Service) due(now time.Time) (came, left sightings) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for user, p := range s.here {
		switch present := p.present(now); {
		case present && (p.mark != online || p.heard.After(p.marked) && now.Sub(p.marked) > lease/2):
			came.add(user, p)
		case !present && p.mark != offline:
			left.add(user, p)
		}
	}
	return came, left
}

// write brings the database up to date, and tells the watchers of those for whom that
// changed something: another replica may have them, too.
func (s *Service) write(ctx context.Context, now time.Time) error {
	came, left := s.due(now)
	for _, b := range came.batches() {
		changed, err := s.q.goOnline(ctx, b, now)
		if err != nil {
			s.change(b.users) // it may have happened, and nobody been told
			s.doubt()
			return fmt.Errorf("write who is here: %w", err)
		}
		s.written(b, online, now)
		s.change(changed)
	}
	for _, b := range left.batches() {
		changed, err := s.q.goOffline(ctx, b, now)
		if err != nil {
			s.doubt()
			return fmt.Errorf("write who is gone: %w", err)
		}
		s.written(b, offline, now)
		s.change(changed)
	}
	return s.tell(ctx)
}

// written notes what the database says of people.
func (s *Service) written(l sightings, m mark, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, user := range l.users {
		p := s.here[user]
		p.mark, p.marked = m, l.heard[i]
		if m == offline && p.present(now) { // back while that was being written
			s.rouse()
		}
	}
}

// doubt says that nothing is known of what the database says: it may have crashed, and the
// marks are gone then.
func (s *Service) doubt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.here {
		p.mark = unknown
	}
}

// change notes that the watchers of some people are to be told how those are now, here and on
// the other replicas.
func (s *Service) change(users []accounts.UserID) {
	for _, user := range users {
		s.changes.Tell(user, struct{}{})
	}
	s.noteChanged(users...)
}

// noteChanged is change for the watchers here.
func (s *Service) noteChanged(users ...accounts.UserID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, user := range users {
		s.untold[user] = struct{}{}
	}
}

// tell sends how people are now, of whom that changed, to those who watch them and may. What
// fails is told the next time.
func (s *Service) tell(ctx context.Context) error {
	s.mu.Lock()
	untold, doubted := s.untold, s.doubted
	s.untold, s.doubted = make(map[accounts.UserID]struct{}), make(map[watch]struct{})
	s.mu.Unlock()
	done := false
	defer func() {
		if !done { // failed or panicked
			s.noteChanged(slices.Collect(maps.Keys(untold))...)
			s.mu.Lock()
			maps.Copy(s.doubted, doubted)
			s.mu.Unlock()
		}
	}()
	watches := make(map[watch][]*hub.Conn)
	for user := range untold {
		for _, c := range s.watchers.Conns(user) {
			w := watch{accounts.UserID(c.UserID), user}
			watches[w] = append(watches[w], c)
		}
	}
	for w := range doubted {
		if _, isIn := untold[w.watched]; isIn {
			continue
		}
		for _, c := range s.watchers.Conns(w.watched) {
			if accounts.UserID(c.UserID) == w.watcher {
				watches[w] = append(watches[w], c)
			}
		}
	}
	for batch := range slices.Chunk(slices.Collect(maps.Keys(watches)), batchRows) {
		seen, err := s.q.seenBy(ctx, batch)
		if err != nil {
			return fmt.Errorf("find who may know: %w", err)
		}
		s.send(seen, watches)
		for _, v := range seen {
			delete(doubted, watch{v.watcher, v.UserID})
		}
		s.telling.Lock()
		for _, w := range batch {
			if _, isDoubted := doubted[w]; isDoubted {
				s.withdraw(w, watches[w])
			}
		}
		s.telling.Unlock()
	}
	done = true
	return nil
}

// send tells watchers what they see, encoding it once for all who are told of somebody:
// everybody sees the same, but for those who see themselves.
func (s *Service) send(seen []sight, watches map[watch][]*hub.Conn) {
	type face struct {
		user    accounts.UserID
		oneself bool
	}
	frames := make(map[face][]byte)
	s.telling.Lock()
	defer s.telling.Unlock()
	for _, v := range seen {
		f := face{v.UserID, v.watcher == v.UserID}
		if frames[f] == nil {
			frames[f] = s.event("presence", v.State)
		}
		for _, c := range watches[watch{v.watcher, v.UserID}] {
			c.Send(frames[f])
			if _, waits := s.overtaken[c]; waits {
				s.overtaken[c] = true
			}
		}
	}
}

// event encodes an event; nil, of which nothing is sent, if JSON cannot express it.
func (s *Service) event(eventType string, data any) []byte {
	frame, err := hub.EncodeEvent(eventType, data)
	if err != nil {
		s.cfg.Failures.Report("encode the event "+eventType, err)
	}
	return frame
}

// leave writes when everybody was last seen, at the end.
func (s *Service) leave(ctx context.Context, now time.Time) error {
	var all sightings
	s.mu.Lock()
	for user, p := range s.here {
		all.add(user, p)
	}
	s.mu.Unlock()
	for _, b := range all.batches() {
		if err := s.q.leave(ctx, b, now, restart); err != nil {
			return fmt.Errorf("write who was last seen when: %w", err)
		}
	}
	return nil
}

// sweep turns the marks of those whose replica is gone into when they were last seen. It also
// looks whether the marks of this replica are there: the database may have crashed unnoticed.
func (s *Service) sweep(ctx context.Context) error {
	return errors.Join(s.sweepBlocks(ctx), s.sweepMarks(ctx))
}

func (s *Service) sweepMarks(ctx context.Context) error {
	own, expired, err := s.q.expired(ctx)
	if err != nil {
		return fmt.Errorf("look for what crashed replicas left: %w", err)
	}
	if own < s.marked() {
		s.doubt()
		s.rouse()
	}
	s.change(expired) // before the marks go: the answer to that may be lost
	if len(expired) > 0 {
		if err := s.q.sweep(ctx, expired); err != nil {
			return fmt.Errorf("clear what crashed replicas left: %w", err)
		}
	}
	return s.tell(ctx)
}

// marked counts whom the database should have as here.
func (s *Service) marked() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.here {
		if p.mark == online {
			n++
		}
	}
	return n
}

// RemoveUser forgets when a deleted user was last here. Marks of connections that were open lately
// run out within a minute, and write it again: accounts calls this once more after that.
func (s *Service) RemoveUser(ctx context.Context, user accounts.UserID, _ bool) error {
	if err := s.q.forget(ctx, user); err != nil {
		return fmt.Errorf("forget when a deleted user was here: %w", err)
	}
	return nil
}
