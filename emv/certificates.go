package emv

import (
	"tapkeeper/emv/cert"
	"tapkeeper/emv/channel"
)

// chain remembers the costly checks of scheme 2.5, which may run as soon as the
// record with their input has been read.
type chain struct {
	issuerSigned, deviceSigned, grantSigned, blinded memo[bool]
}

// prepare returns the checks that the records read so far allow.
func (app *application) prepare(t *Terminal) []func() {
	var work []func()
	add := func(m *memo[bool], ready bool, check func()) {
		if ready && !m.done {
			work = append(work, check)
		}
	}
	issuer, err1 := cert.ParseIssuer(app.objects.value(0x90))
	device, err2 := cert.ParseDevice(app.objects.value(0x9F46))
	grant, err3 := cert.ParseGrant(app.objects.value(0xDF8B11))
	add(&app.chain.issuerSigned, err1 == nil, func() { app.issuerSigned(t, issuer) })
	add(&app.chain.deviceSigned, err1 == nil && err2 == nil, func() { app.deviceSigned(issuer, device) })
	add(&app.chain.grantSigned, err1 == nil && err3 == nil, func() { app.grantSigned(issuer, grant) })
	add(&app.chain.blinded, err2 == nil, func() { app.blinded(device) })
	return work
}

func (app *application) issuerSigned(t *Terminal, c cert.Issuer) bool {
	return app.chain.issuerSigned.get(func() bool {
		ca, known := t.caKey(c.RID, c.Index)
		if !known {
			return false
		}
		return t.Issuers.signed(c, ca)
	})
}

func (app *application) deviceSigned(i cert.Issuer, d cert.Device) bool {
	return app.chain.deviceSigned.get(func() bool {
		q, err := i.VerifyKey()
		return err == nil && d.SignedBy(q)
	})
}

func (app *application) grantSigned(i cert.Issuer, g cert.Grant) bool {
	return app.chain.grantSigned.get(func() bool {
		q, err := i.VerifyKey()
		return err == nil && g.SignedBy(q)
	})
}

func (app *application) blinded(d cert.Device) bool {
	return app.chain.blinded.get(func() bool {
		qd, err := d.AgreePoint()
		return err == nil && channel.Blinded(app.channel.get().r, qd, app.objects.value(0x9F8103)[:32])
	})
}

// checked is what scheme 2.5 leaves behind for later steps.
type checked struct {
	issuer     cert.Issuer
	device     cert.Device
	issuerGood bool   // step 7 passed
	deviceGood bool   // step 14 passed
	qs         []byte // compressed, once authenticated
	grantGood  bool   // steps 30 to 32 passed
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
	var err error
	if c.issuer, err = cert.ParseIssuer(o.value(0x90)); err != nil { // step 2
		tvr.set(bitIssuerCert)
		return
	}
	i := &c.issuer
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
	c.issuerGood = i.InForce(date) && i.MayIssueDevices() && app.issuerSigned(x.a.terminal, *i) // steps 6, 7
	if !c.issuerGood {
		tvr.set(bitIssuerCert)
		return
	}
	if c.device, err = cert.ParseDevice(o.value(0x9F46)); err != nil { // step 8
		tvr.set(bitDeviceCert)
		return
	}
	x.verifyDevice(app, c, date)
}

// verifyDevice is steps 9 to 16.
func (x *activation) verifyDevice(app *application, c *checked, date cert.Date) {
	l, tvr, i, d := &x.a.lookups, &app.tvr, &c.issuer, &c.device
	if !d.Belongs(i.Serial, [8]byte(app.objects.value(0xDF8B01))) { // step 9
		tvr.set(bitDeviceCert)
		return
	}
	tvr.setIf(l.Revocations.Revoked(i.RID, i.Index, i.Serial, &d.Serial), bitRevoked) // step 10
	tvr.setIf(l.Exceptions.Listed(NewDeviceID(d.DeviceID)), bitException)             // step 11
	tvr.setIf(!d.Begun(date), bitNotEffective)                                        // step 12
	tvr.setIf(d.Expired(date), bitExpired)                                            // step 13
	if c.deviceGood = app.deviceSigned(*i, *d); !c.deviceGood {                       // step 14
		tvr.set(bitDeviceCert)
		return
	}
	c.qs = append([]byte(nil), d.SignKey[:]...) // authenticated even if 15 or 16 fail
	if d.SDH != app.sdh() {                     // step 15
		tvr.set(bitDeviceCert)
		return
	}
	tvr.setIf(!app.blinded(*d), bitBlinding) // step 16
}

// verifyGrant is steps 30 to 35.
func (x *activation) verifyGrant(app *application, c *checked) {
	tvr := &app.tvr
	aip := app.objects.value(0x82)
	g, err := cert.ParseGrant(app.objects.value(0xDF8B11))
	if err != nil || aip[1]&aipOffline == 0 || // step 30
		!c.issuerGood || !c.deviceGood || !c.issuer.MayIssueGrants() || !c.device.MayApproveOffline() ||
		!g.Belongs(c.issuer.Serial, [8]byte(app.objects.value(0xDF8B01))) || // step 31
		!app.grantSigned(c.issuer, g) { // step 32
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
