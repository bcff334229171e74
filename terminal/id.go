package terminal

import (
	"fmt"
	"io"
	"time"

	"tapkeeper/uplink/wire"
)

// ID is a UUIDv7: of a payment, where it is the scheme's transaction id too, or
// of a message.
type ID = wire.ID

// ParseID reads a payment's id as it is printed.
func ParseID(s string) (ID, error) { return wire.ParseID(s) }

// newID makes a UUIDv7 (RFC 9562, 5.7) from a moment and randomness, both
// parameters so that a whole store can run under a seed.
func newID(now time.Time, random io.Reader) (ID, error) {
	var id ID
	if _, err := io.ReadFull(random, id[6:]); err != nil {
		return ID{}, fmt.Errorf("draw an id: %w", err)
	}
	ms := uint64(now.UnixMilli())
	for i := range 6 {
		id[i] = byte(ms >> (8 * (5 - i)))
	}
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return id, nil
}

// newIDs makes some, in their order.
func newIDs(now time.Time, random io.Reader, n int) ([]ID, error) {
	ids := make([]ID, n)
	for i := range ids {
		id, err := newID(now, random)
		if err != nil {
			return nil, err
		}
		ids[i] = id
	}
	return ids, nil
}
