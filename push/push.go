// Package push reaches people who are away. It owns their devices, what is owed to each, the
// key pair by which push services know this server, and the senders: Web Push and FCM.
//
// A notification is owed, not sent: whoever has a device, is a member, wants to be told, and
// does not have a message a few seconds after its commit, or has not read it after a minute, is
// owed one. It promises that what is owed is attempted until the service takes it, or finds
// fault with it, or the person needs it no more, whatever crashes: at least once, one
// notification for a conversation, one thing at a time for a device. It adds nothing to the way
// of a message but a note in memory.
package push

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"parley/accounts"
	"parley/chat"
	"parley/failures"
	"parley/store"
)

// Config is what the Service needs.
type Config struct {
	DB     *store.DB
	Logger *slog.Logger
	// PublicURL is the address people reach the server at; "" where it is not known.
	PublicURL func(context.Context) string
	// Generic keeps who wrote what out of all notifications, whatever people choose.
	Generic bool
	// AllowPrivate lets push services be at private addresses, and be reached by plain http.
	AllowPrivate bool
	// Services are the push services that Web Push may call; AllowPrivate allows every host.
	Services Services
	// FCM is Google's service account as JSON; empty: no FCM.
	FCM []byte
	// FCMEndpoint is another address than Google's; empty: Google's.
	FCMEndpoint string
	// RateLimits keeps people from testing their devices all the time.
	RateLimits bool
	// Failures counts panics.
	Failures *failures.Log
}

// Service reaches the people who are away.
type Service struct {
	cfg     Config
	q       queries
	keys    vapidKeys
	senders map[Kind]Sender
	wake    chan struct{} // holds one when a device may be due
	hosts   hosts
	failing failing
	await   func(context.Context, time.Time) // the end of a test
	testing chan struct{}                    // holds one for each test that goes on

	mu   sync.Mutex // guards said
	said map[chat.ConversationID]span
}

// span is from the first to the last of some messages.
type span struct{ first, last chat.Seq }

const (
	// gather is how long messages are gathered before it is asked who does not have them, and
	// settle how long those who are here have to say so. So a notification is on its way two to
	// three seconds after the message.
	gather = time.Second
	settle = 2 * time.Second
	// comeBack is how long people have after a restart to come back and catch up by themselves:
	// what nobody noticed is not owed before.
	comeBack = 15 * time.Second
	// unreadFor is how long what is delivered may wait to be read: then the person is told of it
	// as if it were not. It may be a page nobody looks at that has it.
	unreadFor = time.Minute
	// sweepRound is how often all devices are looked at, sweepRows at a time, for what a crash
	// forgot and for what nobody read; sweepPause is the shortest time from some to the next.
	sweepRound = 30 * time.Second
	sweepRows  = 500
	sweepPause = 100 * time.Millisecond
	// readPause is how often it is looked whether what is shown was read elsewhere.
	readPause = 2 * time.Second
	// Either takes one part in share of the time at most (store.Pace).
	share = 20
	// noticedRows is how many conversations one statement looks at, and raiseTimeout how long it
	// may take before it looks at fewer.
	noticedRows  = 2000
	raiseTimeout = 4 * time.Second
)

// New makes a Service, and the server's key pair where there is none.
func New(ctx context.Context, cfg Config) (*Service, error) {
	s := &Service{cfg: cfg, q: queries{cfg.DB}, wake: make(chan struct{}, 1), await: wait, testing: make(chan struct{}, maxTests), said: make(map[chat.ConversationID]span)}
	base := "" // outside of a request it is known only where it is configured
	if cfg.PublicURL != nil {
		base = cfg.PublicURL(ctx)
	}
	fresh, err := newKeys()
	if err != nil {
		return nil, err
	}
	if s.keys, err = s.q.keys(ctx, fresh); err != nil {
		return nil, fmt.Errorf("read the key pair for push services: %w", err)
	}
	if len(cfg.Services.exact) == 0 { // the known ones are not to be forgotten
		if s.cfg.Services, err = ParseServices(nil); err != nil {
			return nil, err
		}
	}
	s.senders = map[Kind]Sender{KindWebPush: newWebPush(s.keys, base, cfg.AllowPrivate)}
	if len(cfg.FCM) > 0 {
		if s.senders[KindFCM], err = newFCM(ctx, cfg.FCM, cfg.FCMEndpoint); err != nil {
			return nil, fmt.Errorf("set up FCM: %w", err)
		}
	}
	return s, nil
}

// Sent notes that a message is in the log. It neither blocks nor asks anybody.
func (s *Service) Sent(id chat.ConversationID, _ accounts.UserID, seq chat.Seq) {
	s.mu.Lock()
	if w, ok := s.said[id]; ok {
		s.said[id] = span{min(w.first, seq), max(w.last, seq)}
	} else {
		s.said[id] = span{seq, seq}
	}
	s.mu.Unlock()
}

// Run finds what is owed and sends it until ctx ends. Then it leaves what it has noticed to
// the next start or another replica, and waits a little for what is being sent.
func (s *Service) Run(ctx context.Context) error {
	var parts sync.WaitGroup
	parts.Go(func() { s.cfg.Failures.Loop(ctx, "look for forgotten notifications", s.sweep) })
	parts.Go(func() { s.cfg.Failures.Loop(ctx, "send notifications", s.deliver) })
	err := s.notice(ctx)
	parts.Wait()
	return err
}

// rouse makes devices be looked for that are due.
func (s *Service) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// outage logs the beginning and the end of one, and not every attempt.
type outage struct {
	log     *slog.Logger
	doing   string
	failing bool
}

func (o *outage) note(ctx context.Context, err error) {
	if o.failing == (err != nil) || ctx.Err() != nil {
		return
	}
	if o.failing = err != nil; o.failing {
		o.log.Warn("notifications wait: trying again", "doing", o.doing, "err", err)
	} else {
		o.log.Info("notifications go on", "doing", o.doing)
	}
}
