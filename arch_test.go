package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"os"
)

// layers is the line an import may only follow to the right:
// main -> history receipts presence push reports -> chat -> accounts -> store hub web -> budget -> problem failures strictjson text migrations privilege.
var layers = map[string]int{
	".":       0,
	"history": 1, "receipts": 1, "presence": 1, "push": 1, "reports": 1,
	"chat":     2,
	"accounts": 3,
	"store":    4, "hub": 4, "web": 4,
	"budget":  5,
	"problem": 6, "failures": 6, "strictjson": 6, "text": 6, "migrations": 6, "privilege": 6,
}

// outside are programs that know only the public contract: they may import parleytest, and
// store and privilege for a database to measure.
var outside = map[string]bool{"bench": true, "faults": true, "parleytest": true}

// owners says which package alone writes a table.
var owners = map[string]string{
	"users": "accounts", "sessions": "accounts", "invites": "accounts", "login_failures": "accounts",
	"account_secrets": "accounts", "audit_events": "accounts", "retired_usernames": "accounts",
	"conversations": "chat", "members": "chat", "entries": "chat", "erasures": "chat", "blocks": "chat",
	"receipts": "receipts", "delivered_to_all": "receipts",
	"presence": "presence", "online": "presence",
	"devices": "push", "push_jobs": "push", "vapid": "push",
	"reports":  "reports",
	"instance": "store", "replicas": "store",
}

// goFiles parses every Go file of the module; pkg is its folder directly below the root.
func goFiles(t *testing.T, visit func(pkg, name string, file *ast.File)) {
	t.Helper()
	err := fs.WalkDir(os.DirFS("."), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch {
			case name == "node_modules", name == "web/ui", name == "tools", name == "data", name != "." && d.Name()[0] == '.':
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		pkg, _, below := strings.Cut(name, "/")
		if !below {
			pkg = "."
		}
		visit(pkg, name, file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestImports(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	goFiles(t, func(pkg, name string, file *ast.File) {
		from, known := layers[pkg]
		if !known && !outside[pkg] {
			t.Errorf("%s: the package %s has no place in the line of imports", name, pkg)
			return
		}
		seen[pkg] = true
		for _, spec := range file.Imports {
			target, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			target, ours := strings.CutPrefix(target, "parley/")
			target, _, _ = strings.Cut(target, "/")
			isTest := strings.HasSuffix(name, "_test.go")
			switch to, known := layers[target]; {
			case !ours || target == pkg:
			case outside[pkg] && (target == "parleytest" || target == "store" || target == "privilege"):
			case isTest && target == "parleytest":
			case outside[pkg] || !known || to <= from:
				t.Errorf("%s: %s must not import %s", name, pkg, target)
			}
		}
	})
	for _, pkg := range []string{".", "accounts", "chat", "history", "hub", "problem", "receipts", "store", "web"} {
		if !seen[pkg] {
			t.Errorf("no file of %s was read", pkg)
		}
	}
}

var (
	// A lock and an upsert are no statements of their own.
	notUpdates = regexp.MustCompile(`(?i)\b(FOR(\s+NO\s+KEY)?|DO)\s+UPDATE\b`)
	writes     = regexp.MustCompile(`(?i)\b(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM|TRUNCATE|MERGE\s+INTO|COPY)\s+(?:ONLY\s+|TABLE\s+)?([a-z_]+)\b`)
)

// Writing is in queries.go and queries_*.go, of the package that owns the table.
func TestTablesHaveOneWriter(t *testing.T) {
	t.Parallel()
	found := map[string]bool{}
	goFiles(t, func(pkg, name string, file *ast.File) {
		if strings.HasSuffix(name, "_test.go") || outside[pkg] {
			return
		}
		ast.Inspect(file, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range writes.FindAllStringSubmatch(notUpdates.ReplaceAllString(text, ""), -1) {
				table := strings.ToLower(m[1])
				owner, known := owners[table]
				if strings.HasPrefix(path.Base(name), "queries") {
					if !known {
						t.Errorf("%s: writes %s, which nobody owns", name, table)
					} else if owner != pkg {
						t.Errorf("%s: writes %s, which belongs to %s", name, table, owner)
					}
					found[table] = true
				} else if known {
					t.Errorf("%s: writes %s outside of queries.go", name, table)
				}
			}
			return true
		})
	})
	for _, table := range []string{"users", "sessions", "invites", "conversations", "members", "entries", "receipts"} {
		if !found[table] {
			t.Errorf("no statement that writes %s was found: the test does not see what it should", table)
		}
	}
}

// Every table has an owner.
func TestTablesHaveOwners(t *testing.T) {
	t.Parallel()
	files, err := fs.Glob(os.DirFS("migrations"), "*.up.sql")
	if err != nil || len(files) == 0 {
		t.Fatalf("no migrations: %v", err)
	}
	create := regexp.MustCompile(`(?i)CREATE\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?([a-z_]+)`)
	for _, name := range files {
		sql, err := os.ReadFile(path.Join("migrations", name))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range create.FindAllStringSubmatch(string(sql), -1) {
			if owners[m[1]] == "" {
				t.Errorf("%s: the table %s belongs to nobody", name, m[1])
			}
		}
	}
}
