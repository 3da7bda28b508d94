package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	mathrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"latchkey/internal/pgtest"

	"latchkey/internal/loadtest"
)

// The benchmarks of import and export move manyUsers users, or as many as the environment
// variable IMPORT_USERS says.

// BenchmarkImport compares imports into an empty database with the database's own bulk load
// of the same rows into the same table, with every column and index that Latchkey gave it.
func BenchmarkImport(b *testing.B) {
	eachBulkStore(b, func(b *testing.B, store bulkStore) {
		users := importUsers(b)
		file := writeUsers(b, users)
		var seconds, peaks []float64
		ours := func() float64 {
			run := runCommand(b, store.fresh(b), "users", "import", file)
			seconds, peaks = append(seconds, run.seconds), append(peaks, run.peakMB)
			return float64(users) / run.seconds
		}
		theirs := func() float64 { return float64(users) / store.load(b, users) }
		for b.Loop() {
			reportPairs(b, "rows/s", "of-bulk-load", 3, ours, theirs)
		}
		b.ReportMetric(loadtest.Quantile(seconds, 0.5), "s")
		b.ReportMetric(loadtest.Quantile(peaks, 1), "MB-peak")
	})
}

// BenchmarkExport measures exports to a file.
func BenchmarkExport(b *testing.B) {
	eachBulkStore(b, func(b *testing.B, store bulkStore) {
		users := importUsers(b)
		url := store.fresh(b)
		runCommand(b, url, "users", "import", writeUsers(b, users))
		out := filepath.Join(b.TempDir(), "export.jsonl")
		var seconds, peaks []float64
		for b.Loop() {
			for range 3 {
				run := runCommand(b, url, "users", "export", "-o", out)
				seconds, peaks = append(seconds, run.seconds), append(peaks, run.peakMB)
				takeExport(b, out, users)
			}
		}
		b.ReportMetric(float64(users)/loadtest.Quantile(seconds, 0.5), "rows/s")
		b.ReportMetric(loadtest.Quantile(seconds, 0.5), "s")
		b.ReportMetric(loadtest.Quantile(peaks, 1), "MB-peak")
		b.ReportMetric(0, "ns/op") // says nothing here
	})
}

// takeExport checks that an export has a line for each user, and removes it.
func takeExport(b *testing.B, path string, users int) {
	b.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	if n := bytes.Count(text, []byte("\n")); n != users {
		b.Fatalf("exported %d lines; want %d", n, users)
	}
	if err := os.Remove(path); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkLoginBesideImport measures how long a server takes for logins and registrations,
// first alone, then while another process imports users into its SQLite file.
func BenchmarkLoginBesideImport(b *testing.B) {
	path := filepath.Join(b.TempDir(), "users.db")
	ours := startQuiet(b, onFile(path, "THROTTLE=off")...)
	ours.signIn(b)
	file := writeUsers(b, importUsers(b))
	for b.Loop() {
		alone := visitWhile(b, ours, func() { time.Sleep(20 * time.Second) })
		beside := visitWhile(b, ours, func() { runCommand(b, "sqlite:"+path, "users", "import", file) })
		b.ReportMetric(loadtest.Quantile(alone.waits, 0.5), "ms-p50-alone")
		b.ReportMetric(loadtest.Quantile(alone.waits, 1), "ms-most-alone")
		b.ReportMetric(loadtest.Quantile(beside.waits, 0.5), "ms-p50")
		b.ReportMetric(loadtest.Quantile(beside.waits, 0.99), "ms-p99")
		b.ReportMetric(loadtest.Quantile(beside.waits, 1), "ms-most")
		b.ReportMetric(float64(len(beside.waits)), "answers")
		b.ReportMetric(float64(alone.failed+beside.failed), "not-200")
		b.ReportMetric(0, "ns/op") // says nothing here
	}
}

// visits records how logins and registrations were answered.
type visits struct {
	waits  []float64 // in milliseconds
	failed int       // answers other than 200
}

// visitWhile calls do, and meanwhile logs in or registers 20 times a second.
func visitWhile(b *testing.B, p *quiet, do func()) *visits {
	b.Helper()
	v := new(visits)
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		v.goOn(ctx, b, p)
	}()
	defer func() {
		cancel()
		<-done
	}()
	do()
	return v
}

// goOn logs in and registers in turn until ctx ends. It logs a failure and goes on.
func (v *visits) goOn(ctx context.Context, b *testing.B, p *quiet) {
	requests := []func() string{
		func() string { return logInRequest(p, "bench", password) },
		func() string {
			return postBody(p.addr, "/users/", "application/json", newUser(rand.Text(), password))
		},
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ctx.Err() == nil; i++ {
		status, wait := visit(p.addr, requests[i%len(requests)]())
		v.waits = append(v.waits, wait)
		if status != "200" {
			v.failed++
			b.Logf("answered %s after %.0f ms", status, wait)
		}
		<-tick.C
	}
}

// visit sends a request over a new connection. It returns the status of the answer, or what
// went wrong, and how many milliseconds it took.
func visit(addr, request string) (status string, wait float64) {
	began := time.Now()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err.Error(), 0
	}
	defer c.Close()
	status = exchange(c, bufio.NewReader(c), request)
	return status, float64(time.Since(began).Microseconds()) / 1000
}

// importUsers returns how many users to import.
func importUsers(b *testing.B) int {
	b.Helper()
	text := os.Getenv("IMPORT_USERS")
	if text == "" {
		return manyUsers
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		b.Fatalf("IMPORT_USERS is %q; want a number of users", text)
	}
	return n
}

// A newcomer is a line of a file for users import, about 300 bytes long.
type newcomer struct {
	Username         string     `json:"username"`
	PasswordHash     string     `json:"password_hash"`
	Email            string     `json:"email"`
	FullName         string     `json:"full_name"`
	Disabled         bool       `json:"disabled"`
	Scopes           []string   `json:"scopes"`
	CreatedAt        time.Time  `json:"created_at"`
	TokensValidAfter *time.Time `json:"tokens_valid_after"`
}

// writeUsers writes a file for users import and returns its path.
func writeUsers(b *testing.B, users int) string {
	b.Helper()
	return writeLines(b, users, newcomerAt)
}

// writeLines is writeUsers with other users. The lines are in random order, so each user goes to
// another page of the indexes than the one before.
func writeLines(b *testing.B, users int, line func(i int) newcomer) string {
	b.Helper()
	file, err := os.Create(filepath.Join(b.TempDir(), "users.jsonl"))
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	w := bufio.NewWriter(file)
	lines := json.NewEncoder(w)
	for _, i := range mathrand.Perm(users) {
		lines.Encode(line(i)) // its error is that of Flush
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	return file.Name()
}

// newcomerAt returns user i, with a random hash that no password matches.
func newcomerAt(i int) newcomer {
	salt, key := make([]byte, 16), make([]byte, 32)
	rand.Read(salt)
	rand.Read(key)
	name := fmt.Sprintf("%07d.Lindqvist", i)
	return newcomer{
		Username:     name,
		PasswordHash: passlibHash(29_000, salt, key),
		Email:        name + "@mail.example.com",
		FullName:     fmt.Sprint("Margareta Lindqvist ", i),
		Scopes:       []string{},
		CreatedAt:    time.Date(2024, 1, 1, 0, 0, i, 0, time.UTC),
	}
}

// A commandRun is the time and the peak memory that a command took.
type commandRun struct{ seconds, peakMB float64 }

// runCommand runs a command of Latchkey on a database, to its end.
func runCommand(b *testing.B, url string, args ...string) commandRun {
	b.Helper()
	var output strings.Builder
	cmd := invocation{args: args, env: []string{"DATABASE_URL=" + url}}.command(b.Context())
	cmd.Stdout, cmd.Stderr = &output, &output
	began := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	exited := make(chan struct{})
	peak := make(chan float64, 1)
	go func() { peak <- peakUntil(exited, cmd.Process.Pid) }()
	err := cmd.Wait()
	took := time.Since(began)
	close(exited)
	if err != nil {
		b.Fatalf("latchkey %s: %v\n%s", strings.Join(args, " "), err, &output)
	}
	return commandRun{took.Seconds(), <-peak}
}

// peakUntil watches a process until it has exited, and returns its peak resident memory in
// megabytes, or 0 on a system without /proc. The maximum that wait4 returns would not do: it
// includes the memory of the parent, which a new process shares until it calls exec.
func peakUntil(exited <-chan struct{}, pid int) (peak float64) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-exited:
			return peak
		case <-tick.C:
			peak = max(peak, peakOf(pid))
		}
	}
}

var peakLine = regexp.MustCompile(`VmHWM:\s*(\d+) kB`)

// peakOf returns the peak of a process so far, or 0 if it has exited.
func peakOf(pid int) float64 {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)) // fails without /proc
	m := peakLine.FindSubmatch(status)
	if m == nil {
		return 0
	}
	kb, _ := strconv.ParseFloat(string(m[1]), 64) // digits only
	return kb / 1000
}

// A bulkStore has two databases: one to import into, one to bulk load into.
type bulkStore interface {
	// fresh replaces the first database with an empty one and returns its URL.
	fresh(b *testing.B) string

	// settle does for the first database at once what a server of it does in the background.
	settle(b *testing.B)

	// load loads the users of the first database into the same table of the second, and
	// returns how many seconds the load took.
	load(b *testing.B, users int) float64
}

// eachBulkStore runs a benchmark on both databases.
func eachBulkStore(b *testing.B, bench func(*testing.B, bulkStore)) {
	b.Run("SQLite", func(b *testing.B) {
		dir := b.TempDir()
		bench(b, &bulkFiles{filepath.Join(dir, "users.db"), filepath.Join(dir, "bulk.db")})
	})
	b.Run("PostgreSQL", func(b *testing.B) {
		bench(b, &bulkCluster{startPostgres(b)})
	})
}

// importOne imports one user, so that Latchkey creates its tables.
func importOne(b *testing.B, url string) {
	b.Helper()
	runCommand(b, url, "users", "import", writeUsers(b, 1))
}

// bulkFiles are the paths of two SQLite files.
type bulkFiles struct{ imported, loaded string }

func (f *bulkFiles) fresh(b *testing.B) string {
	b.Helper()
	removeDatabase(b, f.imported)
	return "sqlite:" + f.imported
}

func (f *bulkFiles) settle(*testing.B) {} // there is no server

// removeDatabase removes a SQLite file and those beside it, if they exist.
func removeDatabase(b *testing.B, path string) {
	b.Helper()
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			b.Fatal(err)
		}
	}
}

// bulkLoad is a script that copies all users from one SQLite file to another with SQLite's C
// library, one prepared INSERT and the pragmas of an import. It prints how many seconds the
// inserts and commits took, without the time to read the rows.
const bulkLoad = `
import itertools, sqlite3, sys, time
source = sqlite3.connect(sys.argv[1])
target = sqlite3.connect(sys.argv[2], isolation_level=None)
for pragma in "journal_mode=WAL", "synchronous=FULL", "cache_size=-65536":
    target.execute("PRAGMA " + pragma)
target.execute("PRAGMA wal_autocheckpoint=20000")
columns = [row[1] for row in source.execute("PRAGMA table_info(users)")]
names, values = ", ".join(columns), ", ".join("?" * len(columns))
insert = "INSERT INTO users (%s) VALUES (%s)" % (names, values)
rows = source.execute("SELECT %s FROM users ORDER BY id" % names)
seconds = 0
while batch := list(itertools.islice(rows, 10_000)):
    began = time.monotonic()
    target.execute("BEGIN IMMEDIATE")
    target.executemany(insert, batch)
    target.execute("COMMIT")
    seconds += time.monotonic() - began
print(seconds)
`

func (f *bulkFiles) load(b *testing.B, users int) float64 {
	b.Helper()
	needTools(b, "python3")
	removeDatabase(b, f.loaded)
	importOne(b, "sqlite:"+f.loaded)
	carryOut(b, f.loaded, "DELETE FROM users")
	cmd := exec.CommandContext(b.Context(), "python3", "-c", bulkLoad, f.imported, f.loaded)
	out, err := cmd.Output()
	if err != nil {
		b.Fatalf("python3: %v\n%s", err, stderrOf(err))
	}
	checkUsers(b, ask(b, f.loaded, "SELECT count(search) FROM users"), users)
	seconds, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
	if err != nil {
		b.Fatal(err)
	}
	return seconds
}

// stderrOf returns what a failed program wrote to its standard error.
func stderrOf(err error) []byte {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.Stderr
	}
	return nil
}

// A bulkCluster has the databases "imported" and "bulk".
type bulkCluster struct{ *pgtest.Cluster }

func (c *bulkCluster) fresh(b *testing.B) string {
	b.Helper()
	return c.create(b, "imported")
}

func (c *bulkCluster) settle(b *testing.B) {
	b.Helper()
	execute(b, c.URL("imported"), "VACUUM ANALYZE")
}

// create replaces a database with an empty one and returns its URL. The checkpoint is so that
// the server has nothing left to write when the clock starts.
func (c *bulkCluster) create(b *testing.B, name string) string {
	b.Helper()
	execute(b, c.URL("postgres"),
		"DROP DATABASE IF EXISTS "+name, "CREATE DATABASE "+name, "CHECKPOINT")
	return c.URL(name)
}

func (c *bulkCluster) load(b *testing.B, users int) float64 {
	b.Helper()
	bulk := c.create(b, "bulk")
	importOne(b, bulk)
	execute(b, bulk, "TRUNCATE users CASCADE")
	columns := askPostgres(b, bulk, `SELECT string_agg(quote_ident(column_name), ', ')
		FROM information_schema.columns
		WHERE table_schema = 'public' AND table_name = 'users' AND is_generated = 'NEVER'`)
	rows := c.copyOut(b, "SELECT "+columns+" FROM users ORDER BY id")
	defer rows.Close()
	conn := connect(b, bulk)
	defer conn.Close(b.Context())
	began := time.Now()
	_, err := conn.PgConn().CopyFrom(b.Context(), rows, "COPY users ("+columns+") FROM STDIN")
	took := time.Since(began)
	if err != nil {
		b.Fatal(err)
	}
	checkUsers(b, askPostgres(b, bulk, "SELECT CAST(count(search) AS TEXT) FROM users"), users)
	return took.Seconds()
}

// copyOut copies the rows of a query of the import to a file. Then it drops that database, so
// that a vacuum of its tables cannot slow down the bulk load.
func (c *bulkCluster) copyOut(b *testing.B, query string) *os.File {
	b.Helper()
	file, err := os.Create(filepath.Join(b.TempDir(), "rows"))
	if err != nil {
		b.Fatal(err)
	}
	conn := connect(b, c.URL("imported"))
	_, err = conn.PgConn().CopyTo(b.Context(), file, "COPY ("+query+") TO STDOUT")
	if err := errors.Join(err, conn.Close(b.Context())); err != nil {
		b.Fatal(err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		b.Fatal(err)
	}
	execute(b, c.URL("postgres"), "DROP DATABASE imported", "CHECKPOINT")
	return file
}

// askPostgres returns the text that a query selects.
func askPostgres(b *testing.B, url, query string) (text string) {
	b.Helper()
	conn := connect(b, url)
	defer conn.Close(b.Context())
	if err := conn.QueryRow(b.Context(), query).Scan(&text); err != nil {
		b.Fatal(err)
	}
	return text
}

// checkUsers fails the benchmark if the bulk load did not load all users with their search texts,
// which cost the import time, too.
func checkUsers(b *testing.B, got string, want int) {
	b.Helper()
	if got != strconv.Itoa(want) {
		b.Fatalf("%s users were loaded; want %d", got, want)
	}
}
