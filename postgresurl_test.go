package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPostgresURLs: what is wrong with a URL is named, and no value in it is shown.
func TestPostgresURLs(t *testing.T) {
	garbage := filepath.Join(t.TempDir(), "garbage.pem")
	if err := os.WriteFile(garbage, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, url, says string }{ // S3CRET is the password in each
		{"a certificate that is not there", "postgres://u:S3CRET@127.0.0.1:1/db?sslrootcert=/nope", "sslrootcert: no such file or directory"},
		{"a certificate that is a directory", "postgres://u:S3CRET@127.0.0.1:1/db?sslrootcert=/tmp", "sslrootcert: is a directory"},
		{"a certificate that is none", "postgres://u:S3CRET@127.0.0.1:1/db?sslmode=verify-ca&sslrootcert=" + garbage, "sslrootcert: want a PEM file"},
		{"a certificate of its own without a key", "postgres://u:S3CRET@127.0.0.1:1/db?sslcert=" + garbage, "sslcert: want PEM files for both"},
		{"a certificate of its own and a key that are not there", "postgres://u:S3CRET@127.0.0.1:1/db?sslcert=/nope&sslkey=/nope", "no such file or directory"},
		{"a TLS mode that is none", "postgres://u:S3CRET@127.0.0.1:1/db?sslmode=S3CRET", "sslmode: want disable, allow, prefer"},
		{"a time limit that is none", "postgres://u:S3CRET@127.0.0.1:1/db?connect_timeout=S3CRET", "connect_timeout: want a number of seconds"},
		{"a server that is none", "postgres://u:S3CRET@127.0.0.1:1/db?target_session_attrs=S3CRET", "target_session_attrs: want read-write"},
		{"a mode that is none", "postgres://u:S3CRET@127.0.0.1:1/db?default_query_exec_mode=S3CRET", "default_query_exec_mode: want cache_statement"},
		{"a pool of no number", "postgres://u:S3CRET@127.0.0.1:1/db?pool_max_conns=S3CRET", "pool_max_conns: want a whole number"},
		{"a pool of one", "postgres://u:S3CRET@127.0.0.1:1/db?pool_max_conns=1", "pool_max_conns: want at least 2"},
		{"a pool of none, after a good parameter", "postgres://u:S3CRET@127.0.0.1:1/db?sslmode=disable&pool_max_conns=0", "pool_max_conns: want a whole number"},
		{"a port that is none", "postgres://u:S3CRET@127.0.0.1:http/db", "its port is no number"},
		{"a port that is too large", "postgres://u:S3CRET@127.0.0.1:65536/db", "its port is no number"},
		{"a password in the place of the port", "postgres://u:S3CRET/db", "its port is no number"},
		{"a password with a % in it", "postgres://u:%S3CRET@127.0.0.1:1/db", "a % is not followed by two"},
		{"a password with an @ in it", "postgres://u:a@S3CRET@127.0.0.1:1/db", "where the password ends"},
		{"a password that begins with an @", "postgres://u:@S3CRET@127.0.0.1:1/db", "where the password ends"},
		{"a password with a / in it", "postgres://u:1/S3CRET@127.0.0.1:1/db", "where the password ends"},
		{"a password with a / and a ? in it", "postgres://u:1/S3CRET?x=y@127.0.0.1:1/db", "where the password ends"},
		{"a password with an @ and a / in it", "postgres://u:a@b/S3CRET@127.0.0.1:1/db", "where the password ends"},
		{"a password with an @ and a ? in it", "postgres://u:a@b?S3CRET=@127.0.0.1:1/db", "where the password ends"},
		{"a password with an @, a comma and a number in it", "postgres://u:a@S3CRET:5,b@127.0.0.1:1/db", "where the password ends"},
		{"two parameters that are wrong", "postgres://u:S3CRET@127.0.0.1:1/db?sslmode=S3CRET&connect_timeout=S3CRET", "its parameters are not understood"},
		{"a name for a parameter that is a secret", "postgres://u:p@127.0.0.1:1/db?S3CRET", "its parameters are not understood"},
		{"nobody there", "postgres://u:S3CRET@127.0.0.1:1/db", "connection refused"},
		{"nobody there, and a password with a # in it", "postgres://u:1#S3CRET@127.0.0.1:1/db", "connection refused"},
		{"a password with a ? and a = in it", "postgres://u:1?S3CRET=x@127.0.0.1:1/db", "special characters in the password"},
		{"nobody there, and a password with a : in it", "postgres://u:1:S3CRET@127.0.0.1:1/db", "connection refused"},
		{"nobody there, and an escaped password", "postgres://u:%40%2FS3CRET@127.0.0.1:1/db", "connection refused"},
		{"nobody there, and a password among the parameters", "postgres://u@127.0.0.1:1/db?password=S3CRET@", "connection refused"},
		{"nobody there, and no host", "postgres:///db?host=127.0.0.1&port=1&user=u&password=S3@S3CRET", "connection refused"},
		{"a host that does not exist", "postgres://u:S3CRET@no-such-host.invalid/db", "no-such-host.invalid"},
		{"no socket there", "postgres:///db?host=/nowhere&user=u&password=S3CRET", "no such file or directory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := checkDatabaseURL(tt.url)
			if err == nil {
				_, err = inspectStore(t.Context(), config{DatabaseURL: tt.url, Rounds: 100_000})
			}
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v; want %s", err, tt.says)
			}
			if err != nil && strings.Contains(err.Error(), "S3CRET") {
				t.Errorf("the password is in %q", err)
			}
		})
	}
}

func TestGoodPostgresURLs(t *testing.T) {
	for _, url := range []string{
		"postgres://u@h/db?application_name=a@b",
		"postgres://h/db?user=u@tenant&password=p@ss",
		"postgres://u:p%40ss@h1:1,h2:2/db",
		"postgres://u:p@[::1]:5432/db",
		"postgresql:///db?host=/run/postgresql",
		"postgres://",
		"postgres://u:p@h/db?statement_cache_capacity=0",
	} {
		if err := checkDatabaseURL(url); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// TestPostgresVariables: a variable of libpq can be wrong as well.
func TestPostgresVariables(t *testing.T) {
	t.Setenv("PGSSLROOTCERT", "/nope/S3CRET")
	err := checkDatabaseURL("postgres://u:p@127.0.0.1:1/db?connect_timeout=2")
	if err == nil || !strings.Contains(err.Error(), "no such file or directory (in one of the variables PG…)") || strings.Contains(err.Error(), "S3CRET") {
		t.Errorf("got %v; want the variables named, and no value", err)
	}
}

// FuzzPostgresPassword: whatever a password has in it, none of it is taken for something
// that is shown.
func FuzzPostgresPassword(f *testing.F) {
	for _, s := range []string{"", "@", "/", "?", "#", "%", "%41", ":", "a@b/c?d=e", ",", "[", "]", "&sslmode=", "\x00"} {
		f.Add(s, "")
		f.Add("", s)
		f.Add("1"+s, s+"1")
	}
	f.Fuzz(func(t *testing.T, before, after string) {
		const secret = "S3CRETpw"
		db, err := openPostgres("postgres://u:"+before+secret+after+"@127.0.0.1:1/db", readWrite, slog.New(slog.DiscardHandler))
		if err != nil {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the password is in %q", err)
			}
			return
		}
		defer db.Close()
		if db.name != "PostgreSQL database db at 127.0.0.1:1" {
			t.Errorf("it is called %q", db.name)
		}
	})
}
