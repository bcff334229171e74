package pn532

import (
	"bytes"
	"net"
	"testing"
	"time"
)

// A chip repeats its last answer when it is asked to. When the answer has come meanwhile, its repetition lies on the
// line while the next command goes out, and must not be taken for that one's answer.
func TestRepeatedAnswerIsNotOneToTheNextCommand(t *testing.T) {
	for name, noise := range map[string][]byte{
		"the answer was spoilt": {0x00, 0x00, 0xFF, 0x05, 0xFB, 0xD5, 0x41, 0x00, 0xEE, 0x90, 0x00, 0x00},
		"a frame of another":    nil, // spoilt before the acknowledgement: it is of the past
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			host, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer host.Close()
			chipSide, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer chipSide.Close()
			go func() { repeats(chipSide, noise) }()
			c := newChip(host)
			for _, want := range [][]byte{{0xAA, 0x90, 0x00}, {0xBB, 0x90, 0x00}} {
				got, err := c.transmit(waits{time.Second, time.Second}, 1, []byte{0, 0xB0, 0, 0})
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("answer %X, %v, want %X", got, err, want)
				}
				time.Sleep(50 * time.Millisecond) // the repetition arrives
			}
		})
	}
}

// repeats is a chip that answers two exchanges with AA and BB, and repeats its last answer for each NACK.
func repeats(line net.Conn, noise []byte) {
	frame := func(data byte) []byte {
		body := []byte{fromChip, inDataExchange + 1, 0x00, data, 0x90, 0x00}
		return append(append([]byte{0, 0, 0xFF, 6, 0xFA}, body...), -sum(body), 0)
	}
	var last []byte
	data := byte(0xAA)
	buf := make([]byte, 512)
	for {
		n, err := line.Read(buf)
		if err != nil {
			return
		}
		in := buf[:n]
		for i := bytes.Count(in, nack); i > 0; i-- {
			_, _ = line.Write(last)
		}
		if !bytes.Contains(in, []byte{fromHost, inDataExchange}) {
			continue
		}
		answer := frame(data)
		if noise == nil && last != nil { // the spoilt frame comes first, and the chip has nothing new to repeat
			_, _ = line.Write([]byte{0x00, 0x00, 0xFF, 0x05, 0xFB, 0xD5, 0x41, 0x00, 0xEE, 0x90, 0x00, 0x00})
			time.Sleep(50 * time.Millisecond)
			_ = line.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			if n, _ := line.Read(buf); bytes.Contains(buf[:n], nack) {
				_, _ = line.Write(last)
			}
			_ = line.SetReadDeadline(time.Time{})
		}
		last, data = answer, data+0x11
		_, _ = line.Write(append(append(append([]byte(nil), ack...), noise...), answer...))
	}
}
