package readertest

import "sync"

// visit is the stay of one phone in the field of a Reader. It calls the phone one method at a time.
type visit struct {
	phone  Phone
	faults Faults
	gone   chan struct{}
	once   sync.Once

	mu         sync.Mutex // held during each call of the phone
	on         bool
	activation int
}

// leave returns at once; the phone loses its power when it is done with the command it is carrying out.
func (v *visit) leave() {
	v.once.Do(func() {
		close(v.gone)
		go func() {
			v.mu.Lock()
			defer v.mu.Unlock()
			v.cut()
		}()
	})
}

// powerOn starts an activation and returns its number. An activation that has not lost its power yet loses it first.
func (v *visit) powerOn() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.cut()
	v.activation++
	v.on = true
	v.phone.PowerOn()
	return v.activation
}

// powerOff ends an activation if it is still the phone's last one.
func (v *visit) powerOff(activation int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.activation == activation {
		v.cut()
	}
}

func (v *visit) cut() {
	if v.on {
		v.on = false
		v.phone.PowerOff()
	}
}

// transmit returns nil when the activation has ended before the phone saw the command.
func (v *visit) transmit(activation int, command []byte) []byte {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.on || v.activation != activation {
		return nil
	}
	return v.phone.Transmit(command)
}
