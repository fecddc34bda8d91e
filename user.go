package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"parley/accounts"
	"parley/problem"
)

type userCommands struct {
	Create        userCreateCommand        `cmd:"" help:"Make an account."`
	List          userListCommand          `cmd:"" help:"List all accounts."`
	ResetPassword userResetPasswordCommand `cmd:"" help:"Set somebody's password and end all their sessions."`
	Delete        userDeleteCommand        `cmd:"" help:"Delete an account for good."`
}

// withAccounts opens the database, beside a running server if there is one, and does some
// work on the accounts.
func withAccounts(p *program, cfg *config, do func(context.Context, *accounts.Service) error) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	quiet := *cfg
	if quiet.LogLevel == "info" { // what the database says of itself is not asked for here
		quiet.LogLevel = "warn"
	}
	log := quiet.logger(p)
	if cfg.DatabaseURL == "" {
		// Not made here: in the wrong working directory it would be another Parley's.
		if _, err := os.Stat(cfg.DataDir); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("there is no data directory %s; set --data-dir or PARLEY_DATA_DIR, or start the server first", cfg.DataDir)
		}
	}
	if err := p.leaveRoot(ctx, cfg, log, false); err != nil {
		return err
	}
	db, err := openDatabase(ctx, cfg, log, true)
	if err != nil {
		return err
	}
	defer func() {
		db.Close()
		err = errors.Join(err, step("stop the database", 30*time.Second, db.stop))
	}()
	return do(ctx, accounts.New(accounts.Config{DB: db.DB, Logger: log}))
}

type passwordFlag struct {
	Generate bool `help:"Make a password and print it, without asking."`
}

type userCreateCommand struct {
	passwordFlag
	Username    string `arg:"" help:"2 to 32 of a-z 0-9 . _ -"`
	DisplayName string `placeholder:"NAME" help:"What others see. Default: the username."`
	Admin       bool   `help:"Make an admin."`
}

func (c userCreateCommand) Run(p *program, cfg *config) error {
	password, generated, err := c.choose(p, c.Username)
	if err != nil {
		return err
	}
	role := accounts.RoleMember
	if c.Admin {
		role = accounts.RoleAdmin
	}
	return withAccounts(p, cfg, func(ctx context.Context, s *accounts.Service) error {
		u, err := s.CreateUser(ctx, accounts.NewUser{Username: c.Username, DisplayName: c.DisplayName, Password: password, Role: role})
		if err != nil {
			return plain(err)
		}
		return report(p, fmt.Sprintf("%s (%s) can sign in now.", u.Username, u.Role), password, generated)
	})
}

type userResetPasswordCommand struct {
	passwordFlag
	Username string `arg:"" help:"Whose."`
}

func (c userResetPasswordCommand) Run(p *program, cfg *config) error {
	password, generated, err := c.choose(p, c.Username)
	if err != nil {
		return err
	}
	return withAccounts(p, cfg, func(ctx context.Context, s *accounts.Service) error {
		if err := s.SetPassword(ctx, c.Username, password); err != nil {
			return plain(err)
		}
		return report(p, fmt.Sprintf("The password of %s is changed, and all their sessions have ended.", c.Username), password, generated)
	})
}

type userDeleteCommand struct {
	Username string `arg:"" help:"Whose."`
	Messages string `enum:"keep,erase" default:"keep" help:"keep the user's messages, as those of a deleted user, or erase their texts."`
}

func (c userDeleteCommand) Run(p *program, cfg *config) error {
	return withAccounts(p, cfg, func(ctx context.Context, s *accounts.Service) error {
		if err := s.DeleteUser(ctx, c.Username, c.Messages == "erase"); err != nil {
			return plain(err)
		}
		return report(p, fmt.Sprintf("%s is deleted and signed out. A running server now removes their memberships, devices and, if you chose so, messages; else the next start does.", c.Username), "", false)
	})
}

type userListCommand struct{}

func (userListCommand) Run(p *program, cfg *config) error {
	return withAccounts(p, cfg, func(ctx context.Context, s *accounts.Service) error {
		users, err := s.ListUsers(ctx)
		if err != nil {
			return fmt.Errorf("list the accounts: %w", err)
		}
		w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(w, "USERNAME\tNAME\tROLE\tSINCE\tSTATE") // Flush gives the error
		for _, u := range users {
			state := "active"
			if u.Disabled {
				state = "disabled"
			}
			if u.Deleted {
				state = "deleted"
			}
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", u.Username, u.DisplayName, u.Role, u.CreatedAt.UTC().Format(time.DateOnly), state)
		}
		return w.Flush()
	})
}

// choose asks for a password twice on a terminal, or reads the first line of the standard
// input. An empty one, or none, is replaced by a random one.
func (c passwordFlag) choose(p *program, username string) (password string, generated bool, err error) {
	if !c.Generate {
		if password, err = askPassword(p, username); err != nil {
			return "", false, fmt.Errorf("read the password: %w", err)
		}
	}
	if password == "" {
		return accounts.NewPassword(), true, nil
	}
	return password, false, nil
}

func askPassword(p *program, username string) (string, error) {
	in, ok := p.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		line, err := bufio.NewReader(io.LimitReader(p.stdin, 4096)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", err
		}
		return strings.TrimRight(line, "\r\n"), nil
	}
	ask := func(prompt string) (string, error) {
		if _, err := io.WriteString(p.stderr, prompt); err != nil {
			return "", err
		}
		b, err := term.ReadPassword(int(in.Fd()))
		_, _ = io.WriteString(p.stderr, "\n") // the one the terminal did not echo
		return string(b), err
	}
	first, err := ask("Password for " + username + " (leave empty for a random one): ")
	if err != nil || first == "" {
		return "", err
	}
	second, err := ask("Once more: ")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", errors.New("the two are not the same")
	}
	return first, nil
}

// plain is a refusal as a person reads it.
func plain(err error) error {
	if p := problem.From(err); p.Code != problem.Internal {
		return errors.New(p.Detail)
	}
	return err
}

// report says what was done, and the password if nobody knows it yet.
func report(p *program, done, password string, generated bool) error {
	if generated {
		done += "\nPassword: " + password
	}
	_, err := fmt.Fprintln(p.stdout, done)
	return err
}
