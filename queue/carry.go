package queue

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Dump calls fn for everything that is stored, each as bytes of its own that
// Restore takes: class(1), kind and key with their lengths, sequence(8), plain text.
// They are fn's only while it runs, and in clear: seal what is written anywhere.
func (s *Store) Dump(fn func(item []byte) error) (head Committed, err error) {
	var buf []byte
	err = s.view(func(v view) error {
		if _, head, err = s.lastEvent(v); err != nil {
			return err
		}
		return s.walk(v, nil, func(key []byte, seq uint64, plain []byte, err error) error {
			if err != nil {
				return damagedCell(key, err)
			}
			kind, name := "", string(key[1:])
			if key[0] == classRecord || key[0] == classCounter { // their names are in the plain text, and hidden here
				end := bytes.IndexByte(key, 0)
				if end < 0 {
					return damagedCell(key, errLayout)
				}
				kind, name = string(key[1:end]), ""
			}
			buf = append(buf[:0], key[0])
			buf = appendString(appendString(buf, kind), name)
			buf = binary.BigEndian.AppendUint64(buf, seq)
			return fn(append(buf, plain...))
		})
	})
	clear(buf)
	return head, err
}

// cellOf is an item of Dump as it stands in this store.
func (s *Store) cellOf(item []byte) (cell, error) {
	p := parser{rest: item}
	class, kind, name, seq := p.byte(), p.string(), p.string(), p.uint64()
	if p.bad || classNames[class] == "" {
		return cell{}, errLayout
	}
	plain := p.rest
	if class == classRecord || class == classCounter {
		var err error
		if name, _, err = splitNamed(plain); err != nil {
			return cell{}, err
		}
	}
	key := s.ring.cellKey(class, kind, name)
	return cell{key, s.ring.seal(key, seq, plain)}, nil
}

// Arrival is what a journal that was carried here must come to.
type Arrival struct {
	Archive string
	Head    Committed // of the journal, which ends with its handover
	Event   []byte    // the first one here
}

// Restore makes a store in o.Dir, which must not exist, out of the items that next
// gives until io.EOF. The journal has its own data key, and is the old one in
// everything else: numbers, chain, counters, outbox. All of it is verified against
// a.Head, and one commit takes it over. When Restore fails, what is in o.Dir is
// nobody's journal; remove it.
func Restore(ctx context.Context, o Options, a Arrival, next func() ([]byte, error)) (report Report, err error) {
	if _, err := os.Lstat(o.Dir); !errors.Is(err, fs.ErrNotExist) {
		return report, fmt.Errorf("there is something in %s already", o.Dir)
	}
	s := newStore()
	err = s.open(o)
	if err == nil {
		err = s.fill(a.Head, next)
	}
	if err = errors.Join(err, s.release()); err != nil {
		return report, err
	}
	o.HandedOver = true
	if s, err = Open(o); err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if report, err = s.Verify(); err != nil {
		return report, err
	}
	if report.Head != a.Head {
		return report, &DamageError{What: "event", Seq: report.Head.Seq, Why: "the journal does not end where its archive says"}
	}
	h, err := s.handover(handoverOut)
	if err != nil {
		return report, err
	}
	if h == nil || h.Archive != a.Archive {
		return report, &DamageError{What: "record", Kind: handoverKind, Key: handoverOut, Why: "the journal was not handed over in this archive"}
	}
	_, err = s.hand(ctx, &request{answer: make(chan answer, 1), commit: Commit{
		Event:   a.Event,
		Records: []Record{{handoverKind, handoverOut, nil}, {handoverKind, handoverIn, h.encode()}},
	}})
	return report, err
}

// fill writes the items, and then the anchor.
func (s *Store) fill(head Committed, next func() ([]byte, error)) error {
	var batch []cell
	size := 0
	write := func() error {
		if len(batch) == 0 {
			return nil
		}
		if err := s.admit(false); err != nil {
			return err
		}
		err := s.cells.Write(batch)
		batch, size = nil, 0
		return err
	}
	for {
		item, err := next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		c, err := s.cellOf(item)
		if err != nil {
			return &DamageError{What: "archive", Why: err.Error()}
		}
		batch, size = append(batch, c), size+len(c.key)+len(c.value)
		if size >= maxBatchBytes || len(batch) >= maxBatchCells {
			if err := write(); err != nil {
				return err
			}
		}
	}
	if err := write(); err != nil {
		return err
	}
	for range slotPages {
		if err := s.anchor.set(head); err != nil {
			return err
		}
	}
	return nil
}
