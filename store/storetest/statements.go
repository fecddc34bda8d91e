package storetest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"parley/store"
)

// statementName is what the constant of a whole statement is called; others are parts.
var statementName = regexp.MustCompile(`^(select|count|insert|update|delete|end|use|lock|append|act|raise)[A-Z]`)

// Statements checks the SQL of the package in the working directory, given by the names of
// its constants: none that is declared in queries*.go or list.go is forgotten; each is good
// SQL on the migrated schema; and none scans a table with a plan that does not know its
// arguments, as the pool prepares them, but for those that may. It fills nothing: the caller
// makes rows, and statistics, as far as they matter.
func Statements(t testing.TB, db *store.DB, statements map[string]string, mayScan ...string) {
	t.Helper()
	for _, name := range declared(t) {
		if _, ok := statements[name]; !ok {
			t.Errorf("the statement %s is not checked", name)
		}
	}
	conn, err := db.Pool().Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	for name, sql := range statements {
		if _, err := conn.Exec(t.Context(), "PREPARE "+name+" AS "+sql); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var n int
		if err := conn.QueryRow(t.Context(), `SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = lower($1)`, name).Scan(&n); err != nil {
			t.Fatal(err)
		}
		args := ""
		if n > 0 {
			args = "(" + strings.TrimSuffix(strings.Repeat("NULL, ", n), ", ") + ")"
		}
		rows, err := conn.Query(t.Context(), "EXPLAIN EXECUTE "+name+args)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if plan := strings.Join(lines, "\n"); strings.Contains(plan, "Seq Scan on") && !slices.Contains(mayScan, name) {
			t.Errorf("%s scans a table:\n%s", name, plan)
		}
		if _, err := conn.Exec(t.Context(), "DEALLOCATE "+name); err != nil {
			t.Fatal(err)
		}
	}
}

// declared are the names of the statements that the package declares.
func declared(t testing.TB) (names []string) {
	t.Helper()
	files, err := filepath.Glob("queries*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, "list.go") {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			continue // there is no list.go
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if d, ok := n.(*ast.GenDecl); ok && d.Tok == token.CONST {
				for _, spec := range d.Specs {
					for _, name := range spec.(*ast.ValueSpec).Names {
						if statementName.MatchString(name.Name) {
							names = append(names, name.Name)
						}
					}
				}
			}
			return true
		})
	}
	if len(names) == 0 {
		t.Fatal("the package declares no statement: the check does not see what it should")
	}
	return names
}
