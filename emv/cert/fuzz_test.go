package cert

import (
	"bytes"
	"errors"
	"testing"

	"tapkeeper/emv/channel"
	"tapkeeper/emv/emvtest"
)

// seeds are the certificates, grants and states of the vectors, true and false.
func seeds(tb testing.TB) [][]byte {
	tb.Helper()
	p, err := emvtest.LoadPrimitives()
	if err != nil {
		tb.Fatal(err)
	}
	var all [][]byte
	for _, c := range p.IssuerCert {
		all = append(all, c.Cert)
	}
	for _, c := range p.DeviceCert {
		all = append(all, c.Cert)
	}
	for _, c := range p.Grant {
		all = append(all, c.Grant)
	}
	for i, c := range p.Chain {
		all = append(all, State{Epoch: 1, Index: uint16(i), Chain: channel.Chain(c.C0)}.Encode())
	}
	return all
}

// keys are the CA's and the issuers' public keys of the vectors.
func keys(tb testing.TB) (list []channel.VerifyKey) {
	tb.Helper()
	p, err := emvtest.LoadPrimitives()
	if err != nil {
		tb.Fatal(err)
	}
	for _, c := range p.IssuerCert {
		for _, q := range [][]byte{c.QCA, c.QI} {
			k, err := channel.NewVerifyKey(q)
			if err != nil {
				tb.Fatal(err)
			}
			list = append(list, k)
		}
	}
	return list
}

// FuzzCertificates asserts that bytes are one kind of certificate at most, that
// it is coded again to the same bytes, that only those of the vectors are signed
// by a key of the vectors, and that errors show nothing of the input.
func FuzzCertificates(f *testing.F) {
	genuine := map[string]bool{}
	for _, b := range seeds(f) {
		f.Add(b)
		genuine[string(b)] = true
	}
	known := keys(f)[:4]
	f.Fuzz(func(t *testing.T, b []byte) {
		read := 0
		got := func(encoded []byte, err error, signed func(channel.VerifyKey) bool) {
			if err != nil {
				if !errors.Is(err, ErrLayout) || emvtest.Leaks(err.Error(), b) {
					t.Fatalf("another error, or bytes in it: %v", err)
				}
				return
			}
			read++
			if !bytes.Equal(encoded, b) {
				t.Fatalf("%X coded again as %X", b, encoded)
			}
			for _, k := range known {
				if signed(k) && !genuine[string(b)] {
					t.Fatalf("%X passes for signed", b)
				}
			}
		}
		i, err := ParseIssuer(b)
		got(i.Encode(), err, i.SignedBy)
		if err != nil && i != (Issuer{}) {
			t.Fatal("a certificate beside an error")
		}
		d, err := ParseDevice(b)
		got(d.Encode(), err, d.SignedBy)
		if err != nil && d != (Device{}) {
			t.Fatal("a certificate beside an error")
		}
		g, err := ParseGrant(b)
		got(g.Encode(), err, g.SignedBy)
		if err != nil && g != (Grant{}) {
			t.Fatal("a grant beside an error")
		}
		if err == nil && !g.Numeric() && (g.InForce(g.ValidFrom) || g.Covers(0) && (g.Total[5]&0x0F > 9 || g.PerTap[5]&0x0F > 9)) {
			t.Fatal("a grant that is not numeric is in force")
		}
		if s, err := ParseState(b); err == nil {
			read++
			if !bytes.Equal(s.Encode(), b) {
				t.Fatalf("%X coded again as %X", b, s.Encode())
			}
			s.Consistent(b, channel.Link{})
		}
		if read > 1 {
			t.Fatalf("%X is %d things at once", b, read)
		}
	})
}

// TestAllocation: reading costs memory in proportion to the input.
func TestAllocation(t *testing.T) {
	for _, b := range append(seeds(t), make([]byte, 1<<16)) {
		n := emvtest.Allocated(func() { ParseIssuer(b); ParseDevice(b); ParseGrant(b); ParseState(b) })
		if n > uint64(8*len(b)+2048) {
			t.Errorf("%d bytes cost %d", len(b), n)
		}
	}
}

// TestCorpus: a fuzz target without seeds would pass on nothing, and what fuzzing
// found worth keeping is in the tree.
func TestCorpus(t *testing.T) {
	if n := len(seeds(t)); n < 40 {
		t.Errorf("%d seeds for FuzzCertificates", n)
	}
	for _, name := range []string{"FuzzCertificates"} {
		if n := emvtest.Kept(t, name); n == 0 {
			t.Errorf("nothing kept for %s", name)
		}
	}
}

// TestKeysAreWithheld: a certificate gives its keys only when they are points
// and it is signed.
func TestKeysAreWithheld(t *testing.T) {
	p := primitives(t)
	ca, issuer := signKey(t, p.IssuerCert[0].DCA), signKey(t, p.DeviceCert[0].DI)
	i, err := ParseIssuer(p.IssuerCert[0].Cert)
	if err != nil {
		t.Fatal(err)
	}
	i.Key = [33]byte{0x02, 31: 0xFF, 32: 0xFF} // no point, but signed
	b, err := i.Sign(ca)
	if err != nil {
		t.Fatal(err)
	}
	if i, err = ParseIssuer(b); err != nil {
		t.Fatal(err)
	}
	if _, err := channel.NewVerifyKey(i.Key[:]); err == nil {
		t.Skip("it is a point after all")
	}
	if _, ok := i.Authenticate(ca.Public()); ok || i.SignedBy(ca.Public()) {
		t.Error("an issuer's key that is no point")
	}
	for _, spoil := range []func(*Device){
		func(d *Device) { d.SignKey = i.Key }, func(d *Device) { d.AgreeKey = i.Key }, func(d *Device) { d.SignKey[0] = 0x04 },
	} {
		d, err := ParseDevice(p.DeviceCert[0].Cert)
		if err != nil {
			t.Fatal(err)
		}
		spoil(&d)
		if b, err = d.Sign(issuer); err != nil {
			t.Fatal(err)
		}
		if d, err = ParseDevice(b); err != nil {
			t.Fatal(err)
		}
		if k, ok := d.Authenticate(issuer.Public()); ok || k != (Keys{}) || d.SignedBy(issuer.Public()) {
			t.Error("a device's key that is no point")
		}
	}
}
