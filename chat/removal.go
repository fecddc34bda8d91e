package chat

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"parley/accounts"
	"parley/store"
)

// Remove deletes a message for an admin of the server, who need not be a member: as the author's
// deletion does, with an entry in the log. allow runs first, in the same transaction and under the
// lock of the conversation: its error, which is given back, leaves all as it was. A message that is
// deleted already gets no second entry. An error with the code unavailable may mean that it was
// done: allow has to stand being called again.
func (s *Service) Remove(ctx context.Context, admin accounts.UserID, id ConversationID, seq Seq, allow func(context.Context, pgx.Tx) error) error {
	ctx = context.WithoutCancel(ctx) // what was begun is finished
	w := s.writerOf(id)
	if !w.enter() {
		return ErrOverloaded
	}
	defer w.exit()
	var (
		e     Entry
		added bool
	)
	err := s.cfg.DB.Writer().InTx(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		q := s.q.in(tx)
		if err := q.lockRow(ctx, id); err != nil {
			return fmt.Errorf("lock a conversation: %w", err)
		}
		if err := allow(ctx, tx); err != nil {
			return err
		}
		if e, added, err = q.appendRemoval(ctx, id, seq, admin); err != nil {
			return fmt.Errorf("remove a message: %w", err)
		}
		return nil
	})
	if store.Transient(err) {
		s.gates.doubt() // the commit may have happened and only its answer been lost
		return errUncertain.Because(err)
	}
	if err != nil {
		return err
	}
	if added {
		s.gates.deliver(e, s.gates.encode(e))
	}
	return nil
}
