// Package vpcd is the wire between a reader and a phone in software, as vsmartcard's vpcd driver for pcscd speaks it:
// a frame is a length of two bytes, big endian, and that many bytes. A frame of one byte from the reader is a control
// code, any other frame is a C-APDU; the phone answers the ATR request and each C-APDU with one frame, in order, and
// answers nothing else. The wire has no numbers and no way to cancel: who gives up waiting for an answer must count it
// and throw it away when it comes.
package vpcd

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Control codes, reader to phone.
const (
	PowerOff byte = 0x00
	PowerOn  byte = 0x01
	Reset    byte = 0x02
	GetATR   byte = 0x04
)

// MaxFrame is what the length field carries; it bounds what ReadFrame allocates.
const MaxFrame = 0xFFFF

// ReadFrame reads one frame. The error is io.EOF only if the stream ends between two frames.
func ReadFrame(r io.Reader) ([]byte, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	frame := make([]byte, binary.BigEndian.Uint16(head[:]))
	if _, err := io.ReadFull(r, frame); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return frame, nil
}

// WriteFrame writes one frame with one Write: two would cost 40 ms each between Nagle and the delayed ACK.
func WriteFrame(w io.Writer, payload []byte) error {
	if len(payload) > MaxFrame {
		return fmt.Errorf("frame of %d bytes, the wire carries %d", len(payload), MaxFrame)
	}
	frame := make([]byte, 2, 2+len(payload))
	binary.BigEndian.PutUint16(frame, uint16(len(payload)))
	_, err := w.Write(append(frame, payload...))
	return err
}
