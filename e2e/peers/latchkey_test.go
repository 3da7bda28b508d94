package peers

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"latchkey/internal/loadtest"
	"latchkey/internal/pgtest"
)

const (
	username = "bench"
	email    = "bench@example.com"
	password = "plain-sailing-7341"
	aKey     = "5f2b1c7e9a0d4c3b8e6f7a1d2c3b4a5968778695a4b3c2d1e0f1a2b3c4d5e6f7"
)

// latchkey is Latchkey with users at a URL, or in memory.
type latchkey struct{ program, url string }

func installLatchkey(b *testing.B) backend {
	b.Helper()
	path := filepath.Join(b.TempDir(), "latchkey")
	build := exec.Command("go", "build", "-trimpath", "-tags", "urfave_cli_no_template", "-ldflags", "-s -w", "-o", path)
	build.Dir, build.Env = "../..", append(os.Environ(), "CGO_ENABLED=0") // as make build does
	output(b, build)
	return latchkey{path, ""}
}

func installLatchkeyOnSQLite(b *testing.B) backend {
	b.Helper()
	l := installLatchkey(b).(latchkey)
	l.url = "sqlite:" + filepath.Join(b.TempDir(), "users.db")
	return l
}

func installLatchkeyOnPostgres(b *testing.B) backend {
	b.Helper()
	l := installLatchkey(b).(latchkey)
	c, err := pgtest.Start()
	if errors.Is(err, pgtest.ErrNotInstalled) {
		b.Skip("SKIP: " + err.Error())
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	l.url = c.URL("postgres")
	return l
}

func (l latchkey) launch(b *testing.B, addr string) *server {
	b.Helper()
	cmd := exec.Command(l.program)
	cmd.Env = []string{"ADDR=" + addr, "SECRET_KEY=" + aKey, "DATABASE_URL=" + l.url}
	return run(b, cmd, addr, "/livez")
}

func (latchkey) signUp(b *testing.B, s *server) { signUpAsExercise(b, s) }

// signUpAsExercise makes the user of a server with the operations of the exercise.
func signUpAsExercise(b *testing.B, s *server) {
	b.Helper()
	s.post(b, request("POST", "/users/", s.addr, jsonType, `{"username":"`+username+`","email":"`+email+`","password":"`+password+`"}`))
}

func (latchkey) logIn(addr string) string { return logInAsExercise(addr) }

func logInAsExercise(addr string) string {
	return request("POST", "/token", addr, formType, "username="+username+"&password="+password)
}

func (latchkey) whoAmI(b *testing.B, addr string, login []byte) string {
	return whoAmIAsExercise(b, addr, login)
}

func whoAmIAsExercise(b *testing.B, addr string, login []byte) string {
	b.Helper()
	return request("GET", "/users/me/", addr, "", "", "Authorization: Bearer "+field(b, login, "access_token"))
}

// refresh is a script in which each request has the refresh token of the answer before.
func (latchkey) refresh(b *testing.B, addr string, login []byte) loadtest.Script {
	token := field(b, login, "refresh_token")
	return func(answer []byte) ([]byte, error) {
		if next := textAfter(answer, `"refresh_token":"`); next != "" {
			token = next
		}
		return []byte(request("POST", "/token", addr, formType, "grant_type=refresh_token&refresh_token="+token)), nil
	}
}

// textAfter returns the text of a JSON string that begins after a prefix. It takes less time than to
// decode what is around it.
func textAfter(object []byte, prefix string) string {
	_, rest, _ := bytes.Cut(object, []byte(prefix))
	text, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(text)
}
