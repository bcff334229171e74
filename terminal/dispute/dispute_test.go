package dispute

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tapkeeper/emv/evidence"
	"tapkeeper/uplink/wire"
)

const id = "0193a5b0-0000-7000-8000-000000000001"

// book is a journal with the events of one payment among those of others.
type book struct {
	trail Trail
	at    Point
	own   int
	state string
}

// tail is the changes of an event (docs/durability.md) that store records.
func tail(records ...string) []byte {
	b := make([]byte, 16)
	for i := 0; i+1 < len(records); i += 2 {
		kind, key, _ := strings.Cut(records[i], " ")
		b = append(b, '+', 'r')
		for _, s := range []string{kind, key} {
			b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
		}
		b = append(b, cell(key, []byte(records[i+1]))...)
	}
	return b
}

// step adds an event of the payment; the last one is what the file shows.
func (b *book) step(to string, records ...string) {
	b.own++
	payload := fmt.Appendf(nil, `{"payment":"%s","revision":%d,"from":"%s","to":"%s","settlement":"none","reason":44}`, id, b.own, b.state, to)
	b.state = to
	b.add(payload, tail(records...), false)
}

func (b *book) add(payload, changes []byte, audit bool) {
	b.trail.Own(b.at, payload, changes, audit)
	b.at = b.at.after(sha(payload), sha(changes))
}

func (b *book) others(n int) {
	for range n {
		payload, changes := []byte("of somebody else"), []byte("and what it did")
		b.trail.Other(payload, changes)
		b.at = b.at.after(sha(payload), sha(changes))
	}
}

func pen(t testing.TB) (*wire.Terminal, ed25519.PublicKey) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signing, err := wire.NewSigningKey(private)
	if err != nil {
		t.Fatal(err)
	}
	seal, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w, err := wire.NewTerminal(wire.TerminalKeys{
		Address: wire.Address{Merchant: "shop", Terminal: "till-1"}, Signing: signing,
		WalletSigning: []ed25519.PublicKey{public}, WalletEncryption: &seal.PublicKey,
	})
	if err != nil {
		t.Fatal(err)
	}
	return w, public
}

// cancelled is a payment that nobody tapped for, in a journal with others
// before, between, and after it.
func cancelled(t testing.TB, between, after int) ([]byte, ed25519.PublicKey) {
	t.Helper()
	w, key := pen(t)
	payment := fmt.Sprintf(`{"id":"%s","amount_minor":100,"currency":"CNY","state":"cancelled","settlement":"none","reason":44,"revision":2}`, id)
	b := &book{at: Point{41, bytes.Repeat([]byte{7}, 32)}, state: "created"}
	b.others(3)
	b.trail = Trail{}
	b.step("awaiting_tap", "payment "+id, "earlier", "order 1", "x")
	b.others(between)
	b.step("cancelled", "payment "+id, payment)
	b.others(after)
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	b.add(fmt.Appendf(nil, `{"at":"%s","payment":"%s","revision":2,"by":"uid 1","why":"evidence exported"}`, now.Format(time.RFC3339), id), tail(), true)
	raw, err := Encode(&Evidence{
		Merchant: "shop", Terminal: "till-1", ExportedAt: now, ExportedBy: "uid 1", Payment: []byte(payment), Chain: b.trail.Segments(), Head: b.at,
	}, w.Address().String(), id, w.Attest)
	if err != nil {
		t.Fatal(err)
	}
	return raw, key
}

func of(r *Report, want evidence.Result) (names []string) {
	for _, c := range r.Checks {
		if c.Result == want {
			names = append(names, c.Name)
		}
	}
	return names
}

// TestGaps: a day of others' events is shown; more of them after the payment's
// last event are left out and said to be; within the payment's life a gap fails.
func TestGaps(t *testing.T) {
	for _, c := range []struct {
		between, after int
		segments       string
		failed         []string
	}{
		{0, 0, "", nil},
		{10, maxTail, "", nil},
		{10, maxTail + 1, "are not shown", nil},
		{maxTail + 1, 0, "", nil},
		{maxBetween + 2, 0, "are not shown", []string{CheckEvents}},
	} {
		raw, key := cancelled(t, c.between, c.after)
		r := Verify(raw, Keys{Terminal: key})
		why := ""
		for _, check := range r.Checks {
			if check.Name == CheckChain {
				why = check.Why
			}
		}
		if got := of(r, evidence.Fail); !slices.Equal(got, c.failed) || !strings.Contains(why, c.segments) || c.segments == "" && strings.Contains(why, "not shown") {
			t.Errorf("%d between, %d after: failed %v, want %v; the chain: %s\n%v", c.between, c.after, got, c.failed, why, r.Checks)
		}
	}
}

// TestNothingSigned: a payment that no phone and no wallet has signed for. Who
// asks for their word is told that there is none, and does not get a pass.
func TestNothingSigned(t *testing.T) {
	raw, key := cancelled(t, 1, 1)
	r := Verify(raw, Keys{CA: []evidence.CAKey{}, Wallet: key, Terminal: key})
	if got := of(r, evidence.Fail); r.OK || !slices.Equal(got, []string{CheckRecord, CheckReceipt}) {
		t.Errorf("failed %v", got)
	}
	r = Verify(raw, Keys{Terminal: key})
	if got := of(r, evidence.NotChecked); !r.OK || !slices.Equal(got, []string{CheckRecord, CheckSettlement}) {
		t.Errorf("failed %v, not checked %v", of(r, evidence.Fail), got)
	}
}

// TestBrokenChanges: changes that cannot be read fail the chain, wherever they break off.
func TestBrokenChanges(t *testing.T) {
	whole := tail("payment "+id, "x", "receipt "+id+"/1", "y")
	for n := range whole {
		if err := (&trail{stored: map[string][]byte{}}).apply(whole[:n], id); err == nil && n != 16 && n != 16+2+1+7+1+36+32 {
			t.Errorf("%d of %d bytes were read", n, len(whole))
		}
	}
	tr := &trail{stored: map[string][]byte{}}
	if err := tr.apply(whole, id); err != nil || len(tr.stored) != 2 {
		t.Fatalf("%v, %v", tr.stored, err)
	}
	gone := append(make([]byte, 16), '-', 'r')
	for _, s := range []string{"payment", id} {
		gone = append(binary.AppendUvarint(gone, uint64(len(s))), s...)
	}
	if err := tr.apply(gone, id); err != nil || tr.stored["payment "+id] != nil || len(tr.stored) != 1 {
		t.Errorf("after a deletion: %v, %v", tr.stored, err)
	}
}

func FuzzVerify(f *testing.F) {
	raw, key := cancelled(f, 2, 2)
	f.Add(raw)
	f.Add([]byte(`{"format":"tapkeeper.evidence.v1","evidence":{"chain":[{"anchor":{"sequence":1,"hash":""},"links":[{}]}]},"signature":""}`))
	f.Fuzz(func(t *testing.T, altered []byte) {
		r := Verify(altered, Keys{CA: []evidence.CAKey{}, Wallet: key, Terminal: key})
		if len(r.Checks) == 0 || r.OK {
			t.Errorf("ok %v: %v", r.OK, r.Checks) // it has no record: it can never be ok
		}
	})
}
