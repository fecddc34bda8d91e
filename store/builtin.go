package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	// startTimeout is long because recovery after a crash may take minutes on a slow
	// disk. A server that gives up is noticed at once, not after this time.
	startTimeout = 5 * time.Minute
	stopTimeout  = 30 * time.Second
	// hardStopTimeout is for each of the harder ways after that.
	hardStopTimeout = 5 * time.Second
	// databaseName and roleName are those inside the built-in server.
	databaseName = "parley"
	roleName     = "parley"
)

// BuiltinConfig says where the built-in server keeps its data.
type BuiltinConfig struct {
	DataDir        string       // Parley's data directory; made if it does not exist
	Logger         *slog.Logger // nil: slog.Default()
	MaxConnections int          // most connections the server accepts; 0: 100
	Users          []string     // system users who can connect beside the one that runs the server
}

// Builtin is a running private PostgreSQL server. If its process dies it is started
// again, for as long as it takes.
type Builtin struct {
	srv     *server
	lock    *os.File
	stop    chan context.Context // asks the supervisor to stop the server
	stopped chan struct{}        // closed when it has
	err     error                // how that went; read after stopped is closed
	once    sync.Once
}

// rootDataDir is a place that the user whom root's Parley becomes can enter, as a checkout
// or a home may not be.
const rootDataDir = "/var/lib/parley"

// DefaultDataDir is where data goes without a setting: /var/lib/parley for root, else the
// folder data in the working directory.
func DefaultDataDir() string {
	if os.Geteuid() == 0 {
		return rootDataDir
	}
	return "data"
}

// StartBuiltin starts the private PostgreSQL server of a data directory and returns once
// it takes connections and has Parley's database. On the first start it unpacks the
// binaries and makes the data; data that is there is never deleted and never made anew:
// if it cannot be used, the error says why. A server left running by a Parley that was
// killed is taken over. The directory stays locked against a second Parley until Stop.
//
// The server runs as the user of this process, which must not be root, and accepts only
// connections of that user and of BuiltinConfig.Users.
func StartBuiltin(ctx context.Context, cfg BuiltinConfig) (*Builtin, error) {
	dir, err := openDataDir(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	return dir.start(ctx, cfg)
}

func (d *dataDir) start(ctx context.Context, cfg BuiltinConfig) (_ *Builtin, err error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	logger := cfg.Logger
	if logger == nil {
		logger = slog.Default()
	}
	if cfg.MaxConnections == 0 {
		cfg.MaxConnections = 100
	}
	lock, err := d.acquire()
	if err != nil {
		return nil, explain(d.root, err)
	}
	defer func() {
		if err != nil {
			_ = lock.Close() // the first error is the one that counts
			err = explain(d.root, err)
		}
	}()
	srv, err := d.prepare(ctx, logger, cfg.MaxConnections, cfg.Users)
	if err != nil {
		return nil, err
	}
	proc, err := srv.start(ctx)
	if err != nil {
		return nil, err
	}
	if err := srv.createDatabase(ctx); err != nil {
		stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		return nil, errors.Join(err, proc.shutdown(stopCtx))
	}
	d.removeOldBinaries(srv.bin, logger)
	b := &Builtin{srv: srv, lock: lock, stop: make(chan context.Context), stopped: make(chan struct{})}
	go b.supervise(proc)
	return b, nil
}

// URL is how to connect. It stays the same when the server is restarted.
func (b *Builtin) URL() string { return socketURL(b.srv.socketDir, databaseName) }

// Stop shuts the server down in order: sessions are ended, everything is written, the
// data directory unlocked. When ctx ends first, or after 30 seconds if it has no
// deadline, the server is stopped the hard way and recovers at its next start. Further
// calls wait for the first and return its result.
func (b *Builtin) Stop(ctx context.Context) error {
	ctx, cancel := bounded(ctx, stopTimeout)
	defer cancel()
	b.once.Do(func() { b.stop <- ctx })
	<-b.stopped
	return b.err
}

// supervise keeps the server running until Stop.
func (b *Builtin) supervise(proc *process) {
	defer close(b.stopped)
	const minBackoff, maxBackoff = 100 * time.Millisecond, 2 * time.Second
	backoff := minBackoff
	retry := time.NewTimer(0)
	<-retry.C // runs only while there is no process
	tidy := time.NewTicker(time.Minute)
	defer tidy.Stop()
	for {
		var died <-chan struct{}
		if proc != nil {
			died = proc.done
		}
		select {
		case ctx := <-b.stop:
			retry.Stop()
			if proc != nil {
				b.err = proc.shutdown(ctx)
			}
			b.err = errors.Join(b.err, b.lock.Close())
			return
		case <-tidy.C:
			b.srv.boundLog()
		case <-died:
			b.srv.logger.Error("the built-in PostgreSQL server ended by itself; starting it again", "server_log", b.srv.logTail(proc))
			if time.Since(proc.started) > 10*time.Second {
				backoff = minBackoff
			}
			proc = nil
			retry.Reset(backoff)
			backoff = min(2*backoff, maxBackoff)
		case <-retry.C:
			var err error
			if proc, err = b.srv.spawn(); err != nil {
				b.srv.logger.Error("cannot start the built-in PostgreSQL server", "err", err)
				retry.Reset(maxBackoff)
			}
		}
	}
}

// FindBuiltin tells how to connect to the built-in server of a data directory if a
// running Parley has one there, for commands used beside it. It takes the user who runs
// that server.
func FindBuiltin(dataDir string) (url string, running bool, err error) {
	root, err := filepath.Abs(dataDir)
	if err != nil {
		return "", false, fmt.Errorf("resolve data directory: %w", err)
	}
	data := filepath.Join(root, "postgres")
	pf, err := readPIDFile(data)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", false, nil
	case errors.Is(err, fs.ErrPermission):
		return "", false, fmt.Errorf("the data directory %s belongs to another user; run this as %s: %w", root, ownerOrRoot(ownerOf(data)), err)
	case err != nil:
		return "", false, err
	}
	if !isPostmaster(pf.pid, data) {
		return "", false, nil
	}
	if pf.socketDir == "" { // not written yet
		return "", true, fmt.Errorf("the built-in PostgreSQL server in %s is only just starting; try again in a moment", root)
	}
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	url = socketURL(pf.socketDir, databaseName)
	conn, err := connectURL(ctx, url)
	if err != nil {
		return "", true, fmt.Errorf("connect to the built-in PostgreSQL server that is running in %s: %w", root, err)
	}
	return url, true, conn.Close(ctx)
}

// socketURL names a database on a server that listens in a directory.
func socketURL(dir, database string) string {
	u := url.URL{Scheme: "postgres", User: url.User(roleName), Path: "/" + database, RawQuery: "host=" + url.PathEscape(dir)} // a + would not be a space
	return u.String()
}
