package conform

import (
	"context"
	"time"

	"tapkeeper/reader"
	"tapkeeper/reader/readertest"
)

func testExchange(b *bench) {
	if b.reader.Name() == "" {
		b.Error("the reader has no name")
	}
	var phone readertest.Loop
	b.present(&phone)
	card := b.await()
	for i := range 20 {
		b.wantEcho(card, []byte{0x80, 0xCA, byte(i), 0x00})
	}
	if !phone.Powered() {
		b.Error("the phone has no power during its activation")
	}
	b.release(card)
	b.eventually("power off", func() bool { return !phone.Powered() })
	b.wantOver(card)
	if got := len(phone.Seen()); got != 20 {
		b.Errorf("the phone saw %d commands, want 20", got)
	}
}

func testAwaitWaits(b *bench) {
	var phone readertest.Loop
	came := make(chan struct{})
	errs := make(chan error, 1)
	time.AfterFunc(50*time.Millisecond, func() {
		close(came)
		errs <- b.field.Present(&phone)
	})
	card := b.await()
	select {
	case <-came:
	default:
		b.Error("await returned before there was a phone")
	}
	if err := <-errs; err != nil {
		b.Fatal(err)
	}
	b.wantEcho(card, echo)
	b.release(card)
}

func testAwaitCancelled(b *bench) {
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(30*time.Millisecond, cancel)
	b.within(patience, "await", func() {
		card, err := b.reader.Await(ctx)
		b.wantErr(err, context.Canceled)
		if card != nil {
			b.Error("a card beside an error")
		}
	})
	var phone readertest.Loop
	b.present(&phone)
	card := b.await()
	b.wantEcho(card, echo)
	b.release(card)
}

func testActivateAgain(b *bench) {
	var phone readertest.Loop
	b.present(&phone)
	card := b.await()
	b.wantEcho(card, echo)
	before := phone.Activations()
	const dark = 300 * time.Millisecond
	start := time.Now()
	if err := card.Release(dark); err != nil {
		b.Fatalf("release: %v", err)
	}
	if took := time.Since(start); took >= dark {
		b.Errorf("release blocked for %v", took)
	}
	card = b.await()
	if lit := time.Since(start); lit < dark {
		b.Errorf("the field was off for %v, want at least %v", lit, dark)
	}
	b.wantEcho(card, echo)
	if phone.Activations() <= before {
		b.Error("the phone was not powered anew")
	}
	b.release(card)
}

func testBusy(b *bench) {
	var phone readertest.Loop
	b.present(&phone)
	card := b.await()
	_, err := b.reader.Await(context.Background())
	b.wantErr(err, reader.ErrBusy)
	b.wantEcho(card, echo)
	b.release(card)
	card = b.await()
	b.wantEcho(card, echo)
	b.release(card)
}

func testLeaveDuring(b *bench) {
	started, finish := make(chan struct{}), make(chan struct{})
	phone := readertest.Loop{Reply: func(int, []byte) []byte {
		close(started)
		<-finish
		return []byte{0x90, 0x00}
	}}
	b.present(&phone)
	card := b.await()
	go func() {
		<-started
		b.field.Remove()
		time.Sleep(20 * time.Millisecond)
		close(finish)
	}()
	b.within(b.notice+patience, "the exchange", func() {
		_, err := b.transmit(card, echo)
		b.wantErr(err, reader.ErrCardGone)
	})
	b.wantOver(card)
	b.wantNextPhone()
}

func testLeaveBetween(b *bench) {
	var phone readertest.Loop
	b.present(&phone)
	card := b.await()
	b.wantEcho(card, echo)
	b.field.Remove()
	b.eventually("phone without power", func() bool { return !phone.Powered() })
	_, err := b.transmit(card, echo)
	b.wantErr(err, reader.ErrCardGone)
	b.wantOver(card)
	b.wantNextPhone()
}

func testLeaveInstead(b *bench) {
	phone := readertest.Loop{Reply: func(int, []byte) []byte { return nil }}
	b.present(&phone)
	card := b.await()
	_, err := b.transmit(card, echo)
	b.wantErr(err, reader.ErrCardGone)
	b.wantOver(card)
	b.wantNextPhone()
}

// wantNextPhone: whatever happened to the last phone, the next one is served.
func (b *bench) wantNextPhone() {
	b.Helper()
	var next readertest.Loop
	b.present(&next)
	// A backend that polls may not have seen the last phone go, and then wakes up at it once more.
	var card reader.Card
	for range 3 {
		card = b.await()
		if answer, err := b.transmit(card, echo); err == nil {
			if len(next.Seen()) != 1 || len(answer) != len(echo)+2 {
				b.Errorf("answer %x did not come from the next phone", answer)
			}
			b.release(card)
			return
		}
		b.release(card)
	}
	b.Error("the next phone was not served")
}

func testLateAnswer(b *bench) {
	finish := make(chan struct{})
	phone := readertest.Loop{}
	phone.Reply = func(_ int, command []byte) []byte {
		if command[2] == 0xEE {
			<-finish
			return []byte{0xEE, 0xEE, 0x90, 0x00}
		}
		return append([]byte{command[2]}, 0x90, 0x00)
	}
	b.present(&phone)
	card := b.await()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Millisecond)
	defer cancel()
	b.within(patience, "the late exchange", func() {
		answer, took, err := card.Transmit(ctx, []byte{0x80, 0x01, 0xEE, 0x00})
		b.wantErr(err, context.DeadlineExceeded)
		if answer != nil || took < 50*time.Millisecond {
			b.Errorf("answer %x after %v", answer, took)
		}
	})
	b.wantOver(card)
	time.AfterFunc(50*time.Millisecond, func() { close(finish) })
	card = b.await()
	for i := range byte(5) {
		answer, err := b.transmit(card, []byte{0x80, 0x01, i, 0x00})
		if err != nil || len(answer) != 3 || answer[0] != i {
			b.Fatalf("command %d: answer %x, %v", i, answer, err)
		}
	}
	b.release(card)
}

func testLengths(b *bench) {
	phone := readertest.Loop{}
	phone.Reply = func(_ int, command []byte) []byte {
		answer := make([]byte, len(command)+2)
		copy(answer, command)
		answer[len(command)] = 0x90
		return answer
	}
	b.present(&phone)
	card := b.await()
	for _, n := range []int{4, 5, 20, 255, 256, 261, 2007} {
		command := make([]byte, n)
		for i := range command {
			command[i] = byte(i)
		}
		command[0], command[1] = 0x80, 0xCA
		b.wantEcho(card, command)
	}
	b.release(card)
	seen := len(phone.Seen())
	for _, n := range []int{0, 1, 3, reader.MaxCommand + 1} {
		card = b.await()
		if _, err := b.transmit(card, make([]byte, n)); err == nil {
			b.Errorf("a command of %d bytes was taken", n)
		}
		b.release(card)
	}
	if got := len(phone.Seen()); got != seen {
		b.Error("a command that is no C-APDU has reached the phone")
	}
}

func testShortAnswer(b *bench) {
	phone := readertest.Loop{Reply: func(int, []byte) []byte { return []byte{0x90} }}
	b.present(&phone)
	card := b.await()
	if answer, err := b.transmit(card, echo); err == nil {
		b.Errorf("the answer %x was taken", answer)
	}
	b.wantOver(card)
}

func testCloseAwait(b *bench) {
	time.AfterFunc(30*time.Millisecond, func() { _ = b.reader.Close() })
	b.within(patience, "await", func() {
		_, err := b.reader.Await(context.Background())
		b.wantErr(err, reader.ErrClosed)
	})
	_, err := b.reader.Await(context.Background())
	b.wantErr(err, reader.ErrClosed)
}

func testCloseTransmit(b *bench) {
	started, finish := make(chan struct{}), make(chan struct{})
	phone := readertest.Loop{Reply: func(int, []byte) []byte {
		close(started)
		<-finish
		return []byte{0x90, 0x00}
	}}
	b.present(&phone)
	card := b.await()
	closed := make(chan error, 1)
	go func() {
		<-started
		closed <- b.reader.Close()
	}()
	b.within(patience, "the exchange", func() {
		_, err := b.transmit(card, echo)
		b.wantErr(err, reader.ErrClosed)
	})
	select {
	case err := <-closed:
		if err != nil {
			b.Errorf("close: %v", err)
		}
	case <-time.After(patience):
		b.Error("close does not return while the phone is silent")
	}
	close(finish)
	b.wantOver(card)
}
