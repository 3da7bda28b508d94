package main

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

const (
	// startPatience is how long the start waits for a database to answer.
	startPatience = 30 * time.Second

	// waitInterval is the time after which the start asks again a database that has not answered.
	waitInterval = 500 * time.Millisecond
)

// openStore opens the store at a URL, with the schema that this program needs.
func openStore(ctx context.Context, url string, log *slog.Logger) (store, error) {
	return openStoreWithin(ctx, url, startPatience, log)
}

func openStoreWithin(ctx context.Context, url string, patience time.Duration, log *slog.Logger) (store, error) {
	if url == "" {
		log.Warn("users and sessions are kept in memory and are lost when this process ends")
		return newMemStore(), nil
	}
	db, err := openMigrated(ctx, url, readWriteCreate, patience, log)
	if err != nil {
		return nil, err
	}
	log.Info("users are kept in " + db.name)
	return sqlStore{db}, nil
}

// openMigrated opens a database and brings its schema up to date.
func openMigrated(ctx context.Context, url string, mode openMode, patience time.Duration, log *slog.Logger) (*database, error) {
	db, err := openDatabase(url, mode, log)
	if err != nil {
		return nil, err
	}
	for _, warning := range db.warnings {
		log.Warn(warning)
	}
	migrate := func() error { return db.migrate(ctx, log) }
	if err := waitForDatabase(ctx, patience, log, db.isTemporary, migrate); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// waitForDatabase calls op, and calls it again after errors that are temporary, until patience is over.
// It logs that it waits.
func waitForDatabase(ctx context.Context, patience time.Duration, log *slog.Logger, isTemporary func(error) bool, op func() error) error {
	deadline := time.Now().Add(patience)
	for waiting := false; ; waiting = true {
		err := op()
		if err == nil || !isTemporary(err) || time.Until(deadline) < waitInterval {
			return err
		}
		if !waiting {
			log.Warn("waiting for the database", "patience", patience.String(), "err", err)
		}
		if !sleep(ctx, waitInterval) {
			return err
		}
	}
}

// openUnmigrated opens a database as it is. It returns an fs.ErrNotExist for a SQLite file that is
// not there.
func openUnmigrated(ctx context.Context, url string, log *slog.Logger) (*database, error) {
	db, err := openDatabase(url, leaveSchema, log)
	if err != nil {
		return nil, err
	}
	if err := db.checkVersion(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// newAccounts returns accounts that make no tokens yet; see enableTokens.
func newAccounts(cfg config, users store, measured *metrics, log *slog.Logger) *accounts {
	var limiter *throttle
	if cfg.Throttled {
		limiter = newThrottle(cfg.Secret, cfg.SecretFallbacks)
	}
	users = measured.measure(users)
	var kept eventStore
	if cfg.EventAge > 0 {
		kept = users
	}
	hashes := newQueue(cores)
	measured.watch(hashes)
	return &accounts{
		guard: guard{
			store:     users,
			passwords: newHasher(cfg.Rounds),
			hashes:    hashes,
			throttle:  limiter,
			metrics:   measured,
			log:       log,
			events:    newRecorder(kept, measured, log, time.Now),
			now:       time.Now,
		},
		lists:             newQueue((cores + 1) / 2), // which leaves cores to other requests
		searches:          newQueue((cores + 1) / 2),
		readings:          newQueue((cores + 1) / 2),
		apiKeyUses:        newCache[apiKeyUse, struct{}](maxAPIKeyUses),
		limits:            cfg.Sessions,
		eventAge:          cfg.EventAge,
		registrationOpen:  cfg.RegistrationOpen,
		minPasswordLength: cfg.MinPasswordLength,
	}
}

// enableTokens makes the accounts issue and accept tokens. If the server makes its keys itself, it
// adds those that are missing.
func (a *accounts) enableTokens(ctx context.Context, cfg config) error {
	a.refreshTokens = newRefreshKeys(cfg.Secret, cfg.SecretFallbacks)
	a.tokens = newSigner(cfg.AccessTokenLife, cfg.Issuer, cfg.Audience)
	if cfg.OwnKeys != nil {
		a.tokens.use(cfg.OwnKeys)
		return nil
	}
	a.rotator = a.newKeyRotator(cfg)
	return a.rotator.start(ctx)
}

// newKeyRotator returns the rotator of the keys that the server makes itself.
func (a *accounts) newKeyRotator(cfg config) *keyRotator {
	return &keyRotator{
		store: a.store, signer: a.tokens, secrets: cfg.secrets(), algorithm: cfg.Algorithm,
		retention: max(minRetention, cfg.AccessTokenLife), inMemory: cfg.DatabaseURL == "",
		fallbacks: cfg.OlderKeys, events: a.events, log: a.log, now: a.now,
	}
}
