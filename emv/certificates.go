package emv

import (
	"tapkeeper/emv/cert"
	"tapkeeper/emv/channel"
)

// chain is what the records hold of scheme 2.5, each part read once and each
// costly check made once: as soon as its input is there, or when it is needed.
type chain struct {
	issuer *cert.Issuer // nil: absent, or of another layout
	device *cert.Device
	grant  *cert.Grant

	issuerKey  memo[proven[channel.VerifyKey]]
	deviceKeys memo[proven[cert.Keys]]
	granted    memo[bool]
	blinded    memo[bool]
}

// proven is a key with the verdict on the certificate that holds it.
type proven[K any] struct {
	key  K
	good bool
}

// read takes the certificates out of the records so far.
func (c *chain) read(o objects) {
	c.issuer = once(c.issuer, o.value(0x90), cert.ParseIssuer)
	c.device = once(c.device, o.value(0x9F46), cert.ParseDevice)
	c.grant = once(c.grant, o.value(0xDF8B11), cert.ParseGrant)
}

func once[C any](known *C, value []byte, parse func([]byte) (C, error)) *C {
	if known != nil || value == nil {
		return known
	}
	if c, err := parse(value); err == nil {
		return &c
	}
	return nil
}

// prepare returns the checks that the records read so far allow, and that this
// sale may need: a refund asks for no grant.
func (x *activation) prepare(app *application) []func() {
	c, t := &app.chain, x.a.terminal
	c.read(app.objects)
	var work []func()
	if c.issuer != nil && !c.issuerKey.done {
		work = append(work, func() { app.issuerKey(t) })
	}
	if c.issuer != nil && c.device != nil && !c.deviceKeys.done {
		work = append(work, func() { app.deviceKeys(t) })
	}
	if c.issuer != nil && c.device != nil && !c.blinded.done {
		work = append(work, func() { app.blinded(t) })
	}
	if c.issuer != nil && c.grant != nil && !c.granted.done && x.a.sale.Kind == Purchase {
		work = append(work, func() { app.granted(t) })
	}
	return work
}

func (app *application) issuerKey(t *Terminal) (channel.VerifyKey, bool) {
	p := app.chain.issuerKey.get(func() (p proven[channel.VerifyKey]) {
		if ca, known := t.caKey(app.chain.issuer.RID, app.chain.issuer.Index); known {
			p.key, p.good = t.Issuers.key(app.chain.issuer, ca)
		}
		return p
	})
	return p.key, p.good
}

func (app *application) deviceKeys(t *Terminal) (cert.Keys, bool) {
	p := app.chain.deviceKeys.get(func() (p proven[cert.Keys]) {
		if q, ok := app.issuerKey(t); ok {
			p.key, p.good = app.chain.device.Authenticate(q)
		}
		return p
	})
	return p.key, p.good
}

func (app *application) granted(t *Terminal) bool {
	return app.chain.granted.get(func() bool {
		q, ok := app.issuerKey(t)
		return ok && app.chain.grant.SignedBy(q)
	})
}

func (app *application) blinded(t *Terminal) bool {
	return app.chain.blinded.get(func() bool {
		keys, ok := app.deviceKeys(t)
		return ok && channel.Blinded(app.channel.get().r, keys.Agree, app.objects.value(0x9F8103)[:32])
	})
}

// checked is what scheme 2.5 leaves behind for later steps.
type checked struct {
	issuerGood bool              // step 7 passed
	deviceGood bool              // step 14 passed
	qs         channel.VerifyKey // authenticated, or the key that verifies nothing
	grantGood  bool              // steps 30 to 32 passed
}

// verify runs scheme 2.5. All of it finishes before GENERATE AC, so that a bad
// certificate never costs the payer anything.
func (x *activation) verify(app *application) checked {
	var c checked
	app.tsi.set(tsiCertificates)
	x.verifyChain(app, &c)
	if x.a.sale.Kind == Purchase {
		x.verifyGrant(app, &c)
	}
	return c
}

// verifyChain is steps 1 to 16.
func (x *activation) verifyChain(app *application, c *checked) {
	o, l, tvr := app.objects, &x.a.lookups, &app.tvr
	if !o.has(0x90, 0x8F, 0x9F46, 0xDF8B01) { // step 1
		tvr.set(bitCertMissing)
		return
	}
	i := app.chain.issuer
	if i == nil { // step 2
		tvr.set(bitIssuerCert)
		return
	}
	if i.RID != [5]byte(app.aid.AID[:5]) || i.Index != o.value(0x8F)[0] { // step 3
		tvr.set(bitIssuerCert)
		return
	}
	if _, known := x.a.terminal.caKey(i.RID, i.Index); !known { // step 4
		tvr.set(bitCAKeyUnknown)
		return
	}
	if l.Revocations.Revoked(i.RID, i.Index, i.Serial, nil) { // step 5
		tvr.set(bitRevoked)
		return
	}
	date := cert.Date(x.date())
	if i.InForce(date) && i.MayIssueDevices() { // step 6
		_, c.issuerGood = app.issuerKey(x.a.terminal) // step 7
	}
	if !c.issuerGood {
		tvr.set(bitIssuerCert)
		return
	}
	if app.chain.device == nil { // step 8
		tvr.set(bitDeviceCert)
		return
	}
	x.verifyDevice(app, c, date)
}

// verifyDevice is steps 9 to 16.
func (x *activation) verifyDevice(app *application, c *checked, date cert.Date) {
	l, tvr, i, d := &x.a.lookups, &app.tvr, app.chain.issuer, app.chain.device
	if !d.Belongs(i.Serial, [8]byte(app.objects.value(0xDF8B01))) { // step 9
		tvr.set(bitDeviceCert)
		return
	}
	tvr.setIf(l.Revocations.Revoked(i.RID, i.Index, i.Serial, &d.Serial), bitRevoked) // step 10
	tvr.setIf(l.Exceptions.Listed(NewDeviceID(d.DeviceID)), bitException)             // step 11
	tvr.setIf(!d.Begun(date), bitNotEffective)                                        // step 12
	tvr.setIf(d.Expired(date), bitExpired)                                            // step 13
	keys, good := app.deviceKeys(x.a.terminal)
	if !good { // step 14
		tvr.set(bitDeviceCert)
		return
	}
	c.deviceGood, c.qs = true, keys.Sign // authenticated even if 15 or 16 fail
	if d.SDH != app.sdh() {              // step 15
		tvr.set(bitDeviceCert)
		return
	}
	tvr.setIf(!app.blinded(x.a.terminal), bitBlinding) // step 16
}

// verifyGrant is steps 30 to 35.
func (x *activation) verifyGrant(app *application, c *checked) {
	tvr := &app.tvr
	aip := app.objects.value(0x82)
	i, d, g := app.chain.issuer, app.chain.device, app.chain.grant
	if g == nil || aip[1]&aipOffline == 0 || // step 30
		!c.issuerGood || !c.deviceGood || !i.MayIssueGrants() || !d.MayApproveOffline() ||
		!g.Belongs(i.Serial, [8]byte(app.objects.value(0xDF8B01))) || // step 31
		!app.granted(x.a.terminal) { // step 32
		tvr.set(bitNoGrant)
		return
	}
	c.grantGood = true
	var now cert.Minute
	date := x.date()
	copy(now[:], date[:])
	copy(now[4:], x.time()[:2])
	switch {
	case !g.InForce(now): // step 33
		tvr.set(bitNoGrant)
	case g.Currency != x.a.sale.Currency.bcd(): // step 34
		tvr.set(bitAllowance)
	case !g.Covers(uint64(x.a.sale.Amount)): // step 35
		tvr.set(bitAllowance)
	}
}
