package receipts

import (
	"context"
	"fmt"
	"time"

	"parley/chat"
	"parley/store"
)

const (
	// sweepInterval is the time from the beginning of one round through all conversations to the
	// next, sweepPage at a time. The first round begins at once: a process before this one may
	// have been killed.
	sweepInterval = 30 * time.Second
	sweepPage     = 2000
	// sweepShare is of how many parts of the time sweeping takes one at most (store.Pace).
	sweepShare = 20
	// The first round looks for lost marks of senders in conversations that were active within
	// firstSweepReach, later ones since the round before, and sweepOverlap before that: a commit
	// that waited for the disk appears late.
	firstSweepReach = 7 * 24 * time.Hour
	sweepOverlap    = time.Minute
)

// sweepRound is one way through all conversations.
type sweepRound struct {
	after       chat.ConversationID // the last that was looked at
	began, last time.Time           // of this round, and of the last complete one
}

// sweep derives what no hint led to, until ctx ends. A replica that was killed forgot that its
// senders have read; the command line disables users without a word to anything that runs.
func (s *Service) sweep(ctx context.Context) {
	pace := store.Pace{Share: sweepShare}
	next := time.NewTimer(0)
	defer next.Stop()
	var r sweepRound
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		}
		began, took := time.Now(), time.Duration(0)
		pause, err := s.sweepSome(ctx, &r, began)
		if err == nil {
			took = time.Since(began)
		}
		if failing != (err != nil) && ctx.Err() == nil { // an outage is two lines
			if failing = err != nil; failing {
				s.cfg.Logger.Warn("sweeping for lost receipts fails; trying again", "err", err)
			} else {
				s.cfg.Logger.Info("sweeping for lost receipts works again")
			}
		}
		next.Reset(max(pause, pace.Rest(took)))
	}
}

// sweepSome looks at the next conversations of a round, and says after how long to go on.
func (s *Service) sweepSome(ctx context.Context, r *sweepRound, now time.Time) (time.Duration, error) {
	if r.began.IsZero() {
		r.began = now
	}
	reach := firstSweepReach
	if !r.last.IsZero() {
		reach = now.Sub(r.last) + sweepOverlap
	}
	next, err := s.sweepAfter(ctx, r.after, reach)
	if err != nil {
		return time.Second, err
	}
	if r.after = next; !next.IsZero() {
		return 0, nil
	}
	pause := max(sweepInterval-now.Sub(r.began), time.Second)
	r.last, r.began = r.began, time.Time{}
	return pause, nil
}

// sweepAfter looks at a page of conversations and gives the last of them, or nothing at the end.
func (s *Service) sweepAfter(ctx context.Context, after chat.ConversationID, reach time.Duration) (next chat.ConversationID, err error) {
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	page, err := s.q.conversationIDs(ctx, after, sweepPage)
	if err != nil || len(page) == 0 {
		return next, err
	}
	senders, err := s.q.unmarkedSenders(ctx, page, reach)
	if err != nil {
		return next, fmt.Errorf("find lost marks of senders: %w", err)
	}
	for _, m := range senders {
		s.Read(m.conversation, m.user, m.seq)
	}
	groups, err := s.q.staleGroups(ctx, page)
	if err != nil {
		return next, fmt.Errorf("find groups held back without reason: %w", err)
	}
	for _, id := range groups {
		s.MembersChanged(id)
	}
	if len(page) == sweepPage {
		next = page[len(page)-1]
	}
	return next, nil
}
