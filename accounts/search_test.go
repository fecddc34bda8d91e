package accounts

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"testing"
)

// vectors reads one of the files that the interface's tests read as well.
func vectors[T any](t *testing.T, name string) (v T) {
	t.Helper()
	b, err := os.ReadFile("../testdata/text-identity/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func (b *bundle) finds(as SignedIn, query, username string) bool {
	b.t.Helper()
	for _, u := range decode[struct{ Users []User }](b.call("GET", "/users?limit=100&query="+url.QueryEscape(query), nil, bearer(as.Token)).wants(200)).Users {
		if u.Username == username {
			return true
		}
	}
	return false
}

func TestSearchFoldsNames(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann := b.person("ann", RoleMember)
	v := vectors[struct{ Found, Missed [][]string }](t, "fold")
	for i, list := range [][][]string{v.Found, v.Missed} {
		for n, f := range list {
			username := fmt.Sprintf("xx%d.%d", i, n)
			if _, err := b.CreateUser(t.Context(), NewUser{Username: username, DisplayName: f[0], Password: goodPassword}); err != nil {
				t.Fatalf("%q: %v", f[0], err)
			}
			for _, query := range f[1:] {
				if found := b.finds(ann, query, username); found != (i == 0) {
					t.Errorf("%q finds %q: %v", query, f[0], found)
				}
			}
		}
	}
}

// During an upgrade the version before inserts and renames people without search terms.
func TestSearchWhileThePreviousVersionRuns(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann := b.person("ann", RoleMember)
	fold := func() {
		t.Helper()
		if all, err := b.foldNames(t.Context()); err != nil || !all {
			t.Fatal(all, err)
		}
	}
	b.exec(`INSERT INTO users (id, username, display_name, password_hash, role) VALUES (gen_random_uuid(), 'jose', 'José Álvarez', '', 'member')`)
	t.Run("a_new_person_is_found_by_the_name_as_it_is", func(t *testing.T) {
		if !b.finds(ann, "jose", "jose") {
			t.Error("not by the username")
		}
		b.exec(`INSERT INTO users (id, username, display_name, password_hash, role) VALUES (gen_random_uuid(), 'x1', 'Hans Huber', '', 'member')`)
		if !b.finds(ann, "huber", "x1") {
			t.Error("not by the name")
		}
	})
	t.Run("and_soon_without_accents", func(t *testing.T) {
		fold()
		if !b.finds(ann, "alvarez", "jose") || !b.finds(ann, "huber", "x1") {
			t.Error("not found")
		}
	})
	t.Run("a_renamed_person_is_found_by_the_new_name_alone", func(t *testing.T) {
		b.exec(`UPDATE users SET display_name = '山田中' WHERE username = 'jose'`)
		fold()
		if !b.finds(ann, "田", "jose") || b.finds(ann, "alvarez", "jose") {
			t.Error("found by the name before")
		}
	})
	t.Run("as_after_a_rename_by_this_version", func(t *testing.T) {
		b.call("PATCH", "/me", object{"display_name": "Jürgen Müller"}, bearer(ann.Token)).wants(200)
		if !b.finds(ann, "muller", "ann") {
			t.Error("not found by the new name")
		}
		b.call("PATCH", "/me", object{"read_receipts": false}, bearer(ann.Token)).wants(200)
		if !b.finds(ann, "muller", "ann") {
			t.Error("a change of something else lost the terms")
		}
	})
	t.Run("a_rename_in_between_is_not_overwritten", func(t *testing.T) {
		var id UserID
		if err := b.db.QueryRow(t.Context(), `UPDATE users SET display_name = 'Two' WHERE username = 'jose' RETURNING id`).Scan(&id); err != nil {
			t.Fatal(err)
		}
		// As read while the name was One.
		if err := b.q.updateSearchTerms(t.Context(), []UserID{id}, []string{"One"}, []string{"one"}); err != nil {
			t.Fatal(err)
		}
		if fold(); !b.finds(ann, "two", "jose") || b.finds(ann, "one", "jose") {
			t.Error("found by the name in between")
		}
	})
}

func TestNames(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann := b.person("ann", RoleMember)
	v := vectors[struct {
		Kept    [][2]string
		Refused []string
	}](t, "names")
	for _, n := range v.Kept {
		if p := decode[Profile](b.call("PATCH", "/me", object{"display_name": n[0]}, bearer(ann.Token)).wants(200)); p.DisplayName != n[1] {
			t.Errorf("%+q is stored as %+q", n[0], p.DisplayName)
		}
	}
	for _, s := range v.Refused {
		b.call("PATCH", "/me", object{"display_name": s}, bearer(ann.Token)).wants(400)
		if _, err := b.CreateUser(t.Context(), NewUser{Username: "bob", DisplayName: s, Password: goodPassword}); err == nil && s != "" {
			t.Errorf("%+q is a new name", s)
		}
	}
}
