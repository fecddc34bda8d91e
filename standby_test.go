package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"parley/store/storetest"
)

// builtinServer starts a server with a PostgreSQL of its own, and connects to that as its admin.
func builtinServer(t *testing.T) (*testServer, *pgx.Conn) {
	t.Helper()
	dir := openDir(t)
	postgres, err := storetest.Start(t.Context(), filepath.Join(dir, "data"), 100, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := postgres.Stop(); err != nil {
			t.Error(err)
		}
	})
	s := startTest(t, func(c *config) { c.DatabaseURL = postgres.URL() })
	admin, err := pgx.Connect(t.Context(), postgres.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close(context.Background()) })
	return s, admin
}

// openDir is a temporary directory that other users can enter, as t.TempDir's is not.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "parley-main-*")
	if err = errors.Join(err, os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// readiness is the status of /readyz.
func (s *testServer) readiness() int {
	s.t.Helper()
	res, err := http.Get(s.url + "/readyz")
	if err != nil {
		s.t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}

// While no commit can be replicated nothing is acknowledged, and nothing is shown that was not:
// after a failover its seq would be that of another entry. When the standby is back, what was
// under way is there once.
func TestStandbyLost(t *testing.T) {
	t.Parallel()
	s, admin := builtinServer(t)
	ann, ben := s.person("ann", "admin"), s.person("ben", "member")
	var direct struct{ ID string }
	s.must(ann, "POST", "/conversations", fmt.Sprintf(`{"kind":"direct","user_id":%q}`, ben.id), &direct)
	messages := "/conversations/" + direct.ID + "/messages"
	send := func(who person, client, body string) (string, string) {
		return s.call(who, "POST", messages, fmt.Sprintf(`{"client_id":%q,"body":%q}`, client, body))
	}
	if code, answer := send(ann, uuid.NewString(), "before"); code != "ok" {
		t.Fatal(answer)
	}
	entries := func() (got struct{ Entries []struct{ Body, Kind string } }) {
		s.must(ben, "GET", "/conversations/"+direct.ID+"/entries", "", &got)
		return got
	}

	storetest.SetStandbys(t, admin, "ghost")
	client := uuid.NewString()
	writes := map[string]func() (string, string){
		"message":  func() (string, string) { return send(ann, client, "unreplicated") },
		"reaction": func() (string, string) { return s.call(ben, "PUT", messages+"/2/reactions/👍", "") },
		"group": func() (string, string) {
			return s.call(ann, "POST", "/conversations", `{"kind":"group","title":"unreplicated","member_ids":[]}`)
		},
	}
	var writing sync.WaitGroup
	for what, write := range writes {
		writing.Go(func() {
			if code, answer := write(); code != "unavailable" {
				t.Errorf("%s: %s %s", what, code, answer)
			}
		})
	}
	writing.Wait()
	eventually(t, "the server is not ready", func() bool { return s.readiness() == http.StatusServiceUnavailable })
	if got := entries(); len(got.Entries) != 2 {
		t.Errorf("what was not replicated is in the log: %+v", got)
	}
	if code, answer := s.call(ann, "GET", "/conversations", ""); code != "ok" || strings.Contains(answer, "unreplicated") {
		t.Errorf("what was not replicated is in the list: %s %s", code, answer)
	}
	// Further messages are refused without leaving a commit behind each.
	for i := range 20 {
		writing.Go(func() {
			if code, answer := send(ann, uuid.NewString(), fmt.Sprintf("refused %d", i)); code != "unavailable" {
				t.Errorf("while stalled: %s %s", code, answer)
			}
		})
	}
	writing.Wait()

	storetest.SetStandbys(t, admin, "")
	eventually(t, "the server is ready", func() bool { return s.readiness() == http.StatusOK })
	code, answer := send(ann, client, "unreplicated")
	var sent struct{ Seq int }
	if err := json.Unmarshal([]byte(answer), &sent); code != "ok" || err != nil {
		t.Fatalf("sent again: %s %s", code, answer)
	}
	n := 0
	for i, e := range entries().Entries {
		if e.Body == "unreplicated" {
			if n++; i+1 != sent.Seq {
				t.Errorf("it is at %d, and the answer says %d", i+1, sent.Seq)
			}
		}
	}
	if n != 1 {
		t.Errorf("the message is in the log %d times", n)
	}
}
