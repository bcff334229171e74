package wire

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// MaxBatch bounds the messages of a batch: a terminal's window. MaxMessage bounds
// its bytes, so that a batch needs no larger packets.
const MaxBatch = 32

// Batched tells which kinds may share a publication: money up, receipts down.
func (k Kind) Batched() bool { return k.money() || k == KindReceipt }

// Join makes one publication, on the topic of [KindBatch], of several sealed
// messages. It adds no signature: each message proves itself, keeps its bytes,
// and is answered as if it had come alone.
func Join(messages [][]byte) ([]byte, error) {
	if len(messages) == 0 || len(messages) > MaxBatch {
		return nil, fmt.Errorf("batch: want 1 to %d messages", MaxBatch)
	}
	raw := bytes.Join(messages, []byte{'\n'})
	if len(raw) > MaxMessage {
		return nil, ErrTooLarge
	}
	return raw, nil
}

// Split gives the messages of a publication: those of a batch in their order, on
// any other topic the payload itself. It looks at no signature; each message is
// for Open, with the same topic.
func Split(topic string, payload []byte) ([][]byte, error) {
	if !strings.HasSuffix(topic, "/"+string(KindBatch)) {
		return [][]byte{payload}, nil
	}
	if len(payload) > MaxMessage {
		return nil, ErrTooLarge
	}
	if bytes.Count(payload, []byte{'\n'}) >= MaxBatch {
		return nil, named(faultTooLarge, fmt.Errorf("batch: more than %d messages", MaxBatch))
	}
	messages := bytes.Split(payload, []byte{'\n'})
	for _, m := range messages {
		if len(m) == 0 {
			return nil, errors.New("batch: an empty line")
		}
	}
	return messages, nil
}
