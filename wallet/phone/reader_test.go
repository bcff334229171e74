package phone

import (
	"crypto/sha256"
	"errors"
	"io"
	"testing"
	"time"

	"tapkeeper/emv/apdu"
	"tapkeeper/emv/cert"
	"tapkeeper/emv/channel"
	"tapkeeper/emv/tlv"
)

// memory is a store that remembers, and that fails on demand.
type memory struct {
	saved []State
	fail  error
}

func (m *memory) Save(s State) error {
	if m.fail != nil {
		return m.fail
	}
	m.saved = append(m.saved, s)
	return nil
}

var errDiskFull = errors.New("no space left")

// stream is a deterministic random source.
type stream struct{ state [32]byte }

func (s *stream) Read(b []byte) (int, error) {
	for i := range b {
		s.state = sha256.Sum256(s.state[:])
		b[i] = s.state[0]
	}
	return len(b), nil
}

func newStream(seed byte) io.Reader { return &stream{state: [32]byte{seed}} }

// clock is the phone's time, moved by the test.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func scalar(seed byte) []byte {
	b := sha256.Sum256([]byte{seed})
	b[0] = 0 // below the order of the curve
	return b[:]
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

var issuerKey = must(channel.NewSignKey(scalar(0xD1)))

const (
	testPDOL  = "9F2B089E409F02065F2A029F1A029C019F3704DF8B2602"
	testCDOL1 = "9F02069F03065F2A029F1A029A039F21039C019F370495059F1C08DF8B2108DF8B2210DF8B230EDF8B2410DF8B26029F0610"
)

func unhex(s string) Hex {
	var h Hex
	if err := h.UnmarshalText([]byte(s)); err != nil {
		panic(err)
	}
	return h
}

// testGrant allows 1000.00 in taps of up to 200.00.
func testGrant(device byte, epoch uint32, maxTaps uint16) []byte {
	g := cert.Grant{IssuerSerial: 7, DeviceID: [8]byte{device}, Epoch: epoch, Currency: [2]byte{0x01, 0x56},
		Total: [6]byte(tlv.BCD(100000, 6)), PerTap: [6]byte(tlv.BCD(20000, 6)), MaxTaps: maxTaps,
		ValidFrom: cert.Minute{0x20, 0x26, 0x11, 0x01, 0, 0}, ValidTo: cert.Minute{0x20, 0x26, 0x12, 0x01, 0x23, 0x59}}
	return must(g.Sign(issuerKey))
}

// testProfile is a card of the reference layout (scheme 4.3); suffix sets it
// apart from its neighbours.
func testProfile(suffix byte) Profile {
	issuer := cert.Issuer{RID: [5]byte(unhex("F05441504B")), Index: 1, Serial: 7, Usage: 0xC0,
		Key: must(issuerKey.Public().Compressed())}
	p := Profile{ADF: append(unhex("F05441504B0101"), suffix), Kind: 1, Label: "TapKeeper", Priority: 1,
		Qualifier: unhex("01C1E1F0000000"), AIP: unhex("C109"), AFL: unhex("0801010010010301"),
		PDOL: unhex(testPDOL), CDOL1: unhex(testCDOL1), Grant: testGrant(suffix, 3, 20),
		DeviceID: Hex{suffix, 0, 0, 0, 0, 0, 0, 0}, KVN: 1, Currency: unhex("0156"), Expiry: unhex("281231"),
		Build: make(Hex, 5), Relay: RelayTimes{Min: 5, Max: 10, Est: 24},
		SignKey: channel.NewSecret(scalar(suffix)), AgreeKey: channel.NewSecret(scalar(suffix + 1)),
		ACKey: channel.NewSecret(scalar(2)[:16]), ReferenceKey: channel.NewSecret(scalar(3)[:16])}
	p.Records = []Record{
		{1, 1, tlv.Append(unhex("8F0101"), tag90, must(issuer.Sign(must(channel.NewSignKey(scalar(0xCA)))))), false},
		{2, 1, tlv.Append(unhex("5F2403281231"), 0x8C, p.CDOL1), true},
		{2, 2, unhex("9F460101"), true},
		{2, 3, tlv.Append(nil, tagDF8B11, p.Grant), true},
	}
	return p
}

// phoneUnderTest is a wallet with its surroundings.
type phoneUnderTest struct {
	*Wallet
	store *memory
	clock *clock
}

func newPhone(t *testing.T, cards ...Profile) phoneUnderTest {
	t.Helper()
	u := phoneUnderTest{store: &memory{}, clock: &clock{noon}}
	w, err := New(cards, State{}, Options{Store: u.store, Random: newStream(1), Now: u.clock.now})
	if err != nil {
		t.Fatal(err)
	}
	u.Wallet = w
	return u
}

// sale is what the terminal of the tests asks; values override the defaults of
// single elements.
type sale struct {
	asked  byte
	txid   byte
	amount uint64
	values map[tlv.Tag]string
}

func (s sale) fill(list string, relay []byte) []byte {
	dk := must(channel.NewAgreeKey(scalar(9)))
	defaults := map[tlv.Tag][]byte{
		tag9F2B: unhex("01F0C1E100000000"), tag9E: dk.XY(), tag9F02: tlv.BCD(s.amount, 6), tag5F2A: unhex("0156"),
		tag9F1A: unhex("0156"), tag9C: {0}, tag9F37: {1, 2, 3, s.txid}, tagDF8B26: unhex("5000"),
		tag9A: unhex("261123"), tag9F21: unhex("120000"), tag9F1C: []byte("TERM0001"), tagDF8B21: unhex("0102030405060708"),
		tagDF8B22: append(make([]byte, 15), s.txid), tagDF8B23: relay,
	}
	for tag, v := range s.values {
		defaults[tag] = unhex(v)
	}
	return must(must(tlv.ParseDOL(unhex(list))).Fill(func(tag tlv.Tag) ([]byte, tlv.Format, bool) {
		return defaults[tag], tlv.Binary, true
	}))
}

func send(t *testing.T, w *Wallet, c apdu.Command) apdu.Response {
	t.Helper()
	r, err := apdu.ParseResponse(w.Transmit(c.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// open selects the card and does GPO.
func (s sale) open(t *testing.T, w *Wallet, adf []byte) apdu.SW {
	t.Helper()
	w.PowerOn()
	if r := send(t, w, apdu.Select(adf, false)); r.SW != apdu.OK {
		t.Fatalf("SELECT: %v", r.SW)
	}
	return send(t, w, apdu.GPO(s.fill(testPDOL, nil))).SW
}

// generate does GENERATE AC without a relay check before it.
func (s sale) generate(t *testing.T, w *Wallet) apdu.Response {
	t.Helper()
	return send(t, w, apdu.GenerateAC(s.asked, s.fill(testCDOL1, nil)))
}

// pay is a whole tap that must end in an answer.
func (s sale) pay(t *testing.T, w *Wallet, adf []byte) answer {
	t.Helper()
	if sw := s.open(t, w, adf); sw != apdu.OK {
		t.Fatalf("GPO: %v", sw)
	}
	r := s.generate(t, w)
	if r.SW != apdu.OK {
		t.Fatalf("GENERATE AC: %v", r.SW)
	}
	return read(t, r)
}

func (s sale) recover() apdu.Command {
	return apdu.Recover([16]byte(append(make([]byte, 15), s.txid)), [4]byte{1, 2, 3, s.txid}, [8]byte([]byte("TERM0001")))
}

// answer is a GENERATE AC answer taken apart.
type answer struct {
	raw     []byte
	objects map[tlv.Tag][]byte
}

func read(t *testing.T, r apdu.Response) answer {
	t.Helper()
	node, err := tlv.ParseOne(r.Data)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{r.Data, map[tlv.Tag][]byte{}}
	for _, n := range node.Kids {
		a.objects[n.Tag] = n.Value
	}
	return a
}

func (a answer) cid() byte    { return a.objects[tag9F27][0] }
func (a answer) reason() byte { return a.objects[tag9F10][4] }
func (a answer) atc() uint16 {
	b := a.objects[tag9F36]
	return uint16(b[0])<<8 | uint16(b[1])
}
