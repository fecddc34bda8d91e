// Package presence knows who is here, when somebody was last here, and who is typing. It
// tells only those who share a conversation, and only who asks: a connection watches the
// people it shows, and nothing is ever broadcast to a group.
//
// It promises that somebody is online while one of their connections, on any replica, was
// heard within a minute; that last seen survives restarts; and that its statements do not
// grow in number with the connections: all of a replica's people are written in batches.
// What a crash of the database empties of it fills again by itself.
package presence

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"parley/accounts"
	"parley/chat"
	"parley/hub"
	"parley/store"
)

// Config is what the Service needs.
type Config struct {
	DB             *store.DB
	Hub            *hub.Hub
	Logger         *slog.Logger
	ByConversation *hub.Topics[chat.ConversationID]
	ByUser         *hub.Topics[accounts.UserID]
}

// Service knows the people of this replica's connections.
type Service struct {
	cfg      Config
	q        queries
	watchers *hub.Topics[accounts.UserID]     // the connections that watch somebody
	showing  *hub.Topics[chat.ConversationID] // the connections that show a conversation, or none (the zero id)
	arrived  chan struct{}                    // holds one when somebody came

	mu     sync.Mutex // guards here and typing
	here   map[accounts.UserID]*person
	typing map[typist]time.Time // when somebody was last said to be typing
}

// person is somebody with a connection here, or with one until just now.
type person struct {
	heard  time.Time // when one of their connections last was
	missed bool      // no connection was found the last time: a page loaded anew is no departure
	gone   bool      // nor the time after
	online bool      // the database says so, until then
	until  time.Time
}

func (p *person) present(now time.Time) bool { return !p.gone && now.Sub(p.heard) < silence }

const (
	// silence is how long somebody counts as here after they were last heard.
	silence = 60 * time.Second
	// lookEvery is how often departures are looked for, so that one shows after twice that
	// at most: long enough for a page to be loaded anew, or a network to be changed.
	lookEvery = 5 * time.Second
	// gather is how long arrivals wait for others.
	gather = 100 * time.Millisecond
	// A mark of being online lasts this long, and is renewed when less than half is left.
	lease = silence + 2*lookEvery
	// sweepEvery is how often what crashed replicas left behind is cleared.
	sweepEvery = time.Minute
	// batchRows is how many people one statement writes at most.
	batchRows = 5000
)

// New makes a Service. It must be made before the hub serves, and after the maps of its
// Config, so that a connection that arrives is in them.
func New(cfg Config) *Service {
	s := &Service{
		cfg: cfg, q: queries{cfg.DB, uuid.New()}, arrived: make(chan struct{}, 1),
		watchers: hub.NewTopics[accounts.UserID](cfg.Hub), showing: hub.NewTopics[chat.ConversationID](cfg.Hub),
		here: make(map[accounts.UserID]*person), typing: make(map[typist]time.Time),
	}
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
	p.heard, p.missed, p.gone = time.Now(), false, false
	isNew := !p.online
	s.mu.Unlock()
	if isNew {
		select {
		case s.arrived <- struct{}{}:
		default:
		}
	}
	return nil
}

// Run writes who is here and tells the watchers, until ctx ends; then it writes when
// everybody was last seen. It does not call them offline: most come back at once, here or on
// another replica, and the mark of who does not expires.
func (s *Service) Run(ctx context.Context) error {
	look := time.NewTicker(lookEvery)
	sweep := time.NewTicker(sweepEvery)
	defer look.Stop()
	defer sweep.Stop()
	failing := false
	for {
		var err error
		select {
		case <-ctx.Done():
			return s.leave(context.WithoutCancel(ctx))
		case <-s.arrived:
			select {
			case <-ctx.Done():
			case <-time.After(gather):
				err = s.write(ctx)
			}
		case <-look.C:
			s.look(time.Now())
			err = s.write(ctx)
		case <-sweep.C:
			err = s.sweep(ctx)
		}
		if failing != (err != nil) && ctx.Err() == nil { // an outage is two lines
			if failing = err != nil; failing {
				s.cfg.Logger.Warn("writing presence fails; trying again", "err", err)
			} else {
				s.cfg.Logger.Info("writing presence works again")
			}
		}
	}
}

// look notes when everybody was heard, and who is gone.
func (s *Service) look(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for user, p := range s.here {
		heard := s.lastHeard(user)
		switch {
		case !heard.IsZero():
			p.heard, p.missed, p.gone = heard, false, false
		case !p.missed:
			p.missed = true
		case p.online:
			p.gone = true
		default:
			delete(s.here, user)
		}
	}
	for t, at := range s.typing {
		if now.Sub(at) > typingEvery {
			delete(s.typing, t)
		}
	}
}

func (s *Service) lastHeard(user accounts.UserID) (last time.Time) {
	for _, c := range s.cfg.ByUser.Conns(user) {
		if at := c.Heard(); at.After(last) {
			last = at
		}
	}
	return last
}

// changes are what the database does not know yet.
type changes struct {
	online, offline []accounts.UserID
	seen            []time.Time // when those who are offline last were
}

// due collects changes: who came, whose mark runs out, and who is gone.
func (s *Service) due(now time.Time) (c changes) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for user, p := range s.here {
		switch present := p.present(now); {
		case present && (!p.online || p.until.Sub(now) < lease/2):
			c.online = append(c.online, user)
		case !present && p.online:
			c.offline, c.seen = append(c.offline, user), append(c.seen, p.heard)
		}
	}
	return c
}

// write brings the database up to date, and tells the watchers of those for whom that
// changed something: another replica may have them, too.
func (s *Service) write(ctx context.Context) error {
	now := time.Now()
	c := s.due(now)
	var changed []accounts.UserID
	for users := range slices.Chunk(c.online, batchRows) {
		came, err := s.q.goOnline(ctx, users, lease)
		if err != nil {
			return fmt.Errorf("write who is here: %w", err)
		}
		s.written(users, now.Add(lease))
		changed = append(changed, came...)
	}
	for i := 0; i < len(c.offline); i += batchRows {
		end := min(i+batchRows, len(c.offline))
		left, err := s.q.goOffline(ctx, c.offline[i:end], c.seen[i:end])
		if err != nil {
			return fmt.Errorf("write who is gone: %w", err)
		}
		s.written(c.offline[i:end], time.Time{})
		changed = append(changed, left...)
	}
	return s.tell(ctx, changed)
}

// written notes what the database says of people now: online until then, or not.
func (s *Service) written(users []accounts.UserID, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, user := range users {
		if p := s.here[user]; p != nil {
			p.online, p.until = !until.IsZero(), until
		}
	}
}

// tell sends what people are now to those who watch them and may.
func (s *Service) tell(ctx context.Context, users []accounts.UserID) error {
	var watchers, watched []accounts.UserID
	for _, user := range users {
		for _, c := range s.watchers.Conns(user) {
			watchers, watched = append(watchers, accounts.UserID(c.UserID)), append(watched, user)
		}
	}
	if len(watchers) == 0 {
		return nil
	}
	seen, err := s.q.seenBy(ctx, watchers, watched)
	if err != nil {
		return fmt.Errorf("find who may know: %w", err)
	}
	for _, v := range seen {
		frame := hub.EncodeEvent("presence", v.State)
		for _, c := range s.watchers.Conns(v.UserID) {
			if accounts.UserID(c.UserID) == v.watcher {
				c.Send(frame)
			}
		}
	}
	return nil
}

// leave writes when everybody was last seen, at the end.
func (s *Service) leave(ctx context.Context) error {
	s.mu.Lock()
	users, seen := make([]accounts.UserID, 0, len(s.here)), make([]time.Time, 0, len(s.here))
	for user, p := range s.here {
		users, seen = append(users, user), append(seen, p.heard)
	}
	s.mu.Unlock()
	if err := s.q.see(ctx, users, seen); err != nil {
		return fmt.Errorf("write who was last seen when: %w", err)
	}
	return nil
}

// sweep turns the marks of those whose replica is gone into when they were last seen.
func (s *Service) sweep(ctx context.Context) error {
	gone, err := s.q.sweep(ctx, lease)
	if err != nil {
		return fmt.Errorf("clear what crashed replicas left: %w", err)
	}
	return s.tell(ctx, gone)
}
