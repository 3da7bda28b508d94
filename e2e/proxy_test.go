package e2e

import (
	"bytes"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"
)

// A proxy passes connections on to a server, until a test makes it a bad network.
type proxy struct {
	port int

	mu      sync.Mutex // guards the fields below
	target  string     // where new connections go
	links   map[*link]bool
	mute    bool          // new links pass nothing on
	latency time.Duration // of what the server says
	cut     cut
	left    int // how many more times cut is to happen
}

// A cut breaks the link on which a marker is seen to pass to the server.
type cut struct {
	marker   string
	answered bool // break it when the answer comes, not before the server knows
	silent   bool // do not break it: the server knows, and nobody ever hears of it
}

// A link is a connection of a client, and ours to the server in its name.
type link struct {
	client, server net.Conn
	mute           bool // both sides hear nothing, and do not know it
	doomed         bool // to be cut when the server speaks
}

// startProxy starts a proxy to a port of this machine.
func startProxy(t testing.TB, port int) *proxy {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{port: ln.Addr().(*net.TCPAddr).Port, links: make(map[*link]bool)}
	p.lead(port)
	var done sync.WaitGroup
	done.Go(func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			done.Go(func() { p.serve(client) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		p.shape(func() { p.mute, p.latency = false, 0 })
		p.breakAll()
		done.Wait()
	})
	return p
}

// shape changes the network.
func (p *proxy) shape(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

// lead makes new connections go to a port.
func (p *proxy) lead(port int) {
	p.shape(func() { p.target = fmt.Sprintf("127.0.0.1:%d", port) })
}

// cutNext breaks a link the next few times that c happens.
func (p *proxy) cutNext(times int, c cut) { p.shape(func() { p.cut, p.left = c, times }) }

// cuts returns how many are still to come.
func (p *proxy) cuts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.left
}

// silence makes the links that there are pass nothing on any more, and new ones
// too if future is true.
func (p *proxy) silence(future bool) {
	p.shape(func() {
		p.mute = future
		for l := range p.links {
			l.mute = true
		}
	})
}

// flow lets new links pass everything on at once, and old ones too.
func (p *proxy) flow() {
	p.shape(func() {
		p.mute, p.latency = false, 0
		for l := range p.links {
			l.mute = false
		}
	})
}

// breakAll resets every link.
func (p *proxy) breakAll() {
	p.shape(func() {
		for l := range p.links {
			l.reset()
		}
	})
}

// hangUp ends every link as a server does that goes in peace: what the client
// sends next is still taken.
func (p *proxy) hangUp() {
	p.shape(func() {
		for l := range p.links {
			l.client.(*net.TCPConn).CloseWrite()
		}
	})
}

// open counts the links.
func (p *proxy) open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.links)
}

// serve passes on what a client and the server say, until one of them ends it.
func (p *proxy) serve(client net.Conn) {
	l := &link{client: client}
	defer l.reset()
	var target string
	p.shape(func() { target, l.mute = p.target, p.mute })
	server, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	l.server = server
	p.shape(func() { p.links[l] = true })
	defer p.shape(func() { delete(p.links, l) })
	var done sync.WaitGroup
	done.Go(func() { p.pump(l, client, server) })
	p.pump(l, server, client)
	done.Wait()
}

// pump passes on what one side of l says.
func (p *proxy) pump(l *link, from, to net.Conn) {
	defer l.reset()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		pass, latency := p.judge(l, from == l.client, buf[:n])
		if latency > 0 {
			<-time.After(latency)
		}
		if !pass {
			continue
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// judge says what happens to a message. If it is to be the last one, l is broken.
func (p *proxy) judge(l *link, fromClient bool, message []byte) (pass bool, latency time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case l.mute:
		return false, 0
	case !fromClient && l.doomed:
		l.reset()
		return false, 0
	case !fromClient:
		return true, p.latency
	case p.left > 0 && bytes.Contains(message, []byte(p.cut.marker)):
		p.left--
		l.doomed, l.mute = p.cut.answered, p.cut.silent
		if !l.doomed && !l.mute {
			l.reset()
		}
		return l.doomed || l.mute, 0
	}
	return true, 0
}

// reset ends both connections without a farewell.
func (l *link) reset() {
	for _, c := range []net.Conn{l.client, l.server} {
		if c, ok := c.(*net.TCPConn); ok {
			c.SetLinger(0)
			c.Close()
		}
	}
}
