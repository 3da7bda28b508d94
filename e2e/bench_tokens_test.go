package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"latchkey/internal/loadtest"
)

// BenchmarkKeySet compares GET /.well-known/jwks.json with a bare net/http handler that writes the
// same bytes.
func BenchmarkKeySet(b *testing.B) {
	ours := startQuiet(b, "ALGORITHM=ES256")
	const path = "/.well-known/jwks.json"
	header, body := ours.get(b, path, "")
	bare := startBare(b, header, body)
	request := func(addr string) []string {
		return []string{"GET " + path + " HTTP/1.1\r\nHost: " + addr + "\r\n\r\n"}
	}
	for b.Loop() {
		reportPairs(b, "requests/s", "of-bare", 20,
			func() float64 { return loadFor(b, ours.addr, request(ours.addr), connections, time.Second) },
			func() float64 { return loadFor(b, bare, request(bare), connections, time.Second) })
	}
}

// BenchmarkClientCredentials compares the client credentials grant with refreshes.
func BenchmarkClientCredentials(b *testing.B) {
	ours := startQuiet(b)
	token := ours.signIn(b)
	key := ours.makeKey(b, token)
	var refreshes []loadtest.Script
	for _, token := range ours.begin(b, connections) {
		refreshes = append(refreshes, refreshing(ours.addr, token))
	}
	form := postForm(ours.addr, "/token", "grant_type=client_credentials&client_id="+key.ID+"&client_secret="+key.Key)
	for b.Loop() {
		reportPairs(b, "tokens/s", "of-refresh", 20,
			func() float64 { return loadFor(b, ours.addr, []string{form}, connections, time.Second) },
			func() float64 { return followFor(b, ours.addr, refreshes, time.Second) })
	}
}

// makeKey makes an API key.
func (p *quiet) makeKey(b *testing.B, token string) (key apiKey) {
	b.Helper()
	req, err := http.NewRequest("POST", "http://"+p.addr+"/users/me/keys/", strings.NewReader(`{"name":"bench"}`))
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	_, body := readOK(b, resp, err)
	decode(b, string(body), &key)
	return key
}

// BenchmarkKnownTokens compares GET /users/me/ with tokens of ES256 with the same of HS256, by the
// requests that a second of CPU time answers. Both servers remember the token's signature.
func BenchmarkKnownTokens(b *testing.B) {
	public := startQuiet(b, "ALGORITHM=ES256")
	shared := startQuiet(b)
	ours, theirs := []string{readMe(public, public.signIn(b))}, []string{readMe(shared, shared.signIn(b))}
	for b.Loop() {
		reportPairs(b, "requests/CPU-s", "of-HS256", 20,
			func() float64 { return public.perCPU(b, ours, time.Second) },
			func() float64 { return shared.perCPU(b, theirs, time.Second) })
	}
}
