package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"parley/parleytest"
	"parley/store/storetest"
)

func TestUserCommands(t *testing.T) {
	t.Parallel()
	s := startTest(t, nil)
	env := []string{"DATABASE_URL=" + s.cfg.DatabaseURL}
	good := func(stdin string, args ...string) string {
		t.Helper()
		status, out, complaints := command(env, stdin, append([]string{"user"}, args...)...)
		if status != 0 || complaints != "" {
			t.Fatalf("%v: status %d: %s", args, status, complaints)
		}
		return out
	}
	bad := func(want, stdin string, args ...string) {
		t.Helper()
		status, out, complaints := command(env, stdin, append([]string{"user"}, args...)...)
		if status != 1 || out != "" || !strings.Contains(complaints, want) {
			t.Errorf("%v: status %d, want %q: %s%s", args, status, want, out, complaints)
		}
	}
	signIn := func(name, password string) string {
		t.Helper()
		outcome, _ := s.call(person{}, "POST", "/sessions", `{"username":"`+name+`","password":"`+password+`"}`)
		return outcome
	}
	generated := func(out string) string {
		t.Helper()
		m := regexp.MustCompile(`(?m)^Password: (\S+)$`).FindStringSubmatch(out)
		if m == nil {
			t.Fatalf("no password in %s", out)
		}
		return m[1]
	}

	if out := good(testPassword+"\nnot this\n", "create", "ann", "--admin", "--display-name", "Ann Doe"); strings.Contains(out, testPassword) {
		t.Errorf("it shows a password it was given: %s", out)
	}
	if outcome := signIn("ann", testPassword); outcome != "ok" {
		t.Error(outcome)
	}
	if outcome := signIn("ben", generated(good("", "create", "ben"))); outcome != "ok" {
		t.Error(outcome)
	}
	bad("taken", "", "create", "ben")
	bad("2 to 32", "", "create", "b!")
	good("", "create", "dora", "--generate")
	if out := good("", "delete", "dora", "--messages", "erase"); !strings.Contains(out, "dora is deleted") {
		t.Error(out)
	}
	bad("no such person", "", "delete", "dora")
	bad("last admin", "", "delete", "ann")
	if outcome := signIn("dora", testPassword); outcome != "unauthenticated" {
		t.Error(outcome)
	}
	if list := good("", "list"); strings.Contains(list, "dora") || !regexp.MustCompile(`deleted-[0-9a-f]{24} +Deleted user +member +\S+ +deleted`).MatchString(list) {
		t.Errorf("the list is\n%s", list)
	}
	bad("8", "short\n", "create", "carl")

	list := good("", "list")
	for _, want := range []string{`ann +Ann Doe +admin +\d{4}-\d\d-\d\d +active`, `ben +ben +member`} {
		if !regexp.MustCompile(want).MatchString(list) {
			t.Errorf("no %s in\n%s", want, list)
		}
	}

	ben := person{name: "ben"}
	first := generated(good("", "reset-password", "ben", "--generate"))
	var session struct{ Token string }
	s.must(ben, "POST", "/sessions", `{"username":"ben","password":"`+first+`"}`, &session)
	ben.token = session.Token
	second := generated(good("ignored", "reset-password", "ben", "--generate"))
	if outcome := signIn("ben", first); outcome != "unauthenticated" {
		t.Errorf("the old password: %s", outcome)
	}
	if outcome := signIn("ben", second); outcome != "ok" {
		t.Errorf("the new password: %s", outcome)
	}
	if outcome, _ := s.call(ben, "GET", "/me", ""); outcome != "unauthenticated" {
		t.Errorf("the session from before: %s", outcome)
	}
	bad("no such person", "", "reset-password", "nobody")

	if status, _, complaints := command([]string{"DATABASE_URL=postgres://127.0.0.1:1/x?sslmode=disable"}, "", "user", "list"); status != 1 || !strings.Contains(complaints, "open the database") {
		t.Errorf("without a database: %d %s", status, complaints)
	}
	nowhere := filepath.Join(t.TempDir(), "data")
	if status, _, complaints := command([]string{"PARLEY_DATA_DIR=" + nowhere}, "", "user", "create", "ann"); status != 1 || !strings.Contains(complaints, "there is no data directory "+nowhere) {
		t.Errorf("beside no data: %d %s", status, complaints)
	}
}

// The built-in database is shared with a running server, started when there is none, and
// taken over from one that was killed. Here the real binary runs as its own process.
func TestUserCommandsAndBuiltinDatabase(t *testing.T) {
	t.Parallel()
	s, bin := startBinary(t)
	user := func(stdin string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), bin, append([]string{"user"}, args...)...)
		cmd.Env = append(os.Environ(), "PARLEY_DATA_DIR="+s.DataDir(), "DATABASE_URL=")
		cmd.Dir = t.TempDir()
		cmd.Stdin = strings.NewReader(stdin)
		var complaints bytes.Buffer
		cmd.Stderr = &complaints
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %v: %s", args, err, complaints.String())
		}
		return string(out)
	}
	canSignIn := func(name string) {
		t.Helper()
		in := map[string]string{"username": name, "password": testPassword}
		if err := s.Client("").Call(t.Context(), "POST", "/sessions", in, nil); err != nil {
			t.Errorf("%s cannot sign in: %v", name, err)
		}
	}

	user(testPassword, "create", "ann", "--admin") // beside the running server
	canSignIn("ann")
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	user(testPassword, "create", "ben") // with a database of its own, started and stopped
	if _, err := parleytest.PostgresPID(s.DataDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the database still runs: %v", err)
	}
	if err := s.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	canSignIn("ben")
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if list := user("", "list"); !strings.Contains(list, "ann") || !strings.Contains(list, "ben") { // with the orphan
		t.Errorf("the list: %s", list)
	}
	if err := s.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	canSignIn("ann")
}

// A server that is told to stop while it starts stops, without a word about failures.
func TestInterruptedStart(t *testing.T) {
	t.Parallel()
	bin := build(t)
	dir := openDir(t)
	if err := parleytest.GiveToUser(dir); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), bin)
	cmd.Env = append(os.Environ(), "PARLEY_DATA_DIR="+filepath.Join(dir, "data"), "DATABASE_URL=", "PARLEY_LISTEN=127.0.0.1:0")
	log, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	for lines := bufio.NewScanner(log); lines.Scan(); {
		said.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), "making the built-in PostgreSQL database") {
			_ = cmd.Process.Signal(syscall.SIGTERM)
		}
	}
	if err := cmd.Wait(); err != nil || strings.Contains(said.String(), "parley:") || !strings.Contains(said.String(), "stopped before it was ready") {
		t.Errorf("it ended with %v:\n%s", err, said.String())
	}
}

// Somebody in a hurry interrupts twice.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	s, _ := startBinary(t, "DATABASE_URL="+storetest.URL(t))
	conn, err := net.Dial("tcp", s.Addr()) // a request that keeps the server from ending
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("POST /api/v1/sessions HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 64)); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(s.PID(), syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the server takes no more connections", func() bool {
		c, err := net.Dial("tcp", s.Addr())
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	begin := time.Now()
	if err := s.Stop(); err == nil || !strings.Contains(err.Error(), "signal: terminated") {
		t.Errorf("the second signal: %v", err)
	}
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("it took %v", took)
	}
}

// startBinary builds the real thing and starts it.
func startBinary(t *testing.T, env ...string) (*parleytest.Server, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	bin := build(t)
	s, err := parleytest.Start(ctx, parleytest.Config{Binary: bin, Env: env})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, bin
}
