//go:build cgo && !nopcsc

package pcsc

import (
	"errors"
	"time"

	"github.com/ebfe/scard"
)

// open: libpcsclite is linked, and pcscd is not needed before the first context.
func open() (system, error) { return lite{}, nil }

// lite is the real PC/SC. It keeps away from what makes scard panic: an empty command, an empty wait, a handle without
// a protocol, an ATR given back to a wait.
type lite struct{}

func (lite) establish() (link, error) {
	ctx, err := scard.EstablishContext()
	if err != nil {
		return nil, inward(err)
	}
	return liteLink{ctx}, nil
}

func inward(err error) error {
	var c scard.Error
	if errors.As(err, &c) {
		return code(c)
	}
	return err
}

type liteLink struct{ ctx *scard.Context }

func (l liteLink) listReaders() ([]string, error) {
	names, err := l.ctx.ListReaders()
	return names, inward(err)
}

func (l liteLink) wait(entries []entry, timeout time.Duration) error {
	states := make([]scard.ReaderState, len(entries))
	for i, e := range entries {
		states[i] = scard.ReaderState{Reader: e.reader, CurrentState: scard.StateFlag(e.state)}
	}
	if err := l.ctx.GetStatusChange(states, timeout); err != nil {
		return inward(err)
	}
	for i, s := range states {
		entries[i].event, entries[i].atr = flags(s.EventState), s.Atr
	}
	return nil
}

func (l liteLink) cancel() error  { return inward(l.ctx.Cancel()) }
func (l liteLink) release() error { return inward(l.ctx.Release()) }

func (l liteLink) connect(reader string) (handle, error) {
	card, err := l.ctx.Connect(reader, scard.ShareExclusive, scard.ProtocolAny)
	if err != nil {
		return nil, inward(err)
	}
	return take(card)
}

// force powers what is in the slot without asking pcscd what it believes. The direct handle is given back before the
// card is taken: to make it an exclusive one, libpcsclite waits without end for all others to leave, and two that do so
// at once wait for each other.
func (l liteLink) force(reader string) (handle, error) {
	card, err := l.ctx.Connect(reader, scard.ShareDirect, scard.ProtocolUndefined)
	if err != nil {
		return nil, inward(err)
	}
	if present, told := presence(card); told && !present {
		// To power an empty slot would make pcscd call it a mute card until the next one comes.
		_ = card.Disconnect(scard.LeaveCard)
		return nil, codeNoSmartcard
	}
	err = card.Reconnect(scard.ShareDirect, scard.ProtocolUndefined, scard.UnpowerCard)
	_ = card.Disconnect(scard.LeaveCard)
	if err != nil {
		return nil, inward(err)
	}
	return l.connect(reader)
}

// presence asks the driver itself, where it can be asked; libccid can.
func presence(card *scard.Card) (present, told bool) {
	value, err := card.GetAttrib(scard.AttrIccPresence)
	if err != nil || len(value) == 0 {
		return false, false
	}
	return value[0] != 0, true
}

// take refuses a card without a protocol, because scard panics at its first command, and a card that is not
// contactless, which the ATR of the last event does not always tell.
func take(card *scard.Card) (handle, error) {
	status, err := card.Status()
	switch {
	case err != nil:
		_ = card.Disconnect(scard.UnpowerCard)
		return nil, inward(err)
	case status.ActiveProtocol != scard.ProtocolT0 && status.ActiveProtocol != scard.ProtocolT1, !contactless(status.Atr):
		_ = card.Disconnect(scard.UnpowerCard)
		return nil, codeUnsupported
	}
	return liteHandle{card, scard.UnpowerCard}, nil
}

func (l liteLink) direct(reader string) (handle, error) {
	card, err := l.ctx.Connect(reader, scard.ShareDirect, scard.ProtocolUndefined)
	if err != nil {
		return nil, inward(err)
	}
	return directHandle{liteHandle{card, scard.LeaveCard}}, nil
}

// directHandle keeps commands away from a handle without a protocol, on which scard panics.
type directHandle struct{ liteHandle }

func (directHandle) transmit([]byte) ([]byte, error) { return nil, codeNoSmartcard }

type liteHandle struct {
	card *scard.Card
	end  scard.Disposition
}

func (h liteHandle) control(code uint32, command []byte) ([]byte, error) {
	answer, err := h.card.Control(code, command)
	return answer, inward(err)
}

// transmit copies the answer out of the 64 KiB that scard allocates for each, and wipes those.
func (h liteHandle) transmit(command []byte) ([]byte, error) {
	buffer, err := h.card.Transmit(command)
	if err != nil {
		return nil, inward(err)
	}
	if len(buffer) == 0 { // what vpcd 0.8 makes of a phone that leaves in the middle
		return nil, codeNotTransacted
	}
	answer := append(make([]byte, 0, len(buffer)), buffer...)
	clear(buffer[:cap(buffer)])
	return answer, nil
}

func (h liteHandle) disconnect() error { return inward(h.card.Disconnect(h.end)) }
