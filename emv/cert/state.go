package cert

import (
	"encoding/binary"
	"fmt"

	"tapkeeper/emv/channel"
	"tapkeeper/emv/tlv"
)

// State is the allowance state DF8B10 (scheme 7.2).
type State struct {
	Epoch     uint32
	Index     uint16
	Spent     [6]byte // n12
	Remaining [6]byte // n12
	Chain     channel.Chain
}

const stateSize = 34

// ParseState reads DF8B10.
func ParseState(b []byte) (State, error) {
	if len(b) != stateSize {
		return State{}, fmt.Errorf("allowance state: %w: %d bytes", ErrLayout, len(b))
	}
	return State{
		Epoch: binary.BigEndian.Uint32(b[:4]), Index: binary.BigEndian.Uint16(b[4:6]),
		Spent: [6]byte(b[6:12]), Remaining: [6]byte(b[12:18]), Chain: channel.Chain(b[18:34]),
	}, nil
}

// Encode codes the state.
func (s State) Encode() []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, stateSize), s.Epoch)
	b = binary.BigEndian.AppendUint16(b, s.Index)
	b = append(append(b, s.Spent[:]...), s.Remaining[:]...)
	return append(b, s.Chain[:]...)
}

// Sums returns spent and remaining; not ok when one of them is not BCD.
func (s State) Sums() (spent, remaining uint64, ok bool) {
	spent, ok1 := tlv.Number(s.Spent[:])
	remaining, ok2 := tlv.Number(s.Remaining[:])
	return spent, remaining, ok1 && ok2
}

// Consistent reports rules 1 to 6 of scheme 7.3 for a tap of that amount,
// given the grant's bytes; a field that is not BCD breaks them.
func (s State) Consistent(grant []byte, tap channel.Link) bool {
	g, err := ParseGrant(grant)
	if err != nil || !g.Numeric() {
		return false
	}
	spent, remaining, ok := s.Sums()
	total, _ := tlv.Number(g.Total[:])
	amount, ok2 := tlv.Number(tap.Amount[:])
	if !ok || !ok2 {
		return false
	}
	return s.Epoch == g.Epoch && // rule 1
		s.Index >= 1 && s.Index <= g.MaxTaps && // rule 2
		spent+remaining == total && // rule 3
		amount <= spent && // rule 4
		tap.ATC > g.ATCBase && tap.ATC-g.ATCBase >= s.Index && // rule 5
		(s.Index != 1 || spent == amount && s.Chain == channel.FirstChain(grant).Next(tap)) // rule 6
}
