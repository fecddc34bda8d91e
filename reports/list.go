package reports

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"parley/accounts"
	"parley/chat"
)

// Mine is a report as its reporter sees it.
type Mine struct {
	ID             ID                  `json:"id" format:"uuid"`
	ConversationID chat.ConversationID `json:"conversation_id" format:"uuid"`
	Seq            chat.Seq            `json:"seq" minimum:"1"`
	State          State               `json:"state" enum:"open,closed"`
	Reason         Reason              `json:"reason" enum:"spam,harassment,illegal,other"`
	Comment        string              `json:"comment"`
	CreatedAt      time.Time           `json:"created_at"`
	Decision       *Decision           `json:"decision,omitempty" enum:"removed,disabled,dismissed"`
	Answer         string              `json:"answer,omitempty" doc:"What the admin says to the reporter"`
	DecidedAt      *time.Time          `json:"decided_at,omitempty"`
}

// Report is a report as admins see it.
type Report struct {
	Mine
	Reporter  accounts.User  `json:"reporter"`
	Sender    accounts.User  `json:"sender" doc:"The sender of the message"`
	Body      string         `json:"body" doc:"The text as of the report; empty after the decision"`
	Erased    bool           `json:"erased,omitempty" doc:"The sender deleted their account and had their messages erased, this text too"`
	Context   []chat.Message `json:"context" doc:"Up to 5 messages before and after that the reporter can read, without reactions; empty after the decision"`
	DecidedBy *accounts.User `json:"decided_by,omitempty"`
}

// cursor is the place of a report in a list.
type cursor struct {
	at time.Time // of the decision, where that is the order
	id ID
}

// parse reads a cursor; from is where a list without one begins.
func parse(text string, from cursor) (cursor, error) {
	if text == "" {
		return from, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return cursor{}, errCursor
	}
	at, id, _ := strings.Cut(string(b), " ")
	var c cursor
	if c.at, err = time.Parse(time.RFC3339Nano, at); err != nil || c.id.UnmarshalText([]byte(id)) != nil {
		return cursor{}, errCursor
	}
	return c, nil
}

func (c cursor) String() string {
	return base64.RawURLEncoding.EncodeToString([]byte(c.at.UTC().Format(time.RFC3339Nano) + " " + c.id.String()))
}

// last is after every report: of the highest id, decided in a time far away.
var last = cursor{
	time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC),
	ID{255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255},
}

// List gives an admin a page of reports, the oldest open or the latest decided first, the cursor of
// the next page, "" at the end, and how many are open.
func (s *Service) List(ctx context.Context, admin accounts.Identity, state State, after string, limit int) (list []Report, next string, open int, err error) {
	if admin.Role != accounts.RoleAdmin {
		return nil, "", 0, errNotAdmin
	}
	begin := cursor{}
	if state == Closed {
		begin = last
	}
	from, err := parse(after, begin)
	if err != nil {
		return nil, "", 0, err
	}
	if list, err = s.q.list(ctx, admin.UserID, state, from, limit+1); err == nil {
		open, err = s.q.countOpen(ctx, admin.UserID)
	}
	if err != nil {
		return nil, "", 0, fmt.Errorf("list reports: %w", err)
	}
	if len(list) > limit {
		list = list[:limit]
		next = place(list[limit-1].Mine).String()
	}
	if list == nil {
		list = []Report{} // a list in JSON, not null
	}
	return list, next, open, nil
}

// ListMine gives a page of the user's own reports, the latest first.
func (s *Service) ListMine(ctx context.Context, me accounts.UserID, after string, limit int) (list []Mine, next string, err error) {
	from, err := parse(after, last)
	if err != nil {
		return nil, "", err
	}
	if list, err = s.q.mine(ctx, me, from, limit+1); err != nil {
		return nil, "", fmt.Errorf("list a user's reports: %w", err)
	}
	if len(list) > limit {
		list = list[:limit]
		next = place(list[limit-1]).String()
	}
	if list == nil {
		list = []Mine{}
	}
	return list, next, nil
}

func place(m Mine) cursor {
	c := cursor{id: m.ID}
	if m.DecidedAt != nil {
		c.at = *m.DecidedAt
	}
	return c
}
