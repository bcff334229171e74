package queue

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// The anchor is a file of four pages beside Badger. It holds the wrapped data
// key twice and, in two slots written in turn, how far the journal reached.
//
//	page 0, 3  magic(15) format(1) id(16) wrapped key(60) SHA-256(32) of the before
//	page 1, 2  magic(8) seq(8) hash(32) HMAC-SHA-256(32) of page number and the before
//
// The file is made whole by one rename and never grows: a slot's write changes
// no file-system metadata, so that one fdatasync is one write to the disk.
const (
	anchorName = "anchor"
	pageSize   = 4096 // a page per part: a torn sector hits one of them
	pageCount  = 4
	keyMagic   = "tapkeeper queue"
	format     = 2 // of everything in the directory; 1 was never released
	slotMagic  = "tkslot 1"
	idLen      = 16
	wrappedLen = 12 + 32 + 16
	keyHeadLen = len(keyMagic) + 1 + idLen
	keyPageLen = keyHeadLen + wrappedLen + 32
	slotLen    = len(slotMagic) + 8 + 32 + 32
)

var (
	keyPages  = [2]int64{0, 3}
	slotPages = [2]int64{1, 2}
)

type anchor struct {
	pages  pages
	ring   *ring
	format byte
	next   int // slot to write next
	head   Committed
	healed []string
}

// anchorFile is pages in a file that never grows.
type anchorFile struct{ *os.File }

func (f anchorFile) Sync() error { return datasync(f.File) }

// openAnchorFile opens the anchor in dir, or makes a new one where there is no
// database either, and room says that there is some.
func openAnchorFile(dir string, master []byte, used bool, room func() error) (*os.File, error) {
	path := filepath.Join(dir, anchorName)
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) && used {
		return nil, &DamageError{What: "anchor", Why: "its file is missing, and with it the data key"}
	}
	if errors.Is(err, fs.ErrNotExist) {
		if err := room(); err != nil {
			return nil, err
		}
		all, err := newAnchor(master)
		if err == nil {
			// It appears under its name only when all of it is durable: a store
			// with a name has a key and an anchor.
			err = writeWhole(dir, anchorName, all)
		}
		if err != nil {
			return nil, fmt.Errorf("make the anchor: %w", err)
		}
		return os.OpenFile(path, os.O_RDWR, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("open the anchor: %w", err)
	}
	return file, nil
}

func loadAnchor(p pages, master []byte) (*anchor, error) {
	a := &anchor{pages: p}
	return a, a.load(master)
}

func (a *anchor) load(master []byte) error {
	all := make([]byte, pageCount*pageSize)
	if n, err := a.pages.ReadAt(all, 0); n != len(all) {
		return &DamageError{What: "anchor", Why: fmt.Sprintf("%d bytes of %d: %v", n, len(all), err)}
	}
	dataKey, err := a.loadKey(all, master)
	if err != nil {
		return err
	}
	a.ring, err = newRing(dataKey)
	clear(dataKey)
	if err != nil {
		return err
	}
	return a.loadSlots(all)
}

// loadKey opens a copy of the data key and mends the other one. Both copies are
// whole and only one opens when a crash came between the two writes of Rewrap.
func (a *anchor) loadKey(all, master []byte) ([]byte, error) {
	var key, good []byte
	err := error(&DamageError{What: "key", Why: "neither copy of the wrapped data key is whole"})
	mend := -1
	for i, page := range keyPages {
		b := all[page*pageSize:][:keyPageLen]
		sum := sha256.Sum256(b[:keyPageLen-32])
		if string(b[:len(keyMagic)]) != keyMagic || !bytes.Equal(sum[:], b[keyPageLen-32:]) {
			mend = i
			continue
		}
		f := b[len(keyMagic)]
		if f != format && migrations[f] == nil {
			return nil, fmt.Errorf("%w: it has format %d, this one reads %d", ErrVersion, f, format)
		}
		k, e := unwrapKey(master, b)
		switch {
		case e != nil && key == nil:
			err, mend = e, i
		case e != nil:
			mend = i
		case key == nil:
			key, good, a.format = k, b, f
		}
	}
	if key == nil {
		return nil, err
	}
	if mend >= 0 {
		for _, page := range []int64{keyPages[1-mend], keyPages[mend]} { // the good one first: see again
			if err := a.writePage(page, good); err != nil {
				return nil, fmt.Errorf("mend the wrapped key: %w", err)
			}
		}
		a.healed = append(a.healed, fmt.Sprintf("copy %d of the wrapped data key was damaged or of another master key; written again from the other", mend))
	}
	return key, nil
}

func (a *anchor) loadSlots(all []byte) error {
	var heads [2]Committed
	var good [2]bool
	for i := range slotPages {
		heads[i], good[i] = a.readSlot(i, all)
	}
	newest := 0
	switch {
	case !good[0] && !good[1]:
		return &DamageError{What: "anchor", Why: "neither slot verifies"}
	case !good[0] || good[1] && heads[1].Seq > heads[0].Seq:
		newest = 1
	}
	if !good[1-newest] {
		a.healed = append(a.healed, fmt.Sprintf("anchor slot %d did not verify (torn by a power cut, or damaged); the other one was used", 1-newest))
	}
	a.head, a.next = heads[newest], 1-newest
	return nil
}

func (a *anchor) readSlot(i int, all []byte) (Committed, bool) {
	b := all[slotPages[i]*pageSize:][:slotLen]
	body, mac := b[:slotLen-32], b[slotLen-32:]
	if !hmac.Equal(mac, slotMAC(a.ring, i, body)) || string(body[:len(slotMagic)]) != slotMagic {
		return Committed{}, false
	}
	p := parser{rest: body[len(slotMagic):]}
	return Committed{Seq: p.uint64(), Hash: p.hash()}, true
}

// set makes head durable in the older slot. The caller has made the journal
// durable up to head before.
func (a *anchor) set(head Committed) error {
	if err := a.writePage(slotPages[a.next], encodeSlot(a.ring, a.next, head)); err != nil {
		return fmt.Errorf("write the anchor: %w", err)
	}
	a.head, a.next = head, 1-a.next
	return nil
}

// again makes durable what was read as the head. The sync of that slot may have
// failed, so that it is in the page cache only: the other slot must not be touched
// before.
func (a *anchor) again() error {
	slot := 1 - a.next
	if err := a.writePage(slotPages[slot], encodeSlot(a.ring, slot, a.head)); err != nil {
		return fmt.Errorf("write the anchor again: %w", err)
	}
	return nil
}

func (a *anchor) writePage(page int64, b []byte) error {
	if _, err := a.pages.WriteAt(b, page*pageSize); err != nil {
		return err
	}
	return a.pages.Sync()
}

func encodeSlot(r *ring, slot int, head Committed) []byte {
	b := append(make([]byte, 0, slotLen), slotMagic...)
	b = binary.BigEndian.AppendUint64(b, head.Seq)
	b = append(b, head.Hash[:]...)
	return append(b, slotMAC(r, slot, b)...)
}

func slotMAC(r *ring, slot int, body []byte) []byte {
	mac := hmac.New(sha256.New, r.anchor)
	mac.Write([]byte{byte(slot)})
	mac.Write(body)
	return mac.Sum(nil)
}

// newAnchor draws the data key and returns the whole file.
func newAnchor(master []byte) ([]byte, error) {
	dataKey := make([]byte, 32)
	rand.Read(dataKey)
	defer clear(dataKey)
	r, err := newRing(dataKey)
	if err != nil {
		return nil, err
	}
	head := append(make([]byte, 0, keyPageLen), keyMagic...)
	head = append(head, format)
	head = head[:len(head)+idLen]
	rand.Read(head[len(head)-idLen:])
	page, err := wrapKey(master, head, dataKey)
	if err != nil {
		return nil, err
	}
	all := make([]byte, pageCount*pageSize)
	for i := range 2 {
		copy(all[keyPages[i]*pageSize:], page)
		copy(all[slotPages[i]*pageSize:], encodeSlot(r, i, Committed{}))
	}
	return all, nil
}

// wrapKey returns a key page; head is magic, format and id.
func wrapKey(master, head, dataKey []byte) ([]byte, error) {
	wrap, err := wrapper(master, head)
	if err != nil {
		return nil, err
	}
	page := append(make([]byte, 0, keyPageLen), head...)
	page = wrap.Seal(page, nil, dataKey, head)
	sum := sha256.Sum256(page)
	return append(page, sum[:]...), nil
}

func unwrapKey(master, page []byte) ([]byte, error) {
	head := page[:keyHeadLen]
	wrap, err := wrapper(master, head)
	if err != nil {
		return nil, err
	}
	key, err := wrap.Open(nil, nil, page[keyHeadLen:][:wrappedLen], head)
	if err != nil {
		return nil, ErrKey // the page's checksum fits, so it is the key that does not
	}
	return key, nil
}
