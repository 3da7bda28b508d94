package e2e

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"latchkey/internal/loadtest"
)

// The benchmarks of refreshes compare them with a bare net/http handler that answers
// with the same bytes when it has made one UPDATE by primary key, in a copy of the
// sessions. Each connection has a session of its own.

// BenchmarkRefreshMemory compares with a map behind a mutex.
func BenchmarkRefreshMemory(b *testing.B) {
	ours := startQuiet(b)
	ours.signIn(b)
	compareRefresh(b, ours, ours.begin(b, slices.Max(manyConnections)), "memory")
}

// BenchmarkRefreshSQLite compares with a copy of the file. Both wait for the disk
// each time, one session after the other: the slower it is, the nearer is the ratio
// to 1.
func BenchmarkRefreshSQLite(b *testing.B) {
	dir := b.TempDir()
	file, copied := filepath.Join(dir, "users.db"), filepath.Join(dir, "bare.db")
	ours := startFilled(b, "sqlite3", file, "sqlite:"+file, 1000)
	begun := ours.begin(b, slices.Max(manyConnections))
	carryOut(b, file, "VACUUM INTO '"+copied+"'")
	compareRefresh(b, ours, begun, "sqlite:"+copied)
}

// BenchmarkRefreshPostgres compares with a copy of the table on the same server,
// which has the same two cores as the rest.
func BenchmarkRefreshPostgres(b *testing.B) {
	c := startPostgres(b)
	url := c.URL("postgres")
	ours := startFilled(b, "pgx", url, url, 1000)
	begun := ours.begin(b, slices.Max(manyConnections))
	execute(b, url,
		"CREATE SCHEMA bare",
		"CREATE TABLE bare.sessions (LIKE public.sessions INCLUDING ALL)",
		"INSERT INTO bare.sessions SELECT * FROM public.sessions",
		"ANALYZE bare.sessions")
	compareRefresh(b, ours, begun, c.URL("postgres", "search_path=bare"))
}

// begin logs in n times and returns the refresh tokens.
func (p *quiet) begin(b *testing.B, n int) []string {
	b.Helper()
	var begun []string
	for range n {
		_, body := p.post(b, "/token", formMediaType, loginForm("bench"))
		begun = append(begun, tokensIn(b, body).Refresh)
	}
	return begun
}

// compareRefresh lets ours refresh the sessions of these refresh tokens, and a bare program update
// the same sessions in a store of its own: as many at once as there are connections.
func compareRefresh(b *testing.B, ours *quiet, begun []string, store string) {
	b.Helper()
	header, body := ours.post(b, "/token", formMediaType, refreshForm(begun[0]))
	begun[0] = tokensIn(b, body).Refresh
	bare := startBare(b, header, body, "update", store)
	var refreshes, updates []loadtest.Script
	for _, token := range begun {
		refreshes = append(refreshes, refreshing(ours.addr, token))
		updates = append(updates, loadtest.InTurn(postForm(bare, "/"+sessionOf(b, token), refreshForm(token))))
	}
	for _, n := range manyConnections {
		b.Run(fmt.Sprint("connections=", n), func(b *testing.B) {
			for b.Loop() {
				reportLoads(b, "refreshes/s", "of-bare", loadtest.New(ours.addr, refreshes[:n]...), loadtest.New(bare, updates[:n]...))
			}
		})
	}
}

func refreshForm(token string) string { return "grant_type=refresh_token&refresh_token=" + token }

// sessionOf returns the ID of the session of a refresh token, which begins with it.
func sessionOf(b *testing.B, refreshToken string) string {
	raw, err := base64.RawURLEncoding.DecodeString(refreshToken)
	if err != nil || len(raw) < 16 {
		b.Fatalf("%q is no refresh token: %v", refreshToken, err)
	}
	return base64.RawURLEncoding.EncodeToString(raw[:16])
}

// refreshing is a script in which each request has the refresh token of the answer
// before. All have the same length, so that it can take the place of the old one. What
// is followed later goes on with the last.
func refreshing(addr, token string) loadtest.Script {
	request := []byte(postForm(addr, "/token", refreshForm(token)))
	old := request[len(request)-len(token):]
	return func(answer []byte) ([]byte, error) {
		if answer == nil {
			return request, nil
		}
		_, rest, _ := bytes.Cut(answer, []byte(`"refresh_token":"`))
		next, _, _ := bytes.Cut(rest, []byte(`"`))
		if len(next) != len(old) || bytes.Equal(next, old) {
			return nil, errors.New("the answer has no new refresh token")
		}
		copy(old, next)
		return request, nil
	}
}
