package main

import (
	"encoding/json"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestKeyCommands is the life of a program's keys on the command line. Each row finds what those
// before it have left.
func TestKeyCommands(t *testing.T) {
	c := commandRunner{t, "sqlite:" + filepath.Join(t.TempDir(), "users.db")}
	id := "AAAAAAAAAAAAAAAA" // of the last key that was made
	const aKey = `^lk_[A-Z2-7]{16}_[A-Z2-7]{26}\n$`
	for _, tt := range []struct {
		name, args string
		code       int
		says       string // an expression: all of standard output if the code is 0, else in standard error
	}{
		{"no file is not an empty store", "apikeys add robot -name job", 1, "does not exist; want the path"},
		{"a user who is a program", "users add robot -service -scope read -scope write", 0, `^added "robot"\n$`},
		{"again", "users add Robot -service", 1, `the name "Robot" is taken`},
		{"a key", "apikeys add robot -name job", 0, aKey},
		{"with a scope and a life", "apikeys add ROBOT -name job -scope write -scope read -days 366", 0, aKey},
		{"that never expires", "apikeys add robot -days never -name forever", 0, aKey},
		{"no name", "apikeys add robot", 2, "missing -name; want"},
		{"an empty name", "apikeys add robot -name=", 2, "-name: String should have at least 1 character"},
		{"a name that is no text", "apikeys add robot -name \xff", 2, "-name: want UTF-8"},
		{"a scope that the user lacks", "apikeys add robot -name job -scope read -scope admin", 1, `-scope: "robot" lacks admin; want: latchkey users grant robot admin$`},
		{"a scope that is none", "apikeys add robot -name job -scope a,b", 2, `-scope: "a,b" is not a valid scope`},
		{"no day", "apikeys add robot -name job -days 0", 2, `-days: "0"; want 1 to 366, or never`},
		{"too many days", "apikeys add robot -name job -days 367", 2, "want 1 to 366, or never"},
		{"a life that is none", "apikeys add robot -name job -days ever", 2, "want 1 to 366, or never"},
		{"nobody's key", "apikeys add bob -name job", 1, `there is no user "bob"`},
		{"the list", "apikeys list robot", 0, `^ID +NAME +SCOPES +CREATED +EXPIRES +LAST USED\n\w{16}  job +2\S+ \S+ +2\S+ \S+  never\n\w{16}  job      read write .*\n\w{16}  forever  .* never +never\n$`},
		{"the list as JSON", "apikeys list robot -json", 0, `"name":"forever","scope":"","created_at":"2[^"]+","expires_at":null,"last_used_at":null}\n$`},
		{"the list of nobody", "apikeys list bob", 1, `there is no user "bob"`},
		{"revoked", "apikeys revoke robot #", 0, `^revoked the API key # of "robot"\n$`},
		{"revoked again", "apikeys revoke robot #", 1, `"robot" has no API key with this ID; want one from: latchkey apikeys list robot$`},
		{"something that is no ID", "apikeys revoke robot secret0123", 1, `"robot" has no API key with this ID`},
		{"neither an ID nor all", "apikeys revoke robot", 2, "want the ID of a key, or -all"},
		{"both", "apikeys revoke robot # -all", 2, "want the ID of a key, or -all"},
		{"two IDs", "apikeys revoke robot # secret0123", 2, `unexpected argument; want latchkey apikeys revoke USER \[ID\]`},
		{"no user", "apikeys revoke", 2, `missing argument; want latchkey apikeys revoke USER \[ID\]`},
		{"a disabled user", "users disable robot", 0, "disabled"},
		{"whom no key is made for", "apikeys add robot -name job", 1, `"robot" is disabled; want: latchkey users enable robot$`},
		{"all", "apikeys revoke robot -all", 0, `^revoked 2 API keys of "robot"\n$`},
		{"all of none", "apikeys revoke robot -all", 0, `^revoked 0 API keys of "robot"\n$`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			args := strings.Fields(strings.ReplaceAll(tt.args, "#", id))
			says := regexp.MustCompile(strings.ReplaceAll(tt.says, "#", id))
			got := c.run("", args...)
			text := got.stdout
			if tt.code != 0 {
				text = got.stderr
			}
			if got.code != tt.code || !says.MatchString(text) || tt.code != 0 && got.stdout != "" {
				t.Errorf("exit code %d, %q, %q; want %d and %s", got.code, got.stdout, got.stderr, tt.code, says)
			}
			if tt.says == aKey {
				id = strings.Split(got.stdout, "_")[1]
			}
			if strings.Contains(got.stdout+got.stderr, "secret0123") || tt.says != aKey && strings.Contains(got.stdout+got.stderr, "lk_") {
				t.Errorf("it shows a secret: %q, %q", got.stdout, got.stderr)
			}
		})
	}
	c.checkKeyEvents()
	c.checkServiceExport()
}

// checkServiceExport checks that a user without a password can be exported and imported.
func (c commandRunner) checkServiceExport() {
	c.t.Helper()
	exported := c.run("", "users", "export")
	if !strings.Contains(exported.stdout, `"username":"robot","password_hash":null,`) {
		c.t.Errorf("exported: %+v", exported)
	}
	again := commandRunner{c.t, "sqlite:" + filepath.Join(c.t.TempDir(), "again.db")}
	if got := again.run(exported.stdout, "users", "import", "-"); got.code != 0 || !strings.Contains(got.stdout, "added 1,") {
		c.t.Errorf("imported: %+v", got)
	}
	if got := again.run("", "users", "export"); got.stdout != exported.stdout {
		c.t.Errorf("exported again: %s; want %s", got.stdout, exported.stdout)
	}
	if got := again.run("", "apikeys", "add", "robot", "-name", "job"); got.code != 1 || !strings.Contains(got.stderr, "is disabled") {
		c.t.Errorf("a key of one who was exported disabled: %+v", got)
	}
}

// checkKeyEvents checks that the commands above are recorded, without any key.
func (c commandRunner) checkKeyEvents() {
	c.t.Helper()
	got := c.run("", "events", "-user", "robot")
	var names []string
	for line := range strings.Lines(got.stdout) {
		var e struct{ Event, Actor, Detail string }
		if err := json.Unmarshal([]byte(line), &e); err != nil || !strings.HasPrefix(e.Actor, "cli:") {
			c.t.Errorf("the event %s, %v", line, err)
		}
		names = append(names, e.Event+" "+regexp.MustCompile(`\w{16} `).ReplaceAllString(e.Detail, ""))
	}
	want := "user_created +read +write service, authn_token_created job, authn_token_created job, authn_token_created forever, " +
		"authn_token_delete forever, authn_account_disabled , authn_token_delete all API keys, authn_token_delete all API keys"
	if strings.Join(names, ", ") != want || strings.Contains(got.stdout, "lk_") {
		c.t.Errorf("the events are %s; want %s", strings.Join(names, ", "), want)
	}
}

// TestKeyLimitOfCommand: the command line makes no more keys than the API.
func TestKeyLimitOfCommand(t *testing.T) {
	c := commandRunner{t, "sqlite:" + filepath.Join(t.TempDir(), "users.db")}
	c.run("", "users", "add", "robot", "-service")
	for i := range maxAPIKeys {
		if got := c.run("", "apikeys", "add", "robot", "-name", "job"); got.code != 0 {
			t.Fatalf("key %d: %+v", i+1, got)
		}
	}
	got := c.run("", "apikeys", "add", "robot", "-name", "job")
	if got.code != 1 || got.stdout != "" || !strings.Contains(got.stderr, `"robot" has 50 API keys already, and that is the limit; revoke one first`) {
		t.Errorf("one more: %+v", got)
	}
}

// TestShellWord: a name in a command that is pasted is one word, and does nothing.
func TestShellWord(t *testing.T) {
	for text, want := range map[string]string{
		"robot":     "robot",
		"用户.a-b_1@": "用户.a-b_1@",
		"":          "''",
		"a b":       "'a b'",
		"it's":      `'it'\''s'`,
		"$(rm -r)":  "'$(rm -r)'",
		"`id`":      "'`id`'",
		"a;b":       "'a;b'",
		"~root":     "'~root'",
		"a\u202eb":  `'a\u202eb'`,
	} {
		if got := shellWord(text); got != want {
			t.Errorf("%q is %s; want %s", text, got, want)
		}
	}
}
