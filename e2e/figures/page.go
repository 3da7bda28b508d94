package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// rewrite replaces what is between <!-- NAME --> and <!-- end of NAME --> in a page.
func rewrite(page, name, part string) (string, error) {
	opening, closing := "<!-- "+name+" -->\n", "<!-- end of "+name+" -->\n"
	before, rest, hasOpening := strings.Cut(page, opening)
	_, after, hasClosing := strings.Cut(rest, closing)
	if !hasOpening || !hasClosing {
		return "", fmt.Errorf("the page has no place for %s; want the lines %s and %s", name, strings.TrimSpace(opening), strings.TrimSpace(closing))
	}
	return before + opening + part + closing + after, nil
}

// rewriteFile is rewrite for several parts of a file.
func rewriteFile(path string, parts map[string]string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	page := string(text)
	for name, part := range parts {
		if page, err = rewrite(page, name, part); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return os.WriteFile(path, []byte(page), 0o644)
}

// image is the Markdown of a picture.
func image(file, says string) string { return fmt.Sprintf("![%s](benchmarks/%s)\n", says, file) }

// provenance says where, when and with what a set was measured.
func (r *reader) provenance() string {
	var versions []string
	for name, version := range r.Versions {
		versions = append(versions, name+" "+version)
	}
	slices.Sort(versions)
	return fmt.Sprintf("Measured on %s, with %s; commit %s, %s.\n",
		r.Machine, strings.Join(versions, ", "), r.Commit, r.Began.Format("2 January 2006"))
}

// A row of the tables of ratios and rates is a benchmark over few and many connections.
type row struct{ what, against, benchmark, unit string }

var rows = []row{
	{"`GET /users/me/` in memory", "the same bytes", "ReadUsersMe", "requests/s"},
	{"in SQLite, 1,000 users", "one `SELECT`", "ReadUsersMeSQLite/users=1000", "requests/s"},
	{"in SQLite, 1,000,000 users", "one `SELECT`", "ReadUsersMeSQLite/users=1000000", "requests/s"},
	{"in PostgreSQL, 1,000 users", "one `SELECT`", "ReadUsersMePostgres/users=1000", "requests/s"},
	{"in PostgreSQL, 1,000,000 users", "one `SELECT`", "ReadUsersMePostgres/users=1000000", "requests/s"},
	{"refreshes in memory", "a map behind a mutex", "RefreshMemory", "refreshes/s"},
	{"refreshes in SQLite", "one `UPDATE`", "RefreshSQLite", "refreshes/s"},
	{"refreshes in PostgreSQL", "one `UPDATE`", "RefreshPostgres", "refreshes/s"},
}

// ratioTables are the tables of the loads: ratios, with the middle half in brackets, and rates.
func ratioTables(r *reader) string {
	return "Ratio to a handler that does no more than this:\n\n" + table(r, func(row row, name string) string {
		return spread(r, name, "of-bare")
	}) + "\nAnswers per second, and the time within which 99 % of them came, with that of the bare handler:\n\n" + table(r, func(row row, name string) string {
		return fmt.Sprintf("%s, %s (%s)", thousands(r.value(name, row.unit)), inTime(r.value(name, "ms-p99")), inTime(r.value(name, "ms-p99-bare")))
	}) + "\n" + fmt.Sprintf("Over 16 connections, SQLite answers `GET /users/me/` %s times as often as memory with 1,000 users, and %s times with 1,000,000.\n",
		spread(r, "ReadUsersMeSQLite/users=1000/memory", "of-memory"), spread(r, "ReadUsersMeSQLite/users=1000000/memory", "of-memory"))
}

// table is a table with a column for each number of connections.
func table(r *reader, cell func(row row, name string) string) string {
	var b strings.Builder
	b.WriteString("| what | against |")
	for _, n := range connections {
		fmt.Fprintf(&b, " %g |", n)
	}
	b.WriteString("\n|---|---|" + strings.Repeat("---|", len(connections)) + "\n")
	for _, row := range rows {
		fmt.Fprintf(&b, "| %s | %s |", row.what, row.against)
		for _, n := range connections {
			fmt.Fprintf(&b, " %s |", cell(row, fmt.Sprintf("%s/connections=%g", row.benchmark, n)))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// spread is a ratio and its middle half.
func spread(r *reader, name, ratio string) string {
	return fmt.Sprintf("%.2f (%.2f to %.2f)", r.value(name, ratio), r.value(name, ratio+"-25%"), r.value(name, ratio+"-75%"))
}

// A question is a column of the table of peers.
type question struct{ head, name, unit string }

var questions = []question{
	{"who am I, 1 connection", "who-am-I/connections=1", "requests/s"},
	{"16", "who-am-I/connections=16", "requests/s"},
	{"64", "who-am-I/connections=64", "requests/s"},
	{"refreshes, 16", "refresh/connections=16", "refreshes/s"},
	{"logins, 4", "login/connections=4", "logins/s"},
	{"idle", "start", "MB-idle"},
	{"start", "start", "ms-to-first-answer"},
}

// peerTable is the table of all contestants.
func peerTable(r *reader) string {
	var b strings.Builder
	b.WriteString("| per second |")
	for _, q := range questions {
		fmt.Fprintf(&b, " %s |", q.head)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(questions)) + "\n")
	for _, c := range contestants {
		fmt.Fprintf(&b, "| %s |", c.label)
		for _, q := range questions {
			fmt.Fprintf(&b, " %s |", c.answer(r, q))
		}
		b.WriteString("\n")
	}
	return b.String()
}

func (c contestant) answer(r *reader, q question) string {
	name := c.benchmark(q.name)
	switch {
	case c.cannotRefresh && q.unit == "refreshes/s":
		return "none"
	case q.unit == "MB-idle":
		return fmt.Sprintf("%.0f MB", r.value(name, q.unit))
	case q.unit == "ms-to-first-answer":
		return inTime(r.value(name, q.unit))
	}
	return thousands(r.value(name, q.unit))
}
