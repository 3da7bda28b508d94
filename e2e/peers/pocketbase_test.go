package peers

import (
	"encoding/json"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"testing"

	"latchkey/internal/loadtest"
)

// pocketBase is the program that PocketBase publishes, with its collection "users" as it comes.
type pocketBase struct{ program, data string }

const pocketBaseModule = "github.com/pocketbase/pocketbase"

func installPocketBase(b *testing.B) backend {
	b.Helper()
	dir := b.TempDir()
	p := pocketBase{filepath.Join(dir, "pocketbase"), filepath.Join(dir, "data")}
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", p.program, pocketBaseModule+"/examples/base")
	output(b, build)
	fmt.Println("pocketbase:", output(b, exec.Command("go", "list", "-m", "-f", "{{.Version}}", pocketBaseModule)))
	// Without an administrator it opens a browser.
	output(b, exec.Command(p.program, "superuser", "upsert", "root@example.com", password, "--dir", p.data))
	return p
}

func (p pocketBase) launch(b *testing.B, addr string) *server {
	b.Helper()
	return run(b, exec.Command(p.program, "serve", "--http", addr, "--dir", p.data), addr, "/api/health")
}

func (pocketBase) signUp(b *testing.B, s *server) {
	b.Helper()
	s.post(b, request("POST", "/api/collections/users/records", s.addr, jsonType,
		`{"email":"`+email+`","password":"`+password+`","passwordConfirm":"`+password+`"}`))
}

func (pocketBase) logIn(addr string) string {
	return request("POST", "/api/collections/users/auth-with-password", addr, jsonType,
		`{"identity":"`+email+`","password":"`+password+`"}`)
}

// whoAmI asks for the record of the user, which only the user may see.
func (pocketBase) whoAmI(b *testing.B, addr string, login []byte) string {
	b.Helper()
	var answer struct{ Record struct{ ID string } }
	if err := json.Unmarshal(login, &answer); err != nil || answer.Record.ID == "" {
		b.Fatalf("%s has no user, %v", login, err)
	}
	return request("GET", "/api/collections/users/records/"+answer.Record.ID, addr, "", "", "Authorization: Bearer "+field(b, login, "token"))
}

// refresh is a script in which each request has the token of the answer before.
func (pocketBase) refresh(b *testing.B, addr string, login []byte) loadtest.Script {
	token := field(b, login, "token")
	return func(answer []byte) ([]byte, error) {
		if next := textAfter(answer, `"token":"`); next != "" {
			token = next
		}
		return []byte(request("POST", "/api/collections/users/auth-refresh", addr, "", "", "Authorization: Bearer "+token)), nil
	}
}

func hostAndPort(b *testing.B, addr string) (host, port string) {
	b.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		b.Fatal(err)
	}
	return host, port
}
