package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"
)

const (
	// readyCheckTimeout is how long ready waits in all: less than the timeouts of health checks, so
	// that it can say why.
	readyCheckTimeout = 2 * time.Second

	// maxReadyAnswer is how much it reads of the answer, in bytes. Latchkey's has fewer than 100.
	maxReadyAnswer = 4 << 10
)

// readyCommand asks the server at ADDR whether it is ready. It prints nothing if it is, because
// health checks run every few seconds and keep what they print.
func readyCommand(ctx context.Context, in *invocation) error {
	targets, err := targetsOf(in.cfg.Addr)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, readyCheckTimeout)
	defer cancel()
	err = askReady(limited, targets, in.cfg.ServerCert)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return errInterrupted
	case limited.Err() != nil:
		return fmt.Errorf("not ready: nothing answers at %s within %v", in.cfg.Addr, readyCheckTimeout)
	}
	return fmt.Errorf("not ready: %w", err)
}

// A target is a network and an address, as a net.Dialer takes them.
type target struct{ network, addr string }

// targetsOf returns where to look for the server that listens on addr, the best first. An address
// that means all networks is this machine. For a name Listen takes an IPv4 address if there is
// one, so this does, too: another program may have the same port of ::1.
func targetsOf(addr string) ([]target, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	if n, _ := net.LookupPort("tcp", port); n == 0 {
		return nil, usageErrorf("ADDR: with port 0 the server chooses the port; want the one that its \"listening\" log line names")
	}
	v4, v6 := target{"tcp4", net.JoinHostPort("127.0.0.1", port)}, target{"tcp6", net.JoinHostPort("::1", port)}
	switch ip, err := netip.ParseAddr(host); {
	case host == "":
		return []target{v4, v6}, nil
	case err != nil:
		return []target{{"tcp4", addr}, {"tcp6", addr}}, nil
	case ip.Is4() && ip.IsUnspecified():
		return []target{v4}, nil
	case ip.IsUnspecified():
		return []target{v6, v4}, nil
	}
	return []target{{"tcp", addr}}, nil
}

// askReady asks the server at the first of the targets where anything listens. It returns why the
// server is not ready, in words that hold nothing of the answer. If the server has a certificate,
// it must show this one.
func askReady(ctx context.Context, targets []target, serverCert []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/readyz", nil)
	if err != nil {
		return err
	}
	if serverCert != nil {
		req.URL.Scheme = "https"
	}
	transport := &http.Transport{ // without a Proxy
		DialContext:            func(ctx context.Context, _, _ string) (net.Conn, error) { return dialFirst(ctx, targets) },
		TLSClientConfig:        pinnedTo(serverCert),
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxReadyAnswer,
	}
	resp, err := transport.RoundTrip(req) // which follows no redirect
	if err != nil {
		return explainNoAnswer(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxReadyAnswer))
	if err != nil {
		return explainNoAnswer(err)
	}
	return readinessOf(resp.StatusCode, body)
}

// dialFirst connects to the first of the targets where anything listens.
func dialFirst(ctx context.Context, targets []target) (conn net.Conn, err error) {
	for _, p := range targets {
		var failed error
		if conn, failed = new(net.Dialer).DialContext(ctx, p.network, p.addr); failed == nil {
			return conn, nil
		}
		if err == nil { // the first says most
			err = failed
		}
	}
	return nil, err
}

var errOtherCert = errors.New("the server's certificate is not the one in TLS_CERT_FILE; want the file that the server reads, and after a renewal a few seconds")

// pinnedTo returns a configuration that trusts only this certificate. It does not look at names,
// which are those that clients use, and not where the server listens.
func pinnedTo(serverCert []byte) *tls.Config {
	return &tls.Config{
		InsecureSkipVerify: true, // VerifyConnection is stricter
		VerifyConnection: func(state tls.ConnectionState) error {
			if !bytes.Equal(state.PeerCertificates[0].Raw, serverCert) {
				return errOtherCert
			}
			return nil
		},
	}
}

// explainNoAnswer says in words of ours why there is no answer. The errors of net/http may quote
// what the server has sent.
func explainNoAnswer(err error) error {
	if errors.Is(err, errOtherCert) {
		return errOtherCert
	}
	if failed, ok := errors.AsType[*net.OpError](err); ok && failed.Op == "dial" {
		return fmt.Errorf("cannot reach the server: %w; want one that runs, and its ADDR", failed)
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return errors.New("what listens at ADDR does not speak HTTPS; want the server's TLS_CERT_FILE, or none if it has none")
	}
	return errNotLatchkey
}

var errNotLatchkey = errors.New("what listens at ADDR does not answer as Latchkey does; want the server's ADDR, and its TLS_CERT_FILE if it has one")

// readinessOf returns why the server is not ready, by its answer.
func readinessOf(status int, body []byte) error {
	var answer struct{ Status, Detail string }
	isJSON := json.Unmarshal(body, &answer) == nil
	_, stopping, _ := describe(errStopping)
	switch {
	case status == http.StatusOK && isJSON && answer.Status == healthy["status"]:
		return nil
	case status == http.StatusServiceUnavailable && isJSON && answer.Detail == stopping.Detail:
		return errors.New("the server is stopping")
	case status == http.StatusServiceUnavailable && isJSON && answer.Detail != "":
		return errors.New("the server cannot use its database; its log says why")
	}
	return errNotLatchkey
}
