package lane

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"tapkeeper/firmware-config/bundle"
	"tapkeeper/queue"
)

// The hotlist in the journal: a head, and of each part its entries in pieces that a
// record holds. The journal rather than files of its own, because a commit is whole
// or not there, its bytes are vouched for, and it moves to another machine with the rest.
const (
	kindHotlist    = "hotlist"
	keyHotlist     = "head"
	partExceptions = "exceptions"
	partCRL        = "crl"
	pieceBytes     = 16 << 10 // half of what a record takes
)

type hotlistHead struct {
	CRL        partHead `json:"crl"`
	Exceptions partHead `json:"exceptions"`
}

type partHead struct {
	Version int64     `json:"version"`
	Issued  time.Time `json:"issued_at"`
	Pieces  int       `json:"pieces"`
}

// storedHotlist reads what the wallet has sent; nil when that is nothing yet.
func storedHotlist(store *queue.Store) (*bundle.Hotlist, error) {
	head, ok, err := readHead(store)
	if err != nil || !ok {
		return nil, err
	}
	blocked, err := readPieces(store, partExceptions, head.Exceptions.Pieces)
	if err != nil {
		return nil, err
	}
	revoked, err := readPieces(store, partCRL, head.CRL.Pieces)
	if err != nil {
		return nil, err
	}
	h := &bundle.Hotlist{
		CRLVersion: head.CRL.Version, CRLIssued: head.CRL.Issued,
		ExceptionsVersion: head.Exceptions.Version, ExceptionsIssued: head.Exceptions.Issued,
	}
	return h, h.Unpack(blocked, revoked)
}

func readHead(store *queue.Store) (head hotlistHead, ok bool, err error) {
	raw, ok, err := store.Get(kindHotlist, keyHotlist)
	if err != nil || !ok {
		return head, false, err
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return head, false, fmt.Errorf("read the hotlist's head: %w", err)
	}
	return head, true, nil
}

func pieceKey(part string, n int) string { return fmt.Sprintf("%s/%d", part, n) }

func readPieces(store *queue.Store, part string, pieces int) ([]byte, error) {
	var all []byte
	for n := range pieces {
		raw, ok, err := store.Get(kindHotlist, pieceKey(part, n))
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, fmt.Errorf("piece %d of %s is not in the journal", n, part)
		}
		all = append(all, raw...)
	}
	return all, nil
}

// keepHotlist makes the next list durable, in one commit. A part that comes from a
// file only is not kept: its version says so to the head, as long as nothing was sent.
func keepHotlist(ctx context.Context, store *queue.Store, before, next *bundle.Hotlist) error {
	old, _, err := readHead(store)
	if err != nil {
		return err
	}
	head := old
	var records []queue.Record
	if next.ExceptionsVersion != before.ExceptionsVersion {
		head.Exceptions = partHead{Version: next.ExceptionsVersion, Issued: next.ExceptionsIssued}
		records = append(records, pieces(partExceptions, next.PackBlocked(), old.Exceptions.Pieces, &head.Exceptions)...)
	}
	if next.CRLVersion != before.CRLVersion {
		head.CRL = partHead{Version: next.CRLVersion, Issued: next.CRLIssued}
		records = append(records, pieces(partCRL, next.PackRevoked(), old.CRL.Pieces, &head.CRL)...)
	}
	value, err := json.Marshal(head)
	if err != nil {
		return err
	}
	event, err := json.Marshal(map[string]any{
		"at": time.Now(), "why": "a newer hotlist of the wallet",
		"revocations": next.CRLVersion, "exceptions": next.ExceptionsVersion,
	})
	if err != nil {
		return err
	}
	_, err = store.Commit(ctx, queue.Commit{Event: event, Records: append(records, queue.Record{Kind: kindHotlist, Key: keyHotlist, Value: value})})
	return err
}

// pieces cuts a part into records, and deletes those that it needs no longer.
func pieces(part string, packed []byte, before int, head *partHead) []queue.Record {
	var records []queue.Record
	for piece := range slices.Chunk(packed, pieceBytes) {
		records = append(records, queue.Record{Kind: kindHotlist, Key: pieceKey(part, head.Pieces), Value: bytes.Clone(piece)})
		head.Pieces++
	}
	for n := head.Pieces; n < before; n++ {
		records = append(records, queue.Record{Kind: kindHotlist, Key: pieceKey(part, n)})
	}
	return records
}
