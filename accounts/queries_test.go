package accounts

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"parley/store/storetest"
)

// statements are the SQL constants of the queries files, none forgotten.
func statements(t *testing.T) map[string]string {
	t.Helper()
	var decls []ast.Decl
	for _, name := range []string{"queries.go", "queries_search.go", "queries_audit.go", "queries_sessions.go", "queries_leaving.go"} {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		decls = append(decls, f.Decls...)
	}
	all := map[string]string{}
	for _, decl := range decls {
		d, ok := decl.(*ast.GenDecl)
		if !ok || d.Tok != token.CONST {
			continue
		}
		for _, spec := range d.Specs {
			v := spec.(*ast.ValueSpec)
			sql, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			all[v.Names[0].Name] = sql
		}
	}
	if len(all) < 30 {
		t.Fatalf("only %d statements were found", len(all))
	}
	return all
}

// Every statement is good SQL on the migrated schema, and with a plan that does not know
// its arguments it scans no table, but for the few that may.
func TestStatements(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	// Rows, so that a plan made from statistics would have reason to use an index or not.
	for _, sql := range []string{
		`INSERT INTO users (id, username, display_name, password_hash, role)
			SELECT gen_random_uuid(), 'user' || n, 'Name ' || n, '', 'member' FROM generate_series(1, 2000) n`,
		`INSERT INTO sessions (id, user_id, token_hash, expires_at) SELECT gen_random_uuid(), id, sha256(username::bytea), now() FROM users`,
		`ANALYZE`,
	} {
		if _, err := db.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	mayScan := []string{
		"selectAccounts",                                                       // the operator's list of everybody
		"insertInvite", "selectInvites", "deleteInvitesOf", "deleteOldInvites", // open invites are few
		"deleteSetupInvites", "endExpiredSessions", // now and then
	}
	all := statements(t)
	storetest.Statements(t, db, all, mayScan...)
	rows, err := db.Query(t.Context(), "EXPLAIN "+all["selectUsersByWords"], "'ann':*", "ann", 10)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || !strings.Contains(strings.Join(plan, "\n"), "users_search_terms") {
		t.Errorf("person search does not use its index: %v\n%s", err, strings.Join(plan, "\n"))
	}
}
