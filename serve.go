package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"parley/web"
)

type serveCommand struct{}

// Run serves until SIGINT or SIGTERM. A second signal ends the process at once; what was
// acknowledged is stored, and the next start mends the rest.
func (serveCommand) Run(p *program, cfg *config) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-signals
		// Before anybody can see that the shutdown has begun: the next one ends it.
		signal.Reset(syscall.SIGINT, syscall.SIGTERM)
		cancel()
	}()
	log := cfg.logger(p)
	for _, name := range cfg.unknownEnv {
		log.Warn("this variable looks like one of Parley's and is not: it is ignored", "name", name)
	}
	if cfg.RateLimits == "off" {
		log.Warn("rate limits are off: passwords can be guessed as fast as the server answers")
	}
	if cfg.PushAllowPrivate {
		log.Warn("push services may be at private addresses: everybody signed in can make this server call them")
	}
	s, err := startServer(ctx, cfg, log, func() error { return p.leaveRoot(ctx, cfg, log, true) })
	if err != nil && ctx.Err() != nil { // so that is why
		log.Info("stopped before it was ready")
		log.Debug("the start was cut off", "err", err)
		return nil
	}
	if err != nil {
		return err
	}
	if err := s.announce(ctx, p.stdout, cfg); err != nil {
		return errors.Join(err, s.shutdown())
	}
	return s.run(ctx)
}

// server is a running Parley.
type server struct {
	*app
	log      *slog.Logger
	db       *database
	listener *web.Listener
	http     *http.Server

	failed  chan error // what ended although it should not have
	serving *task
	// What runs beside the requests, each stopped in its turn.
	busRun, hubRun, accountsRun, chatRun, receiptsRun, presenceRun, pushRun, reportsRun *task
}

// startServer starts everything but the answering of requests: that is run's.
// bound is called as soon as the port is bound, before anything else.
func startServer(ctx context.Context, cfg *config, log *slog.Logger, bound func() error) (*server, error) {
	// First, because a port in use is the most common mistake, and one below 1024 may be
	// root's alone.
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("serve on %s: %w", cfg.Listen, err)
	}
	if err := bound(); err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	db, err := openDatabase(ctx, cfg, log, false)
	if err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	a, err := newApp(ctx, cfg, db.DB, log)
	if err != nil {
		db.Close()
		return nil, errors.Join(err, db.stop(context.WithoutCancel(ctx)), ln.Close())
	}
	s := &server{app: a, log: log, db: db, listener: web.NewListener(ln, log), http: a.web.HTTPServer(), failed: make(chan error, 8)}
	s.busRun = s.start("bus", a.bus.Run)
	s.hubRun = s.start("hub", a.hub.Run)
	s.accountsRun = s.start("accounts", a.accounts.Run)
	s.chatRun = s.start("chat", a.chat.Run)
	s.receiptsRun = s.start("receipts", a.receipts.Run)
	s.presenceRun = s.start("presence", a.presence.Run)
	s.pushRun = s.start("push", a.push.Run)
	s.reportsRun = s.start("reports", a.reports.Run)
	return s, nil
}

// announce tells the operator where to go.
func (s *server) announce(ctx context.Context, w io.Writer, cfg *config) error {
	_, port, err := net.SplitHostPort(s.listener.Addr().String())
	if err != nil {
		return fmt.Errorf("read the address served on: %w", err)
	}
	url := s.web.PublicURL(ctx)
	if url == "" {
		url = "http://" + cfg.localAddr(port)
	}
	text := fmt.Sprintf("Parley %s\nAddress:  %s\nDatabase: %s\n", version, url, s.db.where)
	token, needed, err := s.accounts.SetupLink(ctx)
	if err != nil {
		return fmt.Errorf("make the set-up link: %w", err)
	}
	if needed {
		text += "Set up:   " + url + "/setup#" + token + " (makes the first admin; works once)\n"
	}
	_, err = io.WriteString(w, text)
	return err
}

// run answers requests until ctx ends or something fails, and shuts down.
func (s *server) run(ctx context.Context) error {
	s.serving = s.start("http", func(context.Context) error {
		if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	s.log.Info("ready", "address", s.listener.Addr().String(), "version", version)
	var failure error
	select {
	case <-ctx.Done():
		s.log.Info("shutting down")
	case failure = <-s.failed:
		s.log.Error("shutting down, because a part of the server ended", "err", failure)
	}
	return errors.Join(failure, s.shutdown())
}

// shutdown ends everything in the order that loses nothing: nothing new comes in, what
// was taken is stored and answered, and the database goes last.
func (s *server) shutdown() error {
	begin := time.Now()
	s.web.SetDraining()
	err := errors.Join(
		step("stop the HTTP server", 5*time.Second, s.stopHTTP),
		step("close the sockets", 5*time.Second, func(ctx context.Context) error {
			s.chat.FinishDelivery() // what was answered is sent before the close frame
			return s.hub.Close(ctx)
		}),
		step("store what was sent", 10*time.Second, s.chatRun.stop),
		step("write receipts", 5*time.Second, s.receiptsRun.stop),
		step("write who was here", 5*time.Second, s.presenceRun.stop),
		step("leave what is owed to who is away", 10*time.Second, s.pushRun.stop),
		step("stop telling of reports", 5*time.Second, s.reportsRun.stop),
		step("stop looking after sessions", 5*time.Second, s.accountsRun.stop),
		step("stop looking after sockets", time.Second, s.hubRun.stop),
		step("tell other replicas", 5*time.Second, s.busRun.stop),
		// An abandoned statement is not cancelled: it ends by statement_timeout, after 8 s at most.
		step("close the connections to the database", 10*time.Second, s.closePool),
		step("stop the database", 30*time.Second, s.db.stop),
	)
	s.log.Info("stopped", "ms", time.Since(begin).Milliseconds())
	return err
}

// step does one thing with its own deadline: that of what stopped the server is over.
func step(name string, limit time.Duration, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := do(ctx); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// stopHTTP takes no more connections and lets the requests under way end. Sockets are not
// requests any more.
func (s *server) stopHTTP(ctx context.Context) error {
	if s.serving == nil {
		return s.listener.Close()
	}
	s.serving.expected()
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(err, s.http.Close())
	}
	return s.serving.stop(ctx)
}

func (s *server) closePool(ctx context.Context) error {
	done := make(chan struct{})
	go func() { s.db.Close(); close(done) }()
	return wait(ctx, done)
}

// task is something that runs until it is stopped.
type task struct {
	expected context.CancelFunc // tells it to end, and that ending is not a failure
	done     chan struct{}
}

// start runs a task. One that ends by itself ends the server.
func (s *server) start(name string, run func(context.Context) error) *task {
	ctx, cancel := context.WithCancel(context.Background())
	t := &task{cancel, make(chan struct{})}
	go func() {
		defer close(t.done)
		err := s.db.Failures().Do(name, func() error { return run(ctx) })
		switch {
		case ctx.Err() == nil:
			s.failed <- fmt.Errorf("%s ended by itself: %w", name, cmp.Or(err, errNoReason))
		case err != nil && !errors.Is(err, context.Canceled):
			s.log.Error("a part of the server ended badly", "part", name, "err", err)
		}
	}()
	return t
}

var errNoReason = errors.New("it gave no reason")

// stop ends the task and waits until it has.
func (t *task) stop(ctx context.Context) error {
	t.expected()
	return wait(ctx, t.done)
}

func wait(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
