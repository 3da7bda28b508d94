package e2e

import (
	"crypto/ecdsa"
	"crypto/tls"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A renewal is a server with a certificate whose files a test replaces.
type renewal struct {
	*server
	certFile, keyFile string
}

func startRenewal(t *testing.T) *renewal {
	t.Helper()
	dir := t.TempDir()
	r := &renewal{nil, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	r.renew(t)
	r.server = start(t, "TLS_CERT_FILE="+r.certFile, "TLS_KEY_FILE="+r.keyFile)
	return r
}

// renew writes another certificate, and returns its public key.
func (r *renewal) renew(t *testing.T) *ecdsa.PublicKey {
	t.Helper()
	c := newCert(t)
	writeFile(t, r.certFile, c.pem(t, time.Now().Add(time.Hour)))
	writeFile(t, r.keyFile, pkcs8(t, c.private))
	return &c.private.PublicKey
}

// shows reports whether a new client sees this public key.
func (r *renewal) shows(t *testing.T, want *ecdsa.PublicKey) bool {
	t.Helper()
	c, err := tls.Dial("tcp", r.addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got, ok := c.ConnectionState().PeerCertificates[0].PublicKey.(*ecdsa.PublicKey)
	return ok && got.Equal(want)
}

// TestCertificateAtHangup: SIGHUP rereads the certificate at once, and keeps the old one if
// the new one is broken. Connections go on.
func TestCertificateAtHangup(t *testing.T) {
	t.Parallel()
	r := startRenewal(t)
	old := r.dial(t)
	ask := head("GET /users/me/ HTTP/1.1", "Host: h")
	old.send(ask)
	checkProblem(t, old.answer("GET"), 401, "Not authenticated")
	next := r.renew(t)
	r.signal(syscall.SIGHUP)
	waitFor(t, "the new certificate", func() bool { return r.shows(t, next) })

	writeFile(t, r.keyFile, "garbage")
	r.signal(syscall.SIGHUP)
	const broken = "the new TLS certificate cannot be used; the old one stays"
	waitFor(t, "a complaint", func() bool { return len(r.log.events(broken)) == 1 })
	if !r.shows(t, next) {
		t.Error("the certificate is gone")
	}
	old.send(ask)
	checkProblem(t, old.answer("GET"), 401, "Not authenticated")
	if a := r.do(t, "GET", "/livez", ""); a.Proto != "HTTP/2.0" {
		t.Errorf("answered in %s", a.Proto)
	}
}

// TestCertificateThatChanges: the files are noticed without a signal.
func TestCertificateThatChanges(t *testing.T) {
	long(t)
	t.Parallel()
	r := startRenewal(t)
	for range 2 {
		next, begin := r.renew(t), time.Now()
		waitFor(t, "the new certificate", func() bool { return r.shows(t, next) })
		if took := time.Since(begin); took > allow(5*time.Second) {
			t.Errorf("noticed after %v", took)
		}
	}
}

// TestHangupWithoutTLS: the signal that ends most programs does not end this one.
func TestHangupWithoutTLS(t *testing.T) {
	t.Parallel()
	s := start(t)
	const nothing = "SIGHUP: there is no TLS certificate to reread; settings are read only at the start"
	s.signal(syscall.SIGHUP)
	waitFor(t, "a word about it", func() bool { return len(s.log.events(nothing)) == 1 })
	checkProblem(t, s.do(t, "GET", "/users/me/", ""), 401, "Not authenticated")
}
