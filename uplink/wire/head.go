package wire

import "errors"

// Head is a point of the terminal's journal: the number of an event, and the hash
// that chains it to all before.
type Head struct {
	Sequence uint64 `json:"sequence"`
	Hash     Digest `json:"hash"`
}

// Heads make the wallet an anchor of the terminal's journal: an older copy that
// was restored does not hold what the wallet was told. The wallet keeps Head when
// it is the first, or when Known is the one that it keeps and Head is higher: only
// a journal that holds what the wallet keeps may replace it.
type Heads struct {
	Head  *Head `json:"head,omitempty"`  // of the journal now
	Known *Head `json:"known,omitempty"` // the wallet's last, found in the journal
}

func (h Heads) check() error {
	if err := h.Head.check(); err != nil {
		return err
	}
	return h.Known.check()
}

func (h *Head) check() error {
	if h != nil && (h.Sequence == 0 || h.Sequence > MaxSequence || h.Hash == (Digest{})) {
		return errors.New("head: want a sequence and a hash")
	}
	return nil
}
