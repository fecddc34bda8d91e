package history

import (
	"context"

	"parley/accounts"
	"parley/hub"
	"parley/problem"
)

// maxHeld is how many conversations one sync may name. Its frame may have 512 KiB, which is
// 262 bytes for each: an id, the longest value, and the white space of indented JSON.
const maxHeld = 2000

var (
	errHeld    = problem.Newf(problem.TooLarge, "A sync can name %d conversations at most.", maxHeld)
	errHeldSeq = problem.New(problem.Invalid, "A conversation's last seq is 0 or more.")
	errMarkSeq = problem.New(problem.Invalid, "Send a seq of 1 or more.")
)

// Frames registers sync.
func (s *Service) Frames(m *hub.Mux) { m.HandleLarge("sync", s.frameSync) }

func (s *Service) frameSync(ctx context.Context, r *hub.Request) (any, error) {
	var held Held
	if err := r.Bind(&held); err != nil {
		return nil, err
	}
	if len(held.Conversations) > maxHeld {
		return nil, errHeld
	}
	for _, seq := range held.Conversations {
		if seq < 0 {
			return nil, errHeldSeq
		}
	}
	for _, mark := range held.LastEntries {
		if mark.Seq < 1 {
			return nil, errMarkSeq
		}
	}
	me := accounts.UserID(r.Conn.UserID)
	leave, err := s.cfg.Reads.Enter(ctx, me)
	if err != nil {
		return nil, err
	}
	defer leave()
	return s.Sync(ctx, me, held)
}
