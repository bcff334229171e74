package uplinktest

import (
	"fmt"
	"net"
	"sync"
)

// Relay is a TCP relay in front of a broker: the network, with its faults.
//
// Fault model: Cut ends every connection with a reset, data under way is lost;
// Refuse closes the port, so that connecting fails at once; Blackhole keeps
// connections open and accepts new ones, and moves nothing in either direction,
// as a pulled cable does. Bytes held back by a blackhole are not delivered later:
// healing cuts the connections that were in it.
type Relay struct {
	target string
	addr   string

	mu       sync.Mutex
	listener net.Listener // nil while refusing or closed
	dark     bool
	pairs    map[*pair]bool
	closed   bool
	workers  sync.WaitGroup
}

// pair is one relayed connection. It dies as a whole.
type pair struct {
	client net.Conn
	once   sync.Once
	down   chan struct{}
}

// NewRelay relays a free loopback port to target (host:port).
func NewRelay(target string) (*Relay, error) {
	r := &Relay{target: target, addr: "127.0.0.1:0", pairs: map[*pair]bool{}}
	if err := r.listen(); err != nil {
		return nil, err
	}
	return r, nil
}

// Addr is the relay's host and port.
func (r *Relay) Addr() string { return r.addr }

// URL is the relay's address for uplink.Config.
func (r *Relay) URL() string { return "mqtt://" + r.addr }

// Cut resets every connection; new ones work at once.
func (r *Relay) Cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p := range r.pairs {
		p.reset()
	}
}

// Refuse closes the port and cuts, or opens it again on the same number.
func (r *Relay) Refuse(on bool) error {
	r.mu.Lock()
	l := r.listener
	if on {
		r.listener = nil
	}
	r.mu.Unlock()
	if on {
		if l != nil {
			l.Close()
		}
		r.Cut()
		return nil
	}
	if l != nil {
		return nil
	}
	return r.listen()
}

// Blackhole swallows everything, or heals by cutting what was swallowed.
func (r *Relay) Blackhole(on bool) {
	r.mu.Lock()
	heals := r.dark && !on
	r.dark = on
	r.mu.Unlock()
	if heals {
		r.Cut()
	}
}

// Close ends the relay and waits for its goroutines.
func (r *Relay) Close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	_ = r.Refuse(true) // closing cannot fail
	r.workers.Wait()
}

func (r *Relay) listen() error {
	l, err := net.Listen("tcp", r.addr)
	if err != nil {
		return fmt.Errorf("relay: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.addr, r.listener = l.Addr().String(), l
	r.workers.Go(func() { r.accept(l) })
	return nil
}

func (r *Relay) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		p := &pair{client: c, down: make(chan struct{})}
		r.mu.Lock()
		if r.listener != l || r.closed {
			r.mu.Unlock()
			p.reset()
			return
		}
		r.pairs[p] = true
		r.workers.Go(func() {
			r.carry(p)
			r.mu.Lock()
			delete(r.pairs, p)
			r.mu.Unlock()
		})
		r.mu.Unlock()
	}
}

func (r *Relay) carry(p *pair) {
	defer p.reset()
	if r.isDark() {
		<-p.down
		return
	}
	s, err := net.Dial("tcp", r.target)
	if err != nil {
		return
	}
	defer s.Close()
	var both sync.WaitGroup
	both.Go(func() { r.pump(p, s, p.client) })
	both.Go(func() { r.pump(p, p.client, s) })
	<-p.down
	s.Close()
	both.Wait()
}

// pump copies until an end closes or the network goes dark.
func (r *Relay) pump(p *pair, to, from net.Conn) {
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		if r.isDark() {
			<-p.down
			return
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				p.reset()
				return
			}
		}
		if err != nil {
			p.reset()
			return
		}
	}
}

func (r *Relay) isDark() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dark
}

// reset closes with RST, so that the peer notices at once.
func (p *pair) reset() {
	p.once.Do(func() {
		if t, ok := p.client.(*net.TCPConn); ok {
			_ = t.SetLinger(0)
		}
		p.client.Close()
		close(p.down)
	})
}
