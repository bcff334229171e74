package cert

import (
	"bytes"
	"errors"
	"testing"

	"tapkeeper/emv/channel"
	"tapkeeper/emv/emvtest"
	"tapkeeper/emv/tlv"
)

func primitives(t *testing.T) *emvtest.Primitives {
	t.Helper()
	p, err := emvtest.LoadPrimitives()
	if err != nil {
		t.Fatal(err)
	}
	if len(p.IssuerCert) == 0 || len(p.DeviceCert) == 0 || len(p.Grant) == 0 || len(p.StaticHash) == 0 {
		t.Fatal("the vectors hold no certificates")
	}
	t.Logf("%d cases of issuer_cert, %d of device_cert, %d of grant, %d of static_hash",
		len(p.IssuerCert), len(p.DeviceCert), len(p.Grant), len(p.StaticHash))
	return p
}

func signKey(t *testing.T, d []byte) channel.SignKey {
	t.Helper()
	k, err := channel.NewSignKey(d)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func verifyKey(t *testing.T, q []byte) channel.VerifyKey {
	t.Helper()
	k, err := channel.NewVerifyKey(q)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestIssuer(t *testing.T) {
	for i, v := range primitives(t).IssuerCert {
		c := Issuer{
			RID: [5]byte(v.RID), Index: v.Index, Operator: [4]byte(v.Operator), NotBefore: Date(v.NotBefore),
			NotAfter: Date(v.NotAfter), Serial: v.Serial, Usage: v.Usage[0], Key: [33]byte(v.QI),
		}
		b, err := c.Sign(signKey(t, v.DCA))
		if err != nil || !bytes.Equal(b, v.Cert) {
			t.Errorf("case %d: signed %X (%v), want %X", i, b, err, []byte(v.Cert))
		}
		got, err := ParseIssuer(v.Cert)
		if err != nil || !bytes.Equal(got.Encode(), v.Cert) {
			t.Fatalf("case %d: parse and encode differ: %v", i, err)
		}
		ca := verifyKey(t, v.QCA)
		if !got.SignedBy(ca) || got.SignedBy(verifyKey(t, v.QI)) {
			t.Errorf("case %d: SignedBy", i)
		}
		if !got.InForce(got.NotBefore) || !got.InForce(got.NotAfter) || got.InForce(Date{0x20, 0x99, 1, 1}) || got.InForce(Date{}) {
			t.Errorf("case %d: InForce", i)
		}
		got.Serial++
		if got.SignedBy(ca) {
			t.Errorf("case %d: an altered certificate verified", i)
		}
	}
	dated := Issuer{NotBefore: Date{0x20, 0x2A}, NotAfter: Date{0x30}}
	if dated.InForce(Date{0x25}) {
		t.Error("a date that is not BCD is in force")
	}
}

func TestDevice(t *testing.T) {
	p := primitives(t)
	for i, v := range p.DeviceCert {
		c := Device{
			IssuerSerial: v.IssuerSerial, DeviceID: [8]byte(v.DeviceID), NotBefore: Date(v.NotBefore),
			NotAfter: Date(v.NotAfter), Serial: [6]byte(v.Serial), Properties: v.Properties[0],
			SDH: [32]byte(v.SDH), SignKey: [33]byte(v.Qs), AgreeKey: [33]byte(v.Qd),
		}
		b, err := c.Sign(signKey(t, v.DI))
		if err != nil || !bytes.Equal(b, v.Cert) {
			t.Errorf("case %d: signed %X (%v), want %X", i, b, err, []byte(v.Cert))
		}
		got, err := ParseDevice(v.Cert)
		if err != nil || !bytes.Equal(got.Encode(), v.Cert) {
			t.Fatalf("case %d: parse and encode differ: %v", i, err)
		}
		issuer := verifyKey(t, p.IssuerCert[i].QI)
		if !got.SignedBy(issuer) || !got.Belongs(v.IssuerSerial, [8]byte(v.DeviceID)) || got.Belongs(v.IssuerSerial+1, got.DeviceID) {
			t.Errorf("case %d: SignedBy or Belongs", i)
		}
		if !got.Begun(got.NotBefore) || got.Begun(Date{}) || got.Expired(got.NotAfter) || !got.Expired(Date{0x99}) {
			t.Errorf("case %d: Begun or Expired", i)
		}
		got.SDH[0] ^= 1
		if got.SignedBy(issuer) {
			t.Errorf("case %d: an altered certificate verified", i)
		}
	}
}

func TestGrant(t *testing.T) {
	p := primitives(t)
	for i, v := range p.Grant {
		g := Grant{
			IssuerSerial: v.IssuerSerial, DeviceID: [8]byte(v.DeviceID), Epoch: v.Epoch, Currency: [2]byte(v.Currency),
			Total: [6]byte(tlv.BCD(v.Total, 6)), PerTap: [6]byte(tlv.BCD(v.PerTap, 6)), MaxTaps: v.MaxTaps,
			ATCBase: v.ATCBase, ValidFrom: Minute(v.ValidFrom), ValidTo: Minute(v.ValidTo),
		}
		b, err := g.Sign(signKey(t, v.DI))
		if err != nil || !bytes.Equal(b, v.Grant) {
			t.Errorf("case %d: signed %X (%v), want %X", i, b, err, []byte(v.Grant))
		}
		got, err := ParseGrant(v.Grant)
		if err != nil || !bytes.Equal(got.Encode(), v.Grant) {
			t.Fatalf("case %d: parse and encode differ: %v", i, err)
		}
		issuer := verifyKey(t, p.IssuerCert[i].QI)
		if !got.SignedBy(issuer) || !got.InForce(got.ValidFrom) || !got.InForce(got.ValidTo) || got.InForce(Minute{}) {
			t.Errorf("case %d: SignedBy or InForce", i)
		}
		if !got.Covers(min(v.PerTap, v.Total)) || got.Covers(min(v.PerTap, v.Total)+1) {
			t.Errorf("case %d: Covers", i)
		}
		got.Total[5] = 0x0A
		if got.Numeric() || got.InForce(got.ValidFrom) || got.Covers(1) || got.SignedBy(issuer) {
			t.Errorf("case %d: a grant that is not BCD passed", i)
		}
	}
}

func TestStaticDataHash(t *testing.T) {
	for i, v := range primitives(t).StaticHash {
		got := StaticDataHash(v.S, v.TLV82, v.TLV84, v.TLV9F38, v.TLV9F2C)
		if !bytes.Equal(got[:], v.SDH) {
			t.Errorf("case %d: %X, want %X", i, got, []byte(v.SDH))
		}
	}
}

func TestStateRules(t *testing.T) {
	v := primitives(t).Grant[0]
	g, err := ParseGrant(v.Grant)
	if err != nil {
		t.Fatal(err)
	}
	tap := channel.Link{Amount: [6]byte(tlv.BCD(500, 6)), Currency: g.Currency, ATC: g.ATCBase + 1}
	good := State{
		Epoch: g.Epoch, Index: 1, Spent: tap.Amount, Remaining: [6]byte(tlv.BCD(v.Total-500, 6)),
		Chain: channel.FirstChain(v.Grant).Next(tap),
	}
	later := tap
	later.ATC = g.ATCBase + 7
	cases := map[string]struct {
		alter func(*State, *channel.Link)
		want  bool
	}{
		"as it is":                {func(*State, *channel.Link) {}, true},
		"rule 1":                  {func(s *State, _ *channel.Link) { s.Epoch++ }, false},
		"rule 2, none":            {func(s *State, _ *channel.Link) { s.Index = 0 }, false},
		"rule 2, last":            {func(s *State, l *channel.Link) { s.Index, *l = v.MaxTaps, later; l.ATC = g.ATCBase + v.MaxTaps }, true},
		"rule 2, over":            {func(s *State, l *channel.Link) { s.Index = v.MaxTaps + 1; l.ATC = g.ATCBase + v.MaxTaps + 1 }, false},
		"rule 3":                  {func(s *State, _ *channel.Link) { s.Remaining = s.Spent }, false},
		"rule 4":                  {func(s *State, l *channel.Link) { l.Amount = [6]byte(tlv.BCD(501, 6)) }, false},
		"rule 5":                  {func(s *State, l *channel.Link) { s.Index, l.ATC = 2, g.ATCBase+1 }, false},
		"rule 5, base":            {func(_ *State, l *channel.Link) { l.ATC = g.ATCBase }, false},
		"rule 6, chain":           {func(s *State, _ *channel.Link) { s.Chain[0] ^= 1 }, false},
		"rule 6, later tap":       {func(s *State, l *channel.Link) { s.Index, l.ATC, s.Chain[0] = 2, g.ATCBase+2, 0 }, true},
		"spent is not a number":   {func(s *State, _ *channel.Link) { s.Spent[5] = 0xAA }, false},
		"rule 6, spent too large": {func(s *State, l *channel.Link) { l.Amount = [6]byte(tlv.BCD(499, 6)) }, false},
	}
	for name, c := range cases {
		s, l := good, tap
		c.alter(&s, &l)
		if got := s.Consistent(v.Grant, l); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
		back, err := ParseState(s.Encode())
		if err != nil || back != s {
			t.Errorf("%s: state does not survive coding: %v", name, err)
		}
	}
}

func TestLayout(t *testing.T) {
	p := primitives(t)
	for _, b := range [][]byte{p.IssuerCert[0].Cert, p.DeviceCert[0].Cert, p.Grant[0].Grant} {
		b = bytes.Clone(b)
		parsers := []func([]byte) error{
			func(b []byte) error { _, err := ParseIssuer(b); return err },
			func(b []byte) error { _, err := ParseDevice(b); return err },
			func(b []byte) error { _, err := ParseGrant(b); return err },
		}
		good := 0
		for _, parse := range parsers {
			if parse(b) == nil {
				good++
			}
			for _, bad := range [][]byte{nil, b[1:], append(bytes.Clone(b), 0), append([]byte{b[0], 0xE2}, b[2:]...)} {
				if err := parse(bad); !errors.Is(err, ErrLayout) {
					t.Errorf("%X…: error %v, want ErrLayout", bad[:min(2, len(bad))], err)
				}
			}
		}
		if good != 1 {
			t.Errorf("%d parsers accepted one object", good)
		}
	}
}
