package lane_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"tapkeeper/emv"
	"tapkeeper/firmware-config/bundle"
	"tapkeeper/lane"
	"tapkeeper/lane/lanetest"
	"tapkeeper/terminal"
	"tapkeeper/uplink/wire"
	"tapkeeper/wallet/backend"
	"tapkeeper/wallet/backend/backendtest"
	"tapkeeper/wallet/phone"
)

// club is a store with a lane in this process, whose wallet's pens are the test's too.
type club struct {
	*court
	wallet *wire.Wallet
	ca     *ecdsa.PrivateKey
	take   lane.Receiver // what the lane does with a verified message
	stop   func()
}

func newClub(t *testing.T) *club {
	t.Helper()
	dir, err := os.MkdirTemp("", "lane-") // not t.TempDir: its path can be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s, err := lanetest.Open(t.Context(), lanetest.Options{
		Dir: dir, People: []lanetest.Person{rich, poor}, Limits: lanetest.Limits{SumMinor: 1_000_000_00, DeviceMinor: 1_000_000_00},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	c := &club{court: &court{T: t, store: s, secrets: map[string][]byte{}}}
	c.wallet, err = wire.NewWallet(wire.WalletKeys{Signing: s.Keys().Signing, Decryption: s.Keys().Decryption,
		Terminal: func(wire.Address, string) (ed25519.PublicKey, error) { return nil, nil }})
	if err != nil {
		t.Fatal(err)
	}
	c.ca = c.caKey()
	return c
}

// caKey takes the scheme's private key out of the wallet's key file.
func (c *club) caKey() *ecdsa.PrivateKey {
	c.Helper()
	if err := backend.SaveKeys(c.store.Path("wallet-keys.json"), c.store.Keys()); err != nil {
		c.Fatal(err)
	}
	var file map[string]string
	if err := json.Unmarshal(c.file("wallet-keys.json"), &file); err != nil {
		c.Fatal(err)
	}
	scalar, err := hex.DecodeString(file["d_ca"])
	if err != nil {
		c.Fatal(err)
	}
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar)
	if err != nil {
		c.Fatal(err)
	}
	return key
}

// start opens the lane and runs it until stop.
func (c *club) start() {
	c.Helper()
	var err error
	c.lane, err = lane.OpenWith(c.store.Config(), zerolog.Nop(), func(p terminal.Parts) terminal.Parts { return p },
		func(r lane.Receiver) lane.Receiver { c.take = r; return r })
	if err != nil {
		c.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended, ready := make(chan error, 1), make(chan struct{})
	go func() { ended <- c.lane.Run(ctx, func() { close(ready) }) }()
	<-ready
	c.stop = func() {
		c.Helper()
		stop()
		if err := errors.Join(<-ended, c.lane.Close()); err != nil {
			c.Error(err)
		}
	}
}

// send publishes a message through the broker, as whoever holds it could.
func (c *club) send(to wire.Address, topic string, h wire.Header, d wire.Data, pen *wire.Wallet) []byte {
	c.Helper()
	raw, err := pen.Seal(to, h, d)
	if err != nil {
		c.Fatal(err)
	}
	c.publish(topic, raw)
	return raw
}

func (c *club) publish(topic string, raw []byte) {
	c.Helper()
	if err := c.store.Publish(topic, raw); err != nil {
		c.Fatal(err)
	}
}

func (c *club) hotlist() lane.HotlistStatus {
	c.Helper()
	s, err := c.lane.Status()
	if err != nil {
		c.Fatal(err)
	}
	return s.Hotlist
}

// faults are what the terminal refused, by the link or by the lane.
func (c *club) faults(name string) int64 {
	s, err := c.lane.Status()
	if err != nil {
		c.Fatal(err)
	}
	return s.Hotlist.Refused[name] + s.Link.Faults[name]
}

var here = wire.Address{Merchant: lanetest.Merchant, Terminal: lanetest.Terminal}

func header(at time.Time) wire.Header {
	var id wire.ID
	rand.Read(id[:])
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return wire.Header{ID: id, Time: at}
}

func listOf(version, base uint64, issued time.Time, added ...string) wire.Hotlist {
	return wire.Hotlist{Exceptions: &wire.Exceptions{ListVersion: wire.ListVersion{Version: version, Base: base, IssuedAt: wire.At(issued)}, Added: added}}
}

// branch is another terminal of the same wallet, as far as a double spend needs one.
type branch struct {
	c   *club
	pen *wire.Terminal
	n   uint64
}

var elsewhere = wire.Address{Merchant: lanetest.Merchant, Terminal: "till-2"}

func (c *club) branch() *branch {
	c.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		c.Fatal(err)
	}
	err = backend.EnrolTerminal(c.Context(), c.store.Ledger, backend.Enrolment{
		Address: elsewhere, MerchantName: lanetest.MerchantName, SchemeTerminal: "TERM0002", PublicKey: public, Currency: lanetest.Currency})
	if err != nil {
		c.Fatal(err)
	}
	b := &branch{c: c}
	signing, err := wire.NewSigningKey(private)
	if err != nil {
		c.Fatal(err)
	}
	keys := c.store.Keys()
	b.pen, err = wire.NewTerminal(wire.TerminalKeys{Address: elsewhere, Signing: signing,
		WalletSigning: []ed25519.PublicKey{keys.Signing.Public()}, WalletEncryption: keys.Decryption.Public()})
	if err != nil {
		c.Fatal(err)
	}
	return b
}

// sell takes a payment offline and delivers it over the broker.
func (b *branch) sell(p backendtest.Phone) {
	b.c.Helper()
	b.n++
	now := time.Now().UTC()
	id := wire.ID{0x01, 0x90, 6: 0x70, 8: 0x80, 15: byte(b.n)}
	record, _, err := backendtest.Tap{Payment: id, Amount: 500, Ask: backendtest.AskTC, Merchant: lanetest.Merchant, Terminal: "TERM0002",
		At: now.In(time.FixedZone("", 8*3600)), Kind: 1}.Do(p)
	if err != nil {
		b.c.Fatal(err)
	}
	h := header(now)
	h.Sequence = b.n
	raw, err := b.pen.Seal(h, wire.Advice{Payment: wire.Payment{PaymentID: id, OrderRef: "there", AmountMinor: 500, Currency: lanetest.Currency,
		BusinessDay: now.Format(time.DateOnly), AcceptedAt: wire.At(now), RecordKind: 1, Record: wire.NewRecord(record)}})
	if err != nil {
		b.c.Fatal(err)
	}
	b.c.publish(elsewhere.UpTopic(wire.KindAdvice), raw)
}

// clone is another phone with the same card and the same memory.
func (c *club) clone(who lanetest.Person) *phone.Wallet {
	c.Helper()
	copied := c.store.Path("clone.json")
	if err := os.WriteFile(copied, c.file("phone-"+who.ID+".json"), 0o600); err != nil {
		c.Fatal(err)
	}
	w, err := phone.Open(copied, phone.Options{})
	if err != nil {
		c.Fatal(err)
	}
	w.Unlock(time.Now())
	return w
}

// TestBlockedPhone: a phone spends twice at another terminal; the wallet proves it,
// and this terminal refuses the phone's next tap by itself, with the network cut, and
// after a restart.
func TestBlockedPhone(t *testing.T) {
	c := newClub(t)
	var applied atomic.Uint64
	err := c.store.Watch(func(topic string, payload []byte) {
		if topic == here.UpTopic(wire.KindState) {
			applied.Store(appliedOf(t, payload).Exceptions)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	c.start()
	c.connected(true)
	c.settled(c.pay(rich, "before", 10_00).ID)
	there, clone := c.branch(), c.clone(rich)
	first := c.store.Phones[rich.ID].Ready().(backendtest.Phone)
	there.sell(first)
	there.sell(clone)
	c.until("the terminal has heard of it", func() bool { return c.hotlist().ExceptionsVersion == 1 })
	if h := c.hotlist(); h.Blocked != 1 || time.Since(h.ExceptionsIssued) > time.Minute {
		t.Errorf("the list: %+v", h)
	}
	c.until("the wallet is told so", func() bool { return applied.Load() == 1 })
	for _, order := range []string{"cut off", "after a restart"} {
		c.connected(false)
		refused := c.pay(rich, order, 10_00)
		if refused.State != terminal.Declined || refused.Reason != emv.ReasonRevoked {
			t.Errorf("%s: %s", order, describe([]terminal.Payment{refused}))
		}
		if p := c.pay(poor, order+", another phone", 1_00); p.State != terminal.Stored {
			t.Errorf("%s, another phone: %s", order, describe([]terminal.Payment{p}))
		}
		c.stop()
		c.start()
	}
	c.stop()
}

// appliedOf reads a state without its signature.
func appliedOf(t *testing.T, jws []byte) wire.Applied {
	t.Helper()
	parts := strings.Split(string(jws), ".")
	if len(parts) != 3 {
		t.Fatalf("a state of %d parts", len(parts))
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	var event struct {
		Data struct {
			Applied *wire.Applied `json:"applied"`
		} `json:"data"`
	}
	if err := errors.Join(err, json.Unmarshal(payload, &event)); err != nil || event.Data.Applied == nil {
		t.Fatalf("a state without applied: %s, %v", payload, err)
	}
	return *event.Data.Applied
}

// TestHotlistDuringPayment: a list that comes while a payment waits for its tap counts
// from the next payment on.
func TestHotlistDuringPayment(t *testing.T) {
	c := newClub(t)
	c.start()
	defer func() { c.stop() }()
	c.connected(true)
	pay := func(order string, meanwhile func()) terminal.Payment {
		p, err := c.lane.Terminal().Open(t.Context(), terminal.Request{OrderRef: order, AmountMinor: 100, Currency: lanetest.Currency,
			Offline: terminal.OfflineAllow, ExpiresIn: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		c.wait(p.ID, func(p terminal.Payment) bool { return p.State == terminal.AwaitingTap })
		time.Sleep(100 * time.Millisecond) // the reader is armed right after
		meanwhile()
		if err := c.store.Field.Present(c.store.Phones[rich.ID].Ready()); err != nil {
			t.Fatal(err)
		}
		defer func() { c.store.Field.Remove(); c.store.Field.Wait() }()
		return c.wait(p.ID, func(p terminal.Payment) bool { return p.State.Ended() })
	}
	var file struct {
		Cards []struct {
			Device string `json:"device_id"`
		} `json:"cards"`
	}
	if err := json.Unmarshal(c.file("phone-"+rich.ID+".json"), &file); err != nil || len(file.Cards) != 1 {
		t.Fatalf("the phone's file: %v", err)
	}
	device := strings.ToLower(file.Cards[0].Device)
	p := pay("under way", func() {
		now := time.Now()
		c.send(here, here.DownTopic(wire.KindHotlist), header(now), listOf(1, 0, now, device), c.wallet)
		c.until("the list is in force", func() bool { return c.hotlist().ExceptionsVersion == 1 })
	})
	if p.State == terminal.Declined {
		t.Errorf("the list came into a payment: %s", describe([]terminal.Payment{p}))
	}
	if p := pay("the next", func() {}); p.Reason != emv.ReasonRevoked {
		t.Errorf("the next: %s", describe([]terminal.Payment{p}))
	}
}

// TestHotlistRefusals: whatever is not the wallet's newest list for this terminal is
// refused and named, and leaves what is in force.
func TestHotlistRefusals(t *testing.T) {
	c := newClub(t)
	c.start()
	defer func() { c.stop() }()
	c.connected(true)
	now, topic := time.Now(), here.DownTopic(wire.KindHotlist)
	older := c.send(here, topic, header(now), listOf(1, 0, now, "00000000000000a1"), c.wallet)
	c.until("the first is in force", func() bool { return c.hotlist().ExceptionsVersion == 1 })
	c.send(here, topic, header(now), listOf(2, 1, now, "00000000000000a2"), c.wallet)
	c.until("both changes are in force", func() bool { return c.hotlist().ExceptionsVersion == 2 })
	if c.hotlist().Blocked != 2 {
		t.Fatalf("the list: %+v", c.hotlist())
	}
	strangers := c.strangersPen()
	next := listOf(3, 2, now, "00000000000000a3")
	crl := func(key *ecdsa.PrivateKey, rid string, version, base uint64, issued time.Time) wire.Hotlist {
		jws, err := wire.SealRevocations(key, wire.Revocations{RID: rid, Added: []wire.Revocation{{Index: 1, IssuerSerial: 9}},
			ListVersion: wire.ListVersion{Version: version, Base: base, IssuedAt: wire.At(issued)}})
		if err != nil {
			t.Fatal(err)
		}
		return wire.Hotlist{Revocations: jws}
	}
	ca := c.store.Keys().Issuer.CAKey()
	rid := hex.EncodeToString(ca.RID[:])
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []struct {
		what, fault string
		send        func()
	}{
		{"the older one again", "not_newer", func() { c.publish(topic, older) }},
		{"the same version with other content", "not_newer", func() { c.send(here, topic, header(now), listOf(2, 0, now), c.wallet) }},
		{"a gap", "gap", func() { c.send(here, topic, header(now), listOf(9, 8, now), c.wallet) }},
		{"all of it anew, on the empty list", "gap", func() { c.send(here, topic, header(now), listOf(9, 0, now), c.wallet) }},
		{"another's signature", "unknown_key", func() { c.send(here, topic, header(now), next, strangers) }},
		{"a changed byte", "bad_signature", func() {
			raw, err := c.wallet.Seal(here, header(now), next)
			if err != nil {
				t.Fatal(err)
			}
			if at := len(raw) - 10; raw[at] == 'A' { // of the signature; another digit of base64url
				raw[at] = 'B'
			} else {
				raw[at] = 'A'
			}
			c.publish(topic, raw)
		}},
		{"another merchant's", "elsewhere", func() {
			c.send(wire.Address{Merchant: "other", Terminal: here.Terminal}, topic, header(now), next, c.wallet)
		}},
		{"another terminal's", "elsewhere", func() { c.send(elsewhere, topic, header(now), next, c.wallet) }},
		{"one held back", "expired", func() { c.send(here, topic, header(now.Add(-2*time.Hour)), next, c.wallet) }},
		{"one of tomorrow", "expired", func() { c.send(here, topic, header(now.Add(24*time.Hour)), next, c.wallet) }},
		{"issued tomorrow", "issued_at", func() {
			c.send(here, topic, header(now), listOf(3, 2, now.Add(24*time.Hour)), c.wallet)
		}},
		{"issued before the list in force", "issued_at", func() {
			c.send(here, topic, header(now), listOf(3, 2, now.Add(-time.Hour)), c.wallet)
		}},
		{"a CRL by no CA", "unknown_key", func() { c.send(here, topic, header(now), crl(stranger, rid, 1, 0, now), c.wallet) }},
		{"a CRL of another RID", "other_rid", func() { c.send(here, topic, header(now), crl(c.ca, "a000000003", 1, 0, now), c.wallet) }},
		{"a CRL with a gap", "gap", func() { c.send(here, topic, header(now), crl(c.ca, rid, 7, 6, now), c.wallet) }},
		{"a configuration", "ignored", func() {
			b := wire.Base64("bundle")
			c.send(here, here.DownTopic(wire.KindConfig), header(now), wire.Config{Serial: 1, NotAfter: wire.At(now.Add(time.Hour)), SHA256: wire.DigestOf(b), Bundle: b}, c.wallet)
		}},
		{"a command", "ignored", func() {
			c.send(here, here.DownTopic(wire.KindCommand), header(now), wire.Command{Number: 1, NotAfter: wire.At(now.Add(time.Hour)), Order: wire.OrderSuspend}, c.wallet)
		}},
	} {
		before, inForce := c.faults(bad.fault), c.hotlist()
		bad.send()
		c.until(bad.what+" is refused as "+bad.fault, func() bool { return c.faults(bad.fault) == before+1 })
		if h := c.hotlist(); h.ExceptionsVersion != inForce.ExceptionsVersion || h.Blocked != inForce.Blocked ||
			h.CRLVersion != inForce.CRLVersion || h.Revoked != inForce.Revoked {
			t.Errorf("%s: %+v, was %+v", bad.what, h, inForce)
		}
	}
	// What is good still comes in, of either part.
	old := now.AddDate(0, 0, -40)
	c.send(here, topic, header(now), next, c.wallet)
	c.send(here, topic, header(now), crl(c.ca, rid, 1, 0, old), c.wallet)
	c.until("both parts are in force", func() bool { h := c.hotlist(); return h.ExceptionsVersion == 3 && h.CRLVersion == 1 })
	if h := c.hotlist(); h.Blocked != 3 || h.Revoked != 1 || !h.CRLIssued.Equal(old.UTC().Truncate(time.Millisecond)) {
		t.Errorf("both parts: %+v", h)
	}
	// A CRL of 40 days is too old, whenever it came (scheme 5.4, B4b1).
	c.connected(false)
	if p := c.pay(rich, "an old CRL", 1_00); p.State == terminal.Stored {
		t.Errorf("with an old CRL: %s", describe([]terminal.Payment{p}))
	}
}

// strangersPen signs as a wallet that this terminal does not know.
func (c *club) strangersPen() *wire.Wallet {
	c.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		c.Fatal(err)
	}
	signing, err := wire.NewSigningKey(private)
	if err != nil {
		c.Fatal(err)
	}
	w, err := wire.NewWallet(wire.WalletKeys{Signing: signing, Decryption: c.store.Keys().Decryption,
		Terminal: func(wire.Address, string) (ed25519.PublicKey, error) { return nil, nil }})
	if err != nil {
		c.Fatal(err)
	}
	return w
}

// TestHotlistMeetsFiles: of each part the newer counts, the file's or the wallet's.
func TestHotlistMeetsFiles(t *testing.T) {
	c := newClub(t)
	c.start()
	c.connected(true)
	now := time.Now()
	c.send(here, here.DownTopic(wire.KindHotlist), header(now), listOf(1, 0, now, "00000000000000a1"), c.wallet)
	c.until("the wallet's list is in force", func() bool { return c.hotlist().ExceptionsVersion == 1 })
	c.stop()
	file := func(version int64, devices ...byte) {
		var blocked []emv.DeviceID
		for _, d := range devices {
			blocked = append(blocked, emv.NewDeviceID([8]byte{7: d}))
		}
		files, err := bundle.FormatHotlist(version, now, blocked)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.store.Write(map[string][]byte{"hotlist/crl.toml": files["crl.toml"], "hotlist/exceptions.toml": files["exceptions.toml"]}); err != nil {
			t.Fatal(err)
		}
	}
	file(5, 0xb1, 0xb2)
	c.start()
	if h := c.hotlist(); h.ExceptionsVersion != 5 || h.Blocked != 2 || h.CRLVersion != 5 {
		t.Errorf("a newer file: %+v", h)
	}
	c.connected(true)
	now = time.Now()
	c.send(here, here.DownTopic(wire.KindHotlist), header(now), listOf(6, 5, now, "00000000000000a1"), c.wallet)
	c.until("changes of the file's list are in force", func() bool { return c.hotlist().ExceptionsVersion == 6 })
	c.stop()
	c.start()
	defer func() { c.stop() }()
	if h := c.hotlist(); h.ExceptionsVersion != 6 || h.Blocked != 3 || h.CRLVersion != 5 {
		t.Errorf("after a restart: %+v", h)
	}
}
