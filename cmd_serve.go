package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// listen listens on an address. by says how to set another one.
func listen(addr, by string) (net.Listener, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w; want another address, by %s", addr, err, by)
	}
	return ln, nil
}

// How to set the addresses.
const (
	byAddr        = "-addr or ADDR"
	byMetricsAddr = "METRICS_ADDR"
)

// serveCommand runs the server. Its log outlives the signal that stops it.
func serveCommand(ctx context.Context, in *invocation) error {
	signal.Ignore(syscall.SIGPIPE) // writing to a pipe that nobody reads is an error, and not the end
	out := startLogWriter(context.WithoutCancel(ctx), in.stderr)
	defer out.Flush()
	return serveHTTP(ctx, in.cfg, in.socket, out)
}

// serveHTTP serves on ln until ctx is done. If ln is nil, it listens before it does anything else,
// so that a busy port is noticed at once.
func serveHTTP(ctx context.Context, cfg config, ln net.Listener, out *logWriter) (err error) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP) // from here on the signal does not end the process
	defer signal.Stop(hangups)
	isInherited := ln != nil
	if !isInherited {
		if ln, err = listen(cfg.Addr, byAddr); err != nil {
			return err
		}
	}
	defer ln.Close()
	log := newLogger(cfg, out)
	measured, stopMetrics, err := startMetrics(cfg, out, log)
	if err != nil {
		return err
	}
	defer stopMetrics()
	for _, warning := range cfg.Warnings {
		log.Warn(warning)
	}
	acc, err := openAccounts(ctx, cfg, measured, log)
	if err != nil && ctx.Err() != nil { // told to stop while the database did not answer
		log.Info("stopped")
		return nil
	}
	if err != nil {
		return err
	}
	defer acc.store.Close()
	spareThreads()
	acc.events.note(ctx, systemStarted, User{}, client{}, acc.about())
	log.Info("listening", "addr", ln.Addr().String(), "systemd_socket", isInherited, "tls", cfg.Certificate != nil, "version", buildVersion())
	out.Flush() // scripts wait for this line
	headroom := heapHeadroom()
	defer runtime.KeepAlive(headroom)
	return serveAccounts(ctx, cfg, acc, ln, hangups, log)
}

// openAccounts opens the store, with all that a server needs in it.
func openAccounts(ctx context.Context, cfg config, measured *metrics, log *slog.Logger) (*accounts, error) {
	users, err := openStore(ctx, cfg.DatabaseURL, log)
	if err != nil {
		return nil, err
	}
	acc := newAccounts(cfg, users, measured, log)
	isTemporary := func(err error) bool { return errors.Is(err, errNotYet) }
	prepare := func() error { return acc.prepare(ctx, cfg) }
	if err := waitForDatabase(ctx, startPatience, log, isTemporary, prepare); err != nil {
		return nil, errors.Join(err, users.Close())
	}
	return acc, nil
}

// prepare adds what every store of a server has: signing keys, and an administrator if the settings
// name one. It may be called again after a failure.
func (a *accounts) prepare(ctx context.Context, cfg config) error {
	if err := a.enableTokens(ctx, cfg); err != nil {
		return err
	}
	if cfg.AdminUsername == "" {
		return nil
	}
	if err := a.ensureAdmin(ctx, cfg.AdminUsername, cfg.AdminPassword); err != nil {
		return fmt.Errorf("cannot create the administrator: %w", err)
	}
	return nil
}

// about is the detail of the events of a start and a stop.
func (a *accounts) about() string {
	key, _ := a.tokens.keys().signing(a.now())
	return "version " + buildVersion() + ", key " + key.fingerprint()
}

// serveAccounts serves, with what is done in the background, until ctx is done. Hangups make it
// read the certificate again.
func serveAccounts(ctx context.Context, cfg config, acc *accounts, ln net.Listener, hangups chan os.Signal, log *slog.Logger) error {
	srv := newServer(newHandler(cfg.edgeSettings, acc, log), cfg.IdleTimeout, log)
	if cfg.Certificate != nil {
		srv.TLSConfig = cfg.Certificate.tlsConfig()
	}
	go acc.learnPace(ctx)
	go acc.sweep(ctx, time.Minute)
	go acc.rotator.watch(ctx)
	serving, done := context.WithCancel(context.WithoutCancel(ctx)) // also while it stops
	defer done()
	go watchCertificate(serving, cfg.Certificate, hangups, log)
	go acc.events.run(serving)
	defer acc.events.close(serving)
	announce := func() {
		acc.events.note(serving, systemStopped, User{}, client{}, acc.about())
		acc.stop()
		notifySystemd(stoppingState(cfg.ShutdownDelay+cfg.Shutdown), log)
	}
	notifySystemd(daemon.SdNotifyReady, log)
	return serveUntil(ctx, srv, ln, shutdown{announce, cfg.ShutdownDelay, cfg.Shutdown}, log)
}

// startMetrics serves metrics at METRICS_ADDR until stop is called. Without that setting the
// metrics are nil.
func startMetrics(cfg config, out *logWriter, log *slog.Logger) (m *metrics, stop func(), err error) {
	if cfg.MetricsAddr == "" {
		return nil, func() {}, nil
	}
	ln, err := listen(cfg.MetricsAddr, byMetricsAddr)
	if err != nil {
		return nil, nil, err
	}
	m = newMetrics(buildVersion(), out.lost.Load)
	return m, serveMetrics(ln, m, cfg.IdleTimeout, log), nil
}

// heapHeadroom returns memory that makes the garbage collector run less often. It runs when
// the heap has doubled: with the 2 MB of an empty store hundreds of times a second under load.
// These 8 MB let 8 MB more of garbage gather first. They are never touched, and so take no
// memory of the machine.
func heapHeadroom() []byte { return make([]byte, 8<<20) }
