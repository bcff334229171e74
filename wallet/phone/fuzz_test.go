package phone

import (
	"testing"

	"tapkeeper/emv/apdu"
)

// FuzzTransmit sends any C-APDUs, cut from one string by length bytes, to a
// phone in each phase of a tap. Every answer must have at least two bytes, carry
// data only with 9000, and the ATC must rise exactly with each answered
// GENERATE AC.
func FuzzTransmit(f *testing.F) {
	p := testProfile(1)
	s := sale{asked: tc, txid: 1, amount: 5000}
	seed := func(commands ...apdu.Command) {
		var b []byte
		for _, c := range commands {
			raw := c.Bytes()
			b = append(append(b, byte(len(raw))), raw...)
		}
		for phase := range byte(3) {
			f.Add(phase, b)
		}
	}
	gpo, generate := apdu.GPO(s.fill(testPDOL, nil)), apdu.GenerateAC(tc, s.fill(testCDOL1, nil))
	seed(apdu.Select([]byte(apdu.PPSE), false), apdu.Select(p.ADF[:7], false), apdu.Select(p.ADF[:7], true))
	seed(apdu.Select(p.ADF, false), gpo, apdu.ReadRecord(1, 1), apdu.ReadRecord(2, 3), generate, s.recover())
	seed(gpo, apdu.ERRD([4]byte{1}), generate)
	seed(apdu.GetResponse(256))
	f.Add(byte(1), []byte{0, 1, 2, 3, 0, 164})

	f.Fuzz(func(t *testing.T, phase byte, script []byte) {
		u := newPhone(t, p, testProfile(2))
		if phase%3 > 0 {
			send(t, u.Wallet, apdu.Select(p.ADF, false))
		}
		if phase%3 > 1 {
			send(t, u.Wallet, gpo)
		}
		for len(script) > 0 {
			n := min(int(script[0]), len(script)-1)
			command := script[1 : 1+n]
			script = script[1+n:]
			before := taps(u.State())
			answer := u.Transmit(command)
			if len(answer) < 2 || len(answer) > 258 {
				t.Fatalf("%X: answer of %d bytes", command, len(answer))
			}
			ok := answer[len(answer)-2] == 0x90 && answer[len(answer)-1] == 0
			if !ok && len(answer) != 2 {
				t.Fatalf("%X: data with an error: %X", command, answer)
			}
			want := before
			if ok && command[1] == apdu.InsGenerateAC {
				want++
			}
			if got := taps(u.State()); got != want || got != len(u.store.saved) {
				t.Fatalf("%X: %d taps, want %d; %d saves", command, got, want, len(u.store.saved))
			}
		}
	})
}

func taps(s State) (n int) {
	for _, c := range s.Cards {
		n += int(c.ATC)
	}
	return n
}
