//go:build cgo && !nopcsc

package pcsc

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tapkeeper/reader"
	"tapkeeper/reader/readertest"
)

// escapes is a reader that takes escapes as an ACR122U does, and notes them.
type escapes struct {
	mu   sync.Mutex
	seen []string
}

func (e *escapes) answer(_ int, in []byte) []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seen = append(e.seen, strings.ToUpper(hex.EncodeToString(in)))
	if bytes.Equal(in, []byte{0xFF, 0x00, 0x48, 0x00, 0x00}) {
		return []byte("ACR122U203")
	}
	return []byte{0x90, 0x00}
}

func (e *escapes) waitFor(t *testing.T, want string) {
	t.Helper()
	for end := time.Now().Add(3 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		e.mu.Lock()
		found := slices.Contains(e.seen, want)
		seen := slices.Clone(e.seen)
		e.mu.Unlock()
		if found {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the reader was not told %s, but %q", want, seen)
		}
	}
}

func (e *escapes) has(want string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Contains(e.seen, want)
}

func labModel(way reader.EscapeWay) reader.Model {
	return reader.Model{
		Name: "lab-acr122u", Title: "ACS ACR122U", Match: []string{"ACS ACR122U"}, Contactless: true, Escape: way,
		Firmware: reader.Firmware{
			Ask: []byte{0xFF, 0x00, 0x48, 0x00, 0x00}, Form: reader.Text,
			Bad: []reader.BadFirmware{{Prefix: "ACR122U20", Why: "loses cards", Source: "test"}},
		},
		Setup: [][]byte{{0xFF, 0x00, 0x51, 0xE3, 0x00}},
		Cues: map[reader.Cue][]reader.Step{
			reader.CueReady:   {{Send: []byte{0x01}}},
			reader.CueSuccess: {{Send: []byte{0x02}, Pause: time.Millisecond}, {Send: []byte{0x03}}},
		},
	}
}

func TestLightsAndFirmwareByEscapes(t *testing.T) {
	l := lab(t)
	var told escapes
	d := acr122("")
	d.Escape = told.answer
	s, err := New(labModel(reader.ByPermission))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r := s.Reader(acrName)
	defer r.Close()
	l.Plug(d)
	stateWithin(t, r, reader.Ready, 3*time.Second)
	r.Signal(reader.CueReady)
	told.waitFor(t, "01")
	var phone readertest.Loop
	_ = d.Slot(0).Present(&phone)
	card := await(t, r)
	told.waitFor(t, "FF0051E300")
	if version, bad := r.Firmware(); version != "ACR122U203" || bad == nil {
		t.Errorf("firmware %q, bad %v", version, bad)
	}
	before := l.Calls("control")
	r.Signal(reader.CueReady) // the last one wins
	r.Signal(reader.CueSuccess)
	if _, _, err := card.Transmit(t.Context(), sel); err != nil {
		t.Fatal(err)
	}
	if l.Calls("control") != before || told.has("02") {
		t.Error("a light was changed while a phone's time was measured")
	}
	_ = card.Release(0)
	told.waitFor(t, "03")
	r.Signal(reader.CueAlert) // this model has none: nothing happens

	description, err := Describe(t.Context(), acrName+" 00 00", []reader.Model{labModel(reader.ByPermission)})
	if err != nil || !description.Escapes || description.Firmware != "ACR122U203" || description.Bad == nil || description.Model != "lab-acr122u" {
		t.Errorf("%+v, %v", description, err)
	}
}

// Without ifdDriverOptions the driver refuses escapes. Taps go on without lights.
func TestEscapesRefused(t *testing.T) {
	l := lab(t)
	s, err := New(labModel(reader.ByPermission))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r := s.Reader(acrName)
	defer r.Close()
	d := acr122("")
	l.Plug(d)
	stateWithin(t, r, reader.Ready, 3*time.Second)
	r.Signal(reader.CueSuccess)
	var phone readertest.Loop
	_ = d.Slot(0).Present(&phone)
	card := await(t, r)
	if _, _, err := card.Transmit(t.Context(), sel); err != nil {
		t.Error(err)
	}
	_ = card.Release(0)
	description, err := Describe(t.Context(), acrName+" 00 00", []reader.Model{labModel(reader.ByPermission)})
	if err != nil || description.Escapes || !strings.Contains(description.Trouble, "ifdDriverOptions") {
		t.Errorf("%+v, %v", description, err)
	}
	if _, err := Describe(t.Context(), "No Such Reader 00 00", nil); !errors.Is(err, reader.ErrReaderGone) {
		t.Errorf("no such reader: %v", err)
	}
}

// A card with contacts may have the ATR of a contactless one; the reader itself knows which it is.
func TestContactCardIsToldByFFCA(t *testing.T) {
	l := lab(t)
	dual := reader.Model{Name: "dual", Match: []string{"Nameless"}}
	s, err := New(dual)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r := s.Reader("Nameless Reader")
	defer r.Close()
	d := &readertest.Device{USB: "1234:0001"}
	var mu sync.Mutex
	uid, asked := []byte{0x6A, 0x81}, 0
	d.Pseudo = func(_ int, in []byte) []byte {
		mu.Lock()
		defer mu.Unlock()
		if bytes.Equal(in, getUID) {
			asked++
			return slices.Clone(uid)
		}
		return []byte{0x6D, 0x00}
	}
	l.Plug(d)
	var card readertest.Loop
	_ = d.Slot(0).Present(&card)
	stateWithin(t, r, reader.Ready, 3*time.Second)
	ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
	defer cancel()
	if _, err := r.Await(ctx); !errors.Is(err, context.DeadlineExceeded) || r.State() != reader.Mute {
		t.Errorf("a card with contacts was taken: %v (%s)", err, r.State())
	}
	mu.Lock()
	uid = []byte{0x08, 1, 2, 3, 0x90, 0x00} // a phone's, new at each tap
	mu.Unlock()
	c := await(t, r)
	if _, _, err := c.Transmit(t.Context(), sel); err != nil {
		t.Error(err)
	}
	_ = c.Release(0)
	if len(card.Seen()) != 1 {
		t.Errorf("the phone saw %d commands, want the one", len(card.Seen()))
	}
}

func TestExtendedLengths(t *testing.T) {
	l := lab(t)
	r := realService(t).Reader(acrName)
	defer r.Close()
	d := acr122("")
	l.Plug(d)
	phone := readertest.Loop{Reply: func(_ int, command []byte) []byte {
		n := int(command[4])<<16 | int(command[5])<<8 | int(command[6])
		return append(bytes.Repeat([]byte{command[7]}, n), 0x90, 0x00)
	}}
	_ = d.Slot(0).Present(&phone)
	card := await(t, r)
	for _, size := range []struct{ command, answer int }{
		{8, 0}, {261, 256}, {262, 257}, {4096, 4096}, {65535, 0}, {8, 65536},
	} {
		command := make([]byte, size.command)
		command[0], command[4], command[5], command[6], command[7] = 0x80, byte(size.answer>>16), byte(size.answer>>8), byte(size.answer), 0x5A
		answer, _, err := card.Transmit(t.Context(), command)
		if err != nil || len(answer) != size.answer+2 || size.answer > 0 && answer[size.answer-1] != 0x5A {
			t.Errorf("command of %d bytes, answer of %d: got %d, %v", size.command, size.answer, len(answer), err)
		}
	}
	_ = card.Release(0)
}

func TestTiming(t *testing.T) {
	l := lab(t)
	r := realService(t).Reader(acrName)
	defer r.Close()
	d := acr122("")
	l.Plug(d)
	phone := readertest.Loop{Reply: func(int, []byte) []byte { time.Sleep(10 * time.Millisecond); return []byte{0x90, 0x00} }}
	_ = d.Slot(0).Present(&phone)
	for range 3 {
		card := await(t, r)
		for range 3 {
			if _, _, err := card.Transmit(t.Context(), sel); err != nil {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Millisecond)
		}
		_ = card.Release(0)
	}
	got := r.Timing()
	if got.First.Count != 3 || got.Connect.Count != 3 || got.Exchange.Count != 9 || got.Between.Count != 6 {
		t.Errorf("counts %+v", got)
	}
	if got.Exchange.Min < 10*time.Millisecond || got.Between.Min < 5*time.Millisecond || got.First.Min < got.Connect.Min {
		t.Errorf("times %+v", got)
	}
}
