package lane

import (
	"context"
	"testing"
	"time"

	"tapkeeper/reader"
	"tapkeeper/terminal"
)

func TestEachStateHasItsLight(t *testing.T) {
	for _, tc := range []struct {
		state terminal.State
		hint  terminal.Hint
		want  reader.Cue
	}{
		{terminal.Created, "", reader.CueReady},
		{terminal.AwaitingTap, terminal.HintPresentPhone, reader.CueReady},
		{terminal.AwaitingTap, terminal.HintOnePhoneOnly, reader.CueReady},
		{terminal.AwaitingTap, terminal.HintHoldStill, reader.CueProcessing},
		{terminal.AwaitingTap, terminal.HintTryAgain, reader.CueError},
		{terminal.AwaitingTap, terminal.HintMovedEarly, reader.CueError},
		{terminal.Reading, terminal.HintHoldStill, reader.CueProcessing},
		{terminal.Authorising, "", reader.CueProcessing},
		{terminal.Unknown, "", reader.CueProcessing},
		{terminal.Approved, "", reader.CueSuccess},
		{terminal.Stored, "", reader.CueSuccess},
		{terminal.Declined, "", reader.CueAlert},
		{terminal.Failed, "", reader.CueAlert},
		{terminal.Cancelled, "", reader.CueIdle},
		{terminal.Expired, "", reader.CueIdle},
	} {
		p := terminal.Payment{State: tc.state, Hint: tc.hint}
		if got := cueOf(signalOf(&p)); got != tc.want {
			t.Errorf("%s %s: %s, want %s", tc.state, tc.hint, got, tc.want)
		}
	}
}

// slowReader is a make whose own time is known.
type slowReader struct {
	reader.Reader
	model *reader.Model
}

func (s slowReader) Model() *reader.Model                       { return s.model }
func (s slowReader) Await(context.Context) (reader.Card, error) { return slowCard{}, nil }

type slowCard struct{ reader.Card }

func (slowCard) Transmit(context.Context, []byte) ([]byte, time.Duration, error) {
	return []byte{0x90, 0x00}, 5 * time.Millisecond, nil
}

func TestReadersOwnTimeIsTakenOff(t *testing.T) {
	for _, tc := range []struct {
		name    string
		unnamed bool
		model   *reader.Model
		want    time.Duration
	}{
		{"the first reader that is there", true, &reader.Model{RelayOffset: 2 * time.Millisecond}, 3 * time.Millisecond},
		{"slower than it was", true, &reader.Model{RelayOffset: 9 * time.Millisecond}, 0},
		{"of a make nobody has measured", true, &reader.Model{}, 5 * time.Millisecond},
		{"of no known make", true, nil, 5 * time.Millisecond},
		{"named: the kernel does it", false, &reader.Model{RelayOffset: 2 * time.Millisecond}, 5 * time.Millisecond},
	} {
		phone, err := field{slowReader{model: tc.model}, tc.unnamed}.Await(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, took, _ := phone.Transmit(t.Context(), nil); took != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, took, tc.want)
		}
	}
}
