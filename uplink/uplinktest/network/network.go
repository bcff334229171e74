// Package network is a bad line in front of a broker, made with toxiproxy: it
// delays, narrows, cuts, refuses and swallows. uplinktest.Relay is the lighter one
// of tests that only cut; this one has what a mobile network does to a store.
package network

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	"github.com/rs/zerolog/log"
)

// Line is a TCP line to one target.
//
// Fault model: every fault works in both directions and on connections that
// exist already. Cut ends them all, what is under way is lost; Refuse closes the
// port as well. HalfOpen drops every byte and closes nothing, as a pulled cable
// does; its end closes the connections that were in it. Faults add up until Heal.
type Line struct {
	mu    sync.Mutex
	proxy *toxiproxy.Proxy
	on    map[string]bool // names of toxics
}

// silence ends the lines that toxiproxy writes to zerolog's global logger, which
// nothing else here uses.
var silence sync.Once

// Open makes a line from a free loopback port to target (host:port).
func Open(target string) (*Line, error) {
	silence.Do(func() { log.Logger = zerolog.Nop() })
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	l := &Line{proxy: toxiproxy.NewProxy(server, "line", "127.0.0.1:0", target), on: map[string]bool{}}
	if err := l.proxy.Start(); err != nil {
		return nil, fmt.Errorf("open a line to %s: %w", target, err)
	}
	return l, nil
}

// Addr is the near end's host and port; it stays over Refuse.
func (l *Line) Addr() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.proxy.Listen
}

// Delay holds everything back by d, give or take jitter; 0 ends it.
func (l *Line) Delay(d, jitter time.Duration) error {
	return l.set("latency", d > 0, map[string]any{"latency": d.Milliseconds(), "jitter": jitter.Milliseconds()})
}

// Rate lets so many kB a second through in each direction; 0 ends it.
func (l *Line) Rate(kBps int) error {
	return l.set("bandwidth", kBps > 0, map[string]any{"rate": kBps})
}

// HalfOpen swallows everything, or ends that.
func (l *Line) HalfOpen(on bool) error {
	return l.set("timeout", on, map[string]any{"timeout": 0})
}

// Cut ends every connection; new ones work at once.
func (l *Line) Cut() error {
	if err := l.Refuse(true); err != nil {
		return err
	}
	return l.Refuse(false)
}

// Refuse closes the port and cuts, or opens the same port again.
func (l *Line) Refuse(on bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if on {
		l.proxy.Stop()
		return nil
	}
	if l.proxy.Enabled {
		return nil
	}
	if err := l.proxy.Start(); err != nil {
		return fmt.Errorf("open the line again: %w", err)
	}
	return nil
}

// Heal ends every fault.
func (l *Line) Heal() error {
	for _, kind := range []string{"latency", "bandwidth", "timeout"} {
		if err := l.set(kind, false, nil); err != nil {
			return err
		}
	}
	return l.Refuse(false)
}

// Close ends the line.
func (l *Line) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.proxy.Stop()
	l.proxy.Toxics.ResetToxics(context.Background())
}

// set puts a toxic on both directions in place of the last of its kind.
func (l *Line) set(kind string, on bool, attributes map[string]any) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, direction := range []string{"upstream", "downstream"} {
		name := kind + "_" + direction
		if l.on[name] {
			delete(l.on, name)
			if err := l.proxy.Toxics.RemoveToxic(context.Background(), name); err != nil {
				return fmt.Errorf("end %s: %w", name, err)
			}
		}
		if !on {
			continue
		}
		raw, err := json.Marshal(map[string]any{"name": name, "type": kind, "stream": direction, "attributes": attributes})
		if err != nil {
			return err
		}
		if _, err := l.proxy.Toxics.AddToxicJson(bytes.NewReader(raw)); err != nil {
			return fmt.Errorf("begin %s: %w", name, err)
		}
		l.on[name] = true
	}
	return nil
}
