package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"
)

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
	db, err := openMigrated(ctx, url, toCreate, patience, log)
	if err != nil {
		return nil, err
	}
	log.Info("users are kept in " + db.name)
	return sqlStore{db}, nil
}

// openMigrated opens a database and brings its schema up to date.
func openMigrated(ctx context.Context, url string, may access, patience time.Duration, log *slog.Logger) (*database, error) {
	db, err := openDatabase(url, may, log)
	if err != nil {
		return nil, err
	}
	for _, warning := range db.warnings {
		log.Warn(warning)
	}
	if err := db.migrateWithin(ctx, patience, log); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// openToRead opens a database as it is. It returns an fs.ErrNotExist for a SQLite file that is
// not there.
func openToRead(ctx context.Context, url string, log *slog.Logger) (*database, error) {
	db, err := openDatabase(url, toRead, log)
	if err != nil {
		return nil, err
	}
	if err := db.checkVersion(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// commandPatience is how long a command waits for a database to answer.
const commandPatience = 5 * time.Second

// errInMemory means that a command cannot reach the users.
var errInMemory = configError{"DATABASE_URL: is not set, so that the users are in the memory of the server, which no command reaches; want -db or DATABASE_URL"}

// withAccounts calls do with the accounts in the database that the settings name.
func (in *invocation) withAccounts(ctx context.Context, may access, do func(*accounts) error) error {
	if in.cfg.DatabaseURL == "" {
		return errInMemory
	}
	for _, warning := range in.cfg.Warnings {
		fmt.Fprintln(in.stderr, "warning:", warning)
	}
	log := slog.New(slog.NewTextHandler(in.stderr, &slog.HandlerOptions{Level: slog.LevelWarn, ReplaceAttr: withoutTime}))
	var db *database
	var err error
	if may == toRead {
		db, err = openToRead(ctx, in.cfg.DatabaseURL, log)
	} else {
		db, err = openMigrated(ctx, in.cfg.DatabaseURL, may, commandPatience, log)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no file %s; want the path of the server's database", strings.TrimPrefix(in.cfg.DatabaseURL, sqlitePrefix))
	}
	if err != nil {
		return interrupted(ctx, err)
	}
	defer db.Close()
	return interrupted(ctx, do(newAccounts(in.cfg, sqlStore{db}, log)))
}

// withoutTime drops the time from log lines that somebody reads as they come.
func withoutTime(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

// newAccounts returns accounts that make no tokens yet; see useTokens.
func newAccounts(cfg config, users store, log *slog.Logger) *accounts {
	var limiter *throttle
	if cfg.Throttled {
		limiter = newThrottle(cfg.Secret, cfg.SecretFallbacks)
	}
	return &accounts{
		guard: guard{
			store:     users,
			passwords: newHasher(cfg.Rounds),
			hashes:    newQueue(cores),
			throttle:  limiter,
			log:       log,
			now:       time.Now,
		},
		lists:             newQueue((cores + 1) / 2), // which leaves cores to other requests
		limits:            cfg.Sessions,
		registrationOpen:  cfg.RegistrationOpen,
		minPasswordLength: cfg.MinPasswordLength,
	}
}

// useTokens makes the accounts issue and accept tokens.
func (a *accounts) useTokens(cfg config) (err error) {
	a.refreshTokens = newRefreshKeys(cfg.Secret, cfg.SecretFallbacks)
	a.tokens, err = newSigner(cfg.Keys, cfg.AccessTokenLife, cfg.Issuer, cfg.Audience)
	return err
}
