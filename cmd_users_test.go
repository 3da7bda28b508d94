package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A commandRunner runs commands on one database.
type commandRunner struct {
	t   *testing.T
	url string
}

// run runs a command that finds input on its standard input.
func (c commandRunner) run(input string, args ...string) outcome {
	c.t.Helper()
	stdin, stderr := c.file(input), c.file("")
	defer stdin.Close()
	defer stderr.Close()
	var stdout bytes.Buffer
	p := program{environ: []string{"DATABASE_URL=" + c.url, "PBKDF2_ITERATIONS=100000"}, stdin: stdin, stdout: &stdout, stderr: stderr}
	err := p.run(c.t.Context(), args)
	said, readErr := os.ReadFile(stderr.Name())
	if readErr != nil {
		c.t.Fatal(readErr)
	}
	if err != nil {
		said = append(said, err.Error()...)
	}
	return outcome{exitCode(err), stdout.String(), string(said)}
}

func (c commandRunner) file(text string) *os.File {
	c.t.Helper()
	file, err := os.CreateTemp(c.t.TempDir(), "")
	if err == nil {
		_, err = file.WriteString(text)
	}
	if err == nil {
		_, err = file.Seek(0, 0)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return file
}

// TestUsersCommands is the life of a few users on the command line. Each row finds what those
// before it have left.
func TestUsersCommands(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.db")
	c := commandRunner{t, "sqlite:" + path}
	for _, tt := range []struct {
		name, args string
		input      string
		code       int
		says       string // on standard output if the code is 0, else on standard error
	}{
		{"no file is not an empty store", "list", "", 1, "does not exist; want the path"},
		{"nor for a change", "grant bob admin", "", 1, "does not exist; want the path"},
		{"a short password", "add Bob", "short\n", 1, "password: String should have at least 8 characters"},
		{"a common password", "add Bob", "password123\n", 1, "password: the password is too common"},
		{"a password that is refused makes no file", "list", "", 1, "does not exist"},
		{"a name that is none", "add me", goodPassword, 2, "name: the username must not be 'me'"},
		{"an address that is none", "add Bob -email x", goodPassword, 2, "-email: value is not a valid email address: the @-sign is missing"},
		{"a scope that is none", "add Bob -scope a,b", goodPassword, 2, `-scope: "a,b" is not a valid scope`},
		{"a full name that is no text", "add Bob -full-name \xff", goodPassword, 2, "-full-name: want UTF-8"},
		{"a user", "add Bob -scope write -scope admin -email b@Example.com -full-name <B>&", goodPassword + "\n", 0, `added "Bob"`},
		{"a flag before the name, with two dashes", "add --email c@example.com carol", goodPassword, 0, `added "carol"`},
		{"a name that is taken", "add ＢＯＢ", goodPassword, 1, `the name "ＢＯＢ" is taken`},
		{"the list", "list", "", 0, "Bob    b@example.com  admin write  2"},
		{"as JSON", "list -json", "", 0, `{"username":"Bob","email":"b@example.com","full_name":"<B>&","disabled":false,"scopes":["admin","write"],"created_at":"2`},
		{"those with a scope", "list -scope admin", "", 0, "Bob"},
		{"those with a text in the address, in any case", "list -q C@EXAMPLE", "", 0, "carol"},
		{"a scope more, by another spelling of the name", "grant BOB read", "", 0, `scopes of "Bob": admin, read, write`},
		{"again", "grant bob read", "", 0, `scopes of "Bob": admin, read, write`},
		{"a scope less", "revoke bob read admin", "", 0, `scopes of "Bob": write`},
		{"the last", "revoke bob write nothing", "", 0, `scopes of "Bob": none`},
		{"a scope that is none is not taken away", "revoke bob any", "", 2, `"any" is reserved`},
		{"no scope", "grant bob", "", 2, "missing argument; want latchkey users grant NAME SCOPE..."},
		{"nobody's scopes", "grant dave read", "", 1, `there is no user "dave"`},
		{"disabled", "disable bob", "", 0, `disabled "Bob"`},
		{"again", "disable bob", "", 0, `disabled "Bob"`},
		{"those who are disabled", "list -disabled", "", 0, "  disabled\n"},
		{"enabled", "enable bob", "", 0, `enabled "Bob"`},
		{"another password", "passwd bob", "another " + goodPassword, 0, `changed the password of "Bob"`},
		{"a password in an argument", "passwd bob secret0123", "", 2, "unexpected argument; want latchkey users passwd NAME"},
		{"a password in a flag", "passwd bob -password=secret0123", "", 2, `unknown flag "-password"; want -db`},
		{"a flag with a value it has not", "list -json=secret0123", "", 2, "-json: takes no value"},
		{"delete without a terminal", "delete bob", "", 2, "give -yes"},
		{"deleted", "delete bob -yes", "", 0, `deleted "Bob"`},
		{"deleted again", "delete bob -yes", "", 1, `there is no user "bob"`},
		{"a name that begins with a dash", "add -- -bob", goodPassword, 0, `added "-bob"`},
		{"a user called help", "add help", goodPassword, 0, `added "help"`},
		{"export", "export", "", 0, `"username":"carol","password_hash":"$pbkdf2-sha256$100000$`},
	} {
		got := c.run(tt.input, append([]string{"users"}, strings.Fields(tt.args)...)...)
		text := got.stdout
		if tt.code != 0 {
			text = got.stderr
			if got.stdout != "" {
				t.Errorf("%s: %q on standard output", tt.name, got.stdout)
			}
		}
		if got.code != tt.code || !strings.Contains(text, tt.says) {
			t.Errorf("%s: exit code %d, %q, %q; want %d and %q", tt.name, got.code, got.stdout, got.stderr, tt.code, tt.says)
		}
		if strings.Contains(got.stdout+got.stderr, "secret0123") || tt.name != "export" && strings.Contains(got.stdout+got.stderr, "$pbkdf2") {
			t.Errorf("%s: it shows a secret: %q, %q", tt.name, got.stdout, got.stderr)
		}
	}
}

// TestImportCommand: what an import prints, and how it ends.
func TestImportCommand(t *testing.T) {
	c := commandRunner{t, "sqlite:" + filepath.Join(t.TempDir(), "users.db")}
	good, bad := c.file(namesFile("alice", "bob")).Name(), c.file(namesFile("alice", "Alice", "carol")).Name()
	tried := c.file(userLine("password_hash", `"`+newHasher(1000).hashPassword(goodPassword)+`"`)).Name()
	for _, tt := range []struct {
		name, args   string
		input        string
		code         int
		stdout, says string
	}{
		{"a dry run on no file", good + " -dry-run", "", 0, "would add 2, there already 0, refused 0; administrators 0; hashes: pbkdf2-sha256 29: 2\n", ""},
		{"it has made no file", good + " -dry-run", "", 0, "would add 2", ""},
		{"a bad line", bad, "", 1, "", "line 2: username: \"Alice\" is already used by \"alice\" on line 1 (names ignore case and width)\nnothing was added"},
		{"a bad line that is skipped", bad + " -skip-bad", "", 1, "added 2, there already 0, refused 1", "1 user refused"},
		{"a dry run names bad lines", bad + " -dry-run", "", 1, "would add 0, there already 2, refused 1", "line 2"},
		{"the rest", good, "", 0, "added 1, there already 1, refused 0", ""},
		{"again", good, "", 0, "added 0, there already 2, refused 0; administrators 0\n", ""},
		{"from standard input", "-", namesFile("dave"), 0, "added 1", ""},
		{"the password is right", tried + " -try ALICE", goodPassword, 0, "added 0, there already 1", `the password of "alice" matches the hash`},
		{"the password is wrong", tried + " -try alice", "wrong " + goodPassword, 1, "", `the password of "alice" does not match the hash (pbkdf2-sha256 1000); nothing was added`},
		{"the user is not in the file", tried + " -try eve", goodPassword, 1, "", `the file has no valid line for "eve"`},
		{"the password would be in the way of the users", "- -try alice", namesFile("alice"), 2, "", "-try reads the password from standard input"},
		{"no such file", "nowhere.jsonl", "", 1, "", "nowhere.jsonl: no such file"},
	} {
		got := c.run(tt.input, append([]string{"users", "import"}, strings.Fields(tt.args)...)...)
		if got.code != tt.code || !strings.HasPrefix(got.stdout, tt.stdout) || tt.stdout == "" && got.stdout != "" || !strings.Contains(got.stderr, tt.says) {
			t.Errorf("%s: exit code %d, %q, %q; want %d, %q and %q", tt.name, got.code, got.stdout, got.stderr, tt.code, tt.stdout, tt.says)
		}
	}
}

// TestCommandsNeedADatabase: with users in memory there is nothing that a command could reach.
func TestCommandsNeedADatabase(t *testing.T) {
	file := commandRunner{t: t}.file(namesFile("alice")).Name()
	for _, args := range []string{"list", "add bob", "passwd bob", "grant bob x", "revoke bob x", "disable bob", "enable bob", "delete bob -yes", "import " + file, "import -dry-run " + file, "export"} {
		if got := (commandRunner{t, ""}).run(goodPassword, append([]string{"users"}, strings.Fields(args)...)...); got.code != 2 || !strings.Contains(got.stderr, "in the memory of the server") {
			t.Errorf("%s: exit code %d, %q", args, got.code, got.stderr)
		}
	}
}

// TestHelpOfCommands: each command explains itself and each of its flags, within 80 columns.
func TestHelpOfCommands(t *testing.T) {
	var check func(name string, c command)
	check = func(name string, c command) {
		words := strings.Fields(name)[1:]
		got := runProgram(t, context.Background(), nil, append(words, "-h")...)
		again := runProgram(t, context.Background(), nil, append([]string{"help"}, words...)...)
		if got.code != 0 || got.stderr != "" || got.stdout != again.stdout {
			t.Errorf("%s -h: %d, %q, and help: %q", name, got.code, got.stdout+got.stderr, again.stdout)
		}
		for line := range strings.Lines(got.stdout) {
			if len(line) > helpWidth+1 {
				t.Errorf("%s: %d bytes: %s", name, len(line), line)
			}
		}
		if strings.Contains(got.stdout, "NAME:") || !strings.Contains(got.stdout, c.args) {
			t.Errorf("%s is explained as %q", name, got.stdout)
		}
		for _, o := range c.options {
			if o.meaning == "" || !strings.Contains(got.stdout, "  -"+o.name+" ") {
				t.Errorf("%s does not explain -%s", name, o.name)
			}
		}
		for _, sub := range c.sub {
			check(name+" "+sub.name, sub)
		}
	}
	for _, c := range commands() {
		if c.name != "help" {
			check("latchkey "+c.name, c)
		}
	}
}
