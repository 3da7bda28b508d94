package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// A catalogue is a query of a database's own tables: a line for each column, unique index
// and foreign key that the migrations have made.
const (
	sqliteCatalogue = `
		WITH ours AS (SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name <> 'schema_version')
		SELECT ours.name || '.' || c.name || ' ' || lower(c.type)
			|| CASE WHEN c."notnull" OR c.pk > 0 AND (t.wr OR c.type = 'INTEGER') THEN ' not null' ELSE '' END -- other primary keys may be null
		FROM ours, pragma_table_info(ours.name) AS c, pragma_table_list(ours.name) AS t
		UNION
		SELECT ours.name || CASE WHEN i."unique" THEN ' unique ' ELSE ' index ' || i.name || ' ' END
			|| (SELECT group_concat(coalesce(name, 'expression')) FROM (SELECT name FROM pragma_index_info(i.name) ORDER BY seqno))
			|| CASE WHEN i.partial THEN ' of some' ELSE '' END
		FROM ours, pragma_index_list(ours.name) AS i
		UNION -- a primary key that is the number of the row has no index
		SELECT ours.name || ' unique ' || (SELECT group_concat(name) FROM (SELECT name FROM pragma_table_info(ours.name) WHERE pk > 0 ORDER BY pk))
		FROM ours
		UNION
		SELECT ours.name || ' ' || f."from" || ' references ' || f."table" || '.' || f."to" || ' on delete ' || lower(f.on_delete) || ' on update ' || lower(f.on_update)
		FROM ours, pragma_foreign_key_list(ours.name) AS f`

	pgCatalogue = `
		WITH ours AS (
			SELECT oid, relname AS name FROM pg_class
			WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND relname <> 'schema_version'),
		indexes AS (
			SELECT ours.name, i.*, ARRAY(
				SELECT coalesce(a.attname::text, 'expression') FROM unnest(i.indkey) WITH ORDINALITY AS k(number, place)
				LEFT JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.number ORDER BY k.place) AS columns
			FROM ours JOIN pg_index AS i ON i.indrelid = ours.oid)
		SELECT ours.name || '.' || a.attname || ' ' || format_type(a.atttypid, NULL) || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END
		FROM ours JOIN pg_attribute AS a ON a.attrelid = ours.oid AND a.attnum > 0 AND NOT a.attisdropped
		UNION
		SELECT name || CASE WHEN indisunique THEN ' unique ' ELSE ' index ' || c.relname || ' ' END
			|| array_to_string(columns, ',') || CASE WHEN indpred IS NULL THEN '' ELSE ' of some' END
		FROM indexes JOIN pg_class AS c ON c.oid = indexes.indexrelid
		UNION
		SELECT ours.name || ' ' || a.attname || ' references ' || f.confrelid::regclass || '.' || b.attname
			|| ' on delete ' || CASE f.confdeltype WHEN 'c' THEN 'cascade' ELSE f.confdeltype::text END
			|| ' on update ' || CASE f.confupdtype WHEN 'a' THEN 'no action' ELSE f.confupdtype::text END
		FROM ours JOIN pg_constraint AS f ON f.conrelid = ours.oid AND f.contype = 'f'
		JOIN pg_attribute AS a ON a.attrelid = f.conrelid AND a.attnum = f.conkey[1]
		JOIN pg_attribute AS b ON b.attrelid = f.confrelid AND b.attnum = f.confkey[1]`
)

// TestSchemasAgree: the migrations of both databases make the same tables, by what the
// databases themselves say of them.
func TestSchemasAgree(t *testing.T) {
	t.Parallel()
	sqlite := catalogueOf(t, newSQLite(t), sqliteCatalogue)
	postgres := catalogueOf(t, newPostgres(t), pgCatalogue)
	names := strings.NewReplacer(" integer", " bigint", " blob", " bytea") // SQLite has one kind of integer
	for i, line := range sqlite {
		sqlite[i] = names.Replace(line)
	}
	sqlite = slices.DeleteFunc(sqlite, func(line string) bool { // the texts may be too long for an index of PostgreSQL
		return line == "users index users_list username_key,disabled,scopes,search"
	})
	if len(sqlite) < 30 || !slices.Equal(sqlite, postgres) {
		t.Errorf("SQLite has\n%s\nPostgreSQL has\n%s", strings.Join(sqlite, "\n"), strings.Join(postgres, "\n"))
	}
}

func catalogueOf(t *testing.T, url, query string) []string {
	t.Helper()
	db := mustOpen(t, url).(sqlStore)
	rows, err := db.schemaDB.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var lines []string
	err = scanAll(rows, func(r row) error {
		var line string
		err := r.Scan(&line)
		lines = append(lines, line)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(lines)
	return lines
}

// TestEveryStatementIsPrepared: each statement fits the tables of both databases, and says
// itself whether it writes.
func TestEveryStatementIsPrepared(t *testing.T) {
	t.Parallel()
	if len(statements) < 20 {
		t.Fatalf("%d statements are registered", len(statements))
	}
	for kind, empty := range everyDatabase {
		t.Run(kind, func(t *testing.T) {
			db := mustOpen(t, empty(t)).(sqlStore)
			conn, err := db.schemaDB.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			for i, s := range statements {
				if err := db.prepare(t.Context(), conn, s.text); err != nil {
					t.Errorf("%s: %v", s.text, err)
				}
				if begins := strings.HasPrefix(strings.TrimSpace(s.text), "SELECT"); (s.purpose == toWrite) == begins || s.place != i {
					t.Errorf("purpose is %v and place %d: %s", s.purpose, s.place, s.text)
				}
			}
			if err := db.prepare(t.Context(), conn, fmt.Sprintf("SELECT nothing FROM %s", schemaTable)); err == nil {
				t.Error("a statement that does not fit is prepared")
			}
		})
	}
}
