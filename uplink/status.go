package uplink

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// Problem is why the link is down, in one word.
type Problem string

// The problems. Each names a different thing to look at.
const (
	None          Problem = ""
	NotStarted    Problem = "not_started"
	Stopped       Problem = "stopped"
	NoSuchHost    Problem = "dns"            // the name, or the name server
	Refused       Problem = "refused"        // nothing listens there
	Unreachable   Problem = "unreachable"    // no way to the host
	TimedOut      Problem = "timeout"        // something swallows the packets
	TLSFailed     Problem = "tls"            // certificates or the clock
	NotAuthorised Problem = "not_authorised" // user, password or the broker's rules
	BadProtocol   Problem = "protocol"       // not an MQTT broker, or one that misbehaves
	Lost          Problem = "lost"           // was up; the peer or the network went away
)

// Status of a link, for people and for metrics.
type Status struct {
	Up        bool
	Since     time.Time // of Up, or of the first failure in a row
	Problem   Problem
	Text      string // the last error in plain words
	Attempts  int    // to connect, since the link was up
	Session   uint64
	Heard     time.Time // when the wallet last answered; zero: never
	Connected bool
	// Certificate of this terminal, when Files name one.
	Certificate Certificate
	// Dropped counts messages that were not the wallet's to us, Unhandled those
	// that the handler could not take; LastDropped says why the last was.
	Dropped, Unhandled int64
	LastDropped        string
	// Faults counts the dropped by name: those of wire.Fault, and wrong_answer.
	Faults map[string]int64
}

// Trouble is an error with its problem.
type Trouble struct {
	Problem Problem
	Text    string
	Err     error
}

func (t *Trouble) Error() string { return t.Text }

func (t *Trouble) Unwrap() error { return t.Err }

// Status of now.
func (l *Link) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.statusLocked()
}

func (l *Link) statusLocked() Status {
	s := l.status
	s.Session = l.number
	s.Heard = l.presence.heardAt
	s.Connected = l.presence.connected(time.Now())
	s.Certificate = l.identity.status()
	s.Faults = maps.Clone(l.faults)
	return s
}

func (l *Link) setUp(s *session) {
	l.change(func() {
		l.session = s
		l.presence.up = true
		l.status.Up, l.status.Since, l.status.Attempts = true, time.Now(), 0
		l.status.Problem, l.status.Text = None, ""
	})
}

func (l *Link) setDown(t *Trouble) {
	l.change(func() {
		if l.status.Up || l.status.Problem == NotStarted {
			l.status.Up, l.status.Since = false, time.Now()
		}
		l.session = nil
		l.presence.up = false
		l.status.Attempts++
		l.status.Problem, l.status.Text = t.Problem, t.Text
	})
}

// change applies f under the lock and wakes who waits for a change.
func (l *Link) change(f func()) {
	l.mu.Lock()
	f()
	close(l.changed)
	l.changed = make(chan struct{})
	s := l.statusLocked()
	l.mu.Unlock()
	l.cfg.Changed(s)
}

// troubleOf says in plain words what a connection's error means.
func troubleOf(err error) *Trouble {
	var t *Trouble
	if errors.As(err, &t) {
		return t
	}
	make := func(p Problem, text string) *Trouble { return &Trouble{Problem: p, Text: text, Err: err} }
	var dns *net.DNSError
	var unknownCA x509.UnknownAuthorityError
	var badName x509.HostnameError
	var badCert x509.CertificateInvalidError
	var verify *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var remote *net.OpError
	var timeout net.Error
	switch {
	case errors.As(err, &dns):
		return make(NoSuchHost, "the broker's name "+dns.Name+" is not found: check the address and the name server")
	case errors.As(err, &unknownCA):
		return make(TLSFailed, "the broker's certificate is signed by an authority that is not trusted here")
	case errors.As(err, &badName):
		return make(TLSFailed, "the broker's certificate is for another name")
	case errors.As(err, &badCert) && badCert.Reason == x509.Expired:
		return make(TLSFailed, "the broker's certificate is expired or not yet valid: check this machine's clock first")
	case errors.As(err, &verify), errors.As(err, &badCert):
		return make(TLSFailed, "the broker's certificate is not good: "+err.Error())
	case errors.As(err, &record):
		return make(TLSFailed, "the broker does not speak TLS on this port")
	case errors.As(err, &remote) && remote.Op == "remote error": // how crypto/tls gives a peer's alert
		return make(TLSFailed, "the broker refused TLS ("+remote.Err.Error()+"): check this terminal's certificate")
	case errors.Is(err, packets.ErrorRefusedBadUsernameOrPassword):
		return make(NotAuthorised, "the broker refused the user name or password")
	case errors.Is(err, packets.ErrorRefusedNotAuthorised), errors.Is(err, packets.ErrorRefusedIDRejected):
		return make(NotAuthorised, "the broker does not let this terminal in: check user name, password and client id")
	case errors.Is(err, packets.ErrorRefusedServerUnavailable):
		return make(Refused, "the broker says that it is not available")
	case errors.Is(err, syscall.ECONNREFUSED):
		return make(Refused, "nothing listens at the broker's address: is it running?")
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return make(Unreachable, "there is no way to the broker: check this machine's network")
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded),
		errors.As(err, &timeout) && timeout.Timeout():
		return make(TimedOut, "the broker does not answer: check the network and the firewall")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, net.ErrClosed):
		return make(Lost, "the connection to the broker was closed from the other side")
	}
	return make(BadProtocol, fmt.Sprintf("the broker misbehaves: %v", err))
}
