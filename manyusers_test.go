package main

import (
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"testing"
	"time"
)

// BenchmarkServeMany is the server with MANY_USERS users in memory, each with a session and the
// password MANY_PASSWORD. It measures nothing: BenchmarkGrowth of e2e/ runs it and sends it requests
// until it kills it, because no command fills the memory of a server.
func BenchmarkServeMany(b *testing.B) {
	users, err := strconv.Atoi(os.Getenv("MANY_USERS"))
	if err != nil {
		b.Skip("BenchmarkGrowth of e2e/ runs this, and sets MANY_USERS")
	}
	cfg, err := readConfig(everything, nil, os.Environ(), false)
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(b.Context(), os.Interrupt)
	defer stop()
	out := startLogWriter(ctx, os.Stderr)
	defer out.Flush()
	log := newLogger(cfg, out)
	s := newMemStore()
	acc := newAccounts(cfg, s, nil, log)
	if err := acc.enableTokens(ctx, cfg); err != nil {
		b.Fatal(err)
	}
	fill(b, s, users, acc.passwords.hashPassword(os.Getenv("MANY_PASSWORD")))
	ln, err := listen(cfg.Addr, byAddr)
	if err != nil {
		b.Fatal(err)
	}
	spareThreads()
	log.Info("listening", "addr", ln.Addr().String())
	out.Flush()
	if err := serveAccounts(ctx, cfg, acc, ln, nil, log); err != nil {
		b.Fatal(err)
	}
}

// fill creates user1, user2 and so on, each with a session.
func fill(b *testing.B, s store, users int, hash string) {
	b.Helper()
	for i := range users {
		u := testUser(fmt.Sprint("user", i+1))
		u.PasswordHash = hash
		u = mustCreate(b, s, u)
		begun := Session{ID: "a session of " + u.Username, UserID: u.ID, CreatedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour)}
		if err := s.CreateSession(b.Context(), begun, hash, noLimit); err != nil {
			b.Fatal(err)
		}
	}
	debug.FreeOSMemory() // what it took to fill it is not what it takes
}
