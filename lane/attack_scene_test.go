package lane_test

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tapkeeper/emv"
	"tapkeeper/emv/channel"
	"tapkeeper/wallet/backend"
	"tapkeeper/wallet/ledger"
	"tapkeeper/wallet/phone"
)

// noon is when all attacks happen.
var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// issuer is a wallet's backend with real keys, cards and books.
type issuer struct {
	t        testing.TB
	keys     *backend.Issuer
	operator channel.SignKey // for cards that the issuer makes unfit
	ledger   *ledger.Ledger
	verifier *backend.Verifier
	known    *emv.IssuerCache
}

func newIssuer(t testing.TB) *issuer {
	t.Helper()
	i := &issuer{t: t, known: &emv.IssuerCache{}}
	var err error
	i.keys, err = backend.NewIssuer(noon, rand.Reader)
	i.must(err)
	all, err := backend.NewKeys(i.keys, rand.Reader)
	i.must(err)
	path := filepath.Join(t.TempDir(), "keys.json")
	i.must(backend.SaveKeys(path, all))
	text, err := os.ReadFile(path)
	i.must(err)
	var file map[string]string
	i.must(json.Unmarshal(text, &file))
	scalar, err := hex.DecodeString(file["d_i"])
	i.must(err)
	i.operator, err = channel.NewSignKey(scalar)
	i.must(err)
	i.verifier, err = i.keys.Verifier()
	i.must(err)
	i.ledger, err = ledger.Open(t.Context(), filepath.Join(t.TempDir(), "ledger.db"))
	i.must(err)
	t.Cleanup(func() { i.ledger.Close() })
	i.must(backend.OpenPayer(t.Context(), i.ledger, "alice", "Alice", "CNY", 100_000, noon))
	i.must(backend.OpenPayer(t.Context(), i.ledger, "mallory", "Mallory", "CNY", 100_000, noon))
	return i
}

func (i *issuer) must(err error) {
	i.t.Helper()
	if err != nil {
		i.t.Fatal(err)
	}
}

// attackAllowance has the max taps that the personas expect.
var attackAllowance = backend.Allowance{TotalMinor: 50_000, PerTapMinor: 20_000, MaxTaps: 4}

// nowhere is a phone's store that forgets at the end of the test.
type nowhere struct{}

func (nowhere) Save(phone.State) error { return nil }

// phone makes a phone with one card for an account; suffix makes another ADF name.
func (i *issuer) phone(account string, now func() time.Time, suffix ...byte) *phone.Wallet {
	i.t.Helper()
	p, err := i.keys.IssueCard(i.t.Context(), i.ledger, backend.Card{
		Account: account, Kind: backend.WalletBalance, Suffix: suffix, Label: "TapKeeper",
		Digits: [2]byte{0x43, 0x21}, Allowance: &attackAllowance,
	}, noon, rand.Reader)
	i.must(err)
	w, err := phone.New([]phone.Profile{p}, phone.State{}, phone.Options{Store: nowhere{}, Now: now})
	i.must(err)
	return w
}

// judge gives a record to the backend's verifier and ledger (scheme 9.4).
func (i *issuer) judge(record []byte) backend.Verdict {
	i.t.Helper()
	var v backend.Verdict
	i.must(i.ledger.Update(i.t.Context(), func(tx *ledger.Tx) (err error) {
		v, err = i.verifier.Examine(record, nil).Judge(tx)
		return err
	}))
	return v
}

// terminal is the kernel's side with the defaults of scheme 3.1.
func (i *issuer) terminal(id string) *emv.Terminal {
	ca := i.keys.CAKey()
	limit := func(minor int64) *emv.Amount { a := emv.Amount(minor); return &a }
	online := emv.TVR{0x00, 0x84, 0x00, 0xFF, 0x0D}
	return &emv.Terminal{
		ID: id, MerchantID: "tea", Relay: emv.StandardRelay(), Issuers: i.known,
		CAKeys: []emv.CAKey{{RID: ca.RID, Index: ca.Index, Key: ca.Public}},
		AIDs: []emv.AID{{
			AID: []byte{0xF0, 0x54, 0x41, 0x50, 0x4B, 1, 1}, Enabled: true, Currency: 156, Country: 156,
			TxLimit: limit(500_000), FloorLimit: limit(20_000), CVMLimit: limit(10_000), RelayLimit: limit(0),
			TACDenial: emv.TVR{0xFF, 0x78, 0xC0, 0x00, 0x10}, TACOnline: online, TACDefault: online, CRLMaxAgeDays: 30,
		}},
	}
}

// counter is one terminal with what it knows and remembers.
type counter struct {
	terminal *emv.Terminal
	setting  phone.Setting
	seen     map[emv.DeviceID]emv.Seen
}

func (i *issuer) counter(id string, s phone.Setting) *counter {
	i.t.Helper()
	c := &counter{terminal: i.terminal(id), setting: s, seen: map[emv.DeviceID]emv.Seen{}}
	c.terminal.OfflineOnly = s.OfflineOnly
	i.must(c.terminal.Validate())
	return c
}

func (c *counter) lookups() emv.Lookups {
	return emv.Lookups{Revocations: c, Exceptions: c, History: c, Exposure: c}
}

func (c *counter) Revoked(_ [5]byte, _ byte, _ uint32, device *[6]byte) bool {
	return c.setting.Revoked && device != nil
}
func (c *counter) Listed(emv.DeviceID) bool               { return false }
func (c *counter) Seen(d emv.DeviceID) (emv.Seen, bool)   { s, ok := c.seen[d]; return s, ok }
func (c *counter) Full(_ emv.DeviceID, _ emv.Amount) bool { return c.setting.Full }

// carried is a phone that a kernel can be fed from. Its sleeps cost no time.
type carried interface {
	PowerOn()
	PowerOff()
	Transmit(command []byte) []byte
}

// watch is the time that a phone says it takes.
type watch struct{ slept time.Duration }

func (w *watch) sleep(d time.Duration) { w.slept += d }

// usual is what an exchange takes beside a phone's own sleep.
const usual = 4500 * time.Microsecond

// dialogue is what went over the air in one tap.
type dialogue struct {
	answers [][]byte
	pending *emv.Pending // as it was to be stored
	stored  []byte
}

// tap runs one field activation.
func (c *counter) tap(t testing.TB, a *emv.Attempt, p carried, w *watch, m emv.Moment, random reading) (emv.Outcome, dialogue) {
	t.Helper()
	var d dialogue
	p.PowerOn()
	defer p.PowerOff()
	x := a.Activate(m, random)
	step := x.Start()
	for n := 0; step.Outcome == nil; n++ {
		if n > 300 {
			t.Fatal("the tap does not end")
		}
		if step.Store != nil {
			var err error
			d.pending = step.Store
			if d.stored, err = step.Store.Marshal(); err != nil {
				t.Fatal(err)
			}
			step = x.Stored()
			continue
		}
		w.slept = 0
		answer := p.Transmit(step.Send.Bytes())
		if step.Work != nil {
			step.Work()
		}
		d.answers = append(d.answers, bytes.Clone(answer))
		if answer == nil {
			step = x.Lost(usual + w.slept)
		} else {
			step = x.Answer(answer, usual+w.slept)
		}
	}
	if seen := step.Outcome.Seen; seen != nil {
		c.seen[seen.Device] = *seen
	}
	return *step.Outcome, d
}

type reading interface{ Read([]byte) (int, error) }

// sale is one sale at a counter, over as many taps as it needs.
func (c *counter) sale(t testing.TB, s emv.Sale, p carried, w *watch, before func()) (all []emv.Outcome, last dialogue) {
	t.Helper()
	attempt, refused := emv.Begin(c.terminal, s, c.lookups())
	if refused != nil {
		return []emv.Outcome{*refused}, last
	}
	m := emv.Moment{Local: noon, ClockTrusted: true, CRLAgeDays: c.setting.CRLAgeDays, Connected: c.setting.Connected}
	for {
		before()
		var o emv.Outcome
		o, last = c.tap(t, attempt, p, w, m, rand.Reader)
		if all = append(all, o); o.Final() {
			return all, last
		}
	}
}

// saleOf is a purchase with an id of its own.
func saleOf(minor int64) emv.Sale {
	s := emv.Sale{Amount: emv.Amount(minor), Kind: emv.Purchase, Currency: 156}
	_, _ = rand.Read(s.ID[:])
	return s
}
