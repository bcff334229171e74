package emv

import (
	"testing"

	"tapkeeper/emv/channel"
	"tapkeeper/emv/emvtest"
	"tapkeeper/emv/tlv"
)

// refusal is an AAC with that reason, as the dialogue's own phone would sign it.
func refusal(t *testing.T, p *pending, card emvtest.Card, reason Reason) []byte {
	t.Helper()
	ski, err := channel.NewKey(p.SKi)
	if err != nil {
		t.Fatal(err)
	}
	ds, err := channel.NewSignKey(card.DS)
	if err != nil {
		t.Fatal(err)
	}
	iad := make([]byte, 18)
	iad[0], iad[4] = iadFormat, byte(reason)
	var b []byte
	b = tlv.Append(b, 0x9F27, []byte{askAAC})
	b = tlv.Append(b, 0x9F36, []byte{0x00, 0x09})
	b = tlv.Append(b, 0x9F8102, []byte{cvdNone})
	b = tlv.Append(b, 0x9F10, iad)
	b = tlv.Append(b, 0xDF8B0A, make([]byte, 16))
	nodes, err := tlv.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	mac := channel.IADMAC(ski, p.PDOLData, p.CDOL1Data, channel.R0Zeroed(nodes), p.SDH)
	copy(nodes[3].Value[10:], mac[:])
	ac := [8]byte{1, 2, 3}
	eda := channel.EDAMAC(ski, ac, mac)
	b = tlv.Append(b, 0x9F26, ac[:])
	b = tlv.Append(b, 0x9F8105, eda[:])
	evidence, err := channel.SignEvidence(ds, p.SDH, p.PDOLData, p.CDOL1Data, b)
	if err != nil {
		t.Fatal(err)
	}
	return tlv.Append(nil, 0x77, tlv.Append(b, 0x9F4B, evidence))
}

// TestRefusals walks the rows of CID 00 in scheme 5.6.
func TestRefusals(t *testing.T) {
	d := one(t, "an approval", func(d emvtest.Dialogue) bool { return approved(d) && len(d.Phone.Cards) == 1 })
	lost := []Unanswered{{1}}
	for _, c := range []struct {
		about  string
		asked  byte
		reason Reason
		lost   []Unanswered
		tvr    TVR
		want   Result
		why    Reason
		kind   RecordKind
	}{
		{"duplicate, nothing abandoned", askTC, ReasonDuplicate, nil, TVR{}, Declined, ReasonDuplicate, RecordDeclined},
		{"duplicate of what was abandoned", askTC, ReasonDuplicate, lost, TVR{}, Undetermined, ReasonUnknown, RecordDeclined},
		{"the same to an ARQC", askARQC, ReasonDuplicate, lost, TVR{}, Undetermined, ReasonUnknown, RecordDeclined},
		{"another reason", askTC, ReasonPerTap, lost, TVR{}, Declined, ReasonPerTap, RecordDeclined},
		{"no reason", askTC, ReasonOK, nil, TVR{}, Declined, ReasonRisk, RecordDeclined},
		{"AAC was asked", askAAC, ReasonDuplicate, lost, TVR{3: 0x80}, Declined, ReasonOfflineLimit, RecordDeclined},
		{"TAC-Denial is hit", askTC, ReasonDuplicate, lost, TVR{1: 0x40}, Declined, ReasonExpired, RecordDeclined},
	} {
		attempt, _, step, _ := halfway(t, newStage(d), d, storing)
		p := step.Store.in()
		p.Asked, p.TVR = c.asked, c.tvr
		a := attempt.in()
		a.lost = c.lost
		o, err := a.judge(p, refusal(t, p, d.Phone.Cards[0], c.reason), false)
		if err != nil || o.Result != c.want || o.Reason != c.why || o.RecordKind != c.kind || o.Seen == nil {
			t.Errorf("%s: %v %02X kind %d (%v, %s)", c.about, o.Result, byte(o.Reason), o.RecordKind, err, o.Detail)
		}
	}
}
