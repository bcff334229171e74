package uplink

import (
	"crypto/tls"
	"strings"
	"testing"
)

func TestParseBroker(t *testing.T) {
	for raw, want := range map[string]broker{
		"mqtt://pay.example":       {"pay.example:1883", "pay.example", false},
		"mqtts://pay.example":      {"pay.example:8883", "pay.example", true},
		"mqtts://pay.example:443/": {"pay.example:443", "pay.example", true},
		"mqtts://[2001:db8::1]":    {"[2001:db8::1]:8883", "2001:db8::1", true},
	} {
		if got, err := parseBroker(raw); err != nil || got != want {
			t.Errorf("%s: %+v, %v", raw, got, err)
		}
	}
	for raw, want := range map[string]string{
		"":                              "must begin with",
		"pay.example:8883":              "must begin with",
		"http://pay.example":            "must begin with",
		"mqtts://":                      "no host",
		"mqtts://pay.example/path":      "nothing may follow",
		"mqtts://till:s3cret@pay":       "do not belong",
		"mqtts://till:s3cret@pay:port/": "not an address",
	} {
		_, err := parseBroker(raw)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", raw, err, want)
		} else if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: the error shows the password", raw)
		}
	}
}

func TestParseBrokers(t *testing.T) {
	got, err := parseBrokers("mqtts://a1.example, mqtts://a2.example:443")
	if err != nil || len(got) != 2 || got[1].host != "a2.example:443" {
		t.Errorf("%+v, %v", got, err)
	}
	for _, raw := range []string{"mqtts://a,mqtt://b", "mqtts://a,", strings.Repeat("mqtt://a,", maxBrokers) + "mqtt://a"} {
		if _, err := parseBrokers(raw); err == nil {
			t.Errorf("%s passes", raw)
		}
	}
}

func TestTLSIsAtLeast13(t *testing.T) {
	for _, given := range []*tls.Config{nil, {MinVersion: tls.VersionTLS12}, {ServerName: "other"}} {
		c := tlsConfig(given, "pay.example")
		if c.MinVersion != tls.VersionTLS13 || c.ServerName == "" || c.InsecureSkipVerify {
			t.Errorf("%+v becomes min %x, name %q", given, c.MinVersion, c.ServerName)
		}
		if given != nil && given.ServerName == "" && c.ServerName != "pay.example" {
			t.Errorf("name %q", c.ServerName)
		}
	}
}

// lengthBytes is MQTT's variable length, up to four bytes.
func lengthBytes(n int) []byte {
	var out []byte
	for {
		b := byte(n & 0x7f)
		if n >>= 7; n > 0 {
			out = append(out, b|0x80)
			continue
		}
		return append(out, b)
	}
}

func TestPacketMeter(t *testing.T) {
	for _, n := range []int{0, 1, 127, 128, 16383, 16384, maxPacket} {
		var m packetMeter
		packet := append(append([]byte{0x30}, lengthBytes(n)...), make([]byte, n)...)
		stream := append(append([]byte{}, packet...), packet...)
		for i := range stream { // byte by byte is the hardest
			if err := m.see(stream[i : i+1]); err != nil {
				t.Fatalf("length %d, byte %d: %v", n, i, err)
			}
		}
		if m != (packetMeter{shift: m.shift}) {
			t.Errorf("length %d: ends in %+v", n, m)
		}
	}
	for name, stream := range map[string][]byte{
		"one over":          append([]byte{0x30}, lengthBytes(maxPacket+1)...),
		"256 MiB":           {0x30, 0xff, 0xff, 0xff, 0x7f},
		"five length bytes": {0x30, 0x80, 0x80, 0x80, 0x80},
	} {
		var m packetMeter
		if m.see(stream) == nil {
			t.Errorf("%s: passes", name)
		}
	}
}

// FuzzPacketMeter: the same verdict however the stream is cut.
func FuzzPacketMeter(f *testing.F) {
	f.Add([]byte{0x30, 3, 1, 2, 3, 0xd0, 0}, uint8(2))
	f.Add([]byte{0x30, 0xff, 0xff, 0xff, 0x7f, 0}, uint8(3))
	f.Add([]byte{0x30, 0x80, 0x80, 0x80, 0x80, 0}, uint8(1))
	f.Fuzz(func(t *testing.T, stream []byte, cut uint8) {
		var whole, parts packetMeter
		want := whole.see(stream)
		step := int(cut)%7 + 1
		var got error
		for rest := stream; len(rest) > 0 && got == nil; {
			n := min(step, len(rest))
			got = parts.see(rest[:n])
			rest = rest[n:]
		}
		if (want == nil) != (got == nil) {
			t.Fatalf("whole %v, in steps of %d %v", want, step, got)
		}
		if want == nil && whole != parts {
			t.Fatalf("whole %+v, in parts %+v", whole, parts)
		}
	})
}
