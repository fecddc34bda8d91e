package parleytest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
)

// DatabaseURL is where the running built-in database of a data directory listens. It
// accepts only the directory's owner; ConnectDatabase is for root.
func DatabaseURL(dataDir string) (string, error) {
	path := filepath.Join(dataDir, "postgres", "postmaster.pid")
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("find the database: %w", err)
	}
	lines := strings.Split(string(b), "\n")
	if len(lines) < 5 || lines[4] == "" {
		return "", fmt.Errorf("find the database: %s is not complete: %w", path, fs.ErrNotExist)
	}
	u := url.URL{Scheme: "postgres", User: url.User("parley"), Path: "/parley", RawQuery: "host=" + url.PathEscape(lines[4])}
	return u.String(), nil
}

// ConnectDatabase connects to the running built-in database of a data directory, for root
// as the directory's owner.
func ConnectDatabase(ctx context.Context, dataDir string) (*pgx.Conn, error) {
	info, err := os.Stat(dataDir)
	if err != nil {
		return nil, fmt.Errorf("find the database: %w", err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil, errOtherSystem
	}
	return ConnectDatabaseAs(ctx, dataDir, st.Uid)
}

// ConnectDatabaseAs connects as a certain user, where this process is root's.
func ConnectDatabaseAs(ctx context.Context, dataDir string, uid uint32) (*pgx.Conn, error) {
	dbURL, err := DatabaseURL(dataDir)
	if err != nil {
		return nil, err
	}
	cc, err := pgx.ParseConfig(dbURL)
	if err != nil {
		return nil, fmt.Errorf("read the database URL: %w", err)
	}
	if os.Geteuid() == 0 {
		cc.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
			return dialAs(ctx, uid, network, addr)
		}
	}
	conn, err := pgx.ConnectConfig(ctx, cc)
	if err != nil {
		return nil, fmt.Errorf("connect to the database: %w", err)
	}
	return conn, nil
}

var errOtherSystem = errors.New("only on Linux can root's tests connect as another user")
