package e2e

import (
	"errors"
	"testing"

	"latchkey/internal/pgtest"
)

// startPostgres starts a PostgreSQL server for one test.
func startPostgres(t testing.TB, settings ...string) *pgtest.Cluster {
	t.Helper()
	c, err := pgtest.Start(settings...)
	if errors.Is(err, pgtest.ErrNotInstalled) {
		skip(t, err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}
