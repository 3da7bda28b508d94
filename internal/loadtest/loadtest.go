// Package loadtest sends requests over many connections at once. It does as little work as it can for
// each, because the client shares the machine with what is measured.
package loadtest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"
)

// A Script is what one connection sends. It returns the first request if answer is nil, and otherwise
// the request that follows an answer with this body. It must not keep the body.
type Script func(answer []byte) (request []byte, err error)

// InTurn returns a script that sends the requests again and again.
func InTurn(requests ...string) Script { return inTurnFrom(0, requests) }

// inTurnFrom is InTurn, but begins with the request at first.
func inTurnFrom(first int, requests []string) Script {
	texts := make([][]byte, len(requests))
	for i, request := range requests {
		texts[i] = []byte(request)
	}
	i := first - 1
	return func([]byte) ([]byte, error) {
		i++
		return texts[i%len(texts)], nil
	}
}

// A Load is a server, and the scripts that one or several runs send to it.
type Load struct {
	addr    string
	scripts []Script

	mu    sync.Mutex
	waits []time.Duration // how long each answer took
}

// New returns a load with a connection for each script.
func New(addr string, scripts ...Script) *Load { return &Load{addr: addr, scripts: scripts} }

// Of returns a load with n connections that send the same requests. Each begins at another one, so that
// they do not all ask the same at the same moment.
func Of(addr string, n int, requests ...string) *Load {
	l := New(addr)
	for i := range n {
		l.scripts = append(l.scripts, inTurnFrom(i*len(requests)/n, requests))
	}
	return l
}

// Run follows the scripts for d, and returns how many requests were answered a second. It returns an
// error if an answer is not 200. The next run goes on where this one ends.
func (l *Load) Run(d time.Duration) (rate float64, err error) {
	var all sync.WaitGroup
	errs := make([]error, len(l.scripts))
	before := len(l.waits)
	start := time.Now()
	for i, next := range l.scripts {
		all.Go(func() { errs[i] = l.follow(next, start.Add(d)) })
	}
	all.Wait()
	return float64(len(l.waits)-before) / time.Since(start).Seconds(), errors.Join(errs...)
}

// Wait returns the time, in milliseconds, within which the part q of all answers came: 0.99 is for the
// 99th percentile. It returns 0 if there was no answer.
func (l *Load) Wait(q float64) float64 {
	slices.Sort(l.waits)
	if len(l.waits) == 0 {
		return 0
	}
	return float64(l.waits[int(q*float64(len(l.waits)-1))].Microseconds()) / 1000
}

// follow follows a script over a connection of its own until end.
func (l *Load) follow(next Script, end time.Time) error {
	c, err := net.Dial("tcp", l.addr)
	if err != nil {
		return err
	}
	defer c.Close()
	var waits []time.Duration
	defer func() { l.add(waits) }()
	r := bufio.NewReader(c)
	request, err := next(nil)
	for sent := time.Now(); err == nil && sent.Before(end); {
		var answer []byte
		if answer, err = roundTrip(c, r, request); err != nil {
			return err
		}
		now := time.Now()
		waits = append(waits, now.Sub(sent))
		sent = now
		request, err = next(answer)
	}
	return err
}

func (l *Load) add(waits []time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waits = append(l.waits, waits...)
}

// roundTrip sends a request and returns the body of the answer, which is good until r is used again.
func roundTrip(c net.Conn, r *bufio.Reader, request []byte) ([]byte, error) {
	if _, err := c.Write(request); err != nil {
		return nil, err
	}
	status, err := r.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(status, []byte("HTTP/1.1 200 ")) {
		return nil, fmt.Errorf("answered %q; want 200", status)
	}
	length, err := readHeader(r)
	if err != nil {
		return nil, err
	}
	body, err := r.Peek(length)
	r.Discard(len(body)) // the bytes stay where they are
	return body, err
}

var lengthHeader = []byte("Content-Length:")

// readHeader reads a header to its end, and returns how long the body is.
func readHeader(r *bufio.Reader) (length int, err error) {
	for {
		line, err := r.ReadSlice('\n')
		if err != nil || len(line) == 2 {
			return length, err
		}
		if len(line) < len(lengthHeader) || !bytes.EqualFold(line[:len(lengthHeader)], lengthHeader) {
			continue
		}
		if length, err = strconv.Atoi(string(bytes.TrimSpace(line[len(lengthHeader):]))); err != nil {
			return 0, err
		}
	}
}
