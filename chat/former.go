package chat

import (
	"context"
	"fmt"

	"parley/accounts"
)

// ListFormer gives a page of the groups that the user left or was removed from, the latest
// first, and the cursor of the next page, empty at the end. limit is 1 to 100.
func (s *Service) ListFormer(ctx context.Context, me accounts.UserID, after string, limit int) ([]Conversation, string, error) {
	from, err := parseCursor(after)
	if err != nil {
		return nil, "", err
	}
	list, err := s.q.formerPage(ctx, me, nil, from, limit+1)
	if err != nil {
		return nil, "", fmt.Errorf("list former groups: %w", err)
	}
	list, next := cut(list, limit)
	return list, next, nil
}

// Former gives one group that the user left or was removed from. Errors: ErrNotMember, also for
// a member.
func (s *Service) Former(ctx context.Context, me accounts.UserID, id ConversationID) (Conversation, error) {
	list, err := s.q.formerPage(ctx, me, []ConversationID{id}, firstPage, 1)
	if err != nil {
		return Conversation{}, fmt.Errorf("read a former group: %w", err)
	}
	if len(list) == 0 {
		return Conversation{}, ErrNotMember
	}
	return list[0], nil
}
