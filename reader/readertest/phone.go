// Package readertest is everything around a card reader that tests and demonstrations need in software: phones, the
// card side of the virtual reader's wire, a reader that lives in the process, the conformance test that each reader
// backend passes, and a private pcscd with Debian's virtual reader. It is never linked into the daemon.
package readertest

import (
	"bytes"
	"sync"
)

// A Phone is one phone as a reader sees it. Its methods are called one at a time, from changing goroutines.
type Phone interface {
	// PowerOn is called when the field reaches the phone, before the first command.
	PowerOn()
	// PowerOff is called when the field is gone; what was not stored is lost.
	PowerOff()
	// Transmit takes one C-APDU and returns the R-APDU. It may take its time, as a phone does. A nil answer means
	// that the phone leaves the field instead of answering. Neither slice is kept by the one who did not make it.
	Transmit(command []byte) (answer []byte)
}

// ATR is the answer to reset of a contactless card without historical bytes (PC/SC part 3), with its right check byte.
// Phones that implement interface{ ATR() []byte } give their own.
func ATR() []byte { return []byte{0x3B, 0x80, 0x80, 0x01, 0x01} }

func atrOf(p Phone) []byte {
	if own, ok := p.(interface{ ATR() []byte }); ok {
		return own.ATR()
	}
	return ATR()
}

// Loop is a Phone that answers each command with the command's own bytes and 90 00. The zero value is ready.
type Loop struct {
	// Reply, when set, makes the answer instead; n counts the commands of this activation from 1. Set it before use.
	Reply func(n int, command []byte) []byte

	mu   sync.Mutex
	on   bool
	ons  int
	n    int
	seen [][]byte
}

// PowerOn implements Phone.
func (l *Loop) PowerOn() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.on, l.n = true, 0
	l.ons++
}

// PowerOff implements Phone.
func (l *Loop) PowerOff() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.on = false
}

// Transmit implements Phone. A command without power is answered 6F 00, so that a test of a reader sees it.
func (l *Loop) Transmit(command []byte) []byte {
	l.mu.Lock()
	l.n++
	n, on := l.n, l.on
	l.seen = append(l.seen, bytes.Clone(command))
	l.mu.Unlock()
	switch {
	case !on:
		return []byte{0x6F, 0x00}
	case l.Reply != nil:
		return l.Reply(n, command)
	}
	return append(bytes.Clone(command), 0x90, 0x00)
}

// Seen returns the commands that have reached the phone.
func (l *Loop) Seen() [][]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([][]byte(nil), l.seen...)
}

// Activations is how often the phone was powered on.
func (l *Loop) Activations() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ons
}

// Powered says whether the phone has power.
func (l *Loop) Powered() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.on
}
