package terminal

import (
	"encoding/json"
	"fmt"
	"time"

	"tapkeeper/emv/dict"
)

// maxExchanges bounds a kept dialogue: five taps of a sale (scheme 3.6) with
// every record read. Later exchanges are counted, not kept.
const maxExchanges = 160

// maxTrace bounds its bytes: a phone chooses the length of its answers, and the
// outcome's commit must not fail for a record that is longer than a journal takes.
const maxTrace = 24 << 10

// Exchange is one command and its answer, masked: what package dict does not
// know to be harmless is not in it (I7).
type Exchange struct {
	Command []string      `json:"command"` // lines: the header, then what is in it
	Answer  []string      `json:"answer,omitempty"`
	Took    time.Duration `json:"took_ns"`
	Trouble string        `json:"trouble,omitempty"` // no answer was had
}

// Trace is the masked dialogue of a payment's taps.
type Trace struct {
	Exchanges []Exchange `json:"exchanges"`
	Left      int        `json:"left_out,omitempty"`

	masks dict.Trace
	size  int // of Exchanges, as JSON
}

func (tr *Trace) add(command, answer []byte, took time.Duration, err error) {
	if len(tr.Exchanges) >= maxExchanges {
		tr.Left++
		return
	}
	x := Exchange{Command: tr.masks.Command(command), Took: took}
	if err != nil {
		x.Trouble = "no answer"
	} else {
		x.Answer = tr.masks.Response(answer)
	}
	size := len(mustJSON(x)) + 1
	if tr.size+size > maxTrace {
		tr.Left++
		return
	}
	tr.size += size
	tr.Exchanges = append(tr.Exchanges, x)
}

// Trace returns the masked dialogue of a payment; ErrNotFound before its
// outcome, or when the daemon died before it.
func (t *Terminal) Trace(id ID) ([]Exchange, error) {
	raw, ok, err := t.journal.Get(kindTrace, id.String())
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, ErrNotFound
	}
	var tr Trace
	if err := json.Unmarshal(raw, &tr); err != nil {
		return nil, fmt.Errorf("read the trace of %s: %w", id, err)
	}
	return tr.Exchanges, nil
}
