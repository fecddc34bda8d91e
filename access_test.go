package main

import (
	"fmt"
	"log/slog"
	"testing"

	"github.com/google/uuid"

	"parley/accounts"
	"parley/chat"
	"parley/parleytest"
)

// A group goes on being managed when its only owner is disabled: before the admin is answered
// where that is over HTTP, and soon where it is by another process, as the command line is.
func TestDisabledOwner(t *testing.T) {
	t.Parallel()
	s := startTest(t, nil)
	admin := s.person("admin", accounts.RoleAdmin)
	ann, ben, eve := s.person("ann", accounts.RoleMember), s.person("ben", accounts.RoleMember), s.person("eve", accounts.RoleMember)
	id := s.group(ann, ben, eve)
	member := s.connect(eve)
	disabled := func(who person, disabled bool) {
		t.Helper()
		var user accounts.User
		s.must(admin, "PATCH", "/users/"+who.id.String(), fmt.Sprintf(`{"disabled":%t}`, disabled), &user)
	}

	disabled(ann, true)
	if roles := s.roles(eve, id); roles["ben"] != chat.RoleOwner || roles["ann"] != chat.RoleMember {
		t.Errorf("once the admin is answered the roles are %v", roles)
	}
	entries, _ := member.hears(id, 3)
	if n := len(entries); n != 2 || entries[0].UserID != ben.id || entries[0].Role != chat.RoleOwner || entries[1].UserID != ann.id {
		t.Errorf("members get %+v", entries)
	}
	disabled(ann, true)
	disabled(ann, false)
	if c := s.face(eve, id); c.LastSeq != 3 {
		t.Errorf("the log goes on to %d", c.LastSeq)
	}

	elsewhere := accounts.New(accounts.Config{DB: s.db.DB, Logger: slog.New(slog.DiscardHandler)})
	yes := true
	caller, err := elsewhere.Authenticate(t.Context(), admin.token)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := elsewhere.ChangeUser(t.Context(), caller, ben.id, accounts.Change{Disabled: &yes}); err != nil {
		t.Fatal(err)
	}
	entries, _ = member.hears(id, 5)
	if n := len(entries); n != 2 || entries[0].UserID != eve.id && entries[0].UserID != ann.id || entries[0].Role != chat.RoleOwner {
		t.Errorf("members get %+v", entries)
	}
}

// A member who was removed, and a disabled user, hold back no receipt of a group.
func TestReceiptsWithoutTheDisabled(t *testing.T) {
	t.Parallel()
	s := startTest(t, nil)
	admin := s.person("admin", accounts.RoleAdmin)
	ann, ben, eve := s.person("ann", accounts.RoleMember), s.person("ben", accounts.RoleMember), s.person("eve", accounts.RoleMember)
	id := s.group(ann, ben, eve)
	wants := func(seq int64) {
		t.Helper()
		eventually(t, "ann sees that every member has her message", func() bool { return s.face(ann, id).OthersDeliveredSeq >= chat.Seq(seq) })
	}
	seq := s.send(ann, id, "Hello")
	s.receipts.Delivered(chat.ConversationID(uuid.MustParse(id)), ben.id, chat.Seq(seq))
	s.remove(ann, id, eve)
	wants(seq)
	seq = s.send(ann, id, "Hello again")
	var user accounts.User
	s.must(admin, "PATCH", "/users/"+ben.id.String(), `{"disabled":true}`, &user)
	wants(seq)
}

// A server that is killed right after it acknowledged a message forgets nothing of what that
// implies: its sender has read what came before.
func TestKillAfterAnAnswer(t *testing.T) {
	t.Parallel()
	s, _ := startBinary(t, "DATABASE_URL=", "PARLEY_SIGNUP=open")
	ctx := t.Context()
	pairs, err := s.Pairs(ctx, "p", 1)
	if err != nil {
		t.Fatal(err)
	}
	ann, ben, id := pairs[0].A, pairs[0].B, pairs[0].Conversation
	face := func(who parleytest.Session) (c chat.Conversation) {
		t.Helper()
		if err := s.Client(who.Token).Call(ctx, "GET", "/conversations/"+id.String(), nil, &c); err != nil {
			t.Fatal(err)
		}
		return c
	}
	send := func(who parleytest.Session, body string) parleytest.Sent {
		t.Helper()
		sent, err := s.Client(who.Token).Send(ctx, id, uuid.Must(uuid.NewV7()), body)
		if err != nil {
			t.Fatal(err)
		}
		return sent
	}
	for round := range 3 {
		for range 3 {
			send(ann, "Are you there?")
		}
		answer := send(ben, "Yes.")
		if err := s.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := s.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if c := face(ben); c.Unread != 0 || c.ReadSeq != chat.Seq(answer.Seq) {
			t.Errorf("round %d: ben has %d unread, and has read %d of %d", round, c.Unread, c.ReadSeq, answer.Seq)
		}
		eventually(t, "ann sees that ben has read what he answered", func() bool { return face(ann).OthersReadSeq == chat.Seq(answer.Seq) })
	}
}
