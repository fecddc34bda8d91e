package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5"
)

const (
	socketFolder = "postgres-run"
	socketName   = ".s.PGSQL.5432"
	// maxSocketPath is what fits a socket address on every Unix, less the terminating zero.
	maxSocketPath = 103
)

// makeSocketDir makes the private directory that holds the server's socket.
func (d *dataDir) makeSocketDir() (string, error) {
	dir := d.path(socketFolder)
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("make the socket's directory: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return "", fmt.Errorf("make the socket's directory: %w", err)
	}
	if !info.IsDir() || uidOf(info) != os.Geteuid() || info.Mode().Perm() != 0o700 {
		return "", fmt.Errorf("%s is where the database's socket goes, and must be a directory that only its owner can enter (mode 0700); remove it", dir)
	}
	return dir, nil
}

// socketSetting names the socket's directory to the server. Where the path is too long
// for a socket's address, it is named from the folder that the server works in.
func (s *server) socketSetting() string {
	if len(filepath.Join(s.socketDir, socketName)) > maxSocketPath {
		return filepath.Join("..", socketFolder)
	}
	return s.socketDir
}

// dialSocket dials, also a Unix socket with a path that is too long for an address: by
// another name of its directory.
func dialSocket(ctx context.Context, d *net.Dialer, network, addr string) (net.Conn, error) {
	if network != "unix" || len(addr) <= maxSocketPath {
		return d.DialContext(ctx, network, addr)
	}
	name, release, err := shortName(filepath.Dir(addr))
	if err != nil {
		return nil, fmt.Errorf("find a short path to the database's socket: %w", err)
	}
	defer release()
	return d.DialContext(ctx, network, filepath.Join(name, filepath.Base(addr)))
}

// connectURL makes a connection with the dialling that a pool has.
func connectURL(ctx context.Context, url string) (*pgx.Conn, error) {
	cc, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("read the database URL: %w", err)
	}
	configureConn(cc)
	return pgx.ConnectConfig(ctx, cc)
}
