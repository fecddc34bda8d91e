package accounts

import (
	"context"

	"github.com/jackc/pgx/v5"
)

const selectFirstUsers = `
SELECT id, username, display_name, role, false, false FROM users
WHERE disabled_at IS NULL ORDER BY username LIMIT $1`

func (q queries) firstUsers(ctx context.Context, limit int) ([]User, error) {
	rows, err := q.db.Query(ctx, selectFirstUsers, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanUser)
}

// The expression is that of the index users_search_terms. An exact username comes first.
const selectUsersByWords = `
SELECT id, username, display_name, role, false, false FROM users
WHERE array_to_tsvector(array_remove(
          string_to_array(translate(username, '._-', '   ') || ' ' || coalesce(search_terms, lower(display_name)), ' '), ''))
      @@ $1::text::tsquery AND disabled_at IS NULL
ORDER BY username = lower($2) DESC, username LIMIT $3`

func (q queries) usersByWords(ctx context.Context, tsquery, typed string, limit int) ([]User, error) {
	rows, err := q.db.Query(ctx, selectUsersByWords, tsquery, typed, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanUser)
}

// selectStaleNames goes along the index users_search_stale.
const selectStaleNames = `
SELECT id, display_name FROM users WHERE search_name IS DISTINCT FROM display_name ORDER BY id LIMIT $1`

// staleNames gives names that search_terms are not made of, because another version wrote them.
func (q queries) staleNames(ctx context.Context, limit int) (ids []UserID, names []string, err error) {
	rows, err := q.db.Query(ctx, selectStaleNames, limit)
	if err != nil {
		return nil, nil, err
	}
	var (
		id   UserID
		name string
	)
	_, err = pgx.ForEachRow(rows, []any{&id, &name}, func() error {
		ids, names = append(ids, id), append(names, name)
		return nil
	})
	return ids, names, err
}

// A name that changed meanwhile keeps the terms of the change. Rows are locked in the order of id.
const updateSearchTerms = `
WITH fresh AS MATERIALIZED (
    SELECT u.id, i.name, i.terms
    FROM unnest($1::uuid[], $2::text[], $3::text[]) AS i(id, name, terms)
    JOIN users u ON u.id = i.id AND u.display_name = i.name
    ORDER BY u.id FOR NO KEY UPDATE OF u -- keeps no sign-in waiting: its foreign key locks the user's key
)
UPDATE users u SET search_name = f.name, search_terms = f.terms FROM fresh f WHERE u.id = f.id`

func (q queries) updateSearchTerms(ctx context.Context, ids []UserID, names, terms []string) error {
	_, err := q.db.Exec(ctx, updateSearchTerms, ids, names, terms)
	return err
}
