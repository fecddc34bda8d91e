package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"parley/failures"
	"parley/store"
)

// database is the open database with what was started for it.
type database struct {
	*store.DB
	builtin *store.Builtin // nil: the operator's own, or another Parley's
	where   string         // in words, for the operator
}

// openDatabase opens the configured database and brings its schema up to date. Without
// one of the operator's own it starts the built-in server; beside says to use that of a
// running Parley if there is one.
func openDatabase(ctx context.Context, cfg *config, log *slog.Logger, beside bool) (*database, error) {
	d := &database{where: "as DATABASE_URL says"}
	url := cfg.DatabaseURL
	if url == "" {
		d.where = "built in, in " + cfg.DataDir
		running := false
		var err error
		if beside {
			if url, running, err = store.FindBuiltin(cfg.DataDir); err != nil {
				return nil, fmt.Errorf("look for a running server: %w", err)
			}
		}
		if !running {
			if d.builtin, err = store.StartBuiltin(ctx, store.BuiltinConfig{DataDir: cfg.DataDir, Logger: log}); err != nil {
				return nil, fmt.Errorf("start the built-in database: %w", err)
			}
			url = d.builtin.URL()
		}
	}
	err := store.Migrate(ctx, url, log)
	if err == nil {
		d.DB, err = store.Open(ctx, store.Config{URL: url, Logger: log, Failures: failures.New(log)})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the database: %w", err), d.stop(context.WithoutCancel(ctx)))
	}
	return d, nil
}

// stop ends the built-in server, if it was started.
func (d *database) stop(ctx context.Context) error {
	if d.builtin == nil {
		return nil
	}
	if err := d.builtin.Stop(ctx); err != nil {
		return fmt.Errorf("stop the built-in database: %w", err)
	}
	return nil
}
