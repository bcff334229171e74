package backend

import (
	"errors"
	"fmt"
	"io"
	"time"

	"tapkeeper/emv/cert"
	"tapkeeper/emv/channel"
	"tapkeeper/emv/tlv"
	"tapkeeper/wallet/ledger"
)

const (
	caIndex        = 1
	keyVersion     = 1 // KVN of the only issuer master key
	issuerSerial   = 1
	issuerUsage    = 0xC0 // device certificates and grants, scheme 2.1
	issuerYears    = 2    // scheme 1.3: at most
	deviceYears    = 1    // scheme 1.3: at most
	allowanceDays  = 30   // a phone asks for a new grant within a month
	backdatedHours = 24   // certificates are judged by local dates, which may be behind
)

var (
	// rid is the scheme's unregistered test RID (scheme 1.4).
	rid      = [5]byte{0xF0, 0x54, 0x41, 0x50, 0x4B}
	operator = [4]byte{0x01, 0x56, 0x00, 0x01}
	country  = [2]byte{0x01, 0x56} // of the issuer, ISO 3166 numeric
)

// Issuer is a wallet operator with its own scheme CA: it makes cards and
// allowance grants. Its keys cannot be printed; SaveIssuer writes them.
type Issuer struct {
	ca, operator channel.SignKey
	imk, krm     channel.Key
	certificate  []byte // tag 90
}

// NewIssuer draws all keys and signs the issuer certificate.
func NewIssuer(now time.Time, random io.Reader) (*Issuer, error) {
	i := &Issuer{}
	var err error
	if i.ca, err = drawSignKey(random); err != nil {
		return nil, fmt.Errorf("make the CA key: %w", err)
	}
	if i.operator, err = drawSignKey(random); err != nil {
		return nil, fmt.Errorf("make the operator's key: %w", err)
	}
	if i.imk, err = drawKey(random); err != nil {
		return nil, fmt.Errorf("make the issuer master key: %w", err)
	}
	if i.krm, err = drawKey(random); err != nil {
		return nil, fmt.Errorf("make the reference master key: %w", err)
	}
	public, err := i.operator.Public().Compressed()
	if err != nil {
		return nil, err
	}
	i.certificate, err = cert.Issuer{RID: rid, Index: caIndex, Operator: operator, NotBefore: date(backdated(now)),
		NotAfter: date(now.AddDate(issuerYears, 0, -2)), Serial: issuerSerial, Usage: issuerUsage, Key: public}.Sign(i.ca)
	if err != nil {
		return nil, fmt.Errorf("sign the issuer certificate: %w", err)
	}
	return i, nil
}

// CAKey is the scheme's public key that terminals and the Verifier need.
func (i *Issuer) CAKey() CAKey {
	public, err := i.ca.Public().Compressed()
	if err != nil {
		return CAKey{} // cannot be: the key was drawn or read as a scalar
	}
	return CAKey{RID: rid, Index: caIndex, Public: public}
}

// Verifier judges the records of this issuer's cards.
func (i *Issuer) Verifier() (*Verifier, error) {
	return NewVerifier([]CAKey{i.CAKey()}, map[byte]channel.Key{keyVersion: i.imk})
}

// Allowance is what a phone may spend offline until its next grant.
type Allowance struct {
	TotalMinor  int64
	PerTapMinor int64
	MaxTaps     uint16
}

// DefaultAllowance fits the terminals' defaults: ¥500 a device, ¥200 a tap.
var DefaultAllowance = Allowance{TotalMinor: 50_000, PerTapMinor: 20_000, MaxTaps: 20}

const amountMax = 999_999_999_999 // n12

func (a Allowance) validate() error {
	if a.TotalMinor <= 0 || a.TotalMinor > amountMax || a.PerTapMinor <= 0 || a.PerTapMinor > amountMax || a.MaxTaps == 0 {
		return errors.New("allowance: total, limit a tap and taps must be above 0 and fit n12")
	}
	return nil
}

// grant signs an allowance for a device (scheme 2.3).
func (i *Issuer) grant(device [8]byte, epoch uint32, atcBase uint16, currency [2]byte, a Allowance, now time.Time) ([]byte, error) {
	if err := a.validate(); err != nil {
		return nil, err
	}
	signed, err := cert.Grant{IssuerSerial: issuerSerial, DeviceID: device, Epoch: epoch, Currency: currency,
		Total: [6]byte(tlv.BCD(uint64(a.TotalMinor), 6)), PerTap: [6]byte(tlv.BCD(uint64(a.PerTapMinor), 6)),
		MaxTaps: a.MaxTaps, ATCBase: atcBase, ValidFrom: minute(backdated(now)), ValidTo: minute(now.AddDate(0, 0, allowanceDays)),
	}.Sign(i.operator)
	if err != nil {
		return nil, fmt.Errorf("sign the grant: %w", err)
	}
	return signed, nil
}

// granted is a grant as the ledger keeps it.
func granted(signed []byte) (ledger.Grant, error) {
	g, err := cert.ParseGrant(signed)
	if err != nil {
		return ledger.Grant{}, fmt.Errorf("read grant: %w", err)
	}
	total, _ := tlv.Number(g.Total[:])
	ends, err := time.Parse("200601021504", fmt.Sprintf("%X", g.ValidTo[:]))
	if err != nil {
		return ledger.Grant{}, fmt.Errorf("read grant: %w", err)
	}
	return ledger.Grant{Device: g.DeviceID, Epoch: g.Epoch, Body: [126]byte(signed), TotalMinor: int64(total), ValidTo: ends}, nil
}

func backdated(now time.Time) time.Time { return now.Add(-backdatedHours * time.Hour) }

func date(t time.Time) cert.Date {
	y, m, d := t.Date()
	return cert.Date(tlv.BCD(uint64(y)*10000+uint64(m)*100+uint64(d), 4))
}

func minute(t time.Time) cert.Minute {
	day := date(t)
	return cert.Minute(append(day[:], tlv.BCD(uint64(t.Hour())*100+uint64(t.Minute()), 2)...))
}

// drawSignKey draws a scalar in range, as for key agreement, and signs with it.
func drawSignKey(random io.Reader) (channel.SignKey, error) {
	drawn, err := channel.DrawAgreeKey(random)
	if err != nil {
		return channel.SignKey{}, err
	}
	return channel.NewSignKey(drawn.Scalar().Bytes())
}

func drawKey(random io.Reader) (channel.Key, error) {
	var b [channel.KeySize]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return channel.Key{}, err
	}
	return channel.NewKey(b[:])
}
