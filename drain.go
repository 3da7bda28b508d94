package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// errCutShort means that the server stopped before it had answered all requests; the log
// says so.
var errCutShort = errors.New("stopped with requests under way")

// A shutdown is how a server stops: it announces the stop, goes on serving for a while so
// that load balancers notice, and then waits for the requests under way.
type shutdown struct {
	announce func()
	delay    time.Duration
	patience time.Duration
}

// serveUntil serves on ln until ctx is done and the delay is over. Then it takes no more
// connections and waits for the requests under way. It returns errCutShort if its patience
// was not enough.
func serveUntil(ctx context.Context, srv *http.Server, ln net.Listener, end shutdown, log *slog.Logger) error {
	var underWay atomic.Int64
	srv.Handler = counted(&underWay, srv.Handler)
	var fresh freshConns
	srv.ConnState = fresh.note
	served := make(chan error, 1)
	go func() { served <- serveOn(srv, ln) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	end.announce()
	log.Info("stopping", "delay", end.delay.String(), "patience", end.patience.String())
	select {
	case err := <-served:
		return err
	case <-time.After(end.delay):
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), end.patience)
	defer cancel()
	ln.Close()
	<-served                        // or Shutdown would fail, because somebody else has closed the listener
	srv.SetKeepAlivesEnabled(false) // closes those that are idle
	fresh.await(grace)
	if err := srv.Shutdown(grace); err != nil {
		log.Error(errCutShort.Error(), "requests", underWay.Load(), "patience", end.patience.String())
		srv.Close()
		return errCutShort
	}
	log.Info("stopped")
	return nil
}

// freshConns are the connections that have not sent a request yet. After Shutdown has begun,
// net/http drops the requests that it reads on them, even those that were sent before the stop.
// Clients would notice if another process goes on with the same socket, or if a load balancer
// still sends requests.
type freshConns struct {
	n     atomic.Int64 // of conns
	mu    sync.Mutex   // guards conns
	conns map[net.Conn]bool
}

// note is the ConnState of a server. It needs no lock for connections that go on.
func (f *freshConns) note(c net.Conn, state http.ConnState) {
	if state != http.StateNew && f.n.Load() == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.conns == nil {
		f.conns = make(map[net.Conn]bool)
	}
	if state == http.StateNew {
		f.conns[c] = true
	} else {
		delete(f.conns, c)
	}
	f.n.Store(int64(len(f.conns)))
}

const (
	freshPatience = time.Second           // for the first request on a connection
	freshPoll     = 10 * time.Millisecond // after which a request that was read is under way
)

// await waits until every connection has sent a request, for freshPatience at most.
func (f *freshConns) await(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, freshPatience)
	defer cancel()
	for sleep(ctx, freshPoll) && f.n.Load() > 0 {
	}
}

// counted counts in n the requests that h is answering.
func counted(n *atomic.Int64, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.Add(1)
		defer n.Add(-1)
		h.ServeHTTP(w, r)
	})
}

func serveOn(srv *http.Server, ln net.Listener) error {
	if srv.TLSConfig != nil {
		return srv.ServeTLS(ln, "", "")
	}
	return srv.Serve(ln)
}
