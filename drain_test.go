package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// A lateListener calls stop when a server begins to serve on it. It takes no connections, and hears of
// its end late, as on a busy machine.
type lateListener struct {
	stop   context.CancelFunc
	closed chan struct{}
}

func (l lateListener) Accept() (net.Conn, error) {
	l.stop()
	<-l.closed
	time.Sleep(time.Second)
	return nil, net.ErrClosed
}

func (l lateListener) Close() error {
	select {
	case <-l.closed:
		return net.ErrClosed
	default:
		close(l.closed)
		return nil
	}
}

func (l lateListener) Addr() net.Addr { return &net.TCPAddr{} }

// TestStopBeforeListenerEnds: a stop with nothing under way succeeds, even if Serve is still about to
// return.
func TestStopBeforeListenerEnds(t *testing.T) {
	for _, patience := range []time.Duration{0, 100 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			end := shutdown{announce: func() {}, patience: patience}
			if err := serveUntil(ctx, new(http.Server), lateListener{stop, make(chan struct{})}, end, slog.New(slog.DiscardHandler)); err != nil {
				t.Errorf("with a patience of %v: %v", patience, err)
			}
		})
	}
}
