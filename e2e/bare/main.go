// Command bare is what Latchkey is measured against: a net/http server that does
// nothing but what cannot be done without.
//
//	bare ANSWER.json                 writes the bytes in {"header":{…},"body":"…"}
//	bare ANSWER.json STORE           writes the user whom it finds by one SELECT by primary key;
//	                                 STORE is sqlite:FILE or postgres://…
//	bare ANSWER.json update STORE    writes the bytes when it has updated the session that the path
//	                                 names, by one UPDATE by primary key; STORE may be memory, too
package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/ncruces/go-sqlite3/driver" // registers sqlite3
)

func main() {
	answer, err := readAnswer(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	handler, err := newHandler(answer, os.Args[2:])
	if err != nil {
		log.Fatal(err)
	}
	ln, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ln.Addr())
	log.Fatal(http.Serve(ln, handler))
}

// newHandler returns the handler that the arguments after ANSWER.json ask for.
func newHandler(answer http.Handler, args []string) (http.Handler, error) {
	switch len(args) {
	case 0:
		return answer, nil
	case 1:
		find, err := openUsers(args[0])
		return readUser(find), err
	}
	update, err := openSessions(args[1])
	return updateSession(update, answer), err
}

// readAnswer returns a handler that writes what is in a file.
func readAnswer(file string) (http.Handler, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Header http.Header
		Body   string
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, err
	}
	body := []byte(answer.Body)
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		header := w.Header()
		maps.Copy(header, answer.Header)
		w.Write(body)
	}), nil
}

// readUser answers with the first 1,000 users in turn.
func readUser(find finder) http.Handler {
	var next atomic.Int64
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u, err := find(r.Context(), 1+next.Add(1)%1000)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(u)
	})
}

type user struct {
	Username string  `json:"username"`
	Email    *string `json:"email"`
	FullName *string `json:"full_name"`
}

// A finder returns the user with an ID.
type finder func(ctx context.Context, id int64) (user, error)

const selectByID = "SELECT username, email, full_name FROM users WHERE id = $1"

func openUsers(store string) (finder, error) {
	if path, ok := strings.CutPrefix(store, "sqlite:"); ok {
		return findInSQLite(path)
	}
	pool, err := openPool(store)
	return func(ctx context.Context, id int64) (u user, err error) {
		return u, pool.QueryRow(ctx, selectByID, id).Scan(&u.Username, &u.Email, &u.FullName) // which pgx prepares
	}, err
}

// findInSQLite has as many connections that read as Latchkey has on a small machine.
func findInSQLite(path string) (finder, error) {
	db, err := openFile(path, 4)
	if err != nil {
		return nil, err
	}
	query, err := db.Prepare(selectByID)
	return func(ctx context.Context, id int64) (u user, err error) {
		return u, query.QueryRowContext(ctx, id).Scan(&u.Username, &u.Email, &u.FullName)
	}, err
}

// openFile opens a SQLite file that gives up as little as Latchkey when the power fails.
func openFile(path string, connections int) (*sql.DB, error) {
	pragmas := url.Values{"_pragma": {"busy_timeout(3000)", "synchronous(full)", "journal_mode(wal)"}}
	db, err := sql.Open("sqlite3", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+pragmas.Encode())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db, nil
}

func openPool(url string) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	cfg.MaxConns = 10 // as many as Latchkey
	return pgxpool.NewWithConfig(context.Background(), cfg)
}

// idle is how far an update puts off the end of a session: Latchkey's default.
const idle = 14 * 24 * time.Hour

// updateSession updates a session and then answers.
func updateSession(update updater, answer http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now := time.Now()
		n, err := update(r.Context(), now.UnixMicro(), now.Add(idle).UnixMicro(), strings.TrimPrefix(r.URL.Path, "/"))
		if err != nil || n != 1 {
			http.Error(w, fmt.Sprint(n, " sessions, ", err), http.StatusInternalServerError)
			return
		}
		answer.ServeHTTP(w, r)
	})
}

// An updater changes one session, and returns how many have this ID. Times are
// microseconds since 1970.
type updater func(ctx context.Context, lastUsedAt, expiresAt int64, id string) (int64, error)

// updateByID changes what a refresh changes.
const updateByID = "UPDATE sessions SET generation = generation + 1, last_used_at = $1, expires_at = $2 WHERE id = $3"

func openSessions(store string) (updater, error) {
	if store == "memory" {
		return updateInMap(), nil
	}
	if path, ok := strings.CutPrefix(store, "sqlite:"); ok {
		return updateInSQLite(path)
	}
	pool, err := openPool(store)
	return func(ctx context.Context, lastUsedAt, expiresAt int64, id string) (int64, error) {
		tag, err := pool.Exec(ctx, updateByID, lastUsedAt, expiresAt, id) // which pgx prepares
		return tag.RowsAffected(), err
	}, err
}

// updateInMap keeps sessions in memory. It creates a session that is not there.
func updateInMap() updater {
	type session struct{ generation, lastUsedAt, expiresAt int64 }
	var mu sync.Mutex
	sessions := make(map[string]session)
	return func(_ context.Context, lastUsedAt, expiresAt int64, id string) (int64, error) {
		mu.Lock()
		defer mu.Unlock()
		sessions[id] = session{sessions[id].generation + 1, lastUsedAt, expiresAt}
		return 1, nil
	}
}

// updateInSQLite has one connection that writes.
func updateInSQLite(path string) (updater, error) {
	db, err := openFile(path, 1)
	if err != nil {
		return nil, err
	}
	update, err := db.Prepare(updateByID)
	return func(ctx context.Context, lastUsedAt, expiresAt int64, id string) (int64, error) {
		result, err := update.ExecContext(ctx, lastUsedAt, expiresAt, id)
		if err != nil {
			return 0, err
		}
		return result.RowsAffected()
	}, err
}
