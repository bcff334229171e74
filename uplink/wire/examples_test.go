package wire

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

const contractPage = "../../docs/wallet-link.md"

// The worked examples of the page are the bytes that this package makes and
// reads. The record is opened here with the standard library alone, by the steps
// that the page tells.
func TestWorkedExamples(t *testing.T) {
	page, err := os.ReadFile(contractPage)
	if err != nil {
		t.Fatal(err)
	}
	text := string(page)
	for _, e := range workedExamples(t) {
		block := regexp.MustCompile("(?s)(<!-- example: " + e.name + " -->\n```text\n)(.*?)(```)")
		found := block.FindStringSubmatchIndex(text)
		if found == nil {
			t.Errorf("%s: not on the page", e.name)
			continue
		}
		if got := text[found[4]:found[5]]; got != e.text {
			if *update {
				text = text[:found[4]] + e.text + text[found[5]:]
				continue
			}
			t.Errorf("%s: the page shows\n%s\nwant\n%s", e.name, got, e.text)
		}
	}
	if *update && text != string(page) {
		if err := os.WriteFile(contractPage, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

type workedExample struct{ name, text string }

func workedExamples(t *testing.T) []workedExample {
	t.Helper()
	p := newParties(t)
	seal := func(h Header, d Data) []byte {
		raw, err := p.seal(h, d)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	lines := func(l ...string) string { return strings.Join(l, "\n") + "\n" }
	message := func(raw []byte) string {
		part, err := splitCompact(string(raw), 3)
		if err != nil {
			t.Fatal(err)
		}
		return lines("header   "+string(part[0]), "payload  "+string(part[1]), "message  "+string(raw), "sha-256  "+DigestOf(raw).String())
	}
	terminal, wallet, decrypt := testEd25519(1), testEd25519(2), p.wallet.decrypt.Public()
	b64 := base64.RawURLEncoding.EncodeToString
	point, err := decrypt.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	echo := seal(headerFor(Echo{}), Echo{})
	echoAnswer := seal(Header{ID: testID(10), Time: testTime}, EchoAnswer{Answer: Answer{headerFor(Echo{}).ID, DigestOf(echo)}})
	advice, err := os.ReadFile("testdata/golden/advice.jws") // its encryption is random: it was made once
	if err != nil {
		t.Fatal(err)
	}
	advice = bytes.TrimSpace(advice)
	opened, err := p.open(KindAdvice, advice)
	if err != nil {
		t.Fatal(err)
	}
	receipt := seal(Header{ID: testID(11), Time: testTime}, Receipt{Answer: opened.Reply(), PaymentID: testID(1), Sequence: 41,
		Result: Accepted, State: StateTaken, AmountMinor: 1250, WalletRef: "W-0019-77"})
	items := []Item{{PaymentID: testID(1), AmountMinor: 1250, State: ItemPaid}, {PaymentID: testID(2), AmountMinor: 99, State: ItemReversed}}
	return []workedExample{
		{"keys", lines(
			"terminal's signing key    seed   "+strings.Repeat("01", 32),
			"                          public "+b64(terminal.Public().(ed25519.PublicKey))+"  kid "+KeyID(terminal.Public()),
			"wallet's signing key      seed   "+strings.Repeat("02", 32),
			"                          public "+b64(wallet.Public().(ed25519.PublicKey))+"  kid "+KeyID(wallet.Public()),
			"wallet's decryption key   scalar "+strings.Repeat("03", 32),
			"                          x      "+b64(point[1:33]),
			"                          y      "+b64(point[33:])+"  kid "+KeyID(decrypt))},
		{"echo", message(echo)},
		{"echo_answer", message(echoAnswer)},
		{"advice", message(advice)},
		{"record", openByHand(t, opened.Data.(Advice), advice)},
		{"receipt", message(receipt)},
		{"summary", lines(fmt.Sprintf("%s|1250|CNY|paid", testID(1)), fmt.Sprintf("%s|99|CNY|reversed", testID(2)), "",
			"count 1, sum_minor 1250, hash "+Summarise("CNY", items).Hash.String())},
	}
}

// openByHand decrypts a message's record: RFC 7518, 4.6 and 5.3.
func openByHand(t *testing.T, want Advice, raw []byte) string {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	outer, err := splitCompact(string(raw), 3)
	must(err)
	var e struct {
		Data struct {
			Record string `json:"record"`
		} `json:"data"`
	}
	must(json.Unmarshal(outer[1], &e))
	split := strings.Split(e.Data.Record, ".")
	part, err := splitCompact(e.Data.Record, 5)
	must(err)
	var h struct {
		EPK struct{ X, Y string } `json:"epk"`
	}
	must(json.Unmarshal(part[0], &h))
	x, err := base64.RawURLEncoding.DecodeString(h.EPK.X)
	must(err)
	y, err := base64.RawURLEncoding.DecodeString(h.EPK.Y)
	must(err)
	ephemeral, err := ecdh.P256().NewPublicKey(append(append([]byte{4}, x...), y...))
	must(err)
	own, err := ecdh.P256().NewPrivateKey(bytes.Repeat([]byte{3}, elliptic.P256().Params().BitSize/8))
	must(err)
	z, err := own.ECDH(ephemeral)
	must(err)
	length := func(b []byte) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...) }
	other := append(append(append(length([]byte("A256GCM")), length(nil)...), length(nil)...), 0, 0, 1, 0)
	key := sha256.Sum256(append(append([]byte{0, 0, 0, 1}, z...), other...))
	block, err := aes.NewCipher(key[:])
	must(err)
	gcm, err := cipher.NewGCM(block)
	must(err)
	plain, err := gcm.Open(nil, part[2], append(part[3], part[4]...), []byte(split[0]))
	must(err)
	if !bytes.Equal(plain, want.Record.Bytes()) {
		t.Error("opened by hand, the record is another one")
	}
	return fmt.Sprintf("header     %s\nZ          %x\nOtherInfo  %x\nkey        %x\niv         %x\nciphertext %x\ntag        %x\nrecord     %x\n",
		part[0], z, other, key, part[2], part[3], part[4], plain)
}
