package ledger

import (
	"errors"
	"testing"
)

func TestRowsComeBackAsWritten(t *testing.T) { each(t, testRowsComeBackAsWritten) }

func testRowsComeBackAsWritten(t *testing.T, l *Ledger) {
	term := Terminal{"m1", "t1", "Tea House", "TERM0001", "kid", "key", "shop"}
	device := Device{ID: [8]byte{1, 0xAB}, Account: "alice", Kind: 1, KVN: 2, Status: DeviceActive, SignKey: "02", AgreeKey: "03", Epoch: 3}
	mark := Mark{device.ID, 0xFFFF, [32]byte{1}, [16]byte{2}}
	tap := Tap{device.ID, 3, 1, [16]byte{3}, [34]byte{6}, [32]byte{4}, [16]byte{5}, 100, 200, false}
	message := Message{"m1", "t1", "id-1", 7, [32]byte{9}, "topic", "answer"}
	put := func(tx *Tx) error {
		return errors.Join(tx.EnrolTerminal(term), tx.PutDevice(device), tx.PutMark(mark), tx.PutTap(tap), tx.Remember(message, noon))
	}
	update(t, l, put)
	read := func(tx *Tx) error {
		gotTerm, err1 := tx.Terminal("m1", "t1")
		gotDevice, err2 := tx.Device(device.ID)
		gotMark, err3 := tx.Mark(device.ID, 0xFFFF)
		gotTap, err4 := tx.Tap(device.ID, 3, 1)
		gotMessage, err5 := tx.Seen("m1", "t1", "id-1", 8)
		numbered, err6 := tx.Seen("m1", "t1", "id-2", 7)
		if gotTerm != term || gotDevice != device || gotMark != mark || gotTap != tap || gotMessage != message || numbered != message {
			t.Errorf("%v\n%v\n%v\n%v\n%v\n%v", gotTerm, gotDevice, gotMark, gotTap, gotMessage, numbered)
		}
		return errors.Join(err1, err2, err3, err4, err5, err6)
	}
	if err := l.View(t.Context(), read); err != nil {
		t.Fatal(err)
	}
	for name, fn := range map[string]func(*Tx) error{
		"device": func(tx *Tx) error { return tx.PutDevice(device) },
		"mark":   func(tx *Tx) error { return tx.PutMark(mark) },
		"tap":    func(tx *Tx) error { return tx.PutTap(tap) },
		"id":     func(tx *Tx) error { return tx.Remember(Message{Merchant: "m1", Terminal: "t1", ID: "id-1"}, noon) },
		"number": func(tx *Tx) error {
			return tx.Remember(Message{Merchant: "m1", Terminal: "t1", ID: "id-2", Sequence: 7}, noon)
		},
	} {
		if err := l.Update(t.Context(), fn); !errors.Is(err, ErrExists) {
			t.Errorf("second %s: %v", name, err)
		}
	}
	for name, fn := range map[string]func(*Tx) error{
		"terminal":      func(tx *Tx) error { _, err := tx.Terminal("m1", "t2"); return err },
		"device":        func(tx *Tx) error { _, err := tx.Device([8]byte{9}); return err },
		"mark":          func(tx *Tx) error { _, err := tx.Mark(device.ID, 1); return err },
		"tap":           func(tx *Tx) error { _, err := tx.Tap(device.ID, 4, 1); return err },
		"message":       func(tx *Tx) error { _, err := tx.Seen("m2", "t1", "id-1", 7); return err },
		"number":        func(tx *Tx) error { _, err := tx.Seen("m1", "t2", "id-1", 7); return err },
		"payment":       func(tx *Tx) error { _, err := tx.Payment([16]byte{1}); return err },
		"device status": func(tx *Tx) error { return tx.SetDeviceStatus([8]byte{9}, DeviceBlocked) },
	} {
		if err := l.View(t.Context(), fn); name != "device status" && !errors.Is(err, ErrNone) {
			t.Errorf("missing %s: %v", name, err)
		}
	}
}

// Messages without a number never stand in each other's way.
func TestUnnumberedMessages(t *testing.T) { each(t, testUnnumberedMessages) }

func testUnnumberedMessages(t *testing.T, l *Ledger) {
	update(t, l, func(tx *Tx) error {
		return errors.Join(tx.Remember(Message{ID: "a"}, noon), tx.Remember(Message{ID: "b"}, noon))
	})
}

func TestAllowanceReturns(t *testing.T) { each(t, testAllowanceReturns) }

func testAllowanceReturns(t *testing.T, l *Ledger) {
	device := [8]byte{7}
	update(t, l, func(tx *Tx) error {
		return errors.Join(tx.PutTap(Tap{Device: device, Epoch: 3, Index: 1, Payment: [16]byte{1}, AmountMinor: 100}),
			tx.PutTap(Tap{Device: device, Epoch: 3, Index: 2, Payment: [16]byte{2}, AmountMinor: 40}),
			tx.ReturnAllowance([16]byte{2}), tx.ReturnAllowance([16]byte{2}), tx.ReturnAllowance([16]byte{3}))
	})
	err := l.View(t.Context(), func(tx *Tx) error {
		_, sum, err1 := tx.Around(device, 3, 1)
		returned, err2 := tx.ReturnedMinor(device, 3)
		if sum != 140 || returned != 40 {
			t.Errorf("sum %d, returned %d", sum, returned)
		}
		return errors.Join(err1, err2)
	})
	if err != nil {
		t.Fatal(err)
	}
}
