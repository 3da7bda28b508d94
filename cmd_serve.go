package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"
)

// version is set by the linker (see the Makefile).
var version string

func buildVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && version == "" {
		return info.Main.Version
	}
	return version
}

func listen(addr string) (net.Listener, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w; want another address, by -addr or ADDR", addr, err)
	}
	return ln, nil
}

// serveCommand runs the server. Its log outlives the signal that stops it.
func serveCommand(ctx context.Context, cfg config, _ io.Writer, stderr *os.File) error {
	signal.Ignore(syscall.SIGPIPE) // writing to a pipe that nobody reads is an error, and not the end
	out := startLogWriter(context.WithoutCancel(ctx), stderr)
	defer out.Flush()
	return serveHTTP(ctx, cfg, out)
}

// serveHTTP serves until ctx is done. It listens before it does anything else, so that a busy
// port is noticed at once.
func serveHTTP(ctx context.Context, cfg config, out *logWriter) error {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP) // from here on the signal does not end the process
	defer signal.Stop(hangups)
	ln, err := listen(cfg.Addr)
	if err != nil {
		return err
	}
	defer ln.Close()
	log := newLogger(cfg, out)
	for _, warning := range cfg.Warnings {
		log.Warn(warning)
	}
	users, err := openStore(ctx, cfg.DatabaseURL, log)
	if err != nil && ctx.Err() != nil { // told to stop while the database did not answer
		log.Info("stopped")
		return nil
	}
	if err != nil {
		return err
	}
	defer users.Close()
	acc, err := newAccounts(cfg, users, log)
	if err != nil {
		return err
	}
	spareThreads()
	log.Info("listening", "addr", ln.Addr().String(), "tls", cfg.Certificate != nil, "version", buildVersion())
	out.Flush() // scripts wait for this line
	headroom := heapHeadroom()
	defer runtime.KeepAlive(headroom)
	go acc.learnPace(ctx)
	go acc.sweep(ctx, time.Minute)
	srv := newServer(newHandler(cfg.edgeSettings, acc, log), cfg.IdleTimeout, log)
	if cfg.Certificate != nil {
		srv.TLSConfig = cfg.Certificate.tlsConfig()
	}
	serving, done := context.WithCancel(context.WithoutCancel(ctx)) // also while it stops
	defer done()
	go watchCertificate(serving, cfg.Certificate, hangups, log)
	return serveUntil(ctx, srv, ln, shutdown{acc.stop, cfg.ShutdownDelay, cfg.Shutdown}, log)
}

// heapHeadroom returns memory that makes the garbage collector run less often. It runs when
// the heap has doubled: with the 2 MB of an empty store hundreds of times a second under load.
// These 8 MB let 8 MB more of garbage gather first. They are never touched, and so take no
// memory of the machine.
func heapHeadroom() []byte { return make([]byte, 8<<20) }

// startPatience is how long the start waits for a database to answer.
const startPatience = 30 * time.Second

// openStore opens the store at a URL, with the schema that this program needs.
func openStore(ctx context.Context, url string, log *slog.Logger) (store, error) {
	return openStoreWithin(ctx, url, startPatience, log)
}

func openStoreWithin(ctx context.Context, url string, patience time.Duration, log *slog.Logger) (store, error) {
	if url == "" {
		log.Warn("users and sessions are kept in memory and are lost when this process ends")
		return newMemStore(), nil
	}
	db, err := openDatabase(url, true, log)
	if err != nil {
		return nil, err
	}
	for _, warning := range db.warnings {
		log.Warn(warning)
	}
	if err := db.migrateWithin(ctx, patience, log); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	log.Info("users are kept in " + db.name)
	return sqlStore{db}, nil
}

func newAccounts(cfg config, users store, log *slog.Logger) (*accounts, error) {
	tokens, err := newSigner(cfg.Keys, cfg.AccessTokenLife, cfg.Issuer, cfg.Audience)
	if err != nil {
		return nil, err
	}
	var limits *throttle
	if cfg.Throttled {
		limits = newThrottle(cfg.Secret, cfg.SecretFallbacks)
	}
	return &accounts{
		guard: guard{
			store:     users,
			passwords: newHasher(cfg.Rounds),
			hashes:    newQueue(cores),
			throttle:  limits,
			log:       log,
			now:       time.Now,
		},
		tokens:            tokens,
		refreshTokens:     newRefreshKeys(cfg.Secret, cfg.SecretFallbacks),
		lists:             newQueue((cores + 1) / 2), // which leaves cores to other requests
		limits:            cfg.Sessions,
		registrationOpen:  cfg.RegistrationOpen,
		minPasswordLength: cfg.MinPasswordLength,
	}, nil
}

// errCutShort means that the server stopped before it had answered all requests; the log
// says so.
var errCutShort = errors.New("stopped with requests under way")

// A shutdown is how a server stops: it announces the stop, goes on serving for a while so
// that load balancers notice, and then waits for the requests under way.
type shutdown struct {
	announce func()
	delay    time.Duration
	patience time.Duration
}

// serveUntil serves on ln until ctx is done and the delay is over. Then it takes no more
// connections and waits for the requests under way. It returns errCutShort if its patience
// was not enough.
func serveUntil(ctx context.Context, srv *http.Server, ln net.Listener, end shutdown, log *slog.Logger) error {
	var underWay atomic.Int64
	srv.Handler = counted(&underWay, srv.Handler)
	served := make(chan error, 1)
	go func() { served <- serveOn(srv, ln) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	end.announce()
	log.Info("stopping", "delay", end.delay.String(), "patience", end.patience.String())
	select {
	case err := <-served:
		return err
	case <-time.After(end.delay):
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), end.patience)
	defer cancel()
	if err := srv.Shutdown(grace); err != nil {
		log.Error(errCutShort.Error(), "requests", underWay.Load(), "patience", end.patience.String())
		srv.Close()
		return errCutShort
	}
	log.Info("stopped")
	return nil
}

// counted counts in n the requests that h is answering.
func counted(n *atomic.Int64, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.Add(1)
		defer n.Add(-1)
		h.ServeHTTP(w, r)
	})
}

func serveOn(srv *http.Server, ln net.Listener) error {
	if srv.TLSConfig != nil {
		return srv.ServeTLS(ln, "", "")
	}
	return srv.Serve(ln)
}
