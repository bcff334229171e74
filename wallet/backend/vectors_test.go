package backend

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"tapkeeper/emv/channel"
	"tapkeeper/emv/emvtest"
	"tapkeeper/wallet/ledger"
)

// judge is one backend with its memory, as a vector file describes it.
type judge struct {
	verifier *Verifier
	ledger   *ledger.Ledger
}

func newJudge(t *testing.T, ca []emvtest.CAKey, imk map[string]emvtest.Hex, devices []emvtest.Device) judge {
	t.Helper()
	var keys []CAKey
	for _, k := range ca {
		keys = append(keys, CAKey{[5]byte(k.RID), k.Index, [33]byte(k.Key)})
	}
	masters := map[byte]channel.Key{}
	for kvn, k := range imk {
		n, err := strconv.ParseUint(kvn, 10, 8)
		if err != nil {
			t.Fatal(err)
		}
		if masters[byte(n)], err = channel.NewKey(k); err != nil {
			t.Fatal(err)
		}
	}
	v, err := NewVerifier(keys, masters)
	if err != nil {
		t.Fatal(err)
	}
	l, err := ledger.Open(t.Context(), filepath.Join(t.TempDir(), "ledger.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	err = l.Update(t.Context(), func(tx *ledger.Tx) error {
		err := tx.OpenAccount(ledger.Account{ID: "payer", Kind: ledger.PayerAccount, Currency: "CNY"})
		for _, d := range devices {
			err = errors.Join(err, tx.PutDevice(ledger.Device{ID: [8]byte(d.DeviceID), Account: "payer", Kind: d.Kind,
				Status: ledger.DeviceStatus(d.Status)}))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return judge{v, l}
}

// agrees judges a record and compares what the vectors' README asks to compare.
func (j judge) agrees(t *testing.T, name string, record []byte, want emvtest.Verdict) bool {
	t.Helper()
	var got Verdict
	err := j.ledger.Update(t.Context(), func(tx *ledger.Tx) (err error) {
		got, err = j.verifier.Examine(record, nil).Judge(tx)
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if got.OK != want.OK || got.Reason != want.Reason.Byte() || got.Step != want.Step || got.Duplicate != want.Duplicate {
		t.Errorf("%s: ok %v reason %02X step %d duplicate %v, want %v %X %d %v", name,
			got.OK, got.Reason, got.Step, got.Duplicate, want.OK, want.Reason, want.Step, want.Duplicate)
		return false
	}
	return true
}

func TestBackendVectors(t *testing.T) {
	b, err := emvtest.LoadBackend()
	if err != nil {
		t.Fatal(err)
	}
	states := map[string]judge{}
	passed := 0
	for _, c := range b.Cases {
		ca, imk, devices := b.CAKeys, b.IMK, b.Devices
		if c.CAKeys != nil {
			ca = c.CAKeys
		}
		if c.IMK != nil {
			imk = c.IMK
		}
		if c.Devices != nil {
			devices = c.Devices
		}
		var j judge
		if c.State == nil {
			j = newJudge(t, ca, imk, devices)
		} else {
			if _, begun := states[*c.State]; !begun {
				states[*c.State] = newJudge(t, ca, imk, devices)
			}
			j = states[*c.State]
		}
		if j.agrees(t, c.About, c.Record, c.Verdict) {
			passed++
		}
	}
	t.Logf("%d of %d cases", passed, len(b.Cases))
}

func TestDialogueVerdicts(t *testing.T) {
	dialogues, err := emvtest.Dialogues()
	if err != nil {
		t.Fatal(err)
	}
	passed, all := 0, 0
	for _, d := range dialogues {
		if len(d.Backend.Verdicts) == 0 {
			continue
		}
		records := map[string][]byte{}
		for _, s := range d.Sales {
			for _, tap := range s.Taps {
				if len(tap.Outcome.Record) > 0 {
					records[digest(tap.Outcome.Record)] = tap.Outcome.Record
				}
			}
		}
		j := newJudge(t, d.Terminal.CAKeys, d.Backend.IMK, d.Backend.Devices)
		for _, v := range d.Backend.Verdicts {
			all++
			record, found := records[strings.ToUpper(hex.EncodeToString(v.RecordSHA256))]
			if !found {
				t.Errorf("%s: no record of that hash", d.ID)
				continue
			}
			if j.agrees(t, d.ID, record, v.Verdict) {
				passed++
			}
		}
	}
	if all == 0 {
		t.Fatal("no verdict in any dialogue")
	}
	t.Logf("%d of %d verdicts", passed, all)
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}
