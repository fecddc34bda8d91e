package push

import (
	"testing"

	"parley/store/storetest"
)

// Every statement is keyed, also while the tables are too young to have statistics. What is
// shown and can be cleared is looked through, by its own index.
func TestStatements(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	statements := map[string]string{
		"raiseNoticed": raiseNoticed, "selectSome": selectSome, "raiseForgotten": raiseForgotten, "raiseRead": raiseRead,
		"deleteEnded": deleteEnded, "deleteSettled": deleteSettled, "insertKeys": insertKeys, "selectKeys": selectKeys,
		"lockOwner": lockOwner, "deleteMoved": deleteMoved, "insertDevice": insertDevice, "selectDevices": selectDevices, "deleteDevice": deleteDevice,
		"useForTest": useForTest, "selectOwned": selectOwned, "updateTested": updateTested,
		"limitStatements": limitStatements, "useDue": useDue, "selectLive": selectLive, "selectOwed": selectOwed, "lockDevices": lockDevices, "updateTurns": updateTurns,
		"updateJobs": updateJobs, "deleteRead": deleteRead, "deleteGone": deleteGone, "deleteDevicesOf": deleteDevicesOf,
	}
	storetest.Statements(t, db, statements)
	for _, sql := range []string{
		`INSERT INTO users (id, username, display_name, password_hash, role)
			SELECT gen_random_uuid(), 'user' || n, 'Name ' || n, '', 'member' FROM generate_series(1, 2000) n`,
		`INSERT INTO sessions (id, user_id, token_hash, expires_at) SELECT gen_random_uuid(), id, id::text::bytea, now() + interval '1 day' FROM users`,
		`INSERT INTO conversations (id, kind, last_seq) SELECT gen_random_uuid(), 'group', 5 FROM generate_series(1, 200)`,
		`INSERT INTO members (conversation_id, user_id, role, from_seq)
			SELECT c.id, u.id, 'member', 1 FROM conversations c CROSS JOIN LATERAL (SELECT id FROM users WHERE id > c.id ORDER BY id LIMIT 20) u`,
		`INSERT INTO entries (conversation_id, seq, kind, sender_id, client_id, body, created_at)
			SELECT c.id, n, 'message', coalesce((SELECT user_id FROM members WHERE conversation_id = c.id LIMIT 1), c.id), gen_random_uuid(), 'Hello', now()
			FROM conversations c CROSS JOIN generate_series(1, 40) n`,
		`INSERT INTO devices (id, user_id, session_id, kind, address) SELECT gen_random_uuid(), user_id, id, 'webpush', id::text FROM sessions`,
		`INSERT INTO push_jobs (device_id, conversation_id, user_id, owed_seq, clears)
			SELECT d.id, m.conversation_id, d.user_id, 1, false FROM devices d JOIN members m ON m.user_id = d.user_id`,
		`ANALYZE`,
	} {
		if _, err := db.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	storetest.Statements(t, db, statements)
}
