package main

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"latchkey/internal/pgtest"

	"github.com/jackc/pgx/v5"
)

func TestSQLiteStore(t *testing.T) {
	testStore(t, func(t testing.TB) store {
		return mustOpen(t, sqlitePrefix+filepath.Join(t.TempDir(), "users.db"))
	})
}

func TestPostgresStore(t *testing.T) {
	testStore(t, func(t testing.TB) store { return mustOpen(t, newPostgres(t)) })
}

// mustOpen opens the store at a URL until the test ends.
func mustOpen(t testing.TB, url string) store {
	t.Helper()
	s, err := openStore(t.Context(), url, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// startCluster starts the PostgreSQL server of these tests, once; TestMain ends it.
var (
	startCluster = sync.OnceValues(func() (c *pgtest.Cluster, err error) {
		cluster, err = pgtest.Start("max_connections=300")
		return cluster, err
	})
	cluster *pgtest.Cluster
)

func TestMain(m *testing.M) {
	code := m.Run()
	if cluster != nil {
		cluster.Close()
	}
	os.Exit(code)
}

// newPostgres returns the URL of an empty schema, in the database that
// TEST_DATABASE_URL names or on a server of its own; without both the test is
// skipped.
func newPostgres(t testing.TB) string {
	t.Helper()
	base := os.Getenv("TEST_DATABASE_URL")
	if base == "" {
		c, err := startCluster()
		if errors.Is(err, pgtest.ErrNotInstalled) {
			skip(t, err.Error()+", and TEST_DATABASE_URL is not set")
		}
		if err != nil {
			t.Fatal(err)
		}
		base = c.URL("postgres")
	}
	schema := "test_" + strings.ToLower(rand.Text())
	execute(t, base, "CREATE SCHEMA "+schema)
	t.Cleanup(func() { execute(t, base, "DROP SCHEMA "+schema+" CASCADE") })
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	query.Set("search_path", schema)
	u.RawQuery = query.Encode()
	return u.String()
}

// execute carries out a statement on a connection of its own.
func execute(t testing.TB, url, statement string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context()) // which is done in a clean-up
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, statement); err != nil {
		t.Fatal(err)
	}
}
