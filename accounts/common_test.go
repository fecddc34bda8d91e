package accounts

import (
	"strings"
	"testing"

	"parley/problem"
)

func TestGuessablePasswords(t *testing.T) {
	t.Parallel()
	if n := len(commonPasswords()); n != 10_000 {
		t.Errorf("%d passwords are in the list", n)
	}
	for password, wants := range map[string]bool{
		"password": false, "PASSWORD": false, "Password123": false, "qwertyuiop": false, "iloveyou": false, "１２３４５６７８": false,
		"anna.lind": false, "Anna.Lind": false, "annalind": false, "anna lind": false, "annalind1": false, "1annalind!": false, "annalindannalind": false,
		"Anna-Lind-99": false, "Анна Линд": false, "АННАЛИНД1": false,
		"anna.lind and a horse": true, goodPassword: true, "lind anna lind annual": true, strings.Repeat("x", 256): true,
	} {
		err := checkPassword("password", password, "anna.lind", "Анна Линд")
		if (err == nil) != wants {
			t.Errorf("%q: %v", password, err)
		}
		if err != nil && strings.Contains(strings.ToLower(problem.From(err).Detail), strings.ToLower(password)) && password != "password" && password != "PASSWORD" {
			t.Errorf("%q is in the answer: %v", password, err)
		}
	}
}

// The rule is for new passwords: old ones still sign in.
func TestGuessablePasswordsEverywhere(t *testing.T) {
	t.Parallel()
	b := setup(t, open)
	ann := b.person("ann", RoleMember)
	b.exec(`UPDATE users SET password_hash = $1 WHERE username = 'ann'`, hashPassword("password").String())
	b.call("POST", "/sessions", object{"username": "ann", "password": "password"}).wants(201)
	for what, a := range map[string]answer{
		"sign-up": b.call("POST", "/users", object{"username": "ben", "display_name": "Ben", "password": "password123"}),
		"set-up":  b.call("POST", "/setup", object{"token": b.setupToken(), "username": "ben", "display_name": "Ben", "password": "password123"}),
		"change":  b.call("PUT", "/me/password", object{"current": "password", "new": "password123"}, bearer(ann.Token)),
	} {
		if p := decode[problemBody](a.wants(400)); p.Code != "invalid" || len(p.Errors) != 1 {
			t.Errorf("%s: %s", what, a.body)
		}
	}
	for _, password := range []string{"password123", "ann ANN ann"} {
		if err := b.SetPassword(t.Context(), "ann", password); problem.From(err).Code != problem.Invalid {
			t.Errorf("reset to %q: %v", password, err)
		}
		if _, err := b.CreateUser(t.Context(), NewUser{Username: "ann", Password: password}); problem.From(err).Code == "" || err == nil {
			t.Errorf("made with %q: %v", password, err)
		}
	}
}
