package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

func listen(addr string) (net.Listener, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w; want another address, by -addr or ADDR", addr, err)
	}
	return ln, nil
}

// listenFor returns the socket that systemd has passed, or else listens on Addr.
func listenFor(cfg config) (net.Listener, error) {
	if cfg.Socket != nil {
		return cfg.Socket, nil
	}
	return listen(cfg.Addr)
}

// serveCommand runs the server. Its log outlives the signal that stops it.
func serveCommand(ctx context.Context, in *invocation) error {
	signal.Ignore(syscall.SIGPIPE) // writing to a pipe that nobody reads is an error, and not the end
	out := startLogWriter(context.WithoutCancel(ctx), in.stderr)
	defer out.Flush()
	return serveHTTP(ctx, in.cfg, out)
}

// serveHTTP serves until ctx is done. It listens before it does anything else, so that a busy
// port is noticed at once.
func serveHTTP(ctx context.Context, cfg config, out *logWriter) error {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP) // from here on the signal does not end the process
	defer signal.Stop(hangups)
	ln, err := listenFor(cfg)
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
	acc := newAccounts(cfg, users, log)
	if err := acc.enableTokens(cfg); err != nil {
		return err
	}
	if cfg.AdminUsername != "" {
		if err := acc.ensureAdmin(ctx, cfg.AdminUsername, cfg.AdminPassword); err != nil {
			return fmt.Errorf("cannot create the administrator: %w", err)
		}
	}
	spareThreads()
	about := "version " + buildVersion() + ", key " + cfg.Keys.fingerprint()
	acc.note(ctx, systemStarted, User{}, client{}, about)
	log.Info("listening", "addr", ln.Addr().String(), "systemd_socket", cfg.Socket != nil, "tls", cfg.Certificate != nil, "version", buildVersion())
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
	go acc.events.run(serving)
	defer acc.events.flush(serving) // which logs its failure
	announce := func() {
		acc.note(serving, systemStopped, User{}, client{}, about)
		acc.stop()
		notifySystemd(stoppingState(cfg.ShutdownDelay+cfg.Shutdown), log)
	}
	notifySystemd(daemon.SdNotifyReady, log)
	return serveUntil(ctx, srv, ln, shutdown{announce, cfg.ShutdownDelay, cfg.Shutdown}, log)
}

// heapHeadroom returns memory that makes the garbage collector run less often. It runs when
// the heap has doubled: with the 2 MB of an empty store hundreds of times a second under load.
// These 8 MB let 8 MB more of garbage gather first. They are never touched, and so take no
// memory of the machine.
func heapHeadroom() []byte { return make([]byte, 8<<20) }

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
