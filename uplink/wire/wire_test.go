package wire

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const wantHash = "afc7f5aaf8710ae4fc3a3defc21ed04cf81138610d1d74677efea886fc586cc8"

var update = flag.Bool("update", false, "write the golden messages anew")

// Golden messages are read as they were once written; those without a record
// (whose encryption is random) are also written the same.
func TestGolden(t *testing.T) {
	p := newParties(t)
	read := 0
	for name, d := range everyData() {
		file := filepath.Join("testdata", "golden", name+".jws")
		sealed, err := p.seal(headerFor(d), d)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := os.Stat(file); *update && errors.Is(err, fs.ErrNotExist) { // what was once written stays
			if err := os.WriteFile(file, append(sealed, '\n'), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		raw = bytes.TrimSuffix(raw, []byte("\n"))
		read++
		m, err := p.open(d.Kind(), raw)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if m.Header != headerFor(d) || m.Terminal != till || m.Kind != d.Kind() || !bytes.Equal(m.Raw, raw) {
			t.Errorf("%s: header %+v", name, m)
		}
		if !same(m.Data, d) {
			t.Errorf("%s: reads %+v, want %+v", name, m.Data, d)
		}
		if record, _ := recordIn(d); record == nil && !bytes.Equal(sealed, raw) {
			t.Errorf("%s: is sealed in other bytes than the golden ones", name)
		}
	}
	files, _ := filepath.Glob("testdata/golden/*.jws")
	if len(files) != read || read == 0 {
		t.Errorf("%d golden files, %d messages", len(files), read)
	}
}

// One changed character anywhere makes a message bad.
func TestTampering(t *testing.T) {
	p := newParties(t)
	for _, d := range []Data{Advice{payment(1)}, everyData()["receipt"]} {
		raw, err := p.seal(headerFor(d), d)
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range raw {
			for _, other := range []byte{'A', '.', '\n', c ^ 1} {
				if other == c {
					continue
				}
				bad := bytes.Clone(raw)
				bad[i] = other
				if m, err := p.open(d.Kind(), bad); err == nil || m != nil {
					t.Fatalf("%s: byte %d changed from %q to %q is accepted", d.Kind(), i, c, other)
				}
			}
		}
		for _, bad := range [][]byte{raw[:len(raw)-1], append(bytes.Clone(raw), 'A'), append(bytes.Clone(raw), '\n'),
			append([]byte(" "), raw...), append(bytes.Clone(raw), ".AAAA"...), nil} {
			if _, err := p.open(d.Kind(), bad); err == nil {
				t.Errorf("%s: accepted with another length (%d)", d.Kind(), len(bad))
			}
		}
	}
}

func TestHeadersThatAreRefused(t *testing.T) {
	p := newParties(t)
	k := testEd25519(1)
	kid := KeyID(k.Public())
	payload := payloadOf(t, p, everyData()["query"])
	if _, err := p.wallet.Open(till.UpTopic(KindQuery), forge(k, goodHeader(k), payload)); err != nil {
		t.Fatalf("the forger itself is bad: %v", err)
	}
	for name, header := range map[string]string{
		"none":          `{"alg":"none","kid":"` + kid + `","typ":"` + jwsType + `"}`,
		"HS256":         `{"alg":"HS256","kid":"` + kid + `","typ":"` + jwsType + `"}`,
		"ES256":         `{"alg":"ES256","kid":"` + kid + `","typ":"` + jwsType + `"}`,
		"lower case":    `{"alg":"eddsa","kid":"` + kid + `","typ":"` + jwsType + `"}`,
		"no type":       `{"alg":"EdDSA","kid":"` + kid + `"}`,
		"other type":    `{"alg":"EdDSA","kid":"` + kid + `","typ":"tapkeeper.record.v1"}`,
		"no kid":        `{"alg":"EdDSA","typ":"` + jwsType + `"}`,
		"unknown kid":   `{"alg":"EdDSA","kid":"x","typ":"` + jwsType + `"}`,
		"with jwk":      `{"alg":"EdDSA","kid":"` + kid + `","typ":"` + jwsType + `","jwk":{"kty":"OKP","crv":"Ed25519","x":"AA"}}`,
		"with crit":     `{"alg":"EdDSA","kid":"` + kid + `","typ":"` + jwsType + `","crit":["b64"],"b64":false}`,
		"twice alg":     `{"alg":"none","alg":"EdDSA","kid":"` + kid + `","typ":"` + jwsType + `"}`,
		"case of names": `{"ALG":"EdDSA","kid":"` + kid + `","typ":"` + jwsType + `"}`,
		"stranger":      `{"stranger":1,"stranger":2}`,
		"in the kid":    `{"alg":"EdDSA","kid":"` + kid[:20] + `","jwk":1,"x":"` + kid[:8] + `","typ":"` + jwsType + `"}`,
		"not an object": `[]`,
		"empty":         ``,
	} {
		_, err := p.wallet.Open(till.UpTopic(KindQuery), forge(k, header, payload))
		if err == nil {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), "stranger") {
			t.Errorf("%s: the error shows a stranger's bytes: %v", name, err)
		}
	}
	for name, header := range map[string]string{
		"another order": `{"typ":"` + jwsType + `","kid":"` + kid + `","alg":"EdDSA"}`,
		"white space":   ` { "alg" : "EdDSA", "kid":"` + kid + `","typ":"` + jwsType + `" } `,
		"escapes":       `{"alg":"\u0045dDSA","kid":"` + kid + `","typ":"` + jwsType + `"}`,
	} {
		if _, err := p.wallet.Open(till.UpTopic(KindQuery), forge(k, header, payload)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	unsigned := forge(k, `{"alg":"none","kid":"`+kid+`","typ":"`+jwsType+`"}`, payload)
	unsigned = unsigned[:bytes.LastIndexByte(unsigned, '.')+1]
	if _, err := p.wallet.Open(till.UpTopic(KindQuery), unsigned); !errors.Is(err, ErrSignature) {
		t.Errorf("alg none without a signature: %v", err)
	}
}

func TestWhoMaySay(t *testing.T) {
	p := newParties(t)
	query, receipt := everyData()["query"], everyData()["receipt"]
	up, err := p.terminal.Seal(headerFor(query), query)
	if err != nil {
		t.Fatal(err)
	}
	down, err := p.wallet.Seal(till, headerFor(receipt), receipt)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := p.wallet.Seal(other, headerFor(receipt), receipt)
	if err != nil {
		t.Fatal(err)
	}
	terminalKey, walletKey := testEd25519(1), testEd25519(2)
	for name, c := range map[string]struct {
		open  func(string, []byte) (*Message, error)
		topic string
		raw   []byte
		want  error
	}{
		"another terminal's topic":       {p.wallet.Open, other.UpTopic(KindQuery), up, ErrSignature},
		"another kind's topic":           {p.wallet.Open, till.UpTopic(KindAdvice), up, ErrForeign},
		"a down topic":                   {p.wallet.Open, till.DownTopic(KindQuery), up, ErrForeign},
		"an unknown tree":                {p.wallet.Open, "a/b", up, ErrForeign},
		"a bad address":                  {p.wallet.Open, "tapkeeper/v1/Noodle/till-1/up/query", up, ErrForeign},
		"another source":                 {p.wallet.Open, till.UpTopic(KindQuery), forge(terminalKey, goodHeader(terminalKey), strings.ReplaceAll(payloadOf(t, p, query), "till-1", "till-2")), ErrForeign},
		"the wallet as terminal":         {p.wallet.Open, till.UpTopic(KindQuery), forge(walletKey, goodHeader(walletKey), payloadOf(t, p, query)), ErrSignature},
		"receipt on another topic":       {p.terminal.Open, till.DownTopic(KindStatus), down, ErrForeign},
		"receipt on the other's topic":   {p.terminal.Open, other.DownTopic(KindReceipt), elsewhere, ErrForeign},
		"receipt for another terminal":   {p.terminal.Open, till.DownTopic(KindReceipt), elsewhere, ErrForeign},
		"the terminal as wallet":         {p.terminal.Open, till.DownTopic(KindReceipt), forge(terminalKey, goodHeader(terminalKey), payloadOf(t, p, receipt)), ErrSignature},
		"the terminal's own words back":  {p.terminal.Open, till.DownTopic(KindQuery), up, ErrSignature},
		"wallet as wallet, other source": {p.terminal.Open, till.DownTopic(KindReceipt), forge(walletKey, goodHeader(walletKey), strings.Replace(payloadOf(t, p, receipt), walletSource, "/tapkeeper/a/b", 1)), ErrForeign},
		"kid of one, signature of other": {p.terminal.Open, till.DownTopic(KindReceipt), forge(terminalKey, goodHeader(walletKey), payloadOf(t, p, receipt)), ErrSignature},
	} {
		if m, err := c.open(c.topic, c.raw); !errors.Is(err, c.want) || m != nil {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestOversized(t *testing.T) {
	p := newParties(t)
	raw := bytes.Repeat([]byte("A"), MaxMessage+1)
	if _, err := p.wallet.Open(till.UpTopic(KindQuery), raw); !errors.Is(err, ErrTooLarge) {
		t.Errorf("Open: %v", err)
	}
	big := payment(1)
	big.Record = NewRecord(make([]byte, MaxRecord+1))
	if _, err := p.terminal.Seal(headerFor(Advice{}), Advice{big}); err == nil {
		t.Error("Seal takes a record that is too large")
	}
	big.Record = NewRecord(make([]byte, MaxRecord))
	if _, err := p.terminal.Seal(headerFor(Advice{}), Advice{big}); err != nil {
		t.Errorf("the largest record: %v", err)
	}
	// The fullest answer must fit, or a day could not be reconciled.
	items := make([]Item, MaxLeaf, MaxLeaf+1)
	for n := range items {
		items[n] = Item{ID{1}, ID{byte(n >> 8), byte(n), 1}, MaxAmountMinor, ItemRefunded}
	}
	full := everyData()["reconciliation-answer"].(ReconciliationAnswer)
	full.Summary = Summary{Count: 1 << 50, SumMinor: 1 << 60, Hash: full.Hash}
	full.Refunds, full.First, full.Last, full.Ranges = full.Summary, MaxSequence, MaxSequence, nil
	ask := everyData()["reconciliation-ranges"].(Reconciliation)
	ask.Summary, ask.Refunds, ask.Ranges = full.Summary, full.Summary, nil
	from, to := ID{1}, ID{2}
	for range MaxRanges {
		full.Ranges = append(full.Ranges, RangeAnswer{Summary: full.Summary, Items: items})
		ask.Ranges = append(ask.Ranges, Range{BookPayments, &from, &to, full.Summary})
	}
	long := Address{strings.Repeat("m", 32), strings.Repeat("t", 32)}
	sealed, err := p.wallet.Seal(long, headerFor(full), full)
	if err != nil {
		t.Fatalf("the fullest answer: %v", err)
	}
	t.Logf("the fullest answer takes %d of %d bytes", len(sealed), MaxMessage)
	if sealed, err = p.terminal.Seal(headerFor(ask), ask); err != nil {
		t.Fatalf("the fullest question: %v", err)
	}
	t.Logf("the fullest question takes %d of %d bytes", len(sealed), MaxMessage)
	full.Ranges[0].Items = append(items, Item{PaymentID: ID{0xff}, AmountMinor: 1, State: ItemPaid})
	if _, err := p.wallet.Seal(till, headerFor(full), full); err == nil {
		t.Error("more items than MaxLeaf are taken")
	}
	ask.Ranges = append(ask.Ranges, ask.Ranges[0])
	if _, err := p.terminal.Seal(headerFor(ask), ask); err == nil {
		t.Error("more ranges than MaxRanges are taken")
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	sk, err := NewSigningKey(testEd25519(0x41))
	if err != nil {
		t.Fatal(err)
	}
	a := Advice{payment(1)}
	a.Record = NewRecord([]byte("AAAAAAAAAAAAAAAA"))
	p := newParties(t)
	holder := struct {
		hidden SigningKey
		Shown  SigningKey
		data   Data
		term   *Terminal
		wal    *Wallet
	}{sk, sk, a, p.terminal, p.wallet}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		for _, v := range []any{sk, &sk, a, &a, a.Record, holder, &holder, fmt.Errorf("wrapped %v", holder)} {
			out := fmt.Sprintf(verb, v)
			for _, secret := range []string{"AAAAAAAA", "41414141", "65 65 65 65", "0x41, 0x41"} {
				if strings.Contains(out, secret) {
					t.Errorf("%s of %T prints a secret", verb, v)
				}
			}
		}
	}
}

func TestPointersToDataKeepTheirRecord(t *testing.T) {
	p := newParties(t)
	a := &Advice{payment(1)}
	raw, err := p.terminal.Seal(headerFor(a), a)
	if err != nil {
		t.Fatal(err)
	}
	m, err := p.wallet.Open(till.UpTopic(KindAdvice), raw)
	if err != nil || !same(m.Data, *a) {
		t.Errorf("reads %+v, %v", m, err)
	}
}

func TestLookupErrorIsNotABadSignature(t *testing.T) {
	p := newParties(t)
	broken := errors.New("database is gone")
	p.wallet.terminal = func(Address, string) (ed25519.PublicKey, error) { return nil, broken }
	raw, _ := p.terminal.Seal(headerFor(Query{}), everyData()["query"])
	if _, err := p.wallet.Open(till.UpTopic(KindQuery), raw); !errors.Is(err, broken) || errors.Is(err, ErrSignature) {
		t.Errorf("got %v", err)
	}
}

// A lookup that does not look at the kid must not make any kid good.
func TestKidIsThatOfTheKey(t *testing.T) {
	p := newParties(t)
	k := testEd25519(1)
	p.wallet.terminal = func(Address, string) (ed25519.PublicKey, error) { return k.Public().(ed25519.PublicKey), nil }
	header := strings.Replace(goodHeader(k), KeyID(k.Public()), "other", 1)
	raw := forge(k, header, payloadOf(t, p, everyData()["query"]))
	if _, err := p.wallet.Open(till.UpTopic(KindQuery), raw); !errors.Is(err, ErrSignature) {
		t.Errorf("got %v", err)
	}
}

func TestSummarise(t *testing.T) {
	items := []Item{{PaymentID: testID(2), AmountMinor: 99, State: ItemReversed}, {PaymentID: testID(1), AmountMinor: 1250, State: ItemPaid}}
	s := Summarise("CNY", items)
	if s.Count != 1 || s.SumMinor != 1250 {
		t.Errorf("%+v", s)
	}
	// printf '0190a5d4-0000-7000-8000-000000000001|1250|CNY|paid\n0190a5d4-0000-7000-8000-000000000002|99|CNY|reversed\n' | sha256sum
	if got := s.Hash.String(); got != wantHash {
		t.Errorf("hash %s, want %s", got, wantHash)
	}
	if items[0].PaymentID != testID(2) {
		t.Error("the caller's items were sorted")
	}
	if empty := Summarise("CNY", nil); empty.Hash != DigestOf(nil) {
		t.Errorf("empty day: %s", empty.Hash)
	}
	items[0].State = ItemPaid
	if Summarise("CNY", items).Hash == s.Hash || Summarise("EUR", items).Hash == Summarise("CNY", items).Hash {
		t.Error("state or currency is not in the hash")
	}
}

// A range holds its first key and not the key behind it.
func TestWithin(t *testing.T) {
	var items []Item
	for n := byte(1); n <= 9; n += 2 {
		items = append(items, Item{PaymentID: testID(n), AmountMinor: 1, State: ItemPaid})
	}
	key := func(n byte) *ID { id := testID(n); return &id }
	for _, c := range []struct {
		from, to *ID
		want     int
	}{{nil, nil, 5}, {key(3), nil, 4}, {key(4), nil, 3}, {nil, key(3), 1}, {nil, key(4), 2}, {key(3), key(4), 1}, {key(4), key(5), 0}, {key(10), nil, 0}, {nil, key(1), 0}} {
		if got := (Range{From: c.from, To: c.to}).Within(items); len(got) != c.want {
			t.Errorf("from %v to %v: %d items, want %d", c.from, c.to, len(got), c.want)
		}
	}
}

// payloadOf is the JSON inside a sealed message.
func payloadOf(t testing.TB, p parties, d Data) string {
	t.Helper()
	raw, err := p.seal(headerFor(d), d)
	if err != nil {
		t.Fatal(err)
	}
	part, err := splitCompact(string(raw), 3)
	if err != nil {
		t.Fatal(err)
	}
	return string(part[1])
}
