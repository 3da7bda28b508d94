package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// An outcome is how a run of the program ended. stderr has what main adds to it, too.
type outcome struct {
	code           int
	stdout, stderr string
}

// runProgram runs the program until ctx is done.
func runProgram(t *testing.T, ctx context.Context, environ []string, args ...string) outcome {
	t.Helper()
	stderr, err := os.CreateTemp("", "latchkey-stderr-*") // not t.TempDir(), which takes longer than the run
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(stderr.Name())
	defer stderr.Close()
	var stdout bytes.Buffer
	p := program{environ: environ, stdout: &stdout, stderr: stderr}
	err = p.run(ctx, args)
	logged, readErr := os.ReadFile(stderr.Name())
	if readErr != nil {
		t.Fatal(readErr)
	}
	if err != nil {
		logged = append(logged, err.Error()...)
	}
	return outcome{exitCode(err), stdout.String(), string(logged)}
}

// runCheck runs latchkey check, which waits for no database. It uses a free port unless
// environ has another: somebody may run the server on its default port.
func runCheck(t *testing.T, environ []string, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	return runProgram(t, ctx, append(slices.Clone(environ), "ADDR=localhost:0"), append([]string{"check"}, args...)...)
}

// goodKey is long enough for SECRET_KEY and stands in no tutorial.
const goodKey = "b1946ac92492d2347c6235b4d2611184591d7e0a58f3c6b2"

func TestCommandLine(t *testing.T) {
	taken, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	tests := []struct {
		name string
		args string
		code int
		says string // on standard output if the code is 0, else on standard error
	}{
		{"help is a command", "help", 0, "VARIABLE"},
		{"help of a command is help", "help serve", 0, "VARIABLE"},
		{"-h is help", "-h", 0, "VARIABLE"},
		{"--help is help", "--help", 0, "VARIABLE"},
		{"check --help is help", "check --help", 0, "VARIABLE"},
		{"version is a command", "version", 0, "latchkey "},
		{"-version is the version", "-version", 0, "latchkey "},
		{"--version is the version", "--version", 0, "latchkey "},
		{"check --version is the version", "check --version", 0, "latchkey "},
		{"-version after another flag is the version", "-addr :0 -version", 0, "latchkey "},
		{"an unknown flag names those there are", "-port 9000", 2, `unknown flag "-port"; want -addr, -db, -version or -h`},
		{"an unknown flag of check does too", "check --port=9000", 2, "-addr, -db, -version or -h"},
		{"a flag of one dash too many does too", "---addr :0", 2, "-addr, -db, -version or -h"},
		{"a setting without a flag names its variable", "-log-level debug", 2, "LOG_LEVEL has no flag"},
		{"a flag without its value is named", "-db", 2, "-db: missing value"},
		{"a flag that is there twice is refused", "-addr :0 -addr :0", 2, "-addr: is given twice"},
		{"a misspelt command is named", "srve", 2, `unknown command "srve"; want serve, check, ready, users, keys, apikeys, events, backup, completion, version or help`},
		{"a busy port says how to choose another", "-addr " + taken.Addr().String(), 1, "-addr or ADDR"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := runProgram(t, t.Context(), nil, strings.Fields(tt.args)...)
			text, other := got.stdout, got.stderr
			if tt.code != 0 {
				text, other = got.stderr, got.stdout
			}
			if got.code != tt.code || !strings.Contains(text, tt.says) || other != "" {
				t.Errorf("exit code %d, %q, %q; want %d and %q", got.code, got.stdout, got.stderr, tt.code, tt.says)
			}
		})
	}
}

// TestServe runs the server until it is told to stop.
func TestServe(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	r, stderr, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ended := make(chan error, 1)
	go func() {
		p := program{environ: []string{"LOG_FORMAT=json"}, stdout: io.Discard, stderr: stderr}
		ended <- p.run(ctx, []string{"-addr", "localhost:0"})
		stderr.Close()
	}()
	var said []string
	for lines := bufio.NewScanner(r); lines.Scan(); {
		var line struct{ Msg, Addr string }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
		said = append(said, line.Msg)
		if line.Msg != "listening" {
			continue
		}
		resp, err := testClient.Get("http://" + line.Addr + "/livez")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Errorf("it answers %d", resp.StatusCode)
		}
		stop()
	}
	if err := <-ended; err != nil || !slices.Contains(said, "stopping") || said[len(said)-1] != "stopped" {
		t.Errorf("it ends with %v, and says %q", err, said)
	}
}

func TestUsageFitsTerminal(t *testing.T) {
	text := usage()
	for line := range strings.Lines(text) {
		if line = strings.TrimSuffix(line, "\n"); len(line) > 80 || strings.TrimRight(line, " ") != line {
			t.Errorf("%d bytes, or a space at the end: %q", len(line), line)
		}
	}
	for _, s := range settings {
		if !regexp.MustCompile(`(?m)^`+s.name+` +\S`).MatchString(text) || !strings.Contains(text, s.fallback) {
			t.Errorf("%s or its default is not there", s.name)
		}
	}
}

// TestCheckPrintsSettings: check says what is in effect and where it came from, and
// no secret.
func TestCheckPrintsSettings(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "key")
	if err := os.WriteFile(file, []byte(goodKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "users.db")
	tests := []struct {
		name    string
		environ []string
		args    []string
		line    string // its words
	}{
		{"a default", nil, nil, "PBKDF2_ITERATIONS default 600000"},
		{"a variable", []string{"PBKDF2_ITERATIONS=700000"}, nil, "PBKDF2_ITERATIONS environment 700000"},
		{"a flag", []string{"ADDR=:1"}, []string{"-addr", "localhost:8123"}, "ADDR flag localhost:8123"},
		{"a secret in a file", []string{"SECRET_KEY_FILE=" + file}, nil, "SECRET_KEY file set"},
		{"a secret in a variable", []string{"SECRET_KEY=" + goodKey}, nil, "SECRET_KEY environment set"},
		{"no secret", nil, nil, "SECRET_KEY default not set"},
		{"no database", nil, nil, "DATABASE_URL default memory"},
		{"a file as database", []string{"SECRET_KEY=" + goodKey}, []string{"-db", "sqlite:" + path}, "DATABASE_URL flag sqlite:" + path},
		{"a database as SQLAlchemy has it", []string{"SECRET_KEY=" + goodKey, "DATABASE_URL=sqlite+aiosqlite:///" + path}, nil, "DATABASE_URL environment sqlite:" + path},
		{"a word in other letters", []string{"ALLOW_REGISTRATION=FALSE"}, nil, "ALLOW_REGISTRATION environment false"},
		{"a default that depends on the address", nil, nil, "CORS_ORIGINS default " + loopbackOrigins},
		{"the same elsewhere", []string{"ADDR=:0"}, nil, "CORS_ORIGINS default -"},
		{"a default that depends on the terminal", nil, nil, "LOG_FORMAT default json"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := runCheck(t, tt.environ, tt.args...)
			var lines []string
			for line := range strings.Lines(got.stdout) {
				lines = append(lines, strings.Join(strings.Fields(line), " "))
			}
			if got.code != 0 || !slices.Contains(lines, tt.line) {
				t.Errorf("exit code %d, %s%s; want the line %q", got.code, got.stdout, got.stderr, tt.line)
			}
			for _, s := range settings {
				if !strings.Contains(got.stdout, "\n"+s.name+" ") {
					t.Errorf("there is no line for %s", s.name)
				}
			}
			checkNoSecret(t, got, goodKey)
		})
	}
}

// checkNoSecret reports an output with the secret in it, in letters of any case.
func checkNoSecret(t *testing.T, got outcome, secret string) {
	t.Helper()
	text := got.stdout + got.stderr
	if plain, err := url.PathUnescape(text); err == nil {
		text += plain
	}
	if strings.Contains(strings.ToLower(text), strings.ToLower(secret)) {
		t.Errorf("the secret %q is in %q", secret, got.stdout+got.stderr)
	}
}

// aMarker is a password that nothing may print.
const aMarker = "S3CRETpw"

// misplaced returns runs of the program whose arguments or settings have a database's URL
// in them, where it belongs and where it does not.
func misplaced(t *testing.T, url string) map[string]struct{ environ, args []string } {
	t.Helper()
	file := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(file, []byte(url), 0o600); err != nil {
		t.Fatal(err)
	}
	key, flag := "SECRET_KEY="+goodKey, strings.TrimLeft(url, "-")
	runs := map[string]struct{ environ, args []string }{
		"in its variable":              {[]string{key, "DATABASE_URL=" + url}, nil},
		"in its variable, in quotes":   {[]string{key, `DATABASE_URL="` + url + `"`}, nil},
		"in its variable, with spaces": {[]string{key, "DATABASE_URL= " + url + " "}, nil},
		"in its file":                  {[]string{key, "DATABASE_URL_FILE=" + file}, nil},
		"in place of its file":         {[]string{key, "DATABASE_URL_FILE=" + url}, nil},
		"in its flag":                  {[]string{key}, []string{"-db", url}},
		"in its flag after =":          {[]string{key}, []string{"-db=" + url}},
		"in its flag twice":            {[]string{key}, []string{"-db", url, "-db", url}},
		"in the flag, without a space": {[]string{key}, []string{"-db" + url}},
		"in the flag, with a colon":    {[]string{key}, []string{"--db:" + url}},
		"as an argument":               {[]string{key}, []string{"--", url}},
		"as an argument after a flag":  {[]string{key}, []string{"-addr", "localhost:0", url}},
		"as a flag":                    {[]string{key}, []string{"-" + flag}},
		"in an unknown flag":           {[]string{key}, []string{"-database", url}},
		"in an unknown flag after =":   {[]string{key}, []string{"--database-url=" + url}},
		"in a variable of another":     {[]string{"DB_URL=" + url, "SQLALCHEMY_DATABASE_URI=" + url}, nil},
		"in place of both TLS files":   {[]string{"TLS_CERT_FILE=" + url, "TLS_KEY_FILE=" + url}, nil},
		"in place of a directory":      {[]string{"ALGORITHM=ES256", "PRIVATE_KEY=x", "PRIVATE_KEY_FALLBACKS_DIR=" + url}, nil},
		"in place of a private key":    {[]string{"ALGORITHM=ES256", "PRIVATE_KEY=" + url, "SECRET_KEY_FALLBACKS=" + url}, nil},
		"in a misspelt variable":       {[]string{"DATABSE_URL=" + url}, nil},
	}
	for _, s := range settings {
		if !s.secret {
			runs["in "+s.name] = struct{ environ, args []string }{[]string{s.name + "=" + url}, nil}
		}
	}
	return runs
}

// badURLs each have the marker where somebody meant a password to be.
var badURLs = []string{
	"postgres://u:" + aMarker + "@127.0.0.1:1/db",
	"postgres://u:a@" + aMarker + "@127.0.0.1:1/db",
	"postgres://u:" + aMarker + "@x@127.0.0.1:1/db",
	"postgres://u:" + aMarker + "/x@127.0.0.1:1/db",
	"postgres://u:1/" + aMarker + "@127.0.0.1:1/db",
	"postgres://u:" + aMarker + "?x@127.0.0.1:1/db",
	"postgres://u:1?" + aMarker + "@127.0.0.1:1/db",
	"postgres://u:1?" + aMarker + "=@127.0.0.1:1/db",
	"postgres://u:a@1?x=" + aMarker + "@127.0.0.1:1/db",
	"postgres://u:1/x?" + aMarker + "@127.0.0.1:1/db?sslmode=disable",
	"postgres://u:" + aMarker + "#x@127.0.0.1:1/db",
	"postgres://u:1#" + aMarker + "@127.0.0.1:1/db",
	"postgres://u:" + aMarker + "%@127.0.0.1:1/db",
	"postgres://u:%zz" + aMarker + "@127.0.0.1:1/db",
	"postgres://u: " + aMarker + " x@127.0.0.1:1/db",
	"postgres://u:" + aMarker + "@127.0.0.1:http/db",
	"postgres://u:" + aMarker + "@127.0.0.1:99999/db",
	"postgres://u:" + aMarker + "@[::1/db",
	"postgres://u:" + aMarker,
	"postgres://u%3A" + aMarker + "@127.0.0.1:1/db",
	"postgres://u%3A" + aMarker + "%40127.0.0.1/db",
	"postgres://127.0.0.1:1/db?user=u&password=" + aMarker,
	"postgres://127.0.0.1:1/db?password=a@" + aMarker,
	"postgres://127.0.0.1:1?password=a@" + aMarker,
	"postgres://127.0.0.1:1/db?sslmode=on&password=" + aMarker,
	"postgres://u:" + aMarker + "@127.0.0.1:1,127.0.0.1:2/db?sslmode=disable",
	"postgres:u:" + aMarker + "@127.0.0.1:1/db",
	"postgres//u:" + aMarker + "@127.0.0.1:1/db",
	"POSTGRES://u:" + aMarker + "@127.0.0.1:1/db",
	"postgresql+asyncpg://u:" + aMarker + "@127.0.0.1:1/db?ssl=require",
	"postgresql+psycopg2://u:a@" + aMarker + "@127.0.0.1:1/db",
	"jdbc:postgresql://127.0.0.1:1/db?user=u&password=" + aMarker,
	"mysql://u:" + aMarker + "@127.0.0.1:1/db",
	"sqlite://u:" + aMarker + "@127.0.0.1:1/db",
	"sqlite:u:" + aMarker + "@127.0.0.1:1/db",
	"sqlite:////u:" + aMarker + "@127.0.0.1:1/db",
	"sqlite:postgres://u:" + aMarker + "@127.0.0.1:1/db",
	"sqlite:users.db?password=" + aMarker,
	"sqlite:users.db?_pragma=key('" + aMarker + "')",
	"sqlite:///users.db?key=" + aMarker,
	"u:" + aMarker + "@127.0.0.1:1/db",
	"host=127.0.0.1 port=1 user=u password=" + aMarker,
	"host=127.0.0.1 port=1 user=u password='x " + aMarker + "' dbname=db",
	"password=" + aMarker,
}

// TestPasswordIsNotPrinted: no part of a database's URL that could be a secret is
// printed, whatever is wrong with it and wherever it stands.
func TestPasswordIsNotPrinted(t *testing.T) {
	t.Chdir(t.TempDir()) // for sqlite:
	for _, url := range badURLs {
		for name, tt := range misplaced(t, url) {
			checkNoSecret(t, runCheck(t, tt.environ, tt.args...), aMarker)
			if t.Failed() {
				t.Fatalf("%s: %s", url, name)
			}
		}
		checkNoSecret(t, runProgram(t, t.Context(), nil, url), aMarker)
		checkNoSecret(t, failedStart(t, url), aMarker)
	}
}

// failedStart starts a server that finds no database, and stops it while it waits for one.
func failedStart(t *testing.T, url string) outcome {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	stop() // no time to wait for one
	return runProgram(t, ctx, []string{"SECRET_KEY=" + goodKey, "ADDR=localhost:0", "DATABASE_URL=" + url})
}

// TestRandomURLsAreNotPrinted tries passwords with any special characters.
func TestRandomURLsAreNotPrinted(t *testing.T) {
	t.Chdir(t.TempDir())
	rnd := rand.New(rand.NewPCG(1, 2))
	special := []string{"", "a", "1", "@", "/", "?", "#", "%", "%40", "%2F", ":", "&", "=", " ", "'", `"`, `\`, ",", ";", "[", "]", "\n", "x=", "é"}
	junk := func() (text string) {
		for range rnd.IntN(4) {
			text += special[rnd.IntN(len(special))]
		}
		return text
	}
	schemes := []string{"postgres://", "postgresql://", "postgresql+asyncpg://", "sqlite:", "sqlite:///", "postgres:", "mysql://", ""}
	shapes := []string{"%[1]su:%[2]s@127.0.0.1:1/db", "%[1]su:%[2]s@127.0.0.1:1", "%[1]s127.0.0.1:1/db?password=%[2]s", "%[1]s127.0.0.1:1/db?user=u&password=%[2]s&sslmode=disable"}
	for range 2000 {
		url := fmt.Sprintf(shapes[rnd.IntN(len(shapes))], schemes[rnd.IntN(len(schemes))], junk()+aMarker+junk())
		checkNoSecret(t, runCheck(t, []string{"SECRET_KEY=" + goodKey, "DATABASE_URL=" + url}), aMarker)
		checkNoSecret(t, failedStart(t, url), aMarker)
		if t.Failed() {
			t.Fatalf("with %q", url)
		}
	}
}
