package channel

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"tapkeeper/emv/emvtest"
)

func primitives(t *testing.T) *emvtest.Primitives {
	t.Helper()
	p, err := emvtest.LoadPrimitives()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func some[T any](t *testing.T, name string, list []T) []T {
	t.Helper()
	if len(list) == 0 {
		t.Fatalf("the vectors hold no case of %s", name)
	}
	t.Logf("%d cases of %s", len(list), name)
	return list
}

func key(t *testing.T, b []byte) Key {
	t.Helper()
	k, err := NewKey(b)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func equal(t *testing.T, i int, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("case %d: %s = %X, want %X", i, what, got, want)
	}
}

func TestSymmetric(t *testing.T) {
	p := primitives(t)
	for i, c := range some(t, "cmac", p.CMAC) {
		got := CMAC(key(t, c.Key), c.Msg)
		equal(t, i, "CMAC", got[:], c.Out)
		for cut := range len(c.Msg) { // the parts must not matter
			got = CMAC(key(t, c.Key), c.Msg[:cut], nil, c.Msg[cut:])
			equal(t, i, "CMAC in parts", got[:], c.Out)
		}
	}
	for i, c := range some(t, "cmac_plus", p.CMACPlus) {
		got := CMACPlus(key(t, c.Key), c.Msg)
		equal(t, i, "CMAC+", got[:], c.Out)
	}
	for i, c := range some(t, "ctr", p.CTR) {
		counter := uint16(c.Counter[0])<<8 | uint16(c.Counter[1])
		equal(t, i, "CTR", CTR(key(t, c.Key), counter, c.Data), c.Out)
	}
}

func TestPoints(t *testing.T) {
	for i, c := range some(t, "points", primitives(t).Points) {
		p, err := PointX(c.X)
		if c.EvenY == nil {
			if err == nil {
				t.Errorf("case %d: %X accepted as x of a point", i, []byte(c.X))
			}
			continue
		}
		if err != nil {
			t.Errorf("case %d: %v", i, err)
			continue
		}
		equal(t, i, "point", p.Bytes()[1:], append(append([]byte{}, c.X...), c.EvenY...))
		if z := Compress(p); z[0] != 0x02 {
			t.Errorf("case %d: even y compressed with %02X", i, z[0])
		}
	}
	if _, err := PointXY(make([]byte, 64)); err == nil {
		t.Error("x and y of zero accepted")
	}
}

func agree(t *testing.T, d []byte) AgreeKey {
	t.Helper()
	k, err := NewAgreeKey(d)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKeyAgreement(t *testing.T) {
	p := primitives(t)
	for i, c := range some(t, "ecdh", p.ECDH) {
		peer, err := PointXY(c.PeerXY)
		if err != nil {
			t.Fatal(err)
		}
		z, err := agree(t, c.D).ECDH(peer)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, i, "ECDH", z.Bytes(), c.Out)
	}
	for i, c := range some(t, "bdh", p.BDH) {
		qd, err := PointCompressed(c.QD)
		if err != nil {
			t.Fatal(err)
		}
		qk, err := PointXY(c.QK)
		if err != nil {
			t.Fatal(err)
		}
		dk, r := agree(t, c.DK), agree(t, c.R)
		equal(t, i, "Qk", dk.XY(), c.QK)
		pcX, _ := r.ECDH(qd)
		equal(t, i, "Pc.x", pcX.Bytes(), c.PcX)
		p1X, _ := r.ECDH(qk)
		equal(t, i, "P1.x", p1X.Bytes(), c.P1X)
		p1, err := PointX(c.P1X)
		if err != nil {
			t.Fatal(err)
		}
		atPhone, _ := agree(t, c.DC).ECDH(p1)
		equal(t, i, "z at the phone", atPhone.Bytes(), c.Z)
		pc, err := PointX(c.PcX)
		if err != nil {
			t.Fatal(err)
		}
		z, _ := dk.ECDH(pc)
		equal(t, i, "z at the terminal", z.Bytes(), c.Z)
		s := DeriveSession(z)
		equal(t, i, "SKc", s.SKc.Bytes(), c.SKc)
		equal(t, i, "SKi", s.SKi.Bytes(), c.SKi)
		plain := CTR(s.SKc, FirstCounter, c.EncryptedR)
		equal(t, i, "r", plain, c.R)
		if !Blinded(NewSecret(plain), qd, c.PcX) {
			t.Errorf("case %d: blinding check refused", i)
		}
		plain[31] ^= 1
		if Blinded(NewSecret(plain), qd, c.PcX) || Blinded(NewSecret(make([]byte, 32)), qd, c.PcX) {
			t.Errorf("case %d: blinding check passed with another r", i)
		}
	}
	for i, c := range some(t, "session_keys", p.SessionKeys) {
		kdk := CMAC(keyOf([KeySize]byte{}), c.Z)
		equal(t, i, "KDK", kdk[:], c.KDK)
		s := DeriveSession(NewSecret(c.Z))
		equal(t, i, "SKc", s.SKc.Bytes(), c.SKc)
		equal(t, i, "SKi", s.SKi.Bytes(), c.SKi)
	}
}

func TestMACs(t *testing.T) {
	p := primitives(t)
	for i, c := range some(t, "mac_pair", p.MACPair) {
		ski := key(t, c.SKi)
		mac := IADMAC(ski, c.PDOLData, c.CDOL1Data, c.R0z, [32]byte(c.SDH))
		equal(t, i, "IAD-MAC", mac[:], c.IADMAC)
		eda := EDAMAC(ski, [8]byte(c.AC), mac)
		equal(t, i, "EDA-MAC", eda[:], c.EDAMAC)
		if !SameMAC(mac, [8]byte(c.IADMAC)) || SameMAC(mac, eda) {
			t.Errorf("case %d: SameMAC", i)
		}
	}
	for i, c := range some(t, "ac", p.AC) {
		mk := MKac(key(t, c.IMK), c.Kind, c.KVN, [8]byte(c.DeviceID))
		equal(t, i, "MKac", mk.Bytes(), c.MKac)
		sk := SKac(mk, c.ATC)
		equal(t, i, "SKac", sk.Bytes(), c.SKac)
		ac := AC(sk, c.CDOL1Data, [2]byte(c.AIP), c.R0)
		equal(t, i, "AC", ac[:], c.AC)
	}
	for i, c := range some(t, "refs", p.Refs) {
		kref := Kref(key(t, c.KRM), c.Kind, c.Account)
		equal(t, i, "Kref", kref.Bytes(), c.Kref)
		hash := MerchantHash(c.MerchantID)
		equal(t, i, "merchant hash", hash[:], c.MerchantHash)
		ref := MerchantReference(kref, hash)
		equal(t, i, "merchant reference", ref[:], c.Reference)
	}
}

func TestChain(t *testing.T) {
	for i, c := range some(t, "chain", primitives(t).Chain) {
		link := FirstChain(c.Grant)
		equal(t, i, "C0", link[:], c.C0)
		for _, tap := range c.Taps {
			link = link.Next(Link{
				Transaction: [16]byte(tap.TxID), Amount: [6]byte(tap.Amount), Currency: [2]byte(tap.Currency),
				ATC: uint16(tap.ATC[0])<<8 | uint16(tap.ATC[1]), TerminalID: [8]byte([]byte(tap.TerminalID)),
			})
			equal(t, i, "chain", link[:], tap.Chain)
		}
	}
}

func TestSignatures(t *testing.T) {
	p := primitives(t)
	for i, c := range some(t, "ecdsa", p.ECDSA) {
		k, err := NewSignKey(c.D)
		if err != nil {
			t.Fatal(err)
		}
		sig, err := k.Sign(c.Msg)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, i, "signature", sig, c.Sig)
		q, err := k.Public().Compressed()
		if err != nil {
			t.Fatal(err)
		}
		equal(t, i, "Q", q[:], c.Q)
	}
	for i, c := range some(t, "ecdsa_verify", p.ECDSAVerify) {
		q, err := NewVerifyKey(c.Q)
		if err != nil {
			t.Fatal(err)
		}
		if got := q.Verify(c.Sig, c.Msg); got != c.OK {
			t.Errorf("case %d (%s): verified %v, want %v", i, c.About, got, c.OK)
		}
	}
	if (VerifyKey{}).Verify(make([]byte, 64), nil) {
		t.Error("the zero key verified a signature")
	}
}

func TestEvidence(t *testing.T) {
	p := primitives(t)
	for i, c := range some(t, "evidence", p.Evidence) {
		ds, err := NewSignKey(c.DS)
		if err != nil {
			t.Fatal(err)
		}
		value, err := SignEvidence(ds, [32]byte(c.SDH), c.PDOLData, c.CDOL1Data, c.R1)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, i, "9F4B", value, c.Value9F4B)
		qs, err := NewVerifyKey(p.DeviceCert[i].Qs)
		if err != nil {
			t.Fatal(err)
		}
		if !VerifyEvidence(qs, value, [32]byte(c.SDH), c.PDOLData, c.CDOL1Data, c.R1) {
			t.Errorf("case %d: evidence refused", i)
		}
		if VerifyEvidence(qs, value, [32]byte(c.SDH), c.PDOLData, c.CDOL1Data, c.R1[1:]) {
			t.Errorf("case %d: evidence of another answer accepted", i)
		}
	}
}

// TestSecretsDoNotPrint buries every kind of key in every shape and looks for
// its bytes in what fmt and encoding/json make of it.
func TestSecretsDoNotPrint(t *testing.T) {
	raw := bytes.Repeat([]byte{0xC7}, 32)
	sign, err := NewSignKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	type shape struct {
		S    Secret
		K    Key
		a    AgreeKey
		s    SignKey
		p    *Secret
		l    []Key
		m    map[string]Secret
		Sess Session
	}
	k := key(t, raw[:16])
	s := NewSecret(raw)
	v := shape{s, k, agree(t, raw), sign, &s, []Key{k}, map[string]Secret{"x": s}, Session{k, k}}
	values := []any{s, &s, k, &k, v.a, v.s, v, &v, []any{v, &v}}
	marks := []string{"c7c7", "C7C7", "199 199", "199,199", "\xc7\xc7", "x8fH", "Ç"}
	var texts []string
	for _, val := range values {
		for _, verb := range "vdsqxXbocUtpgeT" {
			for _, flag := range []string{"", "+", "#", " "} {
				texts = append(texts, fmt.Sprintf("%"+flag+string(verb), val), fmt.Errorf("%"+flag+string(verb), val).Error())
			}
		}
		b, err := json.Marshal(val)
		if err == nil {
			texts = append(texts, string(b))
		}
	}
	for _, text := range texts {
		for _, m := range marks {
			if strings.Contains(text, m) {
				t.Fatalf("a secret printed: %s", text)
			}
		}
	}
}

func TestWrongSizes(t *testing.T) {
	if _, err := NewKey(make([]byte, 15)); err == nil {
		t.Error("a key of 15 bytes accepted")
	}
	if _, err := NewAgreeKey(make([]byte, 32)); err == nil {
		t.Error("the scalar 0 accepted")
	}
	zeros := bytes.NewReader(make([]byte, 32*maxDraws))
	if _, err := DrawAgreeKey(zeros); err == nil {
		t.Error("a source of zeros gave a key")
	}
	again := append(bytes.Repeat([]byte{0xFF}, 32), bytes.Repeat([]byte{0x01}, 32)...)
	k, err := DrawAgreeKey(bytes.NewReader(again))
	if err != nil || !k.Scalar().Equal(NewSecret(again[32:])) {
		t.Errorf("a scalar out of range was not drawn again: %v", err)
	}
	s := NewSecret([]byte{1, 2})
	if s.Wipe(); !bytes.Equal(s.Bytes(), []byte{0, 0}) {
		t.Error("Wipe left the bytes")
	}
}

// TestRefusals: what is no key, point or signature gives none.
func TestRefusals(t *testing.T) {
	noX := bytes.Repeat([]byte{0xFF}, 33)
	noX[0] = 0x02
	for about, err := range map[string]error{
		"PointX of 31 bytes":     second(PointX(make([]byte, 31))),
		"PointXY of 63 bytes":    second(PointXY(make([]byte, 63))),
		"PointCompressed":        second(PointCompressed(noX)),
		"NewVerifyKey":           second(NewVerifyKey(noX)),
		"NewVerifyKey, infinity": second(NewVerifyKey(make([]byte, 33))),
		"Compressed of no key":   second(VerifyKey{}.Compressed()),
	} {
		if !errors.Is(err, ErrPoint) {
			t.Errorf("%s: %v", about, err)
		}
	}
	if _, err := NewSignKey(make([]byte, 32)); err == nil {
		t.Error("the scalar 0 signs")
	}
	if _, err := DrawAgreeKey(bytes.NewReader(nil)); !errors.Is(err, io.EOF) {
		t.Errorf("an empty source: %v", err)
	}
	scalar := append(make([]byte, 31), 7)
	k, err := NewSignKey(scalar)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := k.Scalar(); err != nil || !bytes.Equal(s.Bytes(), scalar) {
		t.Errorf("the scalar does not come back: %v", err)
	}
	long := append([]byte{0x02, 0x22}, bytes.Repeat([]byte{1}, 0x22)...)
	for _, der := range [][]byte{nil, {0x30, 0x05, 1}, {0x30, 0x02, 0x03, 0x00}, {0x30, 0x02, 0x02, 0x05},
		append([]byte{0x30, byte(len(long))}, long...)} {
		if _, err := flatten(der); err == nil {
			t.Errorf("%X is taken for a signature", der)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// TestDER: r ‖ s of every length comes back from the form that crypto/ecdsa
// reads.
func TestDER(t *testing.T) {
	for _, lead := range []byte{0x00, 0x01, 0x7F, 0x80, 0xFF} {
		for zeros := range 33 {
			sig := bytes.Repeat([]byte{lead}, SignatureSize)
			clear(sig[:zeros])
			clear(sig[32 : 64-zeros])
			der := unflatten(nil, sig)
			back, err := flatten(der)
			if err != nil || !bytes.Equal(back, sig) || len(der) > maxDER {
				t.Fatalf("%X is written as %X and read as %X: %v", sig, der, back, err)
			}
		}
	}
}
