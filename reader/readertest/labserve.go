package readertest

import (
	"encoding/binary"
	"io"
	"net"
	"path"
	"strconv"
)

// Response codes of an IFD handler (ifdhandler.h), and what the driver is asked with.
const (
	ifdSuccess       = 0
	ifdErrorTag      = 600
	ifdPowerAction   = 608
	ifdCommunication = 612
	ifdTimeout       = 613
	ifdNotSupported  = 614
	ifdPresent       = 615
	ifdNotPresent    = 616
	ifdNoSuchDevice  = 617

	ifdPowerDown = 501

	tagATR       = 0x0303
	tagATRString = 0x00090303
	tagPresence  = 0x00090300
	tagSlots     = 0x0FAE
	tagVendor    = 0x00010100
	tagSerial    = 0x00010103

	controlEscape  = 0x42000001
	controlFeature = 0x42000D48
)

// featureEscape is the feature CCID_ESC_COMMAND with its control code, as libccid has it where it permits escapes.
var featureEscape = []byte{0x13, 0x04, 0x42, 0x00, 0x00, 0x01}

// maxQuestion is more than the longest command.
const maxQuestion = 1 << 17

func (l *Lab) serve() {
	for {
		conn, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.serving.Go(func() {
			defer conn.Close()
			l.question(conn)
		})
	}
}

// question answers one call of the driver.
func (l *Lab) question(conn net.Conn) {
	var head [12]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return
	}
	size := binary.BigEndian.Uint32(head[8:])
	if size > maxQuestion {
		return
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(conn, data); err != nil {
		return
	}
	code, answer := l.answer(head[0], binary.BigEndian.Uint16(head[1:3]), int(head[3]), binary.BigEndian.Uint32(head[4:8]), data)
	out := binary.BigEndian.AppendUint32(nil, code)
	out = binary.BigEndian.AppendUint32(out, uint32(len(answer)))
	_, _ = conn.Write(append(out, answer...)) // a pcscd that was killed does not read it
}

// answer is what the reader of pcscd's number does.
func (l *Lab) answer(op byte, number uint16, slot int, arg uint32, data []byte) (uint32, []byte) {
	l.mu.Lock()
	if op == 'o' { // usb:072f/2200:libudev:0:/dev/bus/usb/001/3
		n, _ := strconv.Atoi(path.Base(string(data)))
		if n < 1 || n > len(l.devices) {
			l.mu.Unlock()
			return ifdCommunication, nil
		}
		l.open[number] = l.devices[n-1]
	}
	d := l.open[number]
	there := d != nil && d.plugged && !d.lost
	channel := uint32(number)<<8 | uint32(slot)
	switch {
	case op == 'o' && there:
		d.channels[channel] = true
	case op == 'x' && d != nil:
		delete(d.channels, channel)
	}
	l.calls[operations[op]]++
	l.mu.Unlock()
	switch {
	case op == 'x':
		return ifdSuccess, nil
	case !there || slot >= len(d.slots):
		return ifdNoSuchDevice, nil
	}
	switch op {
	case 'o':
		return ifdSuccess, nil
	case 'i':
		return d.slots[slot].presence(), nil
	case 'p':
		return d.slots[slot].power(arg)
	case 't':
		if d.Pseudo != nil && len(data) > 0 && data[0] == 0xFF {
			return ifdSuccess, d.Pseudo(slot, data)
		}
		return d.slots[slot].transmit(data)
	case 'c':
		return d.control(slot, arg, data)
	case 'g':
		return d.capability(slot, arg)
	}
	return ifdNotSupported, nil
}

var operations = map[byte]string{'o': "open", 'x': "close", 'i': "presence", 'p': "power", 't': "transmit", 'c': "control", 'g': "capability"}

func (d *Device) control(slot int, code uint32, data []byte) (uint32, []byte) {
	switch {
	case code == controlFeature && d.Escape != nil:
		return ifdSuccess, featureEscape
	case code == controlFeature:
		return ifdSuccess, nil
	case code != controlEscape:
		return ifdNotSupported, nil
	case d.Escape == nil:
		return ifdCommunication, nil
	}
	return ifdSuccess, d.Escape(slot, data)
}

func (d *Device) capability(slot int, tag uint32) (uint32, []byte) {
	switch tag {
	case tagSlots:
		return ifdSuccess, []byte{byte(len(d.slots))}
	case tagATR, tagATRString:
		s := d.slots[slot]
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.visit != nil {
			return ifdSuccess, atrOf(s.visit.phone)
		}
	case tagPresence:
		if d.slots[slot].presence() == ifdPresent {
			return ifdSuccess, []byte{1}
		}
		return ifdSuccess, []byte{0}
	case tagVendor:
		return ifdSuccess, []byte(labNames[d.USB])
	case tagSerial:
		if d.Serial != "" {
			return ifdSuccess, []byte(d.Serial)
		}
	}
	return ifdErrorTag, nil
}
