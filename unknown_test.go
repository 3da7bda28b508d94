package main

import (
	"os"
	"slices"
	"strings"
	"testing"
)

func TestUnknownVariables(t *testing.T) {
	tests := []struct {
		name    string
		environ []string
		meant   string // "": no warning
	}{
		{"a letter is missing", []string{"SECRT_KEY=x"}, "SECRET_KEY"},
		{"a letter too many", []string{"SECRET_KEYS=x"}, "SECRET_KEY"},
		{"another letter", []string{"THROTTLA=off"}, "THROTTLE"},
		{"two letters swapped", []string{"DATABSAE_URL=x"}, "DATABASE_URL"},
		{"two letters swapped, twice", []string{"ESCRET_KYE=x"}, "SECRET_KEY"},
		{"two letters are missing", []string{"DTABASEURL=x"}, "DATABASE_URL"},
		{"a hyphen", []string{"SECRET-KEY=x"}, "SECRET_KEY"},
		{"three letters too many", []string{"SECRET_KEYABC=x"}, ""},
		{"small letters", []string{"secret_key=x"}, "SECRET_KEY"},
		{"our name before it", []string{"LATCHKEY_ADDR=:1"}, "ADDR"},
		{"a file of a misspelt name", []string{"SECRT_KEY_FILE=x"}, "SECRET_KEY_FILE"},
		{"a misspelt file", []string{"PRIVATE_KEY_FLIE=x"}, "PRIVATE_KEY_FILE"},
		{"a file of what is no secret", []string{"ISSUER_FILE=x"}, "ISSUER"},
		{"a letter is missing in a short name", []string{"ADR=:1"}, "ADDR"},
		{"two letters too many in a short name", []string{"LADDRS=:1"}, ""},
		{"two letters are missing in a short name", []string{"AD=:1"}, ""},
		{"a short name within a longer one", []string{"HOST_ADDR=10.0.0.1"}, ""},
		{"a word that is a letter from a short name", []string{"ISSUE=14"}, ""},
		{"no underline", []string{"SECRETKEY=x"}, "SECRET_KEY"},
		{"a letter is missing in the middle", []string{"DATABSE_URL=x"}, "DATABASE_URL"},
		{"the singular", []string{"TRUSTED_PROXY=::1"}, "TRUSTED_PROXIES"},
		{"the singular of another", []string{"CORS_ORIGIN=x"}, "CORS_ORIGINS"},
		{"throttle with one t", []string{"THROTLE=off"}, "THROTTLE"},
		{"a setting beside it", []string{"THROTLE=off", "THROTTLE=on"}, "THROTTLE"},

		{"PORT", []string{"PORT=8080"}, "ADDR"},
		{"PORT beside another address", []string{"PORT=8080", "ADDR=localhost:1"}, "ADDR"},
		{"PORT that is in ADDR", []string{"PORT=8080", "ADDR=:8080"}, ""},
		{"HOST", []string{"HOST=0.0.0.0"}, "ADDR"},
		{"HOST that is in ADDR", []string{"HOST=0.0.0.0", "ADDR=0.0.0.0:1"}, ""},
		{"PORT that is empty", []string{"PORT="}, ""},
		{"PORT that Docker has set for a link", []string{"PORT=tcp://172.17.0.2:8000"}, ""},
		{"HOST that names a machine", []string{"HOST=build-7"}, ""},
		{"HOST that is this machine", []string{"HOST=localhost", "ADDR=:1"}, "ADDR"},
		{"ADDRESS to listen on", []string{"ADDRESS=[::]:80"}, "ADDR"},
		{"ADDRESS in IPv6", []string{"ADDRESS=::1"}, "ADDR"},
		{"ADDRESS of a house", []string{"ADDRESS=12 Main Street"}, ""},
		{"ADDRESS with a name for its port", []string{"ADDRESS=db.example.com:mysql"}, ""},
		{"JWT_SECRET", []string{"JWT_SECRET=x"}, "SECRET_KEY"},
		{"JWT_SECRET_KEY", []string{"JWT_SECRET_KEY=x"}, "SECRET_KEY"},
		{"SECRET", []string{"SECRET=x"}, "SECRET_KEY"},
		{"JWT_SECRET_FILE", []string{"JWT_SECRET_FILE=x"}, "SECRET_KEY_FILE"},
		{"DB_URL", []string{"DB_URL=x"}, "DATABASE_URL"},
		{"DATABASE_URI", []string{"DATABASE_URI=x"}, "DATABASE_URL"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg, err := readConfig(everything, nil, append([]string{"SECRET_KEY=" + goodKey}, tt.environ...), false)
			if err != nil {
				t.Fatal(err)
			}
			name, _, _ := strings.Cut(tt.environ[0], "=")
			if tt.meant == "" && len(cfg.Warnings) != 0 {
				t.Errorf("warnings %q; want none", cfg.Warnings)
			}
			if tt.meant != "" && (len(cfg.Warnings) != 1 || !strings.HasPrefix(cfg.Warnings[0], name+" is not a setting") || !strings.Contains(cfg.Warnings[0], tt.meant)) {
				t.Errorf("warnings %q; want one of %s and %s", cfg.Warnings, name, tt.meant)
			}
		})
	}
}

// TestMisspeltSettingThatIsRequired: the list of problems names the misspelt variable,
// and not its value.
func TestMisspeltSettingThatIsRequired(t *testing.T) {
	got := runCheck(t, []string{"DATABASE_URL=sqlite:users.db", "SECRT_KEY=" + aMarker})
	if got.code != 2 || !strings.Contains(got.stderr, "SECRET_KEY: is not set") || !strings.Contains(got.stderr, "did you mean SECRET_KEY?") {
		t.Errorf("exit code %d, %q; want both lines", got.code, got.stderr)
	}
	checkNoSecret(t, got, aMarker)
}

// TestCommonVariables: there is no warning about what is usual in the environment of a shell, a
// service, a container or a build. testdata/environ has the names.
func TestCommonVariables(t *testing.T) {
	names, err := os.ReadFile("testdata/environ")
	if err != nil {
		t.Fatal(err)
	}
	environ := []string{"SECRET_KEY=" + goodKey}
	for name := range strings.FieldsSeq(string(names)) {
		environ = append(environ, name+"=some value")
	}
	if cfg, err := readConfig(everything, nil, environ, false); err != nil || len(environ) < 500 || len(cfg.Warnings) != 0 {
		t.Errorf("%v; of %d variables there are the warnings %q; want none", err, len(environ), cfg.Warnings)
	}
}

// TestNearNamesOfOtherCommands: a command warns about a name only if it reads the setting that may
// be meant. The server has a warning about each.
func TestNearNamesOfOtherCommands(t *testing.T) {
	environ := []string{"SECRET_KEY=" + goodKey, "SECRET_KEYS=x", "DATABSE_URL=x", "ISSUER_FILE=x", "LATCHKEY_THROTTLE=x", "LATCHKEY_TLS_CERT_FILE=x", "MIN_PASSWORD_LENGHT=x"}
	for _, tt := range []struct {
		name  string
		needs need
		warns []string
	}{
		{"everything", everything, []string{"SECRET_KEYS", "DATABSE_URL", "ISSUER_FILE", "LATCHKEY_THROTTLE", "LATCHKEY_TLS_CERT_FILE", "MIN_PASSWORD_LENGHT"}},
		{"users", forUsers, []string{"DATABSE_URL", "MIN_PASSWORD_LENGHT"}},
		{"backup", forDatabase, []string{"DATABSE_URL"}},
		{"ready", forReady, []string{"LATCHKEY_TLS_CERT_FILE"}},
	} {
		cfg, err := readConfig(tt.needs, nil, environ, false)
		if err != nil {
			t.Fatal(err)
		}
		var warned []string
		for _, warning := range cfg.Warnings {
			name, _, _ := strings.Cut(warning, " ")
			warned = append(warned, name)
		}
		if !slices.Equal(warned, tt.warns) {
			t.Errorf("%s: warnings about %q; want %q", tt.name, warned, tt.warns)
		}
	}
}

// TestMisspeltDatabase: a command that finds no database says that its name may be misspelt.
func TestMisspeltDatabase(t *testing.T) {
	for _, args := range [][]string{{"users", "list"}, {"users", "import", "-"}, {"backup", "backup.db"}} {
		got := runProgram(t, t.Context(), []string{"DATABSE_URL=" + aMarker}, args...)
		if got.code != 2 || !strings.Contains(got.stderr, "did you mean DATABASE_URL?") || !strings.Contains(got.stderr, "no database") {
			t.Errorf("%q: exit code %d, %q; want both lines", args, got.code, got.stderr)
		}
		checkNoSecret(t, got, aMarker)
	}
}
