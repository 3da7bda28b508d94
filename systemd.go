package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
)

// inheritedListener returns the socket that systemd has opened for this process, or nil if
// there is none (sd_listen_fds(3)). It marks what it was given as close-on-exec, and clears the
// variables that announced it. Its error is a configError if the socket unit is wrong.
func inheritedListener() (net.Listener, error) {
	files := activation.Files(true) // none unless LISTEN_PID names this process
	for _, f := range files {
		defer f.Close() // the listener has a copy of its own
	}
	switch len(files) {
	case 0:
		return nil, nil
	case 1:
		return listenerOf(files[0])
	}
	return nil, usageErrorf("LISTEN_FDS: systemd passes %d sockets; want one, so one ListenStream= in the socket unit", len(files))
}

// listenerOf returns the TCP listener whose descriptor f is. Clients of a Unix socket have no
// address, so the limits on guessing would take all of them for one source: it is refused.
func listenerOf(f *os.File) (net.Listener, error) {
	ln, err := net.FileListener(f)
	if errors.Is(err, syscall.EINVAL) { // UDP, and families without streams
		return nil, errNotTCP
	}
	if err != nil {
		return nil, fmt.Errorf("LISTEN_FDS: cannot use descriptor 3: %w; want the socket that systemd listens on", withoutName(err))
	}
	if _, ok := ln.(*net.TCPListener); !ok || isConnected(f) {
		ln.Close()
		return nil, errNotTCP
	}
	return ln, nil
}

// errNotTCP means that systemd has passed a socket on which no TCP client can arrive.
var errNotTCP = usageErrorf("LISTEN_FDS: descriptor 3 is no TCP socket that listens; want ListenStream=host:port and Accept=no in the socket unit")

// isConnected reports whether f is one end of a connection, as with Accept=yes.
func isConnected(f *os.File) bool {
	conn, err := net.FileConn(f)
	if err != nil {
		return false
	}
	defer conn.Close()
	return conn.RemoteAddr() != nil
}

// withoutName unwraps a net.OpError, whose text would repeat the descriptor.
func withoutName(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	return err
}

// notifyLimit is how long the server waits for a service manager that does not read. The
// protocol has no answer: a message that was sent is enough.
const notifyLimit = time.Second

// notifySystemd tells the service manager about a change of state (sd_notify(3)). It does
// nothing unless NOTIFY_SOCKET is set. A failure is logged, and the server goes on.
func notifySystemd(state string, log *slog.Logger) {
	sent := make(chan error, 1)
	go func() { // package daemon has no deadline: the write waits as long as the queue is full
		_, err := daemon.SdNotify(false, state) // NOTIFY_SOCKET is needed again, and no child inherits it
		sent <- err
	}()
	var err error
	select {
	case err = <-sent:
	case <-time.After(notifyLimit):
		err = fmt.Errorf("nobody has read from NOTIFY_SOCKET for %v", notifyLimit)
	}
	if err != nil {
		log.Warn("systemd cannot be told that the server is ready or stops", "err", err)
	}
}

// stoppingState is the message that a stop has begun, and how long it may take. systemd waits that
// long, even if TimeoutStopSec is less.
func stoppingState(longest time.Duration) string {
	const reserve = 5 * time.Second // to close the store
	return fmt.Sprintf("%s\nEXTEND_TIMEOUT_USEC=%d", daemon.SdNotifyStopping, (longest + reserve).Microseconds())
}
