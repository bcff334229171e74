// Package conform is the test that each reader backend passes. It is apart from readertest because it needs package
// testing, which does not belong into cmd/phonesim and cmd/tapdemo.
package conform

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tapkeeper/reader"
	"tapkeeper/reader/readertest"
)

// Rig is one reader backend under test.
type Rig struct {
	// Open makes a fresh reader with an empty field, and the field that belongs to it. The test closes the reader.
	Open func(t *testing.T) (reader.Reader, readertest.Field)
	// Notice is how long this backend may take to see a phone come or go.
	Notice time.Duration
}

// patience is the bound for what must end soon, on a busy machine with the race detector.
const patience = 5 * time.Second

// Run holds a backend to the contract of package reader.
func Run(t *testing.T, rig Rig) {
	for _, tc := range []struct {
		name string
		run  func(*bench)
	}{
		{"exchange", testExchange},
		{"await waits for a phone", testAwaitWaits},
		{"await ends with its context", testAwaitCancelled},
		{"released phone is activated again", testActivateAgain},
		{"second await", testBusy},
		{"phone leaves during an exchange", testLeaveDuring},
		{"phone leaves between two exchanges", testLeaveBetween},
		{"phone leaves instead of answering", testLeaveInstead},
		{"late answer is thrown away", testLateAnswer},
		{"lengths", testLengths},
		{"short answer", testShortAnswer},
		{"close during await", testCloseAwait},
		{"close during an exchange", testCloseTransmit},
	} {
		t.Run(tc.name, func(t *testing.T) {
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			b := &bench{T: t, notice: rig.Notice}
			b.reader, b.field = rig.Open(t)
			defer func() {
				b.field.Remove()
				b.within(patience, "close", func() {
					for range 2 {
						if err := b.reader.Close(); err != nil {
							t.Errorf("close: %v", err)
						}
					}
				})
			}()
			tc.run(b)
		})
	}
}

var echo = []byte{0x00, 0xA4, 0x04, 0x00, 0x02, 0x11, 0x22}

type bench struct {
	*testing.T
	reader reader.Reader
	field  readertest.Field
	notice time.Duration
}

// within fails the test when f takes longer than d; f runs in the test's own goroutine.
func (b *bench) within(d time.Duration, what string, f func()) {
	b.Helper()
	start := time.Now()
	f()
	if took := time.Since(start); took > d {
		b.Errorf("%s took %v, want at most %v", what, took, d)
	}
}

func (b *bench) present(p readertest.Phone) {
	b.Helper()
	if err := b.field.Present(p); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) await() reader.Card {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), b.notice+patience)
	defer cancel()
	card, err := b.reader.Await(ctx)
	if err != nil {
		b.Fatalf("await: %v", err)
	}
	return card
}

func (b *bench) transmit(card reader.Card, command []byte) ([]byte, error) {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	answer, took, err := card.Transmit(ctx, command)
	if err == nil && took <= 0 {
		b.Errorf("an exchange took %v", took)
	}
	if err != nil && answer != nil {
		b.Errorf("answer %x beside the error %v", answer, err)
	}
	return answer, err
}

func (b *bench) wantEcho(card reader.Card, command []byte) {
	b.Helper()
	answer, err := b.transmit(card, command)
	if err != nil || !bytes.Equal(answer, append(bytes.Clone(command), 0x90, 0x00)) {
		b.Fatalf("answer %x, %v; want the command and 9000", answer, err)
	}
}

// wantOver: an activation that has ended gives an error at once, and can be released, twice.
func (b *bench) wantOver(card reader.Card) {
	b.Helper()
	b.within(patience, "a command after the end", func() {
		if answer, err := b.transmit(card, echo); err == nil {
			b.Errorf("an activation that was over answered %x", answer)
		}
	})
	b.release(card)
}

func (b *bench) release(card reader.Card) {
	b.Helper()
	b.within(patience, "release", func() {
		for range 2 {
			if err := card.Release(0); err != nil {
				b.Errorf("release: %v", err)
			}
		}
	})
}

// eventually polls for what a backend does in its own time.
func (b *bench) eventually(what string, ok func() bool) {
	b.Helper()
	for end := time.Now().Add(b.notice + patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			b.Fatalf("%s: did not happen", what)
		}
	}
}

func (b *bench) wantErr(got, want error) {
	b.Helper()
	if !errors.Is(got, want) {
		b.Errorf("error %v, want %v", got, want)
	}
}
