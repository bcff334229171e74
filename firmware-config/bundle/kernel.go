package bundle

import "tapkeeper/emv"

// What follows is the only place that knows both the files' form and the kernel's.

func (f aidFile) kernel(aid []byte, currency, country emv.Code, t tac) emv.AID {
	return emv.AID{
		AID: aid, Enabled: f.Enabled, Currency: currency, Country: country,
		TxLimit: amount(f.TxLimit), FloorLimit: amount(f.FloorLimit), CVMLimit: amount(f.CVMLimit), RelayLimit: amount(f.RelayLimit),
		ZeroAllowed: f.ZeroAllowed, OnlineFirst: f.Mode == "online_first", CRLMaxAgeDays: int(f.CRLMaxAge),
		TACDenial: t.denial, TACOnline: t.online, TACDefault: t.fallback,
	}
}

// amount keeps the difference between a limit of 0 and none.
func amount(minor *int64) *emv.Amount {
	if minor == nil {
		return nil
	}
	a := emv.Amount(*minor)
	return &a
}

func (f relayFile) kernel() emv.Relay {
	return emv.Relay{
		Command: int(f.Command), Answer: int(f.Answer), MinGrace: int(f.MinGrace), MaxGrace: int(f.MaxGrace),
		Accuracy: int(f.Accuracy), Mismatch: int(f.Mismatch),
	}
}

// agrees asks the kernel itself, with stand-ins for what is one terminal's own:
// this package must not pass what the kernel would refuse at start-up.
func agrees(t emv.Terminal) error {
	t.ID, t.MerchantID = "TERMINAL", "merchant"
	return t.Validate()
}

// Revoked answers the kernel about one certificate (scheme 2.5 steps 5 and 10): an
// issuer certificate when device is nil, else a device certificate.
func (h *Hotlist) Revoked(rid [5]byte, index byte, issuerSerial uint32, device *[6]byte) bool {
	r := revocation{rid: rid, index: index, issuer: issuerSerial, whole: device == nil}
	if device != nil {
		r.device = *device
	}
	return h.revoked[r]
}

// Listed reports whether a device is blocked (scheme 2.5 step 11).
func (h *Hotlist) Listed(device emv.DeviceID) bool { return h.blocked[device] }
