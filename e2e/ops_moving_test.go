package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// A move is a recipe of docs/moving-in.md, and what makes the users that it finds.
type move struct {
	from   string // its heading
	block  int    // which block below it
	source string // a script of moving/
	old    string // the database for old.sql, if the script writes that: see load
}

var moves = []move{
	{from: "FastAPI with SQLAlchemy", source: "fastapi_users_app.py"},
	{from: "FastAPI with SQLAlchemy", block: 1, source: "fastapi_users_app.py", old: "postgres"},
	{from: "Django", source: "django_project.py"},
	{from: "Authentik", source: "authentik.py"},
	{from: "Flask", source: "flask_app.py"},
	{from: "Laravel", source: "laravel.php", old: "mysql laravel"},
	{from: "Laravel", block: 1, source: "laravel.php", old: "sqlite database/database.sqlite"},
	{from: "WordPress", source: "wordpress.php", old: "mysql wordpress"},
	{from: "Rails with Devise", source: "devise.rb", old: "postgres"},
	{from: "Spring Security", source: "SpringUsers.java", old: "postgres"},
	{from: "Supabase", source: "supabase.py", old: "postgres"},
	{from: "PocketBase", source: "pocketbase.py"},
	{from: "Auth0", source: "auth0.py"},
	{from: "Node with MongoDB", source: "mongodb.mjs"},
	{from: "better-auth", source: "better_auth.mjs", old: "sqlite sqlite.db"},
	{from: "Firebase", source: "firebase.py"},
	{from: "Keycloak", source: "keycloak.py"},
	{from: "ASP.NET Core Identity", source: "aspnet.py", old: "postgres"},
}

// A mover is somebody whom a source is to have.
type mover struct {
	Name      string  `json:"name"`
	Email     string  `json:"email"`
	FullName  *string `json:"full_name"`
	Password  *string `json:"password"`
	Disabled  bool    `json:"disabled"`
	CreatedAt string  `json:"created_at"`
}

// movers are an ordinary user, one whose texts have to be escaped everywhere, one who is
// disabled, and one without a password.
var movers = []mover{
	{
		"ada", "ada@example.com", new("Ada Lovelace"), new("correct horse ✓ battery"),
		false, "2024-02-29T12:34:56Z",
	},
	{
		"bob", "bob@example.com", new(`Bob "B\" O'Neil 🐴`), new(`quote " and ' and \ and $dollar 🐴`),
		false, "2020-01-01T00:00:00Z",
	},
	{"carol", "carol@example.com", nil, new("plain-sailing-7341"), true, "2023-05-06T07:08:09Z"},
	{"dave", "dave@example.com", nil, nil, false, "2023-05-06T07:08:09Z"},
}

// TestMovingIn runs every recipe of docs/moving-in.md as it is printed, imports what it makes,
// and logs everybody in with their old password, twice: the first time the hash is replaced.
// A token of the exercise goes on.
func TestMovingIn(t *testing.T) {
	t.Parallel()
	if os.Getenv("HASH_PRODUCERS") == "" {
		t.Skip("SKIPPED: needs Python, Node, PHP, Ruby, Java and two databases; make hashes runs it")
	}
	needTools(t, "curl", "java", "jq", "mariadbd", "node", "php", "psql", "ruby", "sqlite3")
	postgres, mysql := startPostgres(t), startMariaDB(t)
	t.Run("The FastAPI exercise", func(t *testing.T) {
		t.Parallel()
		w := newWorkFolder(t)
		addr := w.runExercise(t)
		want := w.register(t, addr)
		token := w.exerciseToken(t, addr)
		w.shell(t, strings.ReplaceAll(recipe(t, move{from: "The FastAPI exercise"}), "localhost:8000", addr))
		s := w.checkMove(t, want)
		if a := s.me(t, token); a.StatusCode != 200 || !strings.Contains(a.body, `"username":"ada"`) {
			t.Errorf("ada's token of the exercise: %d %s", a.StatusCode, a.body)
		}
	})
	for _, m := range moves {
		t.Run(fmt.Sprintf("%s (%d)", m.from, m.block+1), func(t *testing.T) {
			t.Parallel()
			w := newWorkFolder(t)
			want := w.make(t, m.source)
			w.load(t, m.old, postgres, mysql)
			w.shell(t, recipe(t, m))
			w.checkMove(t, want)
		})
	}
}

// TestMovingInIsWhole: every recipe of the page has a test.
func TestMovingInIsWhole(t *testing.T) {
	text := readSection(t, "docs/moving-in.md", "Recipes")
	sections := strings.Split(text, "\n### ")[1:]
	for _, section := range sections {
		heading, _, _ := strings.Cut(section, "\n")
		blocks, tested := len(shellBlocks(section)), 0
		for _, m := range moves {
			if m.from == heading {
				tested++
			}
		}
		if tested != blocks && heading != "The FastAPI exercise" {
			t.Errorf("%s has %d recipes, of which %d are tested", heading, blocks, tested)
		}
	}
}

// recipe returns a recipe of the page.
func recipe(t *testing.T, m move) string {
	t.Helper()
	_, section, found := strings.Cut(readSection(t, "docs/moving-in.md", "Recipes"), "\n### "+m.from+"\n")
	section, _, _ = strings.Cut(section, "\n### ")
	blocks := shellBlocks(section)
	if !found || len(blocks) <= m.block {
		t.Fatalf("there is no recipe %d for %s", m.block, m.from)
	}
	return blocks[m.block]
}

// shellBlocks returns what a text says to paste into a shell.
func shellBlocks(text string) (all []string) {
	for _, m := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	return all
}

// register registers those who have a password with the exercise.
func (w *workFolder) register(t *testing.T, addr string) (want []map[string]any) {
	t.Helper()
	for _, m := range movers {
		if m.Password == nil {
			continue
		}
		body, err := json.Marshal(map[string]any{
			"username": m.Name, "email": m.Email, "full_name": m.FullName, "password": *m.Password,
		})
		if err != nil {
			t.Fatal(err)
		}
		w.run(t, bytes.NewReader(body), "curl", "-sf", "-d@-", "-H", jsonType, "http://"+addr+"/users/")
		want = append(want, readLines(t, string(body))...)
	}
	return want
}

// exerciseToken logs ada in at the exercise.
func (w *workFolder) exerciseToken(t *testing.T, addr string) string {
	t.Helper()
	said := w.run(t, nil, "curl", "-sf", "http://"+addr+"/token",
		"-d", "username=ada", "--data-urlencode", "password="+*movers[0].Password)
	token, _ := readLines(t, said)[0]["access_token"].(string)
	return token
}

// importUsers imports users.jsonl as the page says, but tries the first user who is wanted.
func (w *workFolder) importUsers(t *testing.T, want []map[string]any) {
	t.Helper()
	lines := strings.Join(shellBlocks(readSection(t, "docs/moving-in.md", "Import")), "")
	name, password := want[0]["username"].(string), want[0]["password"].(string)
	said := w.run(t, strings.NewReader(password+"\n"), "bash", "-euo", "pipefail", "-c",
		strings.Replace(lines, "-try ada", "-try '"+name+"'", 1))
	if !strings.Contains(said, fmt.Sprintf("\nadded %d, there already 0, refused 0;", len(want))) {
		t.Errorf("the import says\n%s", said)
	}
}

// checkMove imports users.jsonl, and checks that everybody who is wanted can log in and nobody
// else is there. It returns the server.
func (w *workFolder) checkMove(t *testing.T, want []map[string]any) *server {
	t.Helper()
	w.importUsers(t, want)
	database := "DATABASE_URL=sqlite:" + filepath.Join(w.dir, "users.db")
	s := startAs(t, invocation{fast: true, env: []string{database, "SECRET_KEY=" + aKey, "THROTTLE=off"}})
	checkLogin(t, s, want[0], "no "+want[0]["password"].(string), 401)
	for _, user := range want {
		checkMoved(t, s, user)
	}
	export := invocation{args: []string{"users", "export"}, env: []string{database}, fast: true}.run(t)
	got := readLines(t, export.stdout)
	if export.code != 0 || len(got) != len(want) {
		t.Errorf("%d users came, exit code %d; want %d\n%s", len(got), export.code, len(want), export.stderr)
	}
	for _, user := range want {
		checkExported(t, got, user)
	}
	return s
}

// checkMoved logs a user in twice with the old password.
func checkMoved(t *testing.T, s *server, user map[string]any) {
	t.Helper()
	password, has := user["password"].(string)
	switch {
	case !has:
		checkLogin(t, s, user, "whatever", 401)
	case user["disabled"] == true:
		checkLogin(t, s, user, password, 401)
	default:
		checkLogin(t, s, user, password, 200)
		checkLogin(t, s, user, password, 200)
	}
}

// checkLogin logs a user in.
func checkLogin(t *testing.T, s *server, user map[string]any, password string, want int) {
	t.Helper()
	name := user["username"].(string)
	form := url.Values{"username": {name}, "password": {password}}
	if a := s.do(t, "POST", "/token", form.Encode(), formType); a.StatusCode != want {
		t.Errorf("%s logs in with %q: %d %s; want %d", name, password, a.StatusCode, a.body, want)
	}
}

// checkExported compares a user with what the export says of them. The hash of whoever has
// logged in is ours.
func checkExported(t *testing.T, exported []map[string]any, want map[string]any) {
	t.Helper()
	i := slices.IndexFunc(exported, func(user map[string]any) bool {
		return user["username"] == want["username"]
	})
	if i < 0 {
		t.Errorf("%s is not there", want["username"])
		return
	}
	got := exported[i]
	for field, value := range want {
		if field != "password" && !sameField(field, got[field], value) {
			t.Errorf("%s has %s %v; want %v", want["username"], field, got[field], value)
		}
	}
	hash, _ := got["password_hash"].(string)
	if want["password"] == nil && hash != "" {
		t.Errorf("%s has a hash; want none", want["username"])
	}
	if want["password"] != nil && want["disabled"] != true && !isOurs(hash) {
		t.Errorf("%s has the hash %.20s… after a login; want ours", want["username"], hash)
	}
}

// isOurs reports whether a hash is of the kind that the server makes, with no less work.
func isOurs(hash string) bool {
	var rounds int
	_, err := fmt.Sscanf(hash, "$pbkdf2-sha256$%d$", &rounds)
	return err == nil && rounds >= 100_000
}

// sameField compares values of a field: no disabled is false, and times may be written in
// more than one way.
func sameField(field string, got, want any) bool {
	switch field {
	case "disabled":
		return (got == true) == (want == true)
	case "created_at":
		a, err1 := time.Parse(time.RFC3339, fmt.Sprint(got))
		b, err2 := time.Parse(time.RFC3339, fmt.Sprint(want))
		return err1 == nil && err2 == nil && a.Equal(b)
	}
	return got == want
}

// readLines reads JSON objects.
func readLines(t *testing.T, text string) (all []map[string]any) {
	t.Helper()
	for dec := json.NewDecoder(strings.NewReader(text)); ; {
		var one map[string]any
		if err := dec.Decode(&one); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		all = append(all, one)
	}
}
