package chat

import (
	"errors"
	"testing"

	"parley/accounts"
	"parley/migrations"
	"parley/problem"
)

func (b *bundle) block(me, other accounts.UserID) {
	b.t.Helper()
	if err := b.Block(b.t.Context(), me, other); err != nil {
		b.t.Fatal(err)
	}
}

func wantCode(t *testing.T, err error, want problem.Code) {
	t.Helper()
	if err == nil || problem.From(err).Code != want {
		t.Errorf("want %s, got %v", want, err)
	}
}

func (b *bundle) view(me accounts.UserID, id ConversationID) Conversation {
	b.t.Helper()
	c, err := b.Conversation(b.t.Context(), me, id)
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

func TestBlocks(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben, id := b.pair()
	eve := b.user("eve")
	target := b.send(ben, id, "before")
	own := b.send(ann, id, "of ann's")
	c, d := b.connect(ann), b.connect(ben)
	b.block(ann, ben)
	t.Run("events tell the blocker of the block and both of the conversation", func(t *testing.T) {
		// A message is acknowledged before it is delivered: it may come after the connection.
		next := func(c *client) frame {
			for {
				if f := c.next(); f.Type != "entry" {
					return f
				}
			}
		}
		if f := next(c); f.Type != "block" || decode[blockEvent](t, f.Data) != (blockEvent{ben, true}) {
			t.Errorf("ann got %s %s", f.Type, f.Data)
		}
		for _, one := range []*client{c, d} {
			if f := next(one); f.Type != "conversation" || !decode[Conversation](t, f.Data).Blocked {
				t.Errorf("got %s %s", f.Type, f.Data)
			}
		}
	})
	for _, one := range []struct {
		name string
		user accounts.UserID
		mine Sent
	}{{"the blocker", ann, own}, {"the blocked user", ben, target}} {
		t.Run(one.name+" can only delete", func(t *testing.T) {
			_, err := b.Send(t.Context(), Outgoing{ConversationID: id, SenderID: one.user, ClientID: newClientID(), Body: "x"})
			wantCode(t, err, problem.Forbidden)
			for kind, a := range map[Kind]Action{KindEdit: {Body: "other"}, KindReactionAdded: {Emoji: "👍"}} {
				a.Kind, a.ConversationID, a.SenderID, a.TargetSeq, a.ClientID = kind, id, one.user, one.mine.Seq, newClientID()
				_, err := b.Act(t.Context(), a)
				wantCode(t, err, problem.Forbidden)
			}
			if _, err := b.Act(t.Context(), Action{Kind: KindDelete, ConversationID: id, SenderID: one.user, TargetSeq: one.mine.Seq}); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("there is no new direct conversation in either direction", func(t *testing.T) {
		b.block(ann, eve)
		_, err := b.OpenDirect(t.Context(), ann, eve)
		wantCode(t, err, problem.Forbidden)
		_, err = b.OpenDirect(t.Context(), eve, ann)
		wantCode(t, err, problem.Forbidden)
	})
	t.Run("the blocked user adds the blocker to no group", func(t *testing.T) {
		_, err := b.CreateGroup(t.Context(), ben, "Group", []accounts.UserID{eve, ann})
		wantCode(t, err, problem.Forbidden)
		if p := problem.From(err); len(p.Fields) != 1 || p.Fields[0].Location != "body.member_ids[1]" {
			t.Errorf("the fields are %+v", p.Fields)
		}
		group := b.group(ben, eve)
		_, err = b.AddMembers(t.Context(), ben, group, []accounts.UserID{ann})
		wantCode(t, err, problem.Forbidden)
		if _, err := b.CreateGroup(t.Context(), ann, "Group", []accounts.UserID{ben}); err != nil {
			t.Error(err)
		}
	})
	t.Run("a block of either side is enough, and ends with the last", func(t *testing.T) {
		b.block(ben, ann)
		for _, p := range []pair{{ann, ben}, {ben, ann}} {
			if !b.view(ann, id).Blocked {
				t.Error("not blocked")
			}
			if err := b.Unblock(t.Context(), p.User, p.Other); err != nil {
				t.Fatal(err)
			}
		}
		b.send(ben, id, "again")
	})
	t.Run("oneself and unknown users are refused", func(t *testing.T) {
		wantCode(t, b.Block(t.Context(), ann, ann), problem.Invalid)
		wantCode(t, b.Block(t.Context(), ann, accounts.UserID{1}), problem.NotFound)
	})
}

// A message is in the log before the block, or refused after it: never acknowledged after it.
func TestBlockAndSendRace(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben, id := b.pair()
	for range 200 {
		var refusal error
		atOnce(func() {
			_, refusal = b.Send(t.Context(), Outgoing{ConversationID: id, SenderID: ben, ClientID: newClientID(), Body: "x"})
		}, func() { b.block(ann, ben) })
		if refusal != nil && !errors.Is(refusal, errBlocked) {
			t.Fatal(refusal)
		}
		before := len(b.log(id))
		if _, err := b.Send(t.Context(), Outgoing{ConversationID: id, SenderID: ben, ClientID: newClientID(), Body: "x"}); !errors.Is(err, errBlocked) {
			t.Fatalf("after the block: %v", err)
		}
		if after := len(b.log(id)); after != before {
			t.Fatal("the log went on after the block")
		}
		if err := b.Unblock(t.Context(), ann, ben); err != nil {
			t.Fatal(err)
		}
	}
}

// Whatever comes first, no direct conversation of a blocked pair is open for writing.
func TestBlockAndOpenRace(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 30 {
		ann, ben := b.user("a"+newClientID().String()[24:]), b.user("b"+newClientID().String()[24:])
		atOnce(func() { _, _ = b.OpenDirect(t.Context(), ben, ann) }, func() { b.block(ann, ben) })
		if d, found, err := b.q.direct(t.Context(), ben, ann); err != nil || found && !d.blocked {
			t.Fatalf("the conversation is %+v, %v", d, err)
		}
	}
}

func TestAcceptance(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *Config) { c.Acceptance = true })
	ann := b.user("ann")
	for name, accept := range map[string]func(ben accounts.UserID, id ConversationID){
		"writing": func(ben accounts.UserID, id ConversationID) { b.send(ben, id, "hello") },
		"accepting": func(ben accounts.UserID, id ConversationID) {
			if err := b.Accept(t.Context(), ben, id); err != nil {
				t.Fatal(err)
			}
		},
		"opening": func(ben accounts.UserID, _ ConversationID) {
			if _, err := b.OpenDirect(t.Context(), ben, ann); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			ben := b.user(name)
			id := b.open(ann, ben)
			b.send(ann, id, "a request")
			if b.view(ben, id).Accepted || !b.view(ann, id).Accepted {
				t.Error("the wrong side has accepted")
			}
			c, other := b.connect(ben), b.connect(ann)
			accept(ben, id)
			for f := c.next(); ; f = c.next() {
				if f.Type == "conversation" && decode[Conversation](t, f.Data).Accepted {
					break
				}
			}
			for f := other.next(); f.Type != "conversation"; f = other.next() {
				continue // the other side is shown it too, to watch presence again
			}
			if !b.view(ben, id).Accepted {
				t.Error("not accepted")
			}
		})
	}
}

func TestArchive(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben, id := b.pair()
	b.send(ben, id, "hello")
	yes := true
	if c, err := b.UpdateSettings(t.Context(), ann, id, Settings{Archived: &yes}); err != nil || !c.Archived {
		t.Fatalf("%+v, %v", c, err)
	}
	if b.view(ben, id).Archived {
		t.Error("it is archived for the other side")
	}
	b.send(ben, id, "again")
	if b.view(ann, id).Archived {
		t.Error("a new entry does not bring it back")
	}
}

func TestGroupAdds(t *testing.T) {
	t.Parallel()
	for policy, want := range map[GroupAdds][3]bool{ // a stranger; a contact; by an admin
		GroupAddsAnyone: {true, true, true}, GroupAddsContacts: {false, true, false}, GroupAddsAdmins: {false, false, true},
	} {
		t.Run(string(policy), func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(c *Config) { c.GroupAdds = policy })
			ann, ben, carl, root := b.user("ann"), b.user("ben"), b.user("carl"), b.user("root")
			if _, err := b.db.Exec(t.Context(), `UPDATE users SET role = 'admin' WHERE id = $1`, root); err != nil {
				t.Fatal(err)
			}
			b.send(ann, b.open(ann, ben), "a request that is not accepted")
			b.send(carl, b.open(ann, carl), "accepted")
			for i, c := range []struct{ by, added accounts.UserID }{{ann, ben}, {ann, carl}, {root, ben}} {
				if _, err := b.CreateGroup(t.Context(), c.by, "Group", []accounts.UserID{c.added}); (err == nil) != want[i] {
					t.Errorf("case %d: %v", i, err)
				}
			}
		})
	}
}

// What the version before stored counts as accepted, open and not archived.
func TestMigrationOfBlocks(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *Config) { c.Acceptance = true })
	ann, ben := b.user("ann"), b.user("ben")
	id := b.open(ann, ben)
	b.send(ann, id, "hello")
	for _, name := range []string{"000013_blocks.down.sql", "000013_blocks.up.sql"} {
		sql, err := migrations.Files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := b.db.Pool().Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, err = conn.Conn().PgConn().Exec(t.Context(), string(sql)).ReadAll()
		conn.Release()
		if err != nil {
			t.Fatal(err)
		}
	}
	b.db.Pool().Reset() // statements prepared before know other columns
	if c := b.view(ben, id); !c.Accepted || c.Blocked || c.Archived {
		t.Errorf("%+v", c)
	}
	b.send(ben, id, "hello")
}

func TestBlockedUsersAreListed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben, eve := b.user("ann"), b.user("ben"), b.user("eve")
	b.block(ann, eve)
	b.block(ann, ben)
	b.block(ann, ben)
	b.block(ben, ann)
	list, err := b.Blocked(t.Context(), ann)
	if err != nil || len(list) != 2 || list[0].ID != ben || list[1].ID != eve {
		t.Errorf("%+v, %v", list, err)
	}
}
