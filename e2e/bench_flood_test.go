package e2e

import (
	"bufio"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/internal/loadtest"
)

// BenchmarkFlood measures how long GET /users/me/ takes while 64 clients log in without pause, and
// alone, and how much of what the cores can hash the logins get.
func BenchmarkFlood(b *testing.B) {
	ours := startQuiet(b, "PBKDF2_ITERATIONS=600000")
	read := readMe(ours, ours.signIn(b))
	login := logInRequest(ours, "bench", password)
	took := 75 * loadtest.Turn(b)
	b.Run("clients=0", func(b *testing.B) {
		for b.Loop() {
			reportCurve(b, timesOf(b, ours.addr, read, took/3))
		}
	})
	b.Run("clients=64", func(b *testing.B) {
		for b.Loop() {
			var f flood
			f.begin(b, ours.addr, login)
			waits := timesOf(b, ours.addr, read, took)
			f.end()
			reportCurve(b, waits)
			b.ReportMetric(f.rate(200), "logins/s")
			b.ReportMetric(f.rate(503), "refused/s")
			if f.others.Load() > 0 {
				b.Errorf("%d answers were neither 200 nor 503", f.others.Load())
			}
		}
	})
}

// reportCurve reports the milliseconds within which each part of the answers came.
func reportCurve(b *testing.B, waits []float64) {
	for _, percent := range []float64{1, 2, 5, 10, 20, 30, 40, 50, 60, 70, 80, 85, 90, 95, 97, 98, 99, 99.5, 99.8, 100} {
		b.ReportMetric(loadtest.Quantile(waits, percent/100), fmt.Sprint("ms-p", percent))
	}
	b.ReportMetric(0, "ns/op") // says nothing here
}

// A flood is clients that send a request again as soon as it is answered.
type flood struct {
	began               time.Time
	took                time.Duration
	stop                atomic.Bool
	clients             sync.WaitGroup
	ok, refused, others atomic.Int64
}

func (f *flood) begin(b *testing.B, addr, request string) {
	f.began = time.Now()
	for range 64 {
		f.clients.Go(func() {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				b.Error(err)
				return
			}
			defer c.Close()
			r := bufio.NewReader(c)
			for !f.stop.Load() {
				f.count(exchange(c, r, request))
			}
		})
	}
}

func (f *flood) count(status string) {
	switch status {
	case "200":
		f.ok.Add(1)
	case "503":
		f.refused.Add(1)
	default:
		f.others.Add(1)
	}
}

func (f *flood) end() {
	f.stop.Store(true)
	f.took = time.Since(f.began)
	f.clients.Wait()
}

// rate returns how many a second were answered so.
func (f *flood) rate(status int) float64 {
	n := f.ok.Load()
	if status == 503 {
		n = f.refused.Load()
	}
	return float64(n) / f.took.Seconds()
}

// timesOf sends a request again and again, with a pause, and returns how long the
// answers took, in milliseconds.
func timesOf(b *testing.B, addr, request string, d time.Duration) []float64 {
	b.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	var took []float64
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(d); time.Now().Before(end); <-tick.C {
		began := time.Now()
		if status := exchange(c, r, request); status != "200" {
			b.Fatalf("answered %s", status)
		}
		took = append(took, float64(time.Since(began).Microseconds())/1000)
	}
	return took
}

// exchange sends a request and returns the status of the answer, or what went wrong.
func exchange(c net.Conn, r *bufio.Reader, request string) string {
	if _, err := io.WriteString(c, request); err != nil {
		return err.Error()
	}
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err.Error()
	}
	return strconv.Itoa(resp.StatusCode)
}

// logInRequest returns the request with which a user logs in.
func logInRequest(p *quiet, username, password string) string {
	form := url.Values{"username": {username}, "password": {password}}.Encode()
	return fmt.Sprintf("POST /token HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s", p.addr, len(form), form)
}

// BenchmarkLoginTiming compares how long a login takes that fails: for a name that is
// nobody's, and for one that is somebody's. 1 is what nobody can tell apart.
func BenchmarkLoginTiming(b *testing.B) {
	file := filepath.Join(b.TempDir(), "users.db")
	ours := startQuiet(b, "DATABASE_URL=sqlite:"+file, "SECRET_KEY="+aKey, "PBKDF2_ITERATIONS=600000", "THROTTLE=off")
	for _, name := range []string{"known", "cheap", "disabled"} {
		ours.post(b, "/users/", "application/json", newUser(name, password))
	}
	carryOut(b, file, `UPDATE users SET disabled = true WHERE username = 'disabled'`)
	carryOut(b, file, `UPDATE users SET password_hash = '`+hashOf(29_000)+`' WHERE username = 'cheap'`)
	for _, bm := range []struct{ name, username, password string }{
		{"a wrong password", "known", "wrong"},
		{"a wrong password of 4,096 characters", "known", strings.Repeat("x", 4096)},
		{"a hash of 29,000 rounds", "cheap", "wrong"},
		{"a disabled user with the right password", "disabled", password},
	} {
		b.Run(bm.name, func(b *testing.B) {
			somebody := logInRequest(ours, bm.username, bm.password)
			nobody := logInRequest(ours, "nobody", bm.password)
			for b.Loop() {
				reportPairs(b, "ms", "of-nobody", 100,
					func() float64 { return timeOf(b, ours.addr, somebody) },
					func() float64 { return timeOf(b, ours.addr, nobody) })
			}
		})
	}
}

// timeOf returns how long a login that fails takes, in milliseconds.
func timeOf(b *testing.B, addr, request string) float64 {
	b.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	began := time.Now()
	if status := exchange(c, bufio.NewReader(c), request); status != "401" {
		b.Fatalf("answered %s", status)
	}
	return float64(time.Since(began).Microseconds()) / 1000
}

// hashOf returns the hash of the password of all, as passlib writes it.
func hashOf(rounds int) string {
	salt := []byte("sixteen bytes !!")
	key, err := pbkdf2.Key(sha256.New, password, salt, rounds, 32)
	if err != nil {
		panic(err) // unreachable: the sizes are valid
	}
	return passlibHash(rounds, salt, key)
}

// passlibHash returns a hash as passlib writes it.
func passlibHash(rounds int, salt, key []byte) string {
	ab64 := func(b []byte) string {
		return strings.ReplaceAll(base64.RawStdEncoding.EncodeToString(b), "+", ".")
	}
	return fmt.Sprintf("$pbkdf2-sha256$%d$%s$%s", rounds, ab64(salt), ab64(key))
}
