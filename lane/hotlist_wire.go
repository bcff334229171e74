package lane

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"tapkeeper/emv"
	"tapkeeper/firmware-config/bundle"
	"tapkeeper/uplink/wire"
)

func withExceptions(list *bundle.Hotlist, e *wire.Exceptions, sealed time.Time) (*bundle.Hotlist, string, error) {
	c := bundle.Changes[emv.DeviceID]{Version: int64(e.Version), Base: int64(e.Base), Issued: e.IssuedAt.Time}
	c.Added, c.Removed = devices(e.Added), devices(e.Removed)
	if c.Issued.After(sealed.Add(maxDrift)) {
		return nil, orderIssued, errors.New("issued after its message")
	}
	next, err := list.WithExceptions(c)
	return next, changeFault(err), err
}

func withRevocations(list *bundle.Hotlist, jws string, keys []emv.CAKey, sealed time.Time) (*bundle.Hotlist, string, error) {
	r, rid, why, err := readRevocations(jws, keys)
	if err != nil {
		return nil, why, err
	}
	if r.RID != hex.EncodeToString(rid[:]) {
		return nil, orderRIDName, fmt.Errorf("of RID %s, signed for %x", r.RID, rid)
	}
	if r.IssuedAt.After(sealed.Add(maxDrift)) {
		return nil, orderIssued, errors.New("issued after its message")
	}
	next, err := list.WithRevocations(bundle.Changes[bundle.Revocation]{
		Version: int64(r.Version), Base: int64(r.Base), Issued: r.IssuedAt.Time, Added: revocations(rid, r.Added), Removed: revocations(rid, r.Removed),
	})
	return next, changeFault(err), err
}

// readRevocations finds the CA key that has signed a list, among those that taps
// are judged with.
func readRevocations(jws string, keys []emv.CAKey) (r wire.Revocations, rid [5]byte, why string, err error) {
	why, err = orderUnknown, errors.New("revocations: this terminal has no CA key")
	for _, k := range keys {
		key, err2 := caKey(k)
		if err2 != nil {
			return r, rid, orderUnknown, err2
		}
		if r, err = wire.ReadRevocations(jws, key); err == nil {
			return r, k.RID, "", nil
		}
		if why = wire.Fault(err); why != orderUnknown {
			return r, rid, why, err
		}
	}
	return r, rid, why, err
}

// caKey is a CA's key in the standard library's form.
func caKey(k emv.CAKey) (*ecdsa.PublicKey, error) {
	x, y := elliptic.UnmarshalCompressed(elliptic.P256(), k.Key[:])
	if x == nil {
		return nil, errors.New("a CA key is no point of P-256") // the bundle has checked it
	}
	point := append([]byte{4}, x.FillBytes(make([]byte, 32))...)
	return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(point, y.FillBytes(make([]byte, 32))...))
}

// changeFault names why changes do not apply.
func changeFault(err error) string {
	switch {
	case errors.Is(err, bundle.ErrNotNewer):
		return orderNotNewer
	case errors.Is(err, bundle.ErrGap):
		return orderGap
	case errors.Is(err, bundle.ErrIssued):
		return orderIssued
	case errors.Is(err, bundle.ErrTooLong):
		return orderTooLong
	}
	return orderBadCRL
}

// devices reads ids that the message's check has found well-formed.
func devices(ids []string) []emv.DeviceID {
	all := make([]emv.DeviceID, 0, len(ids))
	for _, id := range ids {
		var b [8]byte
		_, _ = hex.Decode(b[:], []byte(id))
		all = append(all, emv.NewDeviceID(b))
	}
	return all
}

func revocations(rid [5]byte, lines []wire.Revocation) []bundle.Revocation {
	all := make([]bundle.Revocation, 0, len(lines))
	for _, l := range lines {
		r := bundle.Revocation{RID: rid, Index: l.Index, Issuer: l.IssuerSerial}
		if l.DeviceSerial != "" {
			r.Device = new([6]byte)
			_, _ = hex.Decode(r.Device[:], []byte(l.DeviceSerial))
		}
		all = append(all, r)
	}
	return all
}
