package lane_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"tapkeeper/emv/evidence"
	"tapkeeper/firmware-config/bundle"
	"tapkeeper/lane"
	"tapkeeper/lane/lanetest"
	"tapkeeper/terminal"
	"tapkeeper/terminal/dispute"
	"tapkeeper/uplink/wire"
	"tapkeeper/uplink/wire/wiretest"
)

// court is a store whose lane runs in this process, and what a third party is
// given: the public keys. Beside them it keeps every secret that it sees.
type court struct {
	*testing.T
	store *lanetest.Store
	lane  *lane.Lane
	keys  dispute.Keys
	own   *wire.Terminal // the terminal's pen, for evidence that it signs itself

	mu      sync.Mutex
	secrets map[string][]byte
}

func newCourt(t *testing.T) *court {
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
	if err := s.Watch(wiretest.Watch(t)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	c := &court{T: t, store: s, secrets: map[string][]byte{}}
	cfg := s.Config()
	cfg.Wallet.AnswerMS = 10_000
	c.lane, err = lane.OpenWith(cfg, zerolog.Nop(), c.listen, func(r lane.Receiver) lane.Receiver { return r })
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended, ready := make(chan error, 1), make(chan struct{})
	go func() { ended <- c.lane.Run(ctx, func() { close(ready) }) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-ended, c.lane.Close()); err != nil {
			t.Error(err)
		}
	})
	<-ready
	c.readKeys()
	c.connected(true)
	return c
}

// listen stands at the journal and at the source of randomness, and notes every
// session key and every private scalar.
func (c *court) listen(p terminal.Parts) terminal.Parts {
	p.Journal = eavesdropper{p.Journal, c}
	p.Random = io.TeeReader(p.Random, draws{c})
	return p
}

type eavesdropper struct {
	terminal.Journal
	c *court
}

func (e eavesdropper) Commit(ctx context.Context, commit terminal.Commit) (uint64, error) {
	for _, r := range commit.Records {
		var pending struct{ SKi []byte }
		if r.Kind == "pending" && json.Unmarshal(r.Value, &pending) == nil && len(pending.SKi) == 16 {
			e.c.note("SKi", pending.SKi)
		}
	}
	return e.Journal.Commit(ctx, commit)
}

type draws struct{ c *court }

// Write notes a draw of 32 bytes: dk. Ids, UN and TRRE are shorter, and public.
func (d draws) Write(b []byte) (int, error) {
	if len(b) == 32 {
		d.c.note("dk", b)
	}
	return len(b), nil
}

func (c *court) note(name string, secret []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.secrets[fmt.Sprintf("%s %d", name, len(c.secrets))] = bytes.Clone(secret)
}

func (c *court) file(name string) []byte {
	c.Helper()
	raw, err := os.ReadFile(c.store.Path(name))
	if err != nil {
		c.Fatal(err)
	}
	return raw
}

// readKeys reads the public keys for the third party, and the secret ones for the canary.
func (c *court) readKeys() {
	c.Helper()
	found, err := bundle.ReadCAKeys(os.DirFS(c.store.Path("firmware")), ".")
	if err != nil || len(found) == 0 {
		c.Fatalf("CA keys: %v", err)
	}
	for _, k := range found {
		c.keys.CA = append(c.keys.CA, evidence.CAKey{RID: k.RID, Index: k.Index, Public: k.Key})
	}
	block, _ := pem.Decode(c.file("keys/wallet-signing.pem"))
	wallet, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		c.Fatal(err)
	}
	c.keys.Wallet = wallet.(ed25519.PublicKey)
	block, _ = pem.Decode(c.file("keys/terminal-signing.pem"))
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		c.Fatal(err)
	}
	signer := private.(ed25519.PrivateKey)
	c.keys.Terminal = signer.Public().(ed25519.PublicKey)
	c.own = c.pen(signer)
	c.note("terminal's signing key", signer.Seed())
	master, err := hex.DecodeString(strings.TrimSpace(string(c.file("keys/journal-master"))))
	if err != nil {
		c.Fatal(err)
	}
	c.note("journal's master key", master)
	for _, who := range []string{rich.ID, poor.ID} {
		var phone struct {
			Cards []struct {
				DS   string `json:"ds"`
				DC   string `json:"dc"`
				MKac string `json:"mk_ac"`
				Kref string `json:"kref"`
			} `json:"cards"`
		}
		if err := json.Unmarshal(c.file("phone-"+who+".json"), &phone); err != nil {
			c.Fatal(err)
		}
		for _, card := range phone.Cards {
			for _, text := range []string{card.DS, card.DC, card.MKac, card.Kref} {
				key, err := hex.DecodeString(text)
				if err != nil || len(key) < 16 {
					c.Fatalf("key of a phone: %q, %v", text, err)
				}
				c.note("phone's key", key)
			}
		}
	}
}

// pen signs evidence with a key, as the terminal would.
func (c *court) pen(private ed25519.PrivateKey) *wire.Terminal {
	c.Helper()
	signing, err := wire.NewSigningKey(private)
	if err != nil {
		c.Fatal(err)
	}
	block, _ := pem.Decode(c.file("keys/wallet-encryption.pem"))
	sealTo, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		c.Fatal(err)
	}
	w, err := wire.NewTerminal(wire.TerminalKeys{
		Address: wire.Address{Merchant: lanetest.Merchant, Terminal: lanetest.Terminal},
		Signing: signing, WalletSigning: []ed25519.PublicKey{c.keys.Wallet}, WalletEncryption: sealTo.(*ecdsa.PublicKey),
	})
	if err != nil {
		c.Fatal(err)
	}
	return w
}

func (c *court) until(what string, ok func() bool) {
	c.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			c.Fatalf("waited %s until %s", patience, what)
		}
	}
}

// connected plugs the network in or out and waits until the lane knows.
func (c *court) connected(on bool) {
	c.Helper()
	if err := c.store.Network.Refuse(!on); err != nil {
		c.Fatal(err)
	}
	c.until(fmt.Sprintf("connected is %v", on), func() bool {
		s, err := c.lane.Status()
		return err == nil && s.Link.Connected == on && (s.ClockTrusted || !on)
	})
}

// pay takes a payment, and returns it when the till would be told.
func (c *court) pay(who lanetest.Person, order string, minor int64) terminal.Payment {
	c.Helper()
	p, err := c.lane.Terminal().Open(c.Context(), terminal.Request{
		OrderRef: order, AmountMinor: minor, Currency: lanetest.Currency, Offline: terminal.OfflineAllow, ExpiresIn: time.Minute,
	})
	if err != nil {
		c.Fatal(err)
	}
	if err := c.store.Field.Present(c.store.Phones[who.ID].Ready()); err != nil {
		c.Fatal(err)
	}
	defer func() { c.store.Field.Remove(); c.store.Field.Wait() }()
	return c.wait(p.ID, func(p terminal.Payment) bool { return p.State.Ended() })
}

func (c *court) wait(id terminal.ID, ok func(terminal.Payment) bool) (p terminal.Payment) {
	c.Helper()
	c.until("payment "+id.String(), func() bool {
		var err error
		if p, err = c.lane.Terminal().Payment(id); err != nil {
			c.Fatal(err)
		}
		return ok(p)
	})
	return p
}

func (c *court) settled(id terminal.ID) {
	c.Helper()
	c.wait(id, func(p terminal.Payment) bool { return p.Settlement == terminal.Settled })
}

func (c *court) export(id terminal.ID) []byte {
	c.Helper()
	raw, err := c.lane.Evidence(c.Context(), id, "uid 1000 (anna)")
	if err != nil {
		c.Fatal(err)
	}
	return raw
}

// open takes a file apart.
func (c *court) open(raw []byte) (dispute.File, dispute.Evidence) {
	c.Helper()
	var f dispute.File
	var e dispute.Evidence
	var compact bytes.Buffer
	if err := errors.Join(json.Compact(&compact, raw), json.Unmarshal(compact.Bytes(), &f), json.Unmarshal(f.Evidence, &e)); err != nil {
		c.Fatal(err)
	}
	return f, e
}

// close puts it together again: signed by pen, or with the signature it had.
func (c *court) close(f dispute.File, e dispute.Evidence, payment terminal.ID, pen *wire.Terminal) []byte {
	c.Helper()
	sign := func([]byte) ([]byte, error) { return []byte(f.Signature), nil }
	if pen != nil {
		sign = pen.Attest
	}
	raw, err := dispute.Encode(&e, wire.Address{Merchant: e.Merchant, Terminal: e.Terminal}.String(), payment.String(), sign)
	if err != nil {
		c.Fatal(err)
	}
	return raw
}

func failed(r *dispute.Report) (names []string) {
	for _, check := range r.Checks {
		if check.Result == evidence.Fail {
			names = append(names, check.Name)
		}
	}
	return names
}

func unchecked(r *dispute.Report) (names []string) {
	for _, check := range r.Checks {
		if check.Result == evidence.NotChecked {
			names = append(names, check.Name)
		}
	}
	return names
}

// holds demands that every check but the one nobody can make has passed.
func (c *court) holds(what string, raw []byte) *dispute.Report {
	c.Helper()
	r := dispute.Verify(raw, c.keys)
	if un := unchecked(r); !r.OK || !slices.Equal(un, []string{evidence.CheckSecrets}) {
		c.Errorf("%s: failed %v, not checked %v:\n%+v", what, failed(r), un, r.Checks)
	}
	return r
}

// TestEvidence: real payments, their files, and every way to change one.
func TestEvidence(t *testing.T) {
	c := newCourt(t)
	c.connected(false)
	first := c.pay(rich, "first", 25_00)
	second := c.pay(poor, "second", 12_50)
	waiting := c.export(first.ID)
	c.connected(true)
	c.settled(first.ID)
	c.settled(second.ID)

	raw := c.export(first.ID)
	other := c.export(second.ID)
	r := c.holds("settled", raw)
	if len(r.Says) != 2 || !strings.Contains(r.Says[0].English, "25.00") || !strings.Contains(r.Says[1].English, "took 25.00") {
		t.Errorf("it says %q", r.Says)
	}
	c.holds("the other", other)
	c.holds("again, with the first export in the chain", c.export(first.ID))
	_, e := c.open(raw)
	if digests := len(bytes.Join(others(e), nil)); digests == 0 {
		t.Error("no event of the other payment in between: the test shows nothing about hiding them")
	}
	if bytes.Contains(raw, []byte(second.ID.String())) || bytes.Contains(raw, []byte("12.50")) {
		t.Error("the file tells of another payment")
	}

	// Nothing of the wallet is there yet: asked for its word, the file fails; else it holds.
	if r := dispute.Verify(waiting, c.keys); !slices.Equal(failed(r), []string{dispute.CheckReceipt}) {
		t.Errorf("stored: failed %v", failed(r))
	}
	if r := dispute.Verify(waiting, dispute.Keys{CA: c.keys.CA, Terminal: c.keys.Terminal}); !r.OK {
		t.Errorf("stored, without the wallet's key: failed %v", failed(r))
	}

	t.Run("keys", func(t *testing.T) { c.otherKeys(t, raw) })
	t.Run("fields", func(t *testing.T) { c.everyField(t, raw, other, first.ID) })
	t.Run("bytes", func(t *testing.T) { c.everyByte(t, raw, first.ID) })
	t.Run("form", func(t *testing.T) { c.form(t, raw) })
	t.Run("secrets", func(t *testing.T) { c.noSecrets(t, raw) })
	t.Run("audit", func(t *testing.T) { c.audit(t, raw) })
}

// TestEvidenceOfEnds: each end of a payment has its evidence, and no other end's.
func TestEvidenceOfEnds(t *testing.T) {
	c := newCourt(t)
	online := c.pay(rich, "online", 250_00) // over the floor limit: the wallet decides
	refused := c.pay(poor, "refused", 250_00)
	c.wait(refused.ID, func(p terminal.Payment) bool { return p.End() == terminal.NotPaid })
	if online.State != terminal.Approved || refused.State != terminal.Declined || refused.Request == nil {
		t.Fatalf("online %s, refused %s", online.State, refused.State)
	}
	r := c.holds("approved by the wallet", c.export(online.ID))
	if !strings.Contains(r.Says[0].English, "ARQC") || !strings.Contains(r.Says[1].English, "took 250.00") {
		t.Errorf("approved by the wallet: it says %q", r.Says)
	}
	raw := c.export(refused.ID)
	r = c.holds("refused by the wallet", raw)
	if !strings.Contains(r.Says[1].English, "refused the authorisation, reason 02") {
		t.Errorf("refused by the wallet: it says %q", r.Says)
	}
	// A merchant that holds the terminal's key claims the refused one as paid.
	f, e := c.open(raw)
	e.Payment = bytes.Replace(e.Payment, []byte(`"state":"declined","settlement":"none"`), []byte(`"state":"approved","settlement":"settled"`), 1)
	lie := failed(dispute.Verify(c.close(f, e, refused.ID, c.own), c.keys))
	for _, want := range []string{dispute.CheckSettlement, dispute.CheckEvents, dispute.CheckJournal} {
		if !slices.Contains(lie, want) {
			t.Errorf("declined, claimed as approved: failed %v, want %s among them", lie, want)
		}
	}

	open, err := c.lane.Terminal().Open(t.Context(), terminal.Request{
		OrderRef: "nobody", AmountMinor: 100, Currency: lanetest.Currency, Offline: terminal.OfflineAllow, ExpiresIn: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.lane.Evidence(t.Context(), open.ID, "uid 0"); !errors.Is(err, terminal.ErrNotEnded) {
		t.Errorf("of a payment that waits for a tap: %v", err)
	}
	if _, err := c.lane.Terminal().Cancel(t.Context(), open.ID); err != nil {
		t.Fatal(err)
	}
	if r := dispute.Verify(c.export(open.ID), dispute.Keys{Terminal: c.keys.Terminal}); !r.OK || len(r.Says) != 0 {
		t.Errorf("cancelled: failed %v, says %q", failed(r), r.Says)
	}
}

func others(e dispute.Evidence) (runs [][]byte) {
	for _, s := range e.Chain {
		for _, l := range s.Links {
			runs = append(runs, l.Others)
		}
	}
	return runs
}

// otherKeys: each wrong key fails its own checks; each missing one leaves them unchecked.
func (c *court) otherKeys(t *testing.T, raw []byte) {
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	wrong := c.keys
	wrong.Terminal = public
	if got := failed(dispute.Verify(raw, wrong)); !slices.Equal(got, []string{dispute.CheckTerminal}) {
		t.Errorf("another terminal's key: failed %v", got)
	}
	wrong = c.keys
	wrong.Wallet = public
	if got := failed(dispute.Verify(raw, wrong)); !slices.Equal(got, []string{dispute.CheckReceipt, dispute.CheckSettlement}) {
		t.Errorf("another wallet's key: failed %v", got)
	}
	wrong = c.keys
	wrong.CA = slices.Clone(c.keys.CA)
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	wrong.CA[0].Public = [33]byte(elliptic.MarshalCompressed(elliptic.P256(), stranger.X, stranger.Y))
	if got := failed(dispute.Verify(raw, wrong)); !slices.Equal(got, []string{evidence.CheckCertificates}) {
		t.Errorf("another CA key: failed %v", got)
	}
	r := dispute.Verify(raw, dispute.Keys{})
	want := []string{evidence.CheckCertificates, evidence.CheckStatic, evidence.CheckSignature, evidence.CheckSecrets, dispute.CheckReceipt,
		dispute.CheckSettlement, dispute.CheckChain, dispute.CheckEvents, dispute.CheckJournal, dispute.CheckExport, dispute.CheckTerminal}
	if got := unchecked(r); !r.OK || !slices.Equal(got, want) || len(r.Says) != 0 {
		t.Errorf("without keys: failed %v, not checked %v, says %q", failed(r), got, r.Says)
	}
}

// everyField alters one thing of the file. Signed by somebody without the
// terminal's key it always fails at the signature; want is the check that names
// it when the terminal itself has signed the lie.
func (c *court) everyField(t *testing.T, raw, other []byte, payment terminal.ID) {
	swap := func(old, new string) func(*dispute.Evidence) {
		return func(e *dispute.Evidence) { e.Payment = bytes.Replace(e.Payment, []byte(old), []byte(new), 1) }
	}
	own := func(e *dispute.Evidence, nth int) (*dispute.Segment, int) {
		for i := range e.Chain {
			for j, l := range e.Chain[i].Links {
				if len(l.Event) > 0 {
					if nth == 0 {
						return &e.Chain[i], j
					}
					nth--
				}
			}
		}
		t.Fatal("fewer events than expected")
		return nil, 0
	}
	_, stranger := c.open(other)
	for name, a := range map[string]struct {
		alter func(*dispute.Evidence)
		want  string
	}{
		"amount":                 {swap(`"amount_minor":2500`, `"amount_minor":9900`), dispute.CheckPayment},
		"amount in the journal":  {swap(`"amount_minor":2500`, `"amount_minor":9900`), dispute.CheckJournal},
		"currency":               {swap(`"CNY"`, `"EUR"`), dispute.CheckPayment},
		"order":                  {swap(`"first"`, `"forst"`), dispute.CheckJournal},
		"state":                  {swap(`"state":"approved"`, `"state":"declined"`), dispute.CheckEvents},
		"settlement":             {swap(`"settlement":"settled"`, `"settlement":"reversed"`), dispute.CheckSettlement},
		"revision":               {swap(`"revision":`, `"revision":1`), dispute.CheckEvents},
		"accepted at":            {swap(`"accepted_at":"202`, `"accepted_at":"203`), dispute.CheckPayment},
		"message id":             {swap(`"advice":"0`, `"advice":"1`), dispute.CheckReceipt},
		"merchant":               {func(e *dispute.Evidence) { e.Merchant = "coffee-house" }, dispute.CheckPayment},
		"terminal":               {func(e *dispute.Evidence) { e.Terminal = "till-2" }, dispute.CheckReceipt},
		"scheme terminal":        {func(e *dispute.Evidence) { e.SchemeTerminal = "TERM0002" }, dispute.CheckPayment},
		"zone":                   {func(e *dispute.Evidence) { e.UTCOffset += 3600 }, dispute.CheckPayment},
		"exported by":            {func(e *dispute.Evidence) { e.ExportedBy = "uid 0 (root)" }, dispute.CheckExport},
		"exported at":            {func(e *dispute.Evidence) { e.ExportedAt = e.ExportedAt.Add(time.Second) }, dispute.CheckExport},
		"record left out":        {func(e *dispute.Evidence) { e.Record = nil }, dispute.CheckRecord},
		"record of another":      {func(e *dispute.Evidence) { e.Record = stranger.Record }, dispute.CheckPayment},
		"receipt":                {func(e *dispute.Evidence) { e.Receipts[0].JWS = flip(e.Receipts[0].JWS) }, dispute.CheckReceipt},
		"receipt of another":     {func(e *dispute.Evidence) { e.Receipts[0].JWS = stranger.Receipts[0].JWS }, dispute.CheckReceipt},
		"receipt left out":       {func(e *dispute.Evidence) { e.Receipts = nil }, dispute.CheckSettlement},
		"receipt left out, kept": {func(e *dispute.Evidence) { e.Receipts = nil }, dispute.CheckJournal},
		"receipt twice":          {func(e *dispute.Evidence) { e.Receipts = append(e.Receipts, e.Receipts[0]) }, dispute.CheckJournal},
		"receipt's name":         {func(e *dispute.Evidence) { e.Receipts[0].Answers = payment.String() }, dispute.CheckReceipt},
		"trace":                  {func(e *dispute.Evidence) { e.Trace = bytes.Replace(e.Trace, []byte("SELECT"), []byte("SELECT!"), 1) }, dispute.CheckJournal},
		"trace left out":         {func(e *dispute.Evidence) { e.Trace = nil }, dispute.CheckJournal},
		"chain left out":         {func(e *dispute.Evidence) { e.Chain = nil }, dispute.CheckChain},
		"anchor":                 {func(e *dispute.Evidence) { e.Chain[0].Anchor.Hash[0] ^= 1 }, dispute.CheckChain},
		"anchor's number":        {func(e *dispute.Evidence) { e.Chain[0].Anchor.Sequence++ }, dispute.CheckChain},
		"head":                   {func(e *dispute.Evidence) { e.Head.Hash[0] ^= 1 }, dispute.CheckChain},
		"event order": {func(e *dispute.Evidence) {
			s, i := own(e, 0)
			j := i + 1
			s.Links[i], s.Links[j] = s.Links[j], s.Links[i]
		}, dispute.CheckChain},
		"event left out":            {func(e *dispute.Evidence) { s, i := own(e, 1); s.Links = slices.Delete(s.Links, i, i+1) }, dispute.CheckChain},
		"first event left out":      {func(e *dispute.Evidence) { s, i := own(e, 0); s.Links = slices.Delete(s.Links, i, i+1) }, dispute.CheckChain},
		"event's time":              {func(e *dispute.Evidence) { s, i := own(e, 1); later(t, &s.Links[i]) }, dispute.CheckChain},
		"event's changes":           {func(e *dispute.Evidence) { s, i := own(e, 1); s.Links[i].Changes[0] ^= 1 }, dispute.CheckChain},
		"others' digests":           {func(e *dispute.Evidence) { first(e).Others[0] ^= 1 }, dispute.CheckChain},
		"others left out":           {func(e *dispute.Evidence) { l := first(e); l.Others = l.Others[64:] }, dispute.CheckChain},
		"others not whole":          {func(e *dispute.Evidence) { l := first(e); l.Others = l.Others[1:] }, dispute.CheckChain},
		"event hidden as another's": {func(e *dispute.Evidence) { s, i := own(e, 2); hide(&s.Links[i]) }, dispute.CheckEvents},
		"first hidden":              {func(e *dispute.Evidence) { s, i := own(e, 0); hide(&s.Links[i]) }, dispute.CheckEvents},
		"a gap within the payment":  {func(e *dispute.Evidence) { gap(t, e) }, dispute.CheckEvents},
	} {
		for _, pen := range []*wire.Terminal{nil, c.own} {
			f, e := c.open(raw)
			a.alter(&e)
			r := dispute.Verify(c.close(f, e, payment, pen), c.keys)
			names := failed(r)
			if r.OK || !slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, a.want) }) {
				t.Errorf("%s, signed by the terminal %v: failed %v, want %s among them", name, pen != nil, names, a.want)
			}
			if pen == nil && !slices.Contains(names, dispute.CheckTerminal) {
				t.Errorf("%s: the terminal's signature did not fail: %v", name, names)
			}
		}
	}
	// Unaltered, the two ways of closing it are good: the failures are the alterations'.
	f, e := c.open(raw)
	c.holds("closed again", c.close(f, e, payment, nil))
	c.holds("signed again", c.close(f, e, payment, c.own))
	r := dispute.Verify(c.close(f, e, terminal.ID{1}, c.own), c.keys)
	if !slices.Equal(failed(r), []string{dispute.CheckTerminal}) {
		t.Errorf("a statement about another payment: failed %v", failed(r))
	}
}

// first is the first run of others' digests.
func first(e *dispute.Evidence) *dispute.Link {
	for i := range e.Chain {
		for j := range e.Chain[i].Links {
			if l := &e.Chain[i].Links[j]; len(l.Others) > 0 {
				return l
			}
		}
	}
	return nil
}

// flip changes a letter in the middle of a signature.
func flip(jws string) string {
	b := []byte(jws)
	i := len(b) - 20
	if b[i] == 'A' {
		b[i] = 'B'
	} else {
		b[i] = 'A'
	}
	return string(b)
}

func later(t *testing.T, l *dispute.Link) {
	altered := bytes.Replace(l.Event, []byte(`"at":"202`), []byte(`"at":"203`), 1)
	if bytes.Equal(altered, l.Event) {
		t.Error("the event has no time")
	}
	l.Event = altered
}

// hide shows an event of the payment as if it were somebody else's. Every hash stays right.
func hide(l *dispute.Link) {
	payload, changes := wire.DigestOf(l.Event), wire.DigestOf(l.Changes)
	*l = dispute.Link{Others: append(payload[:], changes[:]...)}
}

// gap leaves out what lies between two events of the payment, with good anchors.
func gap(t *testing.T, e *dispute.Evidence) {
	s := e.Chain[0]
	at := s.Anchor
	for i, l := range s.Links {
		if len(l.Others) > 0 {
			rest := dispute.Segment{Anchor: after(at, l.Others), Links: s.Links[i+1:]}
			s.Links = s.Links[:i]
			e.Chain = []dispute.Segment{s, rest}
			return
		}
		payload, changes := wire.DigestOf(l.Event), wire.DigestOf(l.Changes)
		at = after(at, append(payload[:], changes[:]...))
	}
	t.Error("nothing to leave out")
}

// after is the point behind the events with these digests (docs/durability.md).
func after(p dispute.Point, pairs []byte) dispute.Point {
	for ; len(pairs) > 0; pairs = pairs[64:] {
		b := binary.BigEndian.AppendUint64([]byte("tapkeeper queue event 1\x00"), p.Sequence+1)
		hash := wire.DigestOf(append(append(b, p.Hash...), pairs[:64]...))
		p = dispute.Point{Sequence: p.Sequence + 1, Hash: hash[:]}
	}
	return p
}

// everyByte: no byte of the record changes unnoticed, by the record's own checks
// and by the journal's chain, even when the terminal signs the lie.
func (c *court) everyByte(t *testing.T, raw []byte, payment terminal.ID) {
	f, e := c.open(raw)
	for i := 0; i < len(e.Record); i += 11 { // every byte by itself: package evidence
		altered := e
		altered.Record = bytes.Clone(e.Record)
		altered.Record[i] ^= 0x01
		r := dispute.Verify(c.close(f, altered, payment, c.own), c.keys)
		if r.OK || !slices.Contains(failed(r), dispute.CheckJournal) {
			t.Fatalf("byte %d of the record: failed %v", i, failed(r))
		}
		if len(failed(r)) < 2 {
			t.Errorf("byte %d of the record: only the journal noticed", i)
		}
	}
}

// form: what a lenient reader would skip is refused.
func (c *court) form(t *testing.T, raw []byte) {
	text := string(raw)
	compact := &bytes.Buffer{}
	if err := json.Compact(compact, raw); err != nil {
		t.Fatal(err)
	}
	c.holds("without white space", compact.Bytes())
	for name, altered := range map[string]string{
		"unknown member":   strings.Replace(text, `"format":`, `"note": "paid twice", "format":`, 1),
		"member twice":     strings.Replace(text, `"merchant":`, `"merchant": "coffee-house", "merchant":`, 1),
		"member's case":    strings.Replace(text, `"merchant":`, `"Merchant":`, 1),
		"another version":  strings.Replace(text, dispute.Format, "tapkeeper.evidence.v2", 1),
		"trailing text":    text + "{}",
		"lower-case hex":   strings.Replace(text, `"record": "BF8B`, `"record": "bf8b`, 1),
		"cut":              text[:len(text)/2],
		"nothing":          "",
		"not an object":    "[]",
		"empty":            "{}",
		"too long":         text + strings.Repeat(" ", dispute.MaxFile),
		"escaped spelling": strings.Replace(text, `"merchant": "t`, `"merchant": "\u0074`, 1),
	} {
		if altered == text {
			t.Errorf("%s: nothing was altered", name)
		}
		if r := dispute.Verify([]byte(altered), c.keys); r.OK || !slices.Equal(failed(r), []string{dispute.CheckFile}) {
			t.Errorf("%s: failed %v", name, failed(r))
		}
	}
}

// noSecrets: no key of the terminal, the tap, the phone or the journal is in the
// file, in any of the spellings that are in use.
func (c *court) noSecrets(t *testing.T, raw []byte) {
	f, e := c.open(raw)
	texts := [][]byte{raw, f.Evidence, e.Record}
	for _, s := range e.Chain {
		for _, l := range s.Links {
			texts = append(texts, l.Changes, l.Others)
		}
	}
	for _, r := range e.Receipts {
		for part := range strings.SplitSeq(r.JWS, ".") {
			decoded, err := base64.RawURLEncoding.DecodeString(part)
			if err != nil {
				t.Fatal(err)
			}
			texts = append(texts, decoded)
		}
	}
	found := func(secret []byte) bool {
		for _, spelt := range []string{string(secret), hex.EncodeToString(secret), fmt.Sprintf("%X", secret),
			base64.RawStdEncoding.EncodeToString(secret), base64.RawURLEncoding.EncodeToString(secret)} {
			for _, text := range texts {
				if bytes.Contains(text, []byte(spelt)) {
					return true
				}
			}
		}
		return false
	}
	kinds := map[string]int{}
	for name, secret := range c.secrets {
		kind, _, _ := strings.Cut(name, " ")
		kinds[kind]++
		if found(secret) {
			t.Errorf("%s is in the file", name)
		}
	}
	for _, kind := range []string{"SKi", "dk", "terminal's", "journal's", "phone's"} {
		if kinds[kind] == 0 {
			t.Errorf("no %s was looked for: %v", kind, kinds)
		}
	}
	if !found(e.Record[200:232]) || !found(e.Head.Hash) {
		t.Error("the search finds nothing")
	}
}

// audit: who exported it is in the journal, whatever happens to the file.
func (c *court) audit(t *testing.T, raw []byte) {
	_, e := c.open(raw)
	links := e.Chain[len(e.Chain)-1].Links
	last := links[len(links)-1].Event
	for _, want := range []string{`"by":"uid 1000 (anna)"`, `"why":"evidence exported"`} {
		if !bytes.Contains(last, []byte(want)) {
			t.Errorf("the last event is %s, want %s", last, want)
		}
	}
	if report, err := c.lane.Verify(); err != nil || report.Head.Seq < e.Head.Sequence {
		t.Errorf("the journal: %+v, %v", report.Head, err)
	}
	for _, by := range []string{"", "line\nfeed", strings.Repeat("x", 200)} {
		if _, err := c.lane.Evidence(t.Context(), terminal.ID{1}, by); err == nil || errors.Is(err, terminal.ErrNotFound) {
			t.Errorf("exported for %q: %v", by, err)
		}
	}
	if _, err := c.lane.Evidence(t.Context(), terminal.ID{1}, "uid 0"); !errors.Is(err, terminal.ErrNotFound) {
		t.Errorf("of no payment: %v", err)
	}
}
