package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// newPemPair returns a certificate with this serial number and its key, good for an hour from
// begin.
func newPemPair(t *testing.T, serial int64, begin time.Time) pemPair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotBefore: begin, NotAfter: begin.Add(time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return pemPair{text("CERTIFICATE", der), text("PRIVATE KEY", keyDER)}
}

// A watched is a certificate whose files a test changes. Its clock goes on by a second at
// each poll.
type watched struct {
	*certificate
	t   *testing.T
	out *safeBuffer
	log *slog.Logger
	now time.Time
}

func newWatched(t *testing.T) *watched {
	t.Helper()
	dir := t.TempDir()
	w := &watched{t: t, out: new(safeBuffer), now: testTime}
	w.certificate = &certificate{certFile: filepath.Join(dir, "tls.crt"), keyFile: filepath.Join(dir, "tls.key")}
	w.log = slog.New(slog.NewJSONHandler(w.out, nil))
	pair := newPemPair(t, 1, testTime)
	w.write(pair)
	if err := w.use(pair, w.now); err != nil {
		t.Fatal(err)
	}
	w.seen = pair // as after the first poll
	return w
}

// write changes the files. An empty text removes one.
func (w *watched) write(pair pemPair) {
	w.t.Helper()
	for path, text := range map[string]string{w.certFile: pair.cert, w.keyFile: pair.key} {
		err := os.WriteFile(path, []byte(text), 0o600)
		if text == "" {
			err = os.Remove(path)
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *watched) polls(n int) {
	for range n {
		w.now = w.now.Add(time.Second)
		w.poll(w.now, w.log)
	}
}

// check wants a certificate to be shown, and so many complaints in the log.
func (w *watched) check(serial int64, complaints int) {
	w.t.Helper()
	if got := w.current.Load().Leaf.SerialNumber.Int64(); got != serial {
		w.t.Errorf("certificate %d is shown, want %d", got, serial)
	}
	if got := strings.Count(w.out.String(), "cannot be used"); got != complaints {
		w.t.Errorf("%d complaints, want %d: %s", got, complaints, w.out)
	}
}

func TestCertificateIsReplaced(t *testing.T) {
	w := newWatched(t)
	w.polls(3)
	w.check(1, 0)
	w.write(newPemPair(t, 2, testTime))
	w.polls(1)
	w.check(1, 0) // it may still be being written
	w.polls(1)
	w.check(2, 0)
	w.polls(3)
	if n := strings.Count(w.out.String(), "is replaced"); n != 1 {
		t.Errorf("replaced %d times: %s", n, w.out)
	}
}

// TestCertificateInTwoSteps: between its two writes, a pair does not belong together.
func TestCertificateInTwoSteps(t *testing.T) {
	old, next := newPemPair(t, 1, testTime), newPemPair(t, 2, testTime)
	for name, between := range map[string]pemPair{
		"the certificate first": {next.cert, old.key},
		"the key first":         {old.cert, next.key},
		"a part of it":          {next.cert[:100], next.key},
		"nothing there":         {"", ""},
		"nothing in it":         {"\n", "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWatched(t)
			w.write(old)
			w.polls(2)
			w.write(between)
			w.polls(1)
			w.check(1, 0)
			w.write(next)
			w.polls(2)
			w.check(2, 0)
		})
	}
}

// TestBrokenCertificate: the old one stays, which the log says once for each change.
func TestBrokenCertificate(t *testing.T) {
	good := newPemPair(t, 2, testTime)
	for _, tt := range []struct {
		name string
		pair pemPair
		why  string
	}{
		{"no certificate", pemPair{"garbage", good.key}, "failed to find any PEM data"},
		{"no key", pemPair{good.cert, "garbage"}, "failed to find any PEM data"},
		{"a missing file", pemPair{good.cert, ""}, "no such file"},
		{"the key of another", pemPair{good.cert, newPemPair(t, 3, testTime).key}, "does not match"},
		{"one that has expired", newPemPair(t, 4, testTime.Add(-2*time.Hour)), "has expired"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWatched(t)
			w.write(tt.pair)
			w.polls(10)
			w.check(1, 1)
			if log := w.out.String(); !strings.Contains(log, tt.why) || strings.Contains(log, good.key[40:80]) {
				t.Errorf("the log says %s; want %q and no key", log, tt.why)
			}
			w.write(pemPair{tt.pair.cert + "\n", tt.pair.key})
			w.polls(10)
			w.check(1, 2)
			w.reload(w.now, w.log)
			w.check(1, 3)
			w.write(good)
			w.polls(2)
			w.check(2, 3)
		})
	}
}

// TestEarlyCertificate: one that is not yet valid is used when it is.
func TestEarlyCertificate(t *testing.T) {
	w := newWatched(t)
	w.write(newPemPair(t, 2, testTime.Add(time.Minute)))
	w.polls(59)
	w.check(1, 1)
	w.polls(1)
	w.check(2, 1)
}

// TestExpiredCertificateStays: an old one is better than none, when the new one is no better.
func TestExpiredCertificateStays(t *testing.T) {
	w := newWatched(t)
	w.now = testTime.Add(2 * time.Hour)
	w.polls(2)
	w.check(1, 0)
	w.write(newPemPair(t, 2, w.now))
	w.polls(2)
	w.check(2, 0)
}

// TestReload: a signal does not wait, and says what came of it.
func TestReload(t *testing.T) {
	w := newWatched(t)
	w.reload(w.now, w.log)
	if !strings.Contains(w.out.String(), "unchanged") {
		t.Errorf("the log says %s", w.out)
	}
	w.write(newPemPair(t, 2, testTime))
	w.reload(w.now, w.log)
	w.check(2, 0)
}

// TestSwappedDirectory: Kubernetes replaces the link to a directory above the files.
func TestSwappedDirectory(t *testing.T) {
	w := newWatched(t)
	volume := t.TempDir()
	publish := func(name string, pair pemPair) {
		t.Helper()
		w.certFile, w.keyFile = filepath.Join(volume, name, "tls.crt"), filepath.Join(volume, name, "tls.key")
		if err := os.Mkdir(filepath.Join(volume, name), 0o700); err != nil {
			t.Fatal(err)
		}
		w.write(pair)
		err := os.Symlink(name, filepath.Join(volume, "..next"))
		if err == nil {
			err = os.Rename(filepath.Join(volume, "..next"), filepath.Join(volume, "..data"))
		}
		if err != nil {
			t.Fatal(err)
		}
		w.certFile, w.keyFile = filepath.Join(volume, "tls.crt"), filepath.Join(volume, "tls.key")
	}
	for _, name := range []string{"tls.crt", "tls.key"} {
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(volume, name)); err != nil {
			skip(t, "no symbolic links here")
		}
	}
	publish("..2026_01", newPemPair(t, 2, testTime))
	w.polls(2)
	w.check(2, 0)
	publish("..2026_02", newPemPair(t, 3, testTime))
	w.polls(2)
	w.check(3, 0)
}

// TestConnectionsOutliveCertificate: HTTP/2 and resumption go on as they were, and new
// sessions see the new certificate.
func TestConnectionsOutliveCertificate(t *testing.T) {
	w := newWatched(t)
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.Config = newServer(http.NotFoundHandler(), time.Minute, w.log)
	srv.Config.TLSConfig = w.tlsConfig()
	go srv.Config.ServeTLS(srv.Listener, "", "")
	t.Cleanup(func() { srv.Config.Close() })
	client := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}, ClientSessionCache: tls.NewLRUClientSessionCache(4)}
	dial := func(config *tls.Config) tls.ConnectionState {
		t.Helper()
		transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
		defer transport.CloseIdleConnections()
		resp, err := (&http.Client{Transport: transport}).Get("https://" + srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.ProtoMajor != 2 {
			t.Errorf("answered by %s", resp.Proto)
		}
		return *resp.TLS
	}
	if dial(client); !dial(client).DidResume {
		t.Error("no resumption")
	}
	w.write(newPemPair(t, 2, testTime))
	w.polls(2)
	if !dial(client).DidResume {
		t.Error("no resumption after the certificate was replaced")
	}
	if got := dial(&tls.Config{InsecureSkipVerify: true}).PeerCertificates[0].SerialNumber.Int64(); got != 2 {
		t.Errorf("a new client sees certificate %d", got)
	}
}
