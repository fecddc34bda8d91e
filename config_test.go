package main

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"parley/store"
)

// command runs Parley's command line with an environment and an input of the test's own.
func command(env []string, stdin string, args ...string) (status int, stdout, stderr string) {
	var out, complaints bytes.Buffer
	p := &program{env: env, stdin: strings.NewReader(stdin), stdout: &out, stderr: &complaints,
		leaveRoot: func(context.Context, *config, *slog.Logger, bool) error { return asWeAre() }}
	status = p.run(args)
	return status, out.String(), complaints.String()
}

func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConfiguration(t *testing.T) {
	t.Parallel()
	file := writeFile(t, "signup: open\nlisten: 127.0.0.1:1111\nlog_level: debug\nmembers_invite: true\ntrusted_proxies: [192.0.2.1, '2001:db8::/32']\n")
	for name, c := range map[string]struct {
		env  []string
		args []string
		want []string // lines of config print
	}{
		"nothing": {nil, nil, []string{`listen: ":8080"`, `data_dir: "` + store.DefaultDataDir() + `"`, `signup: "invite"`,
			`trusted_proxies: ["127.0.0.0/8", "::1/128"]`, `rate_limits: "on"`, `log_level: "info"`, `log_format: "auto"`}},
		"environment": {[]string{"PARLEY_SIGNUP=closed", "PARLEY_BASE_URL=https://chat.example", "PARLEY_DATA_DIR=/d"}, nil,
			[]string{`signup: "closed"`, `base_url: "https://chat.example"`, `data_dir: "/d"`}},
		"empty variables are none":    {[]string{"PARLEY_SIGNUP=", "PORT=", "DATABASE_URL=", "PARLEY_TRUSTED_PROXIES="}, nil, []string{`signup: "invite"`, `listen: ":8080"`}},
		"file":                        {nil, []string{"--config", file}, []string{`signup: "open"`, `listen: "127.0.0.1:1111"`, `members_invite: true`, `trusted_proxies: ["192.0.2.1", "2001:db8::/32"]`}},
		"file by variable":            {[]string{"PARLEY_CONFIG=" + file}, nil, []string{`signup: "open"`}},
		"environment over file":       {[]string{"PARLEY_SIGNUP=closed", "PARLEY_CONFIG=" + file}, nil, []string{`signup: "closed"`, `log_level: "debug"`}},
		"flag over both":              {[]string{"PARLEY_SIGNUP=closed"}, []string{"--config=" + file, "--signup=invite"}, []string{`signup: "invite"`, `log_level: "debug"`}},
		"flag for a list":             {nil, []string{"--trusted-proxies=10.0.0.0/8,192.0.2.7"}, []string{`trusted_proxies: ["10.0.0.0/8", "192.0.2.7"]`}},
		"presence":                    {nil, nil, []string{`presence: "members"`, `group_adds: "anyone"`}},
		"presence of open sign-up":    {[]string{"PARLEY_SIGNUP=open"}, nil, []string{`presence: "accepted"`}},
		"presence of closed sign-up":  {[]string{"PARLEY_SIGNUP=closed"}, nil, []string{`presence: "members"`}},
		"presence as chosen, open":    {[]string{"PARLEY_SIGNUP=open", "PARLEY_PRESENCE=members"}, nil, []string{`presence: "members"`}},
		"presence as chosen, invite":  {[]string{"PARLEY_PRESENCE=accepted"}, nil, []string{`presence: "accepted"`}},
		"group adds":                  {[]string{"PARLEY_GROUP_ADDS=contacts"}, nil, []string{`group_adds: "contacts"`}},
		"group adds by a flag":        {nil, []string{"--group-adds=admins"}, []string{`group_adds: "admins"`}},
		"account deletion":            {[]string{"PARLEY_ACCOUNT_DELETION=erase"}, nil, []string{`account_deletion: "erase"`}},
		"port":                        {[]string{"PORT=3000"}, nil, []string{`listen: ":3000"`}},
		"listen over port":            {[]string{"PORT=3000", "PARLEY_LISTEN=127.0.0.1:1"}, nil, []string{`listen: "127.0.0.1:1"`}},
		"secrets stay where they are": {[]string{"DATABASE_URL=postgres://u:hidden@h/d"}, nil, []string{`# database_url is set, and not shown`}},
		"secret in a file":            {[]string{"DATABASE_URL_FILE=" + writeFile(t, "postgres://u:hidden@h/d\n")}, nil, []string{`# database_url is set, and not shown`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, out, complaints := command(c.env, "", append([]string{"config", "print"}, c.args...)...)
			if status != 0 || strings.Contains(out, "hidden") {
				t.Fatalf("status %d: %s%s", status, out, complaints)
			}
			for _, line := range c.want {
				if !strings.Contains("\n"+out, "\n"+line+"\n") {
					t.Errorf("no line %s in\n%s", line, out)
				}
			}
			// What is printed can be read.
			again := writeFile(t, out)
			if status, twice, complaints := command(nil, "", "config", "print", "--config", again); status != 0 || strings.Contains(out, "#") == (twice == out) {
				t.Errorf("read again, status %d: %s%s", status, twice, complaints)
			}
		})
	}
}

func TestConfigurationMistakes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		env  []string
		args []string
		want string
	}{
		"unknown key":           {nil, []string{"--config", writeFile(t, "listne: x")}, `unknown key "listne"`},
		"flag's name in a file": {nil, []string{"--config", writeFile(t, "data-dir: x")}, `unknown key "data-dir"`},
		"key of a command":      {nil, []string{"--config", writeFile(t, "admin: true")}, `unknown key "admin"`},
		"no YAML":               {nil, []string{"--config", writeFile(t, "a: [")}, "read the configuration"},
		"table for a word":      {nil, []string{"--config", writeFile(t, "listen: {a: b}")}, "listen: must be a word"},
		"numbers in a list":     {nil, []string{"--config", writeFile(t, "trusted_proxies: [1]")}, "trusted_proxies: must be a list of words"},
		"no such file":          {nil, []string{"--config", "/nonexistent"}, "no such file"},
		"no such secret":        {[]string{"DATABASE_URL_FILE=/nonexistent"}, nil, "DATABASE_URL_FILE"},
		"empty secret":          {[]string{"DATABASE_URL_FILE=" + writeFile(t, "\n")}, nil, "DATABASE_URL_FILE names is empty"},
		"sign-up":               {[]string{"PARLEY_SIGNUP=maybe"}, nil, "must be one of"},
		"rate limits":           {[]string{"PARLEY_RATE_LIMITS=no"}, nil, "must be one of"},
		"sign-up in a file":     {nil, []string{"--config", writeFile(t, "signup: maybe")}, "must be one of"},
		"base URL, no scheme":   {[]string{"PARLEY_BASE_URL=chat.example"}, nil, "must begin with http"},
		"base URL with query":   {[]string{"PARLEY_BASE_URL=https://chat.example/?x"}, nil, "nothing else"},
		"port":                  {[]string{"PORT=70000"}, nil, "port"},
		"listen":                {nil, []string{"--listen=localhost"}, "HOST:PORT"},
		"listen's port":         {nil, []string{"--listen=:http-ish"}, "no valid port"},
		"proxies":               {[]string{"PARLEY_TRUSTED_PROXIES=10.0.0.0/8,here"}, nil, `"here" is neither`},
		"proxies, none and one": {[]string{"PARLEY_TRUSTED_PROXIES=10.0.0.0/8,none"}, nil, `"none" is neither`},
		"audit days":            {[]string{"PARLEY_AUDIT_DAYS=4000"}, nil, "audit days are 1 to 3650"},
		"presence":              {[]string{"PARLEY_PRESENCE=nobody"}, nil, "must be one of"},
		"group adds":            {[]string{"PARLEY_GROUP_ADDS=members"}, nil, "must be one of"},
		"account deletion":      {[]string{"PARLEY_ACCOUNT_DELETION=maybe"}, nil, "must be one of"},
		"session lifetime":      {[]string{"PARLEY_SESSION_LIFETIME=1m"}, nil, "at least 1h"},
		"unknown flag":          {nil, []string{"--lisen=x"}, "unknown flag"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, _, complaints := command(c.env, "", append([]string{"config", "print"}, c.args...)...)
			if status != 2 || !strings.Contains(complaints, c.want) {
				t.Errorf("status %d, want %q: %s", status, c.want, complaints)
			}
		})
	}
}

func TestTrustedProxies(t *testing.T) {
	t.Parallel()
	for list, want := range map[string]string{
		"10.1.2.3/8,192.0.2.7,::1": "10.0.0.0/8 192.0.2.7/32 ::1/128",
		"10.0.0.1 , ::1/128":       "10.0.0.1/32 ::1/128",
		"none":                     "",
	} {
		c := &config{TrustedProxies: strings.Split(list, ",")}
		if err := c.check(); err != nil {
			t.Errorf("%s: %v", list, err)
		}
		var got []string
		for _, p := range c.proxies {
			got = append(got, p.String())
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %s", list, got)
		}
	}
}

func TestUnknownVariables(t *testing.T) {
	t.Parallel()
	s := newSettings([]string{"PARLEY_SINGUP=open", "PARLEY_PORT_8080_TCP=tcp://10.0.0.1:8080", "PARLEY_LISTEN_FILE=x", "PARLEY_EMPTY=",
		"PARLEY_LISTEN=:1", "PARLEY_TEST_DATABASE_URL=x", "DATABASE_URL_FILE=x", "HOME=/"})
	if got := strings.Join(s.unknown(), " "); got != "PARLEY_LISTEN_FILE PARLEY_PORT_8080_TCP PARLEY_SINGUP" {
		t.Error(got)
	}
}

func TestLocalAddr(t *testing.T) {
	t.Parallel()
	for listen, want := range map[string]string{
		":8080": "localhost:8080", "0.0.0.0:8080": "localhost:8080", "[::]:8080": "localhost:8080",
		"127.0.0.1:8080": "127.0.0.1:8080", "[::1]:8080": "[::1]:8080", "chat.lan:80": "chat.lan:80",
	} {
		if got := (&config{Listen: listen}).localAddr(""); got != want {
			t.Errorf("%s: %s, want %s", listen, got, want)
		}
	}
}

func TestSmallCommands(t *testing.T) {
	t.Parallel()
	if status, out, _ := command(nil, "", "version"); status != 0 || !strings.HasPrefix(out, "parley "+version+" (go") {
		t.Errorf("version: %d %s", status, out)
	}
	status, out, _ := command(nil, "", "--help")
	for _, want := range []string{"$PARLEY_LISTEN", "$DATABASE_URL", "serve", "reset-password", "healthcheck"} {
		if status != 0 || !strings.Contains(out, want) {
			t.Errorf("the help, status %d, has no %s", status, want)
		}
	}
	if status, _, complaints := command(nil, "", "dance"); status != 2 || !strings.Contains(complaints, "dance") {
		t.Errorf("an unknown command: %d %s", status, complaints)
	}
	s := startTest(t, nil)
	s.ready()
	listen := "PARLEY_LISTEN=" + s.listener.Addr().String()
	if status, _, complaints := command([]string{listen}, "", "healthcheck"); status != 0 {
		t.Errorf("healthcheck: %d %s", status, complaints)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if status, _, complaints := command([]string{listen}, "", "healthcheck"); status != 1 {
		t.Errorf("healthcheck of nobody: %d %s", status, complaints)
	}
}
