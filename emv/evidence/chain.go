package evidence

import (
	"bytes"
	"fmt"

	"tapkeeper/emv/cert"
	"tapkeeper/emv/channel"
)

// chain is what the certificates came to, for the checks after them.
type chain struct {
	asked      bool // CA keys were given
	good       bool
	issuer     cert.Issuer
	issuerKey  channel.VerifyKey
	device     cert.Device
	reached    bool // steps 2 to 9 of scheme 2.5 passed: the dates of device mean something
	signature  bool // scheme 5.5 step 4
	staticGood bool
}

// authenticate is steps 2 to 4 of scheme 9.4.
func (e *record) authenticate(r *Report, keys []CAKey, c *chain) {
	c.asked = true
	why := e.certificates(keys, c)
	c.good = why == ""
	r.add(CheckCertificates, c.good, fmt.Sprintf(
		"CA key %02X of %X has signed operator %X, which has signed the phone's key; both were in force on the day of the tap",
		c.issuer.Index, c.issuer.RID, c.issuer.Operator), why)
	if !c.good {
		r.skip(CheckStatic, "the certificate that holds the hash is not good")
		r.skip(CheckSignature, "the certificate that holds the key is not good")
		return
	}
	static := e.staticHash()
	c.staticGood = c.device.SDH == static
	r.add(CheckStatic, c.staticGood, "application, PDOL and account data are those that the certificate names",
		"application, PDOL, AIP, qualifier or account data are not those that the certificate names (scheme 2.4)")
	qs, err := c.device.VerifyKey()
	c.signature = err == nil && channel.VerifyEvidence(qs, e.answer[tagEvidence], static,
		e.part[tagPDOLData], e.part[tagCDOL1Data], channel.R1(e.objects))
	r.add(CheckSignature, c.signature, "the phone's key has signed amount, terminal, time and its own answer",
		"the phone's key has not signed these data (scheme 6.7)")
}

// certificates is steps 2 to 4, 6 to 9 and 12 to 14 of scheme 2.5 at the date
// of the tap, the RID alone of step 3; it returns what fails.
func (e *record) certificates(keys []CAKey, c *chain) string {
	var err error
	if c.issuer, err = cert.ParseIssuer(e.part[tagIssuerCert]); err != nil {
		return "issuer certificate: wrong layout"
	}
	if !bytes.Equal(c.issuer.RID[:], e.part[tagAID][:5]) {
		return "issuer certificate: of another RID than the application"
	}
	ca, err := find(keys, c.issuer.RID, c.issuer.Index)
	switch {
	case err != nil:
		return err.Error()
	case !c.issuer.InForce(e.day()):
		return "issuer certificate: not in force on the day of the tap"
	case !c.issuer.MayIssueDevices():
		return "issuer certificate: not for phones"
	case !c.issuer.SignedBy(ca):
		return fmt.Sprintf("issuer certificate: not signed by CA key %02X", c.issuer.Index)
	}
	if c.issuerKey, err = c.issuer.VerifyKey(); err != nil {
		return "issuer certificate: no public key"
	}
	if c.device, err = cert.ParseDevice(e.part[tagDeviceCert]); err != nil {
		return "device certificate: wrong layout"
	}
	id := e.static[tagDeviceID]
	if len(id) != 8 || !c.device.Belongs(c.issuer.Serial, [8]byte(id)) {
		return "device certificate: of another issuer or device"
	}
	c.reached = true
	switch {
	case !c.device.Begun(e.day()):
		return "device certificate: not in force yet on the day of the tap"
	case c.device.Expired(e.day()):
		return "device certificate: expired on the day of the tap"
	case !c.device.SignedBy(c.issuerKey):
		return "device certificate: not signed by the issuer"
	}
	return ""
}

func find(keys []CAKey, rid [5]byte, index byte) (channel.VerifyKey, error) {
	for _, k := range keys {
		if k.RID == rid && k.Index == index {
			key, err := channel.NewVerifyKey(k.Public[:])
			if err != nil {
				return key, fmt.Errorf("CA key %02X of %X is no point", index, rid)
			}
			return key, nil
		}
	}
	return channel.VerifyKey{}, fmt.Errorf("CA key %02X of %X is not among those given", index, rid)
}

// inconsistent is step 5 of scheme 9.4 without policy; it returns what does not fit.
func (e *record) inconsistent() string {
	for _, p := range twice {
		if !bytes.Equal(e.pdol[p.tag], e.cdol1[p.tag]) {
			return fmt.Sprintf("%v is one value in the PDOL data and another in the CDOL1 data", p.tag)
		}
	}
	var padded [16]byte
	copy(padded[:], e.part[tagAID])
	if !bytes.Equal(padded[:], e.cdol1[tagAID]) || !bytes.HasPrefix(e.part[tagADF], e.part[tagAID]) {
		return "the application is another than the terminal's (9F06, 84)"
	}
	if !kindFits(e.kind(), e.cid()) {
		return fmt.Sprintf("a record of kind %02X does not hold the answer %02X", e.kind(), e.cid())
	}
	return ""
}

func kindFits(kind, cid byte) bool {
	switch kind {
	case kindApproved, kindReversal:
		return cid == cidTC
	case kindOnline:
		return cid == cidARQC || cid == cidTC
	case kindDeclined:
		return cid == cidAAC || cid == cidARQC
	case kindRefund:
		return cid == cidARQC
	}
	return kind == kindSuspect
}
