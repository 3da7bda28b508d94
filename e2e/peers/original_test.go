package peers

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"latchkey/internal/loadtest"
)

// original is the exercise under uvicorn with one process, which is what it starts by itself.
type original struct{ uvicorn string }

// installOriginal installs what the exercise needs, in a folder that is kept for the next time.
func installOriginal(b *testing.B) backend {
	b.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		b.Skip("SKIP: the original needs python3, with venv")
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		b.Fatal(err)
	}
	venv := filepath.Join(cache, "latchkey-peers")
	output(b, exec.Command(python, "-m", "venv", venv))
	pip := filepath.Join(venv, "bin", "pip")
	output(b, exec.Command(pip, "install", "--quiet", "--disable-pip-version-check", "-r", "original/requirements.txt"))
	frozen := output(b, exec.Command(pip, "freeze"))
	for _, name := range []string{"fastapi", "uvicorn", "python-jose", "passlib"} {
		version := regexp.MustCompile(`(?m)^` + name + `==(.+)$`).FindStringSubmatch(frozen)
		fmt.Printf("%s: %s\n", name, version[1])
	}
	fmt.Println("python:", output(b, exec.Command(python, "-c", "import platform; print(platform.python_version())")))
	return original{filepath.Join(venv, "bin", "uvicorn")}
}

func (o original) launch(b *testing.B, addr string) *server {
	b.Helper()
	host, port := hostAndPort(b, addr)
	cmd := exec.Command(o.uvicorn, "main:app", "--host", host, "--port", port)
	cmd.Dir = "original"
	cmd.Env = []string{"SECRET_KEY=" + aKey, "PYTHONDONTWRITEBYTECODE=1"}
	return run(b, cmd, addr, "/openapi.json")
}

func (original) signUp(b *testing.B, s *server) { signUpAsExercise(b, s) }

func (original) logIn(addr string) string { return logInAsExercise(addr) }

func (original) whoAmI(b *testing.B, addr string, login []byte) string {
	return whoAmIAsExercise(b, addr, login)
}

func (original) refresh(*testing.B, string, []byte) loadtest.Script { return nil }
