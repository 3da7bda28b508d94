package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/internal/pgtest"
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
		o := newOffice(t)
		addr := o.runExercise(t)
		want := o.register(t, addr)
		token := o.exerciseToken(t, addr)
		o.shell(t, strings.ReplaceAll(recipe(t, move{from: "The FastAPI exercise"}), "localhost:8000", addr))
		s := o.checkMove(t, want)
		if a := s.me(t, token); a.StatusCode != 200 || !strings.Contains(a.body, `"username":"ada"`) {
			t.Errorf("ada's token of the exercise: %d %s", a.StatusCode, a.body)
		}
	})
	for _, m := range moves {
		t.Run(fmt.Sprintf("%s (%d)", m.from, m.block+1), func(t *testing.T) {
			t.Parallel()
			o := newOffice(t)
			want := o.make(t, m.source)
			o.load(t, m.old, postgres, mysql)
			o.shell(t, recipe(t, m))
			o.checkMove(t, want)
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

// An office is a folder in which somebody moves: with the program, the old data, and what
// the shell needs to know.
type office struct {
	dir string
	env []string
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{dir: t.TempDir()}
	docs, err1 := filepath.Abs("../docs")
	err2 := os.Symlink(docs, filepath.Join(o.dir, "docs"))
	err3 := os.Symlink(fastProgram, filepath.Join(o.dir, "latchkey"))
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	o.env = []string{
		"HOME=" + o.dir,
		"PATH=" + filepath.Join(producers(t), "python/bin") + ":" + os.Getenv("PATH"),
		"HASH_PRODUCERS=" + producers(t),
		"PYTHONDONTWRITEBYTECODE=1",
		"SECRET_KEY=" + aKey,
		// Those of the README of github.com/firebase/scrypt.
		"SIGNER_KEY=jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==",
		"SALT_SEPARATOR=Bw==",
	}
	return o
}

// producers returns the folder that producers/install.sh has filled.
func producers(t *testing.T) string {
	t.Helper()
	folder, err := filepath.Abs(os.Getenv("HASH_PRODUCERS"))
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

// command returns a command in the office.
func (o *office) command(t *testing.T, words ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath(words[0])
	if words[0] == "python" {
		path, err = filepath.Join(producers(t), "python/bin/python"), nil
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, words[1:]...)
	cmd.Dir, cmd.Env = o.dir, o.env
	return cmd
}

// run runs a command and returns what it prints.
func (o *office) run(t *testing.T, input io.Reader, words ...string) string {
	t.Helper()
	cmd := o.command(t, words...)
	var stderr strings.Builder
	cmd.Stdin, cmd.Stderr = input, &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", words, err, &stderr, out)
	}
	return string(out)
}

// shell pastes lines into a shell.
func (o *office) shell(t *testing.T, lines string) string {
	t.Helper()
	return o.run(t, nil, "bash", "-euo", "pipefail", "-c", lines)
}

// make runs a script that makes the old data, and returns what is to come of them.
func (o *office) make(t *testing.T, source string) []map[string]any {
	t.Helper()
	input, err1 := json.Marshal(movers)
	script, err2 := filepath.Abs(filepath.Join("moving", source))
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	program := map[string]string{".py": "python", ".mjs": "node", ".php": "php", ".rb": "ruby"}
	return readLines(t, o.run(t, bytes.NewReader(input), program[filepath.Ext(source)], script))
}

// load loads old.sql into a database: "postgres", "mysql NAME" or "sqlite FILE".
func (o *office) load(t *testing.T, database string, postgres *pgtest.Cluster, mysqlSocket string) {
	t.Helper()
	kind, name, _ := strings.Cut(database, " ")
	switch kind {
	case "postgres":
		url := postgres.URL(newDatabase(t, postgres))
		o.env = append(o.env, "OLD_DATABASE="+url)
		o.shell(t, `psql "$OLD_DATABASE" -q -v ON_ERROR_STOP=1 -f old.sql`)
	case "mysql":
		login := fmt.Sprintf("[client]\nsocket=%s\nuser=root\n", mysqlSocket)
		if err := os.WriteFile(filepath.Join(o.dir, ".my.cnf"), []byte(login), 0o600); err != nil {
			t.Fatal(err)
		}
		o.shell(t, fmt.Sprintf(`mysql -e "CREATE DATABASE %s CHARACTER SET utf8mb4"
			mysql --default-character-set=utf8mb4 \
				--init-command="SET sql_mode='NO_BACKSLASH_ESCAPES'" %[1]s <old.sql`, name))
	case "sqlite":
		o.shell(t, fmt.Sprintf(`mkdir -p "$(dirname %s)" && sqlite3 %[1]s <old.sql`, name))
	}
}

// startMariaDB starts a MariaDB server, and returns the path of its socket.
func startMariaDB(t *testing.T) string {
	t.Helper()
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	dir, o := t.TempDir(), newOffice(t)
	socket := filepath.Join(dir, "socket")
	data := "--datadir=" + filepath.Join(dir, "data")
	with := func(program string, more ...string) []string {
		return append([]string{program, "--no-defaults", "--user=" + me.Username, data}, more...)
	}
	o.run(t, nil, with("mariadb-install-db", "--auth-root-authentication-method=normal")...)
	runTool(t, o.command(t, with("mariadbd", "--skip-networking", "--socket="+socket)...))
	waitFor(t, "MariaDB to listen", func() bool {
		_, err := os.Stat(socket)
		return err == nil
	})
	return socket
}

// runExercise runs the FastAPI exercise and returns its address.
func (o *office) runExercise(t *testing.T) string {
	t.Helper()
	script, err := filepath.Abs("moving/exercise.py")
	if err != nil {
		t.Fatal(err)
	}
	addr := freeAddress(t)
	runTool(t, o.command(t, "python", script, fmt.Sprint(addr.Port)))
	awaitTool(t, addr)
	return addr.String()
}

// register registers those who have a password with the exercise.
func (o *office) register(t *testing.T, addr string) (want []map[string]any) {
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
		o.run(t, bytes.NewReader(body), "curl", "-sf", "-d@-", "-H", jsonType, "http://"+addr+"/users/")
		want = append(want, readLines(t, string(body))...)
	}
	return want
}

// exerciseToken logs ada in at the exercise.
func (o *office) exerciseToken(t *testing.T, addr string) string {
	t.Helper()
	said := o.run(t, nil, "curl", "-sf", "http://"+addr+"/token",
		"-d", "username=ada", "--data-urlencode", "password="+*movers[0].Password)
	token, _ := readLines(t, said)[0]["access_token"].(string)
	return token
}

// importUsers imports users.jsonl as the page says, but tries the first user who is wanted.
func (o *office) importUsers(t *testing.T, want []map[string]any) {
	t.Helper()
	lines := strings.Join(shellBlocks(readSection(t, "docs/moving-in.md", "Import")), "")
	name, password := want[0]["username"].(string), want[0]["password"].(string)
	said := o.run(t, strings.NewReader(password+"\n"), "bash", "-euo", "pipefail", "-c",
		strings.Replace(lines, "-try ada", "-try '"+name+"'", 1))
	if !strings.Contains(said, fmt.Sprintf("\nadded %d, there already 0, refused 0;", len(want))) {
		t.Errorf("the import says\n%s", said)
	}
}

// checkMove imports users.jsonl, and checks that everybody who is wanted can log in and nobody
// else is there. It returns the server.
func (o *office) checkMove(t *testing.T, want []map[string]any) *server {
	t.Helper()
	o.importUsers(t, want)
	database := "DATABASE_URL=sqlite:" + filepath.Join(o.dir, "users.db")
	s := startAs(t, invocation{fast: true, env: []string{database, "SECRET_KEY=" + aKey, "THROTTLE=off"}})
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

// checkMoved logs a user in twice with the old password, and once with another.
func checkMoved(t *testing.T, s *server, user map[string]any) {
	t.Helper()
	logIn := func(password string, want int) {
		t.Helper()
		form := url.Values{"username": {user["username"].(string)}, "password": {password}}
		if a := s.do(t, "POST", "/token", form.Encode(), formType); a.StatusCode != want {
			t.Errorf("%s logs in with %q: %d %s; want %d", user["username"], password, a.StatusCode, a.body, want)
		}
	}
	password, has := user["password"].(string)
	switch {
	case !has:
		logIn("whatever", 401)
	case user["disabled"] == true:
		logIn(password, 401)
	default:
		logIn(password, 200)
		logIn(password, 200)
		logIn("no "+password, 401)
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
