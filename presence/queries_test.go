package presence

import (
	"testing"

	"parley/store/storetest"
)

// Every statement is keyed, also while the tables are too young to have statistics. The sweep
// may look through the marks of those who are here.
func TestStatements(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	statements := map[string]string{
		"deleteSeen":   deleteSeen,
		"selectStates": selectStates, "selectMembersStates": selectMembersStates, "selectSeenBy": selectSeenBy,
		"selectTyping": selectTyping, "selectRecentBlocks": selectRecentBlocks, "updateOnline": updateOnline, "deleteOnline": deleteOnline, "updateLeaving": updateLeaving, "selectExpired": selectExpired, "deleteExpired": deleteExpired,
	}
	storetest.Statements(t, db, statements, "selectExpired")
	for _, sql := range []string{
		`INSERT INTO users (id, username, display_name, password_hash, role)
			SELECT gen_random_uuid(), 'user' || n, 'Name ' || n, '', 'member' FROM generate_series(1, 2000) n`,
		`INSERT INTO conversations (id, kind) SELECT gen_random_uuid(), 'group' FROM generate_series(1, 200)`,
		`INSERT INTO members (conversation_id, user_id, role, from_seq)
			SELECT c.id, u.id, 'member', 1 FROM conversations c CROSS JOIN LATERAL (SELECT id FROM users WHERE id > c.id ORDER BY id LIMIT 20) u`,
		`INSERT INTO online (user_id, replica, until) SELECT id, gen_random_uuid(), now() FROM users`,
		`INSERT INTO presence (user_id, last_seen) SELECT id, now() FROM users`,
		`ANALYZE`,
	} {
		if _, err := db.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	storetest.Statements(t, db, statements, "selectExpired")
}
