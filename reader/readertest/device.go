package readertest

import (
	"sync"
	"time"
)

// Device is a reader of a Lab.
type Device struct {
	USB       string // vendor:product, one of those that the Lab's driver knows
	Interface string // interface name, "" for none
	Serial    string // "" for none
	Slots     int    // 0 is 1
	// Escape answers what SCardControl sends to the reader; nil is a driver that does not permit it. Set it before Plug.
	Escape func(slot int, in []byte) []byte
	// Pseudo answers APDUs of class FF, which a real reader takes for itself; nil lets the phone have them.
	Pseudo func(slot int, in []byte) []byte

	lab      *Lab
	number   int
	plugged  bool
	lost     bool
	slots    []*Slot
	channels map[uint32]bool // open, by pcscd's number and slot
}

// Slot is the field of one slot.
func (d *Device) Slot(n int) *Slot { return d.slots[n] }

// Lose makes a reader stop to answer without an event of udev, as a hub without power does; Return ends it.
func (d *Device) Lose() { d.setLost(true) }

// Return ends Lose.
func (d *Device) Return() { d.setLost(false) }

func (d *Device) setLost(lost bool) {
	d.lab.mu.Lock()
	d.lost = lost
	d.lab.mu.Unlock()
	if lost {
		for _, s := range d.slots {
			s.cut()
		}
	}
}

// Failure is what a driver reports instead of an answer.
type Failure int

// The failures.
const (
	Removed   Failure = iota + 1 // the phone is taken away, and the driver knows it
	FieldLost                    // no answer, and the phone cannot be powered until it is taken away
	Garbled                      // a communication error; the phone is still there
	Silent                       // no answer in the driver's time
	Pulled                       // the reader is unplugged
	Lost                         // the reader stops to answer
	Short                        // an answer of one byte
)

// Slot is a Field of a Lab.
type Slot struct {
	device *Device

	mu      sync.Mutex
	visit   *visit // the phone in the field, or nil
	mute    bool
	dead    bool // FieldLost has happened to this visit
	powered int  // the visit's activation; 0 for none
	n       int  // commands of this activation
	failAt  int
	failure Failure
}

var _ Field = (*Slot)(nil)

// Present puts a phone into the field.
func (s *Slot) Present(p Phone) error {
	s.Remove()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.visit = &visit{phone: p, gone: make(chan struct{})}
	s.dead, s.powered, s.n = false, 0, 0
	return nil
}

// Remove takes the phone out of the field.
func (s *Slot) Remove() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leave()
}

func (s *Slot) leave() {
	if s.visit != nil {
		s.visit.leave()
		s.visit = nil
	}
}

// cut takes the power away, because the reader has gone.
func (s *Slot) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.visit != nil {
		go s.visit.powerOff(s.powered)
		old := s.visit
		old.once.Do(func() { close(old.gone) })
		s.visit = &visit{phone: old.phone, gone: make(chan struct{})} // it still lies there
		s.powered = 0
	}
}

// Mute makes the phone in the field not answer to power.
func (s *Slot) Mute(mute bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mute = mute
}

// FailAt makes the command of that number, counted from 1 in each activation, fail once.
func (s *Slot) FailAt(n int, f Failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failAt, s.failure = n, f
}

// silence is how long the driver waits for a phone that does not answer.
const silence = 300 * time.Millisecond

// presence is what the driver says of the field.
func (s *Slot) presence() uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.visit == nil {
		return ifdNotPresent
	}
	return ifdPresent
}

func (s *Slot) power(action uint32) (uint32, []byte) {
	s.mu.Lock()
	v := s.visit
	switch {
	case v == nil && action == ifdPowerDown:
		s.mu.Unlock()
		return ifdSuccess, nil
	case v == nil: // as libccid has it
		s.mu.Unlock()
		return ifdPowerAction, nil
	case action != ifdPowerDown && (s.mute || s.dead):
		s.mu.Unlock()
		return ifdPowerAction, nil
	}
	activation := s.powered
	s.powered, s.n = 0, 0
	s.mu.Unlock()
	if action == ifdPowerDown || activation != 0 {
		v.powerOff(activation)
	}
	if action == ifdPowerDown {
		return ifdSuccess, nil
	}
	activation = v.powerOn()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.visit != v {
		return ifdNotPresent, nil
	}
	s.powered = activation
	return ifdSuccess, atrOf(v.phone)
}

func (s *Slot) transmit(command []byte) (uint32, []byte) {
	s.mu.Lock()
	s.n++
	v, activation := s.visit, s.powered
	failure := Failure(0)
	if s.failAt != 0 && s.n == s.failAt {
		failure, s.failAt = s.failure, 0
	}
	if failure == FieldLost {
		s.dead = true
	}
	dead := s.dead
	s.mu.Unlock()
	switch {
	case failure == Pulled:
		s.device.lab.Unplug(s.device)
		return ifdNoSuchDevice, nil
	case failure == Lost:
		s.device.Lose()
		return ifdNoSuchDevice, nil
	case failure == Removed:
		s.Remove()
		return ifdNotPresent, nil
	case v == nil:
		return ifdNotPresent, nil
	case activation == 0: // nobody has powered this phone
		return ifdCommunication, nil
	case dead, failure == Garbled:
		return ifdCommunication, nil
	case failure == Silent:
		time.Sleep(silence)
		return ifdTimeout, nil
	case failure == Short:
		return ifdSuccess, []byte{0x90}
	}
	answered := make(chan []byte, 1)
	go func() { answered <- v.transmit(activation, command) }()
	select {
	case answer := <-answered:
		if answer == nil {
			s.Remove()
			return ifdNotPresent, nil
		}
		return ifdSuccess, answer
	case <-v.gone:
		return ifdNotPresent, nil
	}
}
