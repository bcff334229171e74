package dispute

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"tapkeeper/emv"
	"tapkeeper/emv/channel"
	"tapkeeper/emv/evidence"
	"tapkeeper/uplink/wire"
)

// Keys are the public keys that a reader trusts. Each may be missing.
type Keys struct {
	CA       []evidence.CAKey
	Wallet   ed25519.PublicKey
	Terminal ed25519.PublicKey
}

// Report is the answer to every question that a file allows.
type Report struct {
	Payment string           `json:"payment_id,omitempty"`
	Says    []Saying         `json:"says,omitempty"` // true if the checks pass
	Checks  []evidence.Check `json:"checks"`
	OK      bool             `json:"ok"` // every check that was asked for has passed
}

// Saying is a statement of the file in words.
type Saying struct {
	Chinese string `json:"zh-CN"`
	English string `json:"en"`
}

// Names of the checks beside those of package evidence.
const (
	CheckFile       = "file"
	CheckRecord     = "record"
	CheckPayment    = "payment"
	CheckReceipt    = "receipt"
	CheckSettlement = "settlement"
	CheckChain      = "chain"
	CheckEvents     = "events"
	CheckJournal    = "journal"
	CheckExport     = "export"
	CheckTerminal   = "terminal's signature"
)

// payment is what the checks read of the terminal's payment.
type payment struct {
	ID          wire.ID   `json:"id"`
	AmountMinor int64     `json:"amount_minor"`
	Currency    string    `json:"currency"`
	State       string    `json:"state"`
	Settlement  string    `json:"settlement"`
	Reason      int       `json:"reason"`
	Revision    int       `json:"revision"`
	AcceptedAt  time.Time `json:"accepted_at"`
	Request     *wire.ID  `json:"request"`
	Advice      *wire.ID  `json:"advice"`
	Reversal    *wire.ID  `json:"reversal"`
	Report      *wire.ID  `json:"report"`
	Former      []wire.ID `json:"former"`
	Resent      *struct {
		Message wire.ID `json:"message"`
	} `json:"resent"`
	Refunds []struct {
		AmountMinor int64   `json:"amount_minor"`
		Message     wire.ID `json:"message"`
	} `json:"refunds"`
}

// verification is one run of Verify.
type verification struct {
	file   *File
	e      *Evidence
	p      payment
	keys   Keys
	report *Report
	trail  *trail
}

// Verify answers every question about a file that the keys allow.
func Verify(raw []byte, keys Keys) *Report {
	r := &Report{}
	v := &verification{keys: keys, report: r}
	var err error
	if v.file, v.e, err = decode(raw); err == nil {
		err = json.Unmarshal(v.e.Payment, &v.p)
	}
	if err != nil {
		r.Checks = []evidence.Check{{Name: CheckFile, Result: evidence.Fail, Why: err.Error()}}
		return r
	}
	r.Payment = v.p.ID.String()
	v.say(CheckFile, nil, "it has the form of "+Format)
	v.record()
	v.receipts()
	v.chain()
	v.signature()
	r.OK = !slices.ContainsFunc(r.Checks, func(c evidence.Check) bool { return c.Result == evidence.Fail })
	return r
}

func (v *verification) say(name string, err error, good string) {
	c := evidence.Check{Name: name, Result: evidence.Pass, Why: good}
	if err != nil {
		c.Result, c.Why = evidence.Fail, err.Error()
	}
	v.report.Checks = append(v.report.Checks, c)
}

func (v *verification) skip(name, why string) {
	v.report.Checks = append(v.report.Checks, evidence.Check{Name: name, Result: evidence.NotChecked, Why: why})
}

// record is question (a): what the phone has signed, and whether it is this payment.
func (v *verification) record() {
	if len(v.e.Record) == 0 {
		if v.keys.CA != nil {
			v.say(CheckRecord, fmt.Errorf("there is none to check: no phone has signed anything for this payment, which is %s", v.p.State), "")
		} else {
			v.skip(CheckRecord, "there is none: no phone has signed anything for this payment")
		}
		return
	}
	r := evidence.Examine(v.e.Record, v.keys.CA)
	v.report.Checks = append(v.report.Checks, r.Checks...)
	if r.Signed == nil {
		return
	}
	if r.Result(evidence.CheckSignature) == evidence.Pass { // nothing is said that nobody has verified
		v.report.Says = append(v.report.Says, Saying{r.Signed.Text(emv.Chinese), r.Signed.Text(emv.English)})
	}
	v.say(CheckPayment, v.samePayment(r.Signed), "id, amount, currency, merchant, terminal and time are those that the phone has signed")
}

// maxClockGap is between the time in the tap and that of its outcome: a sale's
// five taps, each with its wait.
const maxClockGap = 10 * time.Minute

func (v *verification) samePayment(s *evidence.Signed) error {
	p := &v.p
	code, known := currencies[p.Currency]
	local, err := time.Parse(time.DateTime, s.Local)
	tapped := local.Add(-time.Duration(v.e.UTCOffset) * time.Second)
	switch {
	case s.Payment != p.ID:
		return errors.New("the record is of another payment")
	case s.AmountMinor != p.AmountMinor:
		return fmt.Errorf("the phone signed %d minor units, the payment has %d", s.AmountMinor, p.AmountMinor)
	case !known || s.Currency != code:
		return fmt.Errorf("the phone signed currency %03d, the payment has %s", s.Currency, p.Currency)
	case s.Refund:
		return errors.New("the phone signed a refund")
	case s.Merchant != channel.MerchantHash(v.e.Merchant):
		return errors.New("the phone signed for another merchant")
	case s.Terminal != v.e.SchemeTerminal:
		return errors.New("the phone signed for another terminal")
	case err != nil || tapped.Sub(p.AcceptedAt).Abs() > maxClockGap:
		return errors.New("the time that the phone signed is not that of the payment")
	}
	return nil
}

// currencies are the ISO 4217 numbers of the wallet's markets.
var currencies = map[string]int{"CNY": 156, "HKD": 344, "MOP": 446, "SGD": 702, "EUR": 978, "USD": 840}

// chain is question (c): whether anything was changed or left out.
func (v *verification) chain() {
	var err error
	v.trail, err = follow(v.e, v.p.ID.String())
	if err == nil && !v.trail.head.is(v.e.Head) {
		err = errors.New("it does not end at the head that the file names")
	}
	if err != nil {
		v.say(CheckChain, err, "")
		for _, name := range []string{CheckEvents, CheckJournal, CheckExport} {
			v.skip(name, "the chain is broken")
		}
		return
	}
	t := v.trail
	whole := fmt.Sprintf("%d events of this payment and %d of others, each bound to the one before, from event %d to %d",
		len(t.events), t.others, v.e.Chain[0].Anchor.Sequence+1, t.head.Sequence)
	if t.gapTo > 0 {
		whole += fmt.Sprintf("; events %d to %d are not shown", t.gapFrom, t.gapTo)
	}
	v.bound(CheckChain, nil, whole)
	v.bound(CheckEvents, t.steps(&v.p), fmt.Sprintf("revisions 1 to %d are all there, and the last is the payment as it stands", v.p.Revision))
	v.bound(CheckJournal, v.kept(), "payment, record, receipts and trace are byte for byte what these events have stored, and all that they have")
	v.bound(CheckExport, v.exported(), "the last event tells of this export: "+v.e.ExportedBy+" at "+v.e.ExportedAt.Format(time.RFC3339))
}

// bound is say for what means something only under the terminal's signature.
func (v *verification) bound(name string, err error, good string) {
	if err == nil && v.keys.Terminal == nil {
		v.skip(name, "no terminal key was given: whose journal it is is unknown. It adds up: "+good)
		return
	}
	v.say(name, err, good)
}

// kept compares the file with the digests that the chain has.
func (v *verification) kept() error {
	id := v.p.ID.String()
	want := v.trail.stored
	have := map[string][]byte{"payment " + id: cell(id, compact(v.e.Payment))}
	if len(v.e.Record) > 0 {
		have["record "+id] = cell(id, v.e.Record)
	}
	if len(v.e.Trace) > 0 {
		have["trace "+id] = cell(id, compact(v.e.Trace))
	}
	for _, r := range v.e.Receipts {
		key := id + "/" + r.Answers
		if have["receipt "+key] != nil {
			return errors.New("a receipt is there twice")
		}
		have["receipt "+key] = cell(key, []byte(r.JWS))
	}
	for name, digest := range have {
		switch {
		case want[name] == nil:
			return fmt.Errorf("%s is in the file and was never stored", name)
		case !bytes.Equal(want[name], digest):
			return fmt.Errorf("%s is not what was stored", name)
		}
	}
	for name := range want {
		for _, kind := range []string{"payment ", "record ", "trace ", "receipt "} {
			if have[name] == nil && len(name) > len(kind) && name[:len(kind)] == kind {
				return fmt.Errorf("%s was stored and is not in the file", name)
			}
		}
	}
	return nil
}

// exported: the export itself is the last event.
func (v *verification) exported() error {
	last := v.trail.events[len(v.trail.events)-1]
	if last.seq != v.e.Head.Sequence || last.By == "" || last.By != v.e.ExportedBy || !last.At.Equal(v.e.ExportedAt) {
		return errors.New("the last event does not tell of this export")
	}
	return nil
}

// signature holds the file against the terminal's statement.
func (v *verification) signature() {
	if v.keys.Terminal == nil {
		v.skip(CheckTerminal, "no terminal key was given")
		return
	}
	payload, err := wire.ReadAttested([]byte(v.file.Signature), v.keys.Terminal)
	if err != nil {
		v.say(CheckTerminal, fmt.Errorf("not signed by the key given: %w", err), "")
		return
	}
	var s Statement
	source := wire.Address{Merchant: v.e.Merchant, Terminal: v.e.Terminal}.String()
	switch err := exact(payload, &s); {
	case err != nil:
		v.say(CheckTerminal, err, "")
	case s.Format != Format || s.Source != source || s.Payment != v.p.ID.String() || !s.Head.is(v.e.Head):
		v.say(CheckTerminal, errors.New("it is of another terminal, payment or head of the chain"), "")
	case !bytes.Equal(s.Evidence, sha(compact(v.file.Evidence))):
		v.say(CheckTerminal, errors.New("the evidence was changed after it was signed"), "")
	default:
		v.say(CheckTerminal, nil, "terminal "+source+" has signed the whole file and the head of its chain")
	}
}
