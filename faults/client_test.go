package faults

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
)

// TestPutOutWhileConnecting has somebody put out of a group after their connection was let
// in and before it asked for what there is: all that comes of the group is that entry.
func TestPutOutWhileConnecting(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	server := start(t)
	people, err := server.SignUp(ctx, "out", 2)
	if err != nil {
		t.Fatal(err)
	}
	owner, me := server.Client(people[0].Token), people[1]
	conv, err := owner.CreateGroup(ctx, "group", []uuid.UUID{me.User.ID})
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.RemoveMember(ctx, conv.ID, me.User.ID); err != nil {
		t.Fatal(err)
	}
	log, _, err := owner.Entries(ctx, conv.ID, 0, pageSize)
	if err != nil || len(log) != 2 {
		t.Fatalf("the log is %v: %v", log, err)
	}
	removal, err := json.Marshal(log[1])
	if err != nil {
		t.Fatal(err)
	}

	began := time.Now()
	c := NewClient(ClientConfig{Session: me, Clock: func() time.Duration { return time.Since(began) }})
	l := &link{ctx: ctx, server: server, streams: map[uuid.UUID]*stream{}}
	for _, f := range []frame{
		{Type: "entry", Data: removal},
		{Type: "reply", ID: syncID, Data: json.RawMessage(`{"conversations":[],"entries":[],"more":[]}`)},
	} {
		if err := c.take(l, f); err != nil {
			t.Fatal(err)
		}
	}
	if !until(ctx, func() bool { return c.Held(conv.ID) == 2 }) {
		t.Fatal("it has not taken its removal")
	}
	h := &History{Members: MembershipsOf(conv.ID, log), Logs: map[uuid.UUID][]Entry{conv.ID: {observed(log[0]), observed(log[1])}}}
	c.AddTo(h, true)
	if r := Check(h); !r.Clean() {
		t.Errorf("\n%v", r)
	}
}
