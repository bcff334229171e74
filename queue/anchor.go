package queue

import (
	"bytes"
	"crypto/cipher"
	"crypto/hkdf"
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
//	page 0, 3  magic(16) id(16) wrapped key(60) SHA-256(32) of the before
//	page 1, 2  magic(8) seq(8) hash(32) HMAC-SHA-256(32) of page number and the before
//
// The file is made whole by one rename and never grows: a slot's write changes
// no file-system metadata, so that one fdatasync is one write to the disk.
const (
	anchorName = "anchor"
	pageSize   = 4096 // a page per part: a torn sector hits one of them
	pageCount  = 4
	keyMagic   = "tapkeeper queue1"
	slotMagic  = "tkslot 1"
	idLen      = 16
	wrappedLen = 12 + 32 + 16
	keyPageLen = len(keyMagic) + idLen + wrappedLen + 32
	slotLen    = len(slotMagic) + 8 + 32 + 32
)

var (
	keyPages  = [2]int64{0, 3}
	slotPages = [2]int64{1, 2}
)

type anchor struct {
	file   *os.File
	ring   *ring
	next   int // slot to write next
	head   Committed
	healed []string
}

// openAnchor opens the anchor in dir, or makes a new one when absent.
func openAnchor(dir string, master []byte) (*anchor, error) {
	path := filepath.Join(dir, anchorName)
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		if err := createAnchor(dir, master); err != nil {
			return nil, fmt.Errorf("make the anchor: %w", err)
		}
		file, err = os.OpenFile(path, os.O_RDWR, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("open the anchor: %w", err)
	}
	a := &anchor{file: file}
	if err := a.load(master); err != nil {
		file.Close()
		return nil, err
	}
	return a, nil
}

func (a *anchor) load(master []byte) error {
	all := make([]byte, pageCount*pageSize)
	if n, err := a.file.ReadAt(all, 0); n != len(all) {
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

func (a *anchor) loadKey(all, master []byte) ([]byte, error) {
	var good []byte
	bad := -1
	for i, page := range keyPages {
		b := all[page*pageSize:][:keyPageLen]
		sum := sha256.Sum256(b[:keyPageLen-32])
		if string(b[:len(keyMagic)]) != keyMagic || !bytes.Equal(sum[:], b[keyPageLen-32:]) {
			bad = i
		} else if good == nil {
			good = b
		}
	}
	if good == nil {
		return nil, &DamageError{What: "key", Why: "neither copy of the wrapped data key is whole"}
	}
	head := good[:len(keyMagic)+idLen]
	key, err := unwrapKey(master, head, good[len(head):][:wrappedLen])
	if err != nil {
		return nil, err
	}
	if bad >= 0 {
		if err := a.writePage(keyPages[bad], good); err != nil {
			return nil, fmt.Errorf("mend the wrapped key: %w", err)
		}
		a.healed = append(a.healed, fmt.Sprintf("copy %d of the wrapped data key was damaged; written again from the other", bad))
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

func (a *anchor) writePage(page int64, b []byte) error {
	if _, err := a.file.WriteAt(b, page*pageSize); err != nil {
		return err
	}
	return datasync(a.file)
}

func (a *anchor) close() error { return a.file.Close() }

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

// createAnchor draws the data key. The file appears under its name only when
// all of it is durable: a store with a name has a key and an anchor.
func createAnchor(dir string, master []byte) error {
	dataKey := make([]byte, 32)
	rand.Read(dataKey)
	defer clear(dataKey)
	r, err := newRing(dataKey)
	if err != nil {
		return err
	}
	page := make([]byte, len(keyMagic)+idLen, keyPageLen)
	copy(page, keyMagic)
	rand.Read(page[len(keyMagic):])
	wrap, err := wrapper(master, page[len(keyMagic):])
	if err != nil {
		return err
	}
	page = wrap.Seal(page, nil, dataKey, page)
	sum := sha256.Sum256(page)
	page = append(page, sum[:]...)

	all := make([]byte, pageCount*pageSize)
	for i := range 2 {
		copy(all[keyPages[i]*pageSize:], page)
		copy(all[slotPages[i]*pageSize:], encodeSlot(r, i, Committed{}))
	}
	return writeWhole(dir, anchorName, all)
}

func unwrapKey(master, head, wrapped []byte) ([]byte, error) {
	wrap, err := wrapper(master, head[len(keyMagic):])
	if err != nil {
		return nil, err
	}
	key, err := wrap.Open(nil, nil, wrapped, head)
	if err != nil {
		return nil, ErrKey // the page's checksum fits, so it is the key that does not
	}
	return key, nil
}

func wrapper(master, id []byte) (cipher.AEAD, error) {
	k, err := hkdf.Key(sha256.New, master, id, "tapkeeper queue 1 wrap", 32)
	if err != nil {
		return nil, err
	}
	return newAEAD(k)
}
