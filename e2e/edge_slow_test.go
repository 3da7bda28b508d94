package e2e

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// The server's limits on time.
const (
	headerLimit = 5 * time.Second
	bodyLimit   = 10 * time.Second
)

// A slowClient sends something, and from then on one byte of more each second.
type slowClient struct {
	name  string
	sent  string
	more  string
	limit time.Duration
}

var slowClients = []slowClient{
	{"nothing", "", "", headerLimit},
	{"a part of the request line", "GET /users/m", "", headerLimit},
	{"a request line and no headers", "GET /users/me/ HTTP/1.1\r\n", "", headerLimit},
	{"headers without an end", "GET /users/me/ HTTP/1.1\r\nHost: h\r\n", "", headerLimit},
	{"headers byte by byte", "GET /users/me/ HTTP/1.1\r\nHost: h\r\n", "X-Slow: aaaaaaaaaaaa", headerLimit},
	{"a second request without an end", head("GET /users/me/ HTTP/1.1", "Host: h") + "GET /users/me/ HTTP/1.1\r\n", "", headerLimit},
	{"a part of a form", head("POST /token HTTP/1.1", "Host: h", formType, "Content-Length: 100") + "username=a", "", bodyLimit},
	{"a login that promises more", head("POST /token HTTP/1.1", "Host: h", formType, "Content-Length: 100") + loginForm("alice"), "", bodyLimit},
	{"a login byte by byte", head("POST /token HTTP/1.1", "Host: h", formType, "Content-Length: 100") + loginForm("alice"), "&scope=aaaaaaaaa", bodyLimit},
	{"a part of a JSON text", head("POST /users/ HTTP/1.1", "Host: h", "Content-Type: application/json", "Content-Length: 100") + "{", "", bodyLimit},
	{"a chunk without an end", head("POST /token HTTP/1.1", "Host: h", formType, "Transfer-Encoding: chunked") + "64\r\n" + loginForm("alice"), "", bodyLimit},
}

// crowd is how many clients send their headers byte by byte at once.
const crowd = 100

// TestSlowClients keeps all slow clients waiting at the same time, and asks in
// between as everybody else does.
func TestSlowClients(t *testing.T) {
	long(t)
	t.Parallel()
	s := start(t)
	s.register(t, "alice")
	s.client.CloseIdleConnections()
	waitFor(t, "the server to have no connection", func() bool { return s.connections(t) == 0 })
	clients := slices.Concat(slowClients, slices.Repeat([]slowClient{slowClients[4]}, crowd))
	ends := make([]ending, len(clients))
	var all sync.WaitGroup
	for i, client := range clients {
		c := s.dial(t)
		all.Go(func() { ends[i] = c.endure(client) })
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	checkQuick(t, s, done)

	for i, client := range clients {
		t.Run(fmt.Sprintf("%d %s", i, client.name), func(t *testing.T) {
			if took := ends[i].took; took < client.limit-time.Second || took > client.limit+3*time.Second {
				t.Errorf("closed after %v; want %v", took, client.limit)
			}
			if strings.Contains(ends[i].said, " 200 ") {
				t.Errorf("half a request was answered with %s", ends[i].said)
			}
		})
	}
	waitFor(t, "the connections to be closed", func() bool { return s.connections(t) == 0 })
	if got := len(s.log.events("authn_login_success")) + len(s.log.events("authn_login_fail")); got > 0 {
		t.Errorf("%d logins by half a form", got)
	}
}

// An ending is when the server closed a connection, and what it had said.
type ending struct {
	took time.Duration
	said string
}

// endure plays a slow client until the server has had enough.
func (c *conn) endure(client slowClient) ending {
	begin := time.Now()
	c.send(client.sent)
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for _, b := range []byte(client.more) {
			<-tick.C
			if _, err := c.Write([]byte{b}); err != nil {
				return
			}
		}
	}()
	said, _ := io.ReadAll(c.r) // a reset is an end as well
	return ending{time.Since(begin), string(said)}
}

// checkQuick asks once a second until done, and reports if the usual answer is
// not there in 200 ms.
func checkQuick(t *testing.T, s *server, done <-chan struct{}) {
	t.Helper()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var took []time.Duration
	for {
		select {
		case <-tick.C:
			begin := time.Now()
			checkProblem(t, s.ask(t, head("GET /users/me/ HTTP/1.1", "Host: h", "Connection: close")), 401, "Not authenticated")
			took = append(took, time.Since(begin))
		case <-done:
			slices.Sort(took)
			if usual := took[len(took)/2]; usual > 200*time.Millisecond {
				t.Errorf("others wait %v for their answers; want at most 200 ms", usual)
			}
			return
		}
	}
}
