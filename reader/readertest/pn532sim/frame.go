package pn532sim

import "bytes"

type frame int

const (
	nothing frame = iota
	hostACK
	hostNACK
	command
)

var (
	ackFrame    = []byte{0x00, 0x00, 0xFF, 0x00, 0xFF, 0x00}
	syntaxError = []byte{0x00, 0x00, 0xFF, 0x01, 0xFF, 0x7F, 0x81, 0x00}
)

// cut takes the first whole frame out of in; body is code and data of a command.
func cut(in []byte) (f frame, body, rest []byte) {
	for {
		i := bytes.Index(in, []byte{0x00, 0xFF})
		if i < 0 || len(in) < i+4 {
			return nothing, nil, in
		}
		in = in[i:]
		head, n := 4, int(in[2])
		switch {
		case in[2] == 0x00 && in[3] == 0xFF:
			return hostACK, nil, in[4:]
		case in[2] == 0xFF && in[3] == 0x00:
			return hostNACK, nil, in[4:]
		case in[2] == 0xFF && in[3] == 0xFF:
			if len(in) < 7 {
				return nothing, nil, in
			}
			head, n = 7, int(in[4])*256+int(in[5])
			if byte(in[4]+in[5]+in[6]) != 0 {
				in = in[2:]
				continue
			}
		case byte(in[2]+in[3]) != 0:
			in = in[2:]
			continue
		}
		if n > 265 {
			in = in[2:]
			continue
		}
		if len(in) < head+n+1 {
			return nothing, nil, in
		}
		var sum byte
		for _, b := range in[head : head+n+1] {
			sum += b
		}
		if sum != 0 || n < 2 || in[head] != 0xD4 {
			in = in[head:]
			continue
		}
		return command, in[head+1 : head+n], in[head+n+1:]
	}
}

// wrap makes the frame of an answer.
func wrap(code byte, data []byte) []byte {
	body := append([]byte{0xD5, code}, data...)
	n := len(body)
	out := []byte{0x00, 0x00, 0xFF, byte(n), byte(-n)}
	if n > 255 {
		out = []byte{0x00, 0x00, 0xFF, 0xFF, 0xFF, byte(n >> 8), byte(n), byte(-(n>>8 + n))}
	}
	var sum byte
	for _, b := range body {
		sum += b
	}
	return append(append(out, body...), -sum, 0x00)
}
