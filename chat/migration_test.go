package chat

import (
	"testing"

	"parley/migrations"
)

// What a version before migration 8 stored is shown by the rules of after it.
func TestMigrationOfDirectConversationsAndFormerGroups(t *testing.T) {
	t.Parallel()
	b := setup(t)
	run := func(name string) {
		t.Helper()
		sql, err := migrations.Files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := b.db.Pool().Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Release()
		if _, err := conn.Conn().PgConn().Exec(t.Context(), string(sql)).ReadAll(); err != nil {
			t.Fatal(err)
		}
	}
	ann, ben, eve := b.user("ann"), b.user("ben"), b.user("eve")
	b.open(ann, ben)
	talk := b.open(ann, eve)
	b.send(ann, talk, "hello")
	id := b.group(ann, ben)
	rename := func(title string) {
		if err := b.UpdateGroup(t.Context(), ann, id, GroupUpdate{Title: &title}); err != nil {
			t.Fatal(err)
		}
	}
	rename("While ben was there")
	if err := b.RemoveMember(t.Context(), ann, id, ben); err != nil {
		t.Fatal(err)
	}
	rename("Afterwards")

	run("000008_quiet_conversations.down.sql")
	run("000008_quiet_conversations.up.sql")

	if a, e, n := b.listed(ann), b.listed(eve), b.listed(ben); a != 3 || e != 1 || n != 0 {
		t.Errorf("ann lists %d, eve %d, ben %d", a, e, n)
	}
	if c, err := b.Former(t.Context(), ben, id); err != nil || c.Title != "While ben was there" {
		t.Errorf("the former group is %+v, %v", c, err)
	}
	// The version before ends a membership without the title: later ones do not show all the same.
	b.exec(`UPDATE members SET until_title = NULL`)
	if c, err := b.Former(t.Context(), ben, id); err != nil || c.Title != "Group" {
		t.Errorf("the former group is %+v, %v", c, err)
	}
}
