package parleytest

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
)

// Pair is two people and their direct conversation.
type Pair struct {
	A, B         Session
	Conversation uuid.UUID
}

// Admin makes the first person with the set-up link that the server printed.
func (s *Server) Admin(ctx context.Context) (Session, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for s.SetupToken() == "" {
		select {
		case <-ctx.Done():
			return Session{}, fmt.Errorf("wait for the set-up link: %w", ctx.Err())
		case <-time.After(10 * time.Millisecond): // its line may come after readiness
		}
	}
	admin, err := s.Client("").Setup(ctx, s.SetupToken(), "admin")
	if err != nil {
		return Session{}, fmt.Errorf("set up the admin: %w", err)
	}
	return admin, nil
}

// SignUp makes n people called prefix0, prefix1, …; it needs open sign-up. A password
// hash costs the server tens of milliseconds on purpose, so this is what takes long in
// making a test's world.
func (s *Server) SignUp(ctx context.Context, prefix string, n int) ([]Session, error) {
	people := make([]Session, n)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0) + 1)
	for i := range people {
		g.Go(func() (err error) {
			people[i], err = s.Client("").SignUp(ctx, "", fmt.Sprint(prefix, i))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("sign up people: %w", err)
	}
	return people, nil
}

// Pairs makes n pairs of people, everybody in one pair only, each with its conversation.
func (s *Server) Pairs(ctx context.Context, prefix string, n int) ([]Pair, error) {
	people, err := s.SignUp(ctx, prefix, 2*n)
	if err != nil {
		return nil, err
	}
	pairs := make([]Pair, n)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i := range pairs {
		g.Go(func() error {
			a, b := people[2*i], people[2*i+1]
			// From both sides: until its first message it would be hidden from the other.
			if _, err := s.Client(b.Token).OpenDirect(ctx, a.User.ID); err != nil {
				return err
			}
			c, err := s.Client(a.Token).OpenDirect(ctx, b.User.ID)
			pairs[i] = Pair{a, b, c.ID}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("open conversations: %w", err)
	}
	return pairs, nil
}
