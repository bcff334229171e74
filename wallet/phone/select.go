package phone

import (
	"bytes"

	"tapkeeper/emv/apdu"
	"tapkeeper/emv/tlv"
)

// selectName answers SELECT by name (scheme 5.1). A name selects the first, or
// with P2 02 the next, card whose ADF name starts with it. Whatever the answer,
// the session that went before is over.
func (w *Wallet) selectName(p2 byte, name []byte) ([]byte, apdu.SW) {
	from := 0
	if p2 == nextOccurrence {
		from = w.tap.selected + 1
	}
	was := w.tap.selected
	w.tap = activation{selected: -1}
	if string(name) == apdu.PPSE && p2 == firstOccurrence {
		return w.directory()
	}
	if len(name) < minADF || len(name) > maxADF || p2 == nextOccurrence && was < 0 {
		return nil, apdu.FileNotFound
	}
	for i := from; i < len(w.cards); i++ {
		if bytes.HasPrefix(w.cards[i].ADF, name) {
			w.tap.selected = i
			return w.cards[i].fci(w.priority(i)), apdu.OK
		}
	}
	return nil, apdu.FileNotFound
}

// directory is the PPSE answer: the user's default card first, then the order
// of the wallet (scheme 3.4). Without a default the profiles' priorities stand.
func (w *Wallet) directory() ([]byte, apdu.SW) {
	if !w.ppse || len(w.cards) == 0 {
		return nil, apdu.FileNotFound
	}
	var entries []byte
	add := func(i int) {
		entry := tlv.Append(nil, tag4F, w.cards[i].ADF)
		entry = tlv.Append(entry, tag50, []byte(w.cards[i].Label))
		entry = tlv.Append(entry, tag87, []byte{w.priority(i)})
		entries = tlv.Append(entries, tag61, entry)
	}
	first := -1
	if len(w.state.Preferred) > 0 {
		first = w.find(w.state.Preferred)
	}
	if first >= 0 {
		add(first)
	}
	for i := range w.cards {
		if i != first {
			add(i)
		}
	}
	fci := tlv.Append(nil, tag84, []byte(apdu.PPSE))
	fci = tlv.Append(fci, tagA5, tlv.Append(nil, tagBF0C, entries))
	return tlv.Append(nil, tag6F, fci), apdu.OK
}

// priority is 1 for the user's default card and lower for all others, once the
// user has chosen.
func (w *Wallet) priority(i int) byte {
	p := w.cards[i].Priority
	switch {
	case len(w.state.Preferred) == 0:
		return p
	case bytes.Equal(w.state.Preferred, w.cards[i].ADF):
		return 1
	case p&0x0F == 1:
		return p + 1
	default:
		return p
	}
}

// fci is the answer to SELECT of a card (scheme 3.5).
func (c *card) fci(priority byte) []byte {
	qualifier := tlv.Append(nil, tag9F2C, c.Qualifier)
	own := tlv.Append(nil, tag50, []byte(c.Label))
	own = tlv.Append(own, tag87, []byte{priority})
	own = tlv.Append(own, tag9F38, c.PDOL)
	own = tlv.Append(own, tagBF0C, qualifier)
	fci := tlv.Append(nil, tag84, c.ADF)
	fci = tlv.Append(fci, tagA5, own)
	return tlv.Append(nil, tag6F, fci)
}
