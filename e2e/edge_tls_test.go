package e2e

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// startTLS starts a server that speaks HTTPS with a certificate of its own.
func startTLS(t testing.TB) *server {
	t.Helper()
	return start(t, tlsSettings(t)...)
}

// tlsSettings are those of a server with a certificate.
func tlsSettings(t testing.TB) []string {
	t.Helper()
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	c := newCert(t)
	writeFile(t, certFile, c.pem(t, time.Now().Add(time.Hour)))
	writeFile(t, keyFile, pkcs8(t, c.private))
	return []string{"TLS_CERT_FILE=" + certFile, "TLS_KEY_FILE=" + keyFile}
}

func TestHTTPS(t *testing.T) {
	t.Parallel()
	s := startTLS(t)
	s.register(t, "alice")
	a := s.me(t, s.logIn(t, "alice"))
	checkMe(t, a, "alice")
	if a.Proto != "HTTP/2.0" {
		t.Errorf("the client was answered in %s; want HTTP/2.0", a.Proto)
	}
	checkMe(t, s.ask(t, head("GET /users/me/ HTTP/1.1", "Host: h", "Authorization: Bearer "+s.logIn(t, "alice"))), "alice")
}

func TestTLSVersions(t *testing.T) {
	t.Parallel()
	s := startTLS(t)
	tests := []struct {
		version uint16
		ok      bool
	}{
		{tls.VersionTLS10, false},
		{tls.VersionTLS11, false},
		{tls.VersionTLS12, true},
		{tls.VersionTLS13, true},
	}
	for _, tt := range tests {
		t.Run(tls.VersionName(tt.version), func(t *testing.T) {
			c, err := tls.Dial("tcp", s.addr, &tls.Config{InsecureSkipVerify: true, MinVersion: tt.version, MaxVersion: tt.version})
			if err == nil {
				c.Close()
			}
			if (err == nil) != tt.ok {
				t.Errorf("handshake: %v; want success: %t", err, tt.ok)
			}
		})
	}
}

// TestBadHandshakes sends what is no TLS. The complaint in the log is one line
// of JSON, which start checks.
func TestBadHandshakes(t *testing.T) {
	t.Parallel()
	s := startTLS(t)
	for _, text := range []string{
		head("GET /users/me/ HTTP/1.1", "Host: h"),
		"\x16\x03\x01\xff\xff",
		"\n" + `{"level":"ERROR","msg":"fake"}` + "\n",
	} {
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(patience))
		io.WriteString(c, text)
		c.(*net.TCPConn).CloseWrite()
		if answer, _ := io.ReadAll(c); bytes.Contains(answer, []byte("200 OK")) {
			t.Errorf("%q was answered with %q", text, answer)
		}
		c.Close()
	}
	if len(s.log.events("fake")) > 0 {
		t.Error("a client has written a line of the log")
	}
	checkProblem(t, s.do(t, "GET", "/users/me/", ""), 401, "Not authenticated")
}

func TestSilentHandshakeIsClosed(t *testing.T) {
	long(t)
	t.Parallel()
	s := startTLS(t)
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	begin := time.Now()
	c.SetDeadline(begin.Add(patience))
	io.ReadAll(c)
	if took := time.Since(begin); took < headerLimit-time.Second || took > headerLimit+3*time.Second {
		t.Errorf("closed after %v; want %v", took, headerLimit)
	}
}

// An h2conn is a connection on which a test writes HTTP/2 frames itself.
type h2conn struct {
	*http2.Framer
	t          testing.TB
	c          net.Conn
	maxStreams uint32
}

func (s *server) dialHTTP2(t testing.TB) *h2conn {
	t.Helper()
	c, err := tls.Dial("tcp", s.addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	io.WriteString(c, http2.ClientPreface)
	h := &h2conn{http2.NewFramer(c, c), t, c, 0}
	h.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	h.WriteSettings()
	f, err := h.ReadFrame()
	settings, ok := f.(*http2.SettingsFrame)
	if err != nil || !ok {
		t.Fatalf("got %v, %v; want SETTINGS", f, err)
	}
	h.maxStreams, _ = settings.Value(http2.SettingMaxConcurrentStreams)
	h.WriteSettingsAck()
	return h
}

// encode packs header fields, each given as "name: value".
func encode(fields ...string) []byte {
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, field := range fields {
		i := strings.Index(field[1:], ":") + 1 // the name may begin with a colon
		enc.WriteField(hpack.HeaderField{Name: field[:i], Value: strings.TrimPrefix(field[i+1:], " ")})
	}
	return block.Bytes()
}

// fate says what becomes of a stream: its status, its reset, or the end of the
// whole connection.
func (h *h2conn) fate(stream uint32) string {
	for {
		f, err := h.ReadFrame()
		if err != nil {
			if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
				return "nothing"
			}
			return "closed"
		}
		switch f := f.(type) {
		case *http2.GoAwayFrame:
			if f.ErrCode != http2.ErrCodeNo { // with that, the stream goes on to its end
				return "GOAWAY " + f.ErrCode.String()
			}
		case *http2.RSTStreamFrame:
			if f.StreamID == stream {
				return "RST_STREAM " + f.ErrCode.String()
			}
		case *http2.MetaHeadersFrame:
			if f.StreamID == stream {
				return "status " + f.PseudoValue("status")
			}
		}
	}
}

var getMe = []string{":method: GET", ":scheme: https", ":authority: h", ":path: /users/me/"}
var postToken = []string{":method: POST", ":scheme: https", ":authority: h", ":path: /token"}

func TestHTTP2Streams(t *testing.T) {
	t.Parallel()
	s := startTLS(t)
	const malformed = "^(status 400|RST_STREAM PROTOCOL_ERROR|GOAWAY (PROTOCOL_ERROR|COMPRESSION_ERROR))$"
	with := func(fields []string, more ...string) []string {
		return append(fields[:len(fields):len(fields)], more...)
	}
	tests := []struct {
		name   string
		fields []string
		data   string
		want   string
	}{
		{"a plain request", getMe, "", "^status 401$"},
		{"a plain form", postToken, "a=b", "^status 422$"},
		{"CR LF in a value", with(getMe, "x-evil: a\r\nb: c"), "", malformed},
		{"CR LF in a name", with(getMe, "x-evil\r\nb: c"), "", malformed},
		{"a NUL in a value", with(getMe, "x-evil: a\x00"), "", malformed},
		{"a name in capitals", with(getMe, "X-Evil: a"), "", malformed},
		{"Transfer-Encoding", with(postToken, "transfer-encoding: chunked"), "0\r\n\r\n", malformed},
		{"Connection", with(getMe, "connection: keep-alive"), "", malformed},
		{"no path", getMe[:3], "", malformed},
		{"a path that is empty", with(getMe[:3], ":path: "), "", malformed},
		{"two methods", with(getMe, ":method: POST"), "", malformed},
		{"a pseudo-header behind a header", with(getMe[:3], "x-a: b", ":path: /users/me/"), "", malformed},
		{"a pseudo-header that does not exist", with(getMe, ":evil: a"), "", malformed},
		{"less data than announced", with(postToken, "content-length: 10"), "a=b", malformed},
		{"more data than announced", with(postToken, "content-length: 2"), "a=b", malformed},
		{"a negative length", with(postToken, "content-length: -1"), "a=b", malformed},
		{"a length over the limit", with(postToken, "content-length: 65537"), "a=b", "^status 413$"},
		{"a token of 13 KiB", with(getMe, "authorization: Bearer "+strings.Repeat("a", 13<<10)), "", "^(status 431|GOAWAY .*)$"},
		{"CONNECT", []string{":method: CONNECT", ":authority: evil.example:443"}, "", "^status 40[45]$"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := s.dialHTTP2(t)
			h.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: encode(tt.fields...), EndHeaders: true, EndStream: tt.data == ""})
			if tt.data != "" {
				h.WriteData(1, true, []byte(tt.data))
			}
			if got := h.fate(1); !regexp.MustCompile(tt.want).MatchString(got) {
				t.Errorf("got %s; want %s", got, tt.want)
			}
		})
	}
	checkProblem(t, s.do(t, "GET", "/users/me/", ""), 401, "Not authenticated")
}

// TestHTTP2Floods abuses connections, one after the other. Each has to come to
// an end or to be bounded; the server goes on, and keeps nothing of them open.
func TestHTTP2Floods(t *testing.T) {
	long(t)
	t.Parallel()
	s := startTLS(t)
	floods := []struct {
		name  string
		flood func(t *testing.T, h *h2conn)
	}{
		{"more streams than allowed", floodStreams},
		{"5,000 streams that are reset at once", floodResets},
		{"headers that never end", floodContinuations},
		{"5,000 pings", floodPings},
		{"5,000 settings", floodSettings},
	}
	for _, tt := range floods {
		t.Run(tt.name, func(t *testing.T) {
			h := s.dialHTTP2(t)
			tt.flood(t, h)
			checkProblem(t, s.ask(t, head("GET /users/me/ HTTP/1.1", "Host: h", "Connection: close")), 401, "Not authenticated")
			h.c.Close()
			waitFor(t, "the connections to be closed", func() bool { return s.connections(t) == 0 })
		})
	}
}

func floodStreams(t *testing.T, h *h2conn) {
	if h.maxStreams == 0 || h.maxStreams > 250 {
		t.Fatalf("the server allows %d streams; want a limit, and not above 250", h.maxStreams)
	}
	last := 2*h.maxStreams + 1
	for id := uint32(1); id <= last; id += 2 {
		h.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: encode(postToken...), EndHeaders: true})
	}
	if got := h.fate(last); got != "RST_STREAM REFUSED_STREAM" && got != "RST_STREAM PROTOCOL_ERROR" {
		t.Errorf("the stream above the limit got %s; want a reset", got)
	}
}

func floodResets(t *testing.T, h *h2conn) {
	go io.Copy(io.Discard, h.c)
	for id := uint32(1); id < 2*5000; id += 2 {
		h.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: encode(postToken...), EndHeaders: true})
		if err := h.WriteRSTStream(id, http2.ErrCodeCancel); err != nil {
			return // the server has had enough
		}
	}
}

func floodContinuations(t *testing.T, h *h2conn) {
	h.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: encode(getMe...)})
	block := encode("x-flood: " + strings.Repeat("a", 12<<10))
	for range 1000 {
		if h.WriteContinuation(1, false, block) != nil {
			break
		}
	}
	if got := h.fate(1); got != "closed" && !strings.HasPrefix(got, "GOAWAY") {
		t.Errorf("got %s; want the end of the connection", got)
	}
}

func floodPings(t *testing.T, h *h2conn) {
	for range 5000 {
		if h.WritePing(false, [8]byte{}) != nil { // its answers are not read
			return
		}
	}
}

func floodSettings(t *testing.T, h *h2conn) {
	for range 5000 {
		if h.WriteSettings() != nil {
			return
		}
	}
}
