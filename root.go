package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"parley/privilege"
	"parley/store"
)

// leaveRoot makes a Parley that root started an ordinary user, before it touches what is
// in the data directory or talks to a database. Only the listener is bound before.
// Everything else in the program runs without root's rights.
func leaveRoot(ctx context.Context, cfg *config, log *slog.Logger, makeDataDir bool) error {
	if os.Geteuid() != 0 {
		return nil
	}
	user, err := ordinaryUser(ctx, cfg, log, makeDataDir)
	if err == nil {
		err = privilege.Become(user)
	}
	if err != nil {
		return fmt.Errorf("give up root's rights: %w", err)
	}
	log.Info("root's rights are given up", "user", user.Name)
	return nil
}

// ordinaryUser is the user to become: the one whose the data directory is, or is to be.
func ordinaryUser(ctx context.Context, cfg *config, log *slog.Logger, makeDataDir bool) (privilege.User, error) {
	if cfg.DatabaseURL == "" {
		return store.ClaimDataDir(ctx, cfg.DataDir, makeDataDir, log)
	}
	// The directory is not used, so it stays as it is.
	if place, err := privilege.Inspect(cfg.DataDir); err == nil && place.Owner != 0 {
		if user := privilege.ByID(place.Owner); user.Name != "" && !user.Shared() {
			return user, nil
		}
	}
	return privilege.System(log)
}
