package chat

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"parley/accounts"
)

// Every statement of this package is keyed: prepared as the pool prepares it, with a
// plan that does not know the arguments, it scans no table, also while the tables are
// too young to have statistics.
func TestStatementsAreKeyed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben, id := b.pair()
	for range 50 {
		b.send(ann, id, "x")
	}
	for name, q := range map[string]struct {
		sql  string
		args []any
	}{
		"lockConversations":      {lockConversations, []any{[]ConversationID{id}}},
		"appendMessages":         {appendMessages, []any{[]ConversationID{id}, []accounts.UserID{ann}, []uuid.UUID{newClientID()}, []string{"x"}, []int64{1}}},
		"selectConversationsOf":  {selectConversationsOf, []any{ann}},
		"selectEntriesAfter":     {selectEntriesAfter, []any{id, Seq(0), 10}},
		"selectLastSeqs":         {selectLastSeqs, []any{[]ConversationID{id}}},
		"selectActiveUser":       {selectActiveUser, []any{ann}},
		"selectDirect":           {selectDirect, []any{ann, ben}},
		"insertDirect":           {insertDirect, []any{newClientID(), ann, accounts.UserID(newClientID())}},
		"insertMembers":          {insertMembers, []any{newClientID(), []accounts.UserID{}}},
		"insertCreated":          {insertCreated, []any{newClientID(), ann, Detail{}}},
		"selectConversationPage": {selectConversationPage, []any{ann, 5, firstPage.at, firstPage.id, 50}},
		"selectConversations":    {selectConversations, []any{ann, 5, []ConversationID{id}}},
	} {
		for _, when := range []string{"before", "after"} {
			rows, err := b.db.Query(t.Context(), "EXPLAIN "+q.sql, q.args...)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			plan := strings.Join(lines, "\n")
			if strings.Contains(plan, "Seq Scan") {
				t.Errorf("%s, %s ANALYZE, scans a table:\n%s", name, when, plan)
			}
			if when == "before" {
				if _, err := b.db.Exec(t.Context(), "ANALYZE"); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}
