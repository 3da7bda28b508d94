package main

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// wholeTable is a step of a plan that reads every row of a table, or sorts what an index
// could have in order. A subquery that SQLite has called users is no table, and neither is
// an index of those users only who are looked for.
var wholeTable = regexp.MustCompile(`Seq Scan|TEMP B-TREE|SCAN (sessions|login_failures|api_keys)`)

// TestPlans: what is asked at every login, often, or in the background goes by an index.
func TestPlans(t *testing.T) {
	for database, open := range map[string]func(*testing.T) planner{"SQLite": planSQLite, "PostgreSQL": planPostgres} {
		t.Run(database, func(t *testing.T) {
			plan := open(t)
			if steps := plan(t, selectUsersByEmail, "a@example.com", "", 100); !strings.Contains(steps, "users_email") { // and sorts the few
				t.Errorf("an e-mail address: want a plan by the index users_email, not\n%s", steps)
			}
			if steps := plan(t, selectAPIKeys, 1, 1); !regexp.MustCompile("sqlite_autoindex_api_keys_2|api_keys_user_id_slot_key").MatchString(steps) { // and sorts the few
				t.Errorf("the API keys of a user: want a plan by the index of slots, not\n%s", steps)
			}
			for _, tt := range []struct {
				name  string
				s     *statement
				args  []any
				index string // or what names it
			}{
				{"a change of a user", updateUser, []any{true, "e", false, nil, nil, nil, nil, true, "s", 1, 1, nil, nil, nil}, "users_pkey|INTEGER PRIMARY KEY"},
				{"many names", selectUsersByKeyOrUID, slices.Repeat([]any{"k"}, 2*maxLookup), "users_uid"},
				{"a part of a text", selectUsersByText, []any{"", nil, "%", "%kim%", 100}, "COVERING INDEX users_list|users_username_key_key"},
				{"the next users", selectNextUsers, []any{"", nextUsers, nil, "%", "%kim%", 100}, "COVERING INDEX users_list|Subquery Scan on next(.*\n)*.*Index Scan using users_username_key_key"},
				{"users to fold", selectUnfolded, []any{1000}, "users_unfolded"},
				{"the events of a user", selectUserEvents, []any{"u", 100}, "events_uid"},
				{"the events of a name", selectEventsOfName, []any{"k", 0, 0, "", 100}, "events_username"},
				{"all events", selectEvents, []any{0, 0, "", 100}, "events_pkey|INTEGER PRIMARY KEY"},
				{"the deletion of old events", deleteOldEvents, []any{1, 1000}, "events_at"},
				{"the deletion of too many events", deleteExcessEvents, []any{1000000, 1000}, "events_pkey|INTEGER PRIMARY KEY"},
				{"the list of sessions", selectSessions, []any{1, 1, 100}, "sessions_last_used"},
				{"the end of those unused for longest", deleteUnusedSessions, []any{1, "s", 1, 1000, 999}, "sessions_last_used"},
				{"the deletion of ended sessions", deleteEndedSessions, []any{1000}, "users_unswept"},
				{"the note that none is left", updateSweptEpochs, []any{1000}, "users_unswept"},
				{"the owner of an API key", selectUserByAPIKey, []any{"k"}, "sqlite_autoindex_api_keys_1|api_keys_pkey"},
				{"the use of an API key", updateAPIKey, []any{1, "k"}, "sqlite_autoindex_api_keys_1|api_keys_pkey"},
				{"the slots of a user", selectSlots, []any{"k", 1}, "sqlite_autoindex_api_keys_2|api_keys_user_id_slot_key"},
				{"the deletion of a user's expired API keys", deleteExpiredAPIKeysOf, []any{1, 1}, "sqlite_autoindex_api_keys_2|api_keys_user_id_slot_key|api_keys_expires_at"},
				{"the deletion of all API keys", deleteAPIKeys, []any{1}, "sqlite_autoindex_api_keys_2|api_keys_user_id_slot_key"},
				{"the deletion of expired API keys", deleteExpiredAPIKeys, []any{1, 1000}, "api_keys_expires_at"},
				{"the deletion of expired sessions", deleteExpiredSessions, []any{1, 1000}, "sessions_expires_at"},
			} {
				if steps := plan(t, tt.s, tt.args...); !regexp.MustCompile(tt.index).MatchString(steps) || wholeTable.MatchString(steps) {
					t.Errorf("%s: want a plan by the index %s, not\n%s", tt.name, tt.index, steps)
				}
			}
		})
	}
}

// A planner says how a database would carry out a statement.
type planner func(t *testing.T, s *statement, args ...any) string

func planSQLite(t *testing.T) planner {
	db := mustOpen(t, newSQLite(t)).(sqlStore)
	return func(t *testing.T, s *statement, args ...any) string {
		t.Helper()
		rows, err := db.schemaDB.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+s.text, args...)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		var steps []string
		err = scanAll(rows, func(r row) error {
			var id, parent, unused int
			var step string
			err := r.Scan(&id, &parent, &unused, &step)
			steps = append(steps, step)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(steps, "\n")
	}
}

// planPostgres asks for the plan that there would be with many rows: of a few it is
// quicker to read all.
func planPostgres(t *testing.T) planner {
	url := newPostgres(t)
	mustOpen(t, url)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.WithoutCancel(t.Context())) })
	if _, err := conn.Exec(t.Context(), "SET enable_seqscan = off"); err != nil {
		t.Fatal(err)
	}
	return func(t *testing.T, s *statement, args ...any) string {
		t.Helper()
		rows, err := conn.Query(t.Context(), "EXPLAIN "+s.text, args...)
		if err != nil {
			t.Fatal(err)
		}
		steps, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(steps, "\n")
	}
}

// TestExecModes: changes of a user have the same effect however pgx sends their parameters,
// which PostgreSQL cannot tell the types of by themselves.
func TestExecModes(t *testing.T) {
	for _, mode := range []string{"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"} {
		for name, test := range map[string]func(*testing.T, store){
			"profiles": testStoreProfiles, "passwords": testStorePasswords, "a user who is disabled": testStoreDisabled, "all sessions end": testStoreEnds,
			"scopes that a login asks for": testStoreAsked, "signing keys": testStoreSigningKeys, "API keys": testStoreAPIKeys, "API keys that are used": testStoreAPIKeyUse,
		} {
			t.Run(mode+", "+name, func(t *testing.T) {
				test(t, mustOpen(t, newPostgres(t)+"&default_query_exec_mode="+mode))
			})
		}
	}
}
