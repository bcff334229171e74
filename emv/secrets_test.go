package emv

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"tapkeeper/emv/cert"
	"tapkeeper/emv/channel"
	"tapkeeper/emv/emvtest"
)

// TestNothingSecretPrints prints everything that a caller holds, in every verb,
// and looks for the phone's and the tap's secrets.
func TestNothingSecretPrints(t *testing.T) {
	d := one(t, "an approval", approved)
	s := newStage(d)
	attempt, x, step, _ := halfway(t, s, d, storing)
	p := step.Store.in()
	secrets := map[string][]byte{
		"SKi": bytes.Clone(p.SKi), "device certificate": p.Device, "grant": p.Grant, "device id": p.DeviceID[2:],
		"dk": d.Sales[0].Draws.DK[0], "CDOL1 data": p.CDOL1Data,
	}
	values := []any{*attempt, attempt, *x, x, step, &step, *step.Store, step.Store}
	step = x.Stored()
	values = append(values, step, *step.Send, step.Send)
	attempt2, x2, last, _ := halfway(t, s, d, over)
	secrets["reference"] = last.Outcome.Reference.Bytes()
	secrets["record"] = last.Outcome.Record.Bytes()[8:]
	values = append(values, attempt2, x2, *last.Outcome, last.Outcome, *last.Outcome.Seen, saleOf(d.Sales[0]), last)
	var text strings.Builder
	for _, v := range values {
		for _, verb := range "vdsqxXoUtpT" {
			fmt.Fprintf(&text, "%"+string(verb)+"\n%+"+string(verb)+"\n%#"+string(verb)+"\n", v, v, v)
		}
		if b, err := json.Marshal(v); err == nil {
			text.Write(b)
		}
	}
	shown := text.String()
	for name, b := range secrets {
		b = b[:min(6, len(b))]
		for _, form := range []string{fmt.Sprintf("%X", b), fmt.Sprintf("%x", b), strings.Trim(fmt.Sprint(b), "[]"), strings.ReplaceAll(strings.Trim(fmt.Sprint(b), "[]"), " ", ","), string(b), fmt.Sprintf("% X", b), strings.Trim(fmt.Sprintf("%#v", b), "[]byte{}")} {
			if strings.Contains(shown, form) {
				t.Errorf("%s shows as %q", name, form)
			}
		}
	}
}

func TestIssuerCacheKnowsWhatPassed(t *testing.T) {
	p, err := emvtest.LoadPrimitives()
	if err != nil || len(p.IssuerCert) < 2 {
		t.Fatalf("issuer certificates: %v", err)
	}
	v := p.IssuerCert[0]
	good, err := cert.ParseIssuer(v.Cert)
	if err != nil {
		t.Fatal(err)
	}
	ca, otherCA := CAKey{Key: [33]byte(v.QCA)}, CAKey{Key: [33]byte(p.IssuerCert[1].QCA)}
	c := &IssuerCache{}
	for range 2 {
		q, ok := c.key(&good, ca)
		if z, err := q.Compressed(); !ok || err != nil || !bytes.Equal(z[:], v.QI) {
			t.Errorf("a good certificate refused, or another key: %v", err)
		}
	}
	altered := good
	altered.Usage ^= 1
	for about, try := range map[string]func() (channel.VerifyKey, bool){
		"altered":                         func() (channel.VerifyKey, bool) { return c.key(&altered, ca) },
		"of another CA":                   func() (channel.VerifyKey, bool) { return c.key(&good, otherCA) },
		"under a CA key that is no point": func() (channel.VerifyKey, bool) { return c.key(&good, CAKey{}) },
	} {
		if q, ok := try(); ok || q != (channel.VerifyKey{}) {
			t.Errorf("%s: a certificate passed for the sake of another one", about)
		}
	}
}

// TestKeyDies: the tap's MAC key is gone once its answer is known (scheme 8.6.1).
func TestKeyDies(t *testing.T) {
	d := one(t, "an approval", approved)
	_, x, step, next := halfway(t, newStage(d), d, storing)
	p := step.Store.in()
	x.Stored()
	if end := x.Answer(d.Sales[0].Taps[0].Steps[next].RAPDU, 0); end.Outcome == nil || end.Outcome.Result != Approved {
		t.Fatalf("%+v", end)
	}
	if !bytes.Equal(p.SKi, make([]byte, channel.KeySize)) {
		t.Error("the key outlives the tap")
	}
}

func TestIssuerCacheIsBounded(t *testing.T) {
	c := &IssuerCache{}
	for i := range 3 * maxIssuers {
		c.learn([32]byte{byte(i), byte(i >> 8)}, channel.VerifyKey{})
	}
	if len(c.passed) > maxIssuers {
		t.Errorf("%d certificates remembered", len(c.passed))
	}
	var none *IssuerCache
	none.learn([32]byte{}, channel.VerifyKey{})
	if _, ok := none.recall([32]byte{}); ok {
		t.Error("no cache knows a certificate")
	}
}
