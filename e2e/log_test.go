package e2e

import (
	"bufio"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"syscall"
	"testing"
	"time"
)

// TestLogThatNobodyReads: a reader of the log that sleeps or has gone holds up
// neither requests nor the end.
func TestLogThatNobodyReads(t *testing.T) {
	long(t)
	for name, leave := range map[string]func(*os.File){
		"a reader that sleeps":  func(*os.File) {},
		"a reader that is gone": func(r *os.File) { r.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			cmd := exec.Command(program)
			cmd.Env = invocation{env: []string{"ADDR=localhost:0"}}.environment()
			cmd.Stderr = w
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			w.Close()
			defer cmd.Process.Kill()
			addr := readAddr(t, r)
			leave(r)
			client := &http.Client{Timeout: patience}
			for range 2000 { // some 350 KB of log; a pipe holds 64
				resp, err := client.Get("http://" + addr + "/nope")
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
			}
			client.CloseIdleConnections()
			cmd.Process.Signal(syscall.SIGTERM)
			kill := time.AfterFunc(patience, func() { cmd.Process.Kill() })
			defer kill.Stop()
			if err := cmd.Wait(); err != nil {
				t.Errorf("the program ends with %v", err)
			}
		})
	}
}

// readAddr reads the log up to the line that names the address.
func readAddr(t *testing.T, log *os.File) string {
	t.Helper()
	listening := regexp.MustCompile(`"msg":"listening","addr":"([^"]+)"`)
	for lines := bufio.NewScanner(log); lines.Scan(); {
		if m := listening.FindSubmatch(lines.Bytes()); m != nil {
			return string(m[1])
		}
	}
	t.Fatal("the log names no address")
	return ""
}
