package chat

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"parley/accounts"
	"parley/problem"
	"parley/strictjson"
)

// Notify is of what somebody is told while they are away.
type Notify string

// What there is to be told of.
const (
	NotifyAll      Notify = "all"
	NotifyMentions Notify = "mentions" // messages that mention them
	NotifyNone     Notify = "none"
)

// Settings is what a member changes of a conversation for themselves; nil leaves it.
type Settings struct {
	Notify *Notify
	Mute   *Mute
	// Archived puts the conversation away until its next entry, or brings it back.
	Archived *bool
}

// Mute is how long the user gets no notifications: until a time, or, by PostgreSQL's clock, for
// a duration. Both zero end a mute.
type Mute struct {
	Until time.Time
	For   time.Duration
}

// Bounds of Mute.For.
const (
	minMute = time.Minute
	maxMute = 366 * 24 * time.Hour
)

var (
	errNoSettings = settingsError("notify", "Send notify, muted_until, mute_for_s or archived.")
	errMuteTwice  = settingsError("mute_for_s", "Send either mute_for_s or muted_until, not both.")
)

func settingsError(field, message string) error {
	p := problem.New(problem.Invalid, message)
	p.Fields = []problem.Field{{Location: "body." + field, Message: message}}
	return p
}

// check refuses what RFC 3339 cannot express in UTC, and durations out of bounds.
func (m Mute) check() error {
	if y := m.Until.UTC().Year(); y < 1 || y > 9999 {
		return settingsError("muted_until", "Use a time from year 1 to year 9999 in UTC.")
	}
	if m.For != 0 && (m.For < minMute || m.For > maxMute) {
		return settingsError("mute_for_s", fmt.Sprintf("Use %d to %d seconds.", minMute/time.Second, maxMute/time.Second))
	}
	if m.For != 0 && !m.Until.IsZero() {
		return errMuteTwice
	}
	return nil
}

// UpdateSettings changes a conversation's settings of the user, and shows it to their
// connections. Errors: ErrNotMember, and the code invalid.
func (s *Service) UpdateSettings(ctx context.Context, me accounts.UserID, id ConversationID, c Settings) (Conversation, error) {
	if c.Notify == nil && c.Mute == nil && c.Archived == nil {
		return Conversation{}, errNoSettings
	}
	if c.Mute != nil {
		if err := c.Mute.check(); err != nil {
			return Conversation{}, err
		}
	}
	isMember, err := s.q.updateSettings(ctx, me, id, c)
	if err != nil {
		return Conversation{}, fmt.Errorf("change a conversation's settings: %w", err)
	}
	if !isMember {
		return Conversation{}, ErrNotMember
	}
	s.settings.Tell(mine{me, id}, struct{}{})
	face, err := s.Conversation(ctx, me, id)
	if err == nil {
		s.byUser.Publish(me, s.event("conversation", face))
	}
	return face, err
}

// mine is somebody's view of a conversation.
type mine struct {
	User         accounts.UserID `json:"user"`
	Conversation ConversationID  `json:"conversation"`
}

// showSettings shows somebody's connections what a conversation looks like to them, since
// they changed that at another replica.
func (s *Service) showSettings(ctx context.Context, m mine) {
	switch face, err := s.Conversation(ctx, m.User, m.Conversation); {
	case err == nil:
		s.byUser.Publish(m.User, s.event("conversation", face))
	case !errors.Is(err, ErrNotMember):
		s.cfg.Logger.Warn("showing a conversation's settings", "conversation_id", m.Conversation, "err", err)
	}
}

type settingsInput struct {
	ID   ConversationID `path:"id" format:"uuid"`
	Body struct {
		Notify     *Notify    `json:"notify,omitempty" enum:"all,mentions,none"`
		MutedUntil maybeUntil `json:"muted_until,omitempty" doc:"null ends a mute"`
		Archived   *bool      `json:"archived,omitempty" doc:"true puts the conversation away until its next entry, false brings it back"`
		MuteForS   *int       `json:"mute_for_s,omitempty" minimum:"60" maximum:"31622400" doc:"Mutes for so many seconds, by the server's clock; instead of muted_until"`
	}
}

// maybeUntil tells null, which ends a mute, from nothing, which leaves it.
type maybeUntil struct{ mute *Mute }

// UnmarshalJSON implements json.Unmarshaler.
func (m *maybeUntil) UnmarshalJSON(b []byte) error {
	m.mute = &Mute{}
	if bytes.Equal(b, []byte("null")) {
		return nil
	}
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return err
	}
	var err error
	m.mute.Until, err = strictjson.Time(text)
	return err
}

// Schema says what UnmarshalJSON takes.
func (maybeUntil) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "date-time", Nullable: true}
}

func (s *Service) httpSettings(ctx context.Context, in *settingsInput) (*conversationOutput, error) {
	mute := in.Body.MutedUntil.mute
	if in.Body.MuteForS != nil {
		if mute != nil {
			return nil, errMuteTwice
		}
		mute = &Mute{For: time.Duration(*in.Body.MuteForS) * time.Second}
	}
	c, err := s.UpdateSettings(ctx, accounts.Caller(ctx).UserID, in.ID, Settings{Notify: in.Body.Notify, Mute: mute, Archived: in.Body.Archived})
	return &conversationOutput{c}, err
}
