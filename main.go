// Parley is a self-hosted chat server: one binary with its web interface and its database
// inside.
//
// This package wires the others together and is the command line. main.go has the
// commands, root.go what root does before it is an ordinary user, config.go and settings.go the configuration, app.go the wiring, serve.go the
// life of the server, user.go the work on accounts.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"reflect"
	"runtime"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// version is set by the linker.
var version = "dev"

// program is the world of a command, so that tests can make one of their own.
type program struct {
	env    []string // NAME=value
	stdin  io.Reader
	stdout io.Writer // for what the operator asked for
	stderr io.Writer // for the log and complaints
	// leaveRoot gives up root's rights before the database is opened.
	leaveRoot func(ctx context.Context, cfg *config, log *slog.Logger, makeDataDir bool) error
}

type commandLine struct {
	config
	Serve       serveCommand       `cmd:"" default:"withargs" help:"Run the server; what happens when no command is given."`
	User        userCommands       `cmd:"" help:"Make, list and help people, also while the server runs."`
	Config      configCommands     `cmd:"" help:"Show the configuration."`
	Healthcheck healthcheckCommand `cmd:"" help:"Ask the server of this configuration whether it lives; for containers."`
	Version     versionCommand     `cmd:"" help:"Print the version."`
}

func main() {
	p := &program{env: os.Environ(), stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, leaveRoot: leaveRoot}
	os.Exit(p.run(os.Args[1:]))
}

// run runs one command and gives the exit status: 0, 1 for a failure, 2 for a command
// line or configuration that cannot be used.
func (p *program) run(args []string) int {
	var cl commandLine
	s := newSettings(p.env)
	exited := -1
	parser, err := kong.New(&cl, append(s.options(),
		kong.Name("parley"),
		kong.Description("Parley is a self-hosted chat server. Without any configuration it serves on port 8080 with a database of its own."),
		kong.Writers(p.stdout, p.stderr),
		kong.Exit(func(code int) { exited = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)...)
	if err != nil {
		panic(err) // the tags above are wrong
	}
	s.takeOver(parser)
	ctx, err := parser.Parse(args)
	if exited >= 0 { // --help has been answered
		return exited
	}
	if err == nil {
		err = cl.check()
	}
	if err != nil {
		p.complain(err)
		return 2
	}
	cl.unknownEnv = s.unknown()
	if err := ctx.Run(p, &cl.config, parser.Model); err != nil {
		p.complain(err)
		return 1
	}
	return 0
}

func (p *program) complain(err error) { _, _ = fmt.Fprintln(p.stderr, "parley:", err) }

type versionCommand struct{}

func (versionCommand) Run(p *program) error {
	_, err := fmt.Fprintf(p.stdout, "parley %s (%s, %s/%s)\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

type configCommands struct {
	Print configPrintCommand `cmd:"" help:"Print the configuration as it is after flags, environment and file, as a file."`
}

type configPrintCommand struct{}

func (configPrintCommand) Run(p *program, app *kong.Application) error {
	var out strings.Builder
	for _, f := range app.Flags {
		value := f.Target
		if !isSetting(f) || f.Name == "config" || value.IsZero() {
			continue
		}
		switch {
		case f.Tag.Has("secret"):
			fmt.Fprintf(&out, "# %s is set, and not shown\n", fileKey(f))
		case value.Kind() == reflect.Slice:
			fmt.Fprintf(&out, "%s: [%s]\n", fileKey(f), quoteAll(value.Interface().([]string)))
		case value.Kind() == reflect.String:
			fmt.Fprintf(&out, "%s: %q\n", fileKey(f), value.String())
		default:
			fmt.Fprintf(&out, "%s: %v\n", fileKey(f), value.Interface())
		}
	}
	_, err := io.WriteString(p.stdout, out.String())
	return err
}

func quoteAll(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = fmt.Sprintf("%q", w)
	}
	return strings.Join(quoted, ", ")
}

type healthcheckCommand struct{}

func (healthcheckCommand) Run(cfg *config) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+cfg.localAddr("")+"/healthz", nil)
	if err != nil {
		return fmt.Errorf("ask the server: %w", err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("ask the server: %w", err)
	}
	defer res.Body.Close() //nolint:errcheck // nothing was written
	if res.StatusCode != http.StatusOK {
		return errors.New("the server answers " + res.Status)
	}
	return nil
}
