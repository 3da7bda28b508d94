package main

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// A certificate is the TLS certificate in two files. It follows the files, because
// certificates are renewed every few weeks.
type certificate struct {
	certFile string
	keyFile  string
	current  atomic.Pointer[tls.Certificate]

	used pemPair // of current; this and what follows is only for the goroutine that polls
	seen pemPair // at the last poll
	said complaint
}

// A pemPair holds the contents of the two files.
type pemPair struct{ cert, key string }

// A complaint is what the log says about a pair that is not used.
type complaint struct {
	about pemPair
	text  string
}

// read returns the contents of the files, and why they cannot be used.
func (c *certificate) read() (pair pemPair, certErr, keyErr error) {
	cert, certErr := os.ReadFile(c.certFile)
	key, keyErr := os.ReadFile(c.keyFile)
	return pemPair{string(cert), string(key)}, certErr, keyErr
}

// use makes new connections use the certificate of a pair, or returns why they cannot.
func (c *certificate) use(pair pemPair, now time.Time) error {
	cert, err := tls.X509KeyPair([]byte(pair.cert), []byte(pair.key))
	if err != nil {
		return fmt.Errorf("%w; want a certificate chain in PEM that belongs to TLS_KEY_FILE", err)
	}
	if now.After(cert.Leaf.NotAfter) || now.Before(cert.Leaf.NotBefore) {
		return fmt.Errorf("the certificate is good from %s to %s only: it has expired, or is not yet valid",
			cert.Leaf.NotBefore.Format(time.DateOnly), cert.Leaf.NotAfter.Format(time.DateOnly))
	}
	c.current.Store(&cert)
	c.used = pair
	return nil
}

// poll rereads the files. It uses a new pair only after it has found it twice, because the
// files may still be being written.
func (c *certificate) poll(now time.Time, log *slog.Logger) {
	pair, certErr, keyErr := c.read()
	settled := pair == c.seen
	c.seen = pair
	if settled {
		c.replace(pair, errors.Join(certErr, keyErr), now, log)
	}
}

// reload rereads the files at once, and always logs the result.
func (c *certificate) reload(now time.Time, log *slog.Logger) {
	pair, certErr, keyErr := c.read()
	err := errors.Join(certErr, keyErr)
	c.seen, c.said = pair, complaint{}
	if err == nil && pair == c.used {
		log.Info("the TLS certificate is unchanged")
	}
	c.replace(pair, err, now, log)
}

// replace uses a pair, unless readErr says that there is none. If it cannot, it keeps the
// current certificate, even an expired one, and says so once. It tries again at every poll:
// the certificate may become valid.
func (c *certificate) replace(pair pemPair, readErr error, now time.Time, log *slog.Logger) {
	if readErr == nil && pair == c.used {
		c.said = complaint{}
		return
	}
	err := readErr
	if err == nil {
		err = c.use(pair, now)
	}
	if err == nil {
		c.said = complaint{}
		log.Info("the TLS certificate is replaced", "good_until", c.current.Load().Leaf.NotAfter)
		return
	}
	if reason := (complaint{pair, err.Error()}); reason != c.said {
		c.said = reason
		log.Error("the new TLS certificate cannot be used; the old one stays", "err", err, "good_until", c.current.Load().Leaf.NotAfter)
	}
}

// leafOf returns the first certificate of a chain in PEM, in DER, or nil. It is the one that
// tls.X509KeyPair takes for the server's own.
func leafOf(chain []byte) []byte {
	block, rest := pem.Decode(chain)
	for block != nil && block.Type != "CERTIFICATE" {
		block, rest = pem.Decode(rest)
	}
	if block == nil {
		return nil
	}
	return block.Bytes
}

// tlsConfig returns a configuration that uses the current certificate.
func (c *certificate) tlsConfig() *tls.Config {
	return &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current.Load(), nil },
		MinVersion:     tls.VersionTLS12,
	}
}

// certificatePause is the time between two polls. Files are compared by their contents:
// Kubernetes swaps a directory above them, and a copy may keep the time of the original.
const certificatePause = time.Second

// watchCertificate rereads c when its files change and at each signal in hangups, until ctx
// is done. If c is nil, it only keeps the signal from ending the process.
func watchCertificate(ctx context.Context, c *certificate, hangups <-chan os.Signal, log *slog.Logger) {
	ticker := time.NewTicker(certificatePause)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			if c == nil {
				log.Info("SIGHUP: there is no TLS certificate to reread; settings are read only at the start")
				continue
			}
			c.reload(time.Now(), log)
		case <-ticker.C:
			if c != nil {
				c.poll(time.Now(), log)
			}
		}
	}
}
