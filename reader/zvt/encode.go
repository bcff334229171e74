package zvt

import (
	"encoding/binary"
	"fmt"
)

// Append appends a message; what Decode took apart comes out as it was.
func (m Msg) Append(dst []byte) ([]byte, error) {
	body := append([]byte(nil), m.Head...)
	for _, f := range m.Fields {
		var err error
		if body, err = f.append(body); err != nil {
			return nil, fmt.Errorf("%v: %w", m.Control, err)
		}
	}
	n := len(body)
	if n > 0xFFFF {
		return nil, fmt.Errorf("%v: a message of %d bytes", m.Control, n)
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(m.Control))
	if n >= longLength || m.long {
		dst = append(dst, longLength, byte(n), byte(n>>8))
	} else {
		dst = append(dst, byte(n))
	}
	return append(dst, body...), nil
}

func (f Field) append(dst []byte) ([]byte, error) {
	dst = append(dst, f.Tag)
	if size, ok := fixed[f.Tag]; ok {
		if len(f.Value) != size {
			return nil, fmt.Errorf("bitmap %02X has %d bytes, want %d", f.Tag, len(f.Value), size)
		}
		return append(dst, f.Value...), nil
	}
	if digits, ok := variable[f.Tag]; ok {
		limit := 100
		if digits == 3 {
			limit = 1000
		}
		if len(f.Value) >= limit {
			return nil, fmt.Errorf("bitmap %02X has %d bytes, want less than %d", f.Tag, len(f.Value), limit)
		}
		for unit := limit / 10; unit > 0; unit /= 10 {
			dst = append(dst, 0xF0|byte(len(f.Value)/unit%10))
		}
		return append(dst, f.Value...), nil
	}
	if f.Tag != container {
		return nil, fmt.Errorf("bitmap %02X is unknown", f.Tag)
	}
	body, err := appendTLV(nil, f.TLV)
	if err != nil {
		return nil, err
	}
	return append(appendLength(dst, len(body), f.form), body...), nil
}

func appendTLV(dst []byte, list []TLV) ([]byte, error) {
	for _, t := range list {
		first := byte(t.Tag)
		if t.Tag > 0xFF {
			first = byte(t.Tag >> 8)
			dst = append(dst, first)
		}
		dst = append(dst, byte(t.Tag))
		body := t.Value
		if first&0x20 != 0 {
			var err error
			if body, err = appendTLV(nil, t.TLV); err != nil {
				return nil, err
			}
		}
		if len(body) > 0xFFFF {
			return nil, fmt.Errorf("data object %X has %d bytes", t.Tag, len(body))
		}
		dst = append(appendLength(dst, len(body), t.form), body...)
	}
	return dst, nil
}

// appendLength writes a BER length, in no less bytes than form.
func appendLength(dst []byte, n, form int) []byte {
	switch max(lengthSize(n), form) {
	case 1:
		return append(dst, byte(n))
	case 2:
		return append(dst, 0x81, byte(n))
	}
	return append(dst, 0x82, byte(n>>8), byte(n))
}
